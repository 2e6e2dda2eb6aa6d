"""The outcome of a run of faults as text for a terminal and as values for JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from scripts.faults.account import Broken
from scripts.faults.outcome import Done, Outcome

_MOST = 60


def line(done: Done) -> str:
    """A fault and its outcome on one line."""
    figures = ", ".join(f"{what} {value:.2f}" for what, value in done.figures.items())
    parts = [*done.notes, figures, done.problem]
    return f"{done.at_s:7.1f} s  {done.fault!s:<28} {'; '.join(filter(None, parts))}"


def recoveries(done: Iterable[Done]) -> dict[tuple[str, str], list[float]]:
    """All times taken, by fault (its kind and role) and what was timed."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in done:
        kind = f"{one.fault.kind} {one.fault.target.partition('-')[0].split()[0]}"
        if one.fault.target.startswith("feed-"):
            kind = f"{one.fault.kind} {one.fault.target}"
        for what, value in one.figures.items():
            found.setdefault((kind, what), []).append(value)
    return dict(sorted(found.items()))


def lines(machine: str, outcome: Outcome) -> Iterator[str]:
    """What a person reads."""
    yield ""
    yield machine
    yield ""
    numbers = f"{'n':>3} {'min':>8} {'median':>8} {'max':>8}"
    yield f"{'fault':<18} {'what, in seconds unless said':<40} {numbers}"
    for (kind, what), values in recoveries(outcome.done).items():
        low, mid, high = min(values), statistics.median(values), max(values)
        yield f"{kind:<18} {what:<40} {len(values):>3} {low:>8.2f} {mid:>8.2f} {high:>8.2f}"
    for what, value in outcome.last.items():
        yield f"{'the end':<18} {what:<40} {1:>3} {'':>8} {value:>8.2f} {'':>8}"
    yield ""
    yield f"{'process':<18} {'restarts':>8} {'MiB at start':>13} {'at most':>8} {'at the end':>11}"
    for who, (first, peak, last) in outcome.memory.items():
        sizes = f"{first / 2**20:>13.0f} {peak / 2**20:>8.0f} {last / 2**20:>11.0f}"
        yield f"{who:<18} {outcome.restarts.get(who, 0):>8} {sizes}"
    yield ""
    yield (
        f"{outcome.published:,} ticks published, {outcome.received:,} received by all clients, "
        f"{outcome.skipped:,} spared those that were behind; {outcome.disconnected} connections "
        f"ended; p99 {outcome.p99_ms:.1f} ms before the first fault"
    )
    for kind, count in outcome.excused.items():
        yield f"Missed while a fault stood on the way, as documented: {count:,} ticks, {kind}"
    if outcome.before_reply:
        yield (
            f"Passed over, between others that came: {outcome.before_reply} order updates "
            "published before the reply to the subscribe"
        )
    for what, count in outcome.retries.items():
        yield f"Asked again {count} times after {what}"
    if outcome.held_up_s > 0.5:
        yield f"The harness itself was held up for {outcome.held_up_s:.1f} s at most."
    yield from verdict(outcome)


def verdict(outcome: Outcome) -> Iterator[str]:
    """Which promises were broken, and how to see it again."""
    seed = outcome.order.seed
    if not outcome.broken:
        yield f"All promises were kept through {len(outcome.done)} faults. Seed {seed}."
        return
    yield f"{len(outcome.broken)} times a promise was broken:"
    alike: dict[tuple[str, str, str], list[Broken]] = {}
    for one in outcome.broken:
        alike.setdefault((one.promise, one.who, one.nearby.partition(" after ")[2]), []).append(one)
    for some in list(alike.values())[:_MOST]:
        first, more = some[0], f"; and {len(some) - 1} like it" if len(some) > 1 else ""
        near = f" ({first.nearby})" if first.nearby else ""
        yield f"  {first.promise}: {first.who}: {first.what}{near}{more}"
    if len(alike) > _MOST:
        yield f"  and {len(alike) - _MOST} more clients"
    minutes = outcome.order.seconds / 60
    yield f"To repeat the same faults: scripts/chaos --minutes {minutes:g} --seed {seed}"


def as_json(machine: str, outcome: Outcome) -> dict[str, Any]:
    """Everything in figures."""
    return {
        "machine": machine,
        "order": outcome.order._asdict(),
        "faults": [
            {"at_s": round(one.at_s, 3), "fault": str(one.fault), **one.figures}
            | ({"problem": one.problem} if one.problem else {})
            for one in outcome.done
        ],
        "recovery": [
            {
                "fault": kind,
                "what": what,
                "count": len(values),
                "min": min(values),
                "median": statistics.median(values),
                "max": max(values),
            }
            for (kind, what), values in recoveries(outcome.done).items()
        ],
        "end": outcome.last,
        "memory_bytes": outcome.memory,
        "restarts": outcome.restarts,
        "published": outcome.published,
        "received": outcome.received,
        "skipped": outcome.skipped,
        "excused": outcome.excused,
        "before_reply": outcome.before_reply,
        "asked_again": outcome.retries,
        "p99_ms": outcome.p99_ms,
        "broken": [one._asdict() for one in outcome.broken],
    }
