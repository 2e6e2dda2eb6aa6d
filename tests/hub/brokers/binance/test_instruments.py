"""Binance's list of symbols."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Listing
from hub.brokers.binance import BROKER
from hub.brokers.binance.instruments import read
from hub.core.errors import Malformed
from tests.brokers.binance_server import master


def listed(text: bytes) -> dict[str, Listing]:
    return {one.symbol: one for one in read("symbols", io.BytesIO(text))}


def test_what_is_traded_is_listed() -> None:
    found = listed(master())
    assert sorted(found) == ["BTCJPY", "BTCUSDT", "ETHUSDT", "SHIBUSDT"]
    one = found["BTCUSDT"]
    assert (one.exchange, one.token, one.name) == ("CRYPTO", "btcusdt", "BTC/USDT")
    assert (one.tick, one.precision) == (0.01, 2)
    assert (found["SHIBUSDT"].tick, found["SHIBUSDT"].precision) == (1e-8, 8)
    assert (found["BTCJPY"].tick, found["BTCJPY"].precision) == (1.0, 0)


def test_a_symbol_that_cannot_be_read_is_left_out() -> None:
    info = json.loads(master())
    info["symbols"] += [5, {}, {"symbol": "X", "status": "TRADING", "filters": 3}]
    info["symbols"] += [{
        "symbol": "Y", "status": "TRADING",
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "much"}],
    }]  # fmt: skip
    assert len(listed(json.dumps(info).encode())) == 4


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"code":0,"msg":"no"}', b"[" * 99_999])
def test_a_file_that_is_something_else_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        listed(text)


@given(st.binary(max_size=200))
def test_no_bytes_raise_but_malformed(junk: bytes) -> None:
    with pytest.raises(Malformed):
        listed(junk)


def test_a_socket_never_carries_more_than_1024_streams() -> None:
    limits = BROKER.channels[0].limits
    for symbols, streams in zip(limits.per_socket, (2, 3, 3), strict=True):
        assert 1024 - streams < symbols * streams <= 1024
