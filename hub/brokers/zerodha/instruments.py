"""Zerodha's list of instruments: one CSV file of all exchanges, packed or not. Pure.

Source of the format: Kite Connect's documentation of its instruments dump.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from typing import IO

from hub.brokers import names, packed
from hub.brokers.base import Listing, Reader, Source
from hub.brokers.indices import index_name
from hub.core.errors import Malformed

_EXCHANGES = {
    name: name for name in ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
} | {"GLOBAL": "GLOBAL_INDEX", "NSEIX": "GLOBAL_INDEX"}  # fmt: skip
_COLUMNS = {"instrument_token", "tradingsymbol", "expiry", "strike", "instrument_type", "exchange"}
_PRECISE = ("CDS", "BCD")


def read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    """The instruments of that file. Raises Malformed when it is another kind of file."""
    try:
        with io.TextIOWrapper(packed.opened(file), encoding="utf-8", errors="replace") as text:
            rows = csv.DictReader(packed.lines(text))
            if not _COLUMNS.issubset(rows.fieldnames or ()):
                raise Malformed(f"{name} has not the columns of Zerodha's list of instruments")
            for row in rows:
                try:
                    listing = _listing(row)
                except (ValueError, KeyError, AttributeError, TypeError):
                    continue
                if listing:
                    yield listing
    except (EOFError, zlib.error, gzip.BadGzipFile, csv.Error) as error:
        raise Malformed(f"{name} is not a whole list of instruments: {error}") from error


def _listing(row: Mapping[str, str]) -> Listing | None:
    exchange = _EXCHANGES.get(row["exchange"])
    token = int(row["instrument_token"])
    broker_symbol = row["tradingsymbol"].strip()
    if exchange is None or not 0 < token < 1 << 32 or not broker_symbol:
        return None
    index = row.get("segment") == "INDICES" or exchange == "GLOBAL_INDEX"
    if index and not exchange.endswith("_INDEX"):
        exchange += "_INDEX"
    kind = "INDEX" if index else row["instrument_type"]
    expiry, strike = names.day(row["expiry"]), float(row["strike"] or 0)
    base = row.get("name", "").strip()
    if kind == "FUT" and expiry:
        symbol = names.future(base, expiry)
    elif kind in ("CE", "PE") and expiry:
        symbol = names.option(base, expiry, strike, kind)
    else:
        symbol = index_name(exchange, broker_symbol) if index else broker_symbol
        kind = "INDEX" if index else "EQ"
    return Listing(
        exchange,
        symbol,
        row.get("segment") or row["exchange"],
        str(token),
        broker_symbol,
        base,
        kind,
        expiry.isoformat() if expiry else "",
        strike,
        int(float(row.get("lot_size") or 1)) or 1,
        float(row.get("tick_size") or 0),
        4 if exchange in _PRECISE else 2,
    )


READER = Reader(
    (Source("instruments.csv", "https://api.kite.trade/instruments"),), read, least=10_000
)
