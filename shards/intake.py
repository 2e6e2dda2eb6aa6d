"""How many clients a shard takes up, and how fast. Pure; `now_s` is an argument.

1. A shard takes up so many a second. The rest waits in the kernel's queues, so that those who are
   here get their ticks while thousands come.
2. Whoever takes a client up pays for it, wherever it was accepted: giving one away costs nothing.
3. At the doors of others a shard takes half of what its rate allows, even in debt: its own door
   never starves theirs, nor theirs its own.
4. Beyond its room a client is told that there is none. Of those only so many are here at once that
   the reserve of descriptors suffices.
"""

from __future__ import annotations

from shards.bucket import Bucket

RESERVE = 64
"""Descriptors that are kept for everything that is no client: files, the router, other shards."""

_BURST_S = 0.05
"""The clients of so much time may be taken up at once, if none came before."""

_BREATH_S = 0.01
"""The least that is waited, as to begin and end a wait costs something, too."""

_PEER_DESCRIPTORS = 4
"""What another shard costs: both ends of the way to it, its own way here, and its door."""

_BATCH = 100
"""Clients taken at the doors of others at a time, where no rate says how many."""


def room_for(limit: int, open_now: int, peers: int) -> int:
    """How many clients a process has room for: its limit of descriptors, less those that it has
    open, the ways to so many other shards, and the reserve (of a small limit, a quarter)."""
    return max(1, limit - open_now - _PEER_DESCRIPTORS * peers - min(RESERVE, limit // 4))


class Intake:
    """What one shard may take up: `rate` clients a second (0: any number), `room` at a time."""

    def __init__(self, rate: int, room: int, now_s: float) -> None:
        self.rate = rate
        self.room = room
        self.here = 0
        self.paused = 0
        self._bucket = Bucket(max(1.0, rate * _BURST_S), rate, now_s)

    def __repr__(self) -> str:
        return f"<Intake {self.here} of {self.room} clients, paused {self.paused} times>"

    @property
    def full(self) -> bool:
        """Whether the next one finds no room."""
        return self.here >= self.room

    def took(self) -> None:
        """A client was taken up."""
        self.here += 1
        self._bucket.take(1)

    def left(self) -> None:
        """A client is gone."""
        self.here -= 1

    def wait_s(self, now_s: float) -> float:
        """Seconds until another may be taken up; 0 for now."""
        wait_s = self._bucket.wait_s(now_s) if self.rate else 0.0
        if wait_s or self.crammed:
            return max(wait_s, _BREATH_S)
        return 0.0

    @property
    def crammed(self) -> bool:
        """Whether there is not even room to tell another one that there is none."""
        return self.here >= self.room + RESERVE // 2

    def at_doors(self, every_s: float) -> int:
        """How many may be taken at the doors of others each time, once every so many seconds."""
        return max(1, int(self.rate * every_s / 2)) if self.rate else _BATCH
