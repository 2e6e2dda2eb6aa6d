"""An ingest as an edge knows it: the lease, what is told in which order, holes, another stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hub.core import cluster, codec, stream, subjects
from hub.core.cluster import Bye, Hello, Interest, Values
from hub.core.model import Offer, Want
from hub.feeds.nats import remote as remotes
from hub.feeds.nats import upstream as module
from hub.feeds.nats.remote import Remote
from hub.feeds.nats.upstream import Upstream
from tests.hub.feeds.nats.kit import ME, PREFIX, Door, Ingest, feed, until

A, B = Want(b"NSE_A", 1), Want(b"NSE_B", 3)
TICK = codec.pack([b"NSE_A_LTP", b"1"])


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.005)
    monkeypatch.setattr(module, "BEAT_S", 0.01)


class World:
    """An upstream that runs, and its ingest."""

    def __init__(self) -> None:
        self.door = Door()
        self.ingest = Ingest(self.door)
        self.taken: list[tuple[bytes, bytes]] = []
        door: Any = self.door
        self.upstream = Upstream(
            door, PREFIX, ME, self.ingest.beat(), lambda *one: self.taken.append(one)
        )
        self.remote = Remote(feed("sim", "desk1"), self.upstream.changed)
        self.upstream.add(self.remote)

    async def told(self, wanted: dict[bytes, int]) -> None:
        await until(lambda: self.ingest.wanted().get("sim") == wanted)

    async def idle(self) -> None:
        """All is told."""
        await until(lambda: not (self.remote.news or self.upstream._missed or not self.leased))

    @property
    def leased(self) -> bool:
        return bool(self.upstream._lease)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.upstream.run())
    try:
        yield world
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def run(main: Callable[[World], Any]) -> None:
    async def inside() -> None:
        async with running() as world:
            await main(world)

    asyncio.run(inside())


def test_it_says_hello_then_all_then_news() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A])
        await world.told({A.key: 1})
        hello, all_ = world.ingest.words()
        assert hello == Hello(*ME)
        assert all_ == Interest(world.ingest.lease, "sim", (A,), first=True, last=True)
        world.remote.apply([B])
        await until(lambda: world.ingest.words() == [Interest(world.ingest.lease, "sim", (B,))])

    run(main)


def test_ticks_come_by_the_subject_of_its_number_as_they_are() -> None:
    async def main(world: World) -> None:
        await world.idle()
        world.ingest.ticks(TICK)
        world.ingest.ticks(TICK, again=True)
        world.ingest.ticks(cluster.EMPTY)
        assert world.taken == [(stream.UNCHECKED, TICK), (stream.AGAIN, TICK)]
        (subject,) = subjects.audience(PREFIX, "a", (world.ingest.number,))
        world.door.say(subject, b"short")
        assert world.upstream.holes == 0

    run(main)


def test_a_hole_is_followed_by_values_once() -> None:
    async def main(world: World) -> None:
        await world.idle()
        world.ingest.words()
        world.ingest.ticks(TICK)
        world.ingest.ticks(TICK, lose=True)
        world.ingest.ticks(TICK)
        await until(lambda: world.upstream.resyncs == 1)
        await world.idle()
        world.ingest.ticks(TICK)
        await asyncio.sleep(0.03)
        assert world.ingest.words() == [Values(world.ingest.lease)]
        assert world.upstream.holes == 1
        assert len(world.taken) == 3

    run(main)


def test_what_is_lost_right_behind_the_answer_is_asked_for_too() -> None:
    async def main(world: World) -> None:
        await world.idle()
        asked = world.ingest.asked

        def answer(word: cluster.Ask) -> cluster.Told | None:
            reply = asked(word)
            if isinstance(word, Values) and world.upstream.resyncs == 1:
                world.ingest.ticks(TICK, lose=True)
                world.ingest.ticks(TICK)
            return reply

        world.ingest.asked = answer  # type: ignore[method-assign]  # it does more
        world.upstream.doubt()
        await until(lambda: world.upstream.resyncs == 2)
        assert world.upstream.holes == 1

    run(main)


def test_a_lease_that_is_lost_is_had_anew_with_all_that_is_wanted() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A, B])
        await world.told({A.key: 1, B.key: 3})
        world.ingest.lease = 0
        await until(lambda: world.ingest.lease)
        await world.told({A.key: 1, B.key: 3})
        assert len(world.door.heard) == 1

    run(main)


def test_a_lease_that_is_lost_in_the_middle_of_a_long_word_is_not_told_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remotes, "_MOST_TOLD", 1)

    async def main(world: World) -> None:
        await world.idle()
        world.ingest.words()
        world.ingest.lease = 0
        world.remote.apply([Want(b"NSE_%d" % at, 1) for at in range(9)])
        await until(lambda: world.ingest.lease)
        await world.told({b"NSE_%d" % at: 1 for at in range(9)})
        assert not [word for word in world.ingest.heard if getattr(word, "lease", 1) == 0]

    run(main)


def test_who_does_not_answer_is_asked_again_and_told_everything() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A])
        await world.told({A.key: 1})
        world.ingest.silent = True
        world.ingest.words()
        world.remote.apply([B])
        await until(world.ingest.words)
        world.ingest.silent = False
        await world.told({A.key: 1, B.key: 3})
        await until(lambda: world.upstream.resyncs)

    run(main)


def test_nobody_there_is_no_reason_to_end() -> None:
    async def main(world: World) -> None:
        del world.door.ingests[subjects.ask(PREFIX, "desk1")]
        await asyncio.sleep(0.03)
        assert not world.leased
        Ingest.__init__(world.ingest, world.door)
        await until(lambda: world.leased)

    run(main)


def test_another_stay_knows_nothing_of_this_edge() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A])
        await world.told({A.key: 1})
        world.ingest.ticks(TICK)
        world.ingest.ticks(TICK)
        world.ingest.stay, world.ingest.newest, world.ingest.number = "b", 0, 9
        world.ingest.sent.clear()
        world.ingest.heard.clear()
        world.upstream.heard(world.ingest.beat(), 1.0)
        assert not world.upstream.subscribed
        await world.told({A.key: 1})
        await world.idle()
        world.taken.clear()
        world.ingest.ticks(TICK)
        assert world.taken == [(stream.UNCHECKED, TICK)], "its numbers begin anew"
        assert (world.upstream.holes, len(world.door.heard)) == (0, 1)

    run(main)


def test_after_nats_was_away_all_is_told_and_values_are_asked_for() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A])
        await world.told({A.key: 1})
        await world.idle()
        world.door.connected = False
        world.remote.apply([B])
        await asyncio.sleep(0.03)
        world.ingest.words()
        world.door.connected = True
        world.upstream.doubt()
        await until(lambda: world.upstream.resyncs == 1)
        words = world.ingest.words()
        assert words[0] == Interest(world.ingest.lease, "sim", (A, B), first=True, last=True)
        assert words[-1] == Values(world.ingest.lease)

    run(main)


def test_of_a_feed_that_is_here_no_more_nothing_is_wanted() -> None:
    async def main(world: World) -> None:
        world.remote.apply([A])
        await world.told({A.key: 1})
        world.upstream.drop(world.remote)
        await world.told({})
        again = Remote(feed("sim", "desk1"), world.upstream.changed)
        again.apply([B])
        world.upstream.add(again)
        await world.told({B.key: 3})
        world.upstream.drop(world.remote)
        await asyncio.sleep(0.03)
        assert world.ingest.wanted() == {"sim": {B.key: 3}}, "it is another that was dropped"

    run(main)


def test_answers_go_to_the_feed_they_are_of() -> None:
    async def main(world: World) -> None:
        world.upstream.answered(cluster.Results("desk1", "unknown", ()))
        assert world.remote.offer == Offer("sim", ("sim",))
        world.upstream.answered(cluster.Results("desk1", "sim", ()))

    run(main)


def test_who_leaves_gives_its_lease_back() -> None:
    async def main(world: World) -> None:
        await world.idle()
        world.upstream.leave()
        world.upstream.leave()
        bye = cluster.encode(Bye(world.ingest.lease))
        assert world.door.out == [(subjects.ask(PREFIX, "desk1"), bye)]
        assert not world.door.heard
        assert "desk1" in repr(world.upstream)

    run(main)


def test_an_answer_that_is_nonsense_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        await world.idle()
        world.door.nonsense = True
        await asyncio.sleep(0.03)
        world.door.nonsense = False
        await until(lambda: world.upstream.resyncs)

    run(main)
