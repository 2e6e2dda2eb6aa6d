"""Several loads on several contenders, in turn, with a bar on stderr while they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hub.core.errors import HubError
from scripts.benchmark import limit
from scripts.benchmark import run as runs
from scripts.benchmark.contenders import Contender
from scripts.benchmark.limit import Limit
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result, Row


class Found(NamedTuple):
    """The limit of one contender, and what it means in a sentence."""

    who: str
    limit: Limit
    says: str


def run(chosen: Sequence[Load], field: Sequence[Contender], rounds: int) -> list[Row]:
    """Run the loads one after the other, each contender in turn, with a bar on stderr.

    A peer that fails is passed over with a word. Raises HubError when a hub does.
    """
    hubs = [contender.name for contender in field if contender.is_hub]
    rows = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        total = sum(runs.seconds(load) for load in chosen) * len(field) * rounds
        task = progress.add_task("", total=total)
        done = 0.0
        for load in chosen:
            found: dict[str, list[Result]] = {contender.name: [] for contender in field}
            for contender in [*field] * rounds:
                progress.update(task, description=f"{load.name} {contender.name}")
                until, started_s = done + runs.seconds(load), time.monotonic()

                def beat(done: float = done, until: float = until, at_s: float = started_s) -> None:
                    progress.update(task, completed=min(until, done + time.monotonic() - at_s))

                try:
                    found[contender.name].append(runs.measure(load, contender, beat))
                except HubError as error:
                    if contender.is_hub:
                        raise
                    console.print(f"{load.name}: without {contender.name}: {error}", markup=False)
                done = until
            ran = {name: results for name, results in found.items() if results}
            rows.append(Row(load, ran, hubs))
    return rows


def find_limits(
    load: Load, field: Sequence[Contender], tell: Callable[[str], object] | None
) -> list[Found]:
    """Search the highest rate of each, and tell of every attempt if asked to."""
    found = []
    for contender in field:

        def attempt(rate: int, contender: Contender = contender) -> Result:
            tried = msgspec.structs.replace(load, rate=rate)
            (row,) = run([tried], [contender], 1)
            (result,) = row.rounds[contender.name]
            if tell:
                tell(_told(contender.name, result))
            return result

        reached = limit.find(attempt)
        found.append(Found(contender.name, reached, limit.sentence(load, reached)))
    return found


def _told(who: str, result: Result) -> str:
    p99_ms = result.latency.percentile_ns(99) / 1e6
    wrong = "; ".join(result.notes) or limit.failure(result) or "holds"
    return (
        f"{who}: {result.load.rate:>8,} ticks/s, {result.ratio:.2%} delivered, "
        f"p99 {p99_ms:.2f} ms, CPU {result.server.total:.0f} %: {wrong}"
    )
