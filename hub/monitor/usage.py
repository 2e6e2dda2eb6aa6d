"""What each process has cost between two snapshots of the monitor. Pure.

1. A process that is missing from the first snapshot, or was another one (its pid differs), counts
   from zero, over the time it has lived if that is known to be longer than the interval.
2. Ticks pass through several processes: into the hub come those the router reads, out of it
   those the shards deliver. So the total of messages is not the sum of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Figures = Mapping[str, Any]
_LEAST_S = 0.001
"""Over less time than this nothing is said: all rates are zero."""
_ORDER = ("supervisor", "router", "feed", "shard", "uplink", "monitor")


class Row(NamedTuple):
    """One process, or the total. Rates are per second; what does not apply is None.

    `cpu_percent` 100 is one core; `share_percent` is the part of all the hub's processes.
    """

    process: str
    pid: int | None
    cpu_percent: float
    share_percent: float
    rss_bytes: int
    threads: int
    switches_voluntary_s: float
    switches_involuntary_s: float
    in_s: float | None
    out_s: float | None
    lag_ms: float | None
    clients: int | None
    symbols: int | None


def report(before: Figures, after: Figures) -> list[Row]:
    """The rows for all processes of the second snapshot, in the order of the tick's way."""
    interval_s = after["at_s"] - before["at_s"]
    rows = [
        _row(name, before["processes"].get(name), figures, interval_s)
        for name, figures in after["processes"].items()
    ]
    cpu = sum(row.cpu_percent for row in rows)
    rows.sort(key=lambda row: rank(row.process))
    return [row._replace(share_percent=_part(row.cpu_percent, cpu)) for row in rows]


def total(rows: Iterable[Row]) -> Row:
    """All rows as one; `lag_ms` is the longest, `in_s` and `out_s` as rule 2 says."""
    rows = list(rows)
    shards = [row for row in rows if role(row.process) == "shard"]
    return Row(
        "total",
        None,
        sum(row.cpu_percent for row in rows),
        sum(row.share_percent for row in rows),
        sum(row.rss_bytes for row in rows),
        sum(row.threads for row in rows),
        sum(row.switches_voluntary_s for row in rows),
        sum(row.switches_involuntary_s for row in rows),
        sum(row.in_s or 0.0 for row in rows if row.process == "router"),
        sum(row.out_s or 0.0 for row in shards),
        max((row.lag_ms for row in rows if row.lag_ms is not None), default=None),
        sum(row.clients or 0 for row in shards),
        None,
    )


def busiest(rows: Iterable[Row]) -> Row | None:
    """The row with the most CPU, None without rows."""
    return max(rows, key=lambda row: row.cpu_percent, default=None)


def role(process: str) -> str:
    """The role of a process by its name: `shard-2` is a shard."""
    return process.partition("-")[0]


def rank(process: str) -> tuple[int, int, str]:
    """For sorting: by role, then by number."""
    tail = process.partition("-")[2]
    order = _ORDER.index(role(process)) if role(process) in _ORDER else len(_ORDER)
    return order, int(tail) if tail.isdecimal() else 0, process


def per_second(counter: str, before: Figures | None, after: Figures, interval_s: float) -> float:
    """How fast a counter of a process has grown, by rule 1."""
    same = before is not None and before.get("pid") == after.get("pid")
    start: Figures = before if same and before else {}
    span_s = interval_s if same else max(interval_s, after.get("age_s") or 0.0)
    grown = (after.get(counter) or 0) - (start.get(counter) or 0)
    return max(0.0, grown / span_s) if span_s >= _LEAST_S else 0.0


def _row(name: str, before: Figures | None, after: Figures, interval_s: float) -> Row:

    def rate(counter: str) -> float:
        return per_second(counter, before, after, interval_s)

    return Row(
        name,
        after.get("pid"),
        100 * rate("cpu_s"),
        0.0,
        after.get("rss") or 0,
        after.get("threads") or 0,
        rate("switches_voluntary"),
        rate("switches_involuntary"),
        rate("in") if "in" in after else None,
        rate("out") if "out" in after else None,
        after.get("lag_ms"),
        after.get("clients"),
        after.get("symbols"),
    )


def _part(value: float, whole: float) -> float:
    return 100 * value / whole if whole > 0 else 0.0
