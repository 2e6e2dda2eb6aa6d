"""A publisher that loses nothing on its side of the bus."""

from __future__ import annotations

import asyncio

import pytest
import zmq

from hub.core.errors import NoAnswer
from hub.runtime.publisher import Publisher


def test_it_waits_for_the_bus_and_then_all_of_it_arrives_however_slow_the_bus_is() -> None:
    many = [b"%d" % number for number in range(40_000)]

    async def play_all(publisher: Publisher) -> None:
        await publisher.connected(10)
        await publisher.publish(many)

    async def play() -> list[bytes]:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sub = context.socket(zmq.SUB)
        sub.setsockopt(zmq.RCVHWM, 100)
        port = sub.bind_to_random_port("tcp://127.0.0.1")
        publisher = Publisher(f"tcp://127.0.0.1:{port}")
        try:
            with pytest.raises(NoAnswer, match=r"the bus at tcp://.* did not answer"):
                await publisher.connected(0.05)
            sub.setsockopt(zmq.SUBSCRIBE, b"")
            sending = asyncio.create_task(play_all(publisher))
            got: list[bytes] = []
            while len(got) < len(many):
                if sub.poll(0):
                    got += sub.recv_multipart()
                else:
                    await asyncio.sleep(0.001)
            await sending
        finally:
            publisher.close()
            sub.close()
            context.term()
        return got

    assert asyncio.run(asyncio.wait_for(play(), 30)) == many
