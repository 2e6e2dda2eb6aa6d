"""The messages of Upstox' stream, as far as they are read: their fields by number. Pure.

Source of the numbers: Upstox' published definition of its market data feed, version 3. What is not
in the table is passed over. Some things are read in another way than they are defined, and are the
same bytes: the map of feeds as a list of its entries, their keys as bytes; and a book and candles
as bytes too, to be read when somebody wants that book, or there is something new in the candles.
"""

from __future__ import annotations

from struct import Struct

from hub.brokers.protobuf import messages

INITIAL, LIVE, MARKET_INFO = 0, 1, 2
"""What a message is: a snapshot after a subscribe, an update, the state of the exchanges."""

_CLASSES = messages(
    "upstox",
    {
        "LTPC": {
            "ltp": (1, "double"),
            "ltt": (2, "int64"),
            "ltq": (3, "int64"),
            "cp": (4, "double"),
        },
        "Quote": {
            "bidQ": (1, "int64"),
            "bidP": (2, "double"),
            "askQ": (3, "int64"),
            "askP": (4, "double"),
        },
        "MarketLevel": {"bidAskQuote": (1, "repeated Quote")},
        "OHLC": {
            "interval": (1, "string"),
            "open": (2, "double"),
            "high": (3, "double"),
            "low": (4, "double"),
            "close": (5, "double"),
            "vol": (6, "int64"),
        },
        "MarketOHLC": {"ohlc": (1, "repeated OHLC")},
        "MarketFullFeed": {
            "ltpc": (1, "LTPC"),
            "marketLevel": (2, "bytes"),
            "marketOHLC": (4, "bytes"),
            "atp": (5, "double"),
            "vtt": (6, "int64"),
            "oi": (7, "double"),
            "tbq": (9, "double"),
            "tsq": (10, "double"),
        },
        "IndexFullFeed": {"ltpc": (1, "LTPC"), "marketOHLC": (2, "bytes")},
        "FullFeed": {"marketFF": (1, "MarketFullFeed"), "indexFF": (2, "IndexFullFeed")},
        "Feed": {"ltpc": (1, "LTPC"), "fullFeed": (2, "FullFeed")},
        "Entry": {"key": (1, "bytes"), "value": (2, "Feed")},
        "FeedResponse": {
            "type": (1, "int32"),
            "feeds": (2, "repeated Entry"),
            "currentTs": (3, "int64"),
        },
    },
)

FeedResponse = _CLASSES["FeedResponse"]
MarketLevel = _CLASSES["MarketLevel"]
MarketOHLC = _CLASSES["MarketOHLC"]

_DAY_BEGINS = Struct("<4sBdBdBd")
DAY_AT = 2, 2 + _DAY_BEGINS.size
"""Where `day_begins` stands in packed candles: behind the tag and the length of the first."""


def day_begins(opened: float, high: float, low: float) -> bytes:
    """What the day's candle begins with when it has these prices, as protobuf writes it: fields in
    the order of their numbers. Each trade changes what is behind it."""
    return _DAY_BEGINS.pack(b"\n\x021d", 0x11, opened, 0x19, high, 0x21, low)
