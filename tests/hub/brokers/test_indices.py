"""Indices have OpenAlgo's names."""

from __future__ import annotations

import pytest

from hub.brokers.indices import index_name


@pytest.mark.parametrize(
    ("exchange", "name", "symbol"),
    [
        ("NSE_INDEX", "NIFTY 50", "NIFTY"),
        ("NSE_INDEX", "Nifty Bank", "BANKNIFTY"),
        ("NSE_INDEX", "NIFTY100 LOWVOL30", "NIFTY100LOWVOL30"),
        ("NSE_INDEX", "INDIA VIX", "INDIAVIX"),
        ("BSE_INDEX", "SENSEX", "SENSEX"),
        ("BSE_INDEX", "AUTO", "BSEAUTO"),
        ("NSE_INDEX", "AUTO", "AUTO"),
        ("GLOBAL_INDEX", "GIFT NIFTY", "GIFTNIFTY"),
    ],
)
def test_an_index_has_openalgos_name(exchange: str, name: str, symbol: str) -> None:
    assert index_name(exchange, name) == symbol
