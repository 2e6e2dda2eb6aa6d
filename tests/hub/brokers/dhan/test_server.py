"""Dhan's codecs against the fake server, over a real socket."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.brokers.base import (
    Addresses,
    Change,
    Codec,
    Confirmed,
    Event,
    Failed,
    Listing,
    Subscription,
)
from hub.brokers.dhan import BROKER
from hub.core.model import Fault
from tests.brokers.dhan_server import CREDENTIALS, Server
from tests.brokers.fake import Script

RELIANCE = Listing("NSE", "RELIANCE", "NSE_EQ", "2885", tick=0.1)
NIFTY = Listing("NSE_INDEX", "NIFTY", "IDX_I", "13", kind="INDEX")


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**given), 30))

    return run


class Client:
    """A codec driven by hand."""

    def __init__(self, url: str, channel: int = 0, path: str = "", **changed: str) -> None:
        credentials = {**CREDENTIALS, **changed}
        self.codec: Codec = BROKER.channels[channel].codec(credentials, Addresses(url + path))
        self.ticks: list[tuple[str, int, dict[str, Any]]] = []
        self.events: list[Event] = []

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        self.ticks.append((sub.symbol, mode, json.loads(payload)))

    def connect(self) -> connect:
        return connect(self.codec.endpoint(None).url, compression=None, max_queue=None)

    async def change(self, line: ClientConnection, *changes: Change) -> None:
        for change in changes:
            change.sub.mode = change.to
        for frame in self.codec.change(changes):
            await line.send(frame)

    async def read(self, line: ClientConnection, ticks: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ticks) < ticks:
                self.events += self.codec.receive(await line.recv(), 1, self.take)


@in_loop
async def test_quotes_flow_and_modes_change() -> None:
    async with Server(rate=50) as server:
        client = Client(server.url)
        reliance, nifty = Subscription(RELIANCE), Subscription(NIFTY)
        async with client.connect() as line:
            await client.change(line, Change(reliance, 0, 2), Change(nifty, 0, 1))
            await client.read(line, 6)
            assert {(symbol, mode) for symbol, mode, _ in client.ticks} == {
                ("RELIANCE", 2), ("NIFTY", 1),
            }  # fmt: skip
            assert Confirmed(reliance) in client.events
            quote = next(payload for symbol, _, payload in client.ticks if symbol == "RELIANCE")
            assert quote["close"] == 2828.4
            await client.change(line, Change(reliance, 2, 3), Change(nifty, 1, 0))
            key = ("NSE_EQ", 2885)
            await server.until(lambda: server.peers[0].wants == {key: {21}})
            client.ticks.clear()
            await client.read(line, 4)
        assert client.ticks[-1][:2] == ("RELIANCE", 3)
        assert client.codec.malformed == 0


@pytest.mark.parametrize(
    ("channel", "path", "levels"), [(1, "/twentydepth", 20), (2, "/twohundreddepth", 200)]
)
@in_loop
async def test_deep_books_flow(channel: int, path: str, levels: int) -> None:
    async with Server(rate=50) as server:
        client = Client(server.url, channel, path)
        async with client.connect() as line:
            await client.change(line, Change(Subscription(RELIANCE, f"RELIANCE:{levels}"), 0, 3))
            await client.read(line, 3)
    book = client.ticks[-1][2]["depth"]
    assert [len(book["buy"]), len(book["sell"])] == [levels, levels]
    assert book["buy"][0]["price"] < book["sell"][0]["price"]


@pytest.mark.parametrize(
    ("path", "channel", "changed", "fault"),
    [
        ("", 0, {"access_token": "old"}, Fault.AUTH),
        ("", 0, {"client_id": "9"}, Fault.AUTH),
        ("/twentydepth", 1, {"access_token": "old"}, Fault.AUTH),
    ],
)
@in_loop
async def test_who_is_not_let_in_is_told_why(
    path: str, channel: int, changed: dict[str, str], fault: Fault
) -> None:
    async with Server() as server:
        client = Client(server.url, channel, path, **changed)
        async with client.connect() as line:
            (event,) = client.codec.receive(await line.recv(), 1, client.take)
    assert isinstance(event, Failed)
    assert event.fault is fault


@in_loop
async def test_the_socket_that_is_one_too_many_throws_out_the_first() -> None:
    async with Server(Script(sockets=1)) as server:
        first, second = Client(server.url), Client(server.url)
        async with first.connect() as line, second.connect():
            (event,) = first.codec.receive(await line.recv(), 1, first.take)
            with pytest.raises(ConnectionClosed):
                await line.recv()
    assert isinstance(event, Failed)
    assert event.fault is Fault.EVICTED


@in_loop
async def test_two_hundred_instruments_are_asked_in_messages_that_dhan_takes() -> None:
    async with Server() as server:
        client = Client(server.url)
        subs = [Subscription(RELIANCE._replace(token=str(n + 1))) for n in range(200)]
        async with client.connect() as line:
            await client.change(line, *(Change(sub, 0, 3) for sub in subs))
            await server.until(lambda: len(server.peers[0].wants) == 200)
    assert server.rejected == 0


@in_loop
async def test_several_packets_stand_in_one_frame() -> None:
    async with Server(Script(together=7), rate=50) as server:
        client = Client(server.url)
        subs = [Subscription(RELIANCE._replace(token=str(n + 1))) for n in range(10)]
        async with client.connect() as line:
            await client.change(line, *(Change(sub, 0, 2) for sub in subs))
            await client.read(line, 40)
    assert client.codec.malformed == 0
