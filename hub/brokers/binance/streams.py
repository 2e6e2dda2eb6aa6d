"""What the streams of Binance say of a symbol, and what is published of it. Pure.

1. A symbol is three streams at most, and each mode's are chosen so that what a trader looks at is
   quick and what is not is cheap: every trade (`aggTrade`: one message for one order that trades,
   however many it meets), each second the figures of 24 hours (`ticker`), and for a quote the best
   bid and ask as they change (`bookTicker`), for a book five levels ten times a second.
2. Best bids and asks change many times for once that a price does. A quote goes out when one of the
   prices has changed; changed quantities go with the next tick, which comes within a second.
3. Which price is the last one is told by the number of the trade: a `ticker` that was made before a
   trade was seen changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct, field

from hub.brokers.base import Subscription, Take
from hub.brokers.binance.payloads import Book, Depth, Level, Ltp, Quote, encode

TRADE, DAY, BEST, BOOK = "aggTrade", "ticker", "bookTicker", "depth5@100ms"
STREAMS = ((), (TRADE, DAY), (TRADE, DAY, BEST), (TRADE, DAY, BOOK))
"""The streams of a symbol, by mode."""

Reader: TypeAlias = Callable[[Subscription, Raw, int, Take], None]


class _Trade(Struct, gc=False):
    p: str
    q: str
    l: int  # noqa: E741 - Binance's name of the last trade's number
    T: int


class _Day(Struct, gc=False):
    c: str
    Q: str
    x: str
    w: str
    o: str
    h: str
    low: str = field(name="l")
    v: str
    b: str
    B: str
    a: str
    A: str
    E: int
    L: int


class _Best(Struct, gc=False):
    b: str
    B: str
    a: str
    A: str


class _Levels(Struct, gc=False):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_trade = msgspec.json.Decoder(_Trade).decode
_day = msgspec.json.Decoder(_Day).decode
_best = msgspec.json.Decoder(_Best).decode
_levels = msgspec.json.Decoder(_Levels).decode


class State:
    """What is known of a symbol; `at_ms` is when the newest of it was made, `trade` the number of
    its last trade, `book` as it is published; `day` tells whether the figures of 24 hours are
    known."""

    __slots__ = (
        "ask", "ask_qty", "at_ms", "average", "bid", "bid_qty", "book", "buying", "close", "day",
        "high",
        "low", "ltp", "ltt", "open", "quantity", "selling", "trade", "volume",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ltp = self.quantity = self.bid = self.bid_qty = self.ask = self.ask_qty = 0.0
        self.open = self.high = self.low = self.close = self.volume = self.average = 0.0
        self.at_ms = self.ltt = 0
        self.trade = -1
        self.day = False
        self.book: Raw | None = None
        self.buying = self.selling = 0.0


# Each of these reads what one kind of stream says, merges it, and publishes what has become
# new. They raise ValueError or msgspec's errors for what cannot be read.


def _read_trade(sub: Subscription, raw: Raw, now_ms: int, take: Take) -> None:
    trade = _trade(raw)
    state: State = sub.state
    price, quantity = float(trade.p), float(trade.q)
    total = price + quantity
    if total - total != 0.0:
        raise ValueError(trade.p)
    if trade.l <= state.trade:
        return
    state.trade, state.ltp, state.quantity, state.ltt = trade.l, price, quantity, trade.T
    state.at_ms = max(state.at_ms, trade.T)
    _publish(sub, state, now_ms, take)


def _read_day(sub: Subscription, raw: Raw, now_ms: int, take: Take) -> None:
    day = _day(raw)
    state: State = sub.state
    last, last_quantity, *prices, volume, bid, bid_qty, ask, ask_qty = _numbers(
        day.c, day.Q, day.o, day.h, day.low, day.x, day.w, day.v, day.b, day.B, day.a, day.A
    )
    state.open, state.high, state.low, state.close, state.average = prices
    state.volume, state.day = volume, True
    state.at_ms = max(state.at_ms, day.E)
    if state.trade < day.L:
        state.trade, state.ltp, state.quantity = day.L, last, last_quantity
    if sub.mode < 2 or not state.bid + state.ask:
        state.bid, state.bid_qty, state.ask, state.ask_qty = bid, bid_qty, ask, ask_qty
    _publish(sub, state, now_ms, take)


def _read_best(sub: Subscription, raw: Raw, now_ms: int, take: Take) -> None:
    best = _best(raw)
    state: State = sub.state
    bid, bid_qty, ask, ask_qty = _numbers(best.b, best.B, best.a, best.A)
    news = bid != state.bid or ask != state.ask
    state.bid, state.bid_qty, state.ask, state.ask_qty = bid, bid_qty, ask, ask_qty
    if news and state.day and sub.mode > 1:
        _publish(sub, state, now_ms, take)


def _read_book(sub: Subscription, raw: Raw, now_ms: int, take: Take) -> None:
    levels = _levels(raw)
    state: State = sub.state
    buy, sell = _side(levels.bids), _side(levels.asks)
    state.book = Raw(encode(Book(buy, sell)))
    state.buying = sum(level.quantity for level in buy)
    state.selling = sum(level.quantity for level in sell)
    state.bid, state.bid_qty = (buy[0].price, buy[0].quantity) if buy else (0.0, 0.0)
    state.ask, state.ask_qty = (sell[0].price, sell[0].quantity) if sell else (0.0, 0.0)
    if state.day and sub.mode > 2:
        _publish(sub, state, now_ms, take)


READERS: dict[str, Reader] = {
    TRADE: _read_trade,
    DAY: _read_day,
    BEST: _read_best,
    BOOK: _read_book,
}


def _publish(sub: Subscription, state: State, now_ms: int, take: Take) -> None:
    """What is known, in the highest mode that is wanted and that it suffices for."""
    symbol, exchange = sub.symbol, sub.listing.exchange
    mode = sub.mode if state.book is not None else min(sub.mode, 2)
    if mode == 1 or not state.day:
        ltp = Ltp(state.ltp, state.ltt, state.quantity, symbol, exchange, 1, now_ms)
        take(sub, 1, encode(ltp), state.at_ms, 0)
        return
    common = (
        state.ltp, state.ltt, state.quantity, state.open, state.high, state.low, state.close,
        state.volume, state.average, state.bid, state.bid_qty, state.ask, state.ask_qty,
        symbol, exchange, mode, now_ms,
    )  # fmt: skip
    if mode == 2 or state.book is None:
        take(sub, mode, encode(Quote(*common)), state.at_ms, 0)
        return
    depth = Depth(*common, state.book, state.buying, state.selling)
    take(sub, mode, encode(depth), state.at_ms, 0)


def _numbers(*texts: str) -> list[float]:
    """What Binance writes as text. Raises ValueError for what is no finite number."""
    values = [float(text) for text in texts]
    total = sum(values)
    if total - total != 0.0:
        raise ValueError(texts)
    return values


def _side(rows: Sequence[tuple[str, str]]) -> list[Level]:
    values = _numbers(*(text for row in rows[:5] for text in row))
    return [
        Level(price, quantity) for price, quantity in zip(values[::2], values[1::2], strict=True)
    ]
