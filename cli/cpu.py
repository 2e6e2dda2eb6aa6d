"""`hub cpu`: what each process costs, from the monitor's psutil figures."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli import advice, render
from cli.monitor import ask_monitor
from cli.options import config_option, json_option, lines, openalgo_option, runtime_option
from cli.place import hub_dir
from cli.render import Cell, Column
from cli.terminal import console, show, waiting
from hub.monitor import usage
from hub.monitor.usage import Row

_TOO_BUSY = 3
_COUNTED_S = 2.5
_REST_COLUMNS = 84
_COLUMNS = (
    Column("process", whole=True),
    Column("pid", right=True, whole=True),
    Column("cpu %", right=True),
    Column("", spare=True),
    Column("share", right=True),
    Column("memory", right=True),
    Column("thr", right=True),
    Column("switches/s", right=True),
    Column("in/s", right=True),
    Column("out/s", right=True),
    Column("lag", right=True),
)


@click.command(
    epilog=lines(
        "Examples:",
        "hub cpu                          one report, over the last second",
        "hub cpu --watch --interval 5     a live table",
        "hub cpu --count 60 --max-cpu 80  for a script: exit code 3 if a process exceeds 80 %",
    )
    + lines(
        "Columns:",
        "thr         threads",
        "cpu %       100 is one core",
        "switches/s  context switches, voluntary + involuntary",
        "in/s, out/s messages; their totals are ticks into the router and out of the shards",
        "lag         longest time the loop kept a timer waiting",
    )
    + lines(
        "JSON, one object per sample:",
        '{"at_s": .., "interval_s": .., "processes": [..], "total": {..}}, each process with',
        "process, pid, cpu_percent, share_percent, rss_bytes, threads, switches_voluntary_s,",
        "switches_involuntary_s, in_s, out_s, lag_ms, clients, symbols (null: does not apply).",
    )
)
@click.option(
    "--interval",
    type=click.FloatRange(1, 600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds each sample looks back, and between samples.",
)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Samples.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--max-cpu",
    type=click.FloatRange(0),
    metavar="PCT",
    help="End with exit code 3 if a single process exceeds this in any sample.",
)
@json_option
@config_option
@openalgo_option
@runtime_option
def cpu(
    *,
    interval: float,
    count: int,
    watch: bool,
    max_cpu: float | None,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Show what each process of the hub costs: CPU, memory, context switches.

    The monitor measures once a second all the time, so the first report needs no waiting.
    """
    directory = hub_dir(runtime_dir, config_file, openalgo)
    samples = _samples(directory, interval, None if watch else count)
    peaks: dict[str, float] = {}
    live = watch and not as_json and sys.stdout.isatty()
    try:
        for sample in _kept(samples, peaks):
            if as_json:
                click.echo(sample.json())
            elif live:
                _watch(sample, _kept(samples, peaks), directory)
            else:
                show(picture(sample, console().width, _advised(sample, directory)))
    except KeyboardInterrupt:
        if not watch:
            raise
    _judge(peaks, max_cpu)


class Sample:
    """The rows over one interval that ended at `at_s` seconds of the machine's own clock."""

    def __init__(self, at_s: float, interval_s: float, rows: Sequence[Row]) -> None:
        self.at_s = at_s
        self.interval_s = interval_s
        self.rows = rows
        self.total = usage.total(rows)

    def json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "at_s": self.at_s,
                "interval_s": round(self.interval_s, 3),
                "processes": [_rounded(row) for row in self.rows],
                "total": _rounded(self.total),
            }
        )


def picture(sample: Sample, width: int, advised: Sequence[str] = ()) -> RenderableType:
    """A sample as a table, and what is advised; a full bar is one core, or the busiest process if
    that is more."""
    length = min(24, max(0, width - _REST_COLUMNS))
    full = max(100.0, *(row.cpu_percent for row in sample.rows), 0.0)
    return Group(
        Text(),
        render.table(
            _COLUMNS,
            [_cells(row, render.bar(row.cpu_percent, full, length)) for row in sample.rows],
            _cells(sample.total, Text()),
        ),
        Text(f"over {sample.interval_s:.1f} s; 100 % is one core", style="dim"),
        *(Text(f"→ {sentence}", style="yellow") for sentence in advised),
    )


def _advised(sample: Sample, runtime_dir: Path) -> list[str]:
    """What the figures mean. Which clients make a shard busy is counted only while somebody asks,
    so that takes a moment, and is worth it only then."""
    busiest: dict[str, Any] = {}
    if advice.uneven(sample.rows):
        with waiting("looking which clients make it so ..."):
            for pause_s in (_COUNTED_S, 0.0):
                board = ask_monitor(runtime_dir, {"t": "board"})["board"]
                busiest = {row["name"]: row["busiest"] for row in board["processes"]}
                if any(few["clients"] for few in busiest.values()):
                    break
                time.sleep(pause_s)
    return advice.advice(sample.rows, busiest, os.cpu_count() or 1)


def _samples(runtime_dir: Path, interval_s: float, count: int | None) -> Iterator[Sample]:
    """As many samples as asked for, without end if None; waits between them."""
    taken = 0
    while count is None or taken < count:
        if taken:
            time.sleep(interval_s)
        answer = ask_monitor(runtime_dir, {"t": "usage", "over_s": interval_s})
        before, after = answer["before"], answer["after"]
        yield Sample(after["at_s"], after["at_s"] - before["at_s"], usage.report(before, after))
        taken += 1


def _kept(samples: Iterator[Sample], peaks: dict[str, float]) -> Iterator[Sample]:
    """The samples as they are, each process's highest CPU kept on the way."""
    for sample in samples:
        for row in sample.rows:
            peaks[row.process] = max(row.cpu_percent, peaks.get(row.process, 0.0))
        yield sample


def _watch(first: Sample, rest: Iterator[Sample], directory: Path) -> None:
    screen = console()
    with Live(picture(first, screen.width), console=screen, auto_refresh=False) as live:
        for sample in rest:
            live.update(picture(sample, screen.width, _advised(sample, directory)), refresh=True)


def _judge(peaks: dict[str, float], max_cpu: float | None) -> None:
    if max_cpu is None:
        return
    over = {name: peak for name, peak in peaks.items() if peak > max_cpu}
    for name, peak in sorted(over.items(), key=lambda item: -item[1]):
        click.echo(f"{name} used {peak:.1f} % CPU, more than {max_cpu:g} %", err=True)
    if over:
        raise click.exceptions.Exit(_TOO_BUSY)


def _cells(row: Row, bar: Text) -> Sequence[Cell]:
    switches = f"{row.switches_voluntary_s:,.0f} + {row.switches_involuntary_s:,.0f}"
    return (
        row.process,
        "" if row.pid is None else str(row.pid),
        f"{row.cpu_percent:.1f}",
        bar,
        f"{row.share_percent:.0f} %",
        render.size(row.rss_bytes),
        str(row.threads),
        switches,
        render.rate(row.in_s),
        render.rate(row.out_s),
        render.millis(row.lag_ms),
    )


def _rounded(row: Row) -> dict[str, object]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in row._asdict().items()
    }
