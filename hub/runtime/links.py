"""ZMQ sockets by libzmq: opening them, reading them in batches, writing without ever waiting.

A socket's FD is edge-triggered: after every send or receive look at EVENTS again. An inlet is read
until nothing is left, and looked at once a second all the same, so that no message sleeps in a
queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from hub.core.errors import StartError
from hub.runtime.pump import BATCH, LONGEST_READ_S

Parts = list[bytes]
PUB, SUB, PUSH, PULL, PAIR = zmq.PUB, zmq.SUB, zmq.PUSH, zmq.PULL, zmq.PAIR
_QUEUE = 1000  # where nothing else is said: no socket is without a bound by omission
_LINGER_MS = 200
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)  # pyzmq's enums cost more than the call

_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()


def ipc(runtime_dir: Path, name: str) -> str:
    """The address of one of the hub's own sockets."""
    return f"ipc://{runtime_dir / name}"


def bind(
    kind: int, address: str, *, queue: int = _QUEUE, what: str = "a socket", most_bytes: int = -1
) -> zmq.Socket[bytes]:
    """Open a socket and bind it; `queue` bounds both directions, 0 is no bound. Whoever sends
    a part of more than `most_bytes` is cut off, and may connect again.

    Raises StartError naming `what` and the address when it cannot be had.
    """
    sock = _open(kind, queue)
    sock.setsockopt(zmq.MAXMSGSIZE, most_bytes)
    try:
        sock.bind(address)
    except zmq.ZMQError as error:
        sock.close()
        raise StartError(
            f"{what} cannot listen on {address}: {zmq.strerror(error.errno or 0)}"
        ) from None
    return sock


def connect(
    kind: int, address: str, *, queue: int = _QUEUE, identity: str = ""
) -> zmq.Socket[bytes]:
    """Open a socket and connect it, now or whenever its peer appears."""
    sock = _open(kind, queue)
    if identity:
        sock.setsockopt(zmq.IDENTITY, identity.encode())
    sock.connect(address)
    return sock


def finish() -> None:
    """Close what is open, and wait until closed sockets have sent what they were given, for as
    long as they linger: an interpreter that just ends takes it along. The last call to this file.
    """
    _context.destroy(_LINGER_MS)


def _open(kind: int, queue: int) -> zmq.Socket[bytes]:
    sock: zmq.Socket[bytes] = _context.socket(kind)
    sock.setsockopt(zmq.LINGER, _LINGER_MS)
    sock.setsockopt(zmq.SNDHWM, queue)
    sock.setsockopt(zmq.RCVHWM, queue)
    sock.setsockopt(zmq.RECONNECT_IVL, 50)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    if kind == zmq.ROUTER:
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        sock.setsockopt(zmq.ROUTER_HANDOVER, 1)
    if kind == zmq.SUB:
        sock.setsockopt(zmq.SUBSCRIBE, b"")
    return sock


class _Inlet:
    """A socket as a pump reads it."""

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    def watch(self, wake: Callable[[], None] | None) -> None:
        """See `pump.Inlet`."""
        if wake is None:
            self._loop.remove_reader(self._sock.fileno())
        else:
            self._loop.add_reader(self._sock.fileno(), wake)

    def readable(self) -> bool:
        """Whether a message is there; looking is what makes the FD tell of the next."""
        return _readable(self._sock)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Messages(_Inlet):
    """Messages one by one: `take` gets each one's parts, and may say as how many it counts. After
    `longest_s` the loop has its turn."""

    def __init__(
        self,
        sock: zmq.Socket[bytes],
        take: Callable[[Parts], int | None],
        longest_s: float = LONGEST_READ_S,
    ) -> None:
        super().__init__(sock)
        self._take = take
        self._longest_s = longest_s

    def read(self) -> int:
        """Read up to a batch of messages; how many there were, or a batch when it took long enough.
        Looking first costs less than a receive that fails."""
        sock, take, count = self._sock, self._take, 0
        until_s = time.monotonic() + self._longest_s
        while count < BATCH and time.monotonic() <= until_s:
            if not _readable(sock):
                return count
            count += take(sock.recv_multipart(zmq.NOBLOCK)) or 1
        return max(count, BATCH)


class Pairs(_Inlet):
    """Messages that are pairs of topic and JSON: `take` gets all that is there as `[topic, json,
    topic, json, ...]` and how many messages were malformed."""

    def __init__(
        self, sock: zmq.Socket[bytes], most_bytes: int, take: Callable[[Parts, int], None]
    ) -> None:
        super().__init__(sock)
        self._most_bytes = most_bytes
        self._take = take

    def read(self) -> int:
        """Read up to a batch of two-part messages; how many there were, malformed ones included.

        Asking a socket whether more parts follow costs as much as a receive; a frame knows. So the
        second part is received as a frame, and only it is asked. A first part that stood alone
        shows by what comes behind it: another topic, with more behind it, where JSON should be.
        """
        pairs: list[bytes] = []
        bad = 0
        receive = self._sock.recv
        for _ in range(BATCH):
            try:
                topic = receive(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                frame = receive(zmq.NOBLOCK, copy=False)
                while frame.more and _is_topic(frame.bytes):
                    bad += 1
                    topic, frame = frame.bytes, receive(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                bad += 1
                break
            payload = frame.bytes
            if frame.more:
                bad += 1
                while self._sock.getsockopt(zmq.RCVMORE):
                    receive(zmq.NOBLOCK)
            elif len(payload) > self._most_bytes:
                bad += 1
            else:
                pairs.append(topic)
                pairs.append(payload)
        if pairs or bad:
            self._take(pairs, bad)
        return len(pairs) // 2 + bad


class Push:
    """A PUSH or PAIR socket as one writes to it, or a pipe does (`pipe.Outlet`)."""

    fd = -1  # libzmq writes for itself

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._sock = sock
        self.turned: Callable[[], None] = lambda: None

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send if there is room; whether it was sent."""
        try:
            self._sock.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def unsent(self, rest: bytes) -> None:
        """See `pipe.Outlet`; nobody writes past this."""

    def close(self) -> None:
        """Send no more."""
        self._sock.close()


def _is_topic(part: bytes) -> bool:
    return b"_" in part and not part.startswith(b"{")


def _readable(sock: zmq.Socket[bytes]) -> bool:
    events = sock.getsockopt(_EVENTS)
    return isinstance(events, int) and bool(events & _POLLIN)
