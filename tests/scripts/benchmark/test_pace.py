"""Pacing, by a clock of our own."""

from __future__ import annotations

import msgspec
import pytest

from scripts.benchmark.loads import Load
from scripts.benchmark.pace import Pace

LOAD = Load(name="test", clients=1, symbols=10, rate=1000, seconds=0.2, warm_s=0.1)


class Clock:
    """Goes on by what is slept, by `step_ns` at each look, and by what a test adds."""

    def __init__(self, step_ns: int = 1000) -> None:
        self.now_ns = 5 * 10**9
        self.begun_ns = self.now_ns
        self.step_ns = step_ns

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_ns += round(seconds * 1e9)


def paced(load: Load, clock: Clock) -> Pace:
    return Pace(load, clock, clock.sleep)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("rate", [7, 999, 5000, 30_000])
def test_every_tick_is_due_once_in_order_and_never_early(rate: int, single: bool) -> None:
    load = msgspec.structs.replace(LOAD, rate=rate, single=single)
    clock, found = Clock(), []
    for burst in paced(load, clock).bursts():
        found += list(burst)
        assert clock.now_ns - clock.begun_ns >= (len(found) - 1) * 10**9 // rate
    assert found == list(range(load.last))


@pytest.mark.parametrize("single", [True, False])
def test_a_range_begins_where_the_window_does(single: bool) -> None:
    load = msgspec.structs.replace(LOAD, rate=777, single=single)
    assert load.first in [burst.start for burst in paced(load, Clock()).bursts()]


def test_singles_go_at_their_time() -> None:
    load = msgspec.structs.replace(LOAD, single=True)
    clock = Clock(100)
    start_ns = clock.begun_ns + clock.step_ns
    for burst in paced(load, clock).bursts():
        assert len(burst) == 1
        assert 0 <= clock.now_ns - start_ns - burst.start * 10**6 <= 100


@pytest.mark.parametrize("single", [True, False])
def test_who_was_late_catches_up_and_says_how_late_it_was(single: bool) -> None:
    load = msgspec.structs.replace(LOAD, single=single)
    clock = Clock()
    pace = paced(load, clock)
    for burst in pace.bursts():
        assert len(burst) <= 5
        if burst.start <= 150 < burst.stop:
            clock.now_ns += 50 * 10**6
    assert 49 * 10**6 <= pace.late_ns <= 52 * 10**6
    assert clock.now_ns - clock.begun_ns < 310 * 10**6
