"""ZMQ sockets: opening them, reading them in batches, writing without ever waiting.

1. A socket's FD is edge-triggered: after every send or receive look at EVENTS again. A pump drains
   until nothing is left, and looks again every 50 ms, so that no message sleeps in a queue.
2. A pump reads at most `_BATCH` messages of a socket, and not much longer than
   `_LONGEST_READ_S`, before it lets the loop breathe.
3. A fault in what a pump calls is told, counted and costs that call: the pump reads on.
4. A pipe never blocks: ticks that find no room are dropped and counted, everything else waits in
   order until there is room.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from hub.core.errors import StartError
from hub.core.window import Window
from hub.runtime.log import Seldom

Parts = list[bytes]
PUB, SUB, PUSH, PULL, PAIR = zmq.PUB, zmq.SUB, zmq.PUSH, zmq.PULL, zmq.PAIR
_BATCH = 2000
_QUEUE = 1000  # where nothing else is said: no socket is without a bound by omission
_LONGEST_READ_S = 0.05
_RECHECK_S = 0.05
_LINGER_MS = 200
_IDLE_WINDOWS = 8
_KEPT = 100_000

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


class Pump:
    """Reads sockets: `take` gets what has come, `done` runs once after each batch.

    While the window is wide the sockets are not watched but read at its pace: one wake-up per
    window instead of one per message. The loop's timers count whole milliseconds, so does it.
    """

    def __init__(self, done: Callable[[], None], window: Window) -> None:
        self._done = done
        self._window = window
        self._inlets: list[tuple[zmq.Socket[bytes], Callable[[], int]]] = []
        self._loop = asyncio.get_running_loop()
        self._pacing = False
        self._idle = 0
        self._recheck: asyncio.TimerHandle | None = None
        self._closed = False
        self._seldom = Seldom()
        self.faults = 0

    def __repr__(self) -> str:
        return f"<Pump of {len(self._inlets)}, {'paced' if self._pacing else 'watching'}>"

    def add(self, sock: zmq.Socket[bytes], take: Callable[[Parts], None]) -> None:
        """Read this socket too, message by message."""
        self._add(sock, lambda: _read(sock, take))

    def add_pairs(
        self, sock: zmq.Socket[bytes], most_bytes: int, take: Callable[[Parts, int], None]
    ) -> None:
        """Read this socket too, whose messages are pairs of topic and JSON: `take` gets all that
        is there as `[topic, json, topic, json, ...]` and how many messages were malformed."""
        self._add(sock, lambda: _read_pairs(sock, most_bytes, take))

    def poke(self) -> None:
        """One of the sockets was written to: look whether that made it readable."""
        if not self._pacing and any(_readable(sock) for sock, _ in self._inlets):
            self._loop.call_soon(self._run)

    def close(self) -> None:
        """Read no more and close the sockets."""
        if self._recheck is not None:
            self._recheck.cancel()
        self._watch(on=False)
        self._closed = True
        for sock, _ in self._inlets:
            sock.close()

    def _add(self, sock: zmq.Socket[bytes], read: Callable[[], int]) -> None:
        self._inlets.append((sock, read))
        if not self._pacing:
            self._loop.add_reader(sock.fileno(), self._run)
        if self._recheck is None:
            self._recheck = self._loop.call_later(_RECHECK_S, self._look_again)
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        """A socket may be readable."""
        if self._pacing or self._closed:
            return
        most = self._drain()
        if most >= _BATCH:
            self._loop.call_soon(self._run)
        elif most and self._window.width_ms:
            self._pacing, self._idle = True, 0
            self._watch(on=False)
            self._loop.call_later(self._window.width_ms / 1000, self._beat)

    def _beat(self) -> None:
        """A window has passed. Several empty ones end the pacing."""
        if self._closed:
            return
        most, width_ms = self._drain(), self._window.width_ms
        self._idle = 0 if most else self._idle + 1
        if most >= _BATCH:
            self._loop.call_soon(self._beat)
        elif width_ms and self._idle < _IDLE_WINDOWS:
            self._loop.call_later(width_ms / 1000, self._beat)
        else:
            self._pacing = False
            self._watch(on=True)
            self._loop.call_soon(self._run)

    def _drain(self) -> int:
        """Read what is there, a batch of each socket at most; the most that any gave."""
        most = max((self.guarded(read) for _, read in self._inlets), default=0)
        if most:
            self.guarded(self._done)
        now = time.monotonic()
        if self._window.due(now):
            self._window.sample(now, time.process_time())
        return most

    def guarded(self, call: Callable[[], int | None]) -> int:
        """What a call returns. After a fault the rest is still there: as much as a batch."""
        try:
            return call() or 0
        except Exception as error:  # noqa: BLE001  # whatever it is, the next message must be read
            self.faults += 1
            self._seldom.warning("fault", "a message was lost: %r", error, error=error)
            return _BATCH

    def _watch(self, *, on: bool) -> None:
        if self._closed:
            return
        for sock, _ in self._inlets:
            if on:
                self._loop.add_reader(sock.fileno(), self._run)
            else:
                self._loop.remove_reader(sock.fileno())

    def _look_again(self) -> None:
        self._recheck = self._loop.call_later(_RECHECK_S, self._look_again)
        self._run()


def _read(sock: zmq.Socket[bytes], take: Callable[[Parts], None]) -> int:
    """Read up to a batch of messages; how many there were, or a batch when it took long enough.
    Looking first costs less than a receive that fails."""
    until_s = time.monotonic() + _LONGEST_READ_S
    for count in range(_BATCH):
        if not _readable(sock):
            return count
        take(sock.recv_multipart(zmq.NOBLOCK))
        if time.monotonic() > until_s:
            break
    return _BATCH


def _read_pairs(
    sock: zmq.Socket[bytes], most_bytes: int, take: Callable[[Parts, int], None]
) -> int:
    """Read up to a batch of two-part messages; how many there were, malformed ones included.

    Asking a socket whether more parts follow costs as much as a receive; a frame knows. So the
    second part is received as a frame, and only it is asked. A first part that stood alone shows
    by what comes behind it: another topic, with more behind it, where JSON should be.
    """
    pairs: list[bytes] = []
    bad = 0
    receive = sock.recv
    for _ in range(_BATCH):
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
            while sock.getsockopt(zmq.RCVMORE):
                receive(zmq.NOBLOCK)
        elif len(payload) > most_bytes:
            bad += 1
        else:
            pairs.append(topic)
            pairs.append(payload)
    if pairs or bad:
        take(pairs, bad)
    return len(pairs) // 2 + bad


def _is_topic(part: bytes) -> bool:
    return b"_" in part and not part.startswith(b"{")


def _readable(sock: zmq.Socket[bytes]) -> bool:
    events = sock.getsockopt(zmq.EVENTS)
    return isinstance(events, int) and bool(events & zmq.POLLIN)


class Pipe:
    """The way from the router to one shard: a PUSH socket that never makes its writer wait."""

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._sock = sock
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
        return self._try(parts)

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
            if not self._try(self._kept[0]):
                return False
            self._kept.popleft()
        return True

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
        self._sock.close()

    def _try(self, parts: Sequence[bytes]) -> bool:
        try:
            self._sock.send_multipart([parts[0] + self._token, *parts[1:]], zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True
