"""What a client is told, read: ticks, notices, and what has become of a request. Pure.

Source of the format: docs/protocol.md. Whatever a message has that is not named here stays where
it is, in `raw` and `data`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hub.core.errors import Malformed
from hub.core.model import Instrument, Mode

Message = dict[str, Any]


class Level(NamedTuple):
    """One price of a book: rupees, shares or contracts, and how many orders (0: not told)."""

    price: float
    quantity: float
    orders: int


class Depth(NamedTuple):
    """A book, best level first on both sides, with as many levels as the feed gives."""

    buy: tuple[Level, ...]
    sell: tuple[Level, ...]


class Tick(msgspec.Struct, frozen=True):
    """One tick as the hub sent it. Two of the same instrument come in their order.

    `exchange` and `symbol` are the names that were subscribed. `mode` is the one it was sent for.
    `data` is the feed's own JSON object, `raw` the whole message. `received_ns` is when its bytes
    were read here, in ns since the epoch. `skipped` is how many ticks of its topic before this one
    were left out: by the hub, when `conflation_info` was asked for, and by this client.
    """

    exchange: str
    symbol: str
    mode: Mode
    data: dict[str, Any]
    received_ns: int
    raw: dict[str, Any]
    skipped: int = 0

    @property
    def instrument(self) -> Instrument:
        """Exchange and symbol as one."""
        return Instrument(self.exchange, self.symbol)

    @property
    def name(self) -> str:
        """`NSE:RELIANCE`, as one writes it in a subscribe."""
        return f"{self.exchange}:{self.symbol}"

    def number(self, field: str) -> float | None:
        """A field of `data` when it is a number, else None."""
        return number(self.data.get(field))

    @property
    def ltp(self) -> float | None:
        """Last traded price in rupees; None when the tick does not tell."""
        return self.number("ltp")

    @property
    def volume(self) -> float | None:
        """Shares or contracts traded today; None when the tick does not tell."""
        return self.number("volume")

    @property
    def close(self) -> float | None:
        """Close of the previous day in rupees; None when the tick does not tell."""
        return self.number("close")

    @property
    def timestamp(self) -> float | None:
        """The feed's own time of the tick, as it gives it: mostly ms since the epoch."""
        return self.number("timestamp")

    @property
    def depth(self) -> Depth | None:
        """The book; None when the tick has none."""
        book = self.data.get("depth")
        if not isinstance(book, dict):
            return None
        return Depth(_side(book.get("buy")), _side(book.get("sell")))


class Stale(NamedTuple):
    """No tick comes of this for longer than its market explains; or, with `stale` false, one does
    again."""

    exchange: str
    symbol: str
    mode: Mode
    stale: bool


class State(NamedTuple):
    """How the connection is. While it is not `connected`, `reason` says why in a few words, and it
    is tried again in `again_s` seconds; 0 when it is over for good."""

    connected: bool
    reason: str = ""
    again_s: float = 0.0


class Outcome(NamedTuple):
    """What has become of one instrument of a subscribe or unsubscribe: `error` is the hub's
    sentence, empty on success; `depth` the number of levels that the feed gives in Depth mode."""

    instrument: Instrument
    error: str = ""
    depth: int = 0

    @property
    def ok(self) -> bool:
        """Whether it has worked."""
        return not self.error

    @property
    def name(self) -> str:
        """`NSE:RELIANCE`."""
        return ":".join(self.instrument)


def read(message: str | bytes) -> list[Message]:
    """The messages in one of the WebSocket's: text is JSON, bytes are msgpack, an array is a batch.

    Raises Malformed when it is neither.
    """
    try:
        found = _decoded(message)
    except ValueError as error:
        raise Malformed(f"the server sends what is no message of a hub: {error}") from None
    batch = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in batch):
        raise Malformed("the server sends what is no message of a hub: it is no object")
    return batch


def tick(message: Message, received_ns: int) -> Tick:
    """A `market_data` message as a tick."""
    data = message.get("data")
    return Tick(
        str(message.get("exchange", "")),
        str(message.get("symbol", "")),
        Mode.from_client(message.get("mode")),
        data if isinstance(data, dict) else {},
        received_ns,
        message,
        int(message.get("skipped", 0)),
    )


def stale(message: Message) -> Stale:
    """A `stale` message."""
    mode = Mode.from_client(message.get("mode"))
    return Stale(str(message["exchange"]), str(message["symbol"]), mode, bool(message["stale"]))


def outcomes(reply: Mapping[str, Any]) -> list[Outcome]:
    """The rows of a reply to subscribe or unsubscribe, in their order."""
    rows = [
        row
        for name in ("subscriptions", "successful", "failed")
        for row in reply.get(name) or ()
        if isinstance(row, dict)
    ]
    return [
        Outcome(
            Instrument(str(row.get("exchange", "")), str(row.get("symbol", ""))),
            "" if row.get("status") == "success" else str(row.get("message") or "refused"),
            int(number(row.get("depth")) or 0),
        )
        for row in rows
    ]


def number(value: object) -> float | None:
    """A number as it is, None for anything else, infinities too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _decoded(message: str | bytes) -> Any:
    if isinstance(message, bytes):
        return msgspec.msgpack.decode(message)
    try:
        return msgspec.json.decode(message)
    except msgspec.DecodeError:
        return json.loads(message)  # it knows numbers beyond all doubles


def _side(levels: object) -> tuple[Level, ...]:
    """One side of a book; what is no level is passed over."""
    if not isinstance(levels, Sequence):
        return ()
    return tuple(
        Level(
            number(one.get("price")) or 0.0,
            number(one.get("quantity")) or 0.0,
            int(number(one.get("orders")) or 0),
        )
        for one in levels
        if isinstance(one, dict)
    )
