"""The feed `nats`: whose feeds are here, when, and by whom; what goes on to the router."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.core import cluster, codec, stream, subjects, topics
from hub.core.cluster import ACTIVE, STANDBY, Beat, Lease
from hub.core.model import Result, Want
from hub.core.settings import Hub, Settings
from hub.core.settings import Nats as NatsSettings
from hub.feeds.base import Feed, FeedState
from hub.feeds.nats import gather as module
from hub.feeds.nats import upstream as upstreams
from hub.feeds.nats.gather import NatsFeed
from tests.hub.feeds.nats.kit import ME, PREFIX, Door, Ingest, feed, until

A = Want(b"NSE_A", 1)
TICK = codec.pack([b"NSE_A_LTP", b"1"])


class Guest:
    """A feed's host in the house; the feed is its `feed`."""

    def __init__(self, feed_: Any) -> None:
        self.feed = feed_
        self.here = False
        self.parted = False
        self.answered: list[Result] = []
        self.resumed: Callable[[], None] = lambda: None

    async def start(self) -> None:
        await self.feed.start(self)
        self.here = True

    async def part(self) -> None:
        await self.feed.stop()
        self.here, self.parted = False, True

    def asked(self, key: bytes) -> int:
        del key
        return 0

    def answer(self, results: Sequence[Result]) -> None:
        self.answered += results


class House:
    """The host of the feed nats."""

    def __init__(self) -> None:
        self.guests: list[Guest] = []
        self.passed: list[tuple[bytes, bytes]] = []
        self.accounts: list[list[bytes]] = []
        self.said: list[dict[str, Any]] = []
        self.failure: BaseException | None = None

    def guest(self, feed_: Feed) -> Guest:
        self.guests.append(Guest(feed_))
        return self.guests[-1]

    def pass_on(self, kind: bytes, batch: bytes) -> None:
        self.passed.append((kind, batch))

    def account(self, pairs: Sequence[bytes]) -> None:
        self.accounts.append(list(pairs))

    def say(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def fail(self, error: BaseException) -> None:
        self.failure = error

    @property
    def here(self) -> list[str]:
        return sorted(guest.feed.name for guest in self.guests if guest.here)

    def of(self, name: str) -> Guest:
        (found,) = [guest for guest in self.guests if guest.here and guest.feed.name == name]
        return found


class Events:
    """Account events; what is offered is kept."""

    stream = None  # of which both are told

    def __init__(self, *_: Any, **__: Any) -> None:
        self.offered: list[tuple[bytes, bytes]] = []
        self.steps: list[str] = []

    def offer(self, key: bytes, payload: bytes) -> None:
        self.offered.append((key, payload))

    def start(self) -> None:
        self.steps.append("start")

    def up(self) -> None:
        self.steps.append("up")

    async def stop(self) -> None:
        self.steps.append("stop")

    def figures(self) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Nats", Door)
    monkeypatch.setattr(module, "Publisher", Events)
    monkeypatch.setattr(module, "Follower", Events)
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr(module, "SILENT_S", 0.1)
    monkeypatch.setattr(upstreams, "BEAT_S", 0.01)
    monkeypatch.setattr(upstreams, "_AGAIN_S", 0.005)


class World:
    """A feed nats that has started in its house, and NATS around it."""

    def __init__(self, room: Path) -> None:
        self.house = House()
        settings = Settings(
            hub=Hub(runtime_dir=str(room)), nats=NatsSettings(name=ME[0], prefix=PREFIX)
        )
        self.feed: Any = NatsFeed(settings)
        self.feed.use(self.house)
        self.ingests: list[Ingest] = []

    @property
    def door(self) -> Door:
        door: Door = self.feed._nats
        return door

    def ingest(self, name: str = "desk1", stay: str = "a") -> Ingest:
        self.ingests.append(Ingest(self.door, name, stay))
        self.ingests[-1].say_beat()
        return self.ingests[-1]

    async def here(self, *names: str) -> None:
        await until(lambda: self.house.here == sorted(names))

    async def beating(self, met: Callable[[], Any]) -> None:
        """Wait, while all ingests beat."""
        async with asyncio.timeout(10):
            while not met():
                for ingest in self.ingests:
                    ingest.say_beat()
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    room = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    world = World(room)
    await world.feed.start(world.feed)
    try:
        yield world
        assert world.house.failure is None
    finally:
        await world.feed.stop()
        shutil.rmtree(room)
        assert world.door.stopped
        assert world.house.here == []


def run(main: Callable[[World], Any]) -> None:
    async def inside() -> None:
        async with running() as world:
            await main(world)

    asyncio.run(inside())


# Rules 1 and 2: guests come and go.


def test_each_feed_of_each_ingest_is_a_guest() -> None:
    async def main(world: World) -> None:
        assert world.feed.health().state is FeedState.CONNECTING
        one, two = world.ingest("desk1"), world.ingest("desk2")
        two.feeds = (feed("sim", "desk2"), feed("bus", "desk2"))
        two.say_beat()
        await world.here("sim@desk1", "sim@desk2", "bus@desk2")
        world.house.of("bus@desk2").feed.apply([A])
        await until(lambda: two.wanted().get("bus") == {A.key: 1})
        assert one.wanted().get("sim") == {}
        assert world.feed.health().state is FeedState.CONNECTED
        assert world.feed.figures()["machines"] == 2
        told = world.feed.cluster()
        assert (told["role"], told["subjects"]) == (cluster.EDGE, 2)
        assert {row["name"] for row in told["machines"]} == {"desk1", "desk2"}

    run(main)


def test_a_feed_that_is_announced_no_more_leaves_and_nothing_is_wanted_of_it() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        ingest.feeds = (feed("sim", "desk1"), feed("bus", "desk1"))
        ingest.say_beat()
        await world.here("sim@desk1", "bus@desk1")
        world.house.of("bus@desk1").feed.apply([A])
        await until(lambda: ingest.wanted().get("bus") == {A.key: 1})
        ingest.feeds = (feed("sim", "desk1"),)
        ingest.say_beat()
        await world.here("sim@desk1")
        await until(lambda: ingest.wanted().get("bus") == {})

    run(main)


def test_another_offer_is_another_guest() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        await world.here("sim@desk1")
        before = world.house.of("sim@desk1")
        (said,) = ingest.feeds
        ingest.feeds = (cluster.Announced(name=said.name, offer=said.offer._replace(symbols=9)),)
        ingest.say_beat()
        await until(lambda: before.parted)
        await world.here("sim@desk1")
        assert world.house.of("sim@desk1").feed.limits.symbols == 9

    run(main)


def test_a_feed_that_was_gone_is_told_everything_though_nobody_heard_that_it_was() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        await world.here("sim@desk1")
        before = world.house.of("sim@desk1")
        ingest.feeds = (feed("sim", "desk1", life=1),)
        ingest.say_beat()
        await until(lambda: before.parted)
        await world.here("sim@desk1")

    run(main)


def test_an_ingest_that_falls_silent_takes_its_feeds_with_it_and_may_come_back() -> None:
    async def main(world: World) -> None:
        world.ingest("desk2")
        silent = world.ingest("desk1")
        await world.here("sim@desk1", "sim@desk2")
        world.ingests.remove(silent)
        await world.beating(lambda: world.house.here == ["sim@desk2"])
        assert "@desk1" not in world.feed._tasks
        world.ingests.append(silent)
        await world.beating(lambda: world.house.here == ["sim@desk1", "sim@desk2"])

    run(main)


def test_while_our_own_nats_is_away_nobody_is_silent() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        await world.here("sim@desk1")
        world.house.of("sim@desk1").feed.apply([A])
        await until(lambda: ingest.wanted().get("sim") == {A.key: 1})
        world.door.connected = False
        await asyncio.sleep(0.3)
        assert world.house.here == ["sim@desk1"]
        assert "away" in world.feed.health().problem
        ingest.lease = 0  # it has let us go
        world.door.connected = True
        world.door.up()
        await world.beating(lambda: ingest.lease)
        await world.beating(lambda: ingest.wanted().get("sim") == {A.key: 1})
        assert len(world.house.guests) == 1

    run(main)


def test_another_stay_of_an_ingest_is_told_all_that_is_wanted() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        await world.here("sim@desk1")
        world.house.of("sim@desk1").feed.apply([A])
        await until(lambda: ingest.wanted().get("sim") == {A.key: 1})
        ingest.stay, ingest.lease = "b", 0
        ingest.heard.clear()
        ingest.say_beat()
        await until(lambda: ingest.lease)
        await until(lambda: ingest.wanted().get("sim") == {A.key: 1})
        assert len(world.house.guests) == 1

    run(main)


def test_a_machine_may_have_any_name() -> None:
    async def main(world: World) -> None:
        names = ("tend", "guests")
        for name in names:
            world.ingest(name)
        await world.here(*(f"sim@{name}" for name in names))
        world.ingests = [world.ingest("desk1")]
        await world.beating(lambda: world.house.here == ["sim@desk1"])
        assert {*names} <= world.feed._tasks.keys()

    run(main)


def test_of_two_ingests_of_one_name_the_younger_is_it_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        young = world.ingest(stay="b")
        await until(lambda: young.lease)
        old = Ingest(Door(), "desk1", "a")
        old.door = world.door
        old.say_beat()
        assert world.feed._upstreams["desk1"].beat.stay == "b"

    run(main)
    assert "two machines are called desk1" in caplog.text


# Rule 3: leases.


def test_of_several_the_one_with_the_newest_lease_is_it() -> None:
    async def main(world: World) -> None:
        one, two = world.ingest("desk1"), world.ingest("desk2")

        def say(ingest: Ingest, state: str, revision: int) -> None:
            lease = Lease(state=state, holder=ingest.name, revision=revision)
            ingest.feeds = (feed("angel", "pair", lease=lease),)
            ingest.say_beat()

        say(one, STANDBY, 5)
        say(two, ACTIVE, 5)
        await world.beating(lambda: two.lease and world.house.here == ["angel@pair"])
        world.house.of("angel@pair").feed.apply([A])
        await world.beating(lambda: two.wanted().get("angel") == {A.key: 1})
        assert not one.wanted().get("angel")
        before = world.house.of("angel@pair")
        say(one, ACTIVE, 6)
        await world.beating(lambda: before.parted and world.house.here == ["angel@pair"])
        world.house.of("angel@pair").feed.apply([A])
        await world.beating(lambda: one.wanted().get("angel") == {A.key: 1})
        await world.beating(lambda: two.wanted().get("angel") == {})

    run(main)


# What comes, and what goes.


def test_ticks_go_to_the_router_as_they_came_and_are_counted() -> None:
    async def main(world: World) -> None:
        ingest = world.ingest()
        await until(lambda: ingest.lease)
        await until(lambda: len(world.door.heard) == 3)
        ingest.ticks(TICK)
        ingest.ticks(TICK, again=True)
        assert world.house.passed == [(stream.UNCHECKED, TICK), (stream.AGAIN, TICK)]
        assert world.feed.health().ticks == 2
        ingest.ticks(TICK, lose=True)
        ingest.ticks(TICK)
        await until(lambda: world.feed.figures()["resyncs"] == 1)
        assert world.feed.figures()["holes"] == 1

    run(main)


def test_answers_reach_the_guest_and_nobody_else() -> None:
    async def main(world: World) -> None:
        ingest, other = world.ingest(), world.ingest("desk2")
        await world.here("sim@desk1", "sim@desk2")
        ingest.results(Result(A.key, 1))
        other.results(Result(A.key, 1, "no"), feed="unknown")
        assert world.house.of("sim@desk1").answered == [Result(A.key, 1)]
        assert world.house.of("sim@desk2").answered == []
        Ingest(Door(), "desk9").door = world.door
        stranger = cluster.Results("desk9", "sim", (Result(A.key, 1),))
        world.door.say(subjects.edge(PREFIX, ME[0]), cluster.encode(stranger))

    run(main)


def test_values_are_asked_for_when_there_is_another_router() -> None:
    async def main(world: World) -> None:
        ingest, other = world.ingest(), world.ingest("desk2")
        await world.here("sim@desk1", "sim@desk2")
        await until(lambda: ingest.lease and other.lease)
        ingest.words()
        world.house.of("sim@desk1").resumed()
        await until(lambda: cluster.Values(ingest.lease) in ingest.words())
        assert cluster.Values(other.lease) not in other.words()

    run(main)


def test_nonsense_of_others_costs_nothing() -> None:
    async def main(world: World) -> None:
        world.door.say(subjects.beat(PREFIX), b"\xc1")
        world.door.say(subjects.edge(PREFIX, ME[0]), b"")
        other = Beat(machine="new", role=cluster.INGEST, epoch=1, version=99)
        world.door.say(subjects.beat(PREFIX), cluster.encode(other))
        world.ingest()
        await world.here("sim@desk1")
        assert world.feed.figures()["machines"] == 1
        told = {row["name"]: row["problem"] for row in world.feed.cluster()["machines"]}
        assert "99" in told["new"]

    run(main)


def test_its_own_beat_says_what_it_has() -> None:
    async def main(world: World) -> None:
        await until(lambda: world.door.out)
        subject, data = world.door.out[0]
        beat = cluster.beat(data)
        assert subject == subjects.beat(PREFIX)
        assert (beat.machine, beat.role, beat.feeds) == (ME[0], cluster.EDGE, ())
        assert "no machine has a feed" in beat.problem
        world.door.say(subject, data)
        assert world.feed.figures()["machines"] == 0, "an edge is nobody's ingest"

    run(main)


def test_account_events_of_others_go_to_the_router_and_ours_to_others() -> None:
    async def main(world: World) -> None:
        world.feed._take_event(b"@orders:anita", b"{}")
        world.feed._take_event(topics.INVALIDATED, b"[]")
        world.feed._take_event(topics.INVALIDATED, b"")
        assert world.house.accounts == [[b"@orders:anita", b"{}"]]
        said = [(told["t"], told["payload"]) for told in world.house.said]
        assert said == [("invalidate", b"[]"), ("invalidate", b"")], "one was lost"
        world.feed.invalidate("anita", "AUTH")
        ((key, told),) = world.feed._events.offered
        assert key == topics.INVALIDATED
        assert json.loads(told) == {"user_id": "anita", "cache_type": "AUTH"}
        world.door.up()
        assert world.feed._events.steps == world.feed._follower.steps == ["start", "up"]

    run(main)


def test_a_fault_in_its_work_is_one_of_the_whole_process() -> None:
    async def main(world: World) -> None:
        world.house.guest = None  # type: ignore[assignment]  # which breaks whoever needs it
        world.ingest()
        await until(lambda: world.house.failure)
        assert isinstance(world.house.failure, TypeError)
        world.house.failure = None

    run(main)


def test_it_serves_nobody_itself() -> None:
    async def main(world: World) -> None:
        answered: list[Result] = []
        world.feed._sink = type("Sink", (), {"answer": staticmethod(answered.extend)})
        world.feed.apply([A, Want(b"NSE_B", 0)])
        ((key, modes, error, *_),) = answered
        assert (key, modes, bool(error)) == (A.key, 1, True)
        assert world.feed.serves.users
        assert "nobody" in repr(world.feed)

    run(main)
