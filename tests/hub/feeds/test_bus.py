"""The bus as a feed: everything can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hub.core.model import Result, Want
from hub.feeds.base import Feed, FeedHealth, FeedState
from hub.feeds.bus import BusFeed


class Sink:
    """Keeps what a feed puts into it."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def publish(self, pairs: Sequence[bytes]) -> None:
        raise AssertionError("the bus publishes by the router's own socket")

    def answer(self, results: Sequence[Result]) -> None:
        self.results += results


def begun() -> tuple[BusFeed, Sink]:
    feed, sink = BusFeed(), Sink()
    asyncio.run(feed.start(sink))
    return feed, sink


def test_it_is_a_feed() -> None:
    feed: Feed = BusFeed()
    assert feed.name == "bus"
    assert feed.limits.symbols == 0


def test_every_want_is_answered_once_for_each_time_it_is_asked() -> None:
    feed, sink = begun()
    feed.apply([Want(b"NSE_A", 1), Want(b"NSE_B", 6)])
    feed.apply([Want(b"NSE_A", 3)])
    assert sink.results == [Result(b"NSE_A", 1), Result(b"NSE_B", 6), Result(b"NSE_A", 3)]


def test_a_release_needs_no_answer() -> None:
    feed, sink = begun()
    feed.apply([Want(b"NSE_A", 1)])
    feed.apply([Want(b"NSE_A", 0), Want(b"NSE_X", 0)])
    assert len(sink.results) == 1
    assert feed.health().subscribed == 0


def test_its_health_counts_what_is_wanted() -> None:
    feed, _ = begun()
    feed.apply([Want(b"NSE_A", 1), Want(b"NSE_B", 1), Want(b"NSE_A", 7)])
    assert feed.health() == FeedHealth(FeedState.CONNECTED, 2, 0, "")
    assert repr(feed) == "<BusFeed 2 keys>"
    asyncio.run(feed.stop())
