"""Results as tables for a terminal and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark.histogram import Histogram
from scripts.benchmark.result import Result, Row, ratio

_PERCENTILES = (50, 99, 99.9)
_BEHIND = "did not keep up: it went on after the window, and its cost is higher than told here"
_ROLES = ("router", "shard", "feed", "monitor", "supervisor")


def show(console: Console, machine: str, rows: Sequence[Row]) -> None:
    """Print everything."""
    console.print(machine, soft_wrap=True)
    console.print(_delivery(rows))
    console.print(_cost(rows))
    console.print(_roles(rows))
    if any(variants(row) for row in rows):
        console.print(_varied(rows))
    if any(_peers(row) for row in rows):
        console.print(_compared(rows))
    for row in rows:
        for name, results in row.rounds.items():
            for number, result in enumerate(results, 1):
                who = f"{row.load.name}, {name}, round {number}"
                for note in result.notes:
                    console.print(f"{who}: does not count: {note}", soft_wrap=True)
                if result.counts == "behind":
                    console.print(f"{who}: {_BEHIND}", soft_wrap=True)


def as_json(machine: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Everything in figures; CPU in % of one core."""
    return {
        "machine": machine,
        "loads": [
            {
                "load": {name: getattr(row.load, name) for name in row.load.__struct_fields__},
                "results": {
                    name: {
                        **figures(result),
                        "rounds": [figures(one) for one in row.rounds[name]],
                    }
                    for name, result in row.results.items()
                },
                "ratios": {
                    hub: {
                        peer: {"cpu": round(cpu, 3), "p99": round(p99, 3)}
                        for peer, cpu, p99 in ratios(row, hub)
                    }
                    for hub in row.hubs
                },
                "variants": variants(row),
            }
            for row in rows
        ],
    }


def ratios(row: Row, hub: str) -> Iterator[tuple[str, float, float]]:
    """For each that is no hub: the CPU and the p99 of this hub as a multiple of its own."""
    results = row.results
    ours = results[hub]
    for peer in _peers(row):
        theirs = results[peer]
        yield (
            peer,
            ratio(ours.us_per_frame, theirs.us_per_frame),
            ratio(ours.latency.percentile_ns(99), theirs.latency.percentile_ns(99)),
        )


def variants(row: Row) -> dict[str, dict[str, float]]:
    """For each hub but the first: its CPU and latency as a multiple of the first one's."""
    results = row.results
    first, *others = (results[hub] for hub in row.hubs)
    found = {}
    for hub, ours in zip(row.hubs[1:], others, strict=True):
        found[hub] = {"cpu": round(ratio(ours.us_per_frame, first.us_per_frame), 3)}
        for percent in _PERCENTILES:
            both = (one.latency.percentile_ns(percent) for one in (ours, first))
            found[hub][f"p{percent:g}"] = round(ratio(*both), 3)
    return found


def by_role(result: Result) -> dict[str, float]:
    """CPU by role, shards and feeds added up, in % of one core."""
    roles = dict.fromkeys(_ROLES, 0.0)
    for name, percent in result.server.cpu.items():
        role = name.partition("-")[0]
        roles[role] = roles.get(role, 0.0) + percent
    return roles


def figures(result: Result) -> dict[str, Any]:
    """One result in figures."""
    return {
        "delivered_ratio": result.ratio,
        "delivered": result.delivered,
        "duplicates": result.duplicates,
        "disordered": result.disordered,
        "latency_ms": _latency(result.latency),
        "warm_up": {"delivered_ratio": result.early_ratio, **_latency(result.warm_up)},
        "cpu": {name: round(percent, 2) for name, percent in result.server.cpu.items()},
        "cpu_total": round(result.server.total, 2),
        "cpu_us_per_delivery": result.us_per_frame,
        "cpu_us_per_tick": result.us_per_tick,
        "bytes_per_s": round(result.bytes_per_s),
        "rss_bytes": result.server.rss_bytes,
        "switches_per_s": round(result.server.switches),
        "cpu_around": {name: round(percent, 2) for name, percent in result.readers.items()},
        "cpu_others": round(result.others, 2),
        "counts": result.counts,
        "notes": result.notes,
    }


def _delivery(rows: Sequence[Row]) -> Table:
    table = _table("Delivery, from publish to read by the client, in ms; the warm-up apart")
    for name in ("delivered", "p50", "p99", "p99.9", "max", "warm p50", "warm p99", "frames/s"):
        table.add_column(name, justify="right")
    for name in ("MB/s", "twice", "disordered", "counts"):
        table.add_column(name, justify="right")
    for row, name, result in _all(table, rows):
        table.add_row(
            *(row.load.name, name),
            f"{result.ratio:.4%}",
            *(_ms(result.latency.percentile_ns(percent)) for percent in _PERCENTILES),
            _ms(result.latency.max_ns),
            *(_ms(result.warm_up.percentile_ns(percent)) for percent in (50, 99)),
            f"{result.frames_per_s:,.0f}",
            f"{result.bytes_per_s / 1e6:.1f}",
            str(result.duplicates),
            str(result.disordered),
            result.counts,
        )
    return table


def _cost(rows: Sequence[Row]) -> Table:
    table = _table("Cost of the server, CPU in % of one core; and of what is around it")
    for name in ("CPU", "us/frame", "us/tick", "switch/s", "RSS MB", "clients", "publ.", "others"):
        table.add_column(name, justify="right")
    for row, name, result in _all(table, rows):
        clients = [cpu for who, cpu in result.readers.items() if who.startswith("clients")]
        table.add_row(
            *(row.load.name, name),
            f"{result.server.total:.1f}",
            f"{result.us_per_frame:.2f}",
            f"{result.us_per_tick:.1f}",
            f"{result.server.switches:,.0f}",
            f"{result.server.rss_bytes / 1e6:.0f}",
            "+".join(f"{cpu:.0f}" for cpu in clients),
            f"{result.readers.get('publisher', 0):.0f}",
            f"{result.others:.0f}",
        )
    return table


def _roles(rows: Sequence[Row]) -> Table:
    table = _table("The hub's processes, CPU in % of one core")
    for name in _ROLES:
        table.add_column(name, justify="right")
    for row, name, result in _all(table, rows):
        if name in row.hubs:
            table.add_row(row.load.name, name, *(f"{by_role(result)[role]:.1f}" for role in _ROLES))
    return table


def _varied(rows: Sequence[Row]) -> Table:
    table = _table("The other hubs as a multiple of the first")
    names = ["cpu", *(f"p{percent:g}" for percent in _PERCENTILES)]
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        for hub, found in variants(row).items():
            table.add_row(row.load.name, hub, *(f"{found[name]:.3g}" for name in names))
    return table


def _compared(rows: Sequence[Row]) -> Table:
    table = _table("The hub as a multiple of the others: CPU for a frame, and p99")
    names = list(dict.fromkeys(peer for row in rows for peer in _peers(row)))
    for peer in names:
        table.add_column(f"CPU / {peer}", justify="right")
        table.add_column(f"p99 / {peer}", justify="right")
    for row in rows:
        for hub in row.hubs:
            found = {peer: (f"{cpu:.3g}", f"{p99:.3g}") for peer, cpu, p99 in ratios(row, hub)}
            cells = [cell for peer in names for cell in found.get(peer, ("", ""))]
            table.add_row(row.load.name, hub, *cells)
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("load", no_wrap=True)
    table.add_column("who", no_wrap=True)
    return table


def _all(table: Table, rows: Sequence[Row]) -> Iterator[tuple[Row, str, Result]]:
    """Every result, with a line between loads."""
    for row in rows:
        for name, result in row.results.items():
            yield row, name, result
        table.add_section()


def _peers(row: Row) -> list[str]:
    return [name for name in row.rounds if name not in row.hubs]


def _latency(latency: Histogram) -> dict[str, float]:
    return {
        **{f"p{p:g}": latency.percentile_ns(p) / 1e6 for p in _PERCENTILES},
        "max": latency.max_ns / 1e6,
        "samples": latency.count,
    }


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.3g}" if duration_ns < 10**8 else f"{duration_ns / 1e6:,.0f}"
