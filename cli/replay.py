"""`hub replay`: plays a recording on the bus of the hub that runs here, or with one of its own."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli import login, render
from cli.options import config_option, find_file, lines, load_settings, runtime_option, whole
from cli.place import hub_dir
from cli.start import run_hub, shown_level
from cli.terminal import console, waiting
from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.feeds import catalogue
from hub.feeds import replay as feed
from hub.recording import read
from hub.recording.player import Player
from hub.recording.read import Summary
from hub.recording.rows import Row
from hub.runtime.publisher import Publisher

_CONNECT_S = 5.0


@click.command(
    epilog=lines(
        "Examples:",
        "hub replay today.jsonl.zst",
        "hub replay today.jsonl.zst --speed 10 --loop",
        "hub replay today.parquet --from 09:15 --no-gaps",
    )
    + lines(
        "A hub that always plays one:",
        "HUB_REPLAY_FILE=today.jsonl.zst hub start --feed replay",
        "hub keys add strategy --broker replay",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(0.01, 10_000),
    metavar="N",
    help="So many times as fast.  [default: 1]",
)
@click.option("--loop", is_flag=True, help="Begin anew at the end.")
@click.option("--from", "begin", metavar="TIME", help="Begin at 09:15 of its first day.")
@click.option("--no-gaps", is_flag=True, help="Let no pause take more than a second.")
@click.option("--shards", type=int, metavar="N", help="Shards of a hub of its own.")
@click.option("--host", metavar="H", help="Address of a hub of its own.")
@click.option("--port", type=int, metavar="P", help="Port of a hub of its own; 0 picks one.")
@click.option("--bus-port", type=int, metavar="P", help="Port of its bus; 0 picks one.")
@click.option("--page/--no-page", default=None, help="Serve its page.  [default: yes]")
@click.option("--page-port", type=int, metavar="P", help="Port of its page; 0 picks one.")
@config_option
@runtime_option
def replay(
    *, file: Path, begin: str | None, loop: bool, no_gaps: bool, speed: float | None, **given: Any
) -> None:
    """Play a recording of `hub record` as it came, or faster: prices, times and all.

    When a hub runs here it is published on its bus, and clients get it that subscribe as ever. When
    none runs one is started for it, with a throw-away API key, as `hub start --demo` does; it
    begins with the first subscribe.
    """
    config_file = given.pop("config_file") or find_file()
    settings = load_settings(
        config_file,
        _flags(given)
        | {
            "replay.file": whole(file),
            "replay.speed": speed,
            "replay.loop": loop or None,
            "replay.begin": begin,
            "replay.gaps": False if no_gaps else None,
        },
    )
    if problems := feed.problems(settings):
        raise ConfigError(problems)
    with waiting(f"reading {file}"):
        summary = read.scan(file)
    click.echo(told(file, summary, settings), err=True)
    bus = login.find(hub_dir(given["runtime_dir"], config_file), "bus")
    if bus:
        player, zone = Player(file, feed.pace(settings)), ZoneInfo(settings.market.timezone)
        asyncio.run(_publish(player, None if begin else summary.ticks, bus, zone))
        return
    catalogue.check(settings)
    options = f" --config {shlex.quote(str(config_file))}" if config_file else ""
    least = shown_level(config_file, None)
    symbols = _symbols(file)
    sys.exit(run_hub(settings, demo=True, config_options=options, least=least, symbols=symbols))


def told(file: Path, summary: Summary, settings: Settings) -> str:
    """What is in a recording, in a line."""
    zone = ZoneInfo(settings.market.timezone)
    first, last = (
        datetime.fromtimestamp(ns / 1e9, zone) for ns in (summary.first_ns, summary.last_ns)
    )
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    line = (
        f"{file.name}: {summary.ticks:,} ticks of {_counted(summary.names)}, "
        f"{first:%Y-%m-%d %H:%M:%S} to {until}; at {settings.replay.speed:g} times the speed"
    )
    if not settings.replay.gaps or settings.replay.begin:
        return line  # how much is left out is known when it has been played
    takes = render.duration((summary.last_ns - summary.first_ns) / 1e9 / settings.replay.speed)
    return f"{line} it takes {takes}"


async def _publish(player: Player, ticks: int | None, bus: str, zone: ZoneInfo) -> None:
    """Play on a bus; `ticks` is how many there are, if that is known. Raises NoAnswer,
    Malformed."""
    publisher = Publisher(bus)
    screen = console(err=True)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.completed:,.0f} ticks"), TimeRemainingColumn(), console=screen,
        disable=not screen.is_terminal,
    )  # fmt: skip
    bar = progress.add_task("", total=ticks)

    async def publish(rows: Sequence[Row]) -> None:
        pairs: list[bytes] = []
        for row in rows:
            pairs += (row.topic.encode(), bytes(row.data))
        await publisher.publish(pairs)
        played = player.played + len(rows)
        progress.update(bar, completed=played, description=_clock(rows[-1], zone))

    try:
        await publisher.connected(_CONNECT_S)
        click.echo(f"playing on {bus}; Ctrl-C ends it", err=True)
        with progress:
            await player.play(publish)
    finally:
        publisher.close()
    click.echo("the recording is over", err=True)


def _counted(symbols: int) -> str:
    return f"{symbols:,} symbol{'s' * (symbols != 1)}"


def _clock(row: Row, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(row.time_ns / 1e9, zone):%H:%M:%S}"


def _symbols(file: Path) -> list[tuple[str, str]]:
    """The first two symbols of a recording, as far as it names them."""
    chunk = next(read.chunks(file), [])
    return list(dict.fromkeys((row.exchange, row.symbol) for row in chunk if row.symbol))[:2]


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a hub of its own. It rewinds at once: who tries again, begins again."""
    return {
        "hub.feeds": [feed.NAME],
        "hub.shards": given["shards"],
        "hub.runtime_dir": whole(given["runtime_dir"]),
        "websocket.host": given["host"],
        "websocket.port": given["port"],
        "bus.port": given["bus_port"],
        "page.enabled": given["page"],
        "page.port": given["page_port"],
        "upstream.linger_s": 0,
    }
