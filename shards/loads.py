"""The tables by which all shards see each other's load.

1. Every number has one writer, so no lock is needed.
2. A shard's load counts what is on its way to it: clients it has, plus given, minus taken.
3. A row counts while its shard's own loop beats, so one that is stopped or stuck has no load.

It is a file in the runtime directory, mapped by every shard: for N shards, N rows of
`[life, beat, willing, clients, given to 0..N-1, taken from 0..N-1]`, each number 8 bytes. `life`
and `beat` are a monotonic clock in ns: when this life of the shard began, when its loop last ran.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

BEAT_S = 0.25
"""Time between beats."""

PRESENT_S = 5.0
"""Age of a beat from which on a shard's clients are gone: they count nowhere any more."""

STALE_S = 1.0
"""Age of a beat from which on a shard takes nobody."""

MEASURED_S = 1.0
"""Time over which a share is measured."""

_LIFE, _BEAT, _WILLING, _CLIENTS, _HEAD = 0, 1, 2, 3, 4
_WORD = 8
_NS = 1_000_000_000


class Loads:
    """The shared table, seen by one shard."""

    def __init__(
        self, path: Path, shard: int, shards: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._me = shard
        self._shards = shards
        self._clock = clock
        self._closed = False
        self._width = _HEAD + 2 * shards
        self._map = shared(path, shards * self._width * _WORD)
        self._words = memoryview(self._map).cast("Q")
        self._begin()

    def __repr__(self) -> str:
        return f"<Loads {self.all()} seen by {self._me}>"

    def all(self) -> list[int | None]:
        """The load of each shard, None for one that takes nobody: it is not there, it is going, it
        has no room, or its loop stands still."""
        return [self._load(shard) for shard in range(self._shards)]

    def total(self) -> int:
        """How many clients all shards have, also those that take nobody just now."""
        return sum(
            self._clients(shard) for shard in range(self._shards) if self.present(shard, PRESENT_S)
        )

    def present(self, shard: int, within_s: float) -> bool:
        """Whether a shard's loop has run within so many seconds."""
        beat = 0 if self._closed else self._words[self._row(shard) + _BEAT]
        return bool(beat) and abs(self._clock() - beat) <= within_s * _NS

    def life(self, shard: int) -> int:
        """Which life of a shard wrote its row."""
        return self._words[self._row(shard) + _LIFE]

    def on_the_way(self, shard: int) -> tuple[int, int]:
        """How many sockets this shard gave to another one that has not taken them, and how many
        that one has taken from it so far."""
        taken = self._words[self._taken(shard, self._me)]
        return self._words[self._given(self._me, shard)] - taken, taken

    def beat(self) -> None:
        """This shard's loop runs."""
        if not self._closed:
            self._words[self._row(self._me) + _BEAT] = self._clock()

    def serve(self, *, willing: bool) -> None:
        """Whether this shard takes clients now."""
        if not self._closed:
            self._words[self._row(self._me) + _WILLING] = willing

    def add(self, clients: int) -> None:
        """This shard has more clients, or fewer."""
        if not self._closed:
            self._words[self._row(self._me) + _CLIENTS] += clients

    def gave(self, shard: int, sockets: int = 1) -> None:
        """Sockets are on their way to another shard; negative when they were taken back."""
        self._words[self._given(self._me, shard)] += sockets

    def took(self, shard: int) -> None:
        """A socket from another shard has arrived."""
        self._words[self._taken(self._me, shard)] += 1

    def settle(self, shard: int) -> None:
        """Nothing is on its way to another shard any more."""
        self._words[self._given(self._me, shard)] = self._words[self._taken(shard, self._me)]

    def close(self) -> None:
        """This shard is gone."""
        self.serve(willing=False)
        self._words[self._row(self._me) + _BEAT] = 0
        self._closed = True
        self._words.release()
        self._map.close()

    def _begin(self) -> None:
        """Nothing is left of an earlier life: no clients, nothing on its way here."""
        me, words = self._me, self._words
        row = self._row(me)
        words[row + _WILLING] = 0
        for other in range(self._shards):
            words[self._taken(me, other)] = words[self._given(other, me)]
        words[row + _CLIENTS] = 0
        words[row + _LIFE] = self._clock()
        self.beat()
        self.serve(willing=True)

    def _load(self, shard: int) -> int | None:
        if not (self.present(shard, STALE_S) and self._words[self._row(shard) + _WILLING]):
            return None
        return self._clients(shard)

    def _clients(self, shard: int) -> int:
        words = self._words
        coming = sum(
            words[self._given(other, shard)] - words[self._taken(shard, other)]
            for other in range(self._shards)
        )
        return words[self._row(shard) + _CLIENTS] + coming

    def _row(self, shard: int) -> int:
        return shard * self._width

    def _given(self, shard: int, to: int) -> int:
        return self._row(shard) + _HEAD + to

    def _taken(self, shard: int, giver: int) -> int:
        return self._row(shard) + _HEAD + self._shards + giver


class Shares:
    """What each shard's process has used of a core lately, seen by one shard: a second file, of
    one number for each shard, in thousandths."""

    def __init__(self, path: Path, shard: int, shards: int) -> None:
        self._me = shard
        self._before: tuple[float, float] | None = None
        self._map = shared(path, shards * _WORD)
        self._words = memoryview(self._map).cast("Q")
        self._words[shard] = 0

    def __repr__(self) -> str:
        return f"<Shares {self.all()} seen by {self._me}>"

    def all(self) -> list[float]:
        """The share of each; it counts as long as the shard has a load."""
        return [word / 1000 for word in self._words]

    def measure(self, now_s: float, cpu_s: float) -> None:
        """By a clock and by this process's CPU time; once a second its share is told anew."""
        before_s, cpu_before_s = self._before or (now_s, cpu_s)
        if self._before is None or now_s - before_s >= MEASURED_S:
            elapsed_s = max(now_s - before_s, MEASURED_S)
            self._words[self._me] = max(0, round((cpu_s - cpu_before_s) / elapsed_s * 1000))
            self._before = now_s, cpu_s

    def close(self) -> None:
        """This shard is gone."""
        self._words.release()
        self._map.close()


def shared(path: Path | None, size_bytes: int) -> mmap.mmap:
    """Memory that all who name this file share, zero at first; without a path nobody else does."""
    if path is None:
        return mmap.mmap(-1, size_bytes)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(fd, size_bytes)
        return mmap.mmap(fd, size_bytes)
    finally:
        os.close(fd)
