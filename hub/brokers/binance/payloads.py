"""What is published of Binance's ticks: the fields of OpenAlgo's adapter for crypto, mode by mode.
Pure.

Times are in epoch milliseconds, quantities in the base asset, with decimals. `open`, `high`, `low`
and `volume` are of the last 24 hours, `close` is the price before them, so that a change is
`ltp - close` as with other brokers. Binance does not tell how many orders a level is of: `orders`
is 0.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Ltp(Struct, gc=False):
    """Mode 1."""

    ltp: float
    ltt: int
    last_quantity: float
    symbol: str
    exchange: str
    mode: int
    timestamp: int


class Level(Struct, gc=False):
    """One price of a book."""

    price: float
    quantity: float
    orders: int = 0


class Book(Struct, gc=False):
    """Both sides, best first."""

    buy: list[Level]
    sell: list[Level]


class Quote(Struct, gc=False):
    """Mode 2."""

    ltp: float
    ltt: int
    last_quantity: float
    open: float
    high: float
    low: float
    close: float
    volume: float
    average_price: float
    bid_price: float
    bid_qty: float
    ask_price: float
    ask_qty: float
    symbol: str
    exchange: str
    mode: int
    timestamp: int


class Depth(Quote, gc=False):
    """Mode 3; `depth` is a Book that is JSON already: most ticks change nothing of it."""

    depth: msgspec.Raw
    totalbuyqty: float
    totalsellqty: float
    depth_level: int = 5


encode = msgspec.json.Encoder().encode
"""A payload as JSON."""
