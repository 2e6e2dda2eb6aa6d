"""What waits for room: the newest of each topic, every order update, and no more than that."""

from __future__ import annotations

import pytest

from hub.feeds.openalgo import worker_newest as module
from hub.feeds.openalgo.worker_newest import Newest


def put(newest: Newest, *pairs: tuple[bytes, bytes]) -> list[str]:
    return [newest.put(topic, text) for topic, text in pairs]


def test_rule_1_the_newest_of_each_topic_is_kept_in_the_order_of_the_newest() -> None:
    newest = Newest()
    costs = put(newest, (b"A_LTP", b"1"), (b"B_LTP", b"2"), (b"A_LTP", b"3"), (b"A_QUOTE", b"4"))
    assert costs == ["", "", "conflated", ""]
    assert newest.first(9) == [(b"B_LTP", b"2"), (b"A_LTP", b"3"), (b"A_QUOTE", b"4")]
    assert len(newest) == 3


def test_rule_2_of_order_updates_all_are_kept_and_go_first() -> None:
    newest = Newest()
    updates = [(b"broker_orders", b"%d" % number) for number in range(3)]
    assert put(newest, (b"A_LTP", b"1"), *updates) == [""] * 4
    assert newest.first(9) == [*updates, (b"A_LTP", b"1")]


def test_rule_2_beyond_their_bound_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ORDERS", 2)
    newest = Newest()
    updates = [(b"broker_orders", b"%d" % number) for number in range(3)]
    assert put(newest, *updates) == ["", "", "dropped"]
    assert newest.first(9) == updates[1:]


def test_what_is_sent_waits_no_more() -> None:
    newest = Newest()
    put(newest, (b"A_LTP", b"1"), (b"x_orders", b"2"), (b"B_LTP", b"3"), (b"x_orders", b"4"))
    first = newest.first(3)
    assert first == [(b"x_orders", b"2"), (b"x_orders", b"4"), (b"A_LTP", b"1")]
    assert newest.first(3) == first, "looking is not sending"
    newest.sent(first)
    assert newest.first(3) == [(b"B_LTP", b"3")]
    assert put(newest, (b"A_LTP", b"5")) == [""], "the one before was sent"
    newest.sent(newest.first(9))
    assert not newest
