"""Flattrade's lists read as they are served."""

from __future__ import annotations

import io

import pytest

from hub.brokers.base import Listing
from hub.brokers.flattrade.instruments import READER
from hub.core.errors import Malformed
from tests.brokers import noren_files


def served(name: str) -> list[Listing]:
    return list(READER.read(name, io.BytesIO(noren_files.plain(f"{name}.csv"))))


def test_every_file_reads() -> None:
    names = [source.name for source in READER.sources]
    assert all(source.url.endswith(f"/{source.name}.csv") for source in READER.sources)
    found = [(one.exchange, one.symbol, one.segment, one.token) for n in names for one in served(n)]
    assert found == [
        ("NSE", "ACC", "NSE", "22"),
        ("NSE", "RELIANCE", "NSE", "2885"),
        ("NSE_INDEX", "NIFTY", "NSE", "26000"),
        ("BSE", "ACC", "BSE", "22"),
        ("BSE_INDEX", "SENSEX", "BSE", "1"),
        ("NFO", "RELIANCE29DEC26FUT", "NFO", "52001"),
        ("NFO", "NIFTY29DEC26FUT", "NFO", "65872"),
        ("NFO", "NIFTY29DEC2625000CE", "NFO", "43001"),
        ("BFO", "SENSEX29DEC2691000PE", "BFO", "837931"),
        ("CDS", "USDINR29DEC2682.5CE", "CDS", "1156"),
        ("MCX", "CRUDEOIL21DEC26FUT", "MCX", "565899"),
    ]


def test_a_tick_size_is_unknown() -> None:
    assert {one.tick for one in served("NSE_Equity")} == {0.0}


def test_a_mark_of_the_encoding_does_not_matter() -> None:
    file = io.BytesIO(b"\xef\xbb\xbf" + noren_files.plain("NSE_Equity.csv"))
    assert len(list(READER.read("NSE_Equity", file))) == 3


@pytest.mark.parametrize("file", [b"", b"<html>", b"\xff\xfe\xff\n\n"])
def test_what_is_no_list_is_said_to_be_none(file: bytes) -> None:
    with pytest.raises(Malformed, match="Flattrade"):
        list(READER.read("Commodity", io.BytesIO(file)))
