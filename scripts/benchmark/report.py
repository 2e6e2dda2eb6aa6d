"""Results as tables for a terminal and as values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark.run import Pair, Result

_PERCENTILES = (50, 99, 99.9)


def show(console: Console, machine: str, pairs: Sequence[Pair]) -> None:
    """Print everything."""
    console.print(machine, soft_wrap=True)
    console.print(_delivery(pairs))
    console.print(_cost(pairs))
    for pair in pairs:
        for result in _both(pair):
            who = result.load.name if result is pair.hub else f"{result.load.name}, plain loop"
            for note in result.notes:
                console.print(f"{who}: does not count: {note}", soft_wrap=True)


def as_json(machine: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Everything in figures; CPU in % of one core."""
    return {
        "machine": machine,
        "loads": [
            {
                "load": {
                    name: getattr(pair.hub.load, name) for name in pair.hub.load.__struct_fields__
                },
                "hub": _figures(pair.hub),
                "peer": _figures(pair.peer) if pair.peer else None,
                "cpu_ratio": round(pair.ratio, 2) if pair.peer else None,
            }
            for pair in pairs
        ],
    }


def _both(pair: Pair) -> list[Result]:
    return [pair.hub, pair.peer] if pair.peer else [pair.hub]


def _delivery(pairs: Sequence[Pair]) -> Table:
    table = Table(
        title="Delivery, from publish to read by the client; `loop`: from a plain loop of send()"
    )
    table.add_column("load")
    for name in ("delivered", "p50", "p99", "p99.9", "max ms", "loop p50", "p99 ms", "frames/s"):
        table.add_column(name, justify="right")
    for name in ("MB/s", "twice", "disordered", "counts"):
        table.add_column(name, justify="right")
    for pair in pairs:
        hub, peer = pair.hub, pair.peer
        table.add_row(
            hub.load.name,
            f"{hub.ratio:.4%}",
            *(_ms(hub.latency.percentile_ns(percent)) for percent in _PERCENTILES),
            _ms(hub.latency.max_ns),
            *(_ms(peer.latency.percentile_ns(percent)) if peer else "" for percent in (50, 99)),
            f"{_frames_per_s(hub):,.0f}",
            f"{_bytes_per_s(hub) / 1e6:.1f}",
            str(hub.duplicates),
            str(hub.disordered),
            hub.counts,
        )
    return table


def _cost(pairs: Sequence[Pair]) -> Table:
    table = Table(
        title="Cost: CPU in % of one core; `loop`: a plain loop of send(), same frames and clients"
    )
    table.add_column("load")
    names = ("router", "shards", "feed", "monitor", "superv.", "hub", "loop", "hub / loop")
    units = ("us/frame", "us/tick", "RSS MB", "switch/s", "clients", "publ.", "others")
    for name in (*names, *units):
        table.add_column(name, justify="right")
    for pair in pairs:
        hub = pair.hub
        roles = by_role(hub)
        table.add_row(
            hub.load.name,
            *(
                f"{roles[name]:.1f}"
                for name in ("router", "shard", "feed", "monitor", "supervisor")
            ),
            f"{hub.server.total:.1f}",
            f"{pair.peer.server.total:.1f}" if pair.peer else "",
            f"{pair.ratio:.1f}" if pair.peer else "",
            f"{_us(hub) / max(hub.delivered, 1):.2f}",
            f"{_us(hub) / hub.load.ticks:.1f}",
            f"{hub.server.rss_bytes / 1e6:.0f}",
            f"{hub.server.switches:,.0f}",
            "+".join(f"{hub.readers[n]:.0f}" for n in hub.readers if n.startswith("clients")),
            f"{hub.readers.get('publisher', 0):.0f}",
            f"{hub.others:.0f}",
        )
    return table


def by_role(result: Result) -> dict[str, float]:
    """CPU by role, shards and feeds added up, in % of one core."""
    roles = dict.fromkeys(("router", "shard", "feed", "monitor", "supervisor"), 0.0)
    for name, percent in result.server.cpu.items():
        role = name.partition("-")[0]
        roles[role] = roles.get(role, 0.0) + percent
    return roles


def _figures(result: Result) -> dict[str, Any]:
    return {
        "delivered_ratio": result.ratio,
        "delivered": result.delivered,
        "duplicates": result.duplicates,
        "disordered": result.disordered,
        "latency_ms": {
            **{f"p{p:g}": result.latency.percentile_ns(p) / 1e6 for p in _PERCENTILES},
            "max": result.latency.max_ns / 1e6,
            "samples": result.latency.count,
        },
        "cpu": {name: round(percent, 2) for name, percent in result.server.cpu.items()},
        "cpu_total": round(result.server.total, 2),
        "cpu_us_per_delivery": _us(result) / max(result.delivered, 1),
        "cpu_us_per_tick": _us(result) / result.load.ticks,
        "bytes_per_s": round(_bytes_per_s(result)),
        "rss_bytes": result.server.rss_bytes,
        "switches_per_s": round(result.server.switches),
        "cpu_around": {name: round(percent, 2) for name, percent in result.readers.items()},
        "cpu_others": round(result.others, 2),
        "counts": result.counts,
        "notes": result.notes,
    }


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.3g}" if duration_ns < 10**8 else f"{duration_ns / 1e6:,.0f}"


def _us(result: Result) -> float:
    """CPU time of the server in the window."""
    return result.server.total / 100 * result.server.seconds * 1e6


def _frames_per_s(result: Result) -> float:
    return result.delivered / result.server.seconds


def _bytes_per_s(result: Result) -> float:
    """Over warm-up and window, as bytes are counted."""
    share = result.load.ticks / result.load.last
    return result.received_bytes * share / result.server.seconds
