"""What clients of a Noren broker read: the fields of OpenAlgo's adapters, mode by mode.

The adapters of the family differ in a few names. Where they are wrong, this is not: `oi` is the
contract's own open interest, which they leave out, and never that of its underlying, which they
publish in its place. `timestamp` is the time at which the message came, in epoch milliseconds, as
theirs is; the broker's own is beside it, in epoch seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hub.brokers.base import Subscription
from hub.brokers.book import Level
from hub.brokers.noren.state import State

_encode = msgspec.json.Encoder().encode
_Make = Callable[..., msgspec.Struct]
_OHLC = (
    ("open", float), ("high", float), ("low", float), ("close", float), ("average_price", float),
    ("percent_change", float), ("last_quantity", int), ("last_trade_time", str | None),
)  # fmt: skip
_TAIL = (("symbol", str), ("exchange", str), ("timestamp", int))


class _Sides(msgspec.Struct, gc=False):
    buy: list[Level]
    sell: list[Level]


class Payloads:
    """Payloads of one broker. Its own time stands in the field `stamp`; `trade_time` tells whether
    an LTP payload has the time of the last trade; `last` is the name of the field that ends the
    limits: `open_interest`, or `total_traded_value` in rupees."""

    def __init__(self, stamp: str, *, trade_time: bool, last: str) -> None:
        head = (("mode", int), ("ltp", float))
        time = (("last_trade_time", str | None),) if trade_time else ()
        self._trade_time = trade_time
        self._value = last == "total_traded_value"
        self._ltp = _struct("Ltp", *head, *time, (stamp, int), *_TAIL)
        quote = (*head, ("volume", int), *_OHLC)
        self._quote = _struct("Quote", *quote, (stamp, int), ("oi", int), *_TAIL)
        self._depth = _struct(
            "Depth", *quote, ("total_buy_quantity", int), ("total_sell_quantity", int),
            (stamp, int), ("depth", _Sides), ("depth_level", int), ("upper_circuit", float),
            ("lower_circuit", float), ("52_week_high", float), ("52_week_low", float), (last, int),
            ("oi", int), *_TAIL,
        )  # fmt: skip

    def ltp(self, sub: Subscription, state: State, now_ms: int) -> bytes:
        """The payload of mode LTP."""
        tail = (state.feed_s, sub.symbol, sub.listing.exchange, now_ms)
        if self._trade_time:
            return _encode(self._ltp(1, state.ltp, state.last_trade_time, *tail))
        return _encode(self._ltp(1, state.ltp, *tail))

    def quote(self, sub: Subscription, state: State, now_ms: int) -> bytes:
        """The payload of mode Quote."""
        return _encode(
            self._quote(
                2, state.ltp, state.volume, *state.prices, state.change, state.last_quantity,
                state.last_trade_time, state.feed_s, state.oi,
                sub.symbol, sub.listing.exchange, now_ms,
            )
        )  # fmt: skip

    def depth(self, sub: Subscription, state: State, now_ms: int) -> bytes:
        """The payload of mode Depth. A price of 0 is that of what was never traded."""
        last = round(state.volume * state.prices[4]) if self._value else state.oi
        return _encode(
            self._depth(
                3, state.ltp or 0.0, state.volume, *state.prices, state.change,
                state.last_quantity, state.last_trade_time, state.total_buy, state.total_sell,
                state.feed_s, _Sides(state.buy, state.sell), 5, state.upper, state.lower,
                state.year_high, state.year_low, last, state.oi,
                sub.symbol, sub.listing.exchange, now_ms,
            )
        )  # fmt: skip


def _struct(name: str, *fields: tuple[str, Any]) -> _Make:
    """A class of payloads with these fields, whose names need not be names in Python."""
    made = [(f"f{number}", kind) for number, (_, kind) in enumerate(fields)]
    names = {f"f{number}": wire for number, (wire, _) in enumerate(fields)}
    return msgspec.defstruct(name, made, rename=names, gc=False)
