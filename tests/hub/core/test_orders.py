"""Order updates: each to its user's shards, none lost in the first seconds, none lost uncounted."""

from __future__ import annotations

from hub.core.orders import Orders

A, B = b"@orders:a", b"@orders:b"


def orders(kept_s: float = 5.0, most: int = 100) -> Orders:
    return Orders(0.0, kept_s, most)


def test_rule_2_a_shard_that_repeats_its_interest_gets_what_it_missed_once_and_in_order() -> None:
    one = orders()
    for number, key in enumerate((A, B, A)):
        one.offer(key, b"%d" % number, (), 0.5)
    assert one.missed(1, [A]) == [A, b"0", A, b"2"]
    assert one.missed(1, [A]) == []
    assert one.missed(2, [A, B]) == [A, b"0", B, b"1", A, b"2"], "each shard gets all of its own"


def test_rule_2_what_a_shard_was_sent_at_once_it_is_not_sent_again() -> None:
    one = orders()
    one.offer(A, b"0", (), 0.5)
    assert one.missed(1, [A]) == [A, b"0"]
    one.offer(A, b"1", (1,), 0.6)
    assert one.missed(1, [A]) == []
    assert one.missed(2, [A]) == [A, b"0", A, b"1"]


def test_rule_3_at_the_end_those_that_no_shard_was_sent_are_counted() -> None:
    one = orders()
    one.offer(A, b"0", (), 0.5)
    one.offer(A, b"1", (1,), 0.5)
    one.offer(B, b"2", (), 0.5)
    one.missed(2, [B])
    for second in range(1, 6):
        one.tend(second)
    assert one.unclaimed == 0, "there is still time"
    one.tend(5.1)
    assert one.unclaimed == 1
    assert one.missed(3, [A, B]) == []


def test_rule_3_afterwards_each_without_a_taker_is_counted_at_once() -> None:
    one = orders(kept_s=0.0)
    one.tend(0.1)
    one.offer(A, b"0", (), 0.2)
    one.offer(A, b"1", (1,), 0.2)
    one.offer(B, b"2", (), 0.2)
    assert one.unclaimed == 2
    assert one.missed(1, [A, B]) == [], "nothing is kept any more: whoever follows now, is new"


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    one = orders(most=2)
    for number in range(4):
        one.offer(A, b"%d" % number, (7,) if number == 1 else (), 0.5)
    assert one.missed(1, [A]) == [A, b"2", A, b"3"]
    assert one.unclaimed == 1, "the first had no taker, the second had"


def test_time_in_which_the_router_was_paused_does_not_count() -> None:
    one = orders()
    one.offer(A, b"0", (), 0.5)
    one.tend(60.0)
    assert one.missed(1, [A]) == [A, b"0"]
