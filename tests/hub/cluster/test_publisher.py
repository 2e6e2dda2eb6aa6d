"""Account events on their way to NATS: in order, until it has them, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hub.cluster import publisher as module
from hub.cluster.publisher import Publisher
from hub.core import topics
from hub.core.envelope import Envelope, decode
from hub.core.errors import NoAnswer, NobodyListens
from hub.core.orders import LOST
from tests.hub.cluster.kit import Door, error, pairs, run, stream, until

A, B = b"@orders:a", b"@orders:b"


class JetStream:
    """Keeps events, and fails as it is told."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.subjects: list[str] = []
        self.fails: list[Exception | dict[str, Any]] = []
        self.mute = False
        self.idents: set[str] = set()

    def answer(self, subject: str, data: bytes, head: Mapping[str, str]) -> Mapping[str, Any]:
        if subject.startswith("$JS"):
            return stream()
        if self.mute:
            raise NoAnswer(subject, 1)
        event = decode(data)
        fails = self.fails.pop(0) if self.fails else None
        if isinstance(fails, dict):
            return fails
        if head["Nats-Msg-Id"] not in self.idents and not isinstance(fails, NobodyListens):
            self.idents.add(head["Nats-Msg-Id"])
            self.kept.append(event)
            self.subjects.append(subject)
        if fails:
            raise fails
        return {"seq": len(self.kept)}

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        return [(event.key, event.payload) for event in self.kept]


@asynccontextmanager
async def publishing(kept: JetStream, **bounds: int) -> AsyncIterator[tuple[Publisher, Door]]:
    door = Door(kept.answer)
    one = Publisher(door.nats, "hub", "desk1", 7, **bounds)  # type: ignore[arg-type]  # by name
    one.start()
    one.up()
    try:
        yield one, door
    finally:
        await one.stop()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)
    monkeypatch.setattr(module, "_LEAVE_S", 0.05)


def test_rule_1_events_of_a_key_go_in_their_order_and_count_once_whatever_comes_back() -> None:
    async def test() -> None:
        kept = JetStream()
        kept.fails = [NoAnswer("x", 1), NobodyListens("x", 1), error(10008, 503)] * 20
        async with publishing(kept) as (one, _):
            told = [(key, b"%d" % number) for number in range(50) for key in (A, B)]
            for key, payload in told:
                one.offer(key, payload)
            await until(lambda: one.figures()["waiting"] == 0)
            for key in (A, B):
                assert [*pairs(kept.pairs, key)] == [b"%d" % number for number in range(50)]
            assert (kept.kept[0].machine, kept.kept[0].epoch) == ("desk1", 7)
            assert set(kept.subjects) == {"hub.events.orders.a", "hub.events.orders.b"}
            assert one.figures() | {"kept": True, "sent": 100, "lost": 0} == one.figures()
            await until(lambda: not one._lanes)

    run(test())


def test_rule_1_keys_do_not_wait_for_each_other() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept) as (one, door):
            answer = door.answer

            def stuck(subject: str, data: bytes, head: Mapping[str, str]) -> Mapping[str, Any]:
                if subject.endswith(".a"):
                    raise NoAnswer(subject, 1)
                return answer(subject, data, head)

            door.answer = stuck
            one.offer(A, b"1")
            one.offer(B, b"2")
            await until(lambda: kept.pairs == [(B, b"2")])
            door.answer = answer
            await until(lambda: kept.pairs == [(B, b"2"), (A, b"1")])

    run(test())


def test_rule_2_who_has_waited_longest_loses_all_it_has_and_is_told() -> None:
    async def test() -> None:
        kept = JetStream()
        kept.mute = True
        async with publishing(kept, most=3) as (one, _):
            for key, payload in ((A, b"1"), (B, b"2"), (A, b"3"), (B, b"4"), (A, b"5")):
                one.offer(key, payload)
            assert one.figures() | {"waiting": 3, "lost": 2} == one.figures()
            kept.mute = False
            await until(lambda: not one._lanes)
            assert [*pairs(kept.pairs, A)][-2:] == [LOST, b"5"]
            assert [*pairs(kept.pairs, B)] == [b"2", b"4"]
            assert one.figures() | {"waiting": 0, "waiting_bytes": 0} == one.figures()

    run(test())


def test_rule_2_what_is_let_go_while_it_is_under_way_takes_nothing_else_with_it() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept, most=2) as (one, door):
            answer = door.answer

            def slow(subject: str, data: bytes, head: Mapping[str, str]) -> Mapping[str, Any]:
                if not kept.kept and subject.endswith(".a"):
                    one.offer(A, b"2")
                    one.offer(A, b"3")
                return answer(subject, data, head)

            door.answer = slow
            one.offer(A, b"1")
            await until(lambda: not one._lanes)
            assert [*pairs(kept.pairs, A)] == [b"1", LOST]
            assert one.figures() | {"waiting": 0, "waiting_bytes": 0, "lost": 3} == one.figures()

    run(test())


def test_rule_2_bytes_are_bounded_too() -> None:
    async def test() -> None:
        kept = JetStream()
        kept.mute = True
        async with publishing(kept, most_bytes=10) as (one, _):
            for payload in (b"1" * 5, b"2" * 5, b"3"):
                one.offer(A, payload)
            one.offer(B, b"4" * 10)
            assert one.figures() | {"waiting": 1, "waiting_bytes": 10, "lost": 3} == one.figures()
            kept.mute = False
            await until(lambda: not one._lanes)
            assert [*pairs(kept.pairs, A)][-1:] == [LOST]
            assert [*pairs(kept.pairs, B)] == [b"4" * 10]

    run(test())


def test_rule_2_where_too_many_would_have_to_be_told_everybody_is() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept, most=5) as (one, door):
            door.connected = False
            for number in range(11):
                one.offer(topics.orders(f"u{number}"), b"{}")
            assert one.figures() | {"waiting": 0, "lost": 11} == one.figures()
            one.offer(A, b"1")
            door.connected = True
            await until(lambda: not one._lanes)
            assert sorted(kept.pairs) == [(topics.ALL_ORDERS, LOST), (A, b"1")]
            assert "hub.events.lost" in kept.subjects

    run(test())


def test_what_is_more_than_nats_takes_is_lost_and_stops_nothing() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept) as (one, door):
            door.max_payload = 5000
            for payload in (b"1", b"x" * 5000, b"2"):
                one.offer(A, payload)
            await until(lambda: len(kept.kept) == 3)
            assert kept.pairs == [(A, b"1"), (A, LOST), (A, b"2")]
            assert one.figures()["lost"] == 1

    run(test())


def test_changed_credentials_go_the_same_way() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept) as (one, _):
            one.offer(topics.INVALIDATED, b'{"user_id":"a"}')
            await until(lambda: kept.pairs == [(topics.INVALIDATED, b'{"user_id":"a"}')])
            assert kept.subjects == ["hub.events.invalidate"]

    run(test())


def test_where_nothing_is_kept_events_are_published_and_no_more() -> None:
    async def test() -> None:
        def answer(subject: str, *_: object) -> Mapping[str, Any]:
            raise NobodyListens(subject, 1)

        door = Door(answer)
        one = Publisher(door.nats, "hub", "desk1", 7)
        one.stream.absent_s = 0
        door.connected = False
        one.start()
        one.offer(A, b"1")
        await asyncio.sleep(0.02)
        assert one.figures() | {"kept": None, "waiting": 1} == one.figures()
        door.connected = True
        one.up()
        await until(lambda: door.published)
        one.offer(A, b"2")
        await until(lambda: len(door.published) == 2)
        assert [decode(data).payload for _, data in door.published] == [b"1", b"2"]
        assert door.published[0][0] == "hub.events.orders.a"
        figures = one.figures()
        assert figures["kept"] is False
        assert "at most once" in figures["unkept_why"]
        await one.stop()

    run(test())


def test_what_waits_is_sent_before_it_leaves() -> None:
    async def test() -> None:
        kept = JetStream()
        async with publishing(kept) as (one, _):
            for number in range(20):
                one.offer(A, b"%d" % number)
        assert len(kept.kept) == 20
        assert repr(one) == "<Publisher 0 waiting, 20 sent, 0 lost>"

    run(test())
