"""What has happened: from what the processes were a second ago and are now. Pure.

Everything is told once, when it begins and when it is over; counters that grow are told again only
after a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hub.monitor.health import BAD, OK, WARN

MOST = 200
INFO = "info"
_AGAIN_S = 30.0
_AWAY = frozenset({"backoff", "failed", "gone"})

Row = Mapping[str, Any]

_COUNTERS: dict[str, tuple[str, Callable[[int], str]]] = {
    "refused_keys": (WARN, lambda n: f"refused {n:,} API key{'s' * (n > 1)}"),
    "turned_away": (WARN, lambda n: f"turned {n:,} connection{'s' * (n > 1)} away"),
    "stalled": (WARN, lambda n: f"closed {n:,} client{'s' * (n > 1)} that took nothing"),
    "pauses": (WARN, lambda n: f"was paused {n:,} time{'s' * (n > 1)}"),
    "accepts_paused": (INFO, lambda n: f"let a crowd of clients wait ({n:,} pauses)"),
    "given_up": (BAD, lambda n: f"gave up {n:,} shard{'s' * (n > 1)} that took nothing"),
    "dropped": (WARN, lambda n: f"dropped {n:,} tick{'s' * (n > 1)}"),
    "malformed": (WARN, lambda n: f"got {n:,} malformed message{'s' * (n > 1)}"),
}


class Events:
    """The newest of them, oldest first."""

    def __init__(self) -> None:
        self._found: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._rows: dict[str, Row] = {}
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<Events {len(self._found)}>"

    def __iter__(self) -> Any:
        return iter(self._found)

    def note(self, at_s: float, level: str, who: str, text: str) -> None:
        """Something has happened. `at_s` is in seconds since the epoch."""
        self._found.append({"at": at_s, "level": level, "who": who, "text": text})

    def look(self, rows: Iterable[Row], at_s: float) -> None:
        """The processes are like this now."""
        for row in rows:
            name, before = row["name"], self._rows.get(row["name"])
            if before is not None:
                for level, text in [*_life(before, row), *_state(before, row)]:
                    self.note(at_s, level, name, text)
                self._count(before, row, at_s)
            elif row["state"] == "ready":
                self.note(at_s, INFO, name, "is here")
            self._rows[name] = row

    def _count(self, before: Row, row: Row, at_s: float) -> None:
        """What grows is told at once, and then every now and then what it grew by meanwhile."""
        name = row["name"]
        if before.get("pid") != row.get("pid"):
            for counter in _COUNTERS:
                self._told.pop((name, counter), None)
            return
        for counter, (level, text) in _COUNTERS.items():
            now, then = row.get(counter) or 0, before.get(counter) or 0
            told_s, told = self._told.get((name, counter), (-_AGAIN_S, then))
            if now > told and at_s - told_s >= _AGAIN_S:
                self.note(at_s, level, name, text(now - told))
                self._told[name, counter] = at_s, now


def _life(before: Row, row: Row) -> Iterable[tuple[str, str]]:
    """Came, went, was started again."""
    was, now = before["state"], row["state"]
    counted = (row.get("restarts") or 0) > (before.get("restarts") or 0)
    other = bool(before.get("pid") and row.get("pid")) and before["pid"] != row["pid"]
    if counted and was not in _AWAY:
        yield BAD, f"{_ended(row)}, and is started again"
    elif counted or other:
        yield WARN, "is started again"
    elif was == "ready" and now == "silent":
        yield BAD, "says nothing"
    elif was == "ready" and now == "leaving":
        yield INFO, "leaves"
    elif now != was and now in _AWAY:
        yield BAD, _ended(row)
    if now == "ready" and (was != "ready" or counted or other):
        yield OK, "is ready"


def _ended(row: Row) -> str:
    code = row.get("last_code")
    if code is None:
        return "is not there"
    return f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"


def _state(before: Row, row: Row) -> Iterable[tuple[str, str]]:
    """A feed's connection, its stale topics, clients that fall behind."""
    was, now = before.get("feed_state"), row.get("feed_state")
    if was != now and was and now:
        why = f": {row['problem']}" if row.get("problem") else ""
        yield OK if now == "connected" else BAD, f"is {now}{why}"
    for name, begins, ends in (
        ("stale", "has stale topics", "has no stale topics any more"),
        ("behind", "has clients that are behind", "has no client that is behind any more"),
    ):
        had, has = bool(before.get(name)), bool(row.get(name))
        if had != has:
            yield (WARN, begins) if has else (OK, ends)
