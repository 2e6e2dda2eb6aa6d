"""Users whose ticks need a login at their broker: who is here, and how the logins stand. Pure.

1. A login is wanted exactly while a session of its user is here.
2. An authenticate is answered when the login is up or has failed. When it takes longer than its
   client may wait for it, that is a success too: what is subscribed then waits for the login.
3. Why a login failed is told to all who ask for ticks, until it is up; each authenticate has it
   tried again. One that is up after all is claimed again: a refused claim is none.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.core import topics
from hub.core.errors import RequestError
from hub.core.model import Identity, Mode, Result
from hub.core.wants import Wants
from shards import protocol
from shards.tickets import Client


class _Login:
    """One login: its feed, whose sessions want it, who waits for it."""

    def __init__(self, feed: str, identity: Identity) -> None:
        self.feed = feed
        self.identity = identity
        self.clients: dict[Client, None] = {}
        self.waiting: dict[LoginTicket, None] = {}
        self.up = False
        self.problem: RequestError | None = None


class Logins:
    """The logins that sessions of this shard need. `wants` gives what is wanted of a feed."""

    def __init__(self, wants: Callable[[str], Wants]) -> None:
        self._wants = wants
        self._logins: dict[bytes, _Login] = {}
        self._of: dict[Client, bytes] = {}

    def __repr__(self) -> str:
        up = sum(login.up for login in self._logins.values())
        return f"<Logins {len(self._logins)}, {up} up>"

    def __len__(self) -> int:
        """How many logins are wanted."""
        return len(self._logins)

    def attend(
        self, client: Client, identity: Identity, feed: str, deadline_s: float
    ) -> LoginTicket:
        """A client has authenticated; the ticket may be complete already."""
        key = topics.login(*identity)
        if self._of.get(client) != key:
            self.leave(client)
            self._of[client] = key
            login = self._logins.setdefault(key, _Login(feed, identity))
            login.clients[client] = None
            self._add(key, login)
        login = self._logins[key]
        ticket = LoginTicket(self, client, key, identity, deadline_s)
        ticket.complete = login.up
        if not ticket.complete:
            login.waiting[ticket] = None
            self._claim(key, login)
        return ticket

    def up(self, client: Client) -> bool:
        """Whether the login of this client is up, as far as is known here."""
        key = self._of.get(client)
        return key is not None and self._logins[key].up

    def problem(self, client: Client) -> RequestError | None:
        """Why the login of this client has failed; None when it has not, or needs none."""
        key = self._of.get(client)
        return self._logins[key].problem if key is not None else None

    def leave(self, client: Client) -> None:
        """A client is gone, or is another user from now on."""
        key = self._of.pop(client, None)
        if key is None:
            return
        login = self._logins[key]
        del login.clients[client]
        for ticket in [ticket for ticket in login.waiting if ticket.client is client]:
            del login.waiting[ticket]
        self._wants(login.feed).remove(key, Mode.LTP)
        if not login.clients:
            del self._logins[key]

    def settle(self, result: Result) -> list[Client]:
        """A feed has told how a login stands; the clients whose tickets are complete now."""
        login = self._logins.get(result.key)
        if login is None:
            return []
        if login.problem is not None and not result.error:
            self._claim(result.key, login)
        login.up = not result.error
        login.problem = (
            RequestError(result.code or protocol.BROKER_ERROR, result.error)
            if result.error
            else None
        )
        return self._complete(login, list(login.waiting))

    def doubt(self, feed: str) -> None:
        """The feed is gone: how its logins stand is not known until it tells."""
        for login in self._logins.values():
            if login.feed == feed:
                login.up, login.problem = False, None

    def expire(self, now_s: float) -> list[Client]:
        """The clients that have waited long enough for their logins."""
        return [
            client
            for login in self._logins.values()
            for client in self._complete(
                login, [ticket for ticket in login.waiting if ticket.deadline_s <= now_s]
            )
        ]

    def paused(self, seconds: float) -> None:
        """This process was paused: nobody is late for what fell due meanwhile."""
        for login in self._logins.values():
            for ticket in login.waiting:
                ticket.deadline_s += seconds

    def _claim(self, key: bytes, login: _Login) -> None:
        """Once more and no more: it is told again if it was refused."""
        self._add(key, login)
        self._wants(login.feed).remove(key, Mode.LTP)

    def _add(self, key: bytes, login: _Login) -> None:
        user, broker = login.identity
        self._wants(login.feed).add(key, Mode.LTP, exchange=broker, symbol=user)

    @staticmethod
    def _complete(login: _Login, tickets: list[LoginTicket]) -> list[Client]:
        for ticket in tickets:
            ticket.complete = True
            del login.waiting[ticket]
        return [ticket.client for ticket in tickets]


class LoginTicket:
    """An authenticate that waits for its broker. It is alone: what is asked behind it is asked of
    that broker."""

    alone = True
    __slots__ = ("_identity", "_logins", "client", "complete", "deadline_s", "key")

    def __init__(
        self, logins: Logins, client: Client, key: bytes, identity: Identity, deadline_s: float
    ) -> None:
        self._logins = logins
        self._identity = identity
        self.client = client
        self.key = key
        self.deadline_s = deadline_s
        self.complete = False

    def reply(self) -> bytes:
        """The reply to authenticate. Raises RequestError when the login has failed."""
        problem = self._logins.problem(self.client)
        if problem is not None:
            raise RequestError(problem.code, str(problem))
        return protocol.authenticated(
            self._identity, self.client.form, stale_info=self.client.stale_info
        )

    def confirm(self) -> bool:
        """There is nothing more to wait for."""
        return True

    def cancel(self) -> None:
        """The client leaves, and its wants with it."""
