"""Dhan's books of 20 and of 200 levels, of NSE's instruments. Pure.

1. A packet begins with its length with this header (u16), its code (u8), the segment (u8), the
   security id (i32), and a number (u32): of rows in a book of 200 levels, of the message in one of
   20. Rows are a price (64-bit float), a quantity and a number of orders (u32).
2. Bids and asks come in packets of their own. A tick goes out when both sides have come again, or
   when one comes a second time and the other does not: no half book is ever published, and none is
   held back.
3. These books have no LTP, and none is made up: a symbol with `:20` or `:200` has mode Depth alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from hub.brokers.base import (
    Change,
    Event,
    Frame,
    Listing,
    Take,
)
from hub.brokers.book import Book, Level
from hub.brokers.dhan.connection import DISCONNECT, Connection, disconnected, key_of, requests
from hub.brokers.dhan.payloads import DeepBook, encode

AT_ONCE = 50
"""Instruments that one message may name, and a socket of 20 levels carry."""

_SUBSCRIBE, _UNSUBSCRIBE = 23, 24
_HEADER = 12
_BID, _ASK = 41, 51
_head = struct.Struct("<HBBiI").unpack_from
_rows = struct.Struct("<dII")


class _State:
    """Both sides of a book, None before the first; `news` are those that no tick has held yet."""

    __slots__ = ("news", "sides")

    def __init__(self) -> None:
        self.sides: dict[int, list[Level]] = {}
        self.news: set[int] = set()

    def put(self, code: int, side: list[Level]) -> bool:
        """Take one side in; whether a tick is due."""
        again = code in self.news
        self.sides[code] = side
        self.news.add(code)
        if len(self.sides) < 2:
            return False
        if len(self.news) == 2:
            self.news.clear()
            return True
        return again


class Deep(Connection):
    """A connection of deep books; `levels` is 20, and a subclass's 200."""

    levels = 20

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """A change of mode asks for nothing: there is one kind of packets."""
        wanted: list[Listing] = []
        released: list[Listing] = []
        for sub, was, to in changes:
            key = key_of(sub.listing)
            if not to:
                released.append(sub.listing)
                if self._subs.get(key) is sub:
                    del self._subs[key]
                continue
            self._subs[key] = sub
            if not was:
                sub.state = None  # what is known of it is of another connection
                wanted.append(sub.listing)
        return [*self._requests(_UNSUBSCRIBE, released), *self._requests(_SUBSCRIBE, wanted)]

    def _requests(self, code: int, listings: Sequence[Listing]) -> Iterable[Frame]:
        return requests(code, listings, AT_ONCE)

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
            length, code, _, _, number = _head(data, at)
            if not code and length < _HEADER:
                length = _HEADER
            end = at + length
            if end > size or length < _HEADER:
                self.malformed += 1
                break
            if code == DISCONNECT:
                events.append(_disconnected(data[at + 8 : end]))
            elif code in {_BID, _ASK}:
                key = data[at + 3 : at + 8]
                self._read(code, key, number, data[at + _HEADER : end], now_ms, take)
            elif code:
                self.malformed += 1
            at = end
        return events

    def _read(
        self,
        code: int,
        key: bytes,
        number: int,
        body: bytes,
        now_ms: int,
        take: Take,
    ) -> None:
        sub = self._subs.get(key)
        if sub is None or sub.mode < 3:
            return
        side = _side(body, self.rows(number))
        if side is None:
            self.malformed += 1
            return
        if sub.state is None:
            sub.state = _State()
        state: _State = sub.state
        if state.put(code, side):
            book = Book(state.sides[_BID], state.sides[_ASK])
            exchange = sub.listing.exchange
            payload = DeepBook(sub.symbol, exchange, 3, now_ms, book, self.levels)
            take(sub, 3, encode(payload), 0, 0)

    def rows(self, number: int) -> int:  # noqa: ARG002 - it numbers the message here
        """How many rows a packet has."""
        return self.levels


class Deepest(Deep):
    """A connection of one book of 200 levels."""

    levels = 200

    def _requests(self, code: int, listings: Sequence[Listing]) -> Iterable[Frame]:
        for one in listings:
            yield (
                f'{{"RequestCode": {code}, "ExchangeSegment": "{one.segment}", '
                f'"SecurityId": "{one.token}"}}'
            )

    def rows(self, number: int) -> int:
        """The header says it; there are fewer in a book that is not so deep."""
        return number


def _side(body: bytes, rows: int) -> list[Level] | None:
    """The rows of one side; None where there are fewer, more than a book has, or no numbers."""
    size = rows * _rows.size
    if rows > 200 or len(body) < size:
        return None
    side = [Level(*row) for row in _rows.iter_unpack(body[:size])]
    total = sum(level.price for level in side)
    return side if total - total == 0.0 else None


def _disconnected(rest: bytes) -> Event:
    """The reason stands behind the header, as Dhan's documentation has it, or in its last field,
    where Dhan's own SDK looks for it."""
    return disconnected(rest[4:] if len(rest) > 5 else rest)
