"""What many send to one, by ZMQ's protocol and without libzmq: the bus and the ingest.

The rules of native.py hold here, too.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hub.core import hot
from hub.core.errors import Malformed
from hub.runtime.log import Seldom
from hub.runtime.peer import Listener, Parted, Peer, Wake, listen_tcp, listen_unix
from hub.runtime.pump import BATCH, LONGEST_READ_S

TURN_BYTES = 1 << 20
"""How much is read of one peer before the others have their turn."""

_QUIET_READS = 16
"""After so many reads without a message a sender is watched instead."""

Parts = list[bytes]


class _Inbox:
    """A bound socket that many send to; `read` and `watch` are those of `pump.Inlet`.

    At most `queue` messages of a sender, and a batch of the pump's, are handed over in a turn; the
    rest waits in the kernel's buffers and then at the sender. Whoever sends one of more than
    `most_bytes` is cut off.

    Only senders that are busy are read: the loop tells of the others. While nobody is to be woken
    (the pump reads at its own pace) a sender is busy until it was quiet for some reads, and the
    loop need not tell of it.
    """

    def __init__(
        self,
        sender: str,
        sock: socket.socket,
        kind: bytes,
        partners: Sequence[bytes],
        *,
        queue: int,
        most_bytes: int,
    ) -> None:
        self._sender = sender  # what one is called
        self._most = min(queue, BATCH)
        self._peers: set[Peer] = set()
        self._busy: deque[Peer] = deque()
        self._unread: set[Peer] = set()  # those whose turn ended before all was handed over
        self._bad = 0
        self._wake: Wake | None = None
        self._loop = asyncio.get_running_loop()
        self._seldom = Seldom()
        self._listener = Listener(
            sock, lambda sock: Peer(sock, kind, partners, most_bytes), self._join
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._peers)}, {len(self._busy)} busy>"

    @property
    def address(self) -> object:
        """Where it is bound."""
        return self._listener.address

    def watch(self, wake: Wake | None) -> None:
        """See `pump.Inlet`."""
        if wake is not None and self._wake is None:
            for peer in self._busy:
                self._rest(peer)
        self._wake = wake

    def readable(self) -> bool:
        """Whoever watches is woken."""
        return False

    def close(self) -> None:
        """Part with everybody."""
        self._listener.close()
        for peer in tuple(self._peers):
            self._drop(peer)

    def read(self) -> int:
        """See `pump.Inlet`. Everybody busy has a turn; when it is a batch before that, whoever had
        none is the first next time."""
        busy, count, more = self._busy, 0, False
        if not busy:
            return 0
        until_s = time.monotonic() + LONGEST_READ_S
        for _ in range(len(busy)):
            peer = busy[0]
            busy.rotate(-1)
            try:
                got, unread = self._read_peer(peer, until_s)
            except (Parted, Malformed) as error:
                self._part(peer, error)
                count += 1  # what it said before is handed over, and to be flushed
                continue
            count += got
            if unread:
                more = True
                if count >= BATCH or time.monotonic() > until_s:
                    break
            elif self._wake is not None or self._is_quiet(peer, got):
                busy.pop()
        self._hand_over()
        return BATCH if more else count

    def _cut(self, peer: Peer, most: int) -> int:
        """Take up to so many messages of a sender's that are there; how many."""
        raise NotImplementedError

    def _hand_over(self) -> None:
        """A read is over."""

    def _read_peer(self, peer: Peer, until_s: float) -> tuple[int, bool]:
        """Read of one sender what its turn allows; how many messages, and whether there may be
        more."""
        count = size = 0
        if peer in self._unread:
            self._unread.discard(peer)
            count = self._cut(peer, self._most)
        while count < self._most and size < TURN_BYTES and time.monotonic() <= until_s:
            try:
                got = peer.receive()
            except OSError:
                raise Parted from None
            count += self._cut(peer, self._most - count)
            size += got
            if got < hot.READ_BYTES and count < self._most:  # it has no more
                return count, False
        self._unread.add(peer)
        return count, True

    def _part(self, peer: Peer, error: Exception) -> None:
        if isinstance(error, Malformed):
            self._bad += 1
            self._seldom.warning("cut", "%s is cut off: %s", self._sender, error)
        self._drop(peer)

    def _join(self, peer: Peer) -> None:
        self._peers.add(peer)
        self._busy.append(peer)
        if self._wake is not None:
            self._rest(peer)

    def _is_quiet(self, peer: Peer, got: int) -> bool:
        """Whether it has said nothing for so long that the loop watches it again."""
        peer.quiet = 0 if got else peer.quiet + 1
        if peer.quiet < _QUIET_READS:
            return False
        self._rest(peer)
        return True

    def _rest(self, peer: Peer) -> None:
        peer.quiet = 0
        self._loop.add_reader(peer.fd, self._stir, peer)

    def _stir(self, peer: Peer) -> None:
        """A sender that was watched says something."""
        if peer not in self._busy:
            self._busy.append(peer)
        if self._wake is None:
            self._loop.remove_reader(peer.fd)
        else:
            self._wake()

    def _drop(self, peer: Peer) -> None:
        self._peers.remove(peer)
        self._unread.discard(peer)
        with suppress(ValueError):
            self._busy.remove(peer)
        self._loop.remove_reader(peer.fd)
        peer.close()


class Bus(_Inbox):
    """A SUB socket, bound: messages of two parts from every publisher that connects.

    `take` gets all that is there as `[topic, json, topic, json, ...]`, and how many messages were
    malformed: those that are no pair, and those whose JSON is of more than `largest_bytes`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        queue: int,
        largest_bytes: int,
        most_bytes: int,
        take: Callable[[Parts, int], None],
    ) -> None:
        sock = listen_tcp(host, port)
        sender, partners = "bus: a publisher", (b"PUB", b"XPUB")
        super().__init__(sender, sock, b"SUB", partners, queue=queue, most_bytes=most_bytes)
        self._largest_bytes = largest_bytes
        self._take = take
        self._pairs: Parts = []

    @property
    def port(self) -> int:
        """The port it is bound to."""
        return int(self.address[1]) if isinstance(self.address, tuple) else 0

    def _hand_over(self) -> None:
        if self._pairs or self._bad:
            pairs, bad = self._pairs, self._bad
            self._pairs, self._bad = [], 0
            self._take(pairs, bad)

    def _cut(self, peer: Peer, most: int) -> int:
        decoder, pairs, largest = peer.decoder, self._pairs, self._largest_bytes
        count = decoder.pairs(pairs, largest, most)
        while count < most and (item := decoder.item()) is not None:
            if isinstance(item, bytes):
                peer.obey(item)
                continue
            count += 1
            if len(item) == 2 and len(item[1]) <= largest:  # topic and JSON
                pairs += item
            else:
                self._bad += 1
            count += decoder.pairs(pairs, largest, most - count)
        return count


class Gather(_Inbox):
    """A PULL socket, bound to a path: `take` gets the parts of each message, and says as how many
    messages it counts."""

    def __init__(
        self, path: Path, *, queue: int, most_bytes: int, take: Callable[[Parts], int]
    ) -> None:
        sock, sender = listen_unix(path), "ingest: a feed"
        super().__init__(sender, sock, b"PULL", (b"PUSH",), queue=queue, most_bytes=most_bytes)
        self._path = path
        self._take = take

    def close(self) -> None:
        """Part with everybody."""
        super().close()
        self._path.unlink(missing_ok=True)

    def _cut(self, peer: Peer, most: int) -> int:
        count = 0
        while count < most and (item := peer.decoder.item()) is not None:
            if isinstance(item, bytes):
                peer.obey(item)
            else:
                count += self._take(item)
        return count
