"""What one client has received, against a naive account of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark.ledger import Ledger

FIRST, LAST = 10, 60


def account(topics: int, chunks: list[list[int]]) -> tuple[int, int, int, int]:
    """Delivered, duplicates, out of order and early, by remembering everything."""
    seen: set[int] = set()
    newest: dict[int, int] = {}
    duplicates = disordered = 0
    for number in (number for chunk in chunks for number in chunk):
        if number in seen:
            duplicates += 1
            continue
        disordered += number < newest.get(number % topics, -1)
        seen.add(number)
        newest[number % topics] = max(number, newest.get(number % topics, -1))
    delivered = len([number for number in seen if FIRST <= number < LAST])
    return delivered, duplicates, disordered, len([number for number in seen if number < FIRST])


def filled(topics: int, chunks: list[list[int]]) -> Ledger:
    ledger = Ledger(topics, FIRST, LAST)
    for chunk in chunks:
        ledger.take(chunk)
    return ledger


def kept(topics: int, chunks: list[list[int]]) -> tuple[int, int, int]:
    ledger = filled(topics, chunks)
    return ledger.delivered, ledger.duplicates, ledger.disordered


def cut(numbers: list[int], sizes: list[int]) -> list[list[int]]:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(numbers[at : at + size])
        at += size
    return [*chunks, numbers[at:]]


numbers_of_a_run = st.lists(st.integers(0, 69), max_size=120)
sizes = st.lists(st.integers(0, 30), max_size=8)


@given(st.integers(1, 12), numbers_of_a_run, sizes)
def test_any_history_is_counted_like_the_naive_account(
    topics: int, numbers: list[int], cuts: list[int]
) -> None:
    chunks = cut(numbers, cuts)
    assert (*kept(topics, chunks), filled(topics, chunks).early) == account(topics, chunks)


@given(st.integers(1, 100), sizes)
def test_everything_in_its_order_is_complete(topics: int, cuts: list[int]) -> None:
    chunks = cut(list(range(70)), cuts)
    assert kept(topics, chunks) == (LAST - FIRST, 0, 0)


@given(st.integers(1, 12), st.integers(0, 69), sizes)
def test_one_that_is_lost_is_missed(topics: int, lost: int, cuts: list[int]) -> None:
    chunks = cut([number for number in range(70) if number != lost], cuts)
    assert kept(topics, chunks) == (LAST - FIRST - (FIRST <= lost < LAST), 0, 0)


def test_topics_may_overtake_each_other() -> None:
    assert kept(2, [[1, 3, 5], [0, 2, 4]]) == (0, 0, 0)
    assert kept(5, [[11, 10, 13, 12]])[1:] == (0, 0)


def test_a_late_one_is_out_of_order_and_delivered() -> None:
    assert kept(1, [[*range(12), 13, 12, 14]]) == (5, 0, 1)


def test_a_second_one_is_a_duplicate_and_not_delivered_again() -> None:
    assert kept(1, [[*range(12), 11, 12]]) == (3, 1, 0)


def test_complete_is_told_when_all_have_come() -> None:
    ledger = Ledger(3, 0, 5)
    ledger.take([0, 1, 2, 3])
    assert not ledger.complete
    ledger.take([4])
    assert ledger.complete
    assert repr(ledger) == "<Ledger 5 of 5, 0 duplicates, 0 out of order>"
