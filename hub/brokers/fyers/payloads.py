"""The payloads of Fyers' ticks. Pure.

They have the fields of OpenAlgo's adapter. Its two times of an exchange are epoch seconds,
`timestamp` is in epoch milliseconds. A payload of Depth is a quote with a book, since it serves who
holds a lower mode, too.
"""

from __future__ import annotations

import msgspec


class Level(msgspec.Struct, frozen=True, gc=False):
    """One level of a book: rupees, units, number of orders."""

    price: float
    quantity: int
    orders: int


class Book(msgspec.Struct, frozen=True, gc=False):
    """Levels, best first; those without a price are left out."""

    buy: list[Level]
    sell: list[Level]


NO_BOOK = Book([], [])


class Ltp(msgspec.Struct, gc=False):
    """The payload of LTP."""

    symbol: str
    exchange: str
    token: str
    ltp: float
    timestamp: int
    data_type: str = "LTP"
    subscription_mode: int = 1


class Quote(msgspec.Struct, gc=False):
    """The payload of Quote."""

    symbol: str
    exchange: str
    token: str
    ltp: float = 0.0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    bid_price: float = 0.0
    ask_price: float = 0.0
    bid_size: int = 0
    ask_size: int = 0
    volume: int = 0
    oi: int = 0
    upper_circuit: float = 0.0
    lower_circuit: float = 0.0
    last_traded_time: int = 0
    exchange_time: int = 0
    avg_trade_price: float = 0.0
    last_trade_quantity: int = 0
    total_buy_quantity: int = 0
    total_sell_quantity: int = 0
    change: float = 0.0
    change_percent: float = 0.0
    timestamp: int = 0
    data_type: str = "Quote"
    subscription_mode: int = 2


class Depth(Quote, gc=False):
    """The payload of Depth."""

    data_type: str = "Depth"
    subscription_mode: int = 3
    depth: Book = NO_BOOK


class DeepBook(msgspec.Struct, gc=False):
    """The payload of a book of 50 levels. `token` is Fyers' name of the instrument; `feed_time` is
    as the exchange's feed has it. There is no last price in that stream: without one `ltp` is the
    middle of the best bid and ask, as OpenAlgo's clients know it."""

    symbol: str
    exchange: str
    token: str
    ltp: float
    depth: Book
    total_buy_qty: int
    total_sell_qty: int
    timestamp: int
    feed_time: int
    data_type: str = "Depth"
    depth_levels: int = 50
    is_50_depth: bool = True
    subscription_mode: int = 3


encode = msgspec.json.Encoder().encode
