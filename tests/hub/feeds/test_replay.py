"""A recording as a feed: answers, ticks, its end and its beginning."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hub.core.errors import StartError
from hub.core.model import Mode, Result, Want
from hub.core.settings import Hub, Replay, Settings
from hub.feeds import replay
from hub.feeds.base import Feed, FeedState
from hub.feeds.replay import ReplayFeed
from tests.hub.recording.kit import recording, row

LTP, QUOTE, DEPTH = (mode.bit for mode in Mode)
BOOK = b'{"ltp":1,"depth":{"buy":[{},{},{}],"sell":[]}}'


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.ticks: list[tuple[bytes, Any]] = []
        self.answers: list[Result] = []

    def publish(self, pairs: Sequence[bytes]) -> None:
        assert pairs
        self.ticks += zip(pairs[::2], map(json.loads, pairs[1::2]), strict=True)

    def answer(self, results: Sequence[Result]) -> None:
        assert results
        self.answers += results


def want(symbol: str, modes: int) -> Want:
    return Want(f"NSE_{symbol}".encode(), modes, 5, "NSE", symbol)


def settings(path: Path, **more: Any) -> Settings:
    return Settings(replay=Replay(file=str(path), **({"speed": 10_000} | more)))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # there is nothing that would set an event
            await asyncio.sleep(0.002)


def run(path: Path, scene: Callable[[ReplayFeed, Sink], Awaitable[None]], **more: Any) -> None:
    """Play a scene with the feed of this recording."""

    async def main() -> None:
        feed, sink = ReplayFeed(settings(path, **more)), Sink()
        await feed.start(sink)
        try:
            await scene(feed, sink)
        finally:
            await feed.stop()
        assert feed.health().state is FeedState.DISCONNECTED
        await until(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins without a head start."""
    monkeypatch.setattr(replay, "HEAD_START_S", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A in LTP and Quote, B in Depth, C in LTP."""
    return recording(
        tmp_path / "day.jsonl.zst",
        row(0, "A", "LTP"),
        row(1, "A"),
        row(2, "B", "DEPTH", BOOK),
        row(3, "C", "LTP"),
        row(4, "A"),
    )


def test_every_want_is_answered_by_what_is_in_the_recording(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        _: Feed = feed
        feed.apply([want("A", LTP | QUOTE), want("B", DEPTH), want("X", LTP)])
        feed.apply([want("C", LTP | DEPTH)])
        assert sink.answers == [
            Result(b"NSE_A", LTP | QUOTE),
            Result(b"NSE_B", DEPTH, depth=3),
            Result(b"NSE_X", LTP, "NSE:X is not in day.jsonl.zst"),
            Result(b"NSE_C", LTP),
            Result(b"NSE_C", DEPTH, "NSE:C is in day.jsonl.zst up to mode LTP only"),
        ]
        sink.answers.clear()
        feed.apply([want("A", DEPTH | LTP)])
        assert [bool(one.error) for one in sink.answers] == [False, True]
        assert feed.health()[:2] == (FeedState.CONNECTED, 3)

    run(path, scene)


def test_what_is_wanted_is_published_as_it_was_recorded(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("A", QUOTE), want("B", LTP)])
        await until(lambda: feed.health().problem)
        assert sink.ticks == [
            (b"NSE_A_QUOTE", {"ltp": 10, "n": 1.5}),
            (b"NSE_B_DEPTH", json.loads(BOOK)),
            (b"NSE_A_QUOTE", {"ltp": 40, "n": 1.5}),
        ]
        assert feed.health().ticks == 3
        assert "the recording is over" in feed.health().problem

    run(path, scene)


def test_it_is_rewound_when_nothing_is_wanted_any_more(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        for _ in range(2):
            feed.apply([want("A", LTP)])
            await until(lambda: feed.health().problem)
            assert len(sink.ticks) == 3
            sink.ticks.clear()
            feed.apply([want("C", LTP)])
            feed.apply([want("A", 0)])
            assert feed.health().problem, "C is still wanted"
            feed.apply([want("C", 0)])
            assert not feed.health().problem
            assert feed.health().subscribed == 0

    run(path, scene)


def test_it_pauses_nowhere_and_is_stopped_in_the_middle(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("A", LTP)])
        await until(lambda: sink.ticks)
        feed.apply([want("A", 0)])
        count = len(sink.ticks)
        feed.apply([want("A", LTP)])
        await until(lambda: len(sink.ticks) > count)
        assert sink.ticks[count][0] == b"NSE_A_LTP", "it began anew"

    run(path, scene, speed=0.01)


def test_what_is_asked_for_within_the_head_start_misses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "HEAD_START_S", 0.2)

    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("C", LTP)])
        await asyncio.sleep(0.05)
        feed.apply([want("A", LTP)])
        await until(lambda: feed.health().problem)
        assert len(sink.ticks) == 4

    run(path, scene)


def test_in_a_loop_it_goes_on_for_ever(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("C", LTP)])
        await until(lambda: len(sink.ticks) > 5)
        assert not feed.health().problem

    run(path, scene, loop=True)


def test_it_begins_at_a_time_of_day(path: Path) -> None:
    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("A", LTP)])
        await until(lambda: feed.health().problem)
        assert [data["ltp"] for _, data in sink.ticks] == [40]

    run(path, scene, begin="09:15:02")


def test_what_cannot_be_read_is_told_to_who_asks(path: Path) -> None:
    path.write_bytes(b"x")

    async def scene(feed: ReplayFeed, sink: Sink) -> None:
        feed.apply([want("A", LTP)])
        feed.apply([want("B", LTP)])
        assert len(sink.answers) == 2
        assert all("day.jsonl.zst" in one.error for one in sink.answers)
        assert feed.health().state is FeedState.DISCONNECTED
        assert feed.health().problem == sink.answers[0].error

    run(path, scene)
    path.unlink()
    with pytest.raises(StartError, match="there is no recording"):
        run(path, scene)


def test_alone_it_serves_everybody_and_beside_others_who_is_meant_for_it(path: Path) -> None:
    for feeds, brokers in ((["replay"], ()), (["bus", "replay"], ("replay",))):
        given = Settings(hub=Hub(feeds=feeds), replay=Replay(file=str(path)))
        assert ReplayFeed(given).serves.brokers == brokers


def test_what_is_wrong_with_its_settings_is_told(path: Path) -> None:
    assert replay.problems(settings(path, begin="9:15")) == []
    (none,) = replay.problems(Settings())
    assert "hub record" in none
    (missing,) = replay.problems(settings(path.with_name("other.jsonl")))
    assert missing.startswith("replay.file: there is no file")
    found = replay.problems(settings(path.with_name("a.csv"), begin="noon"))
    assert [problem.partition(":")[0] for problem in found] == ["replay.file", "replay.begin"]
