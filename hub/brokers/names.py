"""OpenAlgo's names of contracts: `NIFTY26NOV26FUT`, `NIFTY26NOV2625000CE`. Pure.

Source of the format: OpenAlgo's documentation of its symbols. The expiry is written DDMMMYY, a
strike without its decimals where they are zero.
"""

from __future__ import annotations

import re
from datetime import date

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CONTRACT = re.compile(
    rf"(?P<base>.+?)(?P<day>\d\d)(?P<month>{'|'.join(_MONTHS)})(?P<year>\d\d)"
    r"(?:FUT|(?P<strike>\d+(?:\.\d+)?)(?:CE|PE))"
)


def future(base: str, expiry: date) -> str:
    """The name of a future."""
    return f"{base}{_expiry(expiry)}FUT"


def option(base: str, expiry: date, strike: float, kind: str) -> str:
    """The name of an option; `kind` is CE or PE, the strike is in rupees."""
    return f"{base}{_expiry(expiry)}{strike_text(strike)}{kind}"


def strike_text(strike: float) -> str:
    """A strike as it stands in a name: `25000`, `82.5`."""
    return f"{strike:.4f}".rstrip("0").rstrip(".")


def expiry_of(symbol: str) -> date | None:
    """The day on which the contract of that name expires; None for a name that is of none."""
    found = _CONTRACT.fullmatch(symbol)
    if found is None:
        return None
    try:
        return date(2000 + int(found["year"]), _MONTHS.index(found["month"]) + 1, int(found["day"]))
    except ValueError:
        return None


def day(text: str) -> date | None:
    """The day that brokers write as `26NOV2026`, `26-NOV-2026` or `2026-11-26`, with or without a
    time behind it; None when it is none."""
    word = text.strip().upper()
    if found := re.match(r"(\d{4})-(\d\d)-(\d\d)", word):
        year, month, number = found.groups()
    elif (found := re.match(r"(\d{1,2})[- ]?([A-Z]{3})[- ]?(\d{4})", word)) and (
        found[2] in _MONTHS
    ):
        number, month, year = found[1], str(_MONTHS.index(found[2]) + 1), found[3]
    else:
        return None
    try:
        return date(int(year), int(month), int(number))
    except ValueError:
        return None


def _expiry(expiry: date) -> str:
    return f"{expiry.day:02}{_MONTHS[expiry.month - 1]}{expiry.year % 100:02}"
