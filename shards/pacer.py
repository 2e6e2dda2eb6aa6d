"""Which ticks a client that asked for a rate is owed, and when. Pure: time is an argument.

1. A topic that has been quiet for its interval is owed its tick at once; after that nothing until
   the interval is over, then the newest value if something has come meanwhile.
2. What is owed are lines, as in the outbox: when its time comes a line pays its newest value, so
   the last one published is the last one sent.
3. The interval begins when a tick is sent, wherever that happens.
4. Several topics may be sent under one tag. What has become older than the last that was sent under
   it is not sent any more; it is counted with the next tick of its topic.
5. Times are rounded up to a grid, so that what falls due together leaves together: never early,
   and late by no more than a step of it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from hub.core.hot import Line

STEPS = 256
"""Steps of the grid in a second. With a power of two nothing is lost in rounding."""


class Pacer:
    """The intervals of one session's topics, and the lines that are owed a tick."""

    __slots__ = (
        "_default_s",
        "_due",
        "_ending",
        "_every_s",
        "_newest",
        "_owed",
        "_passed_over",
        "_sent_s",
        "_steps",
        "_times",
    )

    def __init__(self) -> None:
        self._default_s = 0.0
        self._every_s: dict[bytes, float] = {}  # of the keys that have an interval of their own
        self._ending: set[bytes] = set()  # keys that lost their interval while owed something
        self._sent_s: dict[Line, float] = {}  # when a line's last tick went out
        self._newest: dict[tuple[bytes, int], int] = {}  # the last tick that was sent under a tag
        self._passed_over: dict[Line, int] = {}  # ticks that were not sent, and not told of yet
        self._owed: dict[Line, int] = {}  # how many ticks have come since
        self._due: dict[Line, int] = {}  # the step at which it is to be paid
        self._steps: dict[int, list[Line]] = {}  # lines by the step that was theirs
        self._times: list[int] = []  # a heap of those steps

    def __repr__(self) -> str:
        return f"<Pacer of {len(self._sent_s)} topics, {len(self._owed)} owed>"

    def set_default(self, rate: float) -> None:
        """So many ticks a second of each topic that has no rate of its own, 0 for all of them."""
        self._default_s = 1 / rate if rate else 0.0
        for line in self._owed:
            self._enter(line)

    def limit(self, key: bytes, rate: float, lines: Iterable[Line]) -> None:
        """So many ticks a second of each topic of this key, 0 for the default; `lines` are its
        lines."""
        if rate:
            self._every_s[key] = 1 / rate
        else:
            self._every_s.pop(key, None)
        self._ending.discard(key)
        for line in lines:
            if line in self._owed:
                self._enter(line)

    def take(self, lines: Sequence[Line]) -> list[int]:
        """Ticks of these lines have come: they are owed. The places of those that are not, as no
        rate holds them up. Those of a key that has lost its rate are owed on while something of it
        is, which must not come after what is newer."""
        owed, own_s, default_s = self._owed, self._every_s, self._default_s
        free = []
        for place, line in enumerate(lines):
            if line in owed:
                owed[line] += 1
            elif own_s.get(line.key, default_s) or line.key in self._ending:
                owed[line] = 1
                self._enter(line)
            else:
                free.append(place)
        return free

    def owes(self, line: Line) -> bool:
        """Whether a tick of this line is owed."""
        return line in self._owed

    def hurry(self, line: Line) -> None:
        """The next tick of this line is to go at once."""
        self._sent_s.pop(line, None)
        if line in self._owed:
            self._enter(line)

    def due(self, now_s: float) -> list[tuple[Line, int]]:
        """The lines whose time has come, with the number of ticks that have come of each; they are
        owed here no more."""
        found = []
        step = math.floor(now_s * STEPS)
        while self._times and self._times[0] <= step:
            past = heapq.heappop(self._times)
            for line in self._steps.pop(past):
                if self._due.get(line) == past:
                    del self._due[line]
                    self._ending.discard(line.key)  # they fall due together
                    found.append((line, self._owed.pop(line)))
        return found

    def all(self) -> list[tuple[Line, int]]:
        """All that are owed, whenever their time is; they are owed here no more."""
        found = [*self._owed.items()]
        for held in (self._owed, self._due, self._ending, self._steps, self._times):
            held.clear()
        return found

    def next_s(self) -> float:
        """When the next line may fall due; infinity if none is owed."""
        return self._times[0] / STEPS if self._owed else math.inf

    def owing(self) -> Iterable[Line]:
        """The lines that are owed."""
        return self._owed

    def passes(self, line: Line, tag: int, spared: int) -> bool:
        """Whether a line's newest tick may be sent under this tag, `spared` ones before it not. If
        not, all of them are counted with the next."""
        if line.seq >= self._newest.get((line.key, tag), 0):
            return True
        self._passed_over[line] = self._passed_over.get(line, 0) + spared + 1
        return False

    def sent(self, line: Line, tag: int, now_s: float) -> int:
        """A tick of this line goes out under this tag: its interval begins. How many were passed
        over before it."""
        self._sent_s[line] = now_s
        self._newest[line.key, tag] = line.seq
        return self._passed_over.pop(line, 0)

    def ceases(self, key: bytes, tags: Iterable[int]) -> None:
        """Nothing of this key is sent under these tags any more."""
        for tag in tags:
            self._newest.pop((key, tag), None)

    def forget(self, line: Line) -> None:
        """The session is sent this line no more."""
        for held in (self._sent_s, self._owed, self._due, self._passed_over):
            held.pop(line, None)
        if not self._owed:
            self._ending.clear()
            self._steps.clear()
            self._times.clear()

    # Below: details.

    def _enter(self, line: Line) -> None:
        """Write down when this line is to be paid; what was written before counts no more."""
        every_s, sent_s = self._every_s.get(line.key, self._default_s), self._sent_s.get(line)
        if not every_s:
            self._ending.add(line.key)
        step = 0 if sent_s is None else math.ceil((sent_s + every_s) * STEPS)
        self._due[line] = step
        others = self._steps.get(step)
        if others is None:
            self._steps[step] = [line]
            heapq.heappush(self._times, step)
        else:
            others.append(line)
