"""Dhan's list of instruments, under OpenAlgo's names."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Listing
from hub.brokers.dhan.instruments import READER, read
from hub.core.errors import Malformed
from tests.brokers.dhan_server import MASTER

HEADER = MASTER.splitlines()[0]


def listed(text: str = MASTER) -> dict[tuple[str, str], Listing]:
    return {(one.exchange, one.symbol): one for one in read("master", io.BytesIO(text.encode()))}


def test_shares_and_indices() -> None:
    found = listed()
    share = found["NSE", "RELIANCE"]
    assert (share.segment, share.token, share.kind, share.lot) == ("NSE_EQ", "2885", "EQ", 1)
    assert (share.tick, share.precision) == (0.1, 2)
    assert found["BSE", "RELIANCE"].tick == 0.05
    assert found["NSE_INDEX", "NIFTY"].segment == found["BSE_INDEX", "SENSEX"].segment == "IDX_I"
    assert found["NSE_INDEX", "INDIAVIX"].token == "21"
    assert found["NSE_INDEX", "NIFTYNXT50"].kind == "INDEX"
    assert found["NSE_INDEX", "NIFTYNXT50"].tick == 0
    assert ("BSE_INDEX", "SENSEX50") in found


@pytest.mark.parametrize(
    ("called", "symbol"),
    [
        ("GREENX", "BSEGREENEX"),
        ("BSE CG", "BSECAPITALGOODS"),
        ("AUTO", "BSEAUTO"),
        ("BSE 1", "BSE 1"),
    ],
)
def test_indices_of_bse_have_openalgo_s_names(called: str, symbol: str) -> None:
    row = next(line for line in MASTER.splitlines() if ",SNSX50," in line)
    assert ("BSE_INDEX", symbol) in listed(f"{HEADER}\n{row.replace('SNSX50', called, 1)}\n")


@pytest.mark.parametrize(
    ("exchange", "symbol", "segment", "kind", "strike", "tick"),
    [
        ("NFO", "NIFTY29DEC26FUT", "NSE_FNO", "FUT", 0, 0.1),
        ("NFO", "NIFTY29DEC2625000CE", "NSE_FNO", "CE", 25000, 0.05),
        ("NFO", "BAJAJ-AUTO29DEC269000PE", "NSE_FNO", "PE", 9000, 0.05),
        ("CDS", "USDINR29DEC26FUT", "NSE_CURRENCY", "FUT", 0, 0.0025),
        ("CDS", "USDINR29DEC2684.25CE", "NSE_CURRENCY", "CE", 84.25, 0.0025),
        ("BFO", "SENSEX31DEC2680000PE", "BSE_FNO", "PE", 80000, 0.05),
        ("MCX", "GOLD04DEC26FUT", "MCX_COMM", "FUT", 0, 1),
        ("MCX", "CRUDEOIL16DEC265500CE", "MCX_COMM", "CE", 5500, 0.1),
    ],
)
def test_contracts(
    exchange: str, symbol: str, segment: str, kind: str, strike: float, tick: float
) -> None:
    one = listed()[exchange, symbol]
    assert (one.segment, one.kind, one.strike, one.tick) == (segment, kind, strike, tick)
    assert one.expiry.startswith("2026-12-")
    assert one.precision == (4 if exchange == "CDS" else 2)


def test_every_row_of_the_file_is_listed() -> None:
    assert len(listed()) == len(list(read("master", io.BytesIO(MASTER.encode())))) == 16


def test_a_contract_is_named_by_its_other_name_where_the_first_says_nothing() -> None:
    row = "BSE,D,1,FUTSTK,0,RELFUT,505.0,RELIANCE DEC FUT,2026-12-31,-0.01,XX,5.0,M,F,,"
    assert ("BFO", "RELIANCE31DEC26FUT") in listed(f"{HEADER}\n{row}\n")


@pytest.mark.parametrize(
    "row",
    [
        "NSE,E,x,EQUITY,0,A,1.0,A,,,XX,5.0,NA,ES,EQ,A",
        "NSE,E,9999999999,EQUITY,0,A,1.0,A,,,XX,5.0,NA,ES,EQ,A",
        "NSE,E,1,EQUITY,0,A,nan,A,,,XX,5.0,NA,ES,EQ,A",
        "NSE,E,1",
        "NSE,D,1,OPTIDX,0,NIFTY-Dec2026-25000-CE,75.0,N,,25000,CE,5.0,M,OP,,",
        "NSE,D,1,OPTIDX,0,NIFTY-Dec2026-25000-CE,75.0,N,2026-12-29,25000,XX,5.0,M,OP,,",
        "XXX,E,1,EQUITY,0,A,1.0,A,,,XX,5.0,NA,ES,EQ,A",
        "NSE,E,1,BOND,0,A,1.0,A,,,XX,5.0,NA,ES,EQ,A",
    ],
)
def test_a_row_that_cannot_be_read_is_left_out(row: str) -> None:
    good = MASTER.splitlines()[1]
    assert list(listed(f"{HEADER}\n{row}\n{good}\n")) == [("NSE", "RELIANCE")]


@pytest.mark.parametrize("text", ["", "<html>blocked</html>", "a,b\n1,2\n"])
def test_a_file_that_is_something_else_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="no column"):
        listed(text)


def test_the_file_stays_open() -> None:
    file = io.BytesIO(MASTER.encode())
    list(READER.read("master", file))
    assert not file.closed


@given(st.binary(max_size=300))
def test_no_bytes_raise_but_malformed(junk: bytes) -> None:
    for text in (junk, HEADER.encode() + b"\n" + junk):
        try:
            list(read("master", io.BytesIO(text)))
        except Malformed:
            assert text == junk or b"\r" in junk or b'"' in junk


@pytest.mark.parametrize(
    ("exchange", "what"),
    [("NSE", "FUTCOM"), ("NSE", "OPTFUT"), ("NSE", "FUTIRC"), ("BSE", "FUTCOM"), ("BSE", "OPTFUT")],
)
def test_what_the_stream_has_no_segment_for_is_left_out(exchange: str, what: str) -> None:
    """In the segment of shares its token is another contract's."""
    row = next(line for line in MASTER.splitlines() if "CRUDEOIL" in line)
    asked = row.replace("MCX", exchange, 1).replace("OPTFUT", what, 1)
    assert not listed(f"{HEADER}\n{asked}\n")
    assert listed(f"{HEADER}\n{row}\n")
