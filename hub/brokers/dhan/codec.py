"""Dhan's live market feed (v2): binary packets, several to a frame. Pure.

1. All numbers are little-endian. A packet begins with its code (u8), its length with this header
   (u16), the segment (u8) and the security id (i32).
2. Prices are 32-bit floats: they are rounded to the listing's precision, and large ones, where a
   float has no room for it, to its tick.
3. Open interest (5) and the previous close (6) come in packets of their own and are merged with the
   quote; the day's close is 0 until the session is over, and stands in for nothing: until then
   `close` is the previous one.
4. The time of the last trade is the clock of India, written as if it were UTC.
5. A ticker, a quote or a full packet is published in its own mode, or the subscription's where that
   is lower.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import UNSET, UnsetType

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Credentials,
    Event,
    Frame,
    Listing,
    Subscription,
    Take,
)
from hub.brokers.book import Book, Level
from hub.brokers.dhan.connection import DISCONNECT, Connection, disconnected, key_of, requests
from hub.brokers.dhan.payloads import Depth, Ltp, Quote, encode

AT_ONCE = 100
"""Instruments that one message may name."""

_SUBSCRIBE = (0, 15, 17, 21)
"""Request codes by mode; to unsubscribe, one more."""
_HEADER = 8
_IST_S = 19_800
_LARGE = 65_536.0
"""From here on a 32-bit float does not tell apart what differs by less than 0.0078."""

_head = struct.Struct("<BH").unpack_from
_ticker = struct.Struct("<8xfI").unpack_from
_quote = struct.Struct("<8xfHIfIIIffff").unpack_from
_oi = struct.Struct("<8xI").unpack_from
_prev_close = struct.Struct("<8xfI").unpack_from
_full = struct.Struct("<8xfHIfIIIIIIffff" + "IIHHff" * 5).unpack_from
_IGNORED = (0, 7)  # heartbeats and acknowledgements; the market's status
_SIZES = {2: 16, 4: 50, 5: 12, 6: 16, 8: 162, DISCONNECT: _HEADER}

_Packet: TypeAlias = Callable[[Subscription, bytes, int, int, Take], bool]


class _State:
    """What is known of an instrument: what came in packets of its own, the day's close as its last
    packet had it, and its last payload of mode 2 or 3."""

    __slots__ = ("day_close", "digits", "last", "oi", "prev_close", "scale", "tick")

    def __init__(self, listing: Listing) -> None:
        self.digits = listing.precision
        self.scale = 10.0**listing.precision
        self.tick = 0.0 if listing.kind == "INDEX" else listing.tick
        self.oi: int | UnsetType = UNSET
        self.prev_close: float | UnsetType = UNSET
        self.day_close = 0.0
        self.last: Quote | None = None


class Codec(Connection):
    """The usual connection: LTP, quotes and books of five levels."""

    query = (("version", "2"),)

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        super().__init__(credentials, addresses)
        self._packets: dict[int, _Packet] = {
            2: _take_ticker,
            4: _take_quote,
            5: _take_oi,
            6: _take_prev_close,
            8: _take_full,
        }

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """What was asked for in another mode is taken back first."""
        asked: dict[int, list[Listing]] = {}
        for sub, was, to in changes:
            key = key_of(sub.listing)
            if sub.state and not was:
                sub.state.last = None  # it is of another connection
            if to:
                self._subs[key] = sub
                asked.setdefault(_SUBSCRIBE[to], []).append(sub.listing)
            elif self._subs.get(key) is sub:
                del self._subs[key]
            if was and was != to:
                asked.setdefault(_SUBSCRIBE[was] + 1, []).append(sub.listing)
        codes = sorted(asked, key=lambda code: (code in _SUBSCRIBE, code))
        return [frame for code in codes for frame in requests(code, asked[code], AT_ONCE)]

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one frame, packet by packet."""
        if isinstance(data, str):
            self.malformed += 1
            return ()
        events: list[Event] = []
        at, size = 0, len(data)
        while at < size:
            if size - at < _HEADER:
                self.malformed += 1
                break
            code, length = _head(data, at)
            if not code and length < _HEADER:
                length = _HEADER
            end = at + length
            if end > size or length < _HEADER:
                self.malformed += 1
                break
            if code not in _IGNORED:
                if length < _SIZES.get(code, 1 << 16):
                    self.malformed += 1
                elif code == DISCONNECT:
                    events.append(disconnected(data[at + _HEADER : end]))
                else:
                    self._read(code, data, at, now_ms, take, events)
            at = end
        return events

    def _read(
        self, code: int, data: bytes, at: int, now_ms: int, take: Take, events: list[Event]
    ) -> None:
        sub = self._subs.get(data[at + 3 : at + 8])
        if sub is None or not sub.mode:
            return
        if sub.state is None:
            sub.state = _State(sub.listing)
        if not self._packets[code](sub, data, at, now_ms, take):
            self.malformed += 1
        elif code in {5, 6} and sub.waits:
            events.append(Confirmed(sub))


# Each of these reads one packet, and tells whether its prices are numbers.


def _take_ticker(sub: Subscription, data: bytes, at: int, now_ms: int, take: Take) -> bool:
    ltp, ltt = _ticker(data, at)
    if ltp - ltp != 0.0:
        return False
    _take_ltp(sub, _rounded(ltp, sub.state), _utc(ltt), now_ms, take)
    return True


def _take_ltp(sub: Subscription, ltp: float, ltt: int, now_ms: int, take: Take) -> None:
    payload = Ltp(sub.symbol, sub.listing.exchange, now_ms, 1, ltp, ltt)
    take(sub, 1, encode(payload), ltt * 1000, 0)


def _take_quote(sub: Subscription, data: bytes, at: int, now_ms: int, take: Take) -> bool:
    ltp, ltq, ltt, average, volume, sell, buy, first, close, high, low = _quote(data, at)
    total = ltp + average + first + close + high + low
    if total - total != 0.0:
        return False
    state: _State = sub.state
    ltt = _utc(ltt)
    if ltp < _LARGE or not state.tick:
        scale = state.scale  # `_rounded`, written out: this is where most time goes
        ltp = (ltp * scale + 0.5) // 1 / scale
        first = (first * scale + 0.5) // 1 / scale
        high = (high * scale + 0.5) // 1 / scale
        low = (low * scale + 0.5) // 1 / scale
        average = (average * scale + 0.5) // 1 / scale
        close = close and (close * scale + 0.5) // 1 / scale
    else:
        ltp, first, high, low, close = (_rounded(x, state) for x in (ltp, first, high, low, close))
        average = round(average, state.digits)
    if sub.mode == 1:
        _take_ltp(sub, ltp, ltt, now_ms, take)
        return True
    state.day_close = close
    previous = state.prev_close
    state.last = payload = Quote(
        sub.symbol, sub.listing.exchange, now_ms, 2, ltp, ltt, volume, first, high, low,
        close or previous or 0.0, ltq, average, buy, sell, state.oi, previous,
    )  # fmt: skip
    take(sub, 2, encode(payload), ltt * 1000, 0)
    return True


def _take_full(sub: Subscription, data: bytes, at: int, now_ms: int, take: Take) -> bool:
    values = _full(data, at)
    ltp, ltq, ltt, average, volume, sell, buy, oi, oi_high, oi_low, first, close, high, low = (
        values[:14]
    )
    total = ltp + average + first + close + high + low + sum(values[18::6]) + sum(values[19::6])
    if total - total != 0.0:
        return False
    state: _State = sub.state
    ltt = _utc(ltt)
    ltp, first, high, low, close = (_rounded(x, state) for x in (ltp, first, high, low, close))
    if sub.mode == 1:
        _take_ltp(sub, ltp, ltt, now_ms, take)
        return True
    state.day_close, state.oi = close, oi
    previous = state.prev_close
    common = (
        sub.symbol, sub.listing.exchange, now_ms, sub.mode, ltp, ltt, volume, first, high, low,
        close or previous or 0.0, ltq, round(average, state.digits), buy, sell, oi, previous,
    )  # fmt: skip
    if sub.mode == 2:
        state.last = Quote(*common)
    else:
        book = _book(values, state)
        state.last = Depth(*common, oi_high=oi_high, oi_low=oi_low, depth=book)
    take(sub, sub.mode, encode(state.last), ltt * 1000, 0)
    return True


def _book(values: Sequence[Any], state: _State) -> Book:
    """Both sides, of what stands for five levels one after another."""
    bids, asks, scale = values[18::6], values[19::6], state.scale
    if state.tick and max(asks) >= _LARGE:
        bids, asks = ([_rounded(x, state) for x in side] for side in (bids, asks))
    return Book(
        [
            Level((price * scale + 0.5) // 1 / scale, quantity, orders)
            for price, quantity, orders in zip(bids, values[14::6], values[16::6], strict=True)
        ],
        [
            Level((price * scale + 0.5) // 1 / scale, quantity, orders)
            for price, quantity, orders in zip(asks, values[15::6], values[17::6], strict=True)
        ],
    )


def _take_oi(sub: Subscription, data: bytes, at: int, now_ms: int, take: Take) -> bool:
    (oi,) = _oi(data, at)
    state: _State = sub.state
    if oi != state.oi:
        state.oi = oi
        if state.last:
            state.last.oi = oi
            _take_again(sub, state.last, now_ms, take)
    return True


def _take_prev_close(sub: Subscription, data: bytes, at: int, now_ms: int, take: Take) -> bool:
    price, _ = _prev_close(data, at)
    if price - price != 0.0:
        return False
    state: _State = sub.state
    previous = _rounded(price, state)
    if previous != state.prev_close:
        state.prev_close = previous
        if state.last:
            state.last.prev_close = previous
            state.last.close = state.day_close or previous
            _take_again(sub, state.last, now_ms, take)
    return True


def _take_again(sub: Subscription, last: Quote, now_ms: int, take: Take) -> None:
    """What came beside the quote changes what was published of it."""
    if last.mode <= sub.mode:
        last.timestamp = now_ms
        take(sub, last.mode, encode(last), last.ltt * 1000, 0)


def _rounded(price: float, state: _State) -> float:
    if state.tick and price >= _LARGE:
        return round((price / state.tick + 0.5) // 1 * state.tick, state.digits)
    return (price * state.scale + 0.5) // 1 / state.scale


def _utc(ltt: int) -> int:
    """Epoch seconds of what Dhan sends; 0, before any trade, stays 0."""
    return ltt - _IST_S if ltt > _IST_S else 0
