"""How Dhan's list of instruments reads: one CSV file with a header, of all exchanges. Pure.

1. Contracts are named as OpenAlgo names them, from what Dhan's trading symbol begins with, the
   expiry and the strike.
2. Ticks are in paise, in rupees where a share's is less than one of them.
3. OpenAlgo's names of NSE's indices have no blanks and no dashes; BSE's that are not in the table
   keep Dhan's name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import IO

from hub.brokers import indices
from hub.brokers.base import Listing, Reader, Source
from hub.brokers.names import day, future, option
from hub.core.errors import Malformed

_COLUMNS = (
    "SEM_EXM_EXCH_ID", "SEM_SMST_SECURITY_ID", "SEM_INSTRUMENT_NAME", "SEM_TRADING_SYMBOL",
    "SEM_EXPIRY_DATE", "SEM_STRIKE_PRICE", "SEM_OPTION_TYPE", "SEM_LOT_UNITS", "SEM_TICK_SIZE",
)  # fmt: skip
_SHARES = {"NSE": ("NSE", "NSE_EQ"), "BSE": ("BSE", "BSE_EQ")}
_CONTRACTS = {
    "NSE": ("NFO", "NSE_FNO"), "BSE": ("BFO", "BSE_FNO"), "MCX": ("MCX", "MCX_COMM"),
}  # fmt: skip
_OF_SHARES = ("FUTIDX", "FUTSTK", "OPTIDX", "OPTSTK")
"""What is in those segments of NSE and BSE; they have commodities and interest rates, too, which
the stream has no place for: there their tokens would be other contracts'."""
_CURRENCIES = {"NSE": ("CDS", "NSE_CURRENCY"), "BSE": ("BCD", "BSE_CURRENCY")}
_NSE_INDICES = {
    "NIFTYNEXT50": "NIFTYNXT50", "NIFTYMCAP50": "NIFTYMIDCAP50",
    "NIFTYMID100FREE": "NIFTYMIDCAP100", "NIFTYMIDSMALLCAP400": "NIFTYMIDSML400",
    "NIFTYSMALLCAP50": "NIFTYSMLCAP50", "NIFTYSMALLCAP100": "NIFTYSMLCAP100",
    "NIFTYSMALLCAP250": "NIFTYSMLCAP250", "NIFTY100EQUALWEIGHT": "NIFTY100EQLWGT",
    "NIFTY100LOWVOLATILITY30": "NIFTY100LOWVOL30",
}  # fmt: skip
"""OpenAlgo's names of those that are more than Dhan's without blanks and dashes."""
_BASE = re.compile(r"(.+?)-(?:[A-Za-z]{3}\d{4}|\d{1,2}[A-Za-z]{3}\d{4})(?:-|$)")
"""What a contract's trading symbol begins with: `NIFTY-Nov2026-25000-CE`, `M&M-Nov2026-FUT`."""


def read(name: str, file: IO[bytes]) -> Iterable[Listing]:  # noqa: ARG001 - there is one file
    """Yield what is listed. Raises Malformed for what is no such file."""
    text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
    try:
        rows = csv.DictReader(text)
        columns = {column.strip() for column in rows.fieldnames or ()}
        missing = sorted(set(_COLUMNS) - columns)
        if missing:
            raise Malformed(f"Dhan's list of instruments has no column {missing[0]}")
        yield from _listings(rows)
    except csv.Error as error:
        raise Malformed(f"Dhan's list of instruments is no CSV file: {error}") from None
    finally:
        text.detach()  # or the caller's file is closed with it


def _listings(rows: Iterable[Mapping[str | None, str]]) -> Iterator[Listing]:
    """Of a share in several series that of EQ goes before the others: the first one counts."""
    others: list[Listing] = []
    for row in rows:
        try:
            named = {str(k).strip(): (v or "").strip() for k, v in row.items() if k}
            listing = _listing(named)
        except (ValueError, AttributeError):
            continue
        if listing is None:
            continue
        if listing.kind == "EQ" and named.get("SEM_SERIES", "EQ") not in {"EQ", "", "NA"}:
            others.append(listing)
        else:
            yield listing
    yield from others


def _listing(row: Mapping[str, str]) -> Listing | None:
    """One row; None for what the hub has no place for. Raises ValueError for what is no row."""
    token = str(int(row["SEM_SMST_SECURITY_ID"]))
    exchange, what = row["SEM_EXM_EXCH_ID"], row["SEM_INSTRUMENT_NAME"]
    symbol = row["SEM_TRADING_SYMBOL"]
    if not symbol or not 0 < int(token) < 1 << 31:
        return None
    if what == "INDEX":
        return _index(exchange, symbol, token, row)
    if what == "EQUITY":
        return _share(exchange, symbol, token, row)
    if what[:3] not in {"FUT", "OPT"}:
        return None
    return _contract(exchange, what, token, row)


def _index(exchange: str, symbol: str, token: str, row: Mapping[str, str]) -> Listing | None:
    if exchange == "NSE":
        plain = re.sub(r"[ -]", "", symbol.upper())
        name = _NSE_INDICES.get(plain, plain)
    elif exchange == "BSE":
        name = indices.BSE.get(symbol, symbol)
    else:
        return None
    called = row.get("SEM_CUSTOM_SYMBOL", "")
    return Listing(f"{exchange}_INDEX", name, "IDX_I", token, symbol, called, "INDEX")


def _share(exchange: str, symbol: str, token: str, row: Mapping[str, str]) -> Listing | None:
    if exchange not in _SHARES:
        return None
    place, segment = _SHARES[exchange]
    name = row.get("SM_SYMBOL_NAME") or row.get("SEM_CUSTOM_SYMBOL", "")
    tick = _number(row["SEM_TICK_SIZE"])
    return Listing(
        place, symbol, segment, token, symbol, name, "EQ",
        lot=_lot(row), tick=tick / 100 if tick >= 1 else tick,
    )  # fmt: skip


def _contract(exchange: str, what: str, token: str, row: Mapping[str, str]) -> Listing | None:
    currency = what.endswith("CUR")
    place = (_CURRENCIES if currency else _CONTRACTS).get(exchange)
    if not currency and exchange != "MCX" and what not in _OF_SHARES:
        return None
    expiry = day(row["SEM_EXPIRY_DATE"])
    base = _base(row)
    if place is None or expiry is None or not base:
        return None
    tick = _number(row["SEM_TICK_SIZE"])
    if currency or tick >= 1:
        tick /= 100
    named = _named(what, base, expiry, row)
    if named is None:
        return None
    symbol, kind, strike = named
    return Listing(
        place[0], symbol, place[1], token, row["SEM_TRADING_SYMBOL"], base, kind,
        expiry.isoformat(), strike, _lot(row), round(tick, 6), 4 if currency else 2,
    )  # fmt: skip


def _base(row: Mapping[str, str]) -> str:
    """What a contract is of; its other name, `NIFTY 26 NOV 25000 CALL`, begins with it, too."""
    found = _BASE.match(row["SEM_TRADING_SYMBOL"])
    return found[1] if found else row.get("SEM_CUSTOM_SYMBOL", "").partition(" ")[0]


def _named(
    what: str, base: str, expiry: date, row: Mapping[str, str]
) -> tuple[str, str, float] | None:
    """The contract's name, its kind and its strike."""
    if what.startswith("FUT"):
        return future(base, expiry), "FUT", 0.0
    kind, strike = row["SEM_OPTION_TYPE"], _number(row["SEM_STRIKE_PRICE"])
    if kind not in {"CE", "PE"} or strike <= 0:
        return None
    return option(base, expiry, strike, kind), kind, strike


def _number(text: str) -> float:
    value = float(text or 0)
    if value - value != 0.0:
        raise ValueError(text)
    return value


def _lot(row: Mapping[str, str]) -> int:
    return max(1, int(_number(row["SEM_LOT_UNITS"])))


READER = Reader(
    (Source("master", "https://images.dhan.co/api-data/api-scrip-master.csv"),), read, least=10_000
)
