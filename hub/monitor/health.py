"""How a process is, and why, from its row. Pure.

`bad`: it is not there, or cannot keep up. `warn`: somebody should look. `ok`: everything else.

All heartbeats pass through the router. While it is away nobody else is heard, which says nothing of
how they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hub.core.supervision import TOLD_TO_LEAVE

OK, WARN, BAD = "ok", "warn", "bad"
_ORDER = (BAD, WARN, OK)
_COMING = frozenset({"starting", "leaving", "waiting"})
NEWS_S = 5.0
"""A crash is worth a look for so long after it is over."""

BUSY_PERCENT, FULL_PERCENT = 80.0, 95.0
LATE_MS, STUCK_MS = 50.0, 250.0
PENDING_BYTES = 4 << 20

Row = Mapping[str, Any]


class Finding(NamedTuple):
    """A level, and a sentence for people; empty when all is well."""

    level: str
    text: str = ""


def judge(row: Row, *, router: bool) -> list[Finding]:
    """What there is to say of a process, worst first. `router` is whether the router is ready."""
    found = [*_presence(row, router=router)] or [
        *_crash(row),
        *_load(row),
        *_feed(row),
        *_nats(row),
        *_clients(row),
    ]
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))


def level(findings: Iterable[Finding]) -> str:
    """The worst level of these."""
    levels = {finding.level for finding in findings}
    return next((one for one in _ORDER if one in levels), OK)


def ended(code: int | None) -> str:
    """How a process ended, by its exit code or, below zero, the signal that killed it."""
    if code is None:
        return "is not there"
    if code == TOLD_TO_LEAVE:
        return "has left"
    return f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"


def left(row: Row) -> bool:
    """Whether a process ended last because it was told to leave."""
    return row.get("last_code") == TOLD_TO_LEAVE and row["state"] != "failed"


def _presence(row: Row, *, router: bool) -> Iterable[Finding]:
    name, state = row["name"], row["state"]
    if state == "ready":
        return
    if state == "silent":
        if router or row["role"] == "router":
            yield Finding(BAD, f"{name} says nothing")
        else:
            yield Finding(WARN, f"{name} cannot be heard without the router")
    elif state in _COMING:
        yield Finding(WARN, f"{name} is {state}")
    else:
        yield Finding(WARN if left(row) else BAD, f"{name} {ended(row.get('last_code'))} ({state})")


def _crash(row: Row) -> Iterable[Finding]:
    """It is back so soon that nobody would see that it was away."""
    if row.get("deaths") and (row.get("uptime_s") or 0.0) < NEWS_S:
        yield Finding(WARN, f"{row['name']} {ended(row.get('last_code'))}, and is back")


def _load(row: Row) -> Iterable[Finding]:
    name, cpu, lag_ms = row["name"], row.get("cpu_percent") or 0.0, row.get("lag_ms") or 0.0
    if cpu >= BUSY_PERCENT:
        yield Finding(BAD if cpu >= FULL_PERCENT else WARN, f"{name} uses {cpu:.0f} % of a core")
    if lag_ms >= LATE_MS:
        stuck = lag_ms >= STUCK_MS
        yield Finding(BAD if stuck else WARN, f"{name} kept a timer waiting for {lag_ms:.0f} ms")
    if row.get("dropped_s"):
        yield Finding(WARN, f"{name} drops ticks, {row['dropped_s']:,.1f} a second")


def _feed(row: Row) -> Iterable[Finding]:
    name, state = row["name"], row.get("feed_state")
    if state and state != "connected":
        yield Finding(BAD if state == "disconnected" else WARN, f"{name} is {state}")
    if row.get("problem"):
        yield Finding(WARN, f"{name}: {row['problem']}")
    if row.get("stale"):
        yield Finding(WARN, f"{name} has {row['stale']:,} stale topics")


def nats_problem(row: Row) -> str:
    """What it means that NATS is away from the uplink; a feed says so itself."""
    if row.get("role") == "uplink" and row.get("nats_connected") is False:
        return "NATS is away; other machines get nothing from here, and keep what they have"
    return ""


def _nats(row: Row) -> Iterable[Finding]:
    """The way to other machines. While NATS is away that is told, and what follows from it not."""
    name = row["name"]
    if problem := nats_problem(row):
        yield Finding(BAD, f"{name}: {problem}")
    if not row.get("nats_connected"):
        return
    if row.get("nats_dropped_s"):
        lost = f"{row['nats_dropped_s']:,.1f} messages a second"
        yield Finding(WARN, f"{name}: NATS takes too little; {lost} are not sent")
    if row.get("nats_slow_s"):
        yield Finding(WARN, f"{name} is too slow for NATS, which leaves messages out")
    if row.get("holes_s"):
        yield Finding(WARN, f"{name} misses messages of other machines, and asks for the values")
    if (row.get("nats_pending_bytes") or 0) >= PENDING_BYTES:
        waiting = row["nats_pending_bytes"] / (1 << 20)
        yield Finding(WARN, f"{name} has {waiting:,.0f} MiB waiting for NATS")


def _clients(row: Row) -> Iterable[Finding]:
    name, behind = row["name"], row.get("behind") or 0
    if behind:
        clients = "1 client is" if behind == 1 else f"{behind:,} clients are"
        yield Finding(WARN, f"{clients} behind on {name}")
