"""By which subjects ticks had best go over NATS: measured with the real server and the hub's door.

    python -m scripts.benchmark.subjects --help

One process publishes ticks of 300 bytes of 1,000 symbols, some edges want all of them, half or 20,
and have a batch for their router made of what comes. What nobody wants is not published. The ways:

    topic       one subject for each topic
    slots-N     each topic in one of N slots by its hash, a batch of each every 2 ms; an edge
                subscribes to slots that it wants something of, and looks up what
    sets        a batch for each set of edges that want the same, every 2 ms (core/subjects)
    nothing     nothing is published: what the publisher itself costs

Run it by itself: it and its processes take both cores of a small machine.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hub.core.errors import HubError
from scripts.benchmark import children, contenders, keeper, nats
from scripts.benchmark.histogram import Histogram

SYMBOLS = 1000
WAYS = ("topic", "slots-64", "slots-8", "slots-1", "sets", "nothing")
WANTS = ("all", "half", "20")
WARM_S = 0.5
_AHEAD_S = 0.3
_PATIENCE_S = 20.0
_WIDTH = 112


class Plan(msgspec.Struct, frozen=True):
    """One measurement."""

    way: str
    edges: int
    want: str
    rate: int  # of all symbols, a second
    seconds: float
    url: str = ""
    profile: bool = False


def encode(plan: Plan) -> str:
    """For a command line."""
    return msgspec.json.encode(plan).decode()


def wants(plan: Plan) -> list[frozenset[int]]:
    """The symbols that each edge wants, by number; the same whoever asks."""
    count = {"all": SYMBOLS, "half": SYMBOLS // 2}.get(plan.want) or int(plan.want)
    draw = random.Random(7)
    return [frozenset(draw.sample(range(SYMBOLS), count)) for _ in range(plan.edges)]


def audiences(plan: Plan) -> list[tuple[int, ...]]:
    """The edges that want each symbol."""
    wanted = wants(plan)
    return [
        tuple(edge for edge in range(plan.edges) if symbol in wanted[edge])
        for symbol in range(SYMBOLS)
    ]


def row(
    plan: Plan, publisher: dict[str, Any], edges: Sequence[dict[str, Any]], server_s: float
) -> dict[str, Any]:
    """What was measured, in figures for people and programs: CPU in microseconds, latency in ms."""
    latency = Histogram()
    for edge in edges:
        latency.merge(Histogram.from_json(edge["latency"]))
    came, sent = sum(edge["ticks"] for edge in edges), publisher["ticks"]
    wanted = sum(publisher["wanted"])
    edges_s = sum(edge["cpu_s"] for edge in edges)
    cpu_s = publisher["cpu_s"] + edges_s + server_s
    shares = next((edge["shares"] for edge in edges if edge.get("shares")), None)
    return {
        "way": plan.way,
        "rate": plan.rate,
        "edges": plan.edges,
        "want": plan.want,
        "publisher_us": _each(publisher["cpu_s"], sent),
        "edge_us": _each(edges_s, came),
        "server_us": _each(server_s, came),
        "cores": round(cpu_s / plan.seconds, 3),
        **{
            f"p{percent:g}_ms": round(latency.percentile_ns(percent) / 1e6, 2) if came else None
            for percent in (50, 99, 99.9)
        },
        "delivered": round(came / wanted, 5) if wanted else None,
        "in_order": all(edge["in_order"] for edge in edges),
        "sent_bytes": round(publisher["wire_bytes"] / sent) if sent else None,
        "read_bytes": round(sum(edge["wire_bytes"] for edge in edges) / came) if came else None,
        **({"shares": shares} if shares else {}),
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """For people."""
    made = Table(title="CPU in µs, latency in ms, bytes on the wire: for each tick", box=None)
    made.add_column("ticks/s, edges, want")
    made.add_column("way")
    for name in ("publ.", "edge", "server", "cores", "p50", "p99", "p99.9", "came", "out", "in"):
        made.add_column(name, justify="right")
    names = ("publisher_us", "edge_us", "server_us", "cores", "p50_ms", "p99_ms", "p99.9_ms")
    before = ""
    for one in rows:
        load = f"{one['rate']}, {one['edges']}, {one['want']}"
        came = None if one["delivered"] is None else f"{one['delivered']:.1%}"
        cells = [*map(one.get, names), came, one["sent_bytes"], one["read_bytes"]]
        if before not in {"", load}:
            made.add_row()
        made.add_row(
            "" if load == before else load,
            one["way"],
            *("-" if cell is None else str(cell) for cell in cells),
        )
        before = load
    return made


def _each(seconds: float, count: int) -> float | None:
    return round(seconds * 1e6 / count, 2) if count else None


def measure(plan: Plan) -> dict[str, Any]:
    """Run one. Raises HubError."""
    program = nats.binary()
    if program is None:
        raise HubError("nats-server is not there; scripts/bench installs it")
    with (
        tempfile.TemporaryDirectory(prefix="subjects-") as name,
        children.family(Path(name) / "log", lambda: None) as family,
    ):
        (port,) = keeper.free_ports(1)
        command = [str(program), "-a", "127.0.0.1", "-p", str(port)]
        _, pid = contenders.keep(family, keeper.Program(command, [port]))
        plan = msgspec.structs.replace(plan, url=f"nats://127.0.0.1:{port}")
        roles = [str(edge) for edge in range(plan.edges)] + ["publisher"]
        peers = [family.start("subjects_peer", encode(plan), role) for role in roles]
        for peer in peers:
            peer.wait("ready", _PATIENCE_S)
        begin_s = time.monotonic() + WARM_S + _AHEAD_S
        for peer in peers:
            peer.tell(f"begin {begin_s}")
        process = psutil.Process(pid)
        readings = []
        for at_s in (begin_s, begin_s + plan.seconds):
            time.sleep(max(0.0, at_s - time.monotonic()))
            readings.append(sum(process.cpu_times()[:2]))
        *edges, publisher = [peer.wait("done", _PATIENCE_S + plan.seconds) for peer in peers]
        return row(plan, publisher, edges, readings[1] - readings[0])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--way", "ways", multiple=True, type=click.Choice(WAYS), help="Only this; repeatable."
)
@click.option("--want", "wanted", multiple=True, type=click.Choice(WANTS), help="Only this.")
@click.option("--rate", "rates", multiple=True, type=click.IntRange(1), help="Ticks a second.")
@click.option("--edges", multiple=True, type=click.IntRange(1, 64), help="How many edges.")
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True)
@click.option("--profile", is_flag=True, help="Say where an edge's time goes, which slows it.")
@click.option("--json", "as_json", is_flag=True, help="For a program.")
def main(
    ways: Sequence[str],
    wanted: Sequence[str],
    rates: Sequence[int],
    edges: Sequence[int],
    seconds: float,
    **shown: bool,
) -> None:
    """Measure by which subjects ticks had best go over NATS: some 5 s for each row."""
    plans = [
        Plan(way, count, want, rate, seconds, profile=shown["profile"])
        for rate in rates or (5000, 20_000)
        for count in edges or (2, 3)
        for want in wanted or WANTS
        for way in ways or WAYS
    ]
    console = Console(stderr=True)
    try:
        rows = [
            measure(plan)
            for plan in track(plans, "measuring", console=console, disable=not console.is_terminal)
        ]
    except HubError as error:
        console.print(str(error), style="red")
        sys.exit(error.exit_code)
    if shown["as_json"]:
        print(json.dumps(rows, indent=1))
        return
    shown_on = Console()
    shown_on.print(table(rows), width=max(_WIDTH, shown_on.width), crop=False, no_wrap=True)
    for one in rows:
        if "shares" in one:
            told = ", ".join(f"{name} {share:.0%}" for name, share in one["shares"].items())
            print(f"{one['rate']} ticks/s, {one['want']}, {one['way']}: an edge's time is {told}")


if __name__ == "__main__":
    main()
