"""What a connection is asked for: against a naive model, and its rules one by one."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.brokers.base import Change, Listing, Subscription
from hub.feeds.native.ledger import Ledger


def sub(symbol: str = "RELIANCE", mode: int = 2) -> Subscription:
    made = Subscription(Listing("NSE", symbol, "1", symbol))
    made.mode = mode
    return made


def test_the_difference_is_said_once() -> None:
    ledger, one = Ledger(5), sub()
    ledger.want(one)
    changes = ledger.changes(10)
    assert changes == [Change(one, 0, 2)]
    ledger.said(changes, 0)
    assert ledger.changes(10) == []
    one.mode = 3
    ledger.want(one)
    one.mode = 2
    ledger.want(one)
    assert ledger.changes(10) == []


def test_releases_go_first_for_they_make_room() -> None:
    ledger, old = Ledger(5), sub("OLD")
    ledger.want(old)
    ledger.said(ledger.changes(10), 0)
    new = sub("NEW")
    ledger.want(new)
    old.mode = 0
    ledger.want(old)
    assert ledger.changes(1) == [Change(old, 2, 0)]
    ledger.said(ledger.changes(10), 0)
    assert old not in ledger


def test_what_is_released_before_it_was_said_is_never_said() -> None:
    ledger, one = Ledger(5), sub()
    ledger.want(one)
    one.mode = 0
    ledger.want(one)
    assert ledger.changes(10) == []
    assert len(ledger) == 0


def test_one_that_is_not_confirmed_in_its_time_is_due() -> None:
    ledger, one, two = Ledger(5), sub("ONE"), sub("TWO")
    for each in (one, two):
        ledger.want(each)
    ledger.said(ledger.changes(10), 100)
    assert ledger.confirmed == 0
    assert ledger.confirm(one)
    assert not ledger.confirm(one)
    assert ledger.confirmed == 1
    assert ledger.due(104.9) == []
    assert ledger.due(105) == [two]


def test_one_that_is_released_is_waited_for_no_more() -> None:
    ledger, one = Ledger(5), sub()
    ledger.want(one)
    ledger.said(ledger.changes(10), 0)
    one.mode = 0
    ledger.want(one)
    assert ledger.due(1e9) == []
    assert ledger.changes(10) == [Change(one, 2, 0)]


def test_a_connection_that_is_lost_takes_all_that_was_asked_with_it() -> None:
    ledger, kept, released = Ledger(5), sub("KEPT"), sub("RELEASED")
    for each in (kept, released):
        ledger.want(each)
    ledger.said(ledger.changes(10), 0)
    ledger.confirm(kept)
    released.mode = 0
    ledger.want(released)
    ledger.lost()
    assert kept.waits
    assert ledger.changes(10) == [Change(kept, 0, 2)]
    assert released not in ledger
    assert ledger.due(1e9) == []


class Histories(RuleBasedStateMachine):
    """Any history: what is open is the difference of wanted and asked, of each subscription."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(5)
        self.subs = [sub(str(number), 0) for number in range(5)]
        self.asked = dict.fromkeys(self.subs, 0)
        self.now_s = 0.0

    @rule(number=st.integers(0, 4), mode=st.integers(0, 3))
    def want(self, number: int, mode: int) -> None:
        self.subs[number].mode = mode
        self.ledger.want(self.subs[number])

    @rule(most=st.integers(1, 5))
    def say(self, most: int) -> None:
        changes = self.ledger.changes(most)
        assert len(changes) <= most
        for change in changes:
            assert change.was == self.asked[change.sub] != change.to == change.sub.mode
            self.asked[change.sub] = change.to
        self.ledger.said(changes, self.now_s)

    @rule(number=st.integers(0, 4))
    def confirm(self, number: int) -> None:
        self.ledger.confirm(self.subs[number])

    @rule(number=st.integers(0, 4))
    def refuse(self, number: int) -> None:
        self.ledger.drop(self.subs[number])
        self.subs[number].mode = self.asked[self.subs[number]] = 0

    @rule()
    def lose(self) -> None:
        self.ledger.lost()
        self.asked = dict.fromkeys(self.subs, 0)

    @invariant()
    def open_is_the_difference(self) -> None:
        found = {change.sub: (change.was, change.to) for change in self.ledger.changes(5)}
        assert found == {
            one: (self.asked[one], one.mode) for one in self.subs if self.asked[one] != one.mode
        }

    @invariant()
    def nothing_is_kept_that_is_neither_wanted_nor_asked(self) -> None:
        assert set(self.ledger.subs()) == {one for one in self.subs if one.mode or self.asked[one]}
        assert set(self.ledger.due(1e9)) <= set(self.ledger.subs())


TestHistories = Histories.TestCase
