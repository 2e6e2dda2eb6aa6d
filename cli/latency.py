"""`hub latency`: where the time of a tick goes, hop by hop."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from cli.monitor import ask_monitor, listening
from cli.options import (
    config_option,
    json_option,
    lines,
    openalgo_option,
    runtime_option,
    seconds,
)
from cli.place import hub_dir
from cli.render import Cell, Column
from cli.terminal import console, show
from hub.client import wishes
from hub.core.errors import HubError, NotRunning
from hub.core.histogram import Histogram
from hub.core.journey import HOPS
from hub.core.model import Instrument
from hub.runtime.control import Visitor

_AGAIN_S = 5.0
_BAR = 24
_COLUMNS = (
    Column("hop", whole=True),
    Column("p50", right=True),
    Column("p99", right=True),
    Column("p99.9", right=True),
    Column("ticks", right=True),
    Column("", spare=True),
    Column("what takes this time", wide=True),
)
_WHAT = {
    "source": "from the time that stands in the tick until the router read it",
    "routed": "in the router",
    "taken": "on the way to the shard, until it was read there",
    "framed": "making the frames that clients are sent",
    "written": "writing them to all who take them",
    "total": "from the router's reading to the last client's socket",
}


@click.command(
    epilog=lines(
        "Examples:",
        "hub latency                          all ticks of the last 10 s, merged",
        "hub latency --shards                 the same for each shard",
        "hub latency --symbol NSE:RELIANCE    each tick of this symbol, as it comes",
        "hub latency --json | jq '.latency.total.p99_us'",
    )
    + lines(
        "Good to know:",
        "About 20 ticks a second are timed (flow.sample_ms); with --symbol up to 100 of it.",
        "The time before the router reads, flow.window_ms at most, is not in `total`.",
        "`source` is there when publishers put their time in ms into `timestamp`, as most do;",
        "it is the publisher's clock against this machine's.",
        "Percentiles are upper bounds of buckets that are 19 % wide.",
    )
)
@click.option("--symbol", metavar="SYMBOL", help="Follow the ticks of this EXCHANGE:SYMBOL.")
@click.option(
    "--for",
    "for_s",
    callback=seconds,
    metavar="TIME",
    help="Follow it for 90s, 10m, 1h30m.  [default: until Ctrl-C; 10s without a terminal]",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many ticks of it.")
@click.option("--shards", "by_shard", is_flag=True, help="Show each shard, too.")
@json_option
@config_option
@openalgo_option
@runtime_option
def latency(
    *,
    symbol: str | None,
    for_s: float | None,
    count: int | None,
    by_shard: bool,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Show how long ticks take through the hub, hop by hop.

    Router and shards note of some ticks when they were where. All times are of this machine's
    monotonic clock; nothing is asked of clients.
    """
    directory = hub_dir(runtime_dir, config_file, openalgo)
    if symbol is None:
        if for_s is not None or count is not None:
            raise click.UsageError("--for and --count belong to --symbol.")
        _summary(directory, by_shard=by_shard, as_json=as_json)
        return
    instrument = _instrument(symbol)
    if for_s is None and count is None and not sys.stdout.isatty():
        for_s = 10.0
    trace = Trace(instrument, count, as_json=as_json)
    try:
        asyncio.run(trace.run(directory, for_s))
    except KeyboardInterrupt:
        click.echo(err=True)
    trace.end()


def _instrument(symbol: str) -> Instrument:
    try:
        (found,) = wishes.instruments([symbol])
    except ValueError:
        raise click.BadParameter(
            "name one EXCHANGE:SYMBOL, such as NSE:RELIANCE", param_hint="--symbol"
        ) from None
    return found


# All ticks.


def _summary(directory: Path, *, by_shard: bool, as_json: bool) -> None:
    board = ask_monitor(directory, {"t": "board"})["board"]
    shards = {row["name"]: row["latency"] for row in board["processes"] if row["role"] == "shard"}
    if as_json:
        click.echo(json.dumps({"latency": board["latency"], "shards": shards}, indent=2))
        return
    show(picture(board["latency"], "all shards, the last 10 s"))
    if by_shard:
        for name, hops in shards.items():
            show(picture(hops, name))


def picture(hops: Mapping[str, Mapping[str, float]], title: str) -> RenderableType:
    """A table of the hops, with a bar each by its median."""
    if not hops:
        return Group(
            Text(f"{title}: no tick was timed.", style="yellow"),
            Text("None came that a client subscribes to, or flow.sample_ms is 0.", style="dim"),
        )
    full = max((found["p50_us"] for hop, found in hops.items() if hop != "source"), default=0.0)
    return Group(
        Text(title, style="bold"),
        render.table(_COLUMNS, [_row(hop, hops[hop], full) for hop in HOPS if hop in hops]),
    )


def _row(hop: str, found: Mapping[str, float], full: float) -> Sequence[Cell]:
    bar = Text() if hop == "source" else render.bar(found["p50_us"], full, _BAR)
    bar.style = "cyan"
    return (
        Text(hop, style="bold" if hop == "total" else ""),
        render.micros(found["p50_us"]),
        render.micros(found["p99_us"]),
        render.micros(found["p999_us"]),
        render.figure(found["count"]),
        bar,
        Text(_WHAT[hop], style="dim"),
    )


# One symbol.


class Trace:
    """Prints the ticks of one symbol as they come, and a table of them at the end."""

    def __init__(self, instrument: Instrument, count: int | None, *, as_json: bool) -> None:
        self._instrument = instrument
        self._left = count
        self._as_json = as_json
        self._hops = {hop: Histogram() for hop in HOPS}
        self._legs = 0
        self._screen = console()
        self._epoch_s = time.time() - time.monotonic()

    def __repr__(self) -> str:
        return f"<Trace of {self._name}, {self._hops['total'].count} ticks>"

    @property
    def _name(self) -> str:
        return f"{self._instrument.exchange}:{self._instrument.symbol}"

    async def run(self, directory: Path, for_s: float | None) -> None:
        """Follow it for so long, or until as many ticks have come as asked for. Raises
        NotRunning."""
        if not listening(directory):
            raise NotRunning(f"no hub runs at {directory}; start one with `hub start`")
        ends_s = time.monotonic() + (for_s if for_s is not None else 1e9)
        with Visitor(directory) as visitor:
            self._ask(visitor)
            again_s = time.monotonic() + _AGAIN_S
            while self._left != 0 and (now_s := time.monotonic()) < ends_s:
                if now_s >= again_s:
                    self._ask(visitor)
                    again_s = now_s + _AGAIN_S
                await self._hear(visitor, min(ends_s, again_s) - now_s)

    def end(self) -> None:
        """Print what it was in all, or why there was nothing."""
        if self._as_json:
            return
        if not self._hops["total"].count:
            raise HubError(f"no tick of {self._name} was sent to anybody; {self._why()}")
        shown = {
            hop: {
                "count": histogram.count,
                "p50_us": histogram.quantile(0.5) or 0.0,
                "p99_us": histogram.quantile(0.99) or 0.0,
                "p999_us": histogram.quantile(0.999) or 0.0,
            }
            for hop, histogram in self._hops.items()
            if histogram.count
        }
        show(Text())
        show(picture(shown, self._name))

    def _why(self) -> str:
        if not self._legs:
            return f"no client subscribes to it: `hub tail {self._name}` does"
        return "clients subscribe to it, but none came: is its market open?"

    def _ask(self, visitor: Visitor) -> None:
        """Ask, anew every few seconds: a router that has died was started again meanwhile."""
        visitor.say("router", {"t": "trace", "keys": [self._instrument.key], "for_s": 2 * _AGAIN_S})

    async def _hear(self, visitor: Visitor, within_s: float) -> None:
        try:
            message = await visitor.hear(within_s)
        except TimeoutError:
            return
        if message["t"] == "tracing":
            self._legs = message["legs"]
        elif message["t"] == "traced" and self._left != 0:
            self._take(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        for hop, us in message["took_us"].items():
            self._hops[hop].add(us)
        if self._left is not None:
            self._left -= 1
        at_s = self._epoch_s + message["received_ns"] / 1e9
        mode = message["topic"].rpartition(b"_")[2].decode(errors="replace")
        if self._as_json:
            told = {"at": at_s, "symbol": self._name, "mode": mode, "shard": message["shard"]}
            click.echo(json.dumps(told | message["took_us"]))
        else:
            self._screen.print(_line(message, at_s, mode), soft_wrap=True)


def _line(message: Mapping[str, Any], at_s: float, mode: str) -> Text:
    took = message["took_us"]
    clock = time.strftime("%H:%M:%S", time.localtime(at_s)) + f".{int(at_s * 1000) % 1000:03d}"
    text = Text.assemble((clock, "dim"), f"  {mode:<5}  {message['shard']:<8}")
    text.append(f"  {render.micros(took['total'])!s:>9}", "bold")
    for part in _parts(took):
        text.append(part, "dim")
    return text


def _parts(took: Mapping[str, float]) -> Iterator[str]:
    for hop in HOPS:
        if hop in took and hop != "total":
            yield f"  {hop} {render.micros(took[hop])}"
