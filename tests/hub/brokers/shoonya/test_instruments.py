"""Shoonya's lists read as they are served."""

from __future__ import annotations

import io
import zipfile

import pytest

from hub.brokers.base import Listing
from hub.brokers.shoonya.instruments import READER
from hub.core.errors import Malformed
from tests.brokers import noren_files


def served(name: str) -> list[Listing]:
    return list(READER.read(name, io.BytesIO(noren_files.packed(f"{name}_symbols.txt.zip"))))


def test_every_file_reads() -> None:
    names = [source.name for source in READER.sources]
    assert all(source.url.endswith(f"/{source.name}_symbols.txt.zip") for source in READER.sources)
    found = [(one.exchange, one.symbol, one.segment, one.token) for n in names for one in served(n)]
    assert found == [
        ("NSE", "ACC", "NSE", "22"),
        ("NSE", "RELIANCE", "NSE", "2885"),
        ("NSE_INDEX", "NIFTY", "NSE", "26000"),
        ("NSE_INDEX", "BANKNIFTY", "NSE", "26009"),
        ("BSE", "ACC", "BSE", "22"),
        ("NFO", "NIFTY29DEC26FUT", "NFO", "65872"),
        ("NFO", "NIFTY29DEC2625000CE", "NFO", "43001"),
        ("BFO", "SENSEX29DEC2691000PE", "BFO", "837931"),
        ("CDS", "USDINR29DEC26FUT", "CDS", "1155"),
        ("CDS", "USDINR29DEC2682.5CE", "CDS", "1156"),
        ("MCX", "CRUDEOIL21DEC26FUT", "MCX", "565899"),
    ]


def test_ticks_are_rupees() -> None:
    assert [one.tick for one in served("NSE")] == [0.05, 0.1, 0.05, 0.05]
    assert [one.tick for one in served("NFO")] == [0.1, 0.05]


def test_bse_s_indices_are_known_without_a_file() -> None:
    assert [(one.symbol, one.token) for one in READER.fixed] == [("SENSEX", "1"), ("BANKEX", "12")]


@pytest.mark.parametrize("file", [b"", b"<html>", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_is_said_to_be_none(file: bytes) -> None:
    with pytest.raises(Malformed, match="Shoonya's list of NFO"):
        list(READER.read("NFO", io.BytesIO(file)))


def test_a_damaged_zip_is_said_to_be_none() -> None:
    whole = noren_files.packed("NFO_symbols.txt.zip")
    for place in range(60, 160, 7):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        with pytest.raises(Malformed, match="NFO"):
            list(READER.read("NFO", io.BytesIO(damaged)))


def test_wherever_a_zip_is_damaged_nothing_else_is_raised() -> None:
    whole = noren_files.packed("NFO_symbols.txt.zip")
    refused = 0
    for place in range(len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            list(READER.read("NFO", io.BytesIO(damaged)))
        except Malformed:
            refused += 1
    assert refused > len(whole) // 2


def test_so_it_is_with_a_zip_of_another_method() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as folder:
        folder.writestr("NFO_symbols.txt", noren_files.plain("NFO_symbols.txt.zip"))
    damaged = file.getvalue()
    place = damaged.index(b"NFO_symbols.txt") + 40
    with pytest.raises(Malformed, match="is no ZIP file"):
        list(READER.read("NFO", io.BytesIO(damaged[:place] + b"\xff" * 9 + damaged[place + 9 :])))
