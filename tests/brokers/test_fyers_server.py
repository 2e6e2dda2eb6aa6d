"""The codecs of Fyers speak to the fake one, over sockets: what it demands, they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from hub.brokers.base import (
    Addresses,
    Change,
    Codec,
    Event,
    Failed,
    Listing,
    Ready,
    Refused,
    Reply,
    Say,
    Subscription,
)
from hub.brokers.fyers import BROKER
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_lists import listings
from tests.brokers.fyers_server import CREDENTIALS, FyersScript, Server

NIFTY = Listing("NSE_INDEX", "NIFTY", "nse_cm", "Nifty 50", kind="INDEX")


class Line:
    """One codec on one socket, driven by hand."""

    def __init__(self, codec: Codec, socket: ClientConnection) -> None:
        self.codec = codec
        self.events: list[Event] = []
        self.ticks: list[tuple[str, int, dict[str, Any]]] = []
        self._socket = socket

    async def say(self, frames: Sequence[str | bytes]) -> None:
        for frame in frames:
            await self._socket.send(frame)

    async def want(self, listings: Sequence[Listing], mode: int, suffix: str = "") -> None:
        subs = [Subscription(one, one.symbol + suffix) for one in listings]
        for sub in subs:
            sub.mode = mode
        await self.say(self.codec.change([Change(sub, 0, mode) for sub in subs]))

    async def hear(self, enough: Any) -> None:
        async with asyncio.timeout(10):
            while not enough():
                now_ms = int(asyncio.get_running_loop().time() * 1000)
                events = self.codec.receive(await self._socket.recv(), now_ms, self._take)
                self.events += events
                for event in events:
                    if isinstance(event, Say):
                        await self.say(event.frames)

    def _take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        sub.waits = False
        self.ticks.append((sub.symbol, mode, json.loads(payload)))

    def has_ticks(self, count: int) -> bool:
        return len(self.ticks) >= count

    def has(self, kind: type) -> bool:
        return any(isinstance(event, kind) for event in self.events)


@asynccontextmanager
async def line(
    server: Server, channel: int = 0, credentials: Mapping[str, str] = CREDENTIALS
) -> AsyncIterator[Line]:
    codec = BROKER.channels[channel].codec(credentials, Addresses(server.url, server.api))
    reply = None
    if request := codec.ask():
        async with httpx.AsyncClient() as http:
            got = await http.request(request.method, request.url, headers=dict(request.headers))
        reply = Reply(got.status_code, dict(got.headers), got.content)
    url, headers = codec.endpoint(reply)
    async with connect(url, additional_headers=headers, compression=None) as socket:
        one = Line(codec, socket)
        await one.say(codec.opened())
        if not codec.ready:
            await one.hear(lambda: one.has(Ready) or one.has(Failed))
        yield one


async def _quotes_and_books() -> None:
    async with Server(FyersScript(ack_every=2, together=7)) as server, line(server) as one:
        shares = listings(4)
        await one.want([*shares, NIFTY], 3)
        await one.hear(lambda: len({name for name, mode, _ in one.ticks if mode == 3}) == 5)
        (peer,) = server.peers
        before = len(one.ticks)
        for turn in range(1, 10):
            await server.push(peer, server.ticks(peer))
            await one.hear(partial(one.has_ticks, before + 9 * turn))
        assert len(server.acknowledged) >= 9
        assert one.codec.malformed == 0
        await one.say(one.codec.beat())
        await server.until(lambda: server.pings == 1)


def test_quotes_books_and_acknowledgements() -> None:
    asyncio.run(_quotes_and_books())


async def _without_acknowledgements() -> int:
    async with Server(FyersScript(ack_every=1)) as server, line(server) as one:
        one.codec.receive(wire.yes(1, 0), 1, lambda *_: None)  # it forgets to acknowledge
        await one.want(listings(1), 2)
        await one.hear(lambda: one.ticks)
        (peer,) = server.peers
        for _ in range(20):
            await server.push(peer, server.ticks(peer))
        await peer.send(wire.custom(1, "the end", 0))
        await one.hear(lambda: len(one.events) > 2)
        return len(one.ticks)


def test_the_server_stalls_who_does_not_acknowledge() -> None:
    assert asyncio.run(_without_acknowledgements()) < 6


async def _answers_to_a_login(credentials: Mapping[str, str]) -> Line:
    async with Server() as server, line(server, credentials=credentials) as one:
        return one


def test_a_token_of_yesterday_is_refused() -> None:
    old = CREDENTIALS | {"access_token": wire.token("of-yesterday")}
    one = asyncio.run(_answers_to_a_login(old))
    assert one.has(Failed)
    assert not one.codec.ready


async def _silence_for_a_header() -> None:
    async with Server() as server:
        headers = {"Authorization": CREDENTIALS["access_token"]}
        async with connect(server.url, additional_headers=headers) as socket:
            codec = BROKER.channels[0].codec(CREDENTIALS, Addresses(server.url))
            for frame in codec.opened():
                await socket.send(frame)
            await server.until(lambda: server.heard)
            await socket.recv()  # the master data, which is sent to everybody
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await socket.recv()


def test_an_upgrade_with_a_header_is_never_answered() -> None:
    asyncio.run(_silence_for_a_header())


async def _plan() -> Line:
    async with Server(FyersScript(plan=3)) as server, line(server) as one:
        await one.want(listings(3), 1)
        await one.hear(lambda: len(one.ticks) == 3)
        await one.want(listings(5)[3:], 1)
        await one.hear(lambda: one.has(Refused))
        return one


def test_past_the_plan_subscriptions_are_refused() -> None:
    (refused,) = (event for event in asyncio.run(_plan()).events if isinstance(event, Refused))
    assert [sub.symbol for sub in refused.subs] == ["MADE3", "MADE4"]


async def _deep_books() -> None:
    async with Server() as server, line(server, 1) as one:
        await one.want(listings(6), 3, ":50")
        await one.hear(lambda: len(one.ticks) == 5)
        (peer,) = server.peers
        await server.push(peer, server.ticks(peer))
        await one.hear(lambda: len(one.ticks) == 10)
        name, mode, payload = one.ticks[-1]
        assert (name, mode) == ("MADE4:50", 3)
        assert payload["depth"]["buy"][0]["quantity"] == 101
        assert len(payload["depth"]["sell"]) == 50
        assert one.codec.malformed == 0
        await one.say(one.codec.beat())
        await server.until(lambda: server.heard[-1].data == "ping")


def test_deep_books_come_whole_and_then_in_changes() -> None:
    asyncio.run(_deep_books())


async def _deep_books_need_a_header() -> None:
    async with Server() as server:
        with pytest.raises(InvalidStatus):
            await connect(f"{server.url}/versova").__aenter__()


def test_deep_books_need_the_header() -> None:
    asyncio.run(_deep_books_need_a_header())


async def _login() -> dict[str, str]:
    login = BROKER.login
    assert login is not None
    async with Server() as server, httpx.AsyncClient() as http:
        says = {"api_key": "A", "api_secret": "S", "redirect_url": "R"}
        request = login.request(says, Addresses(server.url, server.api), "auth-code-1", 0)
        got = await http.request(
            request.method, request.url, headers=dict(request.headers), content=request.body
        )
        return login.take(Reply(got.status_code, {}, got.content), says)


def test_a_login_brings_the_token() -> None:
    assert asyncio.run(_login()) == {"access_token": CREDENTIALS["access_token"]}
