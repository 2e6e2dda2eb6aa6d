"""What is known of an instrument at Upstox, and how an update is merged into it. Pure.

1. A message within a message that is absent leaves unchanged what it would have said.
2. A number has no such absence: zero may be "not sent". So zero changes nothing, unless the update
   is a snapshot; totals of both sides count as sent when either is.
3. A number that is none, or out of all proportion, changes nothing.
4. Values are kept as the payload of a tick, so that nothing is copied to tell it.
"""

from __future__ import annotations

from typing import Any

from hub.brokers.base import Subscription
from hub.brokers.upstox import wire
from hub.brokers.upstox.payloads import Book, Level, Quote

_MOST = 1e15
"""No quantity is as large."""
_EMPTY = Level()
_DAY_AT = slice(*wire.DAY_AT)


class State:
    """The merged values of one instrument.

    `priced` tells whether a price is known, `full` whether a full feed has come since it was asked
    for, `counted` whether the day's volume has come by itself (else it is that of the day's
    candle). `book` is the last book: as it is told, or packed while nobody wants it. `day` is
    what candles begin with while the day's open, high and low stay as they are; None while
    candles have to be read, however they begin.
    """

    __slots__ = ("book", "counted", "day", "full", "index", "priced", "quote")

    def __init__(self, sub: Subscription) -> None:
        listing = sub.listing
        self.index = listing.exchange.endswith("_INDEX")
        self.quote = Quote(sub.symbol, listing.exchange, listing.token)
        self.priced = self.full = self.counted = False
        self.book: Book | bytes | None = None
        self.day: bytes | None = None

    def __repr__(self) -> str:
        return f"<State ltp {self.quote.ltp} volume {self.quote.volume}>"

    def forget(self) -> None:
        """The instrument is asked for anew: of what only a full feed says nothing is current."""
        self.full = False
        self.book = None

    def take(self, feed: Any, levels: int, *, snapshot: bool) -> None:
        """Merge what a message says of the instrument. Candles that cannot be read raise
        DecodeError."""
        if not feed.HasField("fullFeed"):
            self._take_ltpc(feed.ltpc)  # all zero when it is absent, so it changes nothing
            return
        full = feed.fullFeed
        self.full = True
        if self.index and full.HasField("indexFF"):
            inner = full.indexFF
            self.book = self.book or Book([_EMPTY] * levels, [_EMPTY] * levels)
        else:
            inner = full.marketFF
            if snapshot:
                self._clear()
            self._take_market(inner)
        self._take_ltpc(inner.ltpc)
        candles = inner.marketOHLC
        if candles and candles[_DAY_AT] != self.day:
            self._take_day(candles)

    def _take_ltpc(self, ltpc: Any) -> None:
        quote, price, close = self.quote, ltpc.ltp, ltpc.cp
        if price and price - price == 0:  # neither infinite nor no number
            quote.ltp = price
            self.priced = True
        if close != quote.cp and close and close - close == 0:
            quote.cp = quote.close = close
        if time_ms := ltpc.ltt:
            quote.ltt = time_ms
        if quantity := ltpc.ltq:
            quote.ltq = quote.last_trade_quantity = quantity

    def _take_day(self, candles: bytes) -> None:
        """Those of minutes are passed over."""
        quote = self.quote
        self.day = None
        for candle in wire.MarketOHLC.FromString(candles).ohlc:
            if candle.interval == "1d":
                prices = candle.open, candle.high, candle.low
                total = sum(prices)
                if total - total == 0:
                    quote.open, quote.high, quote.low = prices
                if self.counted:
                    self.day = wire.day_begins(*prices)
                elif volume := candle.vol:
                    quote.volume = volume
                break

    def _take_market(self, market: Any) -> None:
        quote, average, interest = self.quote, market.atp, market.oi
        buys, sells = market.tbq, market.tsq
        if level := market.marketLevel:
            self.book = level
        if average and average - average == 0:
            quote.average_price = average
        if volume := market.vtt:
            quote.volume = volume
            self.counted = True
        if interest != quote.oi and 0 < interest < _MOST:
            quote.oi = int(interest)
        if 0 < buys + sells < _MOST and buys >= 0 <= sells:
            quote.total_buy_quantity = int(buys)
            quote.total_sell_quantity = int(sells)

    def _clear(self) -> None:
        """In a snapshot, what is zero is zero."""
        quote = self.quote
        quote.average_price = 0.0
        quote.volume = quote.oi = quote.total_buy_quantity = quote.total_sell_quantity = 0
        self.counted = False
        self.day = None

    def unpacked(self, levels: int) -> Book | None:
        """The book, with that many levels; None while it is not known. One that cannot be read
        raises DecodeError, and is forgotten."""
        book = self.book
        if isinstance(book, bytes):
            self.book = None
            book = self.book = _read_book(book, levels)
        return book


def _read_book(packed: bytes, levels: int) -> Book:
    quotes = wire.MarketLevel.FromString(packed).bidAskQuote[:levels]
    buy = [Level(quote.bidP, quote.bidQ) for quote in quotes]
    sell = [Level(quote.askP, quote.askQ) for quote in quotes]
    missing = [_EMPTY] * (levels - len(quotes))
    return Book(buy + missing, sell + missing)
