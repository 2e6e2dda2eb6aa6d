"""A shard's clients without sockets and without time: bytes in, bytes out, in a loop that never
waits. For whatever is tried so often that a socket would be too slow.

1. Time is the loop's own: when nothing is to be done before a timer is due, it is due now.
2. All that a connection would tell its socket is kept in the order in which it was told.
3. Whoever leaves has to leave nothing: `Stage.end` says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from hub.auth.verifier import Grant
from hub.core.model import Identity, Offer
from hub.core.settings import Settings
from shards.connection import Connection
from shards.desk import Desk
from shards.session import Session
from tests.shards.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.shards.kit import ALICE, BOB, answer, make_guests, make_settings, remains

KEYS = {"alice's key": ALICE, "bob's key": BOB}
LONG_S = 200.0
"""Longer than any deadline of a client that says nothing."""
_LONGEST_CONTROL = 125


class _Instant(selectors.DefaultSelector):
    """Never waits; `skipped_s` is how long it would have."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if timeout is None and not found:
            raise RuntimeError("nothing will ever happen")
        if not found:
            self.skipped_s += timeout or 0.0
        return found


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as fast as it can."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)
        self.trouble: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.trouble.append(context))
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """See asyncio."""
        return 1000.0 + self._instant.skipped_s

    def _make_task(self, _: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self, **options)
        task.add_done_callback(self._look)
        return task

    def _look(self, task: asyncio.Task[Any]) -> None:
        """A task that nobody awaits tells of its error when it is forgotten, which is too late."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.trouble.append({"exception": error})


class Heard(NamedTuple):
    """What a server has said: the head of its response, then the frames behind it."""

    head: bytes
    frames: list[tuple[int, bytes]]

    @property
    def replies(self) -> list[Any]:
        """The messages, read."""
        return [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]

    @property
    def pongs(self) -> list[bytes]:
        """What the pongs carry."""
        return [payload for opcode, payload in self.frames if opcode == PONG]

    @property
    def end(self) -> bytes | None:
        """What the close frame carries; None without one."""
        return next((payload for opcode, payload in self.frames if opcode == CLOSE), None)


class Transport(asyncio.Transport):
    """A socket of which nothing is known but what is written: to a file in memory, as a session
    may write to the descriptor itself."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._file = os.memfd_create("client")
        self._read = 0
        self._closing = False
        self.reading = True
        self.gone = False

    def fileno(self) -> int:
        return self._file

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self, "peername": ("192.0.2.1", 1)}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """All that is written is sent."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        assert not self.gone, "written to when it is gone"
        if not self._closing:
            os.write(self._file, data)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        assert self.reading, "told once per change"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "told once per change"
        self.reading = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def heard(self) -> bytes:
        """What was written since this was last asked."""
        size = os.fstat(self._file).st_size - self._read
        data = os.pread(self._file, size, self._read)
        self._read += len(data)
        return data

    def _lose(self) -> None:
        self.gone = True
        self._connection.connection_lost(None)

    def done(self) -> None:
        """Nobody asks any more."""
        os.close(self._file)


class Peer:
    """A client's end."""

    def __init__(self, stage: Stage) -> None:
        self.connection = Connection(stage, stage.settings.websocket, stage.make_session)
        self.transport = Transport(self.connection)
        self.data = b""
        self.connection.connection_made(self.transport)

    async def say(self, data: bytes, step: int = 0) -> None:
        """Send bytes, `step` at a time, each when those before have been read; 0 is all at once."""
        for at in range(0, len(data), step or len(data) or 1):
            await self._read()
            if self.transport.is_closing():
                return
            self.connection.data_received(data[at : at + (step or len(data))])

    async def settle(self) -> None:
        """Until all that was said is read, and what follows from it is done."""
        await self._read()
        await asyncio.sleep(0.05)

    async def _read(self) -> None:
        while not (self.transport.reading or self.transport.is_closing()):  # noqa: ASYNC110  # time is nothing here
            await asyncio.sleep(0.05)

    def raw(self) -> bytes:
        """All that was heard from the beginning on."""
        self.data += self.transport.heard()
        return self.data

    def heard(self) -> Heard:
        """The same, read; fails when that is no sound WebSocket."""
        return sound(self.raw())


class Stage:
    """What stands behind the clients of a shard: a desk whose router and feeds always answer."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.settings = settings or make_settings(
            websocket={"max_message_bytes": 4096}, hub={"shards": 1}
        )
        self.desk = Desk(self.settings)
        self.desk.take_feeds([Offer("bus")], 0.0)
        self.guests = make_guests(self.settings)
        self.holding = False
        self.high_bytes = 1 << 20
        self.leaving = False
        self.stalled = 0
        self.peers: list[Peer] = []
        self.here: set[Connection] = set()

    # For connections.

    def now_s(self) -> float:
        return self._loop.time()

    def joined(self, connection: Connection) -> None:
        self.here.add(connection)

    def left(self, connection: Connection) -> None:
        self.here.remove(connection)

    def make_session(self, connection: Connection) -> Session:
        return Session(connection, self.desk, self.settings, self._verify, self._tell, self.guests)

    # For tests.

    def connect(self) -> Peer:
        """Another client."""
        self.peers.append(Peer(self))
        return self.peers[-1]

    async def end(self) -> None:
        """Everybody leaves, and all is as it was; fails when something is left."""
        for peer in self.peers:
            if not peer.transport.is_closing():
                peer.connection.eof_received()
                peer.transport.close()
        await asyncio.sleep(10)
        assert all(peer.transport.gone for peer in self.peers)
        for peer in self.peers:
            peer.transport.done()
        assert not self.here
        assert not remains(self.desk), remains(self.desk)
        most = self.settings.websocket
        for identity in KEYS.values():
            assert self.guests.symbol_room(identity.user) == most.max_user_symbols

    async def _verify(self, key: str) -> Grant | None:
        await asyncio.sleep(0)
        found = KEYS.get(key)
        return Grant(Identity(*found), key) if found else None

    def _tell(self) -> None:
        self._loop.call_soon(answer, self.desk)


def sound(data: bytes) -> Heard:
    """What a server has said; fails when a client could not read it."""
    if not data:
        return Heard(b"", [])
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end, f"half a response: {data[:80]!r}"
    assert head.startswith(b"HTTP/1.1 ")
    if not head.startswith(b"HTTP/1.1 101 "):
        assert b"\r\nContent-Length: %d\r\n" % len(rest) in head + end
        return Heard(head, [])
    frames = list(_frames(rest))
    closes = [place for place, (opcode, _) in enumerate(frames) if opcode == CLOSE]
    assert closes in ([], [len(frames) - 1]), "something behind a close"
    return Heard(head, frames)


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        assert len(data) >= 2, "half a frame"
        opcode, size, start = data[0] & 0x0F, data[1], 2
        assert data[0] & 0xF0 == 0x80, "a server's frames are whole and without reserved bits"
        assert opcode in {TEXT, BINARY, CLOSE, PING, PONG}
        if opcode >= CLOSE:
            assert size <= _LONGEST_CONTROL
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= start + size, "half a frame"
        payload = data[start : start + size]
        if opcode == TEXT:
            json.loads(payload.decode())
        if opcode == CLOSE and payload:
            assert len(payload) >= 2
            payload[2:].decode()
        yield opcode, payload
        data = data[start + size :]


def play(main: Callable[[], Coroutine[Any, Any, None]], loop: Loop | None = None) -> None:
    """Run a test's coroutine to its end, in a loop of its own unless one is given; nothing may go
    wrong unseen."""
    own = loop or Loop()
    try:
        own.run_until_complete(main())
        assert not own.trouble, own.trouble
    finally:
        own.trouble.clear()
        if loop is None:
            own.close()
