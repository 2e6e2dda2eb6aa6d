"""Mergeable histograms of latencies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Malformed
from hub.core.histogram import BUCKETS, Histogram, bound_us

latencies = st.lists(st.floats(0, 2e8), max_size=50)


def made(us: list[float]) -> Histogram:
    histogram = Histogram()
    for one in us:
        histogram.add(one)
    return histogram


@given(latencies, st.floats(0.01, 1))
def test_a_quantile_is_at_most_a_bucket_too_long_and_never_too_short(
    us: list[float], share: float
) -> None:
    quantile = made(us).quantile(share)
    if not us:
        assert quantile is None
        return
    ordered = sorted(us)
    rank = max(1, -int(-share * len(us) // 1))
    exact = ordered[min(len(us), rank) - 1]
    assert quantile is not None
    if exact <= bound_us(BUCKETS - 1):
        assert exact <= quantile * 1.000001
        assert quantile <= max(1.0, exact) * 2**0.25 * 1.000001


@given(latencies, latencies)
def test_two_histograms_add_up_to_that_of_all_and_can_be_taken_apart(
    first: list[float], second: list[float]
) -> None:
    both, before = made(first), made(first)
    both.merge(made(second))
    assert both.counts == made(first + second).counts
    assert both.sum_us == pytest.approx(sum(first + second))
    assert both.since(before).counts == made(second).counts


@given(latencies)
def test_it_survives_a_heartbeat(us: list[float]) -> None:
    histogram = made(us)
    again = Histogram.decode(histogram.encode())
    assert again.counts == histogram.counts
    assert again.sum_us == pytest.approx(histogram.sum_us, abs=0.001)


def test_an_upper_bound_belongs_to_its_bucket() -> None:
    histogram = made([bound_us(bucket) for bucket in range(BUCKETS)])
    assert histogram.counts == [1] * BUCKETS + [0]
    assert histogram.up_to((0, 1, 2)) == [1, 5, 9]


def test_what_is_below_zero_counts_as_none_and_what_is_endless_in_the_last_bucket() -> None:
    histogram = made([-5, 1e12])
    assert histogram.counts[0] == histogram.counts[BUCKETS] == 1
    assert histogram.sum_us == 1e12
    assert histogram.quantile(1) == bound_us(BUCKETS) == 2.0**25


@pytest.mark.parametrize("encoded", [None, 5, [], [0.0, 1], [0.0, 500, 1], ["x"], [0.0, "a", 1]])
def test_what_is_no_histogram_is_refused(encoded: object) -> None:
    with pytest.raises(Malformed):
        Histogram.decode(encoded)
