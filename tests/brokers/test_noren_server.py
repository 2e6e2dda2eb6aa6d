"""The codec of the Noren family and a server that was written without it understand each other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.brokers import flattrade, shoonya
from hub.brokers.base import (
    Addresses,
    Broker,
    Change,
    Confirmed,
    Ended,
    Failed,
    Listing,
    Ready,
    Reply,
    Request,
    Subscription,
)
from hub.brokers.noren.codec import NorenCodec, Profile
from hub.brokers.noren.payloads import Payloads
from hub.core.model import Fault
from tests.brokers import noren_server
from tests.brokers.fake import Script
from tests.brokers.noren_server import CREDENTIALS, SERVERS, Server, ShoonyaServer, Thing, sample

DEFINEDGE = Profile(
    "definedge",
    "Definedge",
    Payloads("definedge_timestamp", trade_time=True, last="open_interest"),
    per_message=100,
    first="c",
    token="susertoken",
    source="TRTP",
)
CODECS: dict[str, Callable[[dict[str, str], Addresses], NorenCodec]] = {
    "flattrade": flattrade.codec,
    "shoonya": shoonya.codec,
    "definedge": lambda credentials, addresses: NorenCodec(DEFINEDGE, credentials, addresses),
}
ACC = Listing("NSE", "ACC", "NSE", "22")
ACC_ON_BSE = Listing("BSE", "ACC", "BSE", "22")
NIFTY = Listing("NSE_INDEX", "NIFTY", "NSE", "26000", kind="INDEX")
FUTURE = Listing("NFO", "NIFTY29DEC26FUT", "NFO", "65872", kind="FUT")
CURRENCY = Listing("CDS", "USDINR29DEC26FUT", "CDS", "1155", kind="FUT", precision=4)
UNKNOWN = Listing("NSE", "NOBODY", "NSE", "9")
LTP, QUOTE, DEPTH = 1, 2, 3
LOGIN_WAITS_S = 0.2
"""How long a test waits for what must not come."""


class Client:
    """A codec on a connection, driven by hand."""

    def __init__(self, codec: NorenCodec, connection: ClientConnection) -> None:
        self.codec, self.connection = codec, connection
        self.ticks: list[tuple[Subscription, int, dict[str, Any]]] = []
        self.events: list[Any] = []

    async def hear(self, until: Callable[[], object]) -> None:
        """Read messages until that holds."""
        async with asyncio.timeout(10):
            while not until():
                self.events += self.codec.receive(
                    await self.connection.recv(), time.time_ns() // 1_000_000, self._take
                )

    async def hear_ticks(self, count: int) -> None:
        """Read messages until so many ticks have come in all."""
        await self.hear(lambda: len(self.ticks) == count)

    async def hear_mode(self, mode: int) -> None:
        """Read messages until the last tick is of that mode."""
        await self.hear(lambda: self.ticks[-1][1] == mode)

    async def want(self, listing: Listing, mode: int) -> Subscription:
        sub = Subscription(listing)
        await self.switch(sub, mode)
        return sub

    async def switch(self, sub: Subscription, mode: int) -> None:
        was, sub.mode = sub.mode, mode
        for frame in self.codec.change([Change(sub, was, mode)]):
            await self.connection.send(frame)

    async def ended(self) -> tuple[Fault, str]:
        """Read until the server has closed; what the codec makes of it."""
        with pytest.raises(ConnectionClosed):
            await self.hear(lambda: False)
        code = self.connection.close_code or 0
        return self.codec.ended(Ended(code=code, ready=Ready() in self.events))

    def last(self, sub: Subscription) -> dict[str, Any]:
        return [said for one, _, said in self.ticks if one is sub][-1]

    def _take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        sub.waits = False
        self.ticks.append((sub, mode, json.loads(payload)))


@asynccontextmanager
async def client(server: Server, **credentials: str) -> AsyncIterator[Client]:
    codec = CODECS[server.dialect.broker]({**CREDENTIALS, **credentials}, Addresses(server.url))
    async with connect(codec.endpoint(None).url, compression=None) as connection:
        for frame in codec.opened():
            await connection.send(frame)
        yield Client(codec, connection)


@asynccontextmanager
async def let_in(server: Server) -> AsyncIterator[Client]:
    async with client(server) as one:
        await one.hear(lambda: one.events)
        assert one.events == [Ready()]
        yield one


def run(scene: Callable[[Server], Coroutine[Any, Any, None]], server: Server | None = None) -> None:
    async def play() -> None:
        async with server or Server() as one:
            await asyncio.wait_for(scene(one), 20)

    asyncio.run(play())


def agrees(said: dict[str, Any], thing: Thing) -> None:
    """What clients read is the server's market."""
    unit = 10.0**-thing.decimals
    known = [thing.last, thing.open, thing.high, thing.low, thing.close]
    fields = ("ltp", "open", "high", "low", "close")
    assert [said[name] for name in fields] == pytest.approx([unit * value for value in known])
    assert said["volume"] == (0 if thing.kind == "INDEX" else thing.volume)
    assert said["oi"] == (0 if thing.kind in ("EQ", "INDEX") else thing.interest)
    if "depth" in said:
        shown = said["depth"]["buy"] + said["depth"]["sell"]
        assert [tuple(level.values()) for level in shown] == [
            (pytest.approx(unit * price), quantity, orders)
            for price, quantity, orders in thing.book
        ]


@pytest.mark.parametrize("broker", SERVERS)
def test_after_many_partial_messages_clients_read_the_server_s_market(broker: str) -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as one:
            wanted = {ACC: DEPTH, ACC_ON_BSE: QUOTE, NIFTY: QUOTE, FUTURE: DEPTH, CURRENCY: DEPTH}
            subs = [await one.want(listing, mode) for listing, mode in wanted.items()]
            await one.hear(lambda: len(one.ticks) == 5)
            for count in range(2, 40):
                await server.push(server.peers[0], server.ticks(server.peers[0]))
                await one.hear_ticks(5 * count)
                for sub in subs:
                    thing = server.things[sub.listing.segment, sub.listing.token]
                    agrees(one.last(sub), thing)
            assert not one.codec.malformed

    run(scene, SERVERS[broker]())


def test_a_session_that_is_not_good_is_told_so_and_then_nothing() -> None:
    async def scene(server: Server) -> None:
        async with client(server, access_token="old") as one:
            await one.hear(lambda: one.events)
            (failed,) = one.events
            assert isinstance(failed, Failed)
            assert failed.fault is Fault.AUTH
            await one.connection.send('{"t":"t","k":"NSE|22"}')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.connection.recv(), LOGIN_WAITS_S)
            assert len(server.peers) == 1

    run(scene)


def test_nothing_is_served_before_the_login() -> None:
    async def scene(server: Server) -> None:
        server.script.auth_answers = False
        async with client(server) as one:
            await one.connection.send('{"t":"t","k":"NSE|22"}')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.connection.recv(), LOGIN_WAITS_S)

    run(scene)


def test_a_second_login_of_the_same_session_evicts_the_first() -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as first, let_in(server) as second:
            fault, text = await asyncio.wait_for(first.ended(), 1)
            assert fault is Fault.EVICTED
            assert first.connection.close_code == 1000
            assert "elsewhere" in text
            await second.want(ACC, LTP)
            await second.hear(lambda: second.ticks)

    run(scene)


def test_who_comes_back_too_soon_is_closed_upon() -> None:
    async def scene(server: Server) -> None:
        server.cool_down_s = 60.0
        async with let_in(server):
            pass
        await server.until(lambda: not server.peers)
        async with client(server) as again:
            fault, _ = await again.ended()
            assert fault is Fault.RATE

    run(scene)


def test_a_connection_that_is_cut_is_no_eviction() -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as one:
            server.peers[0].drop()
            fault, _ = await one.ended()
            assert fault is Fault.NETWORK

    run(scene)


def test_what_the_server_does_not_know_is_never_confirmed() -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as one:
            nobody, acc = await one.want(UNKNOWN, QUOTE), await one.want(ACC, QUOTE)
            await one.hear(lambda: not acc.waits)
            assert nobody.waits
            assert Confirmed(nobody) not in one.events

    run(scene)


def test_past_its_symbols_the_server_is_silent() -> None:
    async def scene(server: Server) -> None:
        server.script.symbols = 1
        async with let_in(server) as one:
            acc, more = await one.want(ACC, QUOTE), await one.want(NIFTY, QUOTE)
            await one.connection.send(one.codec.beat()[0])
            await one.hear(lambda: not acc.waits)
            assert await one.connection.recv() == '{"t":"h"}'
            assert more.waits

    run(scene)


@pytest.mark.parametrize(
    "modes", [(QUOTE, DEPTH), (DEPTH, QUOTE, DEPTH), (LTP, QUOTE, DEPTH), (DEPTH, LTP, QUOTE)]
)
def test_through_changes_of_mode_what_clients_read_stays_the_market(modes: tuple[int, ...]) -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as one:
            sub = await one.want(ACC, modes[0])
            await one.hear(lambda: one.ticks)
            for mode in modes[1:]:
                await server.push(server.peers[0], server.ticks(server.peers[0]))
                await one.switch(sub, mode)
                await one.hear_mode(mode)
            stream = "d" if modes[-1] == DEPTH else "t"
            await server.until(lambda: server.peers[0].wants["NSE", "22"] == {stream})
            await server.push(server.peers[0], server.ticks(server.peers[0]))
            thing = server.things["NSE", "22"]
            await one.hear(lambda: one.last(sub)["volume"] == thing.volume)
            agrees(one.last(sub), thing)
            volumes = [said["volume"] for _, mode, said in one.ticks if mode != LTP]
            assert volumes == sorted(volumes)

    run(scene)


def test_quote_where_ltp_was_had_is_there_at_once_though_the_server_says_nothing() -> None:
    async def scene(server: Server) -> None:
        server.duplicates_answered = False
        async with let_in(server) as one:
            sub = await one.want(ACC, LTP)
            await one.hear(lambda: one.ticks)
            await one.switch(sub, QUOTE)
            await one.hear_mode(QUOTE)
            agrees(one.last(sub), server.things["NSE", "22"])

    run(scene)


def test_orders_and_beats_between_ticks_change_nothing() -> None:
    async def scene(server: Server) -> None:
        async with let_in(server) as one:
            acc = await one.want(ACC, DEPTH)
            await one.connection.send('{"t":"o","actid":"FT012345"}')
            await one.hear(lambda: one.ticks)
            peer = server.peers[0]
            ticks = server.ticks(peer)
            for data in (server.order(), '{"t":"h"}', *ticks, server.order()):
                await peer.send(data)
            await one.hear(lambda: len(one.ticks) == 2)
            agrees(one.last(acc), server.things["NSE", "22"])
            assert not one.codec.malformed

    run(scene)


@pytest.mark.parametrize(
    ("server", "broker"), [(Server, flattrade.BROKER), (ShoonyaServer, shoonya.BROKER)]
)
def test_a_code_becomes_the_session_once(server: type[Server], broker: Broker) -> None:
    async def scene(one: Server) -> None:
        assert broker.login
        request = broker.login.request(
            CREDENTIALS, Addresses(one.url, one.api), noren_server.CODE, 0.0
        )
        kept = broker.login.take(await asyncio.to_thread(ask, request), CREDENTIALS)
        assert (kept["access_token"], kept["user_id"]) == ("session-of-the-day", "FT012345")
        again = await asyncio.to_thread(ask, request)
        assert json.loads(again.body)["stat"] == "Not_Ok"

    run(scene, server())


@pytest.mark.parametrize(
    ("server", "broker"), [(Server, flattrade.BROKER), (ShoonyaServer, shoonya.BROKER)]
)
def test_lists_of_instruments_are_served_where_they_are_looked_for(
    server: type[Server], broker: Broker
) -> None:
    async def scene(one: Server) -> None:
        for source in broker.instruments.sources:
            name = source.url.rpartition("/")[2]
            found = await asyncio.to_thread(ask, Request("GET", f"{one.api}/{name}"))
            assert found.status == 200
            assert found.body == one.file(name)

    run(scene, server())


@pytest.mark.parametrize("mode", [LTP, QUOTE, DEPTH])
def test_a_sample_is_what_the_codec_makes_ticks_of(mode: int) -> None:
    listings, frames = sample(20, mode, 100)
    codec = flattrade.codec(CREDENTIALS, Addresses(""))
    subs = [Subscription(listing) for listing in listings]
    for sub in subs:
        sub.mode = mode
    modes: list[int] = []
    events = [*codec.receive(frames[0], 0, lambda *_: None)]
    codec.change([Change(sub, 0, mode) for sub in subs])
    for frame in frames[1:]:
        events += codec.receive(frame, 0, lambda _, mode, *__: modes.append(mode))
    assert (events, codec.malformed) == ([Ready()], 0)
    assert modes == [mode] * 120


def test_rotated_credentials_are_refused_and_new_ones_let_in() -> None:
    async def scene(server: Server) -> None:
        server.script.credentials["access_token"] = "of-tomorrow"
        async with client(server) as old:
            await old.hear(lambda: old.events)
            assert isinstance(old.events[0], Failed)
        async with client(server, access_token="of-tomorrow") as new:
            await new.hear(lambda: new.events)
            assert new.events == [Ready()]

    run(scene, Server(Script(credentials=dict(CREDENTIALS))))


def ask(request: Request) -> Reply:
    parts = urlsplit(request.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request(request.method, parts.path, request.body, dict(request.headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return Reply(answer.status, {}, body)
