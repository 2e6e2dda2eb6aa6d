"""The simulator as a feed: whose turn it is, answers, topics, and silence."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.model import Instrument, Mode, Result, Want
from hub.feeds.base import Feed, FeedHealth, FeedState
from hub.feeds.sim import SimFeed
from hub.feeds.sim.universe import find, universe
from hub.feeds.sim.wheel import BATCH, Stream, Wheel

TODAY = date(2026, 3, 10)
LISTING = universe(1, 1, TODAY)[0]
RELIANCE = Instrument("NSE", "RELIANCE")
NIFTY = Instrument("NSE_INDEX", "NIFTY")
LTP, QUOTE, DEPTH = (mode.bit for mode in Mode)


class Sink:
    """Keeps what a feed puts into it, and wakes who waits for it."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.answers: list[list[Result]] = []
        self._news = asyncio.Event()

    def publish(self, pairs: Sequence[bytes]) -> None:
        self.batches.append(list(pairs))
        self._news.set()

    def answer(self, results: Sequence[Result]) -> None:
        self.answers.append(list(results))

    @property
    def topics(self) -> list[bytes]:
        return [topic for batch in self.batches for topic in batch[::2]]

    def ticks(self, topic: bytes) -> list[dict[str, Any]]:
        """The ticks of a topic without their times."""
        found = [
            json.loads(text)
            for batch in self.batches
            for name, text in zip(batch[::2], batch[1::2], strict=True)
            if name == topic
        ]
        return [{**tick, "ltt": 0, "timestamp": 0} for tick in found]

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not met():
                self._news.clear()
                await self._news.wait()


def want(instrument: Instrument, modes: int) -> Want:
    return Want(instrument.key, modes, 5, instrument.exchange, instrument.symbol)


def played(
    act: Callable[[SimFeed, Sink], Awaitable[None]], *, symbols: int = 20, rate: float = 1000
) -> Sink:
    """Run `act` with a started feed; what its sink has in the end."""

    async def play() -> Sink:
        feed, sink = SimFeed(symbols, rate, seed=1, today=TODAY), Sink()
        await feed.start(sink)
        await act(feed, sink)
        await feed.stop()
        return sink

    return asyncio.run(play())


def stream(place: int) -> Stream:
    found = Stream(place, LISTING, 1)
    found.want(b"NSE_RELIANCE", LTP)
    return found


def test_it_is_a_feed() -> None:
    feed: Feed = SimFeed(20, 1.0, 1, today=TODAY)
    assert feed.name == "sim"
    assert feed.limits.depth_levels == (5,)
    assert feed.health().state is FeedState.DISCONNECTED


def test_every_want_with_modes_is_answered_in_one_call() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply(
            [
                want(RELIANCE, QUOTE),
                want(NIFTY, LTP | DEPTH),
                want(Instrument("NSE", "FOO"), LTP),
                want(Instrument("NSE", "BAR"), 0),
            ]
        )

    assert played(act).answers == [
        [
            Result(b"NSE_RELIANCE", QUOTE),
            Result(b"NSE_INDEX_NIFTY", LTP | DEPTH, depth=5),
            Result(b"NSE_FOO", LTP, "NSE:FOO is not one of the simulator's 20 symbols"),
        ]
    ]


def test_a_key_without_a_name_is_refused_by_its_key() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([Want(b"@orders:me", LTP)])

    assert played(act).answers[0][0].error.startswith("@orders:me is not one")


def test_a_repeated_want_is_answered_again() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(RELIANCE, QUOTE)])
        feed.apply([want(RELIANCE, QUOTE)])
        assert feed.health() == FeedHealth(FeedState.CONNECTED, 1, 0)

    assert played(act).answers == [[Result(b"NSE_RELIANCE", QUOTE)]] * 2


def test_a_tick_goes_to_every_mode_wanted_highest_first() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(NIFTY, LTP | QUOTE | DEPTH)])
        await sink.until(lambda: len(sink.topics) >= 9)
        assert feed.health().ticks == len(sink.topics)

    sink = played(act)
    once = [b"NSE_INDEX_NIFTY_DEPTH", b"NSE_INDEX_NIFTY_QUOTE", b"NSE_INDEX_NIFTY_LTP"]
    assert sink.topics[:9] == once * 3
    texts = sink.batches[0][1:6:2]
    assert [json.loads(text)["mode"] for text in texts] == [3, 2, 1]
    assert len({json.loads(text)["ltp"] for text in texts}) == 1


def test_only_subscribed_keys_tick_and_a_released_one_stops() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(RELIANCE, LTP), want(NIFTY, LTP)])
        await sink.until(lambda: len(set(sink.topics)) == 2)
        feed.apply([want(RELIANCE, 0)])
        sink.batches.clear()
        await sink.until(lambda: len(sink.topics) >= 10)
        assert set(sink.topics) == {b"NSE_INDEX_NIFTY_LTP"}

    played(act)


def test_the_first_tick_does_not_wait_for_its_turn() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(RELIANCE, QUOTE), want(NIFTY, LTP)])
        await sink.until(lambda: len(sink.topics) == 2)
        feed.apply([want(NIFTY, LTP | DEPTH)])
        await sink.until(lambda: b"NSE_INDEX_NIFTY_DEPTH" in sink.topics)

    played(act, rate=0.001)


def test_nothing_is_scheduled_when_nothing_is_subscribed() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        assert feed._timer is None
        feed.apply([want(RELIANCE, LTP)])
        await sink.until(lambda: bool(sink.topics))
        feed.apply([want(RELIANCE, 0)])
        assert feed._timer is None
        feed.apply([want(RELIANCE, LTP)])
        await feed.stop()
        assert feed._timer is None
        assert feed.health()[:2] == (FeedState.DISCONNECTED, 0)

    played(act)


def test_prices_do_not_depend_on_what_else_is_subscribed() -> None:
    async def alone(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(RELIANCE, QUOTE)])
        await sink.until(lambda: len(sink.ticks(b"NSE_RELIANCE_QUOTE")) >= 10)

    async def in_company(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(listing.instrument, LTP | DEPTH) for listing in feed.listings[1:]])
        await sink.until(lambda: len(sink.topics) > 100)
        await alone(feed, sink)

    one, two = (played(act).ticks(b"NSE_RELIANCE_QUOTE")[:10] for act in (alone, in_company))
    assert one == two


def test_volume_goes_on_after_a_break() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        for _ in range(2):
            feed.apply([want(RELIANCE, QUOTE)])
            seen = len(sink.topics)
            await sink.until(lambda seen=seen: len(sink.topics) > seen)  # type: ignore[misc]
            feed.apply([want(RELIANCE, 0)])

    first, *_, last = played(act).ticks(b"NSE_RELIANCE_QUOTE")
    assert last["volume"] > first["volume"]


def test_a_large_subscribe_ticks_in_batches() -> None:
    async def act(feed: SimFeed, sink: Sink) -> None:
        feed.apply([want(listing.instrument, QUOTE) for listing in feed.listings])
        await sink.until(lambda: len(set(sink.topics)) == 3 * BATCH)
        assert max(len(batch) for batch in sink.batches) <= 2 * BATCH
        assert len(sink.answers[0]) == 3 * BATCH

    played(act, symbols=3 * BATCH, rate=0.01)


def test_its_repr_is_its_status() -> None:
    feed = SimFeed(20, 2.5, 1, today=TODAY)
    assert repr(feed) == "<SimFeed disconnected, 0 of 20 symbols at 2.5/s, 0 ticks>"
    assert find(feed.listings, RELIANCE) is not None


def turns(wheel: Wheel, until: float, pause: float = 0.0) -> list[tuple[float, list[int]]]:
    """Play a wheel on a clock of its own, each turn taking `pause` seconds."""
    now, found = 0.0, []
    while (due := wheel.next_due()) is not None and due <= until:
        now = max(now, due)
        if now > until:
            break
        found.append((now, [stream.place for stream in wheel.due(now)]))
        now += pause
    return found


@given(
    st.floats(0.01, 1000),
    st.sets(st.integers(0, 100_000), min_size=1, max_size=30),
    st.floats(0, 1e6),
)
@settings(deadline=None)
def test_every_stream_has_its_turn_once_a_round(
    rate: float, places: set[int], start: float
) -> None:
    wheel = Wheel(rate)
    for place in places:
        wheel.add(stream(place), start)
    first = wheel.due(start)
    assert {stream.place for stream in first} == places
    rounds = 20
    counts: Counter[int] = Counter()
    while (due := wheel.next_due()) is not None and due < start + rounds / rate:
        counts.update(stream.place for stream in wheel.due(due))
    assert all(rounds - 2 <= counts[place] <= rounds + 2 for place in places)
    assert wheel.problem() == ""


def test_ticks_are_spread_over_the_round() -> None:
    wheel = Wheel(1.0)
    for place in range(1000):
        wheel.add(stream(place), 0.0)
    while wheel._firsts:
        wheel.due(0.0)
    sizes = [len(places) for _, places in turns(wheel, 1.0)]
    assert sizes == [10] * 100


@pytest.mark.parametrize("rate", [0.5, 1.0, 20.0, 400.0])
def test_a_wheel_that_falls_behind_leaves_out_whole_rounds_and_says_so(rate: float) -> None:
    wheel = Wheel(rate)
    for place in range(2 * BATCH):
        wheel.add(stream(place), 0.0)
    counts: Counter[int] = Counter()
    for _, places in turns(wheel, 200 / rate + 20, pause=2 / rate + 0.1):
        counts.update(places)
    assert wheel.skipped > 0
    assert f"{wheel.skipped} rounds left out" in wheel.problem()
    assert f"{2 * BATCH} symbols at {rate:g}/s" in wheel.problem()
    assert len(counts) == 2 * BATCH
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_stall_is_not_made_up_for() -> None:
    wheel = Wheel(10.0)
    wheel.add(stream(3), 0.0)
    assert len(wheel.due(0.0)) == 1
    assert len(wheel.due(3600.0)) == 1
    due = wheel.next_due()
    assert due is not None
    assert due > 3600.0 - 0.2
    assert wheel.skipped == pytest.approx(36_000, abs=2)


def test_a_trouble_that_is_over_is_forgotten() -> None:
    wheel = Wheel(10.0)
    wheel.add(stream(3), 0.0)
    wheel.due(0.0)
    wheel.due(60.0)
    assert wheel.problem()
    turns(wheel, 90.0)
    assert not wheel.problem()


def test_time_without_streams_is_not_time_behind() -> None:
    wheel = Wheel(10.0)
    one = stream(3)
    wheel.add(one, 0.0)
    wheel.remove(one)
    wheel.remove(one)
    assert len(wheel) == 0
    wheel.due(1.0)
    assert wheel.next_due() is None
    wheel.add(one, 5000.0)
    wheel.due(5000.0)
    turns(wheel, 5001.0)
    assert wheel.skipped == 0


def test_a_stream_released_before_its_first_turn_has_none() -> None:
    wheel = Wheel(1.0)
    one = stream(0)
    wheel.add(one, 0.0)
    one.want(b"NSE_RELIANCE", 0)
    wheel.remove(one)
    assert wheel.due(0.0) == []
    assert "0 streams" in repr(wheel)
    assert "RELIANCE" in repr(one)


def test_first_turns_leave_the_loop_room_for_the_answers() -> None:
    """Else first ticks of a large subscribe hold up the answers to the rest of it."""
    wheel = Wheel(0.01)
    for place in range(BATCH):
        wheel.add(stream(place), 50.0)
    now = 50.0
    for _ in range(4):
        assert len(wheel.due(now)) == BATCH // 5
        due = wheel.next_due()
        assert due is not None
        assert due > now
        now = due


def test_a_large_subscribe_leaves_the_others_their_turns() -> None:
    wheel = Wheel(10.0)
    wheel.add(stream(0), 0.0)
    wheel.due(0.0)
    for place in range(1, 16 * BATCH):
        wheel.add(stream(place), 0.0)
    played = [places for _, places in turns(wheel, 1.0, pause=0.001)]
    assert wheel.skipped == 0
    assert sum(0 in places for places in played) in (9, 10, 11)
    assert len({place for places in played for place in places}) == 16 * BATCH
