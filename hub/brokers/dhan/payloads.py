"""What is published of Dhan's ticks: the fields of OpenAlgo's adapter for it, mode by mode. Pure.

`ltt` is in epoch seconds, as clients know it, `timestamp` in epoch milliseconds. Beyond OpenAlgo's,
quotes have `oi` and `prev_close`, once they are known, and books all that quotes have: a book's
tick serves those, too, who want a quote.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hub.brokers.book import Book


class Ltp(Struct, gc=False):
    """Mode 1."""

    symbol: str
    exchange: str
    timestamp: int
    mode: int
    ltp: float
    ltt: int


class Quote(Ltp, gc=False):
    """Mode 2."""

    volume: int
    open: float
    high: float
    low: float
    close: float
    last_quantity: int
    average_price: float
    total_buy_quantity: int
    total_sell_quantity: int
    oi: int | UnsetType = UNSET
    prev_close: float | UnsetType = UNSET


class Depth(Quote, kw_only=True, gc=False):
    """Mode 3 with five levels."""

    oi_high: int
    oi_low: int
    depth: Book
    depth_level: int = 5


class DeepBook(Struct, gc=False):
    """Mode 3 with 20 levels, or 200: it has no LTP."""

    symbol: str
    exchange: str
    mode: int
    timestamp: int
    depth: Book
    depth_level: int


encode = msgspec.json.Encoder().encode
"""A payload as JSON."""
