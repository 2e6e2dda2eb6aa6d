"""What is known of one instrument of a Noren broker: what partial messages are merged into.

1. A field that a message does not have stays as it was.
2. Open, high, low, close and average price fall to zero in messages of a server that starts anew.
   Before the first trade of the day a zero is true, and taken. Once there was a trade, it is not:
   the value that was told today stays. It does not matter which of two messages comes first, the
   zero or the trade.
3. A level of the book is there while it has a price and a quantity. A full message (`dk`) replaces
   the book: what it does not have, is not there.
4. A time of the broker that is more than a day ahead is none.
5. The day is India's. Nothing of an earlier day keeps a zero out.
"""

from __future__ import annotations

from operator import attrgetter

from hub.brokers.book import Level
from hub.brokers.noren import messages
from hub.brokers.noren.messages import Book, Touch

_DAY_MS = 86_400_000
_INDIA_MS = 19_800_000
_EVERY = 0b11111
_levels = attrgetter(*messages.LEVELS)
_UNCHANGED = (None,) * len(messages.LEVELS)

OPEN, HIGH, LOW, CLOSE, AVERAGE = range(5)


class State:
    """The merged values. `prices` are open, high, low, close and average; `ltp` is None until it
    was told. `has_book` tells whether the levels are those of now, `of_depth` whether the depth
    stream is the one that counts. Of an index there is no volume by which to know of a trade. There
    are no levels before the first message that has some: who is read for prices alone has less."""

    __slots__ = (
        "_day_ends_ms", "_index", "_kept", "_moved", "_old", "_raw", "_traded",
        "_volume_told", "_zeros", "buy", "change", "feed_s", "has_book", "last_quantity",
        "last_trade_time", "lower", "ltp", "of_depth", "oi", "prices", "sell", "total_buy",
        "total_sell", "upper", "volume", "year_high", "year_low",
    )  # fmt: skip

    def __init__(self, *, index: bool = False) -> None:
        self.ltp: float | None = None
        self.change = 0.0
        self.volume = 0
        self.prices = [0.0] * 5
        self.oi = 0
        self.last_quantity = 0
        self.last_trade_time: str | None = None
        self.feed_s = 0
        self.total_buy = self.total_sell = 0
        self.upper = self.lower = self.year_high = self.year_low = 0.0
        self.buy: list[Level] = []
        self.sell: list[Level] = []
        self.has_book = False
        self.of_depth = False
        self._index = index
        self._raw: list[float] = []
        self._kept = [0.0] * 5
        self._old = _EVERY  # those that were not told today
        self._zeros = 0  # those whose last word is a zero that needs no trade to be true
        self._traded = self._moved = self._volume_told = False
        self._day_ends_ms = 0

    def __repr__(self) -> str:
        return f"<State ltp {self.ltp}{', a book' if self.has_book else ''}>"

    def renew_book(self) -> None:
        """A full message follows: the levels are those that it has."""
        self._raw = [0] * len(messages.LEVELS)
        self.buy = [Level() for _ in range(5)]
        self.sell = [Level() for _ in range(5)]

    def take(self, told: Touch, now_ms: int, *, full: bool) -> None:
        """Merge a touchline's fields, of a `full` message or of one with changes alone."""
        if now_ms >= self._day_ends_ms:
            self._begin_day(now_ms)
        if told.lp is not None:
            self.ltp = told.lp
            if not (full or self._moved):
                self._moved = True
                self._judge()
        if told.pc is not None:
            self.change = told.pc
        if told.v is not None:
            self.volume = told.v
            if not self._volume_told or (told.v > 0) is not self._traded:
                self._volume_told = True
                self._judge()
        if told.ap is not None:
            self._tell(AVERAGE, told.ap)
        if told.ltq is not None:
            self.last_quantity = told.ltq
        if told.ft is not None and 0 < told.ft < (now_ms + _DAY_MS) // 1000:
            self.feed_s = told.ft
        self._take_rare(told)

    def take_book(self, told: Book) -> None:
        """Merge what only a depth message has."""
        if told.tbq is not None:
            self.total_buy = told.tbq
        if told.tsq is not None:
            self.total_sell = told.tsq
        if told.uc is not None:
            self.upper = told.uc
        if told.lc is not None:
            self.lower = told.lc
        if told.year_high is not None:
            self.year_high = told.year_high
        if told.year_low is not None:
            self.year_low = told.year_low
        levels = _levels(told)
        if levels != _UNCHANGED:
            if not self._raw:
                self.renew_book()
            self._take_levels(levels)

    def _take_levels(self, told: tuple[float | None, ...]) -> None:
        raw, seen = self._raw, -1
        for place, value in enumerate(told):
            if value is None:
                continue
            raw[place] = value
            if seen not in (-1, place // 3):
                self._show(seen)
            seen = place // 3
        if seen >= 0:
            self._show(seen)

    def _take_rare(self, told: Touch) -> None:
        if told.h is not None:
            self._tell(HIGH, told.h)
        if told.l is not None:
            self._tell(LOW, told.l)
        if told.o is not None:
            self._tell(OPEN, told.o)
        if told.c is not None:
            self._tell(CLOSE, told.c)
        if told.oi is not None:
            self.oi = told.oi
        if told.ltt and told.ltt != "-":
            self.last_trade_time = told.ltt

    def _show(self, number: int) -> None:
        """Let a level be seen as it now is: 0 to 4 buy, 5 to 9 sell."""
        price, quantity, orders = self._raw[3 * number : 3 * number + 3]
        shown = self.buy[number] if number < 5 else self.sell[number - 5]
        shown.price, shown.quantity, shown.orders = messages.level(
            price, int(quantity), int(orders)
        )

    def _tell(self, which: int, price: float) -> None:
        bit = 1 << which
        if price:
            self._zeros &= ~bit
            self._kept[which] = self.prices[which] = price
        elif self._old & bit:
            self._kept[which] = self.prices[which] = 0.0
        else:
            self._zeros |= bit
            self.prices[which] = self._kept[which] if self._traded else 0.0
        self._old &= ~bit

    def _judge(self) -> None:
        """Whether there was a trade today, as far as was told."""
        by_volume = self._volume_told and not self._index
        traded = self.volume > 0 if by_volume else self._moved
        if traded is self._traded:
            return
        self._traded = traded
        for which in range(5):
            if self._zeros >> which & 1:
                self.prices[which] = self._kept[which] if traded else 0.0

    def _begin_day(self, now_ms: int) -> None:
        self._day_ends_ms = now_ms - (now_ms + _INDIA_MS) % _DAY_MS + _DAY_MS
        self._kept = list(self.prices)
        self._old, self._zeros = _EVERY, 0
        self._traded = self._moved = self._volume_told = False
