"""What is wanted against what is held: histories, pooled and not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.feeds.openalgo.worker_wants import DEPTH, Held, Want, levels, modes_of, order

MODES = st.integers(0, 7)


def want(modes: int, depth: int = 5) -> Want:
    return Want(b"NSE_A", modes, depth, "NSE", "A")


@given(MODES, MODES)
def test_what_is_subscribed_is_what_is_new_lowest_first(held: int, modes: int) -> None:
    found = order(want(modes), Held(held, 5))
    assert found == [mode for mode in modes_of(modes) if mode not in modes_of(held)]


def test_depth_is_subscribed_again_for_more_levels_only() -> None:
    held = Held(DEPTH, 20)
    found = [order(want(DEPTH, depth), held) for depth in (5, 20, 50)]
    assert found == [[], [], [3]]
    assert order(want(1, 50), held) == [1]


def test_what_is_held_follows() -> None:
    held = Held().with_mode(1, 5, 0).with_mode(3, 20, 15)
    assert held == Held(5, 20, 15)
    assert held.without(DEPTH) == Held(1)
    assert held.without(1) == Held(DEPTH, 20, 15)
    assert held.with_mode(2, 5, 0) == Held(7, 20, 15)
    assert held.without(~1) == Held(1)


def test_levels_are_told_when_they_are_a_number() -> None:
    answers: list[Any] = [
        {"actual_depth": 20},
        {"actual_depth": "20"},
        {"actual_depth": True},
        {},
        None,
    ]
    assert [levels(answer) for answer in answers] == [20, 0, 0, 0, 0]
