"""Durations in logarithmic buckets."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark.histogram import Histogram

durations = st.lists(st.integers(1, 10**12), min_size=1, max_size=200)


def filled(values: list[int]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(durations, st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_right_to_within_a_thousandth(values: list[int], percent: float) -> None:
    exact = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
    assert math.isclose(filled(values).percentile_ns(percent), exact, rel_tol=0.001, abs_tol=1)


@given(durations, durations)
def test_merged_is_as_if_one_had_counted_all(one: list[int], other: list[int]) -> None:
    merged = filled(one)
    merged.merge(filled(other))
    assert merged.as_json() == filled(one + other).as_json()
    assert (merged.count, merged.max_ns) == (len(one) + len(other), max(one + other))


@given(durations)
def test_what_is_sent_on_is_the_same(values: list[int]) -> None:
    sent = filled(values)
    got = Histogram.from_json(sent.as_json())
    assert (got.count, got.max_ns) == (sent.count, sent.max_ns)
    assert got.percentile_ns(50) == sent.percentile_ns(50)


def test_nothing_counted_is_zero_everywhere() -> None:
    assert Histogram().percentile_ns(99) == 0
    assert repr(Histogram()) == "<Histogram of 0, p50 0 ns, max 0 ns>"


def test_clocks_that_seem_to_run_backwards_count_as_no_time_at_all() -> None:
    assert filled([-5, 0, 1]).percentile_ns(100) == 1
