"""Zerodha's own parser (kiteconnect) reads the fake broker's packets as the codec does.

Where the two differ on purpose: its prices are unsigned, so what is drawn is below 2^31.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Listing, Subscription
from hub.brokers.zerodha.codec import Codec
from tests.brokers.oracle.stubs import client
from tests.brokers.zerodha_server import CREDENTIALS, KNOWN, MODES, Values, frame, packet

TRANSPORT = (
    "six", "six.moves", "six.moves.urllib", "six.moves.urllib.parse", "dateutil",
    "dateutil.parser", "requests", "twisted", "twisted.internet", "twisted.internet.protocol",
    "twisted.python", "autobahn", "autobahn.twisted", "autobahn.twisted.websocket",
)  # fmt: skip


@pytest.fixture(scope="module")
def parser() -> Iterator[Any]:
    """The SDK's ticker, with nothing that it connects by."""
    with client("kiteconnect.ticker", *TRANSPORT) as ticker:
        yield ticker.KiteTicker.__new__(ticker.KiteTicker)


NOW_MS = 1_795_000_000_001
UNSIGNED = st.integers(0, 2**32 - 1)
PRICES = st.integers(0, 2**31 - 100)
VALUES = st.builds(
    Values,
    last=st.integers(100, 2**31 - 100), quantity=UNSIGNED, average=PRICES, volume=UNSIGNED,
    buys=UNSIGNED, sells=UNSIGNED, open=PRICES, high=PRICES, low=PRICES, close=PRICES,
    traded_s=PRICES, oi=UNSIGNED, oi_high=UNSIGNED, oi_low=UNSIGNED, exchange_s=PRICES,
)  # fmt: skip
PACKETS = st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), VALUES, st.sampled_from(MODES[1:])))


@given(PACKETS)
def test_the_sdk_and_the_codec_read_alike(
    parser: Any, ticks: list[tuple[int, Values, str]]
) -> None:
    data = frame([packet(token, values, mode) for token, values, mode in ticks])
    theirs = parser._parse_binary(data)
    ours = _ours(data)
    assert len(theirs) == len(ours) == len(ticks)
    for their, our in zip(theirs, ours, strict=True):
        assert their["instrument_token"] == int(our["symbol"])
        assert their["mode"] == our["mode"]
        assert their["last_price"] == our["ltp"]
        for name, value in their.get("ohlc", {}).items():
            assert our[name] == value
        for name, field in NAMES.items():
            if name in their:
                assert our[field] == their[name], name
        if "last_trade_time" in their:
            assert our["ltt"] == their["last_trade_time"].timestamp()
        if "exchange_timestamp" in their:
            sent_ms = their["exchange_timestamp"].timestamp() * 1000
            assert our["timestamp"] == (sent_ms or NOW_MS)
        assert our.get("depth") == their.get("depth")


NAMES = {
    "last_traded_quantity": "last_quantity",
    "average_traded_price": "average_price",
    "volume_traded": "volume",
    "total_buy_quantity": "total_buy_quantity",
    "total_sell_quantity": "total_sell_quantity",
    "oi": "oi",
}


def _ours(data: bytes) -> list[dict[str, Any]]:
    codec = Codec(CREDENTIALS, Addresses("ws://x"))
    for token in KNOWN:
        sub = Subscription(Listing("X", str(token), "", str(token)))
        sub.mode = 3
        codec.change([Change(sub, 0, 3)])
    found: list[dict[str, Any]] = []
    codec.receive(data, NOW_MS, lambda _s, _mode, payload, *_: found.append(json.loads(payload)))
    return found
