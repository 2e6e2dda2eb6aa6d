"""Writing without ever waiting.

A pipe never blocks: ticks that find no room are dropped and counted, everything else waits in order
until there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hub.core import hot

_KEPT = 100_000


class Outlet(Protocol):
    """What a pipe writes to."""

    fd: int
    """The socket that whole messages of ZMTP may be written to at once; -1 when something has to go
    first, or always."""
    turned: Callable[[], None]
    """Called when `fd` is another."""

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send if there is room; whether it was sent."""

    def unsent(self, rest: bytes) -> None:
        """The socket did not take this much of what was written to it: send it first."""

    def close(self) -> None:
        """Send no more."""


class Pipe(hot.Way):
    """A way out of this process, as that from the router to one shard."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet
        self._kept: deque[Sequence[bytes]] = deque()
        self.open = False
        self.overrun = False
        self.most_kept = _KEPT
        self.dropped = 0
        outlet.turned = self._aim

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Pipe {state}, {len(self._kept)} kept, {self.dropped} dropped>"

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send if there is room; whether it was sent. `hot.deal` does the same, where `fd` says
        that nothing has to go first."""
        if not self.open or (self._kept and not self.retry()):
            return False
        sent = self._outlet.send([parts[0] + self.token, *parts[1:]])
        self.sent += sent
        return sent

    def unsent(self, data: bytes, sent: int) -> None:
        """See `hot.Sink`."""
        self._outlet.unsent(data[sent:])

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
            if not self._outlet.send([parts[0] + self.token, *parts[1:]]):
                break
            self._kept.popleft()
        self._aim()
        return not self._kept

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
        self.token = token
        self._aim()
        return unsent

    def close(self) -> None:
        """Send no more."""
        self._outlet.close()

    def _aim(self) -> None:
        self.fd = self._outlet.fd if self.open and not self._kept else -1
