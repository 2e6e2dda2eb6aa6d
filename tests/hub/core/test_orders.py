"""Order updates: each to its user's shards, none lost in the first seconds, none lost uncounted."""

from __future__ import annotations

from hub.core.orders import LOST, Orders
from hub.core.topics import ALL_ORDERS, INVALIDATED

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


# Rule 3.


def silent(one: Orders, shard: int = 1, *keys: bytes, unsent: tuple[bytes, ...] = ()) -> None:
    one.away(shard, keys or (A,), [[A, payload] for payload in unsent], 20.0)


def old(most: int = 100) -> Orders:
    one = orders(kept_s=0.0, most=most)
    for second in range(21):
        one.tend(second)
    return one


def test_rule_3_a_shard_that_was_silent_gets_what_it_missed_of_what_it_follows() -> None:
    one = old()
    silent(one, 1, A, unsent=(b"0", b"1"))
    one.offer(A, b"2", (), 20.5)
    one.offer(B, b"x", (), 20.5)
    one.offer(A, b"3", (2,), 20.5)
    assert one.missed(1, [A, B]) == [A, b"0", A, b"1", A, b"2", A, b"3"]
    assert one.missed(1, [A, B]) == []
    one.offer(A, b"4", (1, 2), 20.6)
    assert one.missed(1, [A, B]) == [], "it is back, and is sent what comes"
    assert one.unclaimed == 1, "the one of B"


def test_rule_3_what_its_clients_follow_no_more_is_counted_and_not_sent() -> None:
    one = old()
    silent(one, 1, A, B)
    one.offer(A, b"0", (), 20.5)
    one.offer(B, b"1", (), 20.5)
    assert one.missed(1, [B]) == [B, b"1"]
    assert one.unclaimed == 1


def test_rule_3_a_shard_that_is_silent_in_the_first_seconds_misses_nothing_either() -> None:
    one = orders()
    one.offer(A, b"0", (1, 2), 0.5)
    one.away(1, [A], [[A, b"0"]], 1.0)
    one.offer(A, b"1", (2,), 1.5)
    for second in range(2, 9):
        one.tend(second)
    one.offer(A, b"2", (2,), 9.0)
    assert one.missed(1, [A]) == [A, b"0", A, b"1", A, b"2"]
    assert one.unclaimed == 0


def test_rule_3_who_is_away_too_long_is_told_that_something_was_lost() -> None:
    one = old()
    silent(one)
    one.offer(A, b"0", (), 20.5)
    one.offer(A, b"1", (2,), 20.5)
    for second in range(21, 82):
        one.tend(second)
    assert one.unclaimed == 1, "another shard was sent the second"
    one.offer(A, b"2", (), 82.0)
    assert one.unclaimed == 2
    assert one.missed(1, [A, B]) == [A, LOST], "of B it has missed nothing"
    assert one.missed(1, [A, B]) == []


def test_rule_3_who_misses_too_much_is_told_that_something_was_lost() -> None:
    one = old(most=3)
    silent(one, 1, A)
    for number in range(4):
        one.offer(A, b"%d" % number, (), 20.5)
    assert one.unclaimed == 4
    assert one.missed(1, [A]) == [A, LOST]


def test_rule_3_what_two_silent_shards_miss_is_counted_once() -> None:
    one = old()
    silent(one, 1)
    silent(one, 2)
    one.offer(A, b"0", (), 20.5)
    for second in range(21, 82):
        one.tend(second)
    assert one.unclaimed == 1


def test_rule_3_who_comes_back_for_a_moment_only_has_still_missed_what_he_has() -> None:
    one = old()
    silent(one, 1, A)
    one.offer(A, b"0", (), 20.5)
    one.away(1, [], [], 21.0)
    one.offer(A, b"1", (), 21.5)
    assert one.missed(1, [A]) == [A, b"0", A, b"1"]


def test_what_is_kept_is_bounded_in_bytes_too() -> None:
    one = Orders(0.0, 5.0, 100, 10)
    for number in range(4):
        one.offer(A, b"%d" % number * 4, (), 0.5)
    assert one.missed(1, [A]) == [A, b"2222", A, b"3333"]
    assert one.unclaimed == 2


def test_of_who_is_away_and_has_missed_too_many_bytes_nothing_is_kept_but_the_fact() -> None:
    one = Orders(0.0, 0.0, 100, 10)
    one.tend(0.1)
    one.away(1, [A], [(A, b"0000")], 0.2)
    one.offer(A, b"1111", (), 0.3)
    assert one.unclaimed == 0
    one.offer(A, b"2222", (), 0.4)
    assert one.unclaimed == 3
    assert one.missed(1, [A]) == [A, LOST]


# Rules 4 and 5.


def test_rule_4_what_came_to_another_machine_is_not_counted_when_nobody_here_follows_it() -> None:
    one = old(most=1)
    one.offer(A, b"0", (), 20.1, foreign=True)
    silent(one)
    one.offer(A, b"1", (), 20.5, foreign=True)
    one.offer(A, b"2", (), 20.5, foreign=True)
    assert one.unclaimed == 0
    assert one.missed(1, [A]) == [A, LOST], "but who followed it knows"


def test_rule_4_what_came_to_another_machine_waits_for_shards_like_all_else() -> None:
    one = orders()
    one.offer(A, b"0", (), 0.5, foreign=True)
    one.offer(A, b"1", (), 0.5)
    assert one.missed(1, [A]) == [A, b"0", A, b"1"]


def test_rule_5_who_follows_everybody_gets_what_came_to_this_machine_and_no_more() -> None:
    one = orders()
    one.offer(A, b"0", (), 0.5)
    one.offer(B, b"1", (1,), 0.5)
    one.offer(A, b"2", (), 0.5, foreign=True)
    one.offer(INVALIDATED, b"3", (), 0.5)
    assert one.missed(7, [ALL_ORDERS]) == [A, b"0", B, b"1", INVALIDATED, b"3"]
    assert one.missed(7, [ALL_ORDERS]) == []


def test_rule_5_what_came_while_he_was_silent_is_kept_for_him() -> None:
    one = old()
    silent(one, 7, ALL_ORDERS, unsent=(b"0",))
    one.offer(B, b"1", (), 20.5)
    one.offer(A, b"2", (), 20.5, foreign=True)
    one.offer(INVALIDATED, b"3", (), 20.5)
    one.offer(INVALIDATED, b"4", (7,), 20.5)
    assert one.missed(7, [ALL_ORDERS]) == [A, b"0", B, b"1", INVALIDATED, b"3"], "3 but not his 4"
    assert one.unclaimed == 0


def test_rule_5_he_too_is_told_that_something_was_lost() -> None:
    one = old(most=1)
    silent(one, 7, ALL_ORDERS)
    one.offer(A, b"0", (), 20.5)
    one.offer(B, b"1", (), 20.5)
    assert one.missed(7, [ALL_ORDERS]) == [ALL_ORDERS, LOST]


def test_changed_credentials_that_nobody_carries_on_are_not_counted() -> None:
    one = old()
    one.offer(INVALIDATED, b"0", (), 20.5)
    silent(one)
    one.offer(INVALIDATED, b"1", (), 20.5)
    assert one.missed(1, [A]) == [], "who follows a user hears of it another way"
    assert one.unclaimed == 0


def test_what_was_lost_of_everybody_on_another_machine_is_kept_for_each_who_follows_one() -> None:
    one = orders()
    one.away(1, [A, ALL_ORDERS], [], 0.4)
    one.offer(ALL_ORDERS, LOST, (2,), 0.5, foreign=True)
    assert one.missed(1, [B, A, ALL_ORDERS]) == [A, LOST, B, LOST]
    assert one.missed(2, [A]) == [], "he was sent it"
    assert one.missed(3, [ALL_ORDERS]) == []
    assert old().unclaimed == one.unclaimed == 0
