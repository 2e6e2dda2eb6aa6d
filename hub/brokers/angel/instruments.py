"""Angel One's list of instruments under OpenAlgo's symbols. Pure.

The file is one JSON array of flat objects, tens of megabytes: it is read a piece at a time. All
values are text. Expiries are `26NOV2026`; strikes and ticks are in hundredths of a rupee, those of
currencies in ten-millionths; an index has the type AMXIDX, and shares have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from hub.brokers import names
from hub.brokers.base import Listing, Reader, Source
from hub.core.errors import Malformed

SOURCE = Source(
    "instruments",
    "https://margincalculator.angelbroking.com/OpenAPI_File/files/OpenAPIScripMaster.json",
)
SEGMENTS = {"NSE": 1, "NFO": 2, "BSE": 3, "BFO": 4, "MCX": 5, "NCDEX": 7, "CDS": 13}
"""What the stream calls exchanges by; indices are in that of their exchange."""
_SERIES = ("-EQ", "-BE", "-MF", "-SG")
"""Series that OpenAlgo's symbols do not name; EQ goes before the others."""
_INDICES = {
    "NIFTY50": "NIFTY",
    "NIFTYBANK": "BANKNIFTY",
    "NIFTYFINSERVICE": "FINNIFTY",
    "NIFTYNEXT50": "NIFTYNXT50",
    "NIFTYMIDSELECT": "MIDCPNIFTY",
    "NIFTYMIDCAPSELECT": "MIDCPNIFTY",
    "SNSX50": "SENSEX50",
}
_PIECE_BYTES = 1 << 20
_ROW_BYTES = 1 << 16


class Row(msgspec.Struct):
    """One instrument, as the file has it."""

    token: str
    symbol: str
    exch_seg: str
    name: str = ""
    expiry: str = ""
    strike: str = ""
    lotsize: str = ""
    instrumenttype: str = ""
    tick_size: str = ""


_row = msgspec.json.Decoder(Row).decode


def read(source: str, file: IO[bytes]) -> Iterator[Listing]:
    """The instruments of the one file there is. Raises Malformed."""
    del source
    taken: set[tuple[str, str]] = set()
    others: list[Listing] = []
    for row in _rows(file):
        listing = _listing(row)
        if listing is None:
            continue
        if row.exch_seg == "NSE" and row.symbol.endswith(_SERIES[1:]):
            others.append(listing)
            continue
        taken.add((listing.exchange, listing.symbol))
        yield listing
    yield from (one for one in others if (one.exchange, one.symbol) not in taken)


READER = Reader((SOURCE,), read, least=10_000)


def _rows(file: IO[bytes]) -> Iterator[Row]:
    """Every row that can be read. Raises Malformed for what is no such array, or half of one."""
    rest = file.read(_PIECE_BYTES).lstrip()
    if rest[:1] != b"[":
        raise Malformed("Angel's list of instruments is no JSON array")
    while True:
        *whole, rest = rest.split(b"}")
        yield from _read_rows(whole)
        piece = file.read(_PIECE_BYTES)
        if not piece:
            break
        if len(rest) > _ROW_BYTES:
            raise Malformed("Angel's list of instruments has a row without an end")
        rest += piece
    if rest.strip() not in {b"]", b"[]"}:
        raise Malformed("Angel's list of instruments ends in the middle")


def _read_rows(pieces: Iterable[bytes]) -> Iterator[Row]:
    for piece in pieces:
        try:
            yield _row(piece[piece.index(b"{") :] + b"}")
        except ValueError:
            continue  # a row that cannot be read is left out


def _listing(row: Row) -> Listing | None:
    """A row as the hub lists it; None for what is no instrument of the stream."""
    segment = SEGMENTS.get(row.exch_seg)
    if segment is None or not 0 < len(row.token) <= 25 or not row.symbol or not row.token.isascii():
        return None
    try:
        if row.instrumenttype == "AMXIDX":
            return _index(row, segment)
        if row.exch_seg in {"NSE", "BSE"}:
            return _share(row, segment)
        return _contract(row, segment)
    except (ValueError, OverflowError):
        return None


def _index(row: Row, segment: int) -> Listing | None:
    if row.exch_seg not in {"NSE", "BSE", "MCX"}:
        return None
    word = row.name.upper().removeprefix("S&P ").replace(" ", "").replace("-", "")
    symbol = _INDICES.get(word, word) if row.exch_seg != "MCX" else row.symbol
    return Listing(
        f"{row.exch_seg}_INDEX", symbol, str(segment), row.token, row.symbol, row.name, "INDEX"
    )


def _share(row: Row, segment: int) -> Listing | None:
    tick = _number(row.tick_size) / 100
    if row.exch_seg == "NSE" and not tick and "-" not in row.symbol:
        return None  # an index once more, under a token that nothing comes for
    symbol = row.symbol
    if row.exch_seg == "NSE":
        for series in _SERIES:
            symbol = symbol.removesuffix(series)
    return Listing(
        row.exch_seg,
        symbol,
        str(segment),
        row.token,
        row.symbol,
        row.name,
        lot=int(_number(row.lotsize)) or 1,
        tick=tick,
    )


def _contract(row: Row, segment: int) -> Listing | None:
    expiry = names.day(row.expiry)
    type_ = row.instrumenttype
    if expiry is None or type_[:3] not in {"FUT", "OPT"}:
        return None
    scale = 1e7 if row.exch_seg == "CDS" else 100
    strike, kind = 0.0, "FUT"
    symbol = names.future(row.name, expiry)
    if type_[:3] == "OPT":
        strike, kind = _number(row.strike) / scale, row.symbol[-2:]
        if kind not in {"CE", "PE"}:
            return None
        symbol = names.option(row.name, expiry, strike, kind)
    return Listing(
        row.exch_seg,
        symbol,
        str(segment),
        row.token,
        row.symbol,
        row.name,
        kind,
        expiry.isoformat(),
        strike,
        int(_number(row.lotsize)) or 1,
        _number(row.tick_size) / scale,
        4 if row.exch_seg == "CDS" else 2,
    )


def _number(text: str) -> float:
    value = float(text or 0)
    if not abs(value) < 1e15:
        raise ValueError(text)
    return max(0.0, value)
