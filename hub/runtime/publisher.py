"""A program that publishes on the bus and loses nothing on its own side of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import zmq

from hub.core.errors import NoAnswer
from hub.runtime import links

_QUEUE = 10_000
_LOOK_S = 0.002


class Publisher:
    """A PUB socket that knows when the bus is there, and waits while it is full."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._sock = links.connect(zmq.XPUB, address, queue=_QUEUE)
        self._sock.setsockopt(zmq.XPUB_NODROP, 1)

    def __repr__(self) -> str:
        return f"<Publisher {self._address}>"

    async def connected(self, within_s: float) -> None:
        """Wait until the bus has subscribed: what is sent earlier goes nowhere. Raises NoAnswer."""
        until_s = asyncio.get_running_loop().time() + within_s
        while not self._sock.poll(0):
            if asyncio.get_running_loop().time() > until_s:
                raise NoAnswer(f"the bus at {self._address}", within_s)
            await asyncio.sleep(_LOOK_S)
        self._sock.recv()

    async def publish(self, pairs: Sequence[bytes]) -> None:
        """Send ticks as `[topic, json, topic, json, ...]`."""
        for at in range(0, len(pairs), 2):
            while not self._sent(pairs[at : at + 2]):  # noqa: ASYNC110  # libzmq sets no event
                await asyncio.sleep(_LOOK_S)

    def _sent(self, parts: Sequence[bytes]) -> bool:
        try:
            self._sock.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Publish no more; what was sent is on its way."""
        self._sock.close()
