"""A fake Angel and the codec understand each other, over a real socket."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.brokers.angel import BROKER
from hub.brokers.angel.codec import Codec
from hub.brokers.base import (
    Addresses,
    Change,
    Credentials,
    Ended,
    Event,
    Listing,
    Refused,
    Reply,
    Subscription,
)
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.angel_server import CREDENTIALS, Server
from tests.brokers.fake import Answer

RELIANCE = Listing("NSE", "RELIANCE", "1", "2885")
NIFTY = Listing("NSE_INDEX", "NIFTY", "1", "99926000", kind="INDEX")
FUTURE = Listing("NFO", "NIFTY29DEC26FUT", "2", "52001", kind="FUT")


def run(scene: Callable[[Server], Coroutine[Any, Any, None]], server: Server | None = None) -> None:
    async def play() -> None:
        async with server or Server() as fake:
            await asyncio.wait_for(scene(fake), 20)

    asyncio.run(play())


class Line:
    """One connection of the codec, driven by hand."""

    def __init__(self, fake: Server, told: Credentials = CREDENTIALS, channel: int = 0) -> None:
        kind = BROKER.channels[channel]
        self.codec = kind.codec(told, Addresses(fake.url, fake.api))
        self.took: list[tuple[str, int, dict[str, Any], int]] = []
        self.events: list[Event] = []
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        place = self.codec.endpoint(None)
        self.socket = await connect(
            place.url, additional_headers=dict(place.headers), compression=None, close_timeout=0.1
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    @property
    def refusals(self) -> list[Refused]:
        return [event for event in self.events if isinstance(event, Refused)]

    async def ask(self, *subs: Subscription) -> None:
        for frame in self.codec.change([Change(sub, 0, sub.mode) for sub in subs]):
            await self.socket.send(frame)

    async def read(self, until: Callable[[], object]) -> None:
        while not until():
            data = await self.socket.recv()
            self.events += self.codec.receive(data, 2_000_000_000_000, self._take)
        assert not self.codec.malformed

    def _take(self, sub: Subscription, mode: int, data: bytes, at_ms: int, seq: int) -> None:
        self.took.append((sub.symbol, mode, json.loads(data), seq))


def wanted(listing: Listing, mode: int, symbol: str = "") -> Subscription:
    sub = Subscription(listing, symbol)
    sub.mode = mode
    return sub


async def refused(line: Line) -> tuple[Fault, str]:
    """How the upgrade was refused, as the codec tells it."""
    with pytest.raises(InvalidStatus) as failed:
        await line.__aenter__()
    got = failed.value.response
    headers = {name.lower(): value for name, value in got.headers.raw_items()}
    return line.codec.ended(
        Ended(status=got.status_code, headers=headers, body=bytes(got.body or b""))
    )


def test_ticks_of_all_modes_flow() -> None:
    async def scene(fake: Server) -> None:
        async with Line(fake) as line:
            await line.ask(wanted(RELIANCE, 3), wanted(NIFTY, 1), wanted(FUTURE, 2))
            await line.read(lambda: len(line.took) >= 30)
        assert {(symbol, mode) for symbol, mode, _, _ in line.took} == {
            ("RELIANCE", 3),
            ("NIFTY", 1),
            ("NIFTY29DEC26FUT", 2),
        }
        sequences: dict[str, list[int]] = {symbol: [] for symbol, *_ in line.took}
        for symbol, _, _, seq in line.took:
            sequences[symbol].append(seq)
        assert set(sequences.pop("NIFTY")) == {0}, "an index has none"
        assert all(one == sorted(set(one)) for one in sequences.values())

    run(scene, Server(rate=100))


def test_another_mode_leaves_one_stream() -> None:
    async def scene(fake: Server) -> None:
        sub = wanted(RELIANCE, 1)
        async with Line(fake) as line:
            await line.ask(sub)
            sub.mode = 3
            for frame in line.codec.change([Change(sub, 1, 3)]):
                await line.socket.send(frame)
            await fake.until(lambda: list(fake.peers[0].wants) == [(3, 1, "2885")])
            sub.mode = 0
            for frame in line.codec.change([Change(sub, 3, 0)]):
                await line.socket.send(frame)
            await fake.until(lambda: not fake.peers[0].wants)

    run(scene)


@pytest.mark.parametrize("name", ["api_key", "client_code", "access_token", "feed_token"])
def test_wrong_headers_are_refused(name: str) -> None:
    async def scene(fake: Server) -> None:
        fault, text = await refused(Line(fake, CREDENTIALS | {name: "wrong"}))
        assert fault is Fault.AUTH
        assert "(401): Invalid" in text

    run(scene)


def test_a_fourth_connection_is_one_too_many() -> None:
    async def scene(fake: Server) -> None:
        async with Line(fake), Line(fake), Line(fake):
            fault, _ = await refused(Line(fake))
            assert fault is Fault.CAPACITY
        await fake.until(lambda: not fake.peers)
        async with Line(fake):
            pass

    run(scene)


def test_beyond_the_quota_nothing_is_taken_and_the_others_flow() -> None:
    async def scene(fake: Server) -> None:
        fake.script.symbols = 2
        more = [wanted(Listing("NSE", f"S{n}", "1", str(n)), 1) for n in range(3)]
        async with Line(fake) as line:
            await line.ask(wanted(RELIANCE, 2))
            await line.ask(*more)
            await line.read(lambda: line.events)
            assert line.events == [
                Refused(
                    tuple(more),
                    Fault.CAPACITY,
                    "Angel does not take it: Subscription limit exceeded. (E1002)",
                )
            ]
            await fake.push(fake.peers[0], fake.ticks(fake.peers[0]))
            await line.read(lambda: len(line.took) >= 2)
        assert {symbol for symbol, *_ in line.took} == {"RELIANCE"}

    run(scene)


def test_a_session_that_has_ended_is_begun_anew() -> None:
    async def scene(fake: Server) -> None:
        fake.rotate(2)
        assert (await refused(Line(fake)))[0] is Fault.AUTH
        async with Line(fake, CREDENTIALS | await login(fake, CREDENTIALS)):
            pass
        with pytest.raises(BrokerError, match="Invalid totp"):
            await login(fake, CREDENTIALS | {"pin": "0000"})

    run(scene)


async def login(fake: Server, told: Credentials) -> dict[str, str]:
    assert BROKER.login is not None
    asked = BROKER.login.request(told, Addresses(fake.url, fake.api), "", time.time())
    async with httpx.AsyncClient() as client:
        got = await client.request(
            asked.method, asked.url, headers=dict(asked.headers), content=asked.body
        )
    return BROKER.login.take(Reply(got.status_code, {}, got.content), told)


def test_twenty_levels_are_for_fifty_tokens_of_one_segment() -> None:
    async def scene(fake: Server) -> None:
        subs = [wanted(Listing("NSE", f"S{n}", "1", str(n)), 3, f"S{n}:20") for n in range(1, 52)]
        async with Line(fake, channel=1) as line:
            await line.ask(*subs[:50])
            await line.read(
                lambda: sum(len(one["depth"]["buy"]) == 20 for _, _, one, _ in line.took) >= 50
            )
            await line.ask(subs[50])
            await line.read(lambda: line.events)
            await line.ask(wanted(FUTURE, 3, "NIFTY29DEC26FUT:20"))
            await line.read(lambda: len(line.refusals) == 2)
        assert [one.fault for one in line.refusals] == [Fault.CAPACITY, Fault.NETWORK]

    run(scene)


BAD: Sequence[object] = (
    "no JSON",
    "[]",
    {"action": 1},
    {"action": 2, "params": {"mode": 1, "tokenList": []}},
    {"action": 1, "params": {"mode": 5, "tokenList": []}},
    {"action": 1, "params": {"mode": 1, "tokenList": [{"exchangeType": 6, "tokens": []}]}},
    {"action": 1, "params": {"mode": 1, "tokenList": [{"exchangeType": 1, "tokens": [2885]}]}},
)


@pytest.mark.parametrize("bad", BAD)
def test_what_angel_would_not_understand_is_answered_with_an_error(bad: object) -> None:
    async def scene(fake: Server) -> None:
        async with Line(fake) as line:
            await line.socket.send(bad if isinstance(bad, str) else json.dumps(bad))
            assert json.loads(await line.socket.recv())["errorCode"] == "E1001"
            for frame in line.codec.beat():
                await line.socket.send(frame)
            assert await line.socket.recv() == "pong"

    run(scene)


def test_who_sends_no_ping_is_left() -> None:
    async def scene(fake: Server) -> None:
        fake.idle_s = 0.05
        async with Line(fake) as line:
            with pytest.raises(ConnectionClosed):
                await line.socket.recv()

    run(scene)


def test_frames_that_are_cut_and_garbage_do_no_harm() -> None:
    async def scene(fake: Server) -> None:
        async with Line(fake) as line:
            await line.ask(wanted(RELIANCE, 2))
            await fake.until(lambda: fake.peers[0].wants)
            (tick,) = fake.ticks(fake.peers[0])
            assert isinstance(tick, bytes)
            await fake.peers[0].send_cut(tick, 100)
            await fake.peers[0].send_in_fragments(tick, 7)
            await fake.peers[0].send("no JSON")
            codec = line.codec
            for _ in range(4):
                codec.receive(await line.socket.recv(), 2_000_000_000_000, line._take)
            assert isinstance(codec, Codec)
            assert (len(line.took), codec.malformed) == (2, 2)

    run(scene)


def test_it_has_a_list_of_instruments() -> None:
    async def scene(fake: Server) -> None:
        (source,) = BROKER.instruments.sources
        async with httpx.AsyncClient() as client:
            got = await client.get(f"{fake.api}/{source.url.rpartition('/')[2]}")
            assert (await client.get(f"{fake.api}/other")).status_code == Answer(404).status
        listed = [*BROKER.instruments.read(source.name, io.BytesIO(got.content))]
        assert RELIANCE._replace(broker_symbol="RELIANCE-EQ", name="RELIANCE", tick=0.1) in listed

    run(scene)
