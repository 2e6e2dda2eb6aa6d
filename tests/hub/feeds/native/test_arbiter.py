"""Which of the copies of a tick is published."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Listing, Subscription
from hub.feeds.native.arbiter import STALE_S, Arbiter

LISTING = Listing("NSE", "RELIANCE", "1", "2885")
ONE, TWO = Subscription(LISTING, account=0), Subscription(LISTING, account=1)


def test_the_first_copy_passes_whoever_brings_it() -> None:
    arbiter = Arbiter()
    assert arbiter.passes(ONE, 1000, 0, 0.0)
    assert not arbiter.passes(TWO, 1000, 0, 0.1)
    assert arbiter.passes(TWO, 1200, 0, 0.2)
    assert not arbiter.passes(ONE, 1200, 0, 0.3)
    assert arbiter.copies == 2


def test_who_has_brought_the_last_one_may_bring_another_of_the_same_time() -> None:
    arbiter = Arbiter()
    assert arbiter.passes(ONE, 1000, 0, 0.0)
    assert arbiter.passes(ONE, 1000, 0, 0.1)
    assert not arbiter.passes(ONE, 999, 0, 0.2)


def test_of_one_source_the_number_decides_where_there_is_one() -> None:
    arbiter = Arbiter()
    assert arbiter.passes(ONE, 1000, 7, 0.0)
    assert not arbiter.passes(ONE, 1000, 7, 0.1)
    assert arbiter.passes(ONE, 1000, 8, 0.2)


def test_who_is_silent_is_made_up_for_at_once() -> None:
    arbiter = Arbiter()
    assert arbiter.passes(ONE, 1000, 0, 0.0)
    assert arbiter.passes(TWO, 1001, 0, 0.1)  # ONE is dead from here on
    assert arbiter.passes(TWO, 1002, 0, 0.2)


def test_a_source_without_times_is_heard_while_the_others_are_silent() -> None:
    arbiter = Arbiter()
    assert arbiter.passes(ONE, 1000, 0, 0.0)
    assert not arbiter.passes(TWO, 0, 0, STALE_S)
    assert arbiter.passes(TWO, 0, 0, STALE_S + 0.1)
    assert arbiter.taken_over == 1
    assert arbiter.passes(TWO, 0, 0, STALE_S + 0.2)
    assert arbiter.passes(ONE, 1100, 0, STALE_S + 0.3)


def test_what_nobody_wants_any_more_is_forgotten() -> None:
    arbiter = Arbiter()
    arbiter.passes(ONE, 1000, 0, 0.0)
    arbiter.forget(ONE.key)
    assert arbiter.passes(TWO, 5, 0, 0.1)


@given(st.data())
def test_two_late_and_lossy_ways_of_one_market_are_in_order_and_never_double(
    data: st.DataObject,
) -> None:
    ticks = [1000 + 10 * number for number in range(12)]
    ways = [data.draw(st.lists(st.sampled_from(ticks), unique=True).map(sorted)) for _ in range(2)]
    arbiter = Arbiter()
    passed: list[int] = []
    while any(ways):
        way = data.draw(st.sampled_from([n for n in range(2) if ways[n]]))
        at_ms = ways[way].pop(0)
        if arbiter.passes((ONE, TWO)[way], at_ms, 0, len(passed) / 1000):
            passed.append(at_ms)
    assert passed == sorted(set(passed))
