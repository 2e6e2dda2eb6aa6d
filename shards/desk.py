"""What a shard's sessions ask of the hub, and what the hub answers. Pure: the shard moves bytes.

1. A client gets ticks from its subscribe reply on: the index learns of it when the reply is sent.
2. What is wanted upstream is everything held or awaited below, told in batches, once per change.
3. A snapshot is shown once, right after the reply, or as soon as the home has sent it, unless a
   tick was faster.
4. Whatever changes the index flushes the fan-out first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hub.core import frames, topics
from hub.core.config import Settings
from hub.core.errors import Malformed
from hub.core.index import Index
from hub.core.latest import Latest, Line
from hub.core.model import Identity, Instrument, Mode, Result, Want, lowest
from hub.core.placement import home
from hub.core.wants import Wants
from shards import protocol
from shards.fanout import Fanout, Receiver, frame

FRESH_S = 60.0
"""Age up to which a value that came unasked counts as live."""

ACCOUNTS = ""
"""The feed under whose name interest in account events is told."""


class Client(Receiver, Protocol):
    """What the desk needs of a session."""

    def deliver_event(self, frame: bytes) -> None:
        """Take an order update, which must not be lost."""

    def answered(self) -> None:
        """One of the session's tickets is complete."""


class _Row:
    """One symbol of a ticket: waiting until it has either a problem or an answer."""

    __slots__ = ("depth", "instrument", "key", "problem", "waiting", "wanted")

    def __init__(self, instrument: Instrument, depth: Any, problem: str) -> None:
        self.instrument = instrument
        self.key = b""
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
        broker: str,
        feed: str,
        asked: protocol.Subscribe,
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
        self.rows: list[_Row] = []

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


class Awaiting(NamedTuple):
    """A client that is owed a first value; `seq` is what it cannot have been sent yet."""

    client: Client
    mode: Mode
    seq: int


class Desk:
    """A shard's state between its clients and the router."""

    def __init__(self, shard: int, settings: Settings) -> None:
        self._shard = shard
        self._settings = settings
        self.index: Index[Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[Client] = Fanout(self.index, self.latest, self._concerns)
        self.feeds_up: frozenset[str] = frozenset()
        self._wants: dict[str, Wants] = defaultdict(Wants)
        self._waiting: dict[str, dict[bytes, list[tuple[Ticket, _Row]]]] = defaultdict(dict)
        self._tickets: dict[Ticket, None] = {}
        self._pending: dict[Client, int] = defaultdict(int)
        self._legs: dict[bytes, int] = {}
        self._opening: dict[bytes, bool] = {}
        self._awaiting: dict[bytes, list[Awaiting]] = {}
        self._orders: dict[bytes, dict[Client, None]] = {}

    def __repr__(self) -> str:
        return f"<Desk {self.index!r}, {len(self._tickets)} tickets>"

    # Sessions ask.

    def feed_of(self, broker: str) -> str:
        """The feed that serves a broker's users; empty when none does."""
        feeds = self._settings.hub.feeds
        return broker if broker in feeds else "bus" if "bus" in feeds else ""

    def subscribe(
        self,
        client: Client,
        request: protocol.Request,
        identity: Identity,
        asked: protocol.Subscribe,
        now_s: float,
    ) -> Ticket:
        """Take a subscribe; the ticket may be complete already."""
        ticket = Ticket(
            client,
            request,
            identity.broker,
            self.feed_of(identity.broker),
            asked,
            now_s + self._settings.upstream.answer_s,
        )
        limit = self._settings.websocket.max_symbols
        room = limit - len(self.index.held(client)) - self._pending[client]
        for instrument, problem in asked.entries:
            row = _Row(instrument, asked.depth, problem)
            ticket.rows.append(row)
            if problem:
                continue
            row.key = instrument.key
            if self.index.modes(client, row.key) & asked.mode.bit:
                continue
            if room <= 0:
                row.problem = f"this connection holds {limit} symbols already"
                continue
            room -= 1
            self._want(ticket, row)
        if ticket.missing:
            self._tickets[ticket] = None
        return ticket

    def confirm(self, ticket: Ticket) -> list[bytes]:
        """The reply is being sent: the client holds the symbols from now on. Returns the
        snapshots that follow the reply, as frames."""
        self.fanout.flush()
        shown = []
        client, mode = ticket.client, ticket.mode
        for row in ticket.rows:
            if not row.wanted:
                continue
            row.wanted = False
            self._settle_pending(client)
            held = self.index.modes(client, row.key)
            if held & mode.bit:
                self._wants[ticket.feed].remove(row.key, mode)
                continue
            self.index.add(client, row.instrument, mode, ticket.broker)
            self.latest.unresolve(row.key)
            if ticket.snapshot:
                shown += self._first_value(client, row.key, mode, held)
        return shown

    def cancel(self, ticket: Ticket) -> None:
        """The client has gone before its reply."""
        self._tickets.pop(ticket, None)
        for row in ticket.rows:
            if row.wanted:
                row.wanted = False
                self._settle_pending(ticket.client)
                self._stop_waiting(ticket, row)
                self._wants[ticket.feed].remove(row.key, ticket.mode)

    def unsubscribe(
        self, client: Client, drops: list[protocol.Drop] | None, broker: str
    ) -> tuple[list[Instrument], list[dict[str, Any]]]:
        """Drop some of what a client holds, None for everything. Returns what was dropped (or
        was not held) and the rows of entries that could not be read."""
        self.fanout.flush()
        if drops is None:
            held = dict(self.index.held(client))
            return [
                protocol.names(variant)
                for key, variant in held.items()
                for _ in self._drop(client, key, variant.modes)
            ], []
        dropped, failed = [], []
        for instrument, mode, problem in drops:
            if problem:
                failed.append(protocol.failed_row(instrument, problem, broker))
                continue
            dropped.append(instrument)
            key = _key(instrument)
            held_modes = self.index.modes(client, key)
            if mode is None and held_modes & Mode.QUOTE.bit:
                mode = Mode.QUOTE  # noqa: PLW2901  # the default, when it is held
            self._drop(client, key, held_modes & mode.bit if mode else held_modes)
        return dropped, failed

    def leave(self, client: Client) -> None:
        """A client is gone."""
        self.fanout.flush()
        for key, variant in dict(self.index.held(client)).items():
            self._drop(client, key, variant.modes)
        self.index.drop(client)
        self._pending.pop(client, None)
        for key in [key for key, clients in self._orders.items() if client in clients]:
            self._unfollow(client, key)

    def follow_orders(self, client: Client, user: str, *, on: bool) -> None:
        """A client wants its user's order updates, or no more."""
        key = topics.orders(user)
        if not on:
            self._unfollow(client, key)
        elif client not in self._orders.setdefault(key, {}):
            self._orders[key][client] = None
            self._wants[ACCOUNTS].add(key, Mode.LTP)

    # The hub tells.

    def take_results(self, feed: str, results: Iterable[Result]) -> None:
        """A feed has answered."""
        answered: dict[Client, None] = {}
        for result in results:
            self._wants[feed].settle(result)
            for ticket, row in list(self._waiting[feed].get(result.key, ())):
                if result.modes & ticket.mode.bit:
                    self._answer(ticket, row, result.error, result.depth)
                    answered[ticket.client] = None
        for client in answered:
            client.answered()

    def take_feeds(self, feeds: Iterable[str]) -> None:
        """Which feeds are there; one that has gone has nothing confirmed any more."""
        now_up = frozenset(feeds)
        for feed in self.feeds_up - now_up:
            self._wants[feed].doubt()
        self.feeds_up = now_up

    def offer(self, pairs: Sequence[bytes]) -> None:
        """Ticks of the shard's legs."""
        self.fanout.offer(pairs)

    def offer_home(self, pairs: Sequence[bytes], now_s: float) -> None:
        """Ticks the shard is only the home of."""
        self.fanout.offer(pairs)
        lines = self.latest.lines
        for topic in pairs[::2]:
            line = lines.get(topic)
            if line is not None:
                line.seen_s = now_s

    def offer_account(self, pairs: Sequence[bytes]) -> None:
        """Account events, for the sessions of their user alone."""
        parts = iter(pairs)
        for key, payload in zip(parts, parts, strict=True):
            try:
                update = frames.text(frames.clean(payload))
            except Malformed:
                self.fanout.malformed += 1
                continue
            for client in list(self._orders.get(key, ())):
                client.deliver_event(update)

    def opened(self, keys: Iterable[bytes]) -> None:
        """Legs have just been opened: what was known before is void, except at home."""
        for key in keys:
            if key in self._opening:
                self._opening[key] = True
            if not self._is_home(key):
                self.latest.forget([key])

    def query(self, live: Sequence[bytes], other: Sequence[bytes], now_s: float) -> list[bytes]:
        """The last values of these keys, for the shard that asks; `other` ones were not live
        upstream, so only what has just come counts."""
        for key in other:
            for line in self.latest.of(key):
                if now_s - line.seen_s > FRESH_S:
                    line.payload = None
        pairs: list[bytes] = []
        for key in (*live, *other):
            for line in sorted(self.latest.of(key), key=lambda line: line.seq):
                if line.payload is not None:
                    pairs += (topics.of(key, line.mode), line.payload)
        return pairs

    def values(self, pairs: Sequence[bytes], keys: Iterable[bytes]) -> None:
        """A home has answered for these keys: show what is news to those who wait."""
        self.fanout.flush()
        owed = []
        for key in keys:
            self._opening.pop(key, None)
            for waiting in self._awaiting.pop(key, ()):
                newest = self.latest.newest(key, waiting.mode)
                if newest is None or newest.seq <= waiting.seq:
                    owed.append((key, waiting))
        self.fanout.remember(pairs)
        for key, (client, mode, _) in owed:
            variant = self.index.held(client).get(key)
            line = self.latest.newest(key, mode)
            if variant and variant.modes & mode.bit and line:
                self._show(client, line)

    def forget(self, keys: Iterable[bytes]) -> None:
        """These keys are no longer live upstream."""
        self.latest.forget(keys)

    def expire(self, now_s: float) -> None:
        """Tickets whose feed has not answered in time get an error that says so."""
        late = [ticket for ticket in self._tickets if ticket.deadline_s <= now_s]
        for ticket in late:
            problem = (
                f"feed {ticket.feed} did not answer within {self._settings.upstream.answer_s:g} s"
            )
            for row in ticket.rows:
                if row.waiting:
                    self._answer(ticket, row, problem, 0)
            ticket.client.answered()

    def tell(self) -> list[tuple[str, list[Want]]]:
        """What has changed in this shard's interest, by feed."""
        told = [(feed, changes) for feed, wants in self._wants.items() if (changes := wants.take())]
        self._note(told)
        return told

    def tell_all(self) -> list[tuple[str, list[Want]]]:
        """All of this shard's interest, for a router that knows nothing of it."""
        self._legs.clear()
        self._opening.clear()
        told = [(feed, wants.everything()) for feed, wants in self._wants.items()]
        self._note(told)
        return told

    def symbols(self) -> int:
        """How many keys this shard wants."""
        return sum(len(wants) for feed, wants in self._wants.items() if feed != ACCOUNTS)

    # Below: details.

    def _concerns(self, key: bytes) -> bool:
        return self._is_home(key) or any(key in wants for wants in self._wants.values())

    def _is_home(self, key: bytes) -> bool:
        return home(key, self._settings.hub.shards) == self._shard

    def _want(self, ticket: Ticket, row: _Row) -> None:
        depth = row.depth if isinstance(row.depth, int) and 0 < row.depth <= 200 else 5
        exchange, symbol = row.instrument
        row.wanted = True
        self._pending[ticket.client] += 1
        confirmed = self._wants[ticket.feed].add(
            row.key, ticket.mode, depth=depth, exchange=exchange, symbol=symbol
        )
        if not confirmed:
            row.waiting = True
            ticket.missing += 1
            self._waiting[ticket.feed].setdefault(row.key, []).append((ticket, row))

    def _answer(self, ticket: Ticket, row: _Row, problem: str, depth: int) -> None:
        self._stop_waiting(ticket, row)
        if problem:
            row.problem = problem
            row.wanted = False
            self._settle_pending(ticket.client)
            self._wants[ticket.feed].remove(row.key, ticket.mode)
        elif depth:
            row.depth = depth
        if ticket.complete:
            self._tickets.pop(ticket, None)

    def _stop_waiting(self, ticket: Ticket, row: _Row) -> None:
        if not row.waiting:
            return
        row.waiting = False
        ticket.missing -= 1
        waiting = self._waiting[ticket.feed]
        waiting[row.key] = [pair for pair in waiting[row.key] if pair[1] is not row]
        if not waiting[row.key]:
            del waiting[row.key]

    def _settle_pending(self, client: Client) -> None:
        self._pending[client] -= 1
        if not self._pending[client]:
            del self._pending[client]

    def _drop(self, client: Client, key: bytes, modes: int) -> list[Mode]:
        """Cease to hold a key in these modes; the modes that were dropped."""
        dropped = [mode for mode in Mode if modes & mode.bit]
        for mode in dropped:
            variant = self.index.remove(client, key, mode)
            if variant is not None:
                self._wants[self.feed_of(variant.broker)].remove(key, mode)
        if dropped:
            self.latest.unresolve(key)
        return dropped

    def _unfollow(self, client: Client, key: bytes) -> None:
        clients = self._orders.get(key, {})
        if client in clients:
            del clients[client]
            self._wants[ACCOUNTS].remove(key, Mode.LTP)
        if not clients:
            self._orders.pop(key, None)

    def _first_value(self, client: Client, key: bytes, mode: Mode, held: int) -> list[bytes]:
        """The frame to show a client that has begun to hold a key; none yet if it must wait."""
        opened = self._opening.get(key)
        if opened is None or (opened and not self._is_home(key)):
            line = self.latest.snapshot(key, mode, held)
            variant = self.index.held(client)[key]
            shown = frame(line, variant) if line else None
            if shown is not None:
                return [shown]
        if opened is not None and not held:
            self._awaiting.setdefault(key, []).append(Awaiting(client, mode, self.fanout.seq))
        return []

    def _show(self, client: Client, line: Line) -> None:
        variant = self.index.held(client).get(line.key)
        shown = frame(line, variant) if variant else None
        if shown is not None:
            client.deliver(shown, [line])

    def _note(self, told: list[tuple[str, list[Want]]]) -> None:
        """Keep up with what was told: legs about to open, keys that concern nobody any more."""
        for want in (want for feed, wants in told if feed != ACCOUNTS for want in wants):
            key = want.key
            level = lowest(self._told(key))
            before = self._legs.pop(key, 0)
            if level:
                self._legs[key] = level
                if not before or level < before:
                    self._opening[key] = False
            else:
                self._opening.pop(key, None)
                self._awaiting.pop(key, None)
                if not self._is_home(key):
                    self.latest.discard(key)

    def _told(self, key: bytes) -> int:
        modes = 0
        for feed, wants in self._wants.items():
            if feed != ACCOUNTS:
                modes |= wants.told(key)
        return modes


def _key(instrument: Instrument) -> bytes:
    """The key of an instrument to drop; one that cannot be written is held by nobody."""
    try:
        return instrument.key
    except UnicodeEncodeError:
        return b""
