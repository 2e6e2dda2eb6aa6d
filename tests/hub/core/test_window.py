"""How long a flush is held, by how busy the process is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.window import Window


def run_at(window: Window, share: float, *, seconds: float = 2.0, start_s: float = 100.0) -> int:
    """Sample at a constant share of CPU; the width it ends with."""
    cpu_s = 0.0
    for step in range(int(seconds / 0.05)):
        window.sample(start_s + step * 0.05, cpu_s)
        cpu_s += share * 0.05
    return window.width_ms


def test_an_idle_process_sends_at_once() -> None:
    assert Window(20).width_ms == 0
    assert run_at(Window(20), 0.0) == 0
    assert run_at(Window(20), 0.03) == 0


def test_a_busy_process_waits_for_the_longest_window_and_no_longer() -> None:
    assert run_at(Window(20), 0.3) == 20
    assert run_at(Window(20), 1.0) == 20


def test_the_busier_the_longer() -> None:
    widths = [run_at(Window(20), share) for share in (0.05, 0.1, 0.15, 0.19)]
    assert widths == sorted(widths)
    assert 0 < widths[0] < widths[-1] < 20


def test_load_that_ends_closes_the_window_again() -> None:
    window = Window(20)
    run_at(window, 1.0)
    assert run_at(window, 0.0, start_s=200.0) == 0


def test_the_first_sample_only_begins_the_measurement() -> None:
    window = Window(20)
    window.sample(1000.0, 999.0)
    assert window.width_ms == 0


def test_one_sample_of_load_does_not_open_the_window_wholly() -> None:
    window = Window(20)
    window.sample(100.0, 0.0)
    window.sample(100.05, 0.01)
    assert 0 < window.width_ms < 20


def test_one_usual_sample_moves_the_share_half_way() -> None:
    window = Window(20)
    window.sample(100.0, 0.0)
    window.sample(100.05, 0.04)
    assert window.share == pytest.approx(0.4)


def test_after_a_long_silence_the_share_is_what_was_measured_and_no_more() -> None:
    """A process that was held for a second must not be taken for one twice as busy as it is."""
    window = Window(20)
    window.sample(100.0, 0.0)
    window.sample(101.0, 0.1)
    assert window.share == pytest.approx(0.1)


def test_samples_are_due_every_50_ms() -> None:
    window = Window(20)
    window.sample(100.0, 0.0)
    assert not window.due(100.04)
    assert window.due(100.0501)


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 100)), max_size=20),
)
def test_the_width_mstays_between_nothing_and_the_longest(
    longest_ms: int, steps: list[tuple[float, float]]
) -> None:
    window = Window(longest_ms)
    now_s = cpu_s = 1.0
    for wall, used in steps:
        now_s += wall
        cpu_s += used
        window.sample(now_s, cpu_s)
        assert 0 <= window.width_ms <= longest_ms


def test_where_it_begins_and_ends_to_open_can_be_set() -> None:
    assert run_at(Window(20, idle=0.5, busy=0.9), 0.45) == 0
    assert run_at(Window(20, idle=0.5, busy=0.9), 0.95) == 20
