"""How long a flush is held, by how much comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.window import Window


def run_at(
    window: Window,
    rate: float,
    *,
    seconds: float = 2.0,
    start_s: float = 100.0,
    step_s: float = 0.05,
) -> float:
    """Let messages come at a constant rate; the width it ends with."""
    owed = 0.0
    for step in range(int(seconds / step_s)):
        owed += rate * step_s
        window.took(int(owed), start_s + step * step_s)
        owed -= int(owed)
    return window.width_ms


def test_few_messages_are_sent_at_once() -> None:
    assert Window(20).width_ms == 0
    assert run_at(Window(20), 0) == 0
    assert run_at(Window(20), 200) == 0


def test_many_messages_wait_for_the_longest_window_and_no_longer() -> None:
    assert run_at(Window(20), 1100) == 20
    assert run_at(Window(20), 1_000_000) == 20


def test_the_more_come_the_longer_each_waits() -> None:
    widths = [run_at(Window(20), rate) for rate in (300, 500, 700, 900)]
    assert widths == sorted(widths)
    assert 0 < widths[0] < widths[-1] < 20


@pytest.mark.parametrize("step_s", [0.0005, 0.002, 0.02, 0.3])
def test_how_they_are_told_of_does_not_matter(step_s: float) -> None:
    assert run_at(Window(20), 625, step_s=step_s) == pytest.approx(10, abs=1)


def test_load_that_ends_closes_the_window_again() -> None:
    window = Window(20)
    run_at(window, 5000)
    assert run_at(window, 0, start_s=200.0) == 0
    assert window.rate == pytest.approx(0, abs=1)


def test_the_first_sample_only_begins_the_measurement() -> None:
    window = Window(20)
    window.took(999_999, 1000.0)
    window.took(0, 1000.05)
    assert window.width_ms == 0


def test_one_usual_sample_moves_the_rate_half_way() -> None:
    window = Window(20)
    window.took(0, 100.0)
    window.took(50, 100.05001)
    assert window.rate == pytest.approx(500, rel=0.001)
    assert 0 < window.width_ms < 20


def test_nothing_moves_until_50_ms_are_over() -> None:
    window = Window(20)
    window.took(0, 100.0)
    for step in range(1, 5):
        window.took(1000, 100.0 + step * 0.01)
        assert window.rate == 0
    window.took(1000, 100.0501)
    assert window.rate == pytest.approx(50_000, rel=0.01)


def test_after_a_long_silence_the_rate_is_what_was_measured_and_no_more() -> None:
    """A process that was held for a second must not be taken for one twice as busy as it is."""
    window = Window(20)
    window.took(0, 100.0)
    window.took(100, 101.0)
    assert window.rate == pytest.approx(100)
    assert window.width_ms == 0


def test_a_few_messages_after_a_long_silence_do_not_open_the_window() -> None:
    window = Window(20)
    window.took(0, 100.0)
    window.took(0, 101.0)
    window.took(200, 101.9)
    assert window.width_ms == 0


def test_the_width_moves_in_steps() -> None:
    """Each other width would set the timer anew."""
    widths = {run_at(Window(3), rate) for rate in range(200, 1200, 7)}
    assert widths == {step * 0.5 for step in range(7)}


@given(
    st.floats(0, 50),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 100_000)), max_size=20),
)
def test_the_width_stays_between_nothing_and_the_longest(
    longest_ms: float, steps: list[tuple[float, int]]
) -> None:
    window = Window(longest_ms)
    now_s = 1.0
    for wall_s, count in steps:
        now_s += wall_s
        window.took(count, now_s)
        assert 0 <= window.width_ms <= longest_ms
        assert window.rate >= 0


def test_a_window_that_may_not_be_wide_never_opens() -> None:
    assert run_at(Window(0), 1_000_000) == 0


def test_where_it_begins_and_ends_to_open_can_be_set() -> None:
    assert run_at(Window(20, few=5000, many=9000), 4900) == 0
    assert 0 < run_at(Window(20, few=5000, many=9000), 7000) < 20
    assert run_at(Window(20, few=5000, many=9000), 9500) == 20


def test_a_window_says_how_wide_it_is_and_why() -> None:
    window = Window(2)
    run_at(window, 600, seconds=5)
    assert repr(window) == "<Window 1 ms at 600 messages/s>"
