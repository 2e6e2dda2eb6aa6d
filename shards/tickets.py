"""Requests whose reply waits for the hub: a subscribe until every symbol is answered, an interest
in order updates until the router knows of it."""

from __future__ import annotations

from typing import Any, Protocol

from hub.core.errors import RequestError
from hub.core.latest import Line
from hub.core.model import Instrument
from shards import protocol
from shards.fanout import Receiver


class Client(Receiver, Protocol):
    """What the desk needs of a session."""

    def deliver_event(self, frame: bytes) -> None:
        """Take an order update, which must not be lost."""

    def answered(self) -> None:
        """One of the session's tickets is complete."""


class Row:
    """One symbol of a subscribe: waiting until it has either a problem or an answer.

    `broker` and `feed` are those of the session, or those under which it holds the key already.
    """

    __slots__ = (
        "broker",
        "depth",
        "feed",
        "instrument",
        "key",
        "problem",
        "waiting",
        "wanted",
    )

    def __init__(self, instrument: Instrument, depth: Any, problem: str) -> None:
        self.instrument = instrument
        self.key = b"" if problem else instrument.key
        self.broker = ""
        self.feed = ""
        self.depth = depth
        self.problem = problem
        self.waiting = False
        self.wanted = False  # whether it counts in the wants


class Keeper(Protocol):
    """Who made a ticket, and is told how it ends."""

    def confirm(self, ticket: Any) -> list[Line]:
        """The reply is being sent; the lines whose values follow it."""

    def cancel(self, ticket: Any) -> None:
        """The client has gone before its reply."""


class Ticket(Protocol):
    """A reply that has to wait, and what goes with it."""

    @property
    def complete(self) -> bool:
        """Whether the reply can be written."""

    def reply(self) -> bytes:
        """The reply."""

    def confirm(self) -> list[Line]:
        """The reply is being sent; the lines whose values follow it."""

    def cancel(self) -> None:
        """The client has gone before its reply."""


class SubscribeTicket:
    """A subscribe on its way: complete when no row waits."""

    __slots__ = (
        "_keeper",
        "broker",
        "client",
        "deadline_s",
        "missing",
        "mode",
        "request",
        "rows",
        "snapshot",
    )

    def __init__(
        self,
        keeper: Keeper,
        client: Client,
        request: protocol.Request,
        asked: protocol.Subscribe,
        *,
        broker: str,
        deadline_s: float,
    ) -> None:
        self._keeper = keeper
        self.client = client
        self.request = request
        self.broker = broker
        self.mode = asked.mode
        self.snapshot = asked.snapshot
        self.deadline_s = deadline_s
        self.missing = 0
        self.rows = [Row(instrument, asked.depth, problem) for instrument, problem in asked.entries]

    @property
    def complete(self) -> bool:
        """Whether every row is answered."""
        return not self.missing

    def reply(self) -> bytes:
        """The subscribe reply."""
        rows = [
            protocol.failed_row(row.instrument, row.problem, self.broker)
            if row.problem
            else protocol.subscribed_row(row.instrument, self.mode, row.depth, self.broker)
            for row in self.rows
        ]
        return protocol.subscribed(self.request, rows, self.broker)

    def confirm(self) -> list[Line]:
        """From now on the client holds the symbols."""
        return self._keeper.confirm(self)

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        self._keeper.cancel(self)


class OrdersTicket:
    """An interest in a user's order updates on its way."""

    __slots__ = ("_keeper", "client", "complete", "deadline_s", "key", "request")

    def __init__(
        self,
        keeper: Keeper,
        client: Client,
        request: protocol.Request,
        key: bytes,
        deadline_s: float,
    ) -> None:
        self._keeper = keeper
        self.client = client
        self.request = request
        self.key = key
        self.deadline_s = deadline_s
        self.complete = False

    def reply(self) -> bytes:
        """The reply to subscribe_orders."""
        return protocol.orders(self.request, on=True)

    def confirm(self) -> list[Line]:
        """From now on the client follows."""
        return self._keeper.confirm(self)

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        self._keeper.cancel(self)


class Refusal:
    """An error that waits for its turn behind other replies."""

    __slots__ = ("_error",)

    complete = True

    def __init__(self, error: RequestError) -> None:
        self._error = error

    def reply(self) -> bytes:
        """The error."""
        return protocol.error(self._error.code, str(self._error))

    def confirm(self) -> list[Line]:
        """Nothing follows."""
        return []

    def cancel(self) -> None:
        """Nothing was wanted."""
