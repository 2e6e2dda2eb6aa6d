"""Writing without ever waiting.

A pipe never blocks: ticks that find no room are dropped and counted, everything else waits in order
until there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

_KEPT = 100_000


class Outlet(Protocol):
    """What a pipe writes to."""

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send if there is room; whether it was sent."""

    def close(self) -> None:
        """Send no more."""


class Pipe:
    """A way out of this process, as that from the router to one shard."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._kept: deque[Sequence[bytes]] = deque()
        self.open = False
        self.overrun = False
        self.most_kept = _KEPT
        self.dropped = 0
        self._token = b""

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Pipe {state}, {len(self._kept)} kept, {self.dropped} dropped>"

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send if there is room; whether it was sent."""
        if not self.open or (self._kept and not self.retry()):
            return False
        return self._outlet.send([parts[0] + self._token, *parts[1:]])

    def send_surely(self, parts: Sequence[bytes]) -> None:
        """Send now, or in its turn as soon as there is room. A closed pipe takes nothing; one that
        would have to keep too much is `overrun`: its reader is to be treated as gone."""
        if not self.open:
            return
        if len(self._kept) >= self.most_kept:
            self.overrun = True
            return
        self._kept.append(parts)
        self.retry()

    def retry(self) -> bool:
        """Send what was kept; whether nothing is kept any more."""
        while self._kept:
            parts = self._kept[0]
            if not self._outlet.send([parts[0] + self._token, *parts[1:]]):
                return False
            self._kept.popleft()
        return True

    @property
    def waiting(self) -> bool:
        """Whether something is kept until there is room."""
        return bool(self._kept)

    def reset(self, *, open_: bool, token: bytes = b"") -> list[Sequence[bytes]]:
        """The shard is new, or gone: what was kept for the old one is void, and returned. `token`
        goes behind the kind of each message from now on."""
        unsent = [*self._kept]
        self._kept.clear()
        self.open = open_
        self.overrun = False
        self._token = token
        return unsent

    def close(self) -> None:
        """Send no more."""
        self._outlet.close()
