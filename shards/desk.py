"""What a shard's sessions ask of the hub, and what the hub answers. Pure: the shard moves bytes.

1. A client gets ticks from its subscribe reply on: the index learns of it when the reply is sent.
2. What is wanted upstream is everything held or awaited below (wanted.py tells it).
3. Whatever changes the index flushes the fan-out first.
4. No turn of the loop does more than some rows, however large a request is (slices).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hub.core import topics
from hub.core.hot import Line
from hub.core.index import Index
from hub.core.latest import Latest
from hub.core.model import MODES, Identity, Isolation, Mode, Offer, Result, Stale
from hub.core.offers import Offers
from hub.core.settings import Settings
from shards import protocol
from shards.accounts import Accounts
from shards.fanout import Fanout, frame
from shards.logins import Logins, LoginTicket
from shards.notices import Notices
from shards.silence import Silence
from shards.slices import Slices, Work, pieces
from shards.snapshots import Snapshots
from shards.tickets import Client, Row, Stage, SubscribeTicket, UnsubscribeTicket
from shards.wanted import Wanted, Word

_FLOW_S = 1.0
"""Answers that are no further apart than this are still coming in."""
_MOST_PREPARED = 100
"""Topics whose way is made ready in one turn, when nothing else is to be done."""


class Desk:
    """A shard's state between its clients and the router."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._isolation = Isolation(settings.upstream.isolate)
        self.index: Index[Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[Client] = Fanout(self.index, self.latest, settings.bus.max_topics)
        self.snapshots = Snapshots(self.index, self.latest, self.fanout)
        self.accounts = Accounts()
        self.wanted = Wanted(self.accounts.wants, self.snapshots.opening, self.snapshots.ended)
        self.logins = Logins(self.wanted.of)
        self.feeds = Offers()
        self._offers: frozenset[Offer] = frozenset()
        self.silence = Silence(self.index, self.latest, self.fanout, settings.upstream.stale_s)
        self.notices = Notices(self.index)
        self.slices = Slices()
        self.refused_symbols = 0
        self._waiting: dict[tuple[str, bytes], dict[Row, SubscribeTicket]] = {}
        self._tickets: dict[SubscribeTicket, None] = {}
        self._pending: dict[Client, int] = defaultdict(int)

    def __repr__(self) -> str:
        return f"<Desk {self.index!r}, {len(self._tickets)} tickets>"

    @property
    def waiting(self) -> int:
        """How many subscribes wait for their answer."""
        return len(self._tickets)

    # Sessions ask.

    def deadline(self, now_s: float) -> float:
        """When a question asked now counts as not answered."""
        return now_s + self._settings.upstream.answer_s

    def attend(self, client: Client, identity: Identity, now_s: float) -> LoginTicket | None:
        """A client has authenticated; None when its feed needs no login of its own."""
        offer = self.feeds.best(identity)
        if offer is None or not offer.logins:
            self.logins.leave(client)
            return None
        deadline_s = now_s + self._settings.upstream.login_s
        return self.logins.attend(client, identity, offer.feed, deadline_s)

    def subscribe(
        self,
        client: Client,
        request: protocol.Request,
        identity: Identity,
        asked: protocol.Subscribe,
        now_s: float,
    ) -> SubscribeTicket:
        """Take a subscribe; the ticket may be complete already. If not, the client is told."""
        ticket = SubscribeTicket(
            self,
            client,
            request,
            asked,
            broker=identity.broker,
            deadline_s=self.deadline(now_s),
        )
        self.slices.begin(self._enter(ticket, self.feeds.of(identity)))
        if not ticket.complete:
            self._tickets[ticket] = None
        return ticket

    def confirm(self, ticket: SubscribeTicket) -> bool:
        """The reply's turn has come: the client begins to hold the symbols, is delivered their
        first values and then their ticks; it withholds all that until the reply is sent. Returns
        whether that can be now; if it takes more turns, the client is told when."""
        if ticket.stage is Stage.ENTERED:
            ticket.stage = Stage.CONFIRMING
            self.slices.begin(self._hold(ticket))
            ticket.later = ticket.stage is Stage.CONFIRMING
        return ticket.stage is not Stage.CONFIRMING

    def cancel(self, ticket: SubscribeTicket) -> None:
        """The client has gone before its reply."""
        self._tickets.pop(ticket, None)
        ticket.stage = Stage.CANCELLED
        self.slices.begin(self._let_go(ticket))

    def scope(self, identity: Identity) -> bytes:
        """What the keys of this user begin with: nothing, unless its feed's ticks are not for
        all that it serves."""
        offer = self.feeds.best(identity)
        if offer is None or offer.shared:
            return b""
        return topics.scope(self._isolation.origin(identity))

    def unsubscribe(
        self,
        client: Client,
        request: protocol.Request,
        drops: Iterable[protocol.Drop] | None,
        broker: str,
        scope: bytes = b"",
    ) -> UnsubscribeTicket:
        """Drop some of what a client holds in this scope, None for everything. The ticket may be
        complete already; if not, the client is told, and asks for nothing else until then."""
        ticket = UnsubscribeTicket(request, self._all(client) if drops is None else drops, broker)
        self.slices.begin(self._release(client, ticket, scope))
        ticket.later = not ticket.complete
        return ticket

    def leave(self, client: Client) -> None:
        """A client is gone."""
        self.accounts.leave(client)
        self.logins.leave(client)
        self.notices.leave(client)
        self.slices.begin(self._leave(client))

    def withdraw(self, client: Client) -> None:
        """A client may have nothing any more of what it holds; it stays."""
        self.slices.begin(self._cease(client))

    def notify(self, client: Client) -> None:
        """Tell a client what it is owed of stale symbols, as far as it can be told now."""
        self.slices.begin(self._notify(client))

    def connected(self, client: Client, identity: Identity) -> bool:
        """Whether ticks can be had by this client, as far as is known."""
        offer = self.feeds.best(identity)
        if offer is None or offer.feed not in self.feeds:
            return False
        return not offer.logins or self.logins.up(client)

    # The hub tells.

    def take_followed(self, keys: Iterable[bytes], number: int) -> None:
        """The router says where the events of these accounts begin."""
        self._tell_clients(self.accounts.begins(self.wanted.answered(keys, number)))

    def take_results(self, feed: str, results: Iterable[Result]) -> None:
        """A feed has answered."""
        if self.wanted.knows(feed):
            settle = self.wanted.of(feed).settle
            answers = []
            for result in results:
                settle(result)
                if result.key.startswith(topics.LOGIN):
                    self._tell_clients(self.logins.settle(result))
                    continue
                rows = self._waiting.get((feed, result.key))
                if rows:
                    answers.append((result, rows.copy()))
            self.slices.begin(
                self._answer(
                    (ticket, row, result)
                    for result, rows in answers
                    for row, ticket in rows.items()
                )
            )

    def take_feeds(self, offers: Sequence[Offer], now_s: float) -> bool:
        """Which feeds are there; one that has gone has nothing confirmed any more. Whether one has
        come, or offers something else."""
        there, before = frozenset(offers), self._offers
        self._offers = there
        for feed in self.feeds.take(offers, now_s):
            if self.wanted.knows(feed):
                self.wanted.of(feed).doubt()
                self.logins.doubt(feed)
                self.silence.gone(feed)
        return not there <= before

    def misplaced(self, client: Client, identity: Identity) -> bool:
        """Whether a client holds keys of a feed that it would not be given now: its own was not
        here yet. All are of that one, or it would have been sent away before."""
        first = next(iter(self.index.held(client).values()), None)
        return first is not None and self.feeds.prefers(identity, first.feed)

    def take_stale(self, feed: str, rows: Iterable[Stale], *, replace: bool) -> None:
        """A feed's host calls keys stale, or no more; with `replace` no others."""
        keys = self.notices.take(feed, rows, replace=replace)
        self.slices.begin(self._notify_all(keys))

    def listen(self, awake_s: float) -> None:
        """Look which topics have ticked; the clock stands still while this process does."""
        self.slices.begin(self.silence.look(awake_s))

    def new_stay(self) -> None:
        """Ticks may have been missed: what is quiet is counted anew, and all feeds are told so."""
        self.silence.reset(self.wanted.feeds())

    def paused(self, seconds: float) -> None:
        """This process was paused: nobody is late for what fell due meanwhile."""
        for ticket in self._tickets:
            ticket.deadline_s += seconds
        self.accounts.paused(seconds)
        self.logins.paused(seconds)

    def expire(self, now_s: float) -> None:
        """Tickets whose feed has not answered in time get an error that says so; not while its
        answers to them still come in, for brokers are asked at their own pace."""
        for ticket in self._tickets:
            if ticket.answered:
                ticket.answered, ticket.heard_s = False, now_s
        late = [
            ticket
            for ticket in self._tickets
            if ticket.deadline_s <= now_s and now_s - ticket.heard_s >= _FLOW_S
        ]
        for ticket in late:
            self.slices.begin(self._answer(self._silence(ticket)))
        self._tell_clients(self.accounts.expire(now_s))
        self._tell_clients(self.logins.expire(now_s))

    @property
    def busy(self) -> bool:
        """Whether something is left for another turn."""
        return (
            bool(self.slices)
            or self.fanout.unprepared
            or self.wanted.untold
            or self.silence.untold(self.feeds)
        )

    def tell(self) -> list[Word]:
        """Another turn: go on with what was left, then say what has changed in this shard's
        interest, by feed. Call again while it is `busy`."""
        self.slices.step()
        if not self.slices:
            self.fanout.prepare(_MOST_PREPARED)
        return self.wanted.tell()

    # Below: details.

    @staticmethod
    def _tell_clients(ready: Iterable[Client]) -> None:
        """Tickets of these clients are complete."""
        for client in dict.fromkeys(ready):
            client.answered()

    def _silence(self, ticket: SubscribeTicket) -> Iterator[tuple[SubscribeTicket, Row, Result]]:
        """What rows are told whose feed has not answered."""
        within_s = self._settings.upstream.answer_s
        for row in ticket.rows:
            if row.waiting:
                problem = f"feed {row.feed} did not answer within {within_s:g} s"
                yield ticket, row, Result(row.key, ticket.mode.bit, problem)

    def _enter(self, ticket: SubscribeTicket, feed: str) -> Work:
        """Count a subscribe's rows; those that need no answer have it already."""
        client = ticket.client
        limit = self._settings.websocket.max_symbols
        known = 0  # rows that need no room: the client holds their symbols already
        unread = pieces(ticket.read())
        while ticket.stage is not Stage.CANCELLED and (rows := next(unread, None)):
            held = self.index.held(client)
            room = limit - len(held) - self._pending.get(client, 0) + known
            for row in rows:
                before = held.get(row.key)
                if row.problem or (before and before.modes & ticket.mode.bit):
                    continue
                if before:
                    known += 1
                elif room > 0:
                    room -= 1
                else:
                    row.problem = f"this connection holds {limit} symbols already"
                    self.refused_symbols += 1
                    continue
                row.broker = before.broker if before else ticket.broker
                row.feed = before.feed if before else feed
                self._want(ticket, row)
            yield len(rows)
        if ticket.stage is Stage.ENTERING:
            ticket.stage = Stage.ENTERED
            self._look(ticket)

    def _answer(self, answers: Iterable[tuple[SubscribeTicket, Row, Result]]) -> Work:
        """Hand answers to the rows that wait for them."""
        for piece in pieces(answers):
            for ticket, row, result in piece:
                if row.waiting and result.modes & ticket.mode.bit:
                    ticket.answered = True
                    self._stop_waiting(ticket, row)
                    if result.error:
                        row.problem = result.error
                        self._unwant(ticket, row)
                    elif result.depth:
                        row.depth = result.depth
                    if not ticket.missing:
                        self._look(ticket)
            yield len(piece)

    def _look(self, ticket: SubscribeTicket) -> None:
        """Whether a ticket that was waited for is complete now."""
        if ticket.complete and ticket in self._tickets:
            del self._tickets[ticket]
            ticket.client.answered()

    def _hold(self, ticket: SubscribeTicket) -> Work:
        """A client begins to hold what it asked for, and its reply is written alongside."""
        self.fanout.flush()
        ticket.client.withhold()
        for rows in pieces(ticket.rows):
            if ticket.stage is Stage.CANCELLED:
                return
            self.fanout.flush()
            values: list[bytes] = []
            lines: list[Line] = []
            for row in rows:
                if row.wanted:
                    self._settle_pending(row, ticket.client)
                    line = self._hold_one(ticket, row, values)
                    if line is not None:
                        lines.append(line)
                if ticket.max_rate is not None and not row.problem:
                    ticket.client.limit(row.key, ticket.max_rate)
            if lines:
                ticket.client.show(values, lines)
            ticket.write(rows)
            yield len(rows)
        if ticket.stage is Stage.CANCELLED:
            return
        ticket.stage = Stage.CONFIRMED
        if ticket.later:
            ticket.client.answered()

    def _hold_one(self, ticket: SubscribeTicket, row: Row, values: list[bytes]) -> Line | None:
        """A client begins to hold a key. A first value goes to `values`, its line is returned."""
        client, key, mode = ticket.client, row.key, ticket.mode
        before = self.index.held(client).get(key)
        held = before.modes if before else 0
        if held & mode.bit:
            self.wanted.of(row.feed).remove(key, mode)
            return None
        for known in self.latest.of(key)[:1]:
            key = known.key  # one copy for all that hold it
        if before and before.feed != row.feed:  # another was asked while this one was away
            self._change_feed(row, mode, before.feed)
        variant = self.index.add_key(
            client,
            key,
            row.instrument,
            mode,
            broker=row.broker,
            feed=row.feed,
            form=client.form,
        )
        self.latest.unresolve(key)
        self.fanout.expect(key, mode)
        self.notices.holds(client, key)
        line = self.snapshots.first(client, key, mode, held) if ticket.snapshot else None
        shown = frame(line, variant) if line is not None else None
        if shown is None:
            return None
        values.append(shown)
        return line

    def _change_feed(self, row: Row, mode: Mode, feed: str) -> None:
        """A client has all modes of a key of the feed that it had the first of."""
        exchange, symbol = row.instrument
        self.wanted.of(feed).add(row.key, mode, depth=row.depth, exchange=exchange, symbol=symbol)
        self.wanted.of(row.feed).remove(row.key, mode)
        row.feed = feed

    def _let_go(self, ticket: SubscribeTicket) -> Work:
        """Nothing of a ticket is wanted any more."""
        for rows in pieces(ticket.rows):
            for row in rows:
                if row.wanted:
                    self._stop_waiting(ticket, row)
                    self._unwant(ticket, row)
            yield len(rows)

    def _release(self, client: Client, ticket: UnsubscribeTicket, scope: bytes) -> Work:
        """A client ceases to hold what it names, and its reply is written alongside."""
        for drops in pieces(ticket.drops):
            if ticket.cancelled:
                return
            self.fanout.flush()
            for drop in drops:
                if not drop.problem:
                    self._drop_one(client, drop, scope)
            ticket.write(drops)
            yield len(drops)
        if ticket.cancelled:
            return
        ticket.complete = True
        if ticket.later:
            client.answered()

    def _all(self, client: Client) -> Iterator[protocol.Drop]:
        """Every symbol that a client holds, in each of its modes."""
        for key, variant in list(self.index.held(client).items()):
            for mode in MODES:
                if variant.modes & mode.bit:
                    yield protocol.Drop(protocol.names(variant), mode, key=key)

    def _notify(self, client: Client) -> Work:
        """Tell a client a slice at a time, until it knows, or takes no more."""
        while told := client.notify():
            yield told

    def _notify_all(self, keys: Sequence[bytes]) -> Work:
        """These keys are stale, or no more: tell those who asked for that and hold them."""
        holders = (
            (client, key)
            for key in keys
            for audience in tuple(self.index.audiences(key).values())
            for client in audience.members
        )
        for piece in pieces(holders):
            owed = [client for client, key in piece if self.notices.owe(client, (key,))]
            for client in dict.fromkeys(owed):
                self.notify(client)
            yield len(piece)

    def _leave(self, client: Client) -> Work:
        """Nothing is held by a client that is gone."""
        yield from self._cease(client)
        self.index.drop(client)

    def _cease(self, client: Client) -> Work:
        """A client ceases to hold what it holds now."""
        for piece in pieces(list(self.index.held(client).items())):
            self.fanout.flush()
            for key, variant in piece:
                self._drop(client, key, variant.modes)
            yield len(piece)

    def _want(self, ticket: SubscribeTicket, row: Row) -> None:
        feed, key, depth = row.feed, row.key, row.depth
        exchange, symbol = row.instrument
        row.wanted = True
        self._pending[ticket.client] += 1
        if self.wanted.of(feed).add(
            key, ticket.mode, depth=depth, exchange=exchange, symbol=symbol
        ):
            return
        row.waiting = True
        ticket.missing += 1
        others = self._waiting.get((feed, key))
        if others is None:
            self._waiting[feed, key] = {row: ticket}
        else:
            others[row] = ticket

    def _unwant(self, ticket: SubscribeTicket, row: Row) -> None:
        self._settle_pending(row, ticket.client)
        self.wanted.of(row.feed).remove(row.key, ticket.mode)

    def _stop_waiting(self, ticket: SubscribeTicket, row: Row) -> None:
        if not row.waiting:
            return
        row.waiting = False
        ticket.missing -= 1
        place = row.feed, row.key
        others = self._waiting[place]
        del others[row]
        if not others:
            del self._waiting[place]

    def _settle_pending(self, row: Row, client: Client) -> None:
        row.wanted = False
        self._pending[client] -= 1
        if not self._pending[client]:
            del self._pending[client]

    def _drop_one(self, client: Client, drop: protocol.Drop, scope: bytes) -> None:
        try:
            key = drop.key or scope + drop.instrument.key
        except (UnicodeEncodeError, RecursionError):
            return  # a name that cannot be written is held by nobody
        held, mode = self.index.modes(client, key), drop.mode
        if mode is None and held & Mode.QUOTE.bit:
            mode = Mode.QUOTE
        self._drop(client, key, held & mode.bit if mode else held)

    def _drop(self, client: Client, key: bytes, modes: int) -> None:
        """Cease to hold a key in these modes."""
        client.ceases(key, self.index.modes(client, key) & ~modes)
        dropped = [mode for mode in MODES if modes & mode.bit]
        for mode in dropped:
            variant = self.index.remove(client, key, mode)
            if variant is not None:
                self.wanted.of(variant.feed).remove(key, mode)
        if dropped:
            self.notices.left(client, key)
            self.snapshots.left(client, key, self.index.modes(client, key))
            self.latest.unresolve(key)
