"""Dhan's own parser (dhanhq) reads the fake broker's packets as the codecs do.

Where the two differ on purpose: it gives prices as text of two decimals and the time of a trade as
that of India's clock, and reads the first packet of a frame alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Listing, Subscription
from hub.brokers.dhan.codec import Codec
from hub.brokers.dhan.deep import Deep, Deepest
from tests.brokers import dhan_server as server
from tests.brokers.dhan_server import Values
from tests.brokers.oracle.stubs import client

LISTING = Listing("NSE", "RELIANCE", "NSE_EQ", "2885")
COUNT = st.integers(0, 2**31 - 1)
PRICE = st.integers(1, 5_000_000).map(lambda paise: paise / 100)
VALUES = st.builds(
    Values,
    ltp=PRICE, ltq=st.integers(0, 65_535), traded_s=st.integers(1_500_000_000, 2_000_000_000),
    average=PRICE, volume=COUNT, sell=COUNT, buy=COUNT, oi=COUNT, oi_high=COUNT, oi_low=COUNT,
    open=PRICE, close=PRICE, high=PRICE, low=PRICE, previous=PRICE,
)  # fmt: skip


@pytest.fixture(scope="module")
def feed() -> Iterator[Any]:
    with client("dhanhq.marketfeed", "requests") as module:
        yield object.__new__(module.MarketFeed)


@pytest.fixture(scope="module")
def depths() -> Iterator[dict[int, Any]]:
    with client("dhanhq.fulldepth", "requests") as module:
        made = {}
        for levels in (20, 200):
            made[levels] = object.__new__(module.FullDepth)
            made[levels].depth_level = levels
        yield made


def read(codec: Codec | Deep, mode: int, *frames: bytes) -> dict[str, Any]:
    """The last tick of these frames."""
    taken: list[dict[str, Any]] = []
    sub = Subscription(LISTING)
    sub.mode = mode
    codec.change([Change(sub, 0, mode)])
    for frame in frames:
        codec.receive(frame, 1, lambda _, __, payload, ___, ____: taken.append(json.loads(payload)))
    assert codec.malformed == 0
    return taken[-1]


def text(price: float) -> str:
    return f"{price:.2f}"


def clock(ltt_s: int) -> str:
    """As it stands on India's wall."""
    return datetime.fromtimestamp(ltt_s + server.INDIA_S, UTC).strftime("%H:%M:%S")


def made() -> Codec:
    return Codec(server.CREDENTIALS, Addresses("ws://x"))


@given(VALUES)
def test_tickers(feed: Any, values: Values) -> None:
    packet = server.ticker("NSE_EQ", 2885, values)
    theirs, ours = feed.process_data(packet), read(made(), 1, packet)
    assert (theirs["exchange_segment"], theirs["security_id"]) == (1, 2885)
    assert (theirs["LTP"], theirs["LTT"]) == (text(ours["ltp"]), clock(ours["ltt"]))


SAME = {
    "volume": "volume",
    "total_sell_quantity": "total_sell_quantity",
    "total_buy_quantity": "total_buy_quantity",
    "last_quantity": "LTQ",
}
PRICES = {
    "ltp": "LTP",
    "average_price": "avg_price",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
}


@given(VALUES)
def test_quotes(feed: Any, values: Values) -> None:
    packet = server.quote("NSE_EQ", 2885, values)
    theirs, ours = feed.process_data(packet), read(made(), 2, packet)
    assert {name: ours[name] for name in SAME} == {name: theirs[SAME[name]] for name in SAME}
    assert {name: text(ours[name]) for name in PRICES} == {
        name: theirs[PRICES[name]] for name in PRICES
    }
    assert clock(ours["ltt"]) == theirs["LTT"]


@given(VALUES)
def test_books(feed: Any, values: Values) -> None:
    packet = server.full("NSE_EQ", 2885, values)
    theirs, ours = feed.process_data(packet), read(made(), 3, packet)
    assert {name: ours[name] for name in SAME} == {name: theirs[SAME[name]] for name in SAME}
    assert {name: text(ours[name]) for name in PRICES} == {
        name: theirs[PRICES[name]] for name in PRICES
    }
    assert ours["oi"] == theirs["OI"]
    assert (ours["oi_high"], ours["oi_low"]) == (theirs["oi_day_high"], theirs["oi_day_low"])
    for side, word in (("buy", "bid"), ("sell", "ask")):
        assert [
            (text(one["price"]), one["quantity"], one["orders"]) for one in ours["depth"][side]
        ] == [
            (one[f"{word}_price"], one[f"{word}_quantity"], one[f"{word}_orders"])
            for one in theirs["depth"]
        ]


@given(VALUES)
def test_what_comes_beside_a_quote(feed: Any, values: Values) -> None:
    interest = server.open_interest("NSE_EQ", 2885, values.oi)
    previous = server.previous_close("NSE_EQ", 2885, values.previous)
    ours = read(made(), 2, interest, previous, server.quote("NSE_EQ", 2885, values))
    assert ours["oi"] == feed.process_data(interest)["OI"]
    assert text(ours["prev_close"]) == feed.process_data(previous)["prev_close"]


ROWS = st.lists(st.tuples(PRICE, COUNT, COUNT), min_size=20, max_size=20)


@pytest.mark.parametrize("levels", [20, 200])
@given(ROWS, ROWS, st.integers(1, 20))
def test_deep_books(
    depths: dict[int, Any],
    levels: int,
    bids: list[tuple[float, int, int]],
    asks: list[tuple[float, int, int]],
    rows: int,
) -> None:
    if levels == 200:
        bids, asks = bids[:rows], asks[:rows]
    first = server.side(True, "NSE_EQ", 2885, bids, len(bids))
    second = server.side(False, "NSE_EQ", 2885, asks, len(asks))
    codec = (Deep if levels == 20 else Deepest)(server.CREDENTIALS, Addresses("ws://x"))
    ours = read(codec, 3, first + second)["depth"]
    theirs = depths[levels].process_data(first + second)
    assert (theirs["type"], theirs["depth"]) == ("Bid", ours["buy"])
    rest = depths[levels].process_data(theirs["remaining_data"])
    assert (rest["type"], rest["depth"]) == ("Ask", ours["sell"])
