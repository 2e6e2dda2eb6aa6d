"""A TCP proxy that fails as it is told: between a client and a shard, on the loopback.

1. What goes through comes out as it went in, whatever its pace, unless it is reset.
2. A frozen direction takes nothing: its reader stands still, so that TCP's buffers fill behind it.
   What was read before waits here, at most a chunk and what its delay holds.
3. A fault holds for connections that are there and for those that come, until it is taken back.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

_CHUNK_BYTES = 1 << 16
_DELAYED = 64  # chunks of one direction that may be under way
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Weather:
    """How a line behaves. `up` is from client to server, `down` the other way."""

    latency_s: float = 0.0  # each way
    down_bytes_s: float = 0.0  # 0 is as fast as it goes
    slice_bytes: int = 0  # how much is written at once, in both directions; 0 is as it comes
    frozen_up: bool = False
    frozen_down: bool = False


FAIR = Weather()


class Proxy:
    """Listens on a free port of the loopback for as long as it is open, and leads to `port` there.

    `buffer_bytes` makes TCP's buffers towards the server small, so that it notices soon when
    nothing is taken; 0 leaves them as they are.
    """

    def __init__(self, port: int, *, buffer_bytes: int = 0) -> None:
        self._to = port
        self._buffer_bytes = buffer_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.weather = FAIR
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._accept())

    def __repr__(self) -> str:
        return f"<Proxy {self.port} to {self._to}, {len(self._links)} connections, {self.weather}>"

    def set(self, **changes: Any) -> None:
        """Change the weather; all that is not named stays."""
        self.weather = replace(self.weather, **changes)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def clear(self) -> None:
        """Fair weather again."""
        self.weather = FAIR
        self.set()

    def reset(self) -> int:
        """Cut all connections by RST, to both sides; how many there were."""
        links, self._links = self._links, set()
        for link in links:
            link.reset()
        return len(links)

    def ports(self) -> list[int]:
        """The ports by which its connections are known to the server."""
        return [link.port for link in self._links]

    async def close(self) -> None:
        """Listen no more, and end all connections."""
        self.reset()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def settle(self, *, down: bool) -> None:
        """Return when this direction is not frozen."""
        while self.weather.frozen_down if down else self.weather.frozen_up:
            await self._changed.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            self._spawn(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        """One connection, from its beginning to its end."""
        server = socket.socket()
        if self._buffer_bytes:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
        link = _Link(self, client, server)
        try:
            server.setblocking(False)
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self._to))
            link.port = server.getsockname()[1]
            self._links.add(link)
            await link.run()
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)
            link.close()


class _Link:
    """One connection: two sockets, and a reader and a writer for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self) -> None:
        """Carry bytes until both directions have ended, or one fails."""
        ways = ((self._client, self._server, False), (self._server, self._client, True))
        for source, target, down in ways:
            chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_DELAYED)
            self._tasks += [
                asyncio.create_task(self._read(source, chunks, down=down)),
                asyncio.create_task(self._write(target, chunks, down=down)),
            ]
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Cut both sides by RST."""
        for sock in (self._client, self._server):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Close both sides."""
        self._client.close()
        self._server.close()

    async def _read(
        self, source: socket.socket, chunks: asyncio.Queue[tuple[float, bytes]], *, down: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"first"
        while chunk:
            await self._proxy.settle(down=down)
            chunk = await loop.sock_recv(source, self._chunk_bytes(down=down))
            await chunks.put((loop.time() + self._proxy.weather.latency_s, chunk))

    async def _write(
        self, target: socket.socket, chunks: asyncio.Queue[tuple[float, bytes]], *, down: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await chunks.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._proxy.settle(down=down)
            if not chunk:
                target.shutdown(socket.SHUT_WR)
                return
            await self._send(target, chunk)
            rate = self._proxy.weather.down_bytes_s if down else 0
            if rate:
                await asyncio.sleep(len(chunk) / rate)

    async def _send(self, target: socket.socket, chunk: bytes) -> None:
        loop = asyncio.get_running_loop()
        size = self._proxy.weather.slice_bytes or len(chunk)
        for at in range(0, len(chunk), size):
            await loop.sock_sendall(target, chunk[at : at + size])
            if size < len(chunk):
                await asyncio.sleep(0)  # the other side reads each by itself

    def _chunk_bytes(self, *, down: bool) -> int:
        """A tenth of a second's worth where there is a limit."""
        rate = self._proxy.weather.down_bytes_s if down else 0
        return max(1, min(_CHUNK_BYTES, int(rate / 10))) if rate else _CHUNK_BYTES
