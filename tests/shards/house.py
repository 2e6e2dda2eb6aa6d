"""A real gateway on a port of its own, with a desk whose router and feeds always answer, and
clients that speak WebSocket byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from hub.auth.verifier import Grant
from hub.core.settings import Websocket
from hub.runtime.tls import identity
from shards.connection import Connection
from shards.desk import Desk
from shards.gateway import Gateway
from shards.session import Session
from tests import tls
from tests.shards.frames import CLOSE, HANDSHAKE, frame
from tests.shards.kit import ALICE, answer, make_settings, serve

_PATIENCE_S = 20.0
SECURE = False
"""Whether houses speak TLS."""


class House:
    """One shard's gateway and what stands behind it."""

    def __init__(self, room: Path, shard: int = 0, **sections: Any) -> None:
        websocket = {"port": 0} | sections.pop("websocket", {})
        hub = {"shards": 1} | sections.pop("hub", {})
        self.settings = make_settings(hub=hub, websocket=websocket, **sections)
        self.desk = Desk(self.settings)
        serve(self.desk, "bus")
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.tls = tls.client_context() if SECURE else None
        context = server_context(room) if SECURE else None
        self.gateway = Gateway(shard, self.settings, room, self._make_session, context)
        self.port: int = self.gateway._listener.getsockname()[1]

    def client(self, path: str = "/") -> connect:
        url = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}{path}"
        return connect(url, ping_interval=None, compression=None, ssl=self.tls)

    async def known(self) -> ClientConnection:
        client = await self.client()
        await client.send('{"action": "auth", "api_key": "alice"}')
        await client.recv()
        return client

    async def raw(self, *, receive_bytes: int = 0) -> Raw:
        """A client after its handshake; `receive_bytes` makes its window small."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        raw = await self.open(sock=sock, limit=1 << 12)
        await raw.shake_hands()
        return raw

    async def local(self) -> Raw:
        """A client of the Unix socket, which has no TLS, before its handshake."""
        path = self.settings.websocket.unix
        return Raw(*await asyncio.open_unix_connection(path, limit=1 << 12))

    async def open(self, **options: Any) -> Raw:
        """A client before its handshake."""
        if "sock" not in options:
            options |= {"host": "127.0.0.1", "port": self.port}
        name = "localhost" if self.tls else None
        streams = asyncio.open_connection(**options, ssl=self.tls, server_hostname=name)
        return Raw(*await streams)

    def tended(self, later_s: float) -> None:
        """As if so much time had passed in which this process ran."""
        now_s = self.gateway.now_s() + later_s
        for connection in list(self.gateway._connections):
            if now_s >= connection.due_s:
                connection.tend(now_s)

    def connection(self) -> Connection:
        """The only one there is."""
        (connection,) = self.gateway._connections
        return connection

    def session(self) -> Session:
        session = self.connection().session
        assert session is not None
        return session

    async def empty(self) -> None:
        await until(lambda: len(self.gateway) == 0)

    def _make_session(self, connection: Connection) -> Session:
        return Session(
            connection, self.desk, self.settings, self._verify, self._tell, self.gateway.guests
        )

    def _tell(self) -> None:
        asyncio.get_running_loop().call_soon(answer, self.desk)

    async def _verify(self, key: str) -> Grant | None:
        await self.may_answer.wait()
        return Grant(ALICE, "id") if key == "alice" else None


class Raw:
    """A client's end of a connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def shake_hands(self, first: bytes = b"", headers: str = "") -> str:
        """Upgrade; `first` goes in the same breath. Returns the response's head."""
        self.writer.write(HANDSHAKE[:-2] + headers.encode() + b"\r\n" + first)
        return (await patient(self.reader.readuntil(b"\r\n\r\n"))).decode()

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        self.writer.write(frame(opcode, payload, fin=fin))

    async def receive(self) -> tuple[int, bytes]:
        """The opcode and payload of one frame."""
        first, size = await patient(self.reader.readexactly(2))
        if size == 126:
            size = int.from_bytes(await patient(self.reader.readexactly(2)), "big")
        elif size == 127:
            size = int.from_bytes(await patient(self.reader.readexactly(8)), "big")
        return first & 0x0F, await patient(self.reader.readexactly(size))

    async def code(self) -> int:
        """The code of the close frame that comes next, after other frames."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    async def ended(self) -> None:
        """The server has closed the socket; in order or by force."""
        with contextlib.suppress(ConnectionError):
            while await patient(self.reader.read(1 << 16)):
                pass

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def server_context(folder: Path, *names: str) -> ssl.SSLContext:
    """A hub's with a new certificate for these names."""
    pair = tls.issue(folder, *names)
    shown = identity(Websocket(tls_cert=str(pair.cert), tls_key=str(pair.key)))
    assert shown is not None
    return shown.context


async def patient(waiting: Awaitable[bytes]) -> bytes:
    """What is awaited, within any time a busy machine may need."""
    return await asyncio.wait_for(waiting, _PATIENCE_S)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # state behind sockets has no event of its own
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def house(**sections: Any) -> AsyncIterator[House]:
    """A house that is drained at the end, and in which nothing may go wrong unseen."""
    with faults() as found, room() as path:
        one = House(path, **sections)
        try:
            yield one
        finally:
            async with asyncio.timeout(_PATIENCE_S):
                await one.gateway.drain()
                await one.empty()
    assert not found, found


@contextlib.contextmanager
def room() -> Any:
    """A directory with a name short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="hub-"))
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def faults() -> Any:
    """What the loop reports: exceptions in callbacks and tasks."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield found


def live(main: Callable[[], Any], *, uv: bool = False) -> None:
    """Run a test's coroutine, on uvloop if asked. One that fails ends, whatever it leaves open."""
    factory = uvloop.new_event_loop if uv else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_played(main))


async def _played(main: Callable[[], Any]) -> None:
    """A test that leaves something open fails by that. But first it is cut: uvloop's loop warns of
    it as it closes, which is an error here, and then waits for good where no signal reaches it."""
    loop, made = asyncio.get_running_loop(), list[asyncio.Transport]()

    def noted(connect: Callable[..., Any]) -> Callable[..., Any]:
        async def connected(*args: Any, **options: Any) -> Any:
            transport, protocol = await connect(*args, **options)
            made.append(transport)
            return transport, protocol

        return connected

    for name in ("create_connection", "connect_accepted_socket"):
        setattr(loop, name, noted(getattr(loop, name)))
    try:
        await main()
        assert all(transport.is_closing() for transport in made), "something is left open"
    except BaseException:
        for transport in made:
            transport.abort()
        await asyncio.sleep(0)
        raise
