"""The proxy between real sockets: what goes through is whole, and each fault does what it says."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from scripts.faults.proxy import FAIR, Proxy

WITHIN_S = 10.0


class End:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, most: int = 1 << 16) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, most)

    async def exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = await self.read(min(count - len(data), 1 << 16))
            assert more, f"it ended after {len(data)} of {count} bytes"
            data += more
        return bytes(data)

    async def is_silent(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            await asyncio.wait_for(self.read(1), 0.2)
        except TimeoutError:
            return True
        return False


class Stage:
    """A server's listener, a proxy before it, and what has connected."""

    def __init__(self, proxy: Proxy, listener: socket.socket) -> None:
        self.proxy = proxy
        self._listener = listener
        self.ends: list[End] = []

    async def connect(self) -> tuple[End, End]:
        """A connection through the proxy: the client's end and the server's."""
        loop = asyncio.get_running_loop()
        near = End(socket.socket())
        self.ends.append(near)
        await loop.sock_connect(near.sock, ("127.0.0.1", self.proxy.port))
        far = End((await loop.sock_accept(self._listener))[0])
        self.ends.append(far)
        return near, far


def play(work: Callable[[Stage], Coroutine[Any, Any, None]], buffer_bytes: int = 0) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            proxy = Proxy(listener.getsockname()[1], buffer_bytes=buffer_bytes)
            one = Stage(proxy, listener)
            try:
                async with asyncio.timeout(WITHIN_S):
                    await work(one)
            finally:
                await proxy.close()
                for end in one.ends:
                    end.sock.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "weather",
    [
        {},
        {"slice_bytes": 7},
        {"latency_s": 0.01},
        {"down_bytes_s": 200_000.0},
        {"slice_bytes": 100, "latency_s": 0.001, "down_bytes_s": 500_000.0},
    ],
)
def test_what_goes_through_comes_out_whole_in_both_directions(weather: dict[str, float]) -> None:
    data = os.urandom(30_000)

    async def work(one: Stage) -> None:
        one.proxy.set(**weather)
        near, far = await one.connect()
        writes = asyncio.gather(near.write(data), far.write(data))
        assert await far.exactly(len(data)) == data
        assert await near.exactly(len(data)) == data
        await writes
        near.sock.shutdown(socket.SHUT_WR)
        assert await far.read() == b""
        await far.write(b"the other half is open")
        assert await near.exactly(22) == b"the other half is open"
        far.sock.close()
        assert await near.read() == b""

    play(work)


def test_slices_arrive_one_by_one() -> None:
    async def work(one: Stage) -> None:
        one.proxy.set(slice_bytes=3)
        near, far = await one.connect()
        await far.write(b"x" * 3000)
        sizes: list[int] = []
        while sum(sizes) < 3000:
            sizes.append(len(await near.read(3000)))
        assert len(sizes) > 10

    play(work)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_frozen_direction_takes_nothing_and_the_other_goes_on(direction: str) -> None:
    async def work(one: Stage) -> None:
        near, far = await one.connect()
        one.proxy.set(**{f"frozen_{direction}": True})
        source, target = (near, far) if direction == "up" else (far, near)
        await source.write(b"x" * 1000)
        await target.write(b"y")
        assert await source.exactly(1) == b"y"
        assert await target.is_silent()
        one.proxy.clear()
        assert one.proxy.weather == FAIR
        assert await target.exactly(1000) == b"x" * 1000

    play(work)


def test_while_frozen_its_server_cannot_go_on_sending_for_ever() -> None:
    async def work(one: Stage) -> None:
        one.proxy.set(frozen_down=True)
        near, far = await one.connect()
        far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        data = os.urandom(1 << 20)
        writing = asyncio.create_task(far.write(data))
        assert await near.is_silent()
        assert not writing.done()
        one.proxy.clear()
        assert await near.exactly(len(data)) == data
        await writing

    play(work, buffer_bytes=1 << 14)


def test_a_slow_line_gives_no_more_than_it_says() -> None:
    async def work(one: Stage) -> None:
        one.proxy.set(down_bytes_s=10_000.0)
        near, far = await one.connect()
        await far.write(b"x" * 20_000)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await near.exactly(5000)
        assert loop.time() - start_s > 0.3, "5000 bytes are half a second's worth"

    play(work)


def test_a_delay_is_kept() -> None:
    async def work(one: Stage) -> None:
        one.proxy.set(latency_s=0.15)
        near, far = await one.connect()
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await near.write(b"x")
        await far.exactly(1)
        assert loop.time() - start_s >= 0.15

    play(work)


def test_a_reset_reaches_both_sides_and_who_comes_then_is_served() -> None:
    async def work(one: Stage) -> None:
        near, far = await one.connect()
        await near.write(b"x")
        assert await far.exactly(1) == b"x"
        assert one.proxy.reset() == 1
        for side in (near, far):
            with pytest.raises(ConnectionResetError):
                await side.read()
        assert one.proxy.ports() == []
        near, far = await one.connect()
        await near.write(b"y")
        assert await far.exactly(1) == b"y"

    play(work)


def test_the_server_knows_its_connections_by_the_ports_it_names() -> None:
    async def work(one: Stage) -> None:
        near, far = await one.connect()
        await near.write(b"x")
        await far.exactly(1)
        assert one.proxy.ports() == [far.sock.getpeername()[1]]

    play(work)


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        proxy = Proxy(port)
        with socket.socket() as sock:
            near = End(sock)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(near.read(), WITHIN_S)
        await proxy.close()

    asyncio.run(main())
