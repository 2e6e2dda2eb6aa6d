"""Fyers' lists under OpenAlgo's symbols: which rows, which names, which tokens."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Listing
from hub.brokers.fyers import indices
from hub.brokers.fyers.instruments import INDICES, READER
from hub.core.errors import Malformed
from tests.brokers.fyers_lists import FILES, MADE_UP

ROW = (
    "10100000003045,STATE BANK,{kind},1,0.05,,x,x,,{ticker},10,10,3045,{name},3045,"
    "-1.0,XX,1,None,0,0\n"
)


def read(source: str, data: bytes | str) -> list[Listing]:
    raw = data.encode() if isinstance(data, str) else data
    return list(READER.read(source, io.BytesIO(raw)))


@pytest.fixture(autouse=True)
def _no_names() -> Iterator[None]:
    yield
    read(INDICES, "{}")


def test_all_files_read_in_their_order() -> None:
    found = {
        (one.exchange, one.symbol): one
        for source in READER.sources
        for one in READER.read(source.name, io.BytesIO(FILES[source.url.rpartition("/")[2]]))
    }
    assert len(found) >= MADE_UP > READER.least
    assert [found["NSE_INDEX", name].token for name in ("NIFTY", "BANKNIFTY", "NIFTYNEWX")] == [
        "Nifty 50", "Nifty Bank", "Nifty New X",
    ]  # fmt: skip
    assert found["NSE", "RELIANCE"] == Listing(
        "NSE", "RELIANCE", "nse_cm", "2885", "NSE:RELIANCE-EQ", "RELIANCE LIMITED", tick=0.05
    )
    assert found["BSE", "RELIANCE"].token == "500325"
    assert found["BSE", "RELIANCE"].segment == "bse_cm"
    assert found["BSE_INDEX", "SENSEX"].token == "SENSEX"
    assert found["NFO", "NIFTY24NOV26FUT"] == Listing(
        "NFO", "NIFTY24NOV26FUT", "nse_fo", "68407", "NSE:NIFTY26NOVFUT", "NIFTY", "FUT",
        "2026-11-24", 0.0, 65, 0.05,
    )  # fmt: skip
    assert found["NFO", "NIFTY24NOV2626000CE"].strike == 26000.0
    assert found["NFO", "NIFTY24NOV2626000.5PE"].kind == "PE"
    assert found["CDS", "USDINR24NOV26FUT"] == Listing(
        "CDS", "USDINR24NOV26FUT", "cde_fo", "1201", "NSE:USDINR26NOVFUT", "USDINR", "FUT",
        "2026-11-24", 0.0, 1000, 0.0025, 4,
    )  # fmt: skip


def test_names_of_indices_are_those_of_the_last_file_and_the_usual_ones() -> None:
    row = ROW.format(kind=10, ticker="NSE:NIFTYBANK-INDEX", name="BANKNIFTY")
    assert read("NSE_CM", row)[0].token == "Nifty Bank"
    read(INDICES, '{"NSE:NIFTYBANK-INDEX":"Another Bank"}')
    assert read("NSE_CM", row)[0].token == "Another Bank"
    unknown = ROW.format(kind=10, ticker="NSE:NIFTYODD-INDEX", name="NIFTY ODD")
    assert read("NSE_CM", unknown)[0].token == "NIFTYODD"


@pytest.mark.parametrize(
    ("exchange", "name", "symbol"),
    [
        ("NSE", "NIFTY MID-50", "NIFTYMIDCAP50"),
        ("NSE", "INDIAVIX", "INDIAVIX"),
        ("BSE", "SNXT50", "BSESENSEXNEXT50"),
        ("BSE", "SME IPO", "BSESMEIPO"),
        ("BSE", "BANKEX", "BANKEX"),
        ("BSE", "UTILS", "UTILS"),
    ],
)
def test_indices_have_openalgo_s_symbols(exchange: str, name: str, symbol: str) -> None:
    assert indices.symbol(exchange, name) == symbol


@pytest.mark.parametrize(
    ("kind", "ticker", "there"),
    [
        ("0", "NSE:SBIN-EQ", True),
        ("9", "NSE:SBIN-MF", True),
        ("2", "NSE:SBIN-GB", True),
        ("2", "NSE:SBIN-N1", False),
        ("4", "NSE:SBIN-X", False),
    ],
)
def test_rows_that_are_no_shares_are_left_out(kind: str, ticker: str, *, there: bool) -> None:
    assert bool(read("NSE_CM", ROW.format(kind=kind, ticker=ticker, name="SBIN"))) is there


def test_of_two_series_the_first_has_the_name() -> None:
    rows = [ROW.format(kind=0, ticker=f"NSE:SBIN-{word}", name="SBIN") for word in ("BE", "EQ")]
    assert [one.broker_symbol for one in read("NSE_CM", "".join(rows))] == ["NSE:SBIN-EQ"]
    assert [one.broker_symbol for one in read("NSE_CM", rows[0])] == ["NSE:SBIN-BE"]


def test_rows_that_cannot_be_read_are_left_out() -> None:
    good = FILES["NSE_FO.csv"].decode().splitlines()
    bad = [
        good[0].replace("1795514400", "soon"),
        good[0].replace("1795514400", "9e99"),
        good[1].replace("26000.0", "nan"),
        good[1].replace(",CE,", ",??,"),
        good[0].replace("1011261124", "9999261124", 1),
        "1,2,3",
    ]
    assert len(read("NSE_FO", "\n".join([*good, *bad]))) == 3
    broken = '{"a":1,"b":{"fyToken":"1"},"c":null,"d":{"fyToken":5,"symTicker":[]}}'
    assert read("NSE_CD", broken) == []


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("NSE_CM", "<html>no</html>"),
        ("NSE_FO", "a,b,c\n"),
        ("NSE_CD", "[]"),
        ("MCX_COM", "<html>"),
        (INDICES, '{"a":1}'),
        (INDICES, "<html>"),
    ],
)
def test_a_file_that_is_something_else_is_malformed(source: str, data: str) -> None:
    with pytest.raises(Malformed):
        read(source, data)


@given(st.sampled_from([source.name for source in READER.sources]), st.binary(max_size=300))
def test_no_bytes_raise_anything_else(source: str, data: bytes) -> None:
    with suppress(Malformed):
        read(source, data)
