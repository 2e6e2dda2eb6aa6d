"""The ledger fails histories that break a promise, and passes those that faults explain."""

from __future__ import annotations

import pytest

from scripts.faults.account import ORDERS, Account
from scripts.faults.ledger import Ledger, Window

PERIOD_NS = 200
TOPIC = "NSE:C00001"


def judged(
    *seqs: int, topic: str = TOPIC, shard: str = "shard-0", windows: tuple[Window, ...] = ()
) -> Ledger:
    """One client's history, judged; number n is published at n periods."""
    ledger = Ledger()
    account = Account("a#1", PERIOD_NS)
    account.shard = shard
    ledger.accounts.append(account)
    for window in windows:
        ledger.open(window)
    account.subscribed(topic, seqs[0] * PERIOD_NS)
    for seq in seqs:
        account.take(topic, seq, seq * PERIOD_NS, 0)
    ledger.judge()
    return ledger


def window(
    first: int, last: int = 0, scope: str = "", *, orders: bool = False, name: str = "kill router"
) -> Window:
    """Open from one number to another."""
    opened = Window(name, scope, first * PERIOD_NS, orders=orders)
    opened.end_ns = last * PERIOD_NS
    return opened


def test_a_good_history_passes() -> None:
    assert not judged(5, 6, 7, 8).broken


@pytest.mark.parametrize(
    ("seqs", "promise"),
    [((5, 6, 6), "order"), ((5, 7, 6), "order"), ((5, 8), "gap")],
)
def test_a_duplicate_a_swap_and_a_gap_fail(seqs: tuple[int, ...], promise: str) -> None:
    assert promise in {broken.promise for broken in judged(*seqs).broken}


def test_a_lost_last_value_fails() -> None:
    ledger = judged(5, 6)
    ledger.accounts[0].check_last({TOPIC: 7}, 0)
    ledger.judge()
    assert [broken.promise for broken in ledger.broken] == ["last value"]


def test_a_gap_in_the_window_of_a_fault_is_counted() -> None:
    opened = window(6, 8)
    ledger = judged(5, 9, windows=(opened,))
    assert not ledger.broken
    assert (ledger.excused, opened.missing) == (3, 3)


@pytest.mark.parametrize(("first", "last"), [(7, 9), (5, 7), (10, 20), (1, 4)])
def test_a_gap_that_goes_beyond_the_window_fails(first: int, last: int) -> None:
    assert [one.promise for one in judged(5, 9, windows=(window(first, last),)).broken] == ["gap"]


def test_a_window_that_is_still_open_covers_all_that_follows() -> None:
    assert not judged(5, 100, windows=(window(6),)).broken


@pytest.mark.parametrize(("shard", "excused"), [("shard-0", True), ("shard-1", False), ("", True)])
def test_a_fault_of_a_shard_excuses_its_own_clients_alone(shard: str, excused: bool) -> None:
    ledger = judged(5, 9, shard=shard, windows=(window(5, 9, "shard-0"),))
    assert bool(ledger.broken) != excused


@pytest.mark.parametrize("orders", [True, False])
def test_order_updates_are_missed_only_where_that_is_documented(orders: bool) -> None:
    topic = f"{ORDERS}anita"
    ledger = judged(5, 9, topic=topic, windows=(window(5, 9, orders=orders),))
    assert [one.promise for one in ledger.broken] == ([] if orders else ["order updates"])


@pytest.mark.parametrize(("reply_at", "broken"), [(9, 0), (7, 1), (5, 1)])
def test_order_updates_are_owed_from_the_reply_on(reply_at: int, broken: int) -> None:
    topic = f"{ORDERS}anita"
    ledger = Ledger()
    account = Account("a#1", PERIOD_NS)
    ledger.accounts.append(account)
    account.subscribed(topic, reply_at * PERIOD_NS)
    for seq in (5, 9):
        account.take(topic, seq, seq * PERIOD_NS, 0)
    ledger.judge()
    assert len(ledger.broken) == broken
    assert ledger.before_reply == {9: 3, 7: 1, 5: 0}[reply_at]


def test_what_is_broken_is_told_with_the_last_fault_before_it() -> None:
    ledger = Ledger()
    ledger.event(10**9, "kill shard-1")
    ledger.event(2 * 10**9, "kill router")
    ledger.event(9 * 10**9, "stop monitor")
    ledger.fail("recovery", "a", "not back", 5 * 10**9)
    assert ledger.broken[0].nearby == "3.00 s after kill router"
    ledger.fail("recovery", "a", "not back", 0)
    assert not ledger.broken[1].nearby


def test_nothing_is_judged_twice() -> None:
    ledger = judged(5, 9)
    ledger.judge()
    assert len(ledger.broken) == 1


def test_a_connection_that_ends_is_judged_and_counted() -> None:
    ledger = judged(5, 6)
    (account,) = ledger.accounts
    account.take(TOPIC, 9, 0, 0)
    ledger.drop(account)
    assert not ledger.accounts
    assert ledger.received == 3
    assert len(ledger.broken) == 1
