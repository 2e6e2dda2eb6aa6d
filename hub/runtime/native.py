"""ZMQ sockets of the tick path without libzmq: its protocol (core/zmtp) spoken directly.

libzmq reads and writes in a thread of its own, so each hop of a tick wakes three.
Here it wakes one.

1. Nothing waits: what finds no room is refused, and what a peer does not say is not waited for.
2. What waits in this process is bounded for each peer: in messages, as libzmq's queues are, and in
   bytes.
3. A peer that breaks the protocol, or announces more than is allowed, is cut off and may connect
   again. It disturbs no other.
4. Half a message sent is finished before anything else is sent to that peer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hub.core import hot, zmtp
from hub.core.errors import Malformed
from hub.runtime.inbox import TURN_BYTES, Parts
from hub.runtime.log import Seldom
from hub.runtime.peer import Listener, Parted, Peer, Wake, listen_unix, watch
from hub.runtime.pump import BATCH, LONGEST_READ_S

_LOOK = 8
"""After how many messages the clock is looked at."""

_COMMAND_BYTES = 4096
"""What a reader may say: commands, and nothing else."""

_RETRY_S = 0.05
_LINGER_S = 0.2


def _nothing() -> None:
    pass


class Push:
    """A PUSH socket, bound to a path: messages to the one reader that is connected.

    At most `queue` messages, and about `most_bytes`, wait in this process for a reader that takes
    nothing. While one is connected, others who connect wait for it to leave.
    """

    def __init__(self, path: Path, *, queue: int, most_bytes: int) -> None:
        self._path = path
        self._queue = queue
        self._most_bytes = most_bytes
        self._waiting_bytes = 0
        self._waiting: deque[memoryview] = deque()
        self._peers: list[Peer] = []
        self._reader: Peer | None = None
        self.fd = -1
        self.turned: Callable[[], None] = _nothing
        self._loop = asyncio.get_running_loop()
        self._seldom = Seldom()
        self._listener = Listener(
            listen_unix(path),
            lambda sock: Peer(sock, b"PUSH", (b"PULL",), _COMMAND_BYTES),
            self._join,
        )

    def __repr__(self) -> str:
        return f"<Push to {self._path.name}, {self._reader!r}, {len(self._waiting)} waiting>"

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send, or let it wait its turn; False when there is no reader, or no room."""
        reader = self._reader
        if reader is None or self._full:
            return False
        data = hot.message(parts)
        if not self._waiting:
            try:
                data = data[reader.sock.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                self._leave(reader)
                return False
        if data:
            self._wait(reader, data)
        return True

    def unsent(self, rest: bytes) -> None:
        """See `pipe.Outlet`."""
        if self._reader is not None:
            self._wait(self._reader, rest)

    def close(self) -> None:
        """Give the reader a moment to take what waits, then part."""
        self._listener.close()
        if self._reader is not None and self._waiting:
            with suppress(OSError):
                self._reader.sock.settimeout(_LINGER_S)
                self._reader.sock.sendall(b"".join(self._waiting))
        self._reader = None
        self._aim()
        for peer in tuple(self._peers):
            self._leave(peer)
        self._path.unlink(missing_ok=True)

    def _join(self, peer: Peer) -> None:
        self._peers.append(peer)
        self._loop.add_reader(peer.sock.fileno(), self._listen, peer)

    def _listen(self, peer: Peer) -> None:
        """A reader says something: hands are shaken, or it pings, or it leaves."""
        try:
            peer.receive()
            while (item := peer.decoder.item()) is not None:
                if isinstance(item, bytes):
                    self._obey(peer, item)
        except Malformed as error:
            self._seldom.warning("cut", "%s: a reader is cut off: %s", self._path.name, error)
            self._leave(peer)
        except OSError:
            self._leave(peer)
        self._choose()

    def _obey(self, peer: Peer, body: bytes) -> None:
        """As `Peer.obey`, behind what waits: half a message may be sent. With no room the answer is
        left out; what comes before it shows as well that this side lives."""
        if peer is not self._reader:
            peer.obey(body)
            return
        command = zmtp.read(body)
        if command.name == b"PING" and not self._full:
            self._wait(peer, zmtp.pong(command))

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._queue or self._waiting_bytes >= self._most_bytes

    def _wait(self, reader: Peer, data: bytes) -> None:
        """Send this when its turn comes."""
        if not self._waiting:
            self._loop.add_writer(reader.fd, self._send_on, reader)
        self._waiting.append(memoryview(data))
        self._waiting_bytes += len(data)
        self._aim()

    def _send_on(self, reader: Peer) -> None:
        """The reader takes more."""
        waiting = self._waiting
        try:
            while waiting:
                sent = reader.sock.send(waiting[0])
                self._waiting_bytes -= sent
                if sent < len(waiting[0]):
                    waiting[0] = waiting[0][sent:]
                else:
                    waiting.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._leave(reader)
        else:
            self._loop.remove_writer(reader.sock.fileno())
            self._aim()

    def _leave(self, peer: Peer) -> None:
        """Who connected is gone; what waited for it is void."""
        self._peers.remove(peer)
        self._loop.remove_reader(peer.sock.fileno())
        self._loop.remove_writer(peer.sock.fileno())
        peer.close()
        if peer is self._reader:
            self._waiting.clear()
            self._waiting_bytes = 0
            self._reader = None
            self._choose()

    def _choose(self) -> None:
        """While there is no reader, the first who has shaken hands is the next."""
        if self._reader is None:
            self._reader = next((peer for peer in self._peers if peer.ready), None)
            self._aim()

    def _aim(self) -> None:
        self.fd = self._reader.fd if self._reader is not None and not self._waiting else -1
        self.turned()


class Pull:
    """A PULL socket, connected to a path, now or whenever somebody listens there: `take` gets each
    message's parts. A message of more than `most_bytes` ends the connection, which is made anew."""

    def __init__(self, path: Path, take: Callable[[Parts], None], *, most_bytes: int) -> None:
        self._path = path
        self._take = take
        self._most_bytes = most_bytes
        self._peer: Peer | None = None
        self._wake: Wake | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._seldom = Seldom()
        self._retry: asyncio.TimerHandle | None = None
        self._connect()

    def __repr__(self) -> str:
        return f"<Pull from {self._path.name}, {self._peer!r}>"

    def read(self) -> int:
        """Hand over what is there; see `pump.Inlet`."""
        peer = self._peer
        if peer is None:
            return 0
        try:
            return self._read(peer)
        except Malformed as error:
            self._seldom.warning("cut", "%s: cut off: %s", self._path.name, error)
        except Parted:
            pass
        self._leave(peer)
        return 1

    def watch(self, wake: Wake | None) -> None:
        """See `pump.Inlet`."""
        self._wake = wake
        if self._peer is not None:
            watch(self._loop, self._peer.sock, wake)

    def readable(self) -> bool:
        """Whoever watches is woken."""
        return False

    def close(self) -> None:
        """Part."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._peer is not None:
            self._leave(self._peer)

    def _read(self, peer: Peer) -> int:
        count = size = 0
        until_s = time.monotonic() + LONGEST_READ_S
        next_item, take = peer.decoder.item, self._take
        while True:
            while (item := next_item()) is not None:
                if isinstance(item, bytes):
                    peer.obey(item)
                    continue
                take(item)
                count += 1
                if count % _LOOK == 0 and (count >= BATCH or time.monotonic() > until_s):
                    return BATCH
            if size >= TURN_BYTES:
                return BATCH
            if size % hot.READ_BYTES:  # it had no more when it was read last
                return count
            try:
                got = peer.receive()
            except OSError:
                raise Parted from None
            if not got:
                return count
            size += got

    def _connect(self) -> None:
        """Connect; in vain, it is tried again in a moment."""
        self._retry = None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(os.fspath(self._path))
            self._peer = Peer(sock, b"PULL", (b"PUSH",), self._most_bytes)
        except (OSError, Parted):
            sock.close()
            self._retry = self._loop.call_later(_RETRY_S, self._connect)
        else:
            watch(self._loop, sock, self._wake)

    def _leave(self, peer: Peer) -> None:
        watch(self._loop, peer.sock, None)
        peer.close()
        self._peer = None
        if not self._closed:
            self._retry = self._loop.call_later(_RETRY_S, self._connect)
