"""What a Noren server says about an instrument, as values.

1. Every field is text on the wire, and may be a number all the same. One that is missing has not
   changed; "" and "-" stand for a value that there is not, which is left as it was too.
2. `Touch` and `Book` are read by msgspec in one go. Where it finds anything that is no number, the
   message is read again field by field (`clean`), so that one odd field costs itself alone.

`tk` and `dk` answer a subscribe and have all fields; `tf` and `df` have those that have changed.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

import msgspec

_LARGEST = 2.0**53
"""No price and no quantity is larger; NaN and infinity are not within it either."""
_AT_OPEN = 42949672.95
"""Noren writes this price for an order at the opening price: it has none."""
_DIGITS = frozenset("+-.0123456789eE")
_NOTHING = ("", "-")

_Price = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)] | None
_Count = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | None


class Touch(msgspec.Struct, gc=False):
    """A touchline message: its kind `t`, exchange `e` and token `tk`, then what has changed.

    Prices are in rupees, `pc` in percent, `ft` in epoch seconds of the broker's server, `ltt` the
    time of day of the last trade in India.
    """

    t: str = ""
    e: str = ""
    tk: str = ""
    lp: _Price = None
    pc: _Price = None
    v: _Count = None
    o: _Price = None
    h: _Price = None
    l: _Price = None  # noqa: E741 - the name on the wire
    c: _Price = None
    ap: _Price = None
    oi: _Count = None
    ltq: _Count = None
    ltt: str | None = None
    ft: _Count = None


class Book(Touch, gc=False):
    """A depth message: a touchline's fields, totals, limits, and five levels a side: price `bp`,
    quantity `bq` and orders `bo` of who buys, `sp`, `sq` and `so` of who sells."""

    tbq: _Count = None
    tsq: _Count = None
    uc: _Price = None
    lc: _Price = None
    year_high: _Price = msgspec.field(default=None, name="52h")
    year_low: _Price = msgspec.field(default=None, name="52l")
    bp1: _Price = None
    bq1: _Count = None
    bo1: _Count = None
    bp2: _Price = None
    bq2: _Count = None
    bo2: _Count = None
    bp3: _Price = None
    bq3: _Count = None
    bo3: _Count = None
    bp4: _Price = None
    bq4: _Count = None
    bo4: _Count = None
    bp5: _Price = None
    bq5: _Count = None
    bo5: _Count = None
    sp1: _Price = None
    sq1: _Count = None
    so1: _Count = None
    sp2: _Price = None
    sq2: _Count = None
    so2: _Count = None
    sp3: _Price = None
    sq3: _Count = None
    so3: _Count = None
    sp4: _Price = None
    sq4: _Count = None
    so4: _Count = None
    sp5: _Price = None
    sq5: _Count = None
    so5: _Count = None


LEVELS = tuple(
    f"{side}{part}{number}" for side in "bs" for number in range(1, 6) for part in ("p", "q", "o")
)
"""The fields of the levels: buyers, then sellers, each best first; price, quantity, orders."""
COUNTS = frozenset(
    {"v", "oi", "ltq", "ft", "tbq", "tsq"} | {name for name in LEVELS if name[1] != "p"}
)
NUMBERS = (
    "lp", "pc", "v", "o", "h", "l", "c", "ap", "oi", "ltq", "ft",
    "tbq", "tsq", "uc", "lc", "52h", "52l", *LEVELS,
)  # fmt: skip
_ATTRIBUTES = {"52h": "year_high", "52l": "year_low"}
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)

touch = msgspec.json.Decoder(Touch, strict=False).decode
"""A Touch of a message; raises one of UNREADABLE."""
book = msgspec.json.Decoder(Book, strict=False).decode
"""A Book of a message; raises one of UNREADABLE."""


def words(data: str | bytes) -> dict[str, Any] | None:
    """A message as it is, whatever its kind; None when it is no JSON object."""
    try:
        found = msgspec.json.decode(data)
    except UNREADABLE:
        return None
    return found if isinstance(found, dict) else None


def clean(found: dict[str, Any]) -> tuple[Book, int]:
    """What of a tick's fields can be read, and how many others were left out."""
    book = Book(_text(found.get("t")), _text(found.get("e")), _text(found.get("tk")))
    left_out = 0
    for name in NUMBERS:
        value = found.get(name)
        if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
            continue
        number = _number(value)
        if number is None:
            left_out += 1
        else:
            told = int(number) if name in COUNTS else float(number)
            setattr(book, _ATTRIBUTES.get(name, name), told)
    book.ltt = _text(found.get("ltt")) or None
    return book, left_out


def level(price: float, quantity: int, orders: int) -> tuple[float, int, int]:
    """A level as it is shown: one without a price, or with nothing in it, is not there."""
    if price <= 0 or quantity <= 0 or price >= _AT_OPEN:
        return 0.0, 0, 0
    return price, quantity, max(orders, 0)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole and abs(value) < 2**63 else ""


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        word = value.strip()
        if not _DIGITS.issuperset(word):
            return None
        try:
            value = int(word) if word.isdigit() and len(word) < 17 else float(word)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if -_LARGEST <= value <= _LARGEST else None
