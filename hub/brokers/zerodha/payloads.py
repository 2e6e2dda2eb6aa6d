"""What a tick of Zerodha's says to clients: the fields of OpenAlgo's adapter. Pure."""

from __future__ import annotations

import msgspec

from hub.brokers.book import Book


class Ltp(msgspec.Struct, gc=False):
    """A tick in mode LTP. In all of these `timestamp` is in epoch milliseconds, and `ltt`, which
    is that of the packet where no trade's is told, in epoch seconds."""

    symbol: str
    exchange: str
    mode: str
    ltp: float
    ltt: int
    timestamp: int


class Index(Ltp, gc=False):
    """A tick of an index, in Quote and Depth alike: it has neither trades nor a book."""

    volume: int
    price_change: float
    price_change_percent: float
    open: float
    high: float
    low: float
    close: float


class Quote(Ltp, gc=False):
    """A tick in mode Quote."""

    volume: int
    last_quantity: int
    average_price: float
    total_buy_quantity: int
    total_sell_quantity: int
    open: float
    high: float
    low: float
    close: float


class Full(Quote, gc=False):
    """A tick in mode Depth. Open interest has two names, as in OpenAlgo."""

    oi: int
    open_interest: int
    depth: Book
