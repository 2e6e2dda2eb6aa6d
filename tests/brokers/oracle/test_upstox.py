"""Upstox' own definition of its messages (upstox-python-sdk) reads what the codec reads.

The fake broker's messages are read by both, and messages that the SDK's classes write by the codec.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Listing, Subscription
from hub.brokers.upstox.codec import Codec
from tests.brokers.upstox_server import CREDENTIALS, INITIAL, LIVE, PARTS, Values, feed, message

KEY = "NSE_EQ|INE009A01021"


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    """The SDK's generated messages: that one file, without the package around it."""
    package = find_spec("upstox_client")
    if package is None or not package.origin:
        pytest.skip("upstox-python-sdk is not installed: 2.30.0 is what this was made with")
    folder = str(Path(package.origin).parent / "feeder/proto")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("MarketDataFeedV3_pb2")
    finally:
        sys.path.remove(folder)


def ours(*messages: bytes) -> list[dict[str, Any]]:
    codec = Codec(CREDENTIALS, Addresses("ws://x"))
    sub = Subscription(Listing("NSE", "INFY", "NSE_EQ", KEY))
    sub.mode = 3
    codec.change([Change(sub, 0, 3)])
    found: list[dict[str, Any]] = []
    for data in messages:
        codec.receive(data, 1, lambda _s, _mode, payload, *_: found.append(json.loads(payload)))
    assert not codec.malformed
    return found


NUMBERS = st.integers(1, 2**40)
PRICES = st.floats(0.01, 1e7)
VALUES = st.builds(
    Values, ltp=PRICES, ltt=NUMBERS, ltq=NUMBERS, cp=PRICES, open=PRICES, high=PRICES, low=PRICES,
    traded=NUMBERS, atp=PRICES, vtt=NUMBERS, oi=NUMBERS.map(float), tbq=NUMBERS.map(float),
    tsq=NUMBERS.map(float),
)  # fmt: skip


@given(VALUES, st.sets(st.sampled_from(PARTS)))
def test_the_fake_brokers_messages_say_the_same_to_both(
    theirs: Any, values: Values, parts: set[str]
) -> None:
    data = message(LIVE, [feed(KEY, values, "full", parts)])
    read = theirs.FeedResponse.FromString(data)
    market = read.feeds[KEY].fullFeed.marketFF
    found = ours(data)
    assert bool(found) == market.HasField("ltpc") == ("ltpc" in parts)
    assert market.HasField("marketLevel") == ("level" in parts)
    assert market.HasField("marketOHLC") == ("day" in parts)
    for tick in found:
        _agree(tick, market)
        assert tick["timestamp"] == read.currentTs


@given(VALUES)
def test_what_the_sdk_writes_is_read(theirs: Any, values: Values) -> None:
    written = theirs.FeedResponse(type=INITIAL, currentTs=1_795_000_000_000)
    market = written.feeds[KEY].fullFeed.marketFF
    market.ltpc.ltp, market.ltpc.cp = values.ltp, values.cp
    market.ltpc.ltt, market.ltpc.ltq = values.ltt, values.ltq
    for bid_q, bid, ask_q, ask in values.levels(5):
        market.marketLevel.bidAskQuote.add(bidQ=bid_q, bidP=bid, askQ=ask_q, askP=ask)
    for interval in ("I1", "1d"):
        market.marketOHLC.ohlc.add(
            interval=interval, open=values.open, high=values.high, low=values.low, vol=values.traded
        )
    market.atp, market.vtt, market.oi = values.atp, values.vtt, values.oi
    market.tbq, market.tsq = values.tbq, values.tsq
    market.iep, market.casEligible = 1.0, True
    (tick,) = ours(written.SerializeToString())
    _agree(tick, market)


def _agree(tick: dict[str, Any], market: Any) -> None:
    last = market.ltpc
    assert [tick[name] for name in ("ltp", "ltq", "ltt", "cp", "close")] == [
        last.ltp, last.ltq, last.ltt, last.cp, last.cp,
    ]  # fmt: skip
    day = next((one for one in market.marketOHLC.ohlc if one.interval == "1d"), None)
    if day:
        assert [tick["open"], tick["high"], tick["low"]] == [day.open, day.high, day.low]
    assert tick["volume"] == market.vtt or (day is not None and tick["volume"] == day.vol)
    names = ("average_price", "oi", "total_buy_quantity", "total_sell_quantity")
    assert [tick[name] for name in names] == [market.atp, market.oi, market.tbq, market.tsq]
    quotes = market.marketLevel.bidAskQuote
    for side, price, quantity in (("buy", "bidP", "bidQ"), ("sell", "askP", "askQ")):
        told = [(one["price"], one["quantity"]) for one in tick.get("depth", {}).get(side, ())]
        assert told == [(getattr(one, price), getattr(one, quantity)) for one in quotes]
