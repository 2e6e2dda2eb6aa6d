"""When which row of a recording is due. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, tzinfo
from typing import NamedTuple

from hub.recording.rows import Row

LONGEST_GAP_S = 1.0
"""What a pause in the recording takes at most when gaps are left out, in its own time."""


class Pace(NamedTuple):
    """How a recording is played: so many times as fast as it came, with its pauses or without,
    from a time of day on (of `zone`), once or over and over."""

    speed: float = 1.0
    gaps: bool = True
    begin: time | None = None
    loop: bool = False
    zone: tzinfo | None = None

    def first_ns(self, row: Row) -> int:
        """The earliest time that is played of a recording that begins with this row."""
        if self.begin is None:
            return 0
        day = datetime.fromtimestamp(row.time_ns / 1e9, self.zone)
        return int(datetime.combine(day.date(), self.begin, self.zone).timestamp()) * 10**9


class Timeline:
    """When rows are due, in s since the first one was. Times that go back, as where one recording
    was put behind another, count as no pause."""

    def __init__(self, pace: Pace) -> None:
        self._speed = pace.speed
        self._longest_s = float("inf") if pace.gaps else LONGEST_GAP_S
        self._last_ns = 0
        self._due_s = 0.0

    def __repr__(self) -> str:
        return f"<Timeline at {self._due_s:.3f} s, {self._speed:g} times as fast>"

    def due(self, rows: Sequence[Row]) -> list[float]:
        """When each of the next rows is due."""
        found = []
        for row in rows:
            pause_s = (row.time_ns - self._last_ns) / 1e9 if self._last_ns else 0.0
            self._due_s += min(max(0.0, pause_s), self._longest_s) / self._speed
            self._last_ns = row.time_ns
            found.append(self._due_s)
        return found


def time_of_day(text: str) -> time:
    """`09:15` or `09:15:30`. Raises ValueError."""
    if not re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        raise ValueError(f"{text!r} is no time of day such as 09:15")
    hour, minute, second = map(int, f"{text}:00".split(":")[:3])
    try:
        return time(hour, minute, second)
    except ValueError:
        raise ValueError(f"{text!r} is no time of day such as 09:15") from None
