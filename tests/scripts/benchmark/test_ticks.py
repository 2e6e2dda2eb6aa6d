"""Ticks with their number and time at fixed offsets, and the pace at which they are due."""

from __future__ import annotations

import json

import msgspec
import pytest

from hub.core import forms, topics
from scripts.benchmark import loads
from scripts.benchmark.loads import LOADS, Load
from scripts.benchmark.pace import Pace
from scripts.benchmark.ticks import Ticks, layout, smallest_payload

LOAD = Load(name="a", clients=2, symbols=20, rate=1000, seconds=1, warm_s=0.5)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_payloads_are_json_of_the_size_asked_for(load: Load) -> None:
    ticks = Ticks(load)
    for number in (0, 7, load.symbols - 1, load.last - 1):
        topic, payload = ticks.message(number, 10**15 + number)
        assert len(payload) == load.payload_bytes
        value = json.loads(payload)
        assert int(value["number"]) == number
        assert topics.parse(topic).key == f"NSE_{value['symbol']}".encode()


def test_payloads_have_a_least_size() -> None:
    load = msgspec.structs.replace(LOAD, payload_bytes=0)
    assert len(Ticks(load).message(0, 0)[1]) == smallest_payload() < 305


def test_numbers_and_times_are_found_by_slicing() -> None:
    ticks = Ticks(LOAD)
    all_frames = [ticks.frame(number, 10**12 + number) for number in range(50)]
    found = layout(all_frames[0])
    assert found is not None
    block = b"".join(all_frames)
    assert found.read_numbers(block) == list(range(50))
    assert [found.read_time_ns(block, index) for index in (0, 1, 49)] == [
        10**12,
        10**12 + 1,
        10**12 + 49,
    ]


def test_they_are_found_in_msgpack_too() -> None:
    ticks = Ticks(LOAD)
    packed = [
        forms.message(b'{"data": %b}' % ticks.message(number, 10**18 + number)[1], forms.MSGPACK)
        for number in range(50)
    ]
    found = layout(packed[0])
    assert found is not None
    block = b"".join(packed)
    assert found.read_numbers(block) == list(range(50))
    assert [found.read_time_ns(block, at) - 10**18 for at in (0, 49)] == [0, 49]


def test_what_is_no_tick_has_no_layout() -> None:
    assert layout(b'\x81\x10{"type": "pong"}') is None


def test_a_load_travels_as_one_argument() -> None:
    assert loads.decode(loads.encode(LOAD)) == LOAD
    assert (LOAD.first, LOAD.last, LOAD.ticks, LOAD.deliveries) == (500, 1500, 1000, 2000)


class Clock:
    """A clock that only sleeping moves; sometimes it oversleeps."""

    def __init__(self, oversleep: dict[int, float]) -> None:
        self.now_ns = 5 * 10**9
        self._sleeps = 0
        self._oversleep = oversleep

    def read_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self._sleeps += 1
        self.now_ns += round((seconds + self._oversleep.get(self._sleeps, 0.0)) * 1e9)


@pytest.mark.parametrize("oversleep", [{}, {600: 0.2}, {1: 0.003, 700: 0.05}])
def test_all_numbers_come_once_in_small_bursts(oversleep: dict[int, float]) -> None:
    clock = Clock(oversleep)
    pace = Pace(LOAD, clock.read_ns, clock.sleep)
    bursts = list(pace.bursts())
    assert [number for burst in bursts for number in burst] == list(range(LOAD.last))
    assert max(len(burst) for burst in bursts) <= 5
    assert LOAD.first in [burst.start for burst in bursts]
    late_ms = pace.late_ns / 1e6
    assert late_ms == pytest.approx(max([0.0, *oversleep.values()]) * 1000, abs=2)


def test_an_even_pace_is_never_late() -> None:
    clock = Clock({})
    pace = Pace(LOAD, clock.read_ns, clock.sleep)
    assert len(list(pace.bursts())) == LOAD.last
    assert pace.late_ns <= 1_000_000
