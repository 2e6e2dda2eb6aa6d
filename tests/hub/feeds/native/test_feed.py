"""The feed of brokers, with a broker that is none: what is answered, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hub.brokers import catalogue
from hub.core.errors import BrokerError
from hub.core.model import FULL, Fault, Instrument, Mode, Result, Want
from hub.core.settings import Account, Hub, Instruments, Settings, Upstream
from hub.credentials.provider import Provider
from hub.feeds.base import FeedState
from hub.feeds.native.feed import NativeFeed
from hub.instruments import store
from tests.hub.feeds.native.toy import (
    LISTINGS,
    Sink,
    ToyCodec,
    ToyServer,
    credentials_file,
    serving,
    toy,
    until,
)

LTP, QUOTE, DEPTH = Mode.LTP.bit, Mode.QUOTE.bit, Mode.DEPTH.bit


class World(NamedTuple):
    feed: NativeFeed
    sink: Sink
    server: ToyServer
    room: Path

    def want(self, number: int, modes: int = QUOTE) -> bytes:
        return self.want_symbol("NSE", f"S{number}", modes)

    def want_symbol(self, exchange: str, symbol: str, modes: int = QUOTE) -> bytes:
        key = Instrument(exchange, symbol).key
        self.feed.apply([Want(key, modes, 5, exchange, symbol)])
        return key

    def results(self, key: bytes) -> list[Result]:
        return [result for result in self.sink.answers if result.key == key]

    async def answer(self, key: bytes, count: int = 1) -> Result:
        await until(lambda: len(self.results(key)) >= count)
        return self.results(key)[count - 1]

    async def up(self) -> None:
        await until(lambda: self.feed.health().state is FeedState.CONNECTED)


Make = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("hub.feeds.native.feed._PATIENCE_S", 1.0)

    @asynccontextmanager
    async def make(
        tokens: tuple[str, ...] = ("good",), copies: int = 1, listed: bool = True, **limits: Any
    ) -> AsyncIterator[World]:
        broker = toy(**limits)
        monkeypatch.setattr(catalogue, "get", lambda _: broker)
        if listed:
            store.write(store.path_of("angel"), "Toy", LISTINGS, time.time())
        files = [
            str(credentials_file(tmp_path / f"toy{number}.env", token))
            for number, token in enumerate(tokens)
        ]
        async with serving() as server:
            settings = Settings(
                hub=Hub(feeds=["angel"]),
                upstream=Upstream(copies=copies),
                instruments=Instruments(update=False),
                angel=Account(url=server.url, credentials=files),
            )
            feed, sink = NativeFeed("angel", settings), Sink()
            await feed.start(sink)
            try:
                yield World(feed, sink, server, tmp_path)
            finally:
                await feed.stop()

    return make


def play(
    body: Callable[[World], Awaitable[None]], made: AbstractAsyncContextManager[World]
) -> None:
    async def run() -> None:
        async with made as world:
            await body(world)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left}"

    asyncio.run(run())


def test_a_want_is_answered_when_the_broker_has_confirmed_it(world: Make) -> None:
    async def body(w: World) -> None:
        key = w.want(1)
        assert await w.answer(key) == Result(key, QUOTE)
        await w.server.tick("1")
        await until(lambda: w.sink.ticks)
        assert w.sink.ticks == [(b"NSE_S1_QUOTE", b'{"ltp": 1}')]
        health = w.feed.health()
        assert (health.subscribed, health.ticks, health.problem) == (1, 1, "")

    play(body, world())


def test_one_that_is_not_confirmed_or_refused_is_told_so(world: Make) -> None:
    async def body(w: World) -> None:
        w.server.quiet.add("1")
        w.server.bad.add("2")
        one, two, three = w.want(1), w.want(2), w.want(3)
        assert "not confirmed it within 0.3 s" in (await w.answer(one)).error
        assert (await w.answer(two)).error == "angel: no such thing"
        assert not (await w.answer(three)).error
        await until(lambda: w.server.held[w.server.sockets[0]].keys() == {"3"})
        health = w.feed.health()
        assert health.subscribed == 1
        assert [key for key, _ in health.refused] == ["NSE_S2", "NSE_S1"]

    play(body, world())


def test_of_a_broker_that_confirms_nothing_no_refusal_is_a_yes(world: Make) -> None:
    async def body(w: World) -> None:
        w.server.quiet.add("1")
        w.server.bad.add("2")
        assert not (await w.answer(w.want(1))).error
        assert (await w.answer(w.want(2))).error

    play(body, world(confirms=False))


def test_a_first_tick_confirms(world: Make) -> None:
    async def body(w: World) -> None:
        w.server.quiet.add("1")
        key = w.want(1)
        await until(lambda: w.server.said)
        await w.server.tick("1")
        assert not (await w.answer(key)).error

    play(body, world(confirm_s=30.0))


def test_an_unknown_symbol_is_refused_with_the_nearest(world: Make) -> None:
    async def body(w: World) -> None:
        told = (await w.answer(w.want_symbol("NSE", "S41"))).error
        assert told.startswith("there is no NSE:S41 at Toy; nearest are S")
        told = (await w.answer(w.want_symbol("NFO", "S28OCT25FUT"))).error
        assert told == "NFO:S28OCT25FUT expired on 28 Oct 2025"
        told = (await w.answer(w.want_symbol("MCX", "GOLD"))).error
        assert told.startswith("Toy does not serve MCX")
        assert w.feed.health().subscribed == 0

    play(body, world())


def test_without_a_list_of_instruments_that_is_said(world: Make) -> None:
    async def body(w: World) -> None:
        assert "hub instruments update angel" in (await w.answer(w.want(1))).error
        store.write(store.path_of("angel"), "Toy", LISTINGS, time.time())
        assert not (await w.answer(w.want(1), 2)).error

    play(body, world(listed=False))


def test_modes_follow_what_is_wanted(world: Make) -> None:
    async def body(w: World) -> None:
        key = w.want(1, LTP)
        await w.answer(key)
        w.want(1, LTP | DEPTH)
        assert await w.answer(key, 2) == Result(key, LTP | DEPTH, depth=5)
        w.want(1, LTP)
        assert await w.answer(key, 3) == Result(key, LTP)
        await until(lambda: w.server.held[w.server.sockets[0]] == {"1": 1})
        w.want(1, 0)
        await until(lambda: w.server.held[w.server.sockets[0]] == {})
        assert [said["sub"] for said in w.server.said] == [
            [["1", 1]], [["1", 3]], [["1", 1]], [["1", 0]],
        ]  # fmt: skip
        assert len(w.server.tries) == 1
        assert w.feed.health().accounts[0]["sockets"] == 1  # it stays, with nothing on it

    play(body, world())


def test_a_higher_mode_that_is_refused_takes_nothing_away(world: Make) -> None:
    async def body(w: World) -> None:
        key = w.want(1, LTP)
        await w.answer(key)
        w.server.bad.add("1")
        w.want(1, LTP | DEPTH)
        assert await w.answer(key, 2) == Result(key, DEPTH, "angel: no such thing")
        w.server.bad.clear()
        await until(lambda: w.server.said[-1]["sub"] == [["1", 1]])
        await w.server.tick("1")
        await until(lambda: w.sink.ticks)
        assert w.sink.ticks[0][0] == b"NSE_S1_LTP"

    play(body, world())


def test_a_lost_connection_is_made_again_with_all_that_is_wanted_and_nothing_else(
    world: Make,
) -> None:
    async def body(w: World) -> None:
        for number in range(25):
            await w.answer(w.want(number))
        w.want(0, 0)
        await until(lambda: len(w.server.held[w.server.sockets[0]]) == 24)
        w.server.said.clear()
        w.server.drop()
        w.want(1, 0)
        await until(lambda: len(w.server.sockets) == 2)
        await until(lambda: len(w.server.held[w.server.sockets[1]]) == 23)
        await asyncio.sleep(0.1)
        asked = [row for said in w.server.said for row in said["sub"]]
        assert sorted(asked) == sorted([str(number), 2] for number in range(2, 25))
        assert max(len(said["sub"]) for said in w.server.said) <= 10
        assert all(not result.error for result in w.sink.answers)

    play(body, world())


def test_a_token_that_is_refused_is_tried_three_times_and_a_new_one_at_once(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.feeds.native.gate._WAITS_S", (0.05, 0.05))

    async def body(w: World) -> None:
        key = w.want(1)
        told = await w.answer(key)
        assert told.error.startswith("angel is not connected: it does not know the token")
        assert not w.feed.health().refused, "it is no fault of the symbol"
        await until(lambda: w.feed.health().accounts[0]["state"] == "blocked")
        await asyncio.sleep(0.3)
        assert w.server.tries == ["dead"] * 3
        assert "toy0.env changes" in w.feed.health().problem
        credentials_file(w.room / "toy0.env", "good")
        await w.up()
        assert w.server.tries == [*["dead"] * 3, "good"]
        assert w.feed.health().problem == ""
        assert not (await w.answer(w.want(1), 2)).error

    play(body, world(tokens=("dead",)))


def test_a_token_that_is_refused_on_an_open_connection_is_tried_three_times_too(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.feeds.native.gate._WAITS_S", (0.05, 0.05))
    monkeypatch.setattr(ToyCodec, "opened", _let_in)

    async def body(w: World) -> None:
        await until(lambda: w.feed.health().accounts[0]["state"] == "blocked")
        await asyncio.sleep(0.3)
        assert w.server.tries == ["dead"] * 3
        assert "it does not know the token" in w.feed.health().problem
        credentials_file(w.room / "toy0.env", "good")
        await w.up()
        assert w.server.tries == [*["dead"] * 3, "good"]

    play(body, world(tokens=("dead",)))


def _let_in(codec: ToyCodec) -> Sequence[str]:
    """As where the token stands in the address: there is no answer to wait for."""
    codec.ready = True
    return ['{"hello": 1}']


def test_whose_token_is_refused_is_told_what_to_do_before_it_is_given_up(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.feeds.native.gate._WAITS_S", (60.0, 60.0))

    async def body(w: World) -> None:
        await until(lambda: w.feed.health().accounts[0]["state"] == "down")
        assert "token; for another session, " in w.feed.health().problem

    play(body, world(tokens=("dead",)))


def test_an_upgrade_that_is_refused_for_the_token_counts_as_that(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.feeds.native.gate._WAITS_S", (0.05, 0.05))

    async def body(w: World) -> None:
        w.server.by_status = True
        await until(lambda: w.feed.health().accounts[0]["state"] == "blocked")
        assert len(w.server.tries) == 3
        assert "it refuses the token" in w.feed.health().problem

    play(body, world(tokens=("dead",)))


def test_what_a_broker_says_to_a_token_is_told_where_a_login_is_not_possible(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def login(_: Provider) -> None:
        raise BrokerError(Fault.AUTH, "toy0.env has no PIN")

    monkeypatch.setattr(Provider, "logs_in", True)
    monkeypatch.setattr(Provider, "login", login)

    async def body(w: World) -> None:
        await until(lambda: w.feed.health().accounts[0]["state"] == "blocked")
        problem = w.feed.health().problem
        assert "it does not know the token; toy0.env has no PIN" in problem
        credentials_file(w.room / "toy0.env", "good")
        await w.up()
        assert w.feed.health().problem == ""

    play(body, world(tokens=("dead",)))


def test_another_login_of_the_account_is_not_fought(world: Make) -> None:
    async def body(w: World) -> None:
        await w.up()
        await until(lambda: w.server.sockets)
        await w.server.sockets[0].close(1000)
        await until(lambda: "another login" in w.feed.health().problem)
        await asyncio.sleep(1.0)
        assert len(w.server.tries) == 1
        assert w.feed.health().state is FeedState.DISCONNECTED

    play(body, world())


def test_an_eviction_is_logged_though_the_connection_was_lost_just_before(
    world: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(w: World) -> None:
        await w.up()
        await until(lambda: w.server.sockets)
        w.server.sockets[0].transport.abort()
        await until(lambda: len(w.server.tries) == 2 and w.server.sockets)
        await w.up()
        await w.server.sockets[-1].close(1000)
        await until(lambda: "another login" in w.feed.health().problem)
        assert any("another login" in record.getMessage() for record in caplog.records)

    with caplog.at_level("WARNING", "hub"):
        play(body, world())


def test_after_a_close_in_order_the_broker_is_left_alone_for_a_while(world: Make) -> None:
    async def body(w: World) -> None:
        await w.up()
        await until(lambda: w.server.sockets)
        await w.server.sockets[0].close(1001)
        await asyncio.sleep(0.7)
        assert len(w.server.tries) == 1
        await until(lambda: len(w.server.sockets) == 2)
        w.server.drop()  # without a word: the session is not over
        await until(lambda: len(w.server.sockets) == 3, 1.4)

    play(body, world(rest_s=1.5))


def test_a_connection_that_is_full_makes_another_one(world: Make) -> None:
    async def body(w: World) -> None:
        for number in range(7):
            assert not (await w.answer(w.want(number))).error
        assert sorted(len(held) for held in w.server.held.values()) == [1, 3, 3]
        key = w.want(7)
        await w.answer(key)
        for number in (8, 9):
            key = w.want(number)
        told = await w.answer(key)
        assert (told.code, told.error) == (FULL, "angel has no room for it")
        w.want(0, 0)
        assert not (await w.answer(w.want(9), 2)).error

    play(body, world(sockets=3, per_socket=(3, 3, 3)))


def test_what_a_broker_has_no_room_for_goes_to_another_connection_once(world: Make) -> None:
    async def body(w: World) -> None:
        w.server.room = 2
        keys = [w.want(number) for number in range(6)]
        await until(lambda: all(w.results(key) for key in keys))
        good = [key for key in keys if not w.results(key)[0].error]
        assert len(good) == 4
        for key in set(keys) - set(good):
            assert w.results(key)[0].code == FULL
        assert sorted(len(held) for held in w.server.held.values()) == [2, 2]

    play(body, world(sockets=2))


@pytest.mark.parametrize("room", [1, 2, 5, 7, 24])
def test_of_a_message_that_asks_for_too_much_all_is_had_that_there_is_room_for(
    world: Make, room: int
) -> None:
    async def body(w: World) -> None:
        w.server.room, w.server.whole = room, True
        await w.up()
        keys = [w.want(number) for number in range(25)]
        await until(lambda: all(w.results(key) for key in keys))
        assert len(w.server.held[w.server.sockets[0]]) == room
        assert sum(not w.results(key)[0].error for key in keys) == room
        assert len(w.server.said) < 25
        w.server.room = 25
        w.server.drop()
        await until(lambda: len(w.server.sockets) == 2)
        await until(lambda: len(w.server.held[w.server.sockets[1]]) == room)
        for key in keys:
            w.want(keys.index(key))
        await until(lambda: len(w.server.held[w.server.sockets[1]]) == 25)

    play(body, world(per_message=25))


def test_what_the_broker_of_one_account_has_no_room_for_another_account_takes(
    world: Make,
) -> None:
    async def body(w: World) -> None:
        await until(lambda: len(w.server.sockets) == 2)
        w.server.room = 2
        keys = [w.want(number) for number in range(5)]
        await until(lambda: all(w.results(key) for key in keys))
        assert sorted(len(held) for held in w.server.held.values()) == [2, 2]
        assert [w.results(key)[0].code for key in keys].count(FULL) == 1

    play(body, world(tokens=("good", "one")))


def test_a_higher_mode_goes_to_where_there_is_room_for_it(world: Make) -> None:
    async def body(w: World) -> None:
        await until(lambda: len(w.server.sockets) == 2)
        keys = [w.want(number, LTP) for number in range(4)]
        for key in keys:
            await w.answer(key)
        w.want(0, LTP | DEPTH)
        assert not (await w.answer(keys[0], 2)).error
        assert sorted(len(held) for held in w.server.held.values()) == [1, 3]

    play(body, world(tokens=("good", "one"), per_socket=(4, 4, 2)))


def test_a_higher_mode_that_nobody_has_room_for_is_refused_and_the_lower_one_stays(
    world: Make,
) -> None:
    async def body(w: World) -> None:
        keys = [w.want(number, LTP) for number in range(4)]
        for key in keys:
            await w.answer(key)
        w.want(0, LTP | DEPTH)
        told = await w.answer(keys[0], 2)
        assert (told.modes, told.code) == (DEPTH, FULL)
        await until(lambda: w.server.held[w.server.sockets[0]].get("0") == 1)
        assert w.feed.health().subscribed == 4

    play(body, world(per_socket=(4, 4, 2)))


def test_a_tick_on_its_way_in_a_lower_mode_does_not_confirm_a_higher_one(world: Make) -> None:
    async def body(w: World) -> None:
        key = w.want(1, LTP)
        await w.answer(key)
        w.server.quiet.add("1")
        w.want(1, LTP | DEPTH)
        await until(lambda: w.server.held[w.server.sockets[0]]["1"] == 3)
        await w.server.tick("1", mode=1)
        await until(lambda: w.sink.ticks)
        assert len(w.results(key)) == 1
        await w.server.tick("1", mode=3)
        assert await w.answer(key, 2) == Result(key, LTP | DEPTH, depth=5)

    play(body, world(confirm_s=30.0))


def test_past_the_room_of_one_account_another_one_takes_over(world: Make) -> None:
    async def body(w: World) -> None:
        for number in range(4):
            assert not (await w.answer(w.want(number))).error
        first, second = w.feed.health().accounts
        assert (first["account"], first["symbols"], first["limit"]) == ("angel 1", 2, 2)
        assert (second["account"], second["symbols"]) == ("angel 2", 2)
        assert w.feed.limits.symbols == 4

    play(body, world(tokens=("good", "good"), per_socket=(2, 2, 2)))


def test_of_two_copies_the_first_is_published_and_one_account_is_enough(world: Make) -> None:
    async def body(w: World) -> None:
        await until(lambda: len(w.server.sockets) == 2)
        await w.answer(w.want(1))
        await until(lambda: all("1" in held for held in w.server.held.values()))
        for at_ms in (10, 20):
            for of in (0, 1):
                await w.server.tick("1", at_ms, of)
                await asyncio.sleep(0.02)
        assert len(w.sink.ticks) == 2
        w.server.drop(0)
        await w.server.tick("1", 30, 1)
        await until(lambda: len(w.sink.ticks) == 3)
        await w.server.tick("1", 1 << 48, 1)  # of a day that has not come
        await w.server.tick("1", 40, 1)
        await until(lambda: len(w.sink.ticks) == 5)

    play(body, world(tokens=("good", "good"), copies=2))


@pytest.mark.parametrize("shut_out", [True, False], ids=["shut out", "away"])
def test_what_an_account_had_that_is_out_goes_to_another(
    world: Make, monkeypatch: pytest.MonkeyPatch, *, shut_out: bool
) -> None:
    monkeypatch.setattr("hub.feeds.native.gate._WAITS_S", (0.05, 0.05))
    monkeypatch.setattr("hub.feeds.native.account._AWAY_S", 60.0 if shut_out else 0.3)

    async def body(w: World) -> None:
        await until(lambda: len(w.server.sockets) == 2)
        await w.answer(w.want(1))
        first = next(s for s, held in w.server.held.items() if held)
        (w.server.tokens.discard if shut_out else w.server.away.add)("one")
        first.transport.abort()
        await until(lambda: sum("1" in h for s, h in w.server.held.items() if s is not first))
        assert [row["symbols"] for row in w.feed.health().accounts] == [0, 1]

    play(body, world(tokens=("one", "good")))


def test_what_is_new_goes_to_an_account_that_is_there_and_the_other_says_when_it_tries_again(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.feeds.native.retry._FIRST_S", 8.0)

    async def body(w: World) -> None:
        await until(lambda: len(w.server.sockets) == 2)
        w.server.away.add("one")
        of = [s.request.headers["x-token"] for s in w.server.sockets if s.request].index("one")
        w.server.drop(of)
        await until(lambda: w.feed.health().accounts[0]["state"] == "down")
        assert not (await w.answer(w.want(1))).error
        assert [row["symbols"] for row in w.feed.health().accounts] == [0, 1]
        await until(lambda: "; again in " in w.feed.health().accounts[0]["problem"])

    play(body, world(tokens=("one", "good")))


def test_a_deep_book_has_no_ltp_and_takes_no_connection_for_it(world: Make) -> None:
    async def body(w: World) -> None:
        await w.up()
        key = w.want_symbol("NSE", "S1:20", QUOTE)
        told = (await w.answer(key)).error
        assert told == "S1:20 has no LTP and no quote: subscribe it in mode Depth (3)"
        assert len(w.server.tries) == 1
        assert not (await w.answer(w.want_symbol("NSE", "S1:20", DEPTH | LTP), 2)).error
        assert len(w.server.tries) == 2
        w.want_symbol("NSE", "S1:20", LTP)  # who wanted the book has left
        assert (await w.answer(key, 3)).error == told
        await until(lambda: not w.server.held[w.server.sockets[-1]])

    play(body, world())


def test_a_silent_connection_is_left_in_a_session_and_kept_outside_of_one(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"NSE": False}
    monkeypatch.setattr(NativeFeed, "is_open", lambda _, exchange: opened[exchange])

    async def body(w: World) -> None:
        await w.answer(w.want(1))
        await asyncio.sleep(0.6)
        assert len(w.server.tries) == 1
        opened["NSE"] = True
        await until(lambda: len(w.server.tries) == 2)
        assert w.feed.health().accounts[0]["reconnects"] == 1

    play(body, world(idle_s=0.3))


def test_a_connection_on_which_ticks_come_is_not_silent(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NativeFeed, "is_open", lambda *_: True)

    async def body(w: World) -> None:
        await w.answer(w.want(1))
        for _ in range(12):
            await asyncio.sleep(0.1)
            await w.server.tick("1")
        assert len(w.server.tries) == 1

    play(body, world(idle_s=0.3))


def test_a_codec_that_cannot_be_made_ends_no_connection(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, tries = ToyCodec.__init__, []

    def fail_once(self: ToyCodec, *given: Any) -> None:
        tries.append(given)
        if len(tries) == 1:
            raise ValueError
        make(self, *given)

    monkeypatch.setattr(ToyCodec, "__init__", fail_once)

    async def body(w: World) -> None:
        await w.up()
        assert len(tries) == 2

    play(body, world())


def test_figures_hold_no_secret(world: Make) -> None:
    async def body(w: World) -> None:
        await w.answer(w.want(1))
        shown = f"{w.feed!r} {w.feed.health()} {w.feed._accounts!r}"
        assert "good" not in shown

    play(body, world())
