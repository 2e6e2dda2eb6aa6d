"""When a connection is made again."""

from __future__ import annotations

import pytest

from hub.core.model import Fault
from hub.feeds.native.retry import Retry


def waits(retry: Retry, fault: Fault, count: int, roll: float = 1.0) -> list[float]:
    return [retry.wait_s(fault, roll) for _ in range(count)]


def test_a_lost_connection_is_tried_again_somewhere_in_a_time_that_doubles() -> None:
    assert waits(Retry(), Fault.NETWORK, 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert waits(Retry(), Fault.NETWORK, 8, roll=0.0) == [0.0] * 8
    assert waits(Retry(), Fault.NETWORK, 3, roll=0.5) == [0.25, 0.5, 1]


def test_one_that_was_good_for_a_minute_begins_anew() -> None:
    retry = Retry()
    waits(retry, Fault.NETWORK, 6)
    retry.lasted(60, delivered=False)
    assert waits(retry, Fault.NETWORK, 1) == [30]
    retry.lasted(60, delivered=True)
    assert waits(retry, Fault.NETWORK, 1) == [0.5]


def test_one_that_was_up_for_less_leaves_the_wait_as_it_is() -> None:
    retry = Retry()
    waits(retry, Fault.NETWORK, 3)
    for _ in range(5):
        retry.lasted(10, delivered=True)
        assert waits(retry, Fault.NETWORK, 1) == [2]
    retry.lasted(4, delivered=True)
    assert waits(retry, Fault.NETWORK, 1) == [4]


@pytest.mark.parametrize(
    ("fault", "first_s", "longest_s"),
    [(Fault.EVICTED, 30, 600), (Fault.RATE, 60, 900), (Fault.CAPACITY, 60, 900)],
)
def test_who_was_sent_away_stays_away_longer_each_time(
    fault: Fault, first_s: float, longest_s: float
) -> None:
    retry = Retry()
    found = waits(retry, fault, 12, roll=0.0)
    assert found[:3] == [first_s, 2 * first_s, 4 * first_s]
    assert found[-1] == longest_s
    assert Retry().wait_s(fault, 1.0) == 1.5 * first_s


def test_two_hubs_that_evict_each_other_do_so_ever_more_seldom() -> None:
    retry = Retry()
    waits(retry, Fault.EVICTED, 3)
    retry.lasted(120, delivered=True)  # until the other came back
    assert retry.wait_s(Fault.EVICTED, 0.0) == 240
    retry.lasted(900, delivered=True)
    assert retry.wait_s(Fault.EVICTED, 0.0) == 30


def test_a_broker_that_says_how_long_is_believed() -> None:
    assert Retry().wait_s(Fault.RATE, 0.0, least_s=300) == 300
    assert Retry().wait_s(Fault.NETWORK, 0.0, least_s=7) == 7
