"""Last values: what a shard knows of each topic, and in which order it came to know it.

1. A line holds the newest payload of its topic; `seq` orders the lines of a shard by arrival.
2. The newest value for a mode is the newest among the topics that a holder of that mode is sent.
3. A snapshot is never older than what its receiver already has.
4. A line may be there before its first value: its routes are made when somebody begins to hold
   its key, not when the first tick comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from hub.core import topics
from hub.core.hot import Line
from hub.core.model import highest_up_to, lowest

Route = tuple[bytes, bytes, tuple[Any, ...]]
"""Head and tail of a client frame, and the audiences that are sent it."""

_by_mode = attrgetter("mode")


class Latest:
    """The lines of a shard, by topic and by key."""

    def __init__(self) -> None:
        self.lines: dict[bytes, Line] = {}
        self._of: dict[bytes, tuple[Line, ...]] = {}

    def __repr__(self) -> str:
        return f"<Latest {len(self.lines)} topics>"

    def of(self, key: bytes) -> Sequence[Line]:
        """The lines of a key, lowest mode first."""
        return self._of.get(key, ())

    def line(self, key: bytes, mode: int) -> Line:
        """The line of a topic, made if there is none."""
        topic = topics.of(key, mode)
        line = self.lines.get(topic)
        if line is None:
            line = self.lines[topic] = Line(key, mode)
            siblings = self._of.get(key)
            self._of[key] = tuple(sorted((*siblings, line), key=_by_mode)) if siblings else (line,)
        return line

    def newest(self, key: bytes, mode: int) -> Line | None:
        """The line with the newest value that a holder of `mode` would have been sent."""
        newest = None
        for line in self._of.get(key, ()):
            if line.mode < mode or line.payload is None:
                continue
            if newest is None or line.seq > newest.seq:
                newest = line
        return newest

    def snapshot(self, key: bytes, mode: int, held: int) -> Line | None:
        """What a session that begins to hold `mode`, and already `held` a set of modes, is shown.

        None when nothing is known, or when it would not be news: a session that holds the key
        already is shown a value only if it is the newest of all that it was sent, and comes under
        the new mode.
        """
        newest = self.newest(key, mode)
        if newest is None or not held:
            return newest
        known = self.newest(key, min(lowest(held), mode))
        return newest if newest is known and highest_up_to(held, newest.mode) < mode else None

    def forget(self, key: bytes) -> None:
        """Drop the values of a key; its routes stay."""
        for line in self.of(key):
            line.payload = None

    def outdate(self, key: bytes, seq: int) -> None:
        """Drop the values of a key that came before this one."""
        for line in self._of.get(key, ()):
            if line.seq < seq:
                line.payload = None

    def shrink(self, keep: Callable[[bytes], bool]) -> int:
        """Forget the older half of the topics that nobody here holds; how many that were."""
        idle = sorted(
            (line for line in self.lines.values() if not keep(line.key)), key=lambda line: line.seq
        )
        for line in idle[: (len(idle) + 1) // 2]:
            self._drop(line)
        return (len(idle) + 1) // 2

    def unresolve(self, key: bytes) -> None:
        """Somebody began or ceased to hold this key: its routes are to be resolved anew."""
        for line in self._of.get(key, ()):
            line.routes = None

    def tidy(self, key: bytes) -> None:
        """Nobody here holds this key any more: drop its lines that know nothing."""
        for line in [line for line in self._of.get(key, ()) if line.payload is None]:
            self._drop(line)

    def _drop(self, line: Line) -> None:
        del self.lines[topics.of(line.key, line.mode)]
        siblings = tuple(other for other in self._of[line.key] if other is not line)
        if siblings:
            self._of[line.key] = siblings
        else:
            del self._of[line.key]
