"""Ticks whose way is timed."""

from __future__ import annotations

import json

import pytest

from hub.core import journey, topics
from hub.core.errors import Malformed
from hub.core.journey import HOPS, Chosen, Latency, Sampler

A, B = b"NSE_A_LTP", b"NSE_B_QUOTE"
MS = 1_000_000
EPOCH_NS = 1_700_000_000_000 * MS


class Follow:
    """What was put behind which tick; those of `there` are about to be written."""

    def __init__(self, *there: bytes) -> None:
        self.there = there
        self.put: list[tuple[bytes, bytes]] = []

    def __call__(self, topic: bytes, payload: bytes) -> bool:
        if topic in self.there:
            self.put.append((topic, payload))
        return topic in self.there


def test_one_tick_is_timed_and_then_none_for_a_while() -> None:
    sampler, follow = Sampler(50), Follow(A, B)
    sampler.choose([A, b"{}"], 1000)
    sampler.choose([B, b"{}"], 2000)
    sampler.place(follow, 5000)
    assert [topic for topic, _ in follow.put] == [A]
    assert sampler.due_ns == 5000 + 50 * MS
    assert sampler.routed.count == 1
    assert sampler.routed.sum_us == 4.0
    assert not sampler.chosen


def test_where_nothing_is_to_be_timed_only_what_was_asked_for_is() -> None:
    sampler = Sampler(0)
    assert sampler.due_ns > 2**62
    sampler.trace(b"NSE_A", "cli-1", 1000)
    sampler.look([A], 1)
    assert sampler.chosen == [Chosen(A, 1, "cli-1")]


def test_a_tick_that_nobody_is_sent_is_no_sample_and_another_is_soon_chosen() -> None:
    sampler, follow = Sampler(50), Follow(B)
    sampler.choose([A, b"{}"], 1000)
    sampler.place(follow, 5000)
    assert not follow.put
    assert sampler.due_ns == 5000 + 5 * MS, "not at once: most ticks may be nobody's"
    sampler.choose([B, b"{}"], 6 * MS)
    sampler.place(follow, 7 * MS)
    assert len(follow.put) == 1
    assert sampler.due_ns == 57 * MS


def test_ticks_of_all_places_in_a_batch_are_chosen() -> None:
    sampler = Sampler(50)
    for _ in range(3):
        sampler.choose([A, b"1", B, b"2", b"C_LTP", b"3"], 0)
    assert {one.topic for one in sampler.chosen} == {A, B, b"C_LTP"}
    sampler.choose([], 0)
    assert len(sampler.chosen) == 3


def test_each_tick_of_a_key_that_somebody_asked_for_is_timed() -> None:
    sampler, follow = Sampler(50), Follow(A, b"NSE_A_DEPTH")
    sampler.trace(b"NSE_A", "cli-1", 10_000 * MS)
    sampler.trace(b"NSE_A", "cli-2", 10_000 * MS)
    assert sampler.tracing
    sampler.look([B, A, b"NSE_A_DEPTH"], 1 * MS)
    sampler.place(follow, 2 * MS)
    assert [topic for topic, _ in follow.put] == [A, A, b"NSE_A_DEPTH", b"NSE_A_DEPTH"]
    assert sampler.routed.count == 0


def test_a_key_in_a_scope_is_found_by_its_plain_name() -> None:
    sampler = Sampler(50)
    sampler.trace(b"NSE_A", "cli-1", 10_000 * MS)
    scoped = topics.scope("alice") + A
    sampler.look([scoped], 1)
    assert sampler.chosen == [Chosen(scoped, 1, "cli-1")]


def test_traces_are_bounded_by_rate_number_and_time() -> None:
    sampler = Sampler(50)
    sampler.trace(b"NSE_A", "cli-1", 1000 * MS)
    sampler.look([A, A], 1 * MS)
    sampler.look([A], 5 * MS)
    assert len(sampler.chosen) == 1
    sampler.look([A], 12 * MS)
    assert len(sampler.chosen) == 2
    for number in range(300):
        sampler.trace(b"NSE_%d" % number, "cli-1", 1000 * MS)
    sampler.look([b"NSE_%d_LTP" % number for number in range(300)], 50 * MS)
    assert len(sampler.chosen) == 100
    sampler.tend(1001 * MS)
    assert not sampler.tracing


def test_the_hops_of_a_journey_add_up() -> None:
    chosen = Chosen(A, 1 * MS, "cli-9")
    payload = json.dumps({"ltp": 5, "timestamp": 1_700_000_000_000 - 3}).encode()
    pairs = [A, b"{}", B, b"{}", A, payload, topics.SAMPLE, journey.sample(chosen, 2 * MS)]
    found = journey.journey(pairs, 6, taken_ns=4 * MS, framed_ns=5 * MS, epoch_ns=EPOCH_NS)
    assert found.asker == "cli-9"
    took = found.hops(8 * MS)
    assert list(took) == list(HOPS)
    assert took == {
        "source": 0.0,
        "routed": 1000.0,
        "taken": 2000.0,
        "framed": 1000.0,
        "written": 3000.0,
        "total": 7000.0,
    }
    earlier = json.dumps({"timestamp": 1_700_000_000_000 - 10}).encode()
    pairs[5] = earlier
    found = journey.journey(pairs, 6, taken_ns=4 * MS, framed_ns=5 * MS, epoch_ns=EPOCH_NS)
    assert found.source_us == 6000.0  # 10 ms before now, and it was received 4 ms before now


def test_a_sample_without_its_tick_tells_of_no_source() -> None:
    pairs = [topics.SAMPLE, journey.sample(Chosen(A, 0), 1)]
    found = journey.journey(pairs, 0, taken_ns=2, framed_ns=3, epoch_ns=EPOCH_NS)
    assert list(found.hops(4)) == list(HOPS[1:])


@pytest.mark.parametrize("payload", [b"", b"x", b"\x90", b"\x94\x01\x02\x03\x04", b"{}"])
def test_what_is_no_sample_is_refused(payload: bytes) -> None:
    with pytest.raises(Malformed):
        journey.journey([topics.SAMPLE, payload], 0, taken_ns=0, framed_ns=0, epoch_ns=0)


@pytest.mark.parametrize(
    ("payload", "age_us"),
    [
        (b'{"timestamp": 1699999999990}', 10_000.0),
        (b'{"timestamp": "1699999999990"}', 10_000.0),
        (b'{"timestamp": 1699999999990.5, "ltp": 1}', 9_500.0),
        (b'{"timestamp": 1700000000500}', 0.0),  # another clock
        (b'{"timestamp": 1699999999}', None),  # seconds
        (b'{"timestamp": "09:15:00"}', None),
        (b'{"timestamp": null}', None),
        (b'{"timestamp": {"a": 1}}', None),
        (b'{"timestamp": 1e999}', None),
        (b'{"ltp": 5}', None),
        (b"[1]", None),
        (b"\xff", None),
    ],
)
def test_how_old_a_tick_is_stands_in_it_or_does_not(payload: bytes, age_us: float | None) -> None:
    assert journey.age_us(payload, EPOCH_NS) == age_us


def test_latency_is_counted_by_hop() -> None:
    latency = Latency()
    latency.add({"routed": 5.0, "total": 50.0})
    figures = latency.figures()
    assert set(figures) == set(HOPS)
    assert figures["total"][0] == 50.0
    assert figures["framed"] == [0.0]
