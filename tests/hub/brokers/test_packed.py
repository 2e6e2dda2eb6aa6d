"""Lists that are packed do not unpack without an end."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from hub.brokers import packed
from hub.brokers.shoonya.instruments import READER as SHOONYA
from hub.brokers.upstox.instruments import READER as UPSTOX
from hub.brokers.zerodha.instruments import READER as ZERODHA
from hub.core.errors import Malformed
from tests.brokers.zerodha_server import COLUMNS

_MIB = 1 << 20
HEADERS = {
    "zerodha": f"{COLUMNS}\n".encode(),
    "shoonya": b"Exchange,Token,LotSize,Symbol,TradingSymbol,Instrument,TickSize\n",
}


def _gzip(begin: bytes, more: bytes) -> bytes:
    return gzip.compress(begin, mtime=0) + gzip.compress(more, mtime=0) * 300


def _zip(begin: bytes, more: bytes) -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folder,
        folder.open("NSE_symbols.txt", "w") as inner,
    ):
        inner.write(begin)
        for _ in range(300):
            inner.write(more)
    return file.getvalue()


@pytest.mark.parametrize("packs", [lambda text: text, lambda text: gzip.compress(text, mtime=0)])
def test_a_file_is_what_is_in_it(packs: Callable[[bytes], bytes]) -> None:
    text = bytes(range(256)) * 1000
    assert packed.opened(io.BytesIO(packs(text))).read() == text
    assert packed.opened(io.BytesIO(packs(text)), len(text)).read() == text
    with pytest.raises(Malformed, match="longer than 0 MiB when unpacked"):
        packed.opened(io.BytesIO(packs(text)), len(text) - 1).read()


@pytest.mark.parametrize("broker", ["zerodha", "shoonya"])
def test_a_small_file_that_unpacks_without_an_end_is_malformed(broker: str) -> None:
    reader = {"zerodha": ZERODHA, "shoonya": SHOONYA}[broker]
    file = (_gzip if broker == "zerodha" else _zip)(HEADERS[broker], b" " * _MIB)
    assert len(file) < 2 * _MIB
    with pytest.raises(Malformed, match="longer than 256 MiB when unpacked"):
        list(reader.read("NSE", io.BytesIO(file)))


@pytest.mark.parametrize("broker", ["zerodha", "shoonya"])
def test_a_line_that_does_not_end_is_not_held_as_a_whole(broker: str) -> None:
    reader = {"zerodha": ZERODHA, "shoonya": SHOONYA}[broker]
    more = b" " * (32 * _MIB)
    file = HEADERS[broker] + more
    packs = gzip.compress(file, mtime=0) if broker == "zerodha" else _zip(file, b"")
    tracemalloc.start()
    try:
        assert not list(reader.read("NSE", io.BytesIO(packs)))
        assert tracemalloc.get_traced_memory()[1] < 8 * _MIB
    finally:
        tracemalloc.stop()


def test_neither_does_one_that_has_to_be_read_as_a_whole() -> None:
    with pytest.raises(Malformed, match="longer than 256 MiB when unpacked"):
        list(UPSTOX.read("file", io.BytesIO(_gzip(b"[", b" " * _MIB))))
