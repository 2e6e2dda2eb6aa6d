"""Angel's own parser (smartapi-python) reads the fake broker's packets as the codec does.

Where the two differ on purpose: it reads the change of open interest as an integer, and its prices
are undivided.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.angel import BROKER
from hub.brokers.base import Change, Listing, Subscription
from tests.brokers.angel_server import CREDENTIALS, START_MS, packet
from tests.brokers.oracle.stubs import client

TRANSPORT = (
    "logzero", "requests", "six", "six.moves", "six.moves.urllib", "six.moves.urllib.parse",
    "websocket", "dateutil", "dateutil.parser",
)  # fmt: skip


@pytest.fixture(scope="module")
def parse() -> Iterator[Any]:
    """The parser, of a client that was never made: making it opens files."""
    with client("SmartApi.smartWebSocketV2", *TRANSPORT) as module:
        socket = module.SmartWebSocketV2
        yield socket.__new__(socket)._parse_binary_data


def published(mode: int, wire: bytes) -> list[dict[str, Any]]:
    """What the codec makes of packets in that mode."""
    sub = Subscription(Listing("NSE", "RELIANCE", "1", "2885"))
    sub.mode = min(mode, 3)
    channel = BROKER.channels[mode == 4]
    codec = channel.codec(CREDENTIALS, channel.addresses)
    codec.change([Change(sub, 0, sub.mode)])
    took: list[dict[str, Any]] = []
    if mode == 4:
        codec.receive(packet(3, 1, "2885", {}), START_MS, lambda *_: None)
    codec.receive(wire, START_MS, lambda _sub, _mode, data, *_: took.append(json.loads(data)))
    return took


PRICES = st.integers(-(2**53), 2**53)
QUANTITIES = st.integers(0, 2**53)
LEVELS = st.lists(
    st.tuples(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(0, 2**15 - 1)),
    min_size=20,
    max_size=20,
)
VALUES = st.fixed_dictionaries(
    {
        "sequence": st.integers(0, 2**62),
        "at_ms": st.integers(1, START_MS),
        "total_buy": st.floats(0, 1e15),
        "total_sell": st.floats(0, 1e15),
        "oi_change": st.floats(-1e9, 1e9),
        "buy": LEVELS,
        "sell": LEVELS,
    }
    | dict.fromkeys(("last_quantity", "volume", "oi", "last_trade_s"), QUANTITIES)
    | dict.fromkeys(
        ("ltp", "average", "open", "high", "low", "close", "upper", "lower", "year_low"), PRICES
    )
)
NAMES = {
    "ltp": "last_traded_price",
    "open": "open_price_of_the_day",
    "high": "high_price_of_the_day",
    "low": "low_price_of_the_day",
    "close": "closed_price",
    "average_price": "average_traded_price",
    "upper_circuit": "upper_circuit_limit",
    "lower_circuit": "lower_circuit_limit",
}
WHOLE = {
    "ltt": "exchange_timestamp",
    "timestamp": "exchange_timestamp",
    "mode": "subscription_mode",
    "volume": "volume_trade_for_the_day",
    "last_trade_quantity": "last_traded_quantity",
    "last_quantity": "last_traded_quantity",
    "total_buy_quantity": "total_buy_quantity",
    "total_sell_quantity": "total_sell_quantity",
    "oi": "open_interest",
}


@given(st.integers(1, 3), VALUES)
def test_both_read_the_same(parse: Any, mode: int, values: dict[str, Any]) -> None:
    wire = packet(mode, 1, "2885", values)
    theirs = parse(wire)
    (ours,) = published(mode, wire)
    assert (theirs["token"], theirs["exchange_type"]) == ("2885", 1)
    depth = ours.pop("depth", None)
    assert {ours.pop("symbol"), ours.pop("exchange")} == {"RELIANCE", "NSE"}
    assert ours == {
        name: theirs[NAMES[name]] / 100 if name in NAMES else theirs[WHOLE[name]] for name in ours
    }
    if depth:
        assert depth == {
            side: [
                {"price": row["price"] / 100, "quantity": row["quantity"], "orders": row[ORDERS]}
                for row in theirs[f"best_5_{side}_data"]
            ]
            for side in ("buy", "sell")
        }


ORDERS = "no of orders"


@given(VALUES)
def test_both_read_twenty_levels(parse: Any, values: dict[str, Any]) -> None:
    wire = packet(4, 1, "2885", values)
    theirs = parse(wire)
    (ours,) = published(4, wire)
    assert ours["timestamp"] == max(START_MS, theirs["packet_received_time"])
    for side in ("buy", "sell"):
        assert ours["depth"][side] == [
            {"price": row["price"] / 100, "quantity": row["quantity"], "orders": row[key]}
            for key in ["num_of_orders"]
            for row in theirs[f"depth_20_{side}_data"]
        ]
