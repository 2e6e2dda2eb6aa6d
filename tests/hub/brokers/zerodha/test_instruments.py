"""Zerodha's list of instruments becomes OpenAlgo's names."""

from __future__ import annotations

import gzip
import io

import pytest

from hub.brokers.base import Listing
from hub.brokers.zerodha.instruments import READER, read
from hub.core.errors import Malformed
from tests.brokers.zerodha_server import COLUMNS, INSTRUMENTS


def listings(text: str | bytes = INSTRUMENTS) -> list[Listing]:
    return list(read("file", io.BytesIO(text.encode() if isinstance(text, str) else text)))


def test_names_are_openalgos() -> None:
    assert [(one.exchange, one.symbol) for one in listings()] == [
        ("NSE", "RELIANCE"),
        ("NSE", "INFY"),
        ("BSE", "RELIANCE"),
        ("NSE_INDEX", "NIFTY"),
        ("NSE_INDEX", "INDIAVIX"),
        ("BSE_INDEX", "SENSEX50"),
        ("NFO", "NIFTY26NOV26FUT"),
        ("NFO", "NIFTY26NOV2625000CE"),
        ("CDS", "USDINR26NOV26FUT"),
        ("CDS", "USDINR26NOV2685.25PE"),
        ("BCD", "USDINR26NOV26FUT"),
        ("MCX", "GOLD04DEC26FUT"),
        ("NCO", "GOLDNCO"),
    ]


def test_a_contract_has_all_that_the_file_says_of_it() -> None:
    option = listings()[9]
    assert option == Listing(
        "CDS", "USDINR26NOV2685.25PE", "CDS-OPT", "412931", "USDINR26NOV85.25PE", "USDINR", "PE",
        "2026-11-26", 85.25, 1, 0.0025, 4,
    )  # fmt: skip
    index = listings()[3]
    assert (index.kind, index.lot, index.precision) == ("INDEX", 1, 2)


def test_packed_or_not_it_is_the_same() -> None:
    assert listings(gzip.compress(INSTRUMENTS.encode())) == listings()


def test_a_row_that_cannot_be_read_is_left_out() -> None:
    rows = [
        "x,1,A,A,0,,0,0.1,1,EQ,NSE,NSE",
        "1,1,A,A,0,,zero,0.1,1,EQ,NSE,NSE",
        "1,1,A",
        "1,1,,A,0,,0,0.1,1,EQ,NSE,NSE",
        "9999999999,1,A,A,0,,0,0.1,1,EQ,NSE,NSE",
        "1,1,A,A,0,,0,0.1,1,EQ,NOWHERE,NOWHERE",
        "257,1,A-BE,A,0,,0,0.1,1,EQ,NSE,NSE",
    ]
    assert [one.symbol for one in listings("\n".join([COLUMNS, *rows]))] == ["A-BE"]


@pytest.mark.parametrize(
    "file", [b"", b"<html>", b"\x1f\x8b\x08cut", gzip.compress(INSTRUMENTS.encode(), mtime=0)[:-20]]
)
def test_another_kind_of_file_is_malformed(file: bytes) -> None:
    with pytest.raises(Malformed):
        listings(file)


def test_where_it_is_had() -> None:
    assert [source.url for source in READER.sources] == ["https://api.kite.trade/instruments"]
