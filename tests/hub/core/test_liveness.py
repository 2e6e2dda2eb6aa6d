"""Time as processes count it for each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.liveness import Awake


def test_a_pause_counts_as_one_step_and_what_came_before_and_after_it_in_full() -> None:
    clock = Awake(step_s=1.5)
    assert clock.look(100.0) == 0
    assert clock.look(101.0) == 1
    assert clock.look(1000.0) == 2.5
    assert clock.look(1001.0) == 3.5
    assert clock.paused_s == pytest.approx(899 - 1.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_clock_of_a_process_never_runs_back_and_never_faster_than_time(
    gaps: list[float],
) -> None:
    clock, now_s = Awake(), 0.0
    before = clock.look(now_s)
    for gap in gaps:
        now_s += gap
        awake = clock.look(now_s)
        assert before <= awake <= before + gap + 1e-6
        before = awake


def test_who_asks_for_the_pause_is_told_of_each_one_once_whoever_has_looked_meanwhile() -> None:
    clock = Awake(step_s=1.5)
    told = []
    for now_s in (10.0, 11.0, 15.0, 15.0, 16.0):
        clock.look(now_s)
        told.append(clock.pause(now_s))
    assert [pause.seconds for pause in told] == [0, 0, 2.5, 0, 0]
    assert [pause.read_first for pause in told] == [False, False, True, False, False]


def test_a_process_that_is_always_late_judges_every_second_time_all_the_same() -> None:
    """A loop whose turns take long is late at each beat: nobody would ever be judged."""
    clock = Awake(step_s=1.5)
    told = [clock.pause(2.0 * beat) for beat in range(7)]
    assert [pause.read_first for pause in told] == [False, True, False, True, False, True, False]
    assert [pause.seconds for pause in told] == [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
