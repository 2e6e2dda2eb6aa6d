"""Upstox' list of instruments becomes OpenAlgo's names."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from hub.brokers.base import Listing
from hub.brokers.upstox.instruments import READER, read
from hub.core.errors import Malformed
from tests.brokers.upstox_server import ROWS


def listings(rows: Any = ROWS) -> list[Listing]:
    return list(read("file", io.BytesIO(json.dumps(rows).encode())))


def test_names_are_openalgos() -> None:
    assert [(one.exchange, one.symbol) for one in listings()] == [
        ("NSE", "RELIANCE"),
        ("NSE", "INFY"),
        ("BSE", "RELIANCE"),
        ("NSE_INDEX", "NIFTY"),
        ("BSE_INDEX", "SENSEX50"),
        ("NFO", "NIFTY26NOV26FUT"),
        ("NFO", "NIFTY26NOV2625000CE"),
        ("CDS", "USDINR26NOV2685.25PE"),
        ("MCX", "GOLD04DEC26FUT"),
        ("GLOBAL_INDEX", "DOWJONES"),
    ]


def test_a_contract_has_all_that_the_file_says_of_it() -> None:
    assert listings()[7] == Listing(
        "CDS", "USDINR26NOV2685.25PE", "NCD_FO", "NCD_FO|1613", "USDINR 85.25 PE 26 NOV 26",
        "USDINR", "PE", "2026-11-26", 85.25, 1, 0.0025, 4,
    )  # fmt: skip
    assert [one.kind for one in listings()[:4]] == ["EQ", "EQ", "EQ", "INDEX"]
    assert [one.lot for one in listings()[3:7]] == [1, 1, 75, 75]


def test_the_day_of_expiry_is_indias() -> None:
    """A contract's last second, and midnight at its beginning, are of the same day there."""
    row = ROWS[5]
    for expiry in (1795717799000, 1795631400000):
        (one,) = listings([{**row, "expiry": expiry}])
        assert one.expiry == "2026-11-26"


def test_packed_or_not_it_is_the_same() -> None:
    packed = gzip.compress(json.dumps(ROWS).encode())
    assert list(read("file", io.BytesIO(packed))) == listings()


@pytest.mark.parametrize(
    "change",
    [
        {"instrument_key": None},
        {"instrument_key": "INE1"},
        {"trading_symbol": ""},
        {"segment": "NOWHERE"},
        {"expiry": "soon"},
        {"expiry": 1e300},
        {"strike_price": "high"},
    ],
)
def test_a_row_that_cannot_be_read_is_left_out(change: dict[str, Any]) -> None:
    found = listings([{**ROWS[0], **change}, "text", None, ROWS[1]])
    assert [one.symbol for one in found] == ["INFY"]


@pytest.mark.parametrize(
    "file",
    [b"", b"{}", b"<html>", b"\x1f\x8b\x08cut", gzip.compress(b"[]", mtime=0)[:-4], b"[" * 100_000],
)
def test_another_kind_of_file_is_malformed(file: bytes) -> None:
    with pytest.raises(Malformed):
        list(read("file", io.BytesIO(file)))


def test_where_it_is_had() -> None:
    (source,) = READER.sources
    assert source.url.endswith("/complete.json.gz")
