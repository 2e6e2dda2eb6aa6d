"""What has happened: from what the processes were a second ago and are now. Pure.

1. Everything is told once, when it begins and when it is over.
2. Counters that grow are told at once, and then every now and then by what they grew meanwhile.
3. Nothing is told of a process that cannot be heard: before its first beat, or without the router.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hub.monitor.health import BAD, OK, WARN, ended, left

MOST = 200
INFO = "info"
_AGAIN_S = 30.0
_AWAY = frozenset({"backoff", "failed", "gone"})
_FEED_LEVELS = {"connected": OK, "disconnected": BAD}

Row = Mapping[str, Any]

_COUNTERS: dict[str, tuple[str, Callable[[int], str]]] = {
    "refused_keys": (WARN, lambda n: f"refused {n:,} API key{'s' * (n > 1)}"),
    "turned_away": (WARN, lambda n: f"turned {n:,} connection{'s' * (n > 1)} away"),
    "stalled": (WARN, lambda n: f"closed {n:,} client{'s' * (n > 1)} that took nothing"),
    "pauses": (WARN, lambda n: f"was paused {n:,} time{'s' * (n > 1)}"),
    "accepts_paused": (INFO, lambda n: f"let a crowd of clients wait ({n:,} pauses)"),
    "given_up": (BAD, lambda n: f"gave up {n:,} shard{'s' * (n > 1)} that took nothing"),
    "dropped": (WARN, lambda n: f"dropped {n:,} tick{'s' * (n > 1)}"),
    "nats_slow": (WARN, lambda n: f"was too slow for NATS {n:,} time{'s' * (n > 1)}"),
    "holes": (WARN, lambda n: f"missed messages of other machines {n:,} time{'s' * (n > 1)}"),
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

    def look(self, rows: Iterable[Row], now_s: float, at_s: float) -> None:
        """The processes are like this now, which is `now_s` of a clock that never jumps."""
        rows = [*rows]
        router = any(row["role"] == "router" and row["state"] == "ready" for row in rows)
        for row in rows:
            if _unheard(row, router=router):
                continue
            name, before = row["name"], self._rows.get(row["name"])
            if before is not None:
                for level, text in [*_life(before, row), *_state(before, row)]:
                    self.note(at_s, level, name, text)
            elif row["state"] == "ready":
                self.note(at_s, INFO, name, "is here")
            self._count(before, row, now_s, at_s)
            self._rows[name] = row

    def _count(self, before: Row | None, row: Row, now_s: float, at_s: float) -> None:
        """What has grown by rule 2. A process that is met has counted before, and one that was
        started again has not."""
        name = row["name"]
        for counter, (level, text) in _COUNTERS.items():
            now = row.get(counter) or 0
            if before is None:
                self._told[name, counter] = -math.inf, now
            elif before.get("pid") != row.get("pid"):
                self._told[name, counter] = -math.inf, 0
            told_s, told = self._told[name, counter]
            if now > told and now_s - told_s >= _AGAIN_S:
                self.note(at_s, level, name, text(now - told))
                self._told[name, counter] = now_s, now


def _unheard(row: Row, *, router: bool) -> bool:
    if row["state"] == "ready":
        return row["beat_age_s"] is None
    return row["state"] == "silent" and not router and row["role"] != "router"


def _life(before: Row, row: Row) -> Iterable[tuple[str, str]]:
    """Came, went, was started again."""
    was, now = before["state"], row["state"]
    if was == "waiting" and not before.get("pid") and now == "ready":
        yield INFO, "is here"  # since when, and what was before, a new monitor does not know
        return
    counted = (row.get("restarts") or 0) > (before.get("restarts") or 0)
    other = bool(before.get("pid") and row.get("pid")) and before["pid"] != row["pid"]
    if counted and was not in _AWAY:
        yield INFO if left(row) else BAD, f"{ended(row.get('last_code'))}, and is started again"
    elif counted or other:
        yield INFO if left(row) else WARN, "is started again"
    elif was in {"ready", "waiting"} and now == "silent":
        yield BAD, "says nothing"
    elif was == "ready" and now == "leaving":
        yield INFO, "leaves"
    elif now != was and now in _AWAY:
        yield INFO if left(row) else BAD, ended(row.get("last_code"))
    if now == "ready" and (was != "ready" or counted or other):
        yield OK, "is ready"


def _state(before: Row, row: Row) -> Iterable[tuple[str, str]]:
    """A feed's connection, its stale topics, clients that fall behind."""
    if row["beat_age_s"] is None:
        return
    was, now = before.get("feed_state"), row.get("feed_state")
    if was != now and was and now:
        why = f": {row['problem']}" if row.get("problem") else ""
        yield _FEED_LEVELS.get(now, WARN), f"is {now}{why}"
    match before.get("nats_connected"), row.get("nats_connected"):
        case True, False:
            yield BAD, "has lost NATS"
        case False, True:
            yield OK, f"has NATS, at {row.get('nats_server')}"
    for name, begins, ends in (
        ("stale", "has stale topics", "has no stale topics any more"),
        ("behind", "has clients that are behind", "has no client that is behind any more"),
    ):
        had, has = bool(before.get(name)), bool(row.get(name))
        if had != has:
            yield (WARN, begins) if has else (OK, ends)
