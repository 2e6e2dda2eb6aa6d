"""What a shard's sessions ask of the hub, and what the hub answers. Pure: the shard moves bytes.

1. A client gets ticks from its subscribe reply on: the index learns of it when the reply is sent.
2. What is wanted upstream is everything held or awaited below, told in batches, once per change.
3. Whatever changes the index flushes the fan-out first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hub.core.config import Settings
from hub.core.index import Index
from hub.core.latest import Latest, Line
from hub.core.model import Identity, Instrument, Mode, Offer, Result, Want, lowest
from hub.core.offers import Offers
from hub.core.placement import home
from hub.core.wants import Wants
from shards import protocol
from shards.accounts import Accounts
from shards.fanout import Fanout
from shards.snapshots import Snapshots
from shards.tickets import Client, Row, SubscribeTicket

ACCOUNTS = ""
"""The feed under whose name interest in account events is told."""

_DEEPEST = 200


class Word(NamedTuple):
    """What a shard tells the router about one feed: its `number`th word, which openings that
    follow from it carry."""

    feed: str
    number: int
    wants: list[Want]


class Desk:
    """A shard's state between its clients and the router."""

    def __init__(self, shard: int, settings: Settings) -> None:
        self._shard = shard
        self._settings = settings
        self.index: Index[Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[Client] = Fanout(
            self.index, self.latest, self._concerns, settings.bus.max_topics
        )
        self.snapshots = Snapshots(self.index, self.latest, self.fanout, self._is_home)
        self.accounts = Accounts()
        self.feeds = Offers()
        self._wants: dict[str, Wants] = defaultdict(Wants)
        self._words = 0
        self._waiting: dict[tuple[str, bytes], list[tuple[SubscribeTicket, Row]]] = {}
        self._tickets: dict[SubscribeTicket, None] = {}
        self._pending: dict[Client, int] = defaultdict(int)
        self._legs: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"<Desk {self.index!r}, {len(self._tickets)} tickets>"

    # Sessions ask.

    def deadline(self, now_s: float) -> float:
        """When a question asked now counts as not answered."""
        return now_s + self._settings.upstream.answer_s

    def subscribe(
        self,
        client: Client,
        request: protocol.Request,
        identity: Identity,
        asked: protocol.Subscribe,
        now_s: float,
    ) -> SubscribeTicket:
        """Take a subscribe; the ticket may be complete already."""
        ticket = SubscribeTicket(
            self,
            client,
            request,
            asked,
            broker=identity.broker,
            deadline_s=self.deadline(now_s),
        )
        feed = self.feeds.of(identity)
        held = self.index.held(client)
        limit = self._settings.websocket.max_symbols
        room = limit - len(held) - self._pending.get(client, 0)
        for row in ticket.rows:
            before = held.get(row.key)
            if row.problem or (before and before.modes & ticket.mode.bit):
                continue
            if not before and room <= 0:
                row.problem = f"this connection holds {limit} symbols already"
                continue
            room -= not before
            row.broker = before.broker if before else identity.broker
            row.feed = before.feed if before else feed
            self._want(ticket, row)
        if not ticket.complete:
            self._tickets[ticket] = None
        return ticket

    def confirm(self, ticket: SubscribeTicket) -> list[Line]:
        """The reply is being sent: the client holds the symbols from now on. Returns the lines
        whose values follow the reply."""
        self.fanout.flush()
        client, mode = ticket.client, ticket.mode
        shown = []
        for row in ticket.rows:
            if not row.wanted:
                continue
            self._settle_pending(row, client)
            held = self.index.modes(client, row.key)
            if held & mode.bit:
                self._wants[row.feed].remove(row.key, mode)
                continue
            self.index.add(client, row.instrument, mode, row.broker, row.feed)
            self.latest.unresolve(row.key)
            if ticket.snapshot:
                shown.append(self.snapshots.first(client, row.key, mode, held))
        return [line for line in shown if line is not None]

    def cancel(self, ticket: SubscribeTicket) -> None:
        """The client has gone before its reply."""
        self._tickets.pop(ticket, None)
        for row in ticket.rows:
            if row.wanted:
                self._stop_waiting(ticket, row)
                self._settle_pending(row, ticket.client)
                self._wants[row.feed].remove(row.key, ticket.mode)

    def unsubscribe(
        self, client: Client, drops: list[protocol.Drop] | None, broker: str
    ) -> tuple[list[Instrument], list[dict[str, Any]]]:
        """Drop some of what a client holds, None for everything. Returns what was dropped (or
        was not held) and the rows of entries that could not be read."""
        self.fanout.flush()
        if drops is None:
            return [
                protocol.names(variant)
                for key, variant in dict(self.index.held(client)).items()
                for _ in self._drop(client, key, variant.modes)
            ], []
        dropped, failed = [], []
        for drop in drops:
            if drop.problem:
                failed.append(protocol.failed_row(drop.instrument, drop.problem, broker))
            else:
                dropped.append(drop.instrument)
                self._drop_one(client, drop)
        return dropped, failed

    def leave(self, client: Client) -> None:
        """A client is gone."""
        self.fanout.flush()
        for key, variant in dict(self.index.held(client)).items():
            self._drop(client, key, variant.modes)
        self.index.drop(client)
        self.accounts.leave(client)

    # The hub tells.

    def take_results(self, feed: str, results: Iterable[Result], now_s: float) -> None:
        """A feed has answered, or the router about accounts."""
        answered: dict[Client, None] = {}
        if feed == ACCOUNTS:
            keys = set()
            for result in results:
                self.accounts.wants.settle(result)
                keys.add(result.key)
            answered = dict.fromkeys(self.accounts.settle(keys, now_s))
        elif feed in self._wants:
            for result in results:
                self._wants[feed].settle(result)
                for ticket, row in list(self._waiting.get((feed, result.key), ())):
                    if result.modes & ticket.mode.bit:
                        self._answer(ticket, row, result.error, result.depth)
                        answered[ticket.client] = None
        for client in answered:
            client.answered()

    def take_feeds(self, offers: Iterable[Offer], now_s: float) -> None:
        """Which feeds are there; one that has gone has nothing confirmed any more."""
        for feed in self.feeds.take(offers, now_s):
            if feed in self._wants:
                self._wants[feed].doubt()

    def paused(self, seconds: float) -> None:
        """This process was paused: nobody is late for what fell due meanwhile."""
        for ticket in self._tickets:
            ticket.deadline_s += seconds
        self.accounts.paused(seconds)

    def offer_home(self, pairs: Sequence[bytes], now_s: float) -> None:
        """Ticks the shard is only the home of; those of its legs go to the fan-out directly."""
        self.fanout.offer(pairs)
        lines = self.latest.lines
        for topic in pairs[::2]:
            line = lines.get(topic)
            if line is not None:
                line.seen_s = now_s

    def expire(self, now_s: float) -> None:
        """Tickets whose feed has not answered in time get an error that says so."""
        late = [ticket for ticket in self._tickets if ticket.deadline_s <= now_s]
        for ticket in late:
            for row in ticket.rows:
                if row.waiting:
                    self._answer(ticket, row, self._silence(row.feed), 0)
            ticket.client.answered()
        self.take_results(ACCOUNTS, (), now_s)

    def tell(self) -> list[Word]:
        """What has changed in this shard's interest, by feed."""
        told = [self._word(feed, wants.take()) for feed, wants in self._wants.items()]
        self._note(told)
        told.append(self._word(ACCOUNTS, self.accounts.wants.take()))
        return [word for word in told if word.wants]

    def tell_all(self) -> list[Word]:
        """All of this shard's interest, for a router that knows nothing of it."""
        told = [self._word(feed, wants.everything()) for feed, wants in self._wants.items()]
        for key in self._legs:
            if not any(key in wants for wants in self._wants.values()):
                self._end(key)
        self._legs.clear()
        self._note(told)
        return [*told, self._word(ACCOUNTS, self.accounts.wants.everything())]

    def symbols(self) -> int:
        """How many keys this shard wants."""
        return sum(len(wants) for wants in self._wants.values())

    # Below: details.

    def _silence(self, feed: str) -> str:
        return f"feed {feed} did not answer within {self._settings.upstream.answer_s:g} s"

    def _concerns(self, key: bytes) -> bool:
        return self._is_home(key) or any(key in wants for wants in self._wants.values())

    def _is_home(self, key: bytes) -> bool:
        return home(key, self._settings.hub.shards) == self._shard

    def _want(self, ticket: SubscribeTicket, row: Row) -> None:
        depth = row.depth if isinstance(row.depth, int) and 0 < row.depth <= _DEEPEST else 5
        exchange, symbol = row.instrument
        row.wanted = True
        self._pending[ticket.client] += 1
        confirmed = self._wants[row.feed].add(
            row.key, ticket.mode, depth=depth, exchange=exchange, symbol=symbol
        )
        if not confirmed:
            row.waiting = True
            ticket.missing += 1
            self._waiting.setdefault((row.feed, row.key), []).append((ticket, row))

    def _answer(self, ticket: SubscribeTicket, row: Row, problem: str, depth: int) -> None:
        self._stop_waiting(ticket, row)
        if problem:
            row.problem = problem
            self._settle_pending(row, ticket.client)
            self._wants[row.feed].remove(row.key, ticket.mode)
        elif depth:
            row.depth = depth
        if ticket.complete:
            self._tickets.pop(ticket, None)

    def _stop_waiting(self, ticket: SubscribeTicket, row: Row) -> None:
        if not row.waiting:
            return
        row.waiting = False
        ticket.missing -= 1
        place = row.feed, row.key
        others = [pair for pair in self._waiting[place] if pair[1] is not row]
        if others:
            self._waiting[place] = others
        else:
            del self._waiting[place]

    def _settle_pending(self, row: Row, client: Client) -> None:
        row.wanted = False
        self._pending[client] -= 1
        if not self._pending[client]:
            del self._pending[client]

    def _drop_one(self, client: Client, drop: protocol.Drop) -> None:
        try:
            key = drop.instrument.key
        except UnicodeEncodeError:
            return  # a name that cannot be written is held by nobody
        held, mode = self.index.modes(client, key), drop.mode
        if mode is None and held & Mode.QUOTE.bit:
            mode = Mode.QUOTE
        self._drop(client, key, held & mode.bit if mode else held)

    def _drop(self, client: Client, key: bytes, modes: int) -> list[Mode]:
        """Cease to hold a key in these modes; the modes that were dropped."""
        dropped = [mode for mode in Mode if modes & mode.bit]
        for mode in dropped:
            variant = self.index.remove(client, key, mode)
            if variant is not None:
                self._wants[variant.feed].remove(key, mode)
        if dropped:
            self.snapshots.left(client, key)
            self.latest.unresolve(key)
        return dropped

    def _word(self, feed: str, wants: list[Want]) -> Word:
        self._words += 1
        return Word(feed, self._words, wants)

    def _note(self, told: list[Word]) -> None:
        """Keep up with what was told: legs about to open, keys that concern nobody any more. A
        key in several words opens with the first that can open it, or with a later one."""
        numbers = {want.key: word.number for word in reversed(told) for want in word.wants}
        for key, number in numbers.items():
            modes = 0
            for wants in self._wants.values():
                modes |= wants.told(key)
            level, before = lowest(modes), self._legs.pop(key, 0)
            if level:
                self._legs[key] = level
                if not before or level < before:
                    self.snapshots.opening(key, number)
            else:
                self._end(key)

    def _end(self, key: bytes) -> None:
        """Nobody here wants a key any more; only its home keeps what it knows."""
        self.snapshots.ended(key)
        if not self._is_home(key):
            self.latest.discard(key)
