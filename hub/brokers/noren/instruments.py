"""What the lists of instruments of Noren brokers have in common.

They are CSV files, one or more for each exchange, whose columns are called by a few different
names. Symbols become OpenAlgo's here; a row without a token or a name is left out, as is one
whose contract cannot be told.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import IO

from hub.brokers import packed
from hub.brokers.base import Listing
from hub.brokers.names import day, future, option, strike_text
from hub.core.errors import Malformed

_INDEX_NAMES = {
    "NSE": {
        "NIFTY50": "NIFTY",
        "NIFTYINDEX": "NIFTY",
        "NIFTYBANK": "BANKNIFTY",
        "NIFTYFIN": "FINNIFTY",
        "NIFTYFINSERVICE": "FINNIFTY",
        "NIFTYFINANCIALSERVICES": "FINNIFTY",
        "NIFTYNEXT50": "NIFTYNXT50",
        "NIFTYMIDSELECT": "MIDCPNIFTY",
        "NIFTYMIDCAPSELECT": "MIDCPNIFTY",
    },
    "BSE": {
        "BSESENSEX": "SENSEX",
        "S&PBSESENSEX": "SENSEX",
        "BSESENSEX50": "SENSEX50",
        "S&PBSESENSEX50": "SENSEX50",
        "S&PBSESENSEXNEXT50": "BSESENSEXNEXT50",
    },
}
"""What OpenAlgo calls indices, by what brokers call them, in capitals and without blanks."""
INDICES = (
    Listing("BSE_INDEX", "SENSEX", "BSE", "1", "SENSEX", "SENSEX", "INDEX"),
    Listing("BSE_INDEX", "BANKEX", "BSE", "12", "BANKEX", "BANKEX", "INDEX"),
)
"""Indices that some of the lists leave out."""
_MARKS = {"EQ": "-EQ", "BE": "-BE"}
_PRECISIONS = {"CDS": 4, "BCD": 4}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class Row(dict[str, str]):
    """A row by its columns, in lower case and without `_`; a column that is not there is empty."""

    def __missing__(self, key: str) -> str:
        return ""

    def first(self, *columns: str) -> str:
        """The first of these that says anything."""
        return next((self[column] for column in columns if self[column]), "")


def rows(file: Iterable[str], needed: Iterable[str], what: str) -> Iterator[Row]:
    """The rows of a CSV file; raises Malformed when a needed column is missing."""
    reader = csv.reader(file)
    try:
        names = [_column(name) for name in next(reader, [])]
        missing = [name for name in needed if name not in names]
        if missing:
            raise Malformed(f"{what} is no list of instruments: it has no column {missing[0]}")
        for values in reader:
            yield Row(zip(names, (value.strip() for value in values), strict=False))
    except (csv.Error, UnicodeDecodeError) as error:
        raise Malformed(f"{what} is no list of instruments: {error}") from error


def cash(exchange: str, found: Iterable[Row], *, paise: bool) -> Iterator[Listing]:
    """Shares and indices. Of a share in two series, the one in EQ has the name without a series.
    `paise` tells that ticks may be in paise."""
    later: list[Listing] = []
    taken: set[str] = set()
    for row in found:
        listing = _cash(exchange, row, paise=paise)
        if listing is None:
            continue
        if listing.broker_symbol.endswith("-BE"):
            later.append(listing)
            continue
        taken.add(listing.symbol)
        yield listing
    for listing in later:
        if listing.symbol not in taken:
            yield listing


def contracts(exchange: str, found: Iterable[Row], bases: Mapping[str, str]) -> Iterator[Listing]:
    """Futures and options. `bases` are underlyings by names that the list has for them alone."""
    for row in found:
        listing = _contract(exchange, row, bases)
        if listing is not None:
            yield listing


def text(file: IO[bytes]) -> Iterator[str]:
    """The lines of a file, which may begin with a mark of its encoding."""
    for number, line in enumerate(packed.lines(file)):
        yield (line.removeprefix(b"\xef\xbb\xbf") if not number else line).decode("utf-8")


def number(word: str) -> float:
    """A number; 0 for what is none."""
    try:
        found = float(word)
    except ValueError:
        return 0.0
    return found if 0 <= found < 1e12 else 0.0


def base_of(trading: str, expiry: date, tail: str) -> str:
    """The underlying that a contract's own name begins with, before year, month, day and `tail`:
    SENSEX of SENSEX26NOV85000CE and of SENSEX26N1985000CE. Empty when it reads otherwise."""
    year, month, number = f"{expiry.year % 100:02}", _MONTHS[expiry.month - 1], f"{expiry.day:02}"
    letter = "123456789OND"[expiry.month - 1]
    for stamp in (f"{number}{month}{year}", f"{year}{month}", f"{year}{letter}{number}"):
        if trading.endswith(stamp + tail):
            return trading[: -len(stamp + tail)]
    return ""


def _column(name: str) -> str:
    return name.strip().lower().replace("_", "")


def _cash(exchange: str, row: Row, *, paise: bool) -> Listing | None:
    token, broker_symbol = row["token"], row["tradingsymbol"]
    if not (token.isalnum() and broker_symbol):
        return None
    index = row["instrument"].upper() in ("INDEX", "UNDIND")
    if index:
        name = re.sub(r"[\s-]", "", broker_symbol.upper())
        symbol = _INDEX_NAMES.get(exchange, {}).get(name, name)
    else:
        symbol = broker_symbol
        for mark in _MARKS.values() if exchange == "NSE" else ():
            symbol = symbol.removesuffix(mark)
    return Listing(
        exchange=f"{exchange}_INDEX" if index else exchange,
        symbol=symbol,
        segment=exchange,
        token=token,
        broker_symbol=broker_symbol,
        name=row["symbol"],
        kind="INDEX" if index else "EQ",
        lot=max(1, int(number(row["lotsize"]))),
        tick=_tick(number(row["ticksize"]), paise=paise),
    )


def _tick(told: float, *, paise: bool) -> float:
    """A tick in rupees. In paise no tick is below 1; in rupees most are."""
    return round(told / 100, 4) if paise and told >= 1 else told


def _contract(exchange: str, row: Row, bases: Mapping[str, str]) -> Listing | None:
    token, broker_symbol = row["token"], row["tradingsymbol"]
    expiry = day(row["expiry"])
    kind = {"XX": "FUT", "FUT": "FUT", "CE": "CE", "PE": "PE"}.get(row["optiontype"].upper(), "")
    if not (token.isalnum() and broker_symbol and expiry and kind):
        return None
    strike = number(row.first("strike", "strikeprice"))
    name = row["symbol"].upper()
    if kind != "FUT" and not strike:
        return None
    base = _base(name, broker_symbol, expiry, kind, strike, bases)
    if not base:
        return None
    return Listing(
        exchange=exchange,
        symbol=future(base, expiry) if kind == "FUT" else option(base, expiry, strike, kind),
        segment=exchange,
        token=token,
        broker_symbol=broker_symbol,
        name=base,
        kind=kind,
        expiry=expiry.isoformat(),
        strike=strike if kind != "FUT" else 0.0,
        lot=max(1, int(number(row["lotsize"]))),
        tick=number(row["ticksize"]),
        precision=int(number(row["precision"])) or _PRECISIONS.get(exchange, 2),
    )


def _base(
    name: str, trading: str, expiry: date, kind: str, strike: float, bases: Mapping[str, str]
) -> str:
    """The underlying: what the list calls it, unless that is one of its own words for it."""
    if name in bases:
        return bases[name]
    if not name.endswith(("OPT", "FUT")):
        return name
    tail = "FUT" if kind == "FUT" else f"{strike_text(strike)}{kind}"
    return base_of(trading.upper(), expiry, tail) or name
