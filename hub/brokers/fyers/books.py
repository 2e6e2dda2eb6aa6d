"""One book of 50 levels at Fyers. Pure.

The first packet after a subscription, and each that calls itself a snapshot, is the whole book;
the others name the levels that have changed, and of those only what has. A level without a price
is none. Neither is a time that is more than a day ahead.
"""

from __future__ import annotations

from typing import Any

from hub.brokers.base import Subscription, Take
from hub.brokers.fyers.payloads import Book, DeepBook, Level, encode
from hub.brokers.fyers.values import DAY_MS

LEVELS = 50


class Deep:
    """The book of one subscription; `begun` when a packet has come on this connection."""

    __slots__ = ("_asks", "_bids", "_buying", "_feed_time", "_ltp", "_selling", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._clear()

    def __repr__(self) -> str:
        return f"<Deep book of {len(_levels(self._bids))} bids, {len(_levels(self._asks))} asks>"

    def _clear(self) -> None:
        self._bids: list[list[int]] = [[0, 0, 0] for _ in range(LEVELS)]
        self._asks: list[list[int]] = [[0, 0, 0] for _ in range(LEVELS)]
        self._buying = self._selling = self._feed_time = 0
        self._ltp: float | None = None

    def merge(self, feed: Any, *, whole: bool) -> int:
        """Put what a packet says in its place; gives how many levels could not be read."""
        if whole or not self.begun:
            self._clear()
        self.begun = True
        depth = feed.depth
        if depth.HasField("tbq"):
            self._buying = depth.tbq.value
        if depth.HasField("tsq"):
            self._selling = depth.tsq.value
        if feed.HasField("feed_time"):
            self._feed_time = feed.feed_time.value
        if feed.quote.HasField("ltp"):
            self._ltp = feed.quote.ltp.value / 100
        return _merge(self._bids, depth.bids) + _merge(self._asks, depth.asks)

    def publish(self, sub: Subscription, sequence: int, now_ms: int, take: Take) -> None:
        """Hand out one tick."""
        book = Book(_levels(self._bids), _levels(self._asks))
        at_ms = epoch_ms(self._feed_time)
        if at_ms >= now_ms + DAY_MS:
            at_ms = 0
        listing = sub.listing
        tick = DeepBook(
            sub.symbol,
            listing.exchange,
            listing.broker_symbol,
            self._price(book),
            book,
            self._buying,
            self._selling,
            at_ms or now_ms,
            self._feed_time,
        )
        take(sub, 3, encode(tick), at_ms, sequence)

    def _price(self, book: Book) -> float:
        if self._ltp is not None:
            return self._ltp
        best = [side[0].price for side in (book.buy, book.sell) if side]
        return round(sum(best) / len(best), 4) if best else 0.0


def epoch_ms(time: int) -> int:
    """A time in epoch seconds, milli-, micro- or nanoseconds, as its size tells; 0 stays 0."""
    for more_than, factor in ((10**17, 10**6), (10**14, 10**3), (10**11, 1)):
        if time >= more_than:
            return time // factor
    return time * 1000


def _merge(side: list[list[int]], levels: Any) -> int:
    bad = 0
    for level in levels:
        where = level.num.value
        if not level.HasField("num") or where >= LEVELS:
            bad += 1
            continue
        kept = side[where]
        if level.HasField("price"):
            kept[0] = level.price.value
        if level.HasField("qty"):
            kept[1] = level.qty.value
        if level.HasField("nord"):
            kept[2] = level.nord.value
    return bad


def _levels(side: list[list[int]]) -> list[Level]:
    return [Level(price / 100, quantity, orders) for price, quantity, orders in side if price]
