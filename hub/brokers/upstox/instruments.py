"""Upstox' list of instruments: one JSON file of all exchanges, packed or not. Pure.

Source of the format: Upstox' documentation of its instruments.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import IO, Annotated

import msgspec

from hub.brokers import names, packed
from hub.brokers.base import Listing, Reader, Source
from hub.brokers.indices import index_name
from hub.core.errors import Malformed

_EXCHANGES = {
    "NSE_EQ": "NSE", "BSE_EQ": "BSE", "NSE_FO": "NFO", "BSE_FO": "BFO", "NCD_FO": "CDS",
    "BCD_FO": "BCD", "MCX_FO": "MCX", "NSE_COM": "NCO", "NSE_INDEX": "NSE_INDEX",
    "BSE_INDEX": "BSE_INDEX", "MCX_INDEX": "MCX_INDEX", "GLOBAL_INDEX": "GLOBAL_INDEX",
    "GLOBAL_INDICATOR": "GLOBAL_INDEX",
}  # fmt: skip
_WORLD = {
    "^HSI": "HANGSENG", "^DJI": "DOWJONES", "^FTSE": "UK100", "^GSPC": "US500",
    "^GDAXI": "GERMANY40", "^FCHI": "FRANCE40", "^N225": "JAPAN225", "IXIX": "US100",
    "DOW FUTURES": "US30", "BZUSD": "BRENTOIL", "CLUSD": "WTIOIL",
}  # fmt: skip
_INDIA = timezone(timedelta(hours=5, minutes=30))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRECISE = ("CDS", "BCD")

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Row(msgspec.Struct):
    """What is read of a row. `expiry` is in epoch milliseconds, `tick_size` in hundredths."""

    segment: str
    instrument_key: _Text
    trading_symbol: _Text
    name: str | None = ""
    instrument_type: str | None = ""
    expiry: float | None = None
    strike_price: float | None = None
    lot_size: float | None = None
    tick_size: float | None = None


_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(_Row)


def read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    """The instruments of that file. Raises Malformed when it is another kind of file."""
    try:
        rows = _rows.decode(packed.opened(file).read())
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        msgspec.DecodeError,
        ValueError,
        RecursionError,
    ) as error:
        raise Malformed(f"{name} is not a whole list of instruments: {error}") from error
    for raw in rows:
        try:
            listing = _listing(_row.decode(raw))
        except (msgspec.DecodeError, ValueError, OverflowError):
            continue
        if listing:
            yield listing


def _listing(row: _Row) -> Listing | None:
    exchange = _EXCHANGES.get(row.segment)
    segment, bar, _ = row.instrument_key.partition("|")
    if exchange is None or not bar:
        return None
    index = exchange.endswith("_INDEX")
    expiry, strike = _day(row.expiry), row.strike_price or 0.0
    kind = "INDEX" if index else row.instrument_type or ""
    symbol = row.trading_symbol
    base = symbol.partition(" ")[0]
    if kind == "FUT" and expiry:
        symbol = names.future(base, expiry)
    elif kind in ("CE", "PE") and expiry:
        symbol = names.option(base, expiry, strike, kind)
    elif index:
        symbol = _WORLD.get(symbol.upper()) or index_name(exchange, symbol)
    else:
        kind = "EQ"
    return Listing(
        exchange,
        symbol,
        segment,
        row.instrument_key,
        row.trading_symbol,
        row.name or "",
        kind,
        expiry.isoformat() if expiry else "",
        strike,
        int(row.lot_size or 1) or 1,
        (row.tick_size or 0.0) / 100,
        4 if exchange in _PRECISE else 2,
    )


def _day(expiry_ms: float | None) -> date | None:
    """The day in India: contracts expire at the end of one."""
    if not expiry_ms:
        return None
    return (_EPOCH + timedelta(milliseconds=expiry_ms)).astimezone(_INDIA).date()


READER = Reader(
    (
        Source(
            "complete.json.gz",
            "https://assets.upstox.com/market-quote/instruments/exchange/complete.json.gz",
        ),
    ),
    read,
    least=10_000,
)
