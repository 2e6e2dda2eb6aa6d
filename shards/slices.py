"""Work that would hold the loop for long, done a slice per turn of the loop. Pure: the shard turns.

1. What is small is done at once, while this turn has room for it.
2. The rest goes on in the next turns, each in its turn, so that nothing small waits for all of
   something large.
3. A turn does no more rows than twice its room, whatever has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Work = Iterator[int]
"""Does some rows at each step and says how many they were."""

_PIECE = 100


def pieces(rows: Iterable[T]) -> Iterator[Sequence[T]]:
    """Rows by the hundred, as they are taken."""
    rest = iter(rows)
    while piece := list(islice(rest, _PIECE)):
        yield piece


class Slices:
    """The work of a shard that waits for its turn. `room` is how many rows a turn does of what
    has just come, and how many of what was left."""

    def __init__(self, room: int = 600) -> None:
        self._room = room
        self._left = room
        self._waiting: deque[Work] = deque()

    def __repr__(self) -> str:
        return f"<Slices {len(self._waiting)} wait>"

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, work: Work) -> None:
        """Do it, as far as this turn has room."""
        self._advance(work)

    def step(self) -> None:
        """A new turn: go on with what was left."""
        self._left = self._room
        while self._waiting and self._left > 0:
            self._advance(self._waiting.popleft())
        self._left = self._room

    def _advance(self, work: Work) -> None:
        """Do as much of it as this turn has room for. It may begin other work, which takes of the
        same room."""
        while self._left > 0:
            rows = next(work, None)
            if rows is None:
                return
            self._left -= rows
        self._waiting.append(work)
