"""How one instrument of the simulator trades: a random walk and the JSON that tells of it.

1. A walk depends on its listing, the seed and the number of its steps, and on nothing else: not
   on the time, not on what else is subscribed. An option does not follow its underlying.
2. low <= open, ltp <= high; volume never falls; every bid is below every ask.
3. The price is pulled to the previous close and never leaves the band around it: 20 %, options
   50 %, and never fewer ticks than the lower side of a book needs.
4. An index does not trade: its quantities, volume and book are zeros, as brokers send them.

Source of the payloads: OpenAlgo's angel and zerodha adapters. Prices are in rupees, times in
epoch milliseconds, separators those of json.dumps.
"""

from __future__ import annotations

import json
from hashlib import blake2b

from hub.core.model import Mode
from hub.feeds.sim.universe import MIN_TICKS, Kind, Listing

LEVELS = 5
"""Levels on each side of the book."""

_LOWEST_TICKS = MIN_TICKS // 2
_PULL = 1 << 11
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK = (1 << 128) - 1


class Walk:
    """One instrument's prices, in ticks, and quantities; made at its opening, before any trade.

    `step` is the only thing that changes it, and the payloads tell how it stands: calling them
    twice, or not at all, makes no difference to what follows.
    """

    __slots__ = (
        "_band",
        "_bits",
        "_close",
        "_contract",
        "_most",
        "_names",
        "_state",
        "_stride",
        "_tick",
        "_turnover",
        "_unit",
        "_write",
        "high",
        "last_quantity",
        "low",
        "ltp",
        "oi",
        "open",
        "volume",
    )

    def __init__(self, listing: Listing, seed: int) -> None:
        self._state = _start(listing, seed)
        self._bits = self._state >> 64
        self._close = close = listing.close_ticks
        self._tick = listing.tick
        self._unit = _unit(listing)
        self._contract = listing.kind in (Kind.FUTURE, Kind.OPTION)
        share, stride = (50, 100) if listing.kind is Kind.OPTION else (20, 3333)
        self._band = close * share // 100
        self._most = close + self._band
        self._stride = max(1, close // stride)
        self._names = _names(listing)
        self._write = _TEMPLATES[2 if listing.tick >= 0.01 else 4]
        self.open = self._near(close + (self._bits % (2 * self._band + 1) - self._band) // 20)
        self.ltp = self.high = self.low = self.open
        self.volume = self._unit * (1000 + (self._bits >> 48))
        self.last_quantity = 0
        self.oi = self._unit * (5000 + (self._bits >> 32 & 0xFFFF)) if self._contract else 0
        self._turnover = self.volume * self.open

    def __repr__(self) -> str:
        return f"<Walk {self._names.decode()} at {self.ltp * self._tick:.4f}>"

    def step(self) -> None:
        """One trade: the next price, quantity and book."""
        self._state = state = (self._state * _MULTIPLIER + 1) & _MASK
        self._bits = bits = state >> 64
        stride = self._stride
        draw = (bits & 0xFFFF) - (self.ltp - self._close) * _PULL // self._band
        self.ltp = ltp = self._near(self.ltp - stride + (draw * (2 * stride + 1) >> 16))
        if ltp > self.high:
            self.high = ltp
        elif ltp < self.low:
            self.low = ltp
        self.last_quantity = quantity = self._unit * (1 + (bits >> 16 & 31))
        self.volume += quantity
        self._turnover += quantity * ltp
        if self._contract:
            self.oi = max(0, self.oi + self._unit * ((bits >> 21) % 7 - 3))

    def payload(self, mode: int, now_ms: int) -> bytes:
        """The tick of this mode as a JSON object; the last trade is taken to be of `now_ms`."""
        if mode == Mode.LTP:
            return self._write.ltp % (self.ltp * self._tick, now_ms, self._names, now_ms)
        if mode == Mode.QUOTE:
            return b"%b}" % self._quote(mode, now_ms)
        return b'%b, "depth": %b}' % (self._quote(mode, now_ms), self._depth())

    def _near(self, ticks: int) -> int:
        """The price next to `ticks` that lies in the band."""
        least = max(_LOWEST_TICKS, self._close - self._band)
        return least if ticks < least else min(ticks, self._most)

    def _quote(self, mode: int, now_ms: int) -> bytes:
        """A Quote's fields without the closing brace, so that a Depth can go on."""
        tick, unit, bits, ltp, close = self._tick, self._unit, self._bits, self.ltp, self._close
        bid, ask = self._touch()
        change = ltp - close
        text = self._write.quote % (
            ltp * tick,
            now_ms,
            self._names,
            mode,
            now_ms,
            self.volume,
            self.open * tick,
            self.high * tick,
            self.low * tick,
            close * tick,
            self.last_quantity,
            self._turnover / self.volume * tick if unit else 0.0,
            unit * (1000 + (bits >> 32 & 1023)),
            unit * (1000 + (bits >> 42 & 1023)),
            change * tick,
            round(change * 10_000 / close) / 100,
            bid * tick,
            ask * tick,
            unit * (1 + (bits >> _BUY & 31)),
            unit * (1 + (bits >> _SELL & 31)),
        )
        return b'%b, "oi": %d' % (text, self.oi) if self._contract else text

    def _touch(self) -> tuple[int, int]:
        """Best bid and ask, one or two ticks apart; the last trade was at one of them."""
        if not self._unit:
            return 0, 0
        spread = 1 + (self._bits >> 30 & 1)
        if self._bits >> 31 & 1:
            return self.ltp - spread, self.ltp
        return self.ltp, self.ltp + spread

    def _depth(self) -> bytes:
        if not self._unit:
            return _NO_BOOK
        bid, ask = self._touch()
        return self._write.book % (*self._side(bid, -1, _BUY), *self._side(ask, 1, _SELL))

    def _side(self, best: int, away: int, shift: int) -> list[float]:
        """Price, quantity and orders of each level, best first; `away` is the way of the worse."""
        tick, unit = self._tick, self._unit
        bits = self._bits >> shift
        fields: list[float] = []
        for level in range(LEVELS):
            size = 1 + (bits >> 2 * level & 31)
            fields += ((best + away * level) * tick, unit * size, 1 + size // 4)
        return fields


class _Templates:
    """The payloads with `%`-places, for prices with so many decimals."""

    def __init__(self, decimals: int) -> None:
        level = b'{"price": $, "quantity": %d, "orders": %d}'
        side = b"[%b]" % b", ".join([level] * LEVELS)
        self.book = _priced(b'{"buy": %b, "sell": %b}' % (side, side), decimals)
        self.ltp = _priced(b'{"ltp": $, "ltt": %d, %b, "mode": 1, "timestamp": %d}', decimals)
        self.quote = _priced(
            b'{"ltp": $, "ltt": %d, %b, "mode": %d, "timestamp": %d, "volume": %d, '
            b'"open": $, "high": $, "low": $, "close": $, "last_trade_quantity": %d, '
            b'"average_price": $, "total_buy_quantity": %d, "total_sell_quantity": %d, '
            b'"change": $, "change_percent": %.2f, "bid_price": $, "ask_price": $, '
            b'"bid_size": %d, "ask_size": %d',
            decimals,
        )


def _priced(template: bytes, decimals: int) -> bytes:
    return template.replace(b"$", b"%%.%df" % decimals)


def _start(listing: Listing, seed: int) -> int:
    """Where a generator of 128 bits starts: every instrument and seed elsewhere."""
    name = b"%d %b" % (seed, listing.instrument.key)
    return int.from_bytes(blake2b(name, digest_size=16).digest(), "big")


def _unit(listing: Listing) -> int:
    """What quantities are multiples of: the lot, for equities about 20,000 rupees' worth."""
    if listing.kind is Kind.EQUITY:
        return max(1, int(20_000 / listing.close))
    return listing.lot


def _names(listing: Listing) -> bytes:
    exchange, symbol = listing.instrument
    return f'"symbol": {json.dumps(symbol)}, "exchange": {json.dumps(exchange)}'.encode()


_BUY, _SELL = 34, 47
_TEMPLATES = {decimals: _Templates(decimals) for decimals in (2, 4)}
_NO_BOOK = _TEMPLATES[2].book % ((0, 0, 0) * LEVELS * 2)
