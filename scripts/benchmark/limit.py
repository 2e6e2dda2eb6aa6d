"""The highest rate a server sustains: by doubling, then by halving the gap. Pure but for `Try`.

1. A rate holds when nothing is lost and 99 % of the ticks come within `P99_MS`.
2. A rate that does not hold is tried once more, and again when something else kept the machine
   busy: one hiccup of the machine is no limit.
3. Where the benchmark itself was the limit the search ends: what held before is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result

P99_MS = 5.0
_FIRST = 5000
_LEAST = 100
_MOST = 1_000_000
_CLOSE = 1.07
_TRIES = 3

Try = Callable[[int], Result]
"""Runs a load of so many ticks per second."""


class Limit(NamedTuple):
    """What a search has found; rates in ticks per second, 0 where there is none."""

    holds: int  # the highest rate that held
    fails: int  # the lowest that did not
    why: str  # what happened there
    bounded: str  # why the search ended early; empty when it did not
    best: Result | None  # of the highest rate that held
    noisy: bool = False  # whether something else was busy when the lowest did not hold


def find(attempt: Try, first: int = _FIRST) -> Limit:
    """Search, beginning at this rate."""
    found = Limit(0, 0, "", "", None)
    rate = first
    while not found.bounded and _LEAST <= rate <= _MOST and not _close(found):
        found = _step(found, rate, attempt)
        rate = _next(found)
    return found


def sentence(load: Load, found: Limit) -> str:
    """What to expect of this machine, in plain words; `load` is any that was tried."""
    who = f"{load.clients} clients of {load.symbols:,} symbols each"
    if not found.holds:
        what = found.bounded or f"not even {_LEAST} ticks/s came within {P99_MS:g} ms"
        return f"With {who}: {what}; this machine was too busy to say."
    at_least = "at least" if found.bounded or not found.fails else "about"
    own = sum(found.best.readers.values()) if found.best else 0.0
    above = f"; at {found.fails:,} {found.why}" if found.fails else ""
    if found.noisy:
        above += ", but something else kept the machine busy then: it may be able to do more"
    if found.bounded:
        above = f"; above that the benchmark itself could not follow: {found.bounded}"
    return (
        f"With {who}, expect this machine to sustain {at_least} {found.holds:,} ticks/s "
        f"({found.holds * load.clients:,} frames/s) with nothing lost and 99 % of the ticks within "
        f"{P99_MS:g} ms of their publication, while a publisher and clients on it take "
        f"{own:.0f} % of a core{above}."
    )


def as_json(found: Limit) -> dict[str, Any]:
    """The same in figures."""
    return {
        "ticks_per_s": found.holds,
        "fails_at": found.fails or None,
        "why": found.why,
        "bounded_by": found.bounded,
        "noisy": found.noisy,
        "p99_ms": found.best.latency.percentile_ns(99) / 1e6 if found.best else None,
        "cpu_total": round(found.best.server.total, 1) if found.best else None,
    }


def failure(result: Result) -> str:
    """What was wrong with a run; empty when it holds."""
    if result.ratio < 1:
        return f"{1 - result.ratio:.2%} of the ticks were lost"
    p99_ms = result.latency.percentile_ns(99) / 1e6
    return f"the slowest 1 % took more than {p99_ms:.1f} ms" if p99_ms >= P99_MS else ""


def _step(found: Limit, rate: int, attempt: Try) -> Limit:
    for tried in range(1, _TRIES + 1):
        result = attempt(rate)
        wrong = result.notes or failure(result)
        if not wrong or (tried > 1 and result.counts != "noisy"):
            break
    if result.notes:
        return found._replace(bounded=result.notes[0])
    why = failure(result)
    if why:
        return found._replace(fails=rate, why=why, noisy=result.counts == "noisy")
    return found._replace(holds=rate, best=result)


def _next(found: Limit) -> int:
    if not found.fails:
        return found.holds * 2
    if not found.holds:
        return found.fails // 2
    return _rounded((found.holds + found.fails) // 2)


def _close(found: Limit) -> bool:
    both = found.holds and found.fails
    return bool(both) and (found.fails <= found.holds * _CLOSE or found.fails - found.holds < 200)


def _rounded(rate: int) -> int:
    return round(rate, -2)
