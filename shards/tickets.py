"""Requests whose reply waits for the hub: a subscribe until every symbol is answered, an interest
in order updates until the router knows of it."""

from __future__ import annotations

from typing import Any, Protocol

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
    """One symbol of a subscribe: waiting until it has either a problem or an answer."""

    __slots__ = ("depth", "instrument", "key", "problem", "waiting", "wanted")

    def __init__(self, instrument: Instrument, depth: Any, problem: str) -> None:
        self.instrument = instrument
        self.key = b"" if problem else instrument.key
        self.depth = depth
        self.problem = problem
        self.waiting = False
        self.wanted = False  # whether it counts in the wants


class Ticket:
    """A subscribe on its way: complete when no row waits."""

    __slots__ = (
        "broker",
        "client",
        "deadline_s",
        "feed",
        "missing",
        "mode",
        "request",
        "rows",
        "snapshot",
    )

    def __init__(
        self,
        client: Client,
        request: protocol.Request,
        asked: protocol.Subscribe,
        *,
        broker: str,
        feed: str,
        deadline_s: float,
    ) -> None:
        self.client = client
        self.request = request
        self.broker = broker
        self.feed = feed
        self.mode = asked.mode
        self.snapshot = asked.snapshot
        self.deadline_s = deadline_s
        self.missing = 0
        self.rows = [Row(instrument, asked.depth, problem) for instrument, problem in asked.entries]

    @property
    def complete(self) -> bool:
        """Whether the reply can be written."""
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


class OrdersTicket:
    """An interest in a user's order updates on its way."""

    __slots__ = ("client", "complete", "deadline_s", "key", "request")

    def __init__(
        self, client: Client, request: protocol.Request, key: bytes, deadline_s: float
    ) -> None:
        self.client = client
        self.request = request
        self.key = key
        self.deadline_s = deadline_s
        self.complete = False

    def reply(self) -> bytes:
        """The reply to subscribe_orders."""
        return protocol.orders(self.request, on=True)
