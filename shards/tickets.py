"""Requests whose reply has to wait: a subscribe until every symbol is answered, an unsubscribe
until every symbol is dropped, an interest in order updates until the router knows of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol

from hub.core.errors import RequestError
from hub.core.hot import Line
from hub.core.model import Instrument
from shards import protocol
from shards.fanout import Receiver


class Client(Receiver, Protocol):
    """What the desk needs of a session. `form` is how its messages are written (core/forms),
    `options` is what else it has asked for."""

    form: int
    options: protocol.Options

    def show(self, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        """Take first values: they are not to wait for anything but the reply."""

    def limit(self, key: bytes, max_rate: float) -> None:
        """Take so many ticks a second of each topic of this key; 0 as the session has it."""

    def ceases(self, key: bytes, modes: int) -> None:
        """The session is about to hold this key in these modes only; 0 for none."""

    def owes(self, line: Line) -> bool:
        """Whether a tick of this line has come that the client could not be sent yet."""

    def owing(self) -> Iterable[Line]:
        """The lines of which ticks have come that the client could not be sent yet."""

    def keep(self, line: Line, as_it_was: Line) -> None:
        """The value of a line that is owed is about to be void: pay it all the same."""

    def deliver_event(self, frame: bytes) -> None:
        """Take an order update, which must not be lost."""

    def event_lost(self) -> None:
        """An order update was lost on its way: end, so that the client looks for itself."""

    def answered(self) -> None:
        """One of the session's tickets is complete, or confirmed."""

    def notify(self) -> int:
        """Send some of what the client is owed of stale symbols; how many, 0 when that is all, or
        it has to wait."""

    def withhold(self) -> None:
        """Keep what is delivered until the reply that is being confirmed has been sent."""


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

    def __init__(self, instrument: Instrument, key: bytes, depth: Any, problem: str) -> None:
        self.instrument = instrument
        self.key = key
        self.broker = ""
        self.feed = ""
        self.depth = depth
        self.problem = problem
        self.waiting = False
        self.wanted = False  # whether it counts in the wants


class Stage(Enum):
    """How far a subscribe has come; its rows are entered, and confirmed, slice by slice."""

    ENTERING = "entering"
    ENTERED = "entered"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Keeper(Protocol):
    """Who made a ticket, and is told how it ends."""

    def confirm(self, ticket: Any) -> bool:
        """The reply's turn has come; whether it can be sent now."""

    def cancel(self, ticket: Any) -> None:
        """The client has gone before its reply."""


class Ticket(Protocol):
    """A reply that has to wait, and what goes with it. One that is `alone` lets no request behind
    it be taken before it is sent."""

    alone: bool

    @property
    def complete(self) -> bool:
        """Whether the reply can be confirmed."""

    def confirm(self) -> bool:
        """The reply's turn has come. Whether it can be sent now; if not, ask again at the next
        `answered`."""

    def reply(self) -> bytes:
        """The reply, once it is confirmed."""

    def cancel(self) -> None:
        """The client has gone before its reply."""


class SubscribeTicket:
    """A subscribe on its way: complete when all rows are entered and none waits.

    `later` says that the client is waiting for the end of its confirmation.
    """

    alone = False
    __slots__ = (
        "_depth",
        "_entries",
        "_error",
        "_failed",
        "_keeper",
        "_written",
        "answered",
        "broker",
        "client",
        "deadline_s",
        "heard_s",
        "later",
        "max_rate",
        "missing",
        "mode",
        "request",
        "rows",
        "snapshot",
        "stage",
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
        self.max_rate = asked.max_rate
        self.deadline_s = deadline_s
        self.answered = False
        self.heard_s = -math.inf
        self.stage = Stage.ENTERING
        self.missing = 0
        self.later = False
        self.rows: list[Row] = []
        self._entries = iter(asked.entries)
        self._depth = asked.depth
        self._written: list[str] = []
        self._failed = False
        self._error: RequestError | None = None

    @property
    def complete(self) -> bool:
        """Whether every row is answered."""
        return not self.missing and self.stage is not Stage.ENTERING

    def read(self) -> Iterator[Row]:
        """The rows, made as they are taken."""
        for instrument, key, problem in self._entries:
            row = Row(instrument, key, self._depth, problem)
            self.rows.append(row)
            yield row

    def write(self, rows: Sequence[Row]) -> None:
        """Write the next rows of the reply."""
        try:
            self._written += self._texts(rows)
        except RequestError as error:
            self._error = error

    def reply(self) -> bytes:
        """The subscribe reply. Raises RequestError when it cannot be written."""
        if self._error is not None:
            raise self._error
        return protocol.subscribed(self.request, self._written, self.broker, failed=self._failed)

    def _texts(self, rows: Sequence[Row]) -> Iterator[str]:
        depth, tail = None, ""
        for row in rows:
            if row.problem:
                self._failed = True
                yield protocol.failed_text(row.instrument, row.problem, self.broker)
                continue
            if not tail or row.depth is not depth:
                depth = row.depth
                tail = protocol.subscribed_tail(self.mode, depth, self.broker)
            yield protocol.subscribed_text(row.instrument, tail)

    def confirm(self) -> bool:
        """From now on the client holds the symbols."""
        return self._keeper.confirm(self)

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        self._keeper.cancel(self)


class UnsubscribeTicket:
    """An unsubscribe on its way: complete when all it names is dropped, slice by slice.

    `later` says that the client is waiting for that. It is alone: a subscribe behind it begins with
    what it leaves.
    """

    alone = True
    __slots__ = (
        "_broker",
        "_dropped",
        "_error",
        "_failed",
        "_request",
        "cancelled",
        "complete",
        "drops",
        "later",
    )

    def __init__(
        self, request: protocol.Request, drops: Iterable[protocol.Drop], broker: str
    ) -> None:
        self.drops = drops  # read as they are taken, once
        self.complete = self.later = self.cancelled = False
        self._request = request
        self._broker = broker
        self._dropped: list[str] = []
        self._failed: list[str] = []
        self._error: RequestError | None = None

    def write(self, drops: Sequence[protocol.Drop]) -> None:
        """Write the next rows of the reply."""
        broker = self._broker
        try:
            for instrument, _, problem, _ in drops:
                if problem:
                    self._failed.append(protocol.failed_text(instrument, problem, broker))
                else:
                    self._dropped.append(protocol.unsubscribed_text(instrument, broker))
        except RequestError as error:
            self._error = error

    def reply(self) -> bytes:
        """The unsubscribe reply. Raises RequestError when it cannot be written."""
        if self._error is not None:
            raise self._error
        return protocol.unsubscribed(self._request, self._dropped, self._failed, self._broker)

    def confirm(self) -> bool:
        """There is nothing more to wait for."""
        return True

    def cancel(self) -> None:
        """What is still held is dropped as the client leaves."""
        self.cancelled = True


class OrdersTicket:
    """An interest in a user's order updates on its way."""

    alone = False
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

    def confirm(self) -> bool:
        """From now on the client follows."""
        return self._keeper.confirm(self)

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        self._keeper.cancel(self)


class Refusal:
    """An error that waits for its turn behind other replies."""

    __slots__ = ("_error",)

    alone = False
    complete = True

    def __init__(self, error: RequestError) -> None:
        self._error = error

    def reply(self) -> bytes:
        """The error."""
        return protocol.error(self._error.code, str(self._error))

    def confirm(self) -> bool:
        """There is nothing to wait for."""
        return True

    def cancel(self) -> None:
        """Nothing was wanted."""
