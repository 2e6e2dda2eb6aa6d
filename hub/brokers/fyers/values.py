"""What is known of one instrument at Fyers. Pure.

1. An update names what has changed; a snapshot names all there is, and what it leaves out is 0.
2. A price is its figure divided by 10^precision x multiplier, as the topic's snapshot has them.
3. Quantities are 32 bits wide and wrap into the negative: they are read without a sign.
4. One tick for each entry that has come, in the highest mode that is wanted and there is all of.
5. A time of the exchange that is more than a day ahead is none: nothing later would pass for newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hub.brokers.base import Subscription, Take
from hub.brokers.fyers.payloads import NO_BOOK, Book, Depth, Level, Ltp, Quote, encode

NONE: Final = -(2**31)
"""What stands for a value that has not changed, or that there is none of."""

_CONTRACT: Final = tuple(at in {0, 6, 7, 11, *range(13, 21)} for at in range(21))
"""Which figures of a quote are prices. In order: last price, volume, times of the last trade and of
this, sizes of bid and ask, bid, ask, last quantity, totals to buy and to sell, average price, open
interest, low, high, high and low of the year, circuits (lower, upper), open, previous close."""
_INDEX: Final = (True, True, False, True, True, True)
"""Of an index: last value, previous close, time, high, low, open."""
DAY_MS: Final = 86_400_000
_BOOK: Final = 30
"""A book has five of each: bids, asks, sizes of bids and of asks, their orders."""


_Q = TypeVar("_Q", bound=Quote)


class State:
    """The values of one instrument, which outlive a connection. `quoted` and `booked` tell whether
    a snapshot of its quote and of its book has come on this one."""

    __slots__ = (
        "_book",
        "_book_figures",
        "_book_scale",
        "_change",
        "_close",
        "_compared",
        "_figures",
        "_ltp",
        "_percent",
        "_prices",
        "_scale",
        "booked",
        "index",
        "quoted",
    )

    def __init__(self, *, index: bool) -> None:
        self.index = index
        self.quoted = self.booked = False
        self._prices = _INDEX if index else _CONTRACT
        self._figures: list[Any] = [0] * len(self._prices)
        self._book_figures: list[int] = []
        self._scale = self._book_scale = 1
        self._ltp, self._close, self._compared = NONE, 0, False
        self._change = self._percent = 0.0
        self._book: Book | None = NO_BOOK

    def __repr__(self) -> str:
        parts = (("quote", self.quoted), ("book", self.booked))
        return f"<State of {' and '.join(name for name, has in parts if has) or 'nothing'}>"

    def complete(self, mode: int) -> bool:
        """Whether snapshots of all that this mode needs have come; an index has no book."""
        return self.quoted and (mode < 3 or self.booked or self.index)

    def reset_quote(self, snapshot: Sequence[int], scale: int) -> None:
        """Put a snapshot in the place of the quote."""
        self._figures = [0] * len(self._prices)
        self._scale = scale
        self._ltp, self._close, self._compared = NONE, 0, False
        self._change = self._percent = 0.0
        self.quoted = True
        self.merge_quote(snapshot)

    def merge_quote(self, update: Sequence[int]) -> None:
        """Put what has changed in its place, in rupees, units and epoch seconds. Figures more than
        we know of are left out."""
        figures, prices, scale = self._figures, self._prices, self._scale
        if len(update) > len(prices):
            update = update[: len(prices)]
        at = 0
        for value in update:
            if value != -2147483648:  # NONE; a constant is read faster
                if prices[at]:
                    figures[at] = value / scale
                else:
                    figures[at] = value if value >= 0 else value & 0xFFFFFFFF
            at += 1  # noqa: SIM113 - enumerate makes an update dearer
        if update and (ltp := update[0]) != -2147483648 and ltp != self._ltp:
            self._ltp = ltp
            self._compared = False
        close_at = 1 if self.index else 20
        if len(update) > close_at and update[close_at] != NONE:
            self._close = update[close_at]
            self._compared = False

    def _compare(self) -> None:
        """Price and percentage are compared with the day before's; of whole numbers, so that no
        digits are left over."""
        self._compared = True
        if close := self._close:
            change = self._ltp - close
            self._change = change / self._scale
            self._percent = (change * 2_000_000 + close) // (2 * close) / 10_000

    def reset_book(self, snapshot: Sequence[int], scale: int) -> None:
        """Put a snapshot in the place of the book."""
        self._book_scale = scale
        self._book_figures = [0] * _BOOK
        self.booked = True
        self.merge_book(snapshot)

    def merge_book(self, update: Sequence[int]) -> None:
        """Put what has changed in its place."""
        self._book = None
        figures = self._book_figures
        for at, value in enumerate(update[:_BOOK]):
            if value != NONE:
                figures[at] = value

    def publish(self, sub: Subscription, now_ms: int, take: Take) -> None:
        """Hand out one tick; none as long as there is no price, or a new subscription to Depth has
        no book yet."""
        mode = sub.mode
        if not mode or not self.quoted or self._ltp == NONE:
            return
        if mode == 3 and not (self.booked or self.index):
            if sub.waits:
                return
            mode = 2
        timestamp = at_ms = self._figures[2 if self.index else 3] * 1000
        if not 0 < at_ms < now_ms + DAY_MS:
            at_ms, timestamp = 0, now_ms
        if mode > 1 and not self._compared:
            self._compare()
        if mode == 1:
            listing = sub.listing
            ltp = Ltp(sub.symbol, listing.exchange, listing.token, self._figures[0], timestamp)
            take(sub, 1, encode(ltp), at_ms, 0)
        elif mode == 2:
            if self.index:
                take(sub, 2, encode(self._of_index(sub, Quote, timestamp)), at_ms, 0)
            else:
                take(sub, 2, encode(self._of_contract(sub, Quote, timestamp)), at_ms, 0)
        else:
            deep = (self._of_index if self.index else self._of_contract)(sub, Depth, timestamp)
            if self._book is None:
                self._book = Book(self._side(0), self._side(5))
            deep.depth = self._book
            take(sub, 3, encode(deep), at_ms, 0)

    def _of_contract(self, sub: Subscription, payload: type[_Q], timestamp: int) -> _Q:
        (
            ltp, volume, traded_s, fed_s, bid_size, ask_size, bid, ask, quantity, buying, selling,
            average, oi, low, high, _, _, lower, upper, opened, close,
        ) = self._figures  # fmt: skip
        listing = sub.listing
        return payload(
            sub.symbol,
            listing.exchange,
            listing.token,
            ltp,
            opened,
            high,
            low,
            close,
            bid,
            ask,
            bid_size,
            ask_size,
            volume,
            oi,
            upper,
            lower,
            traded_s,
            fed_s,
            average,
            quantity,
            buying,
            selling,
            self._change,
            self._percent,
            timestamp,
        )

    def _of_index(self, sub: Subscription, payload: type[_Q], timestamp: int) -> _Q:
        ltp, close, fed_s, high, low, opened = self._figures
        return payload(
            sub.symbol,
            sub.listing.exchange,
            sub.listing.token,
            ltp,
            opened,
            high,
            low,
            close,
            exchange_time=fed_s,
            change=self._change,
            change_percent=self._percent,
            timestamp=timestamp,
        )

    def _side(self, first: int) -> list[Level]:
        figures, scale = self._book_figures, self._book_scale
        return [
            Level(figures[at] / scale, figures[at + 10] & 0xFFFFFFFF, figures[at + 20] & 0xFFFFFFFF)
            for at in range(first, first + 5)
            if figures[at]
        ]
