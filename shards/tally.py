"""What all shards count together: sessions and symbols by user, connections by address.

1. Every number has one writer: each shard has a part of its own, and a sum reads all parts.
2. A part counts while its shard's loop beats; a shard that begins anew begins at zero.
3. Names are hashed into BUCKETS rows, so the table does not grow. Two names in one row share a
   limit; it errs on the side of refusing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from zlib import crc32

from shards.loads import PRESENT_S, shared

BUCKETS = 4096
_WORD = 4


class Kind(IntEnum):
    """What is counted."""

    SESSIONS = 0
    SYMBOLS = 1
    STRANGERS = 2
    CONNECTIONS = 3


class Tally:
    """The shared counts, seen by one shard.

    `present(shard, within_s)` says whether another shard's loop runs. Without a path the counts
    are this process's own.
    """

    def __init__(
        self, path: Path | None, shard: int, shards: int, present: Callable[[int, float], bool]
    ) -> None:
        self._me = shard
        self._shards = shards
        self._present = present
        self._part = len(Kind) * BUCKETS
        self._map = shared(path, shards * self._part * _WORD)
        self._words = memoryview(self._map).cast("I")
        mine = shard * self._part * _WORD
        self._map[mine : mine + self._part * _WORD] = bytes(self._part * _WORD)

    def __repr__(self) -> str:
        return "<Tally " + ", ".join(f"{n} {name}" for name, n in self.mine().items()) + ">"

    def mine(self) -> dict[str, int]:
        """How many of each kind this shard has, whosever they are."""
        mine = self._words[self._me * self._part :]
        return {
            kind.name.lower(): sum(mine[kind * BUCKETS : (kind + 1) * BUCKETS]) for kind in Kind
        }

    def add(self, kind: Kind, name: str, number: int) -> None:
        """This shard has more of something, or less."""
        if number:
            self._words[self._place(self._me, kind, name)] += number

    def count(self, kind: Kind, name: str) -> int:
        """How many all shards have."""
        return sum(
            self._words[self._place(shard, kind, name)]
            for shard in range(self._shards)
            if shard == self._me or self._present(shard, PRESENT_S)
        )

    def _place(self, shard: int, kind: Kind, name: str) -> int:
        bucket = crc32(name.encode("utf-8", "surrogatepass")) % BUCKETS
        return shard * self._part + kind * BUCKETS + bucket
