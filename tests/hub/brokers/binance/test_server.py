"""Binance's codec against the fake server, over a real socket."""

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
    Confirmed,
    Ended,
    Event,
    Failed,
    Listing,
    Refused,
    Subscription,
)
from hub.brokers.binance.codec import Codec
from hub.core.model import Fault
from tests.brokers.binance_server import Server

BTC = Listing("CRYPTO", "BTCUSDT", "SPOT", "btcusdt", tick=0.01)
ETH = Listing("CRYPTO", "ETHUSDT", "SPOT", "ethusdt", tick=0.01)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**given), 30))

    return run


class Client:
    """A codec driven by hand."""

    def __init__(self, url: str) -> None:
        self.codec = Codec({}, Addresses(url))
        self.ticks: list[tuple[str, int, dict[str, Any]]] = []
        self.events: list[Event] = []

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        self.ticks.append((sub.symbol, mode, json.loads(payload)))

    def connect(self) -> connect:
        return connect(self.codec.endpoint(None).url, compression=None)

    async def change(self, line: ClientConnection, *changes: Change) -> None:
        for change in changes:
            change.sub.mode = change.to
        for frame in self.codec.change(changes):
            await line.send(frame)

    async def read(self, line: ClientConnection, until: Callable[[], object]) -> None:
        while not until():
            self.events += self.codec.receive(await line.recv(), 1, self.take)


@in_loop
async def test_quotes_and_books_flow() -> None:
    async with Server(rate=50) as server:
        client, btc, eth = Client(server.url), Subscription(BTC), Subscription(ETH)
        async with client.connect() as line:
            await client.change(line, Change(btc, 0, 2), Change(eth, 0, 3))
            await client.read(line, lambda: {t[:2] for t in client.ticks} >= {
                ("BTCUSDT", 2), ("ETHUSDT", 3),
            })  # fmt: skip
            assert client.events == [Confirmed(btc), Confirmed(eth)]
            await client.change(line, Change(btc, 2, 0), Change(eth, 3, 1))
            await client.read(line, lambda: client.ticks[-1][:2] == ("ETHUSDT", 1))
            assert set(server.peers[0].wants) == {"ethusdt@aggTrade", "ethusdt@ticker"}
    book = next(payload for _, mode, payload in client.ticks if mode == 3)["depth"]
    assert book["buy"][0]["price"] < book["sell"][0]["price"]
    assert client.codec.malformed == 0


@in_loop
async def test_more_streams_than_a_socket_carries_are_refused() -> None:
    async with Server() as server:
        server.streams = 4
        client, btc, eth = Client(server.url), Subscription(BTC), Subscription(ETH)
        async with client.connect() as line:
            await client.change(line, Change(btc, 0, 2))
            await client.change(line, Change(eth, 0, 1))
            await client.read(line, lambda: len(client.events) == 2)
    confirmed, refused = client.events
    assert confirmed == Confirmed(btc)
    assert isinstance(refused, Refused)
    assert (refused.subs, refused.fault) == ((eth,), Fault.CAPACITY)


@in_loop
async def test_a_full_socket_changes_modes_without_one_stream_too_many() -> None:
    async with Server() as server:
        server.streams = 3
        client, btc = Client(server.url), Subscription(BTC)
        async with client.connect() as line:
            await client.change(line, Change(btc, 0, 2))
            await client.change(line, Change(btc, 2, 3))
            await client.read(line, lambda: len(client.events) == 2)
    assert client.events == [Confirmed(btc), Confirmed(btc)]


@in_loop
async def test_who_sends_too_fast_is_told_so_by_the_end() -> None:
    async with Server() as server:
        client = Client(server.url)
        async with client.connect() as line:
            sub = Subscription(BTC)
            for n in range(6):
                await client.change(line, Change(sub, n % 2, (n + 1) % 2))
            with pytest.raises(ConnectionClosed) as caught:
                await client.read(line, lambda: False)
    close = caught.value.rcvd
    assert close is not None
    fault, text = client.codec.ended(Ended(close.code, close.reason))
    assert (fault, "Too many requests" in text) == (Fault.RATE, True)


@in_loop
async def test_a_server_that_shuts_down_is_left() -> None:
    async with Server() as server:
        client = Client(server.url)
        async with client.connect() as line:
            await server.until(lambda: server.peers)
            await server.shut_down(server.peers[0])
            await client.read(line, lambda: client.events)
    (event,) = client.events
    assert isinstance(event, Failed)
    assert event.fault is Fault.NETWORK
