"""Packets of Angel One's stream, and the payloads that are made of them. Pure.

Source of the layout: Angel's documentation of WebSocket Streaming 2.0, and smartapi-python, whose
parser reads the same packets in tests/brokers/oracle/test_smartapi.py. Little-endian. Prices are
integers: hundredths of a rupee, but ten-millionths in the segment of currencies.

Source of the payloads: OpenAlgo's angel adapter. `timestamp` and `ltt` are the exchange's time in
epoch milliseconds; a packet without one has the time at which it came.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, TypeAlias

import msgspec

from hub.brokers.base import Subscription
from hub.brokers.book import Book, Level

SIZES = {1: 51, 2: 123, 3: 379, 4: 443}
"""How long a packet is at least, by its mode: LTP, Quote, snapshot, and 20 levels."""
CURRENCY = 13

_LTP = Struct("<27xqqq").unpack_from
_QUOTE = Struct("<27xqqqqqqddqqqq").unpack_from
_SNAPSHOT = Struct("<27xqqqqqqddqqqq8xq8x" + "HqqH" * 10 + "qq").unpack_from
_DEEP = Struct("<43x" + "iiH" * 40).unpack_from
_TIME = Struct("<35xq").unpack_from
_SCALES = tuple(1e7 if segment == CURRENCY else 100.0 for segment in range(256))
_FLAGS = (1, 1, 1, 1, 1, 0, 0, 0, 0, 0)
_DAY_MS = 86_400_000
_encode = msgspec.json.Encoder().encode


Tick: TypeAlias = tuple[bytes, int, int]
"""A payload, the exchange's time in epoch milliseconds (0: unknown), and its sequence number."""


class Snapshot(NamedTuple):
    """What a packet of mode 3 says beside its book; prices in rupees."""

    sequence: int
    at_ms: int
    ltp: float
    volume: int
    open: float
    high: float
    low: float
    close: float
    last_quantity: int
    average: float
    total_buy: float
    total_sell: float
    oi: int
    upper: float
    lower: float


class _Ltp(msgspec.Struct, gc=False):
    ltp: float
    ltt: int
    symbol: str
    exchange: str
    mode: int
    timestamp: int


class _Quote(msgspec.Struct, gc=False):
    ltp: float
    ltt: int
    volume: int
    open: float
    high: float
    low: float
    close: float
    last_trade_quantity: int
    average_price: float
    total_buy_quantity: float
    total_sell_quantity: float
    symbol: str
    exchange: str
    mode: int
    timestamp: int


class _Depth(msgspec.Struct, gc=False):
    ltp: float
    ltt: int
    volume: int
    open: float
    high: float
    low: float
    close: float
    last_quantity: int
    last_trade_quantity: int
    average_price: float
    total_buy_quantity: float
    total_sell_quantity: float
    oi: int
    upper_circuit: float
    lower_circuit: float
    depth: Book
    symbol: str
    exchange: str
    mode: int
    timestamp: int


def ltp(sub: Subscription, data: bytes, now_ms: int) -> Tick:
    """The tick of a packet of mode 1, 2 or 3 in mode LTP."""
    sequence, at_ms, price = _LTP(data)
    at_ms, shown_ms = _times(at_ms, now_ms)
    payload = _Ltp(
        price / _SCALES[data[1]], shown_ms, sub.symbol, sub.listing.exchange, 1, shown_ms
    )
    return _encode(payload), at_ms, sequence


def quote(sub: Subscription, data: bytes, now_ms: int) -> Tick:
    """The tick of a packet of mode 2 or 3 in mode Quote."""
    (
        sequence, at_ms, price, last, average, volume, buy, sell, opened, high, low, close,
    ) = _QUOTE(data)  # fmt: skip
    scale = _SCALES[data[1]]
    at_ms, shown_ms = _times(at_ms, now_ms)
    payload = _Quote(
        price / scale,
        shown_ms,
        volume,
        opened / scale,
        high / scale,
        low / scale,
        close / scale,
        last,
        average / scale,
        buy,
        sell,
        sub.symbol,
        sub.listing.exchange,
        2,
        shown_ms,
    )
    return _encode(payload), at_ms, sequence


def depth(sub: Subscription, data: bytes, now_ms: int) -> Tick:
    """The tick of a packet of mode 3 in mode Depth, with its five levels."""
    said, book = snapshot(data, now_ms)
    return combined(sub, said, book, said.at_ms or now_ms), said.at_ms, said.sequence


def snapshot(data: bytes, now_ms: int) -> tuple[Snapshot, Book]:
    """What a packet of mode 3 says."""
    values = _SNAPSHOT(data)
    (
        sequence, at_ms, price, last, average, volume, buy, sell, opened, high, low, close, oi,
    ) = values[:13]  # fmt: skip
    scale = _SCALES[data[1]]
    said = Snapshot(
        sequence,
        _times(at_ms, now_ms)[0],
        price / scale,
        volume,
        opened / scale,
        high / scale,
        low / scale,
        close / scale,
        last,
        average / scale,
        buy,
        sell,
        oi,
        values[-2] / scale,
        values[-1] / scale,
    )
    return said, _book(values, scale)


def deep_book(data: bytes, now_ms: int) -> tuple[Book, int]:
    """The 20 levels of a packet of mode 4, and its time in epoch milliseconds (0: unknown)."""
    values, scale = _DEEP(data), _SCALES[data[1]]
    levels = [Level(values[at + 1] / scale, values[at], values[at + 2]) for at in range(0, 120, 3)]
    return Book(levels[:20], levels[20:]), _times(_TIME(data)[0], now_ms)[0]


def combined(sub: Subscription, said: Snapshot, book: Book, shown_ms: int) -> bytes:
    """A payload of mode Depth with that book."""
    return _encode(
        _Depth(
            said.ltp,
            shown_ms,
            said.volume,
            said.open,
            said.high,
            said.low,
            said.close,
            said.last_quantity,
            said.last_quantity,
            said.average,
            said.total_buy,
            said.total_sell,
            said.oi,
            said.upper,
            said.lower,
            book,
            sub.symbol,
            sub.listing.exchange,
            3,
            shown_ms,
        )
    )


def _times(at_ms: int, now_ms: int) -> tuple[int, int]:
    """The exchange's time, 0 when it can be none, and the one to show."""
    return (at_ms, at_ms) if 0 < at_ms < now_ms + _DAY_MS else (0, now_ms)


def _book(values: tuple[int, ...], scale: float) -> Book:
    """Five levels of each side: buys stand first and are flagged 1, sells 0."""
    levels = [
        Level(values[at + 2] / scale, values[at + 1], values[at + 3]) for at in range(13, 53, 4)
    ]
    flags = values[13:53:4]
    if flags == _FLAGS:
        return Book(levels[:5], levels[5:])
    there = [
        (flag, level)
        for flag, level in zip(flags, levels, strict=True)
        if level.price or level.quantity
    ]
    return Book(
        _five([level for flag, level in there if flag]),
        _five([level for flag, level in there if not flag]),
    )


def _five(levels: list[Level]) -> list[Level]:
    return [*levels, *(Level(0.0, 0, 0) for _ in range(5))][:5]
