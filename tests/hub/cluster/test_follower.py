"""Account events of other machines: each once, in order, and what is lost is told."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.cluster import follower as module
from hub.cluster.follower import Follower
from hub.cluster.publisher import Publisher
from hub.core import topics
from hub.core.envelope import Envelope, encode
from hub.core.errors import NoAnswer, NobodyListens
from hub.core.orders import LOST
from tests.hub.cluster.kit import Door, connected, error, pairs, run, stream, until
from tests.natsserver import NatsServer, server

A = b"@orders:a"
ALL_LOST = [(topics.ALL_ORDERS, LOST), (topics.INVALIDATED, LOST)]


def message(number: int, machine: str = "desk1", payload: bytes = b"") -> bytes:
    return encode(Envelope(machine, 7, number, A, payload or b"%d" % number))


class JetStream:
    """A stream, as its answers tell it; what it sends is sent by the test."""

    def __init__(self) -> None:
        self.info: Any = stream()
        self.consumer: Any = {"delivered": {"stream_seq": 0}, "num_pending": 0}
        self.made: list[dict[str, Any]] = []
        self.sent = 0  # by the newest consumer
        self.ended: list[str] = []

    def answer(self, subject: str, data: bytes, _: Mapping[str, str]) -> Mapping[str, Any]:
        match subject.split(".")[2:4]:
            case ["CONSUMER", "CREATE"]:
                self.made.append(json.loads(data)["config"])
                self.sent = 0
                return {}
            case ["CONSUMER", "DELETE"]:
                self.ended.append(subject.split(".")[5])
                return {}
            case ["CONSUMER", _]:
                return self._said(self.consumer)
        return self._said(self.info)

    def _said(self, answer: Any) -> Mapping[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        found: Mapping[str, Any] = answer
        return found


class Followed:
    """A follower of a stream that the test is."""

    def __init__(self, position: Path | None = None) -> None:
        self.js = JetStream()
        self.door = Door(self.js.answer)
        self.got: list[tuple[bytes, bytes]] = []
        self.follower = Follower(
            self.door.nats, "hub", "edge1", lambda *event: self.got.append(event), position=position
        )
        self.follower.stream.absent_s = 0

    async def begun(self, count: int = 1) -> None:
        """It follows the stream for the so-manyth time."""
        await until(lambda: len(self.js.made) == count and self.follower._consumer)

    def send(self, number: int, data: bytes = b"", domain: str = "") -> None:
        """A message of the stream, as the newest consumer sends it."""
        (hear,) = self.door.heard.values()
        self.js.sent += 1
        account, random = (f"{domain}.hash.", ".random") if domain else ("", "")
        name = self.js.made[-1]["name"]
        reply = f"$JS.ACK.{account}hub_EVENTS.{name}.1.{number}.{self.js.sent}.123.0{random}"
        hear("hub.events.orders.a", data or message(number), reply)


@asynccontextmanager
async def following(position: Path | None = None) -> AsyncIterator[Followed]:
    one = Followed(position)
    one.follower.start()
    try:
        yield one
    finally:
        await one.follower.stop()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)


def counted(one: Followed, **counts: int) -> bool:
    return one.follower.figures() | counts == one.follower.figures()


def test_rule_1_each_is_handed_over_once_but_for_those_of_this_machine() -> None:
    async def test() -> None:
        async with following() as one:
            one.js.info = stream(last=4)
            await one.begun()
            assert one.js.made[0]["opt_start_seq"] == 5, "whoever is new begins at the new ones"
            one.send(5)
            one.send(5)
            one.send(6, message(6, machine="edge1"))
            one.send(7, message(7), domain="hub")
            one.send(8, message(7))  # sent twice, and NATS did not see it
            one.send(9, b"no event")
            one.send(10)
            assert one.got == [(A, b"5"), (A, b"7"), (A, b"10")]
            acks = [subject.split(".")[-4] for subject, data in one.door.published]
            assert len(acks) == 7, "each is acknowledged"
            assert counted(one, taken=3, own=1, again=1, malformed=1, losses=0)

    run(test())


def test_rule_2_nothing_is_taken_that_does_not_follow_what_came_before() -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.send(1)
            old = next(iter(one.door.heard.values()))
            one.js.info = stream(last=3)
            one.send(3)
            old("s", message(2), "$JS.ACK.hub_EVENTS.x.1.2.9.1.0")
            await one.begun(2)
            assert one.js.made[1]["opt_start_seq"] == 2
            old("s", message(2), "$JS.ACK.hub_EVENTS.x.1.2.9.1.0")
            assert one.got == [(A, b"1")]
            one.send(2)
            one.send(3)
            assert one.got == [(A, b"1"), (A, b"2"), (A, b"3")]

    run(test())


def test_rule_2_where_a_server_that_is_dead_was_to_tell_us_another_is_asked_at_once() -> None:
    async def test() -> None:
        one = Followed()
        answer, asked = one.js.answer, []

        def dead(subject: str, data: bytes, head: Mapping[str, str]) -> Mapping[str, Any]:
            if ".CONSUMER.CREATE." in subject:
                asked.append(subject)
                if len(asked) < 4:
                    raise NoAnswer(subject, 1)
            return answer(subject, data, head)

        one.door.answer = dead
        one.follower.start()
        await one.begun()
        assert len(set(asked)) == 4, "each by another name"
        await one.follower.stop()

    run(test())


def test_rule_2_what_was_sent_to_a_connection_that_was_lost_is_asked_for_again() -> None:
    """NATS goes on to send for a while as before, to the connection that follows."""

    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.js.sent, one.js.info = 1, stream(last=2)
            one.follower.up()
            one.send(2)
            assert one.got == []
            await one.begun(2)
            assert one.js.made[1]["opt_start_seq"] == 1
            one.send(1)
            one.send(2)
            assert one.got == [(A, b"1"), (A, b"2")]
            assert counted(one, losses=0)

    run(test())


@pytest.mark.parametrize("trouble", [error(10014, 404), NoAnswer("x", 1), "stuck"])
def test_rule_2_what_does_not_go_on_is_begun_anew_where_it_was(trouble: Any) -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.send(1)
            one.js.info = stream(last=9)
            one.js.consumer = trouble
            if trouble == "stuck":
                one.js.consumer = {"delivered": {"stream_seq": 4}, "num_pending": 5}
            await until(lambda: len(one.js.made) > 1)
            assert one.js.made[1]["opt_start_seq"] == 2
            assert trouble != "stuck" or counted(one, behind=8)

    run(test())


def test_rule_2_while_nothing_comes_nothing_is_begun_anew() -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.send(1)
            one.js.info = stream(last=1)
            one.js.consumer = {"delivered": {"stream_seq": 1}, "num_pending": 0}
            await asyncio.sleep(0.2)
            assert len(one.js.made) == 1
            one.follower.up()
            await one.begun(2)

    run(test())


def test_rule_2_who_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "position"
        killed = Followed(path)
        killed.follower.start()
        await killed.begun()
        killed.send(1)
        killed.follower._task.cancel()  # type: ignore[union-attr]  # it is running
        async with following(path) as one:
            one.js.info = stream(last=7)
            await one.begun()
            assert one.js.made[0]["opt_start_seq"] == 2
            one.send(2)
            assert one.got == [(A, b"2")]

    run(test())


def test_rule_2_one_that_was_away_for_more_than_a_minute_is_told_of_a_loss(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "position"
        path.write_text(json.dumps(["2026", 1]))
        os.utime(path, (0, time.time() - 61))
        async with following(path) as one:
            one.js.info = stream(last=7)
            await one.begun()
            assert one.js.made[0]["opt_start_seq"] == 8
            assert one.got == ALL_LOST
            await until(lambda: path.stat().st_mtime > time.time() - 5)

    run(test())


@pytest.mark.parametrize(
    "info",
    [stream(first=3, last=9), stream("2027", last=9), stream(last=0)],
    ids=["it has forgotten some", "it is another", "it has forgotten the newest"],
)
def test_rule_3_what_nats_has_not_kept_is_told_as_lost_and_it_goes_on_with_the_new(
    info: Any,
) -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.send(1)
            one.follower.ahead_s = 0
            one.js.info = info
            one.follower.up()
            await one.begun(2)
            last = info["state"]["last_seq"]
            assert one.js.made[1]["opt_start_seq"] == last + 1
            one.send(last + 1, message(77))
            assert one.got == [(A, b"1"), *ALL_LOST, (A, b"77")]
            assert counted(one, losses=1)

    run(test())


def test_rule_3_a_server_that_is_behind_us_is_waited_for() -> None:
    """Of three nodes one was killed and came back: for a moment the stream had ended earlier."""

    async def test() -> None:
        async with following() as one:
            await one.begun()
            for number in range(1, 8):
                one.send(number)
            one.js.info = stream(last=4)
            one.follower.up()
            await asyncio.sleep(0.1)
            assert len(one.js.made) == 1
            one.js.info = stream(last=9)
            await one.begun(2)
            assert one.js.made[1]["opt_start_seq"] == 8
            assert counted(one, taken=7, losses=0)

    run(test())


def test_rule_3_what_is_forgotten_between_asking_and_following_is_told_as_lost() -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.send(4)
            one.send(5)
            assert one.got == [*ALL_LOST, (A, b"4"), (A, b"5")]

    run(test())


def test_rule_4_where_nothing_is_kept_each_loss_of_the_connection_counts() -> None:
    async def test() -> None:
        async with following() as one:
            await one.begun()
            one.js.info = NobodyListens("x", 1)
            one.follower.up()
            await until(lambda: "hub.events.>" in one.door.heard)
            hear = one.door.heard["hub.events.>"]
            hear("hub.events.orders.a", message(1), "")
            one.follower.up()
            hear("hub.events.orders.a", message(2), "")
            assert one.got == [*ALL_LOST, (A, b"1"), *ALL_LOST, (A, b"2")]
            assert one.follower.figures()["kept"] is False
            one.js.info = stream()
            await one.begun(2)
            assert "hub.events.>" not in one.door.heard, "or each came twice"

    run(test())


def test_rule_3_where_something_of_everybody_was_lost_credentials_may_be_too() -> None:
    async def test() -> None:
        async with following() as one:
            one.js.info = NobodyListens("x", 1)
            await until(lambda: "hub.events.>" in one.door.heard)
            lost = encode(Envelope("desk1", 7, 1, topics.ALL_ORDERS, LOST))
            one.door.heard["hub.events.>"]("hub.events.lost", lost, "")
            assert one.got == ALL_LOST

    run(test())


def test_who_leaves_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with following(tmp_path / "position") as one:
            assert not one.follower.figures()["follows"]
            await one.begun()
            assert one.follower.figures()["follows"]
            assert repr(one.follower) == "<Follower at 0, 0 behind>"
        assert one.js.ended == [one.js.made[0]["name"]]
        assert one.door.heard == {}

    run(test())


# Before a real nats-server.


@pytest.fixture
def jetstream(tmp_path: Path) -> Iterator[NatsServer]:
    with server(tmp_path / "nats", jetstream=True) as up:
        yield up


class Desk:
    """A machine that sends events, and one that follows them."""

    def __init__(self, url: str, position: Path | None = None) -> None:
        self.url, self.position = url, position
        self.got: list[tuple[bytes, bytes]] = []
        self.offered = 0

    @asynccontextmanager
    async def sends(self) -> AsyncIterator[Publisher]:
        async with connected(self.url) as door:
            one = Publisher(door, "hub", "desk1", time.time_ns())
            door._up = one.up
            one.start()
            yield one
            await one.stop()

    @asynccontextmanager
    async def follows(self) -> AsyncIterator[Follower]:
        async with connected(self.url) as door:
            one = Follower(
                door, "hub", "edge1", lambda *event: self.got.append(event), position=self.position
            )
            door._up = one.up
            one.start()
            await until(lambda: one._consumer)
            yield one
            await one.stop()

    def offer(self, publisher: Publisher, count: int) -> None:
        for number in range(self.offered, self.offered + count):
            publisher.offer(topics.orders(f"user {number % 5}"), b"%d" % number)
        self.offered += count

    @property
    def complete(self) -> bool:
        """Whether all that was offered has come."""
        return len(self.got) >= self.offered

    def check(self) -> None:
        """Each user's came once and in order, and nothing else did."""
        assert len(self.got) == self.offered
        for user in range(5):
            told = [b"%d" % number for number in range(user, self.offered, 5)]
            assert [*pairs(self.got, topics.orders(f"user {user}"))] == told


def test_a_server_that_dies_and_comes_back_costs_no_event(jetstream: NatsServer) -> None:
    async def test() -> None:
        desk = Desk(jetstream.url)
        async with desk.follows(), desk.sends() as publisher:
            for _ in range(2):
                desk.offer(publisher, 200)
                await until(lambda: len(desk.got) > desk.offered - 150)  # amid them
                jetstream.kill()
                desk.offer(publisher, 200)
                jetstream.start()
                desk.offer(publisher, 200)
                await until(lambda: desk.complete)
        desk.check()

    run(test())


def test_who_follows_may_be_away_and_may_be_killed(jetstream: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk(jetstream.url, tmp_path / "position")
        async with desk.sends() as publisher:
            async with desk.follows():
                desk.offer(publisher, 100)
                await until(lambda: len(desk.got) > 50)
            desk.offer(publisher, 100)  # it has left
            await until(lambda: not publisher._lanes)
            async with desk.follows() as killed:
                await until(lambda: len(desk.got) > 150)
                killed._task.cancel()  # type: ignore[union-attr]  # it is running
                killed._leave()
                desk.offer(publisher, 100)
                async with desk.follows():
                    await until(lambda: desk.complete)
                    await asyncio.sleep(0.1)  # nothing comes twice
                    desk.check()
                    everything = await killed.stream.ask("CONSUMER.LIST.hub_EVENTS")
                    assert len(everything["consumers"]) <= 2, "that of the one who left is gone"

    run(test())


def test_without_jetstream_events_are_not_kept(tmp_path: Path) -> None:
    async def test(url: str) -> None:
        desk = Desk(url)
        async with desk.sends() as publisher, connected(url) as door:
            one = Follower(door, "hub", "edge1", lambda *event: desk.got.append(event))
            publisher.stream.absent_s = one.stream.absent_s = 0.05
            one.start()
            await until(lambda: one.stream.kept is False)
            with pytest.raises(NobodyListens):  # NATS has heard all that was said before
                await door.request("nobody", b"", 5)
            desk.offer(publisher, 100)
            await until(lambda: desk.complete)
            desk.check()
            assert publisher.figures()["kept"] is False
            await one.stop()

    with server(tmp_path) as up:
        run(test(up.url))
