"""Time as processes count it for each other: beats, silence, and pauses of one's own.

A pause is normal (a stopped process, a suspended machine, a loop that was held). Whoever finds
its own clock late distrusts it, reads what has queued up, and only then judges others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

BEAT_S = 1.0
"""Time between heartbeats."""

MISSED_S = 3.0
"""Silence after which a process counts as gone."""


class Pause(NamedTuple):
    """How long a process was paused, 0 mostly, and whether it is to read before it judges."""

    seconds: float
    read_first: bool


class Awake:
    """A clock that stands still while this process does: `look` at it at least every `step_s`.

    A gap of more than that between two looks is a pause (SIGSTOP, a suspended machine, a loop
    that was held), and counts as `step_s` only: nobody else was silent in time that this process
    slept through, and what has queued up meanwhile is read before anyone is judged.
    """

    def __init__(self, step_s: float = BEAT_S + 0.5) -> None:
        self._step_s = step_s
        self._seen_s = math.nan
        self._awake_s = 0.0
        self.paused_s = 0.0
        self._told_s = 0.0
        self._waited = False

    def __repr__(self) -> str:
        return f"<Awake for {self._awake_s:.1f} s, paused for {self.paused_s:.1f} s>"

    def look(self, now_s: float) -> float:
        """Seconds awake until `now_s`, which is a monotonic clock's."""
        gap_s = now_s - self._seen_s
        if gap_s > 0:  # not at the first look, when it is nan
            self._awake_s += min(gap_s, self._step_s)
            self.paused_s += max(0.0, gap_s - self._step_s)
        self._seen_s = now_s
        return self._awake_s

    def pause(self, now_s: float) -> Pause:
        """The pauses since this was last asked. A judge asks once a beat. He reads first for one
        beat and never for two running: under load that never ends somebody has to judge."""
        self.look(now_s)
        seconds, self._told_s = self.paused_s - self._told_s, self.paused_s
        self._waited = seconds > 0 and not self._waited
        return Pause(seconds, self._waited)
