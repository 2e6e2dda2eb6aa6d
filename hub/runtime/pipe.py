"""Writing without ever waiting.

A pipe never blocks. What finds no room waits in order until there is some: of ticks the newest of
each topic, of everything else all. A closed pipe keeps what its reader is keeper of, and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from hub.core import hot, stream
from hub.core.late import Late

_KEPT = 100_000
_KEPT_BYTES = 64 << 20
_KEPT_TOPICS = 1_000_000
_MOST_TICKS = 1000
"""Ticks in one message of those that were late."""


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
        self._kept: deque[Sequence[bytes] | Late] = deque()
        self._late: Late | None = (
            None  # what ticks may join: nothing that is to follow them is kept
        )
        self.open = False
        self.overrun = False
        self.most_kept = _KEPT
        self.most_bytes = _KEPT_BYTES
        self.most_topics = _KEPT_TOPICS
        self._size = 0  # of what is kept, but for the ticks that others may still join
        self.conflated = 0
        outlet.turned = self._aim

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Pipe {state}, {len(self._kept)} kept, {self.conflated} conflated>"

    def send_ticks(self, kind: bytes, batches: Sequence[bytes]) -> bool:
        """Send ticks, or keep the newest of each topic until there is room; whether they were sent.
        `hot.deal` does the same, where `fd` says that nothing has to go first."""
        if self.open and self.retry() and self._send([kind, *batches]):
            return True
        if self.open or kind == stream.KEEP:
            if self._late is None:
                self._late = Late()
                self._kept.append(self._late)
                self._aim()
            replaced = self._late.take(kind, batches)
            self.conflated += replaced * self.open
            if not self.open:
                self._late.shrink(self.most_topics)
        return False

    def unsent(self, data: bytes, sent: int) -> None:
        """See `hot.Sink`."""
        self._outlet.unsent(data[sent:])

    def send_surely(self, parts: Sequence[bytes]) -> None:
        """Send now, or in its turn as soon as there is room. A closed pipe takes nothing; one that
        would have to keep too much is `overrun`: its reader is to be treated as gone."""
        if not self.open:
            return
        if len(self._kept) >= self.most_kept or self._size >= self.most_bytes:
            self.overrun = True
            return
        self._kept.append(parts)
        self._size += _size(parts)
        if parts[0] != stream.ACCOUNT and self._late is not None:  # which ticks may overtake
            self._size += self._late.size
            self._late = None
        self.retry()

    def retry(self) -> bool:
        """Send what was kept; whether nothing is kept any more."""
        while self._kept and self.open:
            head = self._kept[0]
            if not (self._send_late(head) if isinstance(head, Late) else self._send_kept(head)):
                break
            self._kept.popleft()
        self._aim()
        return not self._kept

    @property
    def waiting(self) -> bool:
        """Whether something is kept until there is room."""
        return self.open and bool(self._kept)

    def forget(self, topics: Iterable[bytes]) -> None:
        """Another than the reader, which is not there, is sent these topics now: what came before
        that is void."""
        if not self.open and self._late is not None:
            self._late.forget(topics)

    def reset(self, *, open_: bool, token: bytes = b"") -> list[Sequence[bytes]]:
        """The shard is new, or gone: what was kept for the old one is void, and what is no tick of
        it is returned. `token` goes behind the kind of each message from now on."""
        unsent = [parts for parts in self._kept if not isinstance(parts, Late)]
        self._kept.clear()
        self._size = 0
        self._late = None
        self.open = open_
        self.overrun = False
        self.token = token
        self._aim()
        return unsent

    def begin(self, token: bytes, keep: Callable[[bytes], bool]) -> None:
        """A stay begins: first goes what was kept while there was none, of topics that the reader
        is still to `keep`."""
        late = self._late if not self.open else None
        self.reset(open_=True, token=token)
        if late is not None:
            late.select(stream.OLD, keep)
            self._late = late
            self._kept.append(late)
        self.retry()

    def close(self) -> None:
        """Send no more."""
        self._outlet.close()

    def _send(self, parts: Sequence[bytes]) -> bool:
        sent = self._outlet.send([parts[0] + self.token, *parts[1:]])
        self.sent += sent
        return sent

    def _send_kept(self, parts: Sequence[bytes]) -> bool:
        sent = self._send(parts)
        self._size -= _size(parts) * sent
        return sent

    def _send_late(self, late: Late) -> bool:
        """Send ticks that were late; whether all of them are sent."""
        while late:
            kind, pairs = late.first(_MOST_TICKS)
            if not self._send([kind, hot.pack(pairs)]):
                return False
            late.sent(pairs)
            if late is not self._late:
                self._size -= _size(pairs)
        if late is self._late:
            self._late = None
        return True

    def _aim(self) -> None:
        self.fd = self._outlet.fd if self.open and not self._kept else -1


def _size(parts: Iterable[bytes]) -> int:
    return sum(map(len, parts))
