"""What has queued up for a shard while it was paused. Pure; its times are arguments.

1. A pause is noticed before the first of what came in it is taken. Time in which this process
   worked is none, however long it kept the loop.
2. Until all of that is taken every client counts as behind: it is owed the newest value of each
   topic, not the backlog.
3. That ends when a mark has come in the stream that the router was asked for after the pause, or
   it has welcomed this shard anew, and nothing is left to read. It waits no longer than LONGEST_S.
"""

from __future__ import annotations

import math
from collections.abc import Callable

PAUSE_S = 1.0
"""A gap of this length is a pause, when little of it was work."""

LONGEST_S = 5.0
_MOSTLY = 0.5


class Backlog:
    """Whether a shard has something to catch up with. `worked_s` is the CPU time of the process."""

    def __init__(self, now_s: float, worked_s: Callable[[], float]) -> None:
        self._seen_s = now_s
        self._worked_s = worked_s
        self._before_s = worked_s()
        self._since_s = math.inf
        self._heard = False
        self.pauses = 0

    def __repr__(self) -> str:
        return f"<Backlog {'to be taken' if self.behind else 'none'}, {self.pauses} pauses>"

    @property
    def behind(self) -> bool:
        """Whether it is still being caught up with."""
        return self._since_s < math.inf

    def beat(self, now_s: float) -> float:
        """As `look`; to be called several times a second."""
        pause_s = self.look(now_s)
        self._before_s = self._worked_s()
        return pause_s

    def look(self, now_s: float) -> float:
        """A sign of life. After a pause, how long it was; else 0."""
        gap_s, self._seen_s = now_s - self._seen_s, now_s
        if gap_s < PAUSE_S or self._worked_s() - self._before_s > _MOSTLY * gap_s:
            return 0.0
        self.pauses += 1
        self._since_s, self._heard = now_s, False
        return gap_s

    def heard(self, pause: int) -> None:
        """What was on its way in the pause of this number is there."""
        self._heard = self._heard or pause == self.pauses

    def ends(self, now_s: float, *, more: bool) -> bool:
        """Whether clients are in step from now on; `more` says that something is left to take."""
        if (more or not self._heard) and now_s - self._since_s < LONGEST_S:
            return False
        self._since_s = math.inf
        return True
