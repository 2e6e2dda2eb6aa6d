"""What tests of sockets have in common: a loop that tells of every error, and both wires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop
import zmq

from hub.core.settings import Bus, Flow, Settings
from hub.core.window import Window
from hub.runtime import wire
from hub.runtime.pipe import Outlet
from hub.runtime.pump import Inlet

WIRES = ("native", "libzmq")
both_wires = pytest.mark.parametrize("kind", WIRES)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in the loop that the hub has; an error in a callback fails it."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await asyncio.wait_for(test, 30)

    uvloop.run(watched())
    assert errors == []


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.002)


async def receive(sock: zmq.Socket[bytes]) -> list[bytes]:
    """The next message, while the loop goes on."""
    await until(lambda: sock.poll(0))
    return sock.recv_multipart()


class Wide(Window):
    """A window that is as wide as it was made; `told` has what it was told."""

    def __init__(self, width_ms: float) -> None:
        super().__init__(50)
        self.width_ms = width_ms
        self.told: list[int] = []

    def took(self, count: int, now_s: float) -> None:
        self.told.append(count)


def settings(kind: str, *, queue: int = 100_000, most_bytes: int = 1 << 20) -> Settings:
    """Settings with this wire, and a bus on any port."""
    bus = Bus(port=0, queue=queue, max_message_bytes=most_bytes)
    return Settings(bus=bus, flow=Flow(wire=kind, pipe=queue))


class Way:
    """A shard's stream over one wire, the router's end and the shard's."""

    def __init__(self, kind: str, directory: Path, shard: int = 0, *, queue: int = 100_000) -> None:
        self._settings = settings(kind, queue=queue)
        self._directory, self._shard = directory, shard
        self.outlet: Outlet = wire.to_shard(self._settings, directory, shard)

    def inlet(self, take: Callable[[list[bytes]], None]) -> Inlet:
        return wire.from_router(self._settings, self._directory, self._shard, take)

    async def send(self, *parts: bytes) -> None:
        """Send as soon as there is a reader and room."""
        await until(lambda: self.outlet.send(parts))

    def send_now(self, messages: Sequence[bytes]) -> None:
        """Send while the loop waits: none of it is read before all is sent."""
        for message in messages:
            assert self.outlet.send([message])
