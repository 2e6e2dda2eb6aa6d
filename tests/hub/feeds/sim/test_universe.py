"""The simulator's instruments: names, order, expiries."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core import topics
from hub.core.model import Instrument
from hub.feeds.sim.universe import MAX_COUNT, MIN_TICKS, Kind, Listing, find, universe

TODAY = date(2026, 3, 10)
DAYS = st.dates(date(2024, 1, 1), date(2035, 12, 31))
DERIVED = re.compile(r"(.+?)(\d\d[A-Z]{3}\d\d)(?:FUT|(\d+(?:\.\d+)?)(CE|PE))")


def names(listings: list[Listing]) -> list[str]:
    return [":".join(listing.instrument) for listing in listings]


def expiry(listing: Listing) -> date:
    """The expiry a contract's symbol names; the shortest name that leaves a date is taken."""
    found = DERIVED.fullmatch(listing.instrument.symbol)
    assert found, listing
    return datetime.strptime(found[2].title(), "%d%b%y").date()  # noqa: DTZ007 - a day, no time


def test_the_first_twenty_have_something_of_everything() -> None:
    first = universe(20, 1, TODAY)
    assert {
        "NSE:RELIANCE",
        "NSE:INFY",
        "NSE:TCS",
        "NSE:SBIN",
        "NSE:HDFCBANK",
        "NSE:ICICIBANK",
        "NSE:M&M",
        "NSE:BAJAJ-AUTO",
        "NSE_INDEX:NIFTY",
        "NSE_INDEX:BANKNIFTY",
        "BSE_INDEX:SENSEX",
        "NFO:BANKNIFTY31MAR26FUT",
        "MCX:GOLD19MAR26FUT",
        "MCX:CRUDEOILM19MAR26FUT",
        "CDS:USDINR27MAR26FUT",
    } <= set(names(first))
    kinds = Counter((listing.instrument.exchange, listing.kind) for listing in first)
    assert kinds["NFO", Kind.OPTION] == 2
    assert kinds["CDS", Kind.OPTION] == 2


def test_the_largest_universe_is_full_and_names_nothing_twice() -> None:
    listings = universe(MAX_COUNT, 1, TODAY)
    assert len({listing.instrument.key for listing in listings}) == MAX_COUNT
    assert not any(topics.key_problem(listing.instrument.key) for listing in listings)
    exchanges = {listing.instrument.exchange for listing in listings}
    assert exchanges == {"NSE", "BSE", "NSE_INDEX", "BSE_INDEX", "NFO", "BFO", "MCX", "CDS"}


@given(count=st.integers(1, 3000), more=st.integers(0, 500), seed=st.integers(0), today=DAYS)
@settings(max_examples=20, deadline=None)
def test_a_smaller_universe_is_the_beginning_of_a_larger_one(
    count: int, more: int, seed: int, today: date
) -> None:
    assert universe(count + more, seed, today)[:count] == universe(count, seed, today)


@given(seed=st.integers(0, 1000), today=DAYS)
@settings(max_examples=20, deadline=None)
def test_every_contract_expires_on_a_working_day_after_today(seed: int, today: date) -> None:
    for listing in universe(3000, seed, today):
        if listing.kind in (Kind.FUTURE, Kind.OPTION):
            assert expiry(listing) > today
            assert expiry(listing).weekday() < 5


@pytest.mark.parametrize(
    ("today", "weekly", "monthly"),
    [
        (date(2026, 3, 9), "10MAR26", "31MAR26"),
        (date(2026, 3, 10), "17MAR26", "31MAR26"),
        (date(2026, 3, 31), "07APR26", "28APR26"),
        (date(2026, 12, 30), "05JAN27", "26JAN27"),
    ],
)
def test_nifty_options_expire_weekly_and_the_rest_monthly(
    today: date, weekly: str, monthly: str
) -> None:
    symbols = [listing.instrument.symbol for listing in universe(2000, 1, today)]
    options = [symbol for symbol in symbols if re.fullmatch(r"NIFTY\d\d[A-Z]{3}\d+CE", symbol)]
    assert options[0].startswith(f"NIFTY{weekly}")
    assert f"BANKNIFTY{monthly}FUT" in symbols
    assert any(symbol.startswith(f"RELIANCE{monthly}") for symbol in symbols)


def test_strikes_are_written_without_needless_decimals() -> None:
    symbols = [
        listing.instrument.symbol
        for listing in universe(10_000, 1, TODAY)
        if listing.kind is Kind.OPTION
    ]
    assert all(re.search(r"\d(\.\d*[1-9])?(CE|PE)$", symbol) for symbol in symbols)
    assert any(symbol.startswith("USDINR") and "." in symbol for symbol in symbols)


@given(seed=st.integers(0))
@settings(max_examples=10, deadline=None)
def test_prices_are_whole_ticks_and_high_enough_for_a_book(seed: int) -> None:
    for listing in universe(3000, seed, TODAY):
        assert listing.close_ticks >= MIN_TICKS
        assert listing.tick == (0.0025 if listing.instrument.exchange == "CDS" else 0.05)
        assert listing.close == pytest.approx(listing.close_ticks * listing.tick)
        assert (listing.lot == 0) == (listing.kind is Kind.INDEX)


def test_another_seed_has_other_prices_of_the_same_names() -> None:
    one, two = universe(11, 1, TODAY), universe(11, 2, TODAY)
    assert names(one) == names(two)
    assert [listing.close for listing in one] != [listing.close for listing in two]


def test_a_listing_is_found_by_its_instrument() -> None:
    listings = universe(20, 1, TODAY)
    found = find(listings, Instrument("NSE_INDEX", "NIFTY"))
    assert found is not None
    assert found.kind is Kind.INDEX
    assert find(listings, Instrument("NSE", "INDEX_NIFTY")) is None


@pytest.mark.parametrize("count", [-1, 0, MAX_COUNT + 1])
def test_a_count_it_does_not_have_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        universe(count, 1, TODAY)
