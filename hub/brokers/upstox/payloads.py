"""What a tick of Upstox' says to clients: the fields of OpenAlgo's adapter. Pure.

One tick serves the holders of all lower modes too. So Quote has also what LTP says, and Depth what
both say; open interest, which that adapter leaves out, stands in both.
"""

from __future__ import annotations

import msgspec


class Level(msgspec.Struct, gc=False):
    """One level of a book. Upstox does not tell the number of orders."""

    price: float = 0.0
    quantity: int = 0
    orders: int = 0


class Book(msgspec.Struct, gc=False):
    """Both sides of a book, best first, and the time of the message in epoch milliseconds."""

    buy: list[Level]
    sell: list[Level]
    timestamp: int = 0


class Ltp(msgspec.Struct, gc=False):
    """A tick in mode LTP. `ltt` is in epoch milliseconds, `cp` the close of the day before."""

    symbol: str
    exchange: str
    token: str
    ltp: float
    ltq: int
    ltt: int
    cp: float


class Quote(msgspec.Struct, gc=False):
    """A tick in mode Quote; in mode Depth, where it has a `depth`. `close` is that of the day
    before, as is `cp`; `timestamp` is the time of the message."""

    symbol: str
    exchange: str
    token: str
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    ltp: float = 0.0
    last_trade_quantity: int = 0
    volume: int = 0
    average_price: float = 0.0
    total_buy_quantity: int = 0
    total_sell_quantity: int = 0
    timestamp: int = 0
    oi: int = 0
    ltq: int = 0
    ltt: int = 0
    cp: float = 0.0
    depth: Book | msgspec.UnsetType = msgspec.UNSET
