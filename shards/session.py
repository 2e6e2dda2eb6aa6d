"""One client: who it is and what it has asked.

1. Requests are handled in their order, one at a time; replies leave in that order too.
2. Only subscribes may run side by side, so a burst of them becomes a few requests upstream. One
   behind an unsubscribe waits for it, as all else does.
3. A request that waits is kept as it came and read when its turn comes: read, it may be thirty
   times as large.
4. What goes out besides replies, and when, is in delivery.py.
5. The form in which it is sent things is that of its first authenticate. The reply to that one is
   plain still, as an error or the reply of a server without forms would be.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator

from hub.auth.verifier import Grant
from hub.core import forms
from hub.core.errors import KeyStoreError, RequestError
from hub.core.model import Identity
from hub.core.settings import Settings
from shards import protocol
from shards.delivery import Delivery, Wire
from shards.desk import Desk
from shards.guests import Bound, Guests
from shards.tickets import Refusal, Ticket

Verify = Callable[[str], Awaitable[Grant | None]]

_MOST_NOTICES = 100
"""Stale symbols told of at once."""


class Session(Delivery):
    """One client's conversation."""

    __slots__ = (
        "_busy",
        "_counted",
        "_grant",
        "_guests",
        "_head",
        "_held",
        "_in_hand_bytes",
        "_reply_form",
        "_requests",
        "_scope",
        "_settings",
        "_tell",
        "_tickets",
        "_verify",
        "_waiting_bytes",
        "identity",
        "snapshot",
    )

    def __init__(
        self,
        wire: Wire,
        desk: Desk,
        settings: Settings,
        verify: Verify,
        tell: Callable[[], None],
        guests: Guests,
    ) -> None:
        super().__init__(wire, desk, settings.websocket)
        self.identity: Identity | None = None
        self._grant: Grant | None = None
        self.snapshot = settings.websocket.snapshot
        self._reply_form = self.form
        self._settings = settings
        self._verify = verify
        self._tell = tell
        self._guests = guests
        self._requests: deque[str | bytes] = deque()
        self._head: protocol.Request | RequestError | None = None
        self._tickets: deque[Ticket] = deque()
        self._waiting_bytes = 0
        self._in_hand_bytes = 0
        self._counted = 0
        self._scope: bytes | None = None
        self._busy = False
        self._held = False

    def __repr__(self) -> str:
        who, symbols = self.user or "unknown", len(self._desk.index.held(self))
        return f"<Session {who}, {symbols} symbols, {self.outbox!r}>"

    @property
    def user(self) -> str:
        """Who has authenticated, empty for nobody."""
        return self.identity.user if self.identity else ""

    # From the client.

    @property
    def checking(self) -> bool:
        """Whether an API key is being verified."""
        return self._busy

    def receive(self, text: str | bytes) -> None:
        """A message has come."""
        self._requests.append(text)
        self._waiting_bytes += sys.getsizeof(text)
        self._work()

    def gone(self) -> None:
        """The connection has ended."""
        self._busy = True
        self.fd = -1
        self._requests.clear()
        self._head = None
        for ticket in self._tickets:
            ticket.cancel()
        self._tickets.clear()
        self._desk.leave(self)
        if self.identity is not None:
            self._guests.symbols(self.identity.user, -self._counted)
            self._guests.session(self.identity.user, -1)
        self._counted = 0
        self._tell()

    @property
    def misplaced(self) -> bool:
        """Whether what it holds is of a feed that it would not be given now."""
        return self.identity is not None and self._desk.misplaced(self, self.identity)

    def recheck(self, stands: Callable[[Grant], bool]) -> None:
        """Keys have changed: a client whose key was revoked may stay no longer."""
        if self._grant is not None and not stands(self._grant):
            self._wire.close(protocol.POLICY_VIOLATION, "the API key was revoked")

    # From the desk.

    def notify(self) -> int:
        """Send some of what is owed of stale symbols; how many, 0 when that is all, or it has to
        wait: for a reply, or until the socket takes more."""
        if self.outbox.behind or self._withheld is not None:
            return 0
        told = self._desk.notices.due(self, _MOST_NOTICES)
        if told:
            self._write(b"".join([forms.message(text, self.form) for text in told]))
        return len(told)

    def answered(self) -> None:
        """A ticket is complete, or confirmed: send the replies whose turn has come, then work
        on."""
        self._send_replies()
        self._work()

    # Below: details.

    def _overrun(self) -> None:
        self._guests.bounds[Bound.OVERRUN] += 1
        self._desk.accounts.leave(self)
        self._tell()

    def _work(self) -> None:
        """Handle requests until one has to wait."""
        while self._requests and not self._busy:
            if self._head is None:
                self._head = _read(self._requests[0])
            request, size = self._head, sys.getsizeof(self._requests[0])
            if self._tickets and not (_is_subscribe(request) and self._may_join(size)):
                break
            self._requests.popleft()
            self._head = None
            self._waiting_bytes -= size
            self._in_hand_bytes += size
            try:
                self._handle(request)
            except RequestError as error:
                self._refuse(error)
            except RecursionError:
                self._refuse(RequestError(protocol.SERVER_ERROR, "nested too deeply"))
            self._account()
        self._account()
        self._pace()

    def _may_join(self, size: int) -> bool:
        """Whether a subscribe may be taken beside what waits for its answer."""
        has_room = self._in_hand_bytes + size <= self._settings.websocket.max_waiting_bytes
        return has_room and not self._tickets[-1].alone

    def _account(self) -> None:
        """When no reply is owed, nothing of what was asked is left but what is held."""
        if not self._tickets:
            self._in_hand_bytes = 0
            self._count_symbols()

    def _pace(self) -> None:
        """Read no more from a client while too much of what it asked waits."""
        limits = self._settings.websocket
        waiting = len(self._requests) + len(self._tickets)
        size = self._waiting_bytes + self._in_hand_bytes
        full = max(waiting / limits.max_requests, size / limits.max_waiting_bytes)
        if self._held and (full <= 1 / 2 or not waiting):
            self._held = False
            self._wire.hold(reading=True)
        elif not self._held and full >= 1 and waiting:
            self._held = True
            self._guests.bounds[Bound.PACED] += 1
            self._wire.hold(reading=False)

    def _refuse(self, error: RequestError) -> None:
        self._tickets.append(Refusal(error))
        self._send_replies()

    def _send_replies(self) -> None:
        while self._tickets and self._tickets[0].complete:
            ticket = self._tickets[0]
            if not ticket.confirm():
                break
            self._tickets.popleft()
            withheld = self._release()
            try:
                self._reply(ticket.reply())
            except RequestError as error:
                self._reply(protocol.error(error.code, str(error)))
            self._follow(withheld)
            self._in_step()

    def _in_step(self) -> None:
        """It may be told of stale symbols now, if no reply is owed."""
        if not self._tickets:
            self._desk.notices.attend(self)
        if self._desk.notices.owes(self):
            self._desk.notify(self)
            self._tell()

    def _handle(self, request: protocol.Request | RequestError) -> None:
        if isinstance(request, RequestError):
            raise request
        action = protocol.action(request)
        if action not in protocol.OPEN_TO_ALL:
            self._known()
        self._handlers()[action](request)
        self._tell()

    def _handlers(self) -> dict[str, Callable[[protocol.Request], None]]:
        return {
            "authenticate": self._authenticate,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "orders": self._follow_orders,
            "get_broker_info": self._broker_info,
            "get_supported_brokers": self._supported_brokers,
            "ping": self._ping,
        }

    def _reply(self, text: bytes) -> None:
        form, self._reply_form = self._reply_form, self.form
        self._write(forms.message(text, form))

    def _known(self) -> Identity:
        """Who this is. Raises RequestError."""
        if self.identity is None:
            raise RequestError(protocol.NOT_AUTHENTICATED, "authenticate first")
        return self.identity

    def _served(self) -> Identity:
        """Who this is, if some feed serves it. Raises RequestError."""
        identity = self._known()
        if not self._desk.feeds.of(identity):
            problem = f"no feed serves broker {identity.broker}"
            if not identity.broker:
                problem = f"{identity.user} is not logged in at a broker"
            raise RequestError(protocol.BROKER_ERROR, problem)
        return identity

    def _served_now(self) -> Identity:
        """Who this is, if ticks can be had now. Raises RequestError."""
        identity = self._served()
        problem = self._desk.logins.problem(self)
        if problem is not None:
            raise RequestError(protocol.BROKER_ERROR, str(problem))
        return identity

    def _entitled(self) -> bytes:
        """The scope of this session's keys. From the first feed that serves it on it stays the
        same, even if another feed steps in."""
        identity = self._known()
        if self._scope is None and self._desk.feeds.of(identity):
            self._scope = self._desk.scope(identity)
        return self._scope or b""

    def _authenticate(self, request: protocol.Request) -> None:
        key = protocol.api_key(request)
        form = protocol.form(request, default=self.form)
        options = protocol.options(request, default=self.options)
        if self.identity is not None and form != self.form:
            problem = "batch and encoding stay as the first authenticate of a connection has them"
            raise RequestError(protocol.INVALID_PARAMETERS, problem)
        self._busy = True
        self._wire.spawn(self._check(request, key, form, options))

    async def _check(
        self, request: protocol.Request, key: str, form: int, options: protocol.Options
    ) -> None:
        """Verify a key off the loop; the requests behind it wait meanwhile."""
        asked_s = time.monotonic()
        try:
            grant = await self._verify(key)
            if grant is None:
                self._guests.refused_key(self._wire.address, key)
                raise RequestError(protocol.AUTHENTICATION_ERROR, "the API key is not valid")
            self._become(grant.identity)
            self._grant = grant
            self.form = form
            self._adopt(options)
            self.snapshot = protocol.wants_snapshots(request, default=self.snapshot)
            self._let_in(self._served(), asked_s)
        except RequestError as error:
            self._reply(protocol.error(error.code, str(error)))
        except KeyStoreError as error:
            self._guests.unchecked_key(str(error))
            self._reply(protocol.error(protocol.SERVER_ERROR, "API keys cannot be checked now"))
        self._in_step()
        self._busy = False
        self._work()

    def _let_in(self, identity: Identity, asked_s: float) -> None:
        """Answer an authenticate, as soon as it is known how the broker's login stands. Its client
        waits since it asked: the time its key took counts, too."""
        ticket = self._desk.attend(self, identity, asked_s)
        if ticket is None:
            self._reply(protocol.authenticated(identity, self.form, self.options))
        else:
            self._tickets.append(ticket)
            self._send_replies()
        self._tell()

    def _become(self, identity: Identity) -> None:
        """From now on the client is this user. Raises RequestError when that user has enough."""
        before = self.identity
        if before is None or before.user != identity.user:
            problem = self._guests.session_problem(identity.user)
            if problem:
                raise RequestError(protocol.AUTHENTICATION_ERROR, problem)
            if before is not None:
                self._desk.accounts.leave(self)
                self._guests.symbols(before.user, -self._counted)
                self._guests.session(before.user, -1)
            self._guests.session(identity.user, 1)
            self._guests.symbols(identity.user, self._counted)
        if before != identity:
            self._desk.logins.leave(self)
            self._change_scope(self._desk.scope(identity))
        self.identity = identity
        self._wire.known()

    def _change_scope(self, scope: bytes) -> None:
        """Another user: what only the one before was entitled to is held no more."""
        if self._scope and self._scope != scope:
            self._desk.withdraw(self)
        self._scope = None

    def _subscribe(self, request: protocol.Request) -> None:
        protocol.check_subscribe(request)
        identity = self._served_now()
        asked = protocol.subscribe(request, snapshot=self.snapshot, scope=self._entitled())
        asked = self._reserve(identity.user, asked)
        told = protocol.conflation_info(request, default=self.options.conflation_info)
        self.options = self.options._replace(conflation_info=told)
        echo = protocol.echoed(request)
        ticket = self._desk.subscribe(self, echo, identity, asked, time.monotonic())
        self._tickets.append(ticket)
        self._send_replies()

    def _reserve(self, user: str, asked: protocol.Subscribe) -> protocol.Subscribe:
        """Count the symbols that are asked for, all as new ones: when no reply is owed any more,
        what is held is counted. Near the limit it is done one by one."""
        room = self._guests.symbol_room(user)
        if room is not None and room < asked.most:
            return asked._replace(entries=self._reserved(user, room, asked.entries))
        self._counted += asked.most
        self._guests.symbols(user, asked.most)
        return asked

    def _reserved(
        self, user: str, room: int, entries: Iterable[protocol.Entry]
    ) -> Iterator[protocol.Entry]:
        """Entries as they are read, counted when they are new; those beyond what the user may
        hold get a problem."""
        held = self._desk.index.held(self)
        for instrument, key, problem in entries:
            if problem or key in held:
                yield instrument, key, problem
            elif room <= 0:
                yield instrument, key, self._guests.symbol_problem(user)
            else:
                room -= 1
                self._counted += 1
                self._guests.symbols(user, 1)
                yield instrument, key, ""

    def _count_symbols(self) -> None:
        """Let the hub know how many symbols this session holds."""
        holds = len(self._desk.index.held(self))
        if self.identity is not None and holds != self._counted:
            self._guests.symbols(self.identity.user, holds - self._counted)
            self._counted = holds

    def _unsubscribe(self, request: protocol.Request) -> None:
        protocol.check_unsubscribe(request)
        broker, echo = self._served_now().broker, protocol.echoed(request)
        drops = protocol.unsubscribe(request)
        scope = self._entitled()
        self._tickets.append(self._desk.unsubscribe(self, echo, drops, broker, scope))
        self._send_replies()

    def _follow_orders(self, request: protocol.Request) -> None:
        identity, accounts = self._known(), self._desk.accounts
        if protocol.wants_orders(request):
            deadline_s = self._desk.deadline(time.monotonic())
            self._tickets.append(accounts.follow(self, request, identity.user, deadline_s))
            self._send_replies()
        else:
            accounts.unfollow(self, identity.user)
            self._reply(protocol.orders(request, on=False))

    def _broker_info(self, _: protocol.Request) -> None:
        identity = self._served()
        connected = self._desk.connected(self, identity)
        self._reply(protocol.broker_info(identity, connected=connected))

    def _supported_brokers(self, _: protocol.Request) -> None:
        self._reply(protocol.supported_brokers(self._settings.supported_brokers()))

    def _ping(self, request: protocol.Request) -> None:
        self._reply(protocol.pong(request, time.time_ns() // 1_000_000))


def _read(text: str | bytes) -> protocol.Request | RequestError:
    try:
        return protocol.read(text)
    except RequestError as error:
        return error


def _is_subscribe(request: protocol.Request | RequestError) -> bool:
    try:
        return not isinstance(request, RequestError) and protocol.action(request) == "subscribe"
    except RequestError:
        return False
