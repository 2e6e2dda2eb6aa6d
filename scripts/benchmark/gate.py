"""Instructions compared with those on record. Pure.

1. What is judged is instructions per burst of ticks: more than `MOST` above the record fails.
2. A record holds for one build of Python on one kind of machine; on another one the figures are
   shown and not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from scripts.benchmark.callgrind import Profile

MOST = 0.10
_SMALLEST = 0.003
_GROWN = 12


class Figure(msgspec.Struct, frozen=True):
    """One scenario: instructions per burst, in all and of the functions that cost most."""

    burst: int
    functions: dict[str, int] = {}


class Record(msgspec.Struct, frozen=True):
    """The figures on record, and the Python and machine they hold for."""

    holds_for: str = ""
    figures: dict[str, Figure] = {}


class Share(NamedTuple):
    """What a burst of a scenario is: so many ticks, each delivered so often."""

    ticks: int
    deliveries: int


def figure(profile: Profile, bursts: int) -> Figure:
    """A profile of so many bursts as what is recorded; small functions are left out."""
    least = profile.total * _SMALLEST
    functions = {n: round(cost / bursts) for n, cost in profile.own.most_common() if cost >= least}
    return Figure(round(profile.total / bursts), functions)


def change(now: Figure, before: Figure) -> float:
    """The difference as a part of what it was."""
    return (now.burst - before.burst) / before.burst


def failed(now: Mapping[str, Figure], record: Record) -> list[str]:
    """The scenarios that have become too dear."""
    both = [name for name in now if name in record.figures]
    return [name for name in both if change(now[name], record.figures[name]) > MOST]


def table(now: Mapping[str, Figure], record: Record, shares: Mapping[str, Share]) -> list[str]:
    """A line for each scenario: instructions per tick and per delivery, and what they were."""
    lines = [f"{'instructions':<20}{'per tick':>10}{'per delivery':>14}{'recorded':>10}{'':>9}"]
    for name, found in now.items():
        ticks, deliveries = shares[name]
        line = f"{name:<20}{found.burst / ticks:>10,.0f}{found.burst / deliveries:>14,.0f}"
        if before := record.figures.get(name):
            line += f"{before.burst / ticks:>10,.0f}{change(found, before):>+9.1%}"
        lines.append(line)
    return lines


def grown(now: Figure, before: Figure) -> list[str]:
    """The functions that cost most more than before: `+1,200 (was 3,400) PyDict_New`."""
    names = now.functions.keys() | before.functions.keys()
    more = {n: now.functions.get(n, 0) - before.functions.get(n, 0) for n in names}
    worst = sorted(more, key=lambda name: (-more[name], name))[:_GROWN]
    return [
        f"{more[name]:>+10,} (was {before.functions.get(name, 0):,}) {name}"
        for name in worst
        if more[name] > 0
    ]


def top(profile: Profile, bursts: int, most: int) -> list[str]:
    """The functions that cost most: per burst itself, with what it calls, and calls."""
    lines = [f"{'own':>10}{'inclusive':>11}{'calls':>9}  per burst"]
    for name, cost in profile.own.most_common(most):
        inclusive, calls = profile.inclusive[name] / bursts, profile.calls[name] / bursts
        lines.append(f"{cost / bursts:>10,.0f}{inclusive:>11,.0f}{calls:>9,.2f}  {name}")
    return lines


def called(counts: Mapping[str, int], bursts: int, most: int) -> list[str]:
    """The functions that are called most: per burst, without those that are not called in each."""
    often: Sequence[tuple[str, int]] = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [f"{n / bursts:>10,.2f}  {name}" for name, n in often[:most] if n >= bursts / 2]
