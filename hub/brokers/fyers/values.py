"""What is known of one instrument at Fyers, and the payloads made of it. Pure.

1. Updates name what has changed; a snapshot names all there is, and what it leaves out is 0.
2. A price is its figure divided by 10^precision x multiplier, as the topic's snapshot has them.
3. Quantities are 32 bits wide and wrap into the negative: they are read without a sign.

Payloads have the fields of OpenAlgo's adapter; the two times of an exchange are epoch seconds in
it, `timestamp` is in epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from hub.brokers.base import Subscription, Take

NONE: Final = -(2**31)
"""What stands for a value that has not changed, or that there is none of."""
QUOTE_FIELDS, INDEX_FIELDS, BOOK_FIELDS = 21, 6, 30
_U32: Final = 0xFFFFFFFF
_encode = msgspec.json.Encoder().encode


class Level(msgspec.Struct):
    """One level of a book: rupees, units, number of orders."""

    price: float
    quantity: int
    orders: int


class Book(msgspec.Struct):
    """Levels, best first; those without a price are left out."""

    buy: list[Level]
    sell: list[Level]


class Ltp(msgspec.Struct):
    """The payload of LTP."""

    symbol: str
    exchange: str
    token: str
    ltp: float
    timestamp: int
    data_type: str = "LTP"
    subscription_mode: int = 1


class Quote(msgspec.Struct):
    """The payload of Quote."""

    symbol: str
    exchange: str
    token: str
    ltp: float
    open: float
    high: float
    low: float
    close: float
    bid_price: float
    ask_price: float
    bid_size: int
    ask_size: int
    volume: int
    oi: int
    upper_circuit: float
    lower_circuit: float
    last_traded_time: int
    exchange_time: int
    avg_trade_price: float
    last_trade_quantity: int
    total_buy_quantity: int
    total_sell_quantity: int
    change: float
    change_percent: float
    timestamp: int
    data_type: str = "Quote"
    subscription_mode: int = 2


class Depth(Quote):
    """The payload of Depth: a quote with the book, for who holds a lower mode is served by it."""

    data_type: str = "Depth"
    subscription_mode: int = 3
    depth: Book = msgspec.field(default_factory=lambda: Book([], []))


_Q = TypeVar("_Q", bound=Quote)


class State:
    """The values of one instrument, as they came: `quote` is of its quote or index topic, `book` of
    its depth topic; `quote` begins with NONE while no price is known. `quoted` and `booked` tell
    whether a snapshot has come on this connection."""

    __slots__ = ("book", "book_scale", "booked", "index", "quote", "quote_scale", "quoted")

    def __init__(self, *, index: bool) -> None:
        self.index = index
        self.quote = [0] * (INDEX_FIELDS if index else QUOTE_FIELDS)
        self.quote[0] = NONE
        self.book = [0] * BOOK_FIELDS
        self.quote_scale = self.book_scale = 1
        self.quoted = self.booked = False

    def __repr__(self) -> str:
        parts = (("quote", self.quoted), ("book", self.booked))
        return f"<State of {' and '.join(name for name, has in parts if has) or 'nothing'}>"

    def complete(self, mode: int) -> bool:
        """Whether snapshots of all that this mode needs have come."""
        return self.quoted and (mode < 3 or self.booked or self.index)


def reset(values: list[int], snapshot: Sequence[int]) -> None:
    """Put a snapshot in the place of all values."""
    size = len(values)
    known = [0 if value == NONE else value for value in snapshot[:size]]
    values[:] = known + [0] * (size - len(known))


def merge(values: list[int], update: Sequence[int]) -> None:
    """Put what has changed in its place."""
    if NONE in update or len(update) > len(values):
        values[: len(update)] = [
            old if new == NONE else new for new, old in zip(update, values, strict=False)
        ]
    else:
        values[: len(update)] = update


def publish(sub: Subscription, now_ms: int, take: Take) -> None:
    """Hand out one tick, in the highest mode that is wanted and there is all of. Nothing as long as
    there is no price, or a new subscription to Depth has no book yet."""
    state: State = sub.state
    mode = sub.mode
    if not mode or not state.quoted or state.quote[0] == NONE:
        return
    if mode == 3 and not (state.booked or state.index):
        if sub.waits:
            return
        mode = 2
    fed_s = state.quote[2 if state.index else 3]
    at_ms = (fed_s & _U32) * 1000
    if mode == 1:
        listing = sub.listing
        ltp = state.quote[0] / state.quote_scale
        tick: Ltp | Quote = Ltp(sub.symbol, listing.exchange, listing.token, ltp, at_ms or now_ms)
    elif state.index:
        tick = _of_index(sub, Quote if mode == 2 else Depth, at_ms or now_ms)
    elif mode == 2:
        tick = _of_contract(sub, Quote, at_ms or now_ms)
    else:
        deep = _of_contract(sub, Depth, at_ms or now_ms)
        deep.depth = _book(state.book, state.book_scale)
        tick = deep
    take(sub, mode, _encode(tick), at_ms, 0)


def _of_contract(sub: Subscription, payload: type[_Q], timestamp: int) -> _Q:
    state: State = sub.state
    (
        ltp, volume, traded_s, fed_s, bid_size, ask_size, bid, ask, quantity, buying, selling,
        average, oi, low, high, _, _, lower, upper, opened, close,
    ) = state.quote  # fmt: skip
    scale = state.quote_scale
    listing = sub.listing
    return payload(
        sub.symbol,
        listing.exchange,
        listing.token,
        ltp / scale,
        opened / scale,
        high / scale,
        low / scale,
        close / scale,
        bid / scale,
        ask / scale,
        bid_size & _U32,
        ask_size & _U32,
        volume & _U32,
        oi & _U32,
        upper / scale,
        lower / scale,
        traded_s & _U32,
        fed_s & _U32,
        average / scale,
        quantity & _U32,
        buying & _U32,
        selling & _U32,
        (ltp - close) / scale if close else 0.0,
        round((ltp - close) / close * 100, 4) if close else 0.0,
        timestamp,
    )


def _of_index(sub: Subscription, payload: type[_Q], timestamp: int) -> _Q:
    state: State = sub.state
    ltp, close, fed_s, high, low, opened = state.quote
    scale = state.quote_scale
    listing = sub.listing
    return payload(
        symbol=sub.symbol,
        exchange=listing.exchange,
        token=listing.token,
        ltp=ltp / scale,
        open=opened / scale,
        high=high / scale,
        low=low / scale,
        close=close / scale,
        last_traded_time=fed_s & _U32,
        exchange_time=fed_s & _U32,
        change=(ltp - close) / scale if close else 0.0,
        change_percent=round((ltp - close) / close * 100, 4) if close else 0.0,
        timestamp=timestamp,
        bid_price=0.0,
        ask_price=0.0,
        bid_size=0,
        ask_size=0,
        volume=0,
        oi=0,
        upper_circuit=0.0,
        lower_circuit=0.0,
        avg_trade_price=0.0,
        last_trade_quantity=0,
        total_buy_quantity=0,
        total_sell_quantity=0,
    )


def _book(book: list[int], scale: int) -> Book:
    return Book(
        [
            Level(price / scale, quantity & _U32, orders & _U32)
            for price, quantity, orders in zip(book[0:5], book[10:15], book[20:25], strict=True)
            if price
        ],
        [
            Level(price / scale, quantity & _U32, orders & _U32)
            for price, quantity, orders in zip(book[5:10], book[15:20], book[25:30], strict=True)
            if price
        ],
    )
