"""Histories of one connection: good ones pass, and each way of breaking a promise is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.faults.account import ORDERS, Account

PERIOD_NS = 200
TOPIC = "NSE:C00001"


def played(
    seqs: Sequence[int], *, loose: bool = False, topic: str = TOPIC, since_ns: int = 0
) -> Account:
    """A connection that subscribed and got these; number n is published at n periods."""
    account = Account("a#1", PERIOD_NS, loose=loose)
    account.subscribed(topic, since_ns)
    for seq in seqs:
        account.take(topic, seq, seq * PERIOD_NS, seq * PERIOD_NS + 1)
    return account


def whole(account: Account) -> bool:
    return not account.broken and not account.gaps


@given(st.integers(0, 1000), st.integers(0, 50))
def test_every_tick_once_in_order_is_good(first: int, count: int) -> None:
    account = played(range(first, first + count), since_ns=first * PERIOD_NS)
    assert whole(account)
    assert account.received == count
    account.check_last({TOPIC: first + count - 1} if count else {}, 0)
    assert whole(account)


@pytest.mark.parametrize(
    ("seqs", "what"),
    [
        ([5, 6, 6, 7], "6 came twice"),
        ([5, 7, 6, 8], "6 came after 7"),
        ([5, 6, 7, 5], "5 came after 7"),
    ],
)
@pytest.mark.parametrize("loose", [False, True])
def test_what_comes_twice_or_late_is_told_of_everyone(
    seqs: list[int], what: str, loose: bool
) -> None:
    (broken,) = played(seqs, loose=loose, since_ns=5 * PERIOD_NS).broken
    assert broken.promise == "order"
    assert what in broken.what


def test_what_is_missing_is_a_gap_with_the_times_it_was_published_at() -> None:
    (gap,) = played([5, 9], since_ns=5 * PERIOD_NS).gaps
    assert (gap.after, gap.before, gap.missing) == (5, 9, 3)
    assert list(gap.times()) == [6 * PERIOD_NS, 7 * PERIOD_NS, 8 * PERIOD_NS]


def test_a_loose_client_is_spared_ticks_but_no_order_updates() -> None:
    spared = played([5, 9], loose=True, since_ns=5 * PERIOD_NS)
    assert whole(spared)
    assert spared.skipped == 3
    assert played([5, 9], loose=True, topic=f"{ORDERS}anita").gaps


def test_the_first_tick_may_be_a_snapshot_or_the_next_but_not_a_later_one() -> None:
    assert whole(played([7, 8], since_ns=9 * PERIOD_NS))
    assert whole(played([10], since_ns=9 * PERIOD_NS + 1))
    (gap,) = played([14], since_ns=9 * PERIOD_NS + 1).gaps
    assert gap.missing == 4
    assert gap.after == -1


def test_the_first_order_update_may_come_whenever() -> None:
    assert whole(played([40, 41], topic=f"{ORDERS}anita"))


def test_what_it_does_not_hold_must_not_come() -> None:
    account = played([5])
    account.unsubscribed(TOPIC)
    account.take(TOPIC, 6, 0, 0)
    account.take_any("NSE:OTHER", 0)
    assert [broken.promise for broken in account.broken] == ["order", "order"]


def test_nothing_old_comes_after_a_second_subscribe() -> None:
    account = played([5, 6], since_ns=5 * PERIOD_NS)
    account.unsubscribed(TOPIC)
    account.subscribed(TOPIC, 6 * PERIOD_NS)
    account.take(TOPIC, 6, 6 * PERIOD_NS, 0)
    assert whole(account), "the same value again is its snapshot"
    account.unsubscribed(TOPIC)
    account.subscribed(TOPIC, 6 * PERIOD_NS)
    account.take(TOPIC, 5, 5 * PERIOD_NS, 0)
    assert "5 came after 6" in account.broken[0].what


def test_a_second_subscribe_of_what_it_holds_changes_nothing() -> None:
    account = played([5, 6])
    account.subscribed(TOPIC, 0)
    account.take(TOPIC, 6, 0, 0)
    assert "twice" in account.broken[0].what


@pytest.mark.parametrize("loose", [False, True])
@pytest.mark.parametrize("seqs", [[], [5], [5, 6]])
def test_the_last_value_must_have_come(seqs: list[int], loose: bool) -> None:
    account = played(seqs, loose=loose, since_ns=5 * PERIOD_NS)
    assert account.missing_last({TOPIC: 7, "NSE:OTHER": 7}) == 1
    account.check_last({TOPIC: 7}, 0)
    (broken,) = account.broken
    assert broken.promise == "last value"
    assert "last value is 7" in broken.what


def test_a_topic_that_was_never_published_is_not_missed() -> None:
    account = played([])
    account.check_last({TOPIC: -1}, 0)
    assert whole(account)
    assert not account.missing_last({TOPIC: -1})


def test_old_ticks_are_those_beyond_the_newest_of_each_topic() -> None:
    account = played([5])
    account.count_old(9 * PERIOD_NS)
    for seq in (6, 7, 8, 9, 10):
        account.take(TOPIC, seq, seq * PERIOD_NS, 0)
    assert account.old == 2, "8 was the value of that moment, 6 and 7 were old"


def test_how_current_it_is() -> None:
    account = played([5])
    account.subscribed("NSE:C00002", 0)
    account.subscribed(f"{ORDERS}anita", 0)
    assert account.oldest_ns() == 0, "one topic has nothing yet"
    assert account.first_ns() == 5 * PERIOD_NS
    account.take("NSE:C00002", 1, 77, 0)
    assert account.oldest_ns() == 77
    account.take_any("NSE:C00002", 99)
    assert account.oldest_ns() == 99
