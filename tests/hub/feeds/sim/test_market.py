"""One instrument's walk and the JSON that tells of it."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.model import Instrument, Mode
from hub.feeds.sim.market import LEVELS, Walk
from hub.feeds.sim.universe import MIN_TICKS, Kind, Listing, universe

NOW_MS = 1_773_115_200_000
LISTINGS = universe(20, 1, date(2026, 3, 10))
LTP = ["ltp", "ltt", "symbol", "exchange", "mode", "timestamp"]
QUOTE = [
    *LTP,
    "volume",
    "open",
    "high",
    "low",
    "close",
    "last_trade_quantity",
    "average_price",
    "total_buy_quantity",
    "total_sell_quantity",
    "change",
    "change_percent",
    "bid_price",
    "ask_price",
    "bid_size",
    "ask_size",
]


def tick_size(exchange: str) -> float:
    return 0.0025 if exchange == "CDS" else 0.05


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    """Any kind of instrument at any price a universe may have."""
    kind = draw(st.sampled_from(Kind))
    exchange = draw(st.sampled_from(["NSE", "CDS", "NSE_INDEX"]))
    symbol = draw(st.text(min_size=1, max_size=20).filter(str.isprintable))
    lot = {Kind.INDEX: 0, Kind.EQUITY: 1}.get(kind, draw(st.integers(1, 5000)))
    close = draw(st.integers(MIN_TICKS, 200) | st.integers(MIN_TICKS, 4_000_000))
    return Listing(Instrument(exchange, symbol), kind, close, tick_size(exchange), lot)


def read(walk: Walk, mode: Mode = Mode.QUOTE) -> dict[str, Any]:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    found = json.loads(walk.payload(mode, NOW_MS), parse_constant=refuse)
    assert isinstance(found, dict)
    return found


@given(listings(), st.integers(0))
@settings(max_examples=50, deadline=None)
def test_a_quote_makes_sense_after_every_step(listing: Listing, seed: int) -> None:
    walk = Walk(listing, seed)
    before = read(walk)
    for _ in range(60):
        walk.step()
        now = read(walk)
        assert now["low"] <= min(now["open"], now["ltp"])
        assert max(now["open"], now["ltp"]) <= now["high"]
        assert now["low"] <= before["low"]
        assert before["high"] <= now["high"]
        assert now["open"] == before["open"]
        assert now["close"] == listing.close
        assert now["volume"] == before["volume"] + now["last_trade_quantity"]
        assert now["change"] == pytest.approx(now["ltp"] - now["close"], abs=1e-6)
        if listing.lot:
            assert now["last_trade_quantity"] > 0
            assert now["low"] <= now["average_price"] <= now["high"]
            assert now["low"] > 0
        before = now


@given(listings(), st.integers(0), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_a_book_has_five_levels_best_first_and_bids_below_asks(
    listing: Listing, seed: int, steps: int
) -> None:
    walk = Walk(listing, seed)
    for _ in range(steps):
        walk.step()
    tick = read(walk, Mode.DEPTH)
    buy, sell = tick["depth"]["buy"], tick["depth"]["sell"]
    assert len(buy) == len(sell) == LEVELS
    if listing.lot:
        prices = [level["price"] for level in [*reversed(buy), *sell]]
        gaps = [round((after - before) / listing.tick, 3) for before, after in pairwise(prices)]
        assert set(gaps[:4] + gaps[5:]) == {1}
        assert gaps[4] in (1, 2)
        assert prices[0] > 0
        assert tick["ltp"] in prices[4:6]
        assert all(min(level["quantity"], level["orders"]) > 0 for level in [*buy, *sell])
        assert tick["total_buy_quantity"] >= sum(level["quantity"] for level in buy)
        assert tick["total_sell_quantity"] >= sum(level["quantity"] for level in sell)
    assert (buy[0]["price"], buy[0]["quantity"]) == (tick["bid_price"], tick["bid_size"])
    assert (sell[0]["price"], sell[0]["quantity"]) == (tick["ask_price"], tick["ask_size"])


@given(listings(), st.integers(0))
@settings(max_examples=10, deadline=None)
def test_a_price_never_leaves_its_band_in_a_day(listing: Listing, seed: int) -> None:
    walk = Walk(listing, seed)
    share = 0.5 if listing.kind is Kind.OPTION else 0.2
    for _ in range(22_500):
        walk.step()
    assert walk.low >= (1 - share) * listing.close_ticks
    assert walk.high <= (1 + share) * listing.close_ticks
    assert walk.high > walk.low


def test_an_index_has_no_quantities() -> None:
    walk = Walk(LISTINGS[8], 1)
    walk.step()
    tick = read(walk, Mode.DEPTH)
    quantities = (
        "volume",
        "last_trade_quantity",
        "total_buy_quantity",
        "total_sell_quantity",
        "average_price",
        "bid_price",
        "ask_price",
        "bid_size",
        "ask_size",
    )
    assert tick["ltp"] > 0
    assert {tick[name] for name in quantities} == {0}
    nothing = {"price": 0, "quantity": 0, "orders": 0}
    assert tick["depth"] == {"buy": [nothing] * LEVELS, "sell": [nothing] * LEVELS}
    assert "oi" not in tick


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.instrument.symbol)
def test_payloads_have_the_fields_of_their_mode_in_order(listing: Listing) -> None:
    walk = Walk(listing, 1)
    walk.step()
    open_interest = ["oi"] if listing.kind in (Kind.FUTURE, Kind.OPTION) else []
    assert list(read(walk, Mode.LTP)) == LTP
    assert list(read(walk, Mode.QUOTE)) == QUOTE + open_interest
    assert list(read(walk, Mode.DEPTH)) == [*QUOTE, *open_interest, "depth"]
    for mode in Mode:
        tick = read(walk, mode)
        assert Instrument(tick["exchange"], tick["symbol"]) == listing.instrument
        assert (tick["mode"], tick["ltt"], tick["timestamp"]) == (mode, NOW_MS, NOW_MS)


@given(listings(), st.integers(0))
def test_payloads_are_spaced_as_json_dumps_would(listing: Listing, seed: int) -> None:
    walk = Walk(listing, seed)
    for mode in Mode:
        text = walk.payload(mode, NOW_MS)
        written = json.dumps(json.loads(text, parse_float=lambda _: 0), separators=(", ", ": "))
        assert text.count(b" ") == written.encode().count(b" ")
        assert text.isascii()


@given(listings(), st.integers(0), st.lists(st.sampled_from(Mode), max_size=20))
@settings(deadline=None)
def test_a_walk_depends_on_seed_and_steps_alone(
    listing: Listing, seed: int, asked: list[Mode]
) -> None:
    one, two = Walk(listing, seed), Walk(listing, seed)
    for mode in asked:
        one.step()
        one.payload(mode, 0)
        two.step()
    assert one.payload(Mode.DEPTH, NOW_MS) == two.payload(Mode.DEPTH, NOW_MS)


def test_other_seeds_and_instruments_walk_other_ways() -> None:
    walks = [Walk(LISTINGS[0], 1), Walk(LISTINGS[0], 2), Walk(LISTINGS[1], 1)]
    paths = set()
    for walk in walks:
        path = []
        for _ in range(50):
            walk.step()
            path.append(walk.ltp - walk.open)
        paths.add(tuple(path))
    assert len(paths) == len(walks)


def test_its_repr_tells_name_and_price() -> None:
    walk = Walk(LISTINGS[0], 1)
    assert "RELIANCE" in repr(walk)
    assert f"{walk.ltp * 0.05:.2f}" in repr(walk)
