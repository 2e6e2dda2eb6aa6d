"""What is meant most likely comes first."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Listing
from hub.instruments.ranking import best

TODAY = "2026-11-26"


def option(base: str, strike: int, day: str, name: str) -> Listing:
    return Listing("NFO", f"{base}{name}{strike}CE", "2", "1", "", base, "CE", day, float(strike))


def future(base: str, day: str, name: str) -> Listing:
    return Listing("NFO", f"{base}{name}FUT", "2", "1", "", base, "FUT", day)


ORDERED = [
    Listing("NSE_INDEX", "NIFTY", "1", "1", kind="INDEX"),
    future("NIFTY", "2026-12-29", "29DEC26"),
    future("NIFTY", "2027-01-26", "26JAN27"),
    option("NIFTY", 24000, "2026-12-29", "29DEC26"),
    option("NIFTY", 25000, "2026-12-29", "29DEC26"),
    option("NIFTY", 24000, "2027-01-26", "26JAN27"),
    Listing("NSE_INDEX", "NIFTYNXT50", "1", "1", kind="INDEX"),
    Listing("NSE", "NIFTYBEES", "1", "1"),
    future("NIFTYNXT50", "2026-12-29", "29DEC26"),
    Listing("NSE_INDEX", "BANKNIFTY", "1", "1", kind="INDEX"),
    future("BANKNIFTY", "2026-12-29", "29DEC26"),
    future("NIFTY", "2026-11-24", "24NOV26"),
]


@given(st.integers(), st.integers(1, len(ORDERED)))
def test_bases_come_before_what_begins_so_and_what_has_expired_is_last(
    seed: int, most: int
) -> None:
    found = random.Random(seed).sample(ORDERED, len(ORDERED))
    assert best(found, ["NIFTY"], most, TODAY) == ORDERED[:most]


def test_the_strike_that_was_typed_comes_before_those_that_hold_its_digits() -> None:
    day, name = "2026-12-29", "29DEC26"
    found = [option("NIFTY", strike, day, name) for strike in (500, 5000, 15000, 25000)]
    assert best(found, ["NIFTY", "5000"], 1, TODAY) == [found[1]]
    assert best(found, ["NIFTY", "CE"], 4, TODAY) == found


def test_a_whole_symbol_comes_before_all_others() -> None:
    assert best(ORDERED, ["NIFTY", "26JAN27", "FUT"], 1, TODAY) == [ORDERED[2]]
    assert best(ORDERED, ["BANKNIFTY"], 1, TODAY) == [ORDERED[9]]
    assert best([], ["X"], 3) == []
