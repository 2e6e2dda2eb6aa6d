"""Order updates on a shard: who follows which user's, and the way to them.

1. An update reaches exactly the clients that follow its user, in order, each once.
2. A client follows from its reply on; the reply waits until the router knows, so that an update
   that comes right after it is not missed.
3. Whoever would miss one is closed instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.core import forms, topics
from hub.core.errors import Malformed
from hub.core.model import Mode, Result
from hub.core.orders import LOST
from hub.core.payload import clean
from hub.core.wants import Wants
from shards import protocol
from shards.tickets import Client, OrdersTicket


class Accounts:
    """The followers of each account, and the shard's interest in those accounts."""

    def __init__(self) -> None:
        self.wants = Wants()
        self.malformed = 0
        self._followers: dict[bytes, dict[Client, None]] = {}
        self._waiting: dict[OrdersTicket, None] = {}

    def __repr__(self) -> str:
        return f"<Accounts {len(self._followers)} followed, {len(self._waiting)} tickets>"

    def follow(
        self, client: Client, request: protocol.Request, user: str, deadline_s: float
    ) -> OrdersTicket:
        """A client wants a user's order updates; the ticket may be complete already."""
        ticket = OrdersTicket(self, client, request, topics.orders(user), deadline_s)
        ticket.complete = self.wants.add(ticket.key, Mode.LTP)
        if not ticket.complete:
            self._waiting[ticket] = None
        return ticket

    def confirm(self, ticket: OrdersTicket) -> bool:
        """The reply is being sent: the client follows from now on."""
        followers = self._followers.setdefault(ticket.key, {})
        if ticket.client in followers:
            self.wants.remove(ticket.key, Mode.LTP)
        followers[ticket.client] = None
        return True

    def cancel(self, ticket: OrdersTicket) -> None:
        """The client has gone before its reply."""
        self._waiting.pop(ticket, None)
        self.wants.remove(ticket.key, Mode.LTP)

    def unfollow(self, client: Client, user: str) -> None:
        """A client wants a user's order updates no more."""
        self._unfollow(client, topics.orders(user))

    def leave(self, client: Client) -> None:
        """A client is gone."""
        for key in [key for key, clients in self._followers.items() if client in clients]:
            self._unfollow(client, key)

    def begins(self, keys: Iterable[bytes]) -> list[Client]:
        """What comes from here on is of the interest that there is in these keys. The clients whose
        tickets are complete now."""
        begun = set(keys)
        for key in begun:
            self.wants.settle(Result(key, Mode.LTP.bit))
        return self._complete(ticket for ticket in self._waiting if ticket.key in begun)

    def expire(self, now_s: float) -> list[Client]:
        """The router has had time enough for tickets that are due; it is told again when it comes
        back. The clients whose tickets are complete now."""
        return self._complete(ticket for ticket in self._waiting if ticket.deadline_s <= now_s)

    def _complete(self, tickets: Iterable[OrdersTicket]) -> list[Client]:
        ready = list(tickets)
        for ticket in ready:
            ticket.complete = True
            del self._waiting[ticket]
        return [ticket.client for ticket in ready]

    def paused(self, seconds: float) -> None:
        """This process was paused: the router is not late for what fell due meanwhile."""
        for ticket in self._waiting:
            ticket.deadline_s += seconds

    def offer(self, pairs: Sequence[bytes]) -> None:
        """Account events `[key, json, ...]`, in their order."""
        parts = iter(pairs)
        for key, payload in zip(parts, parts, strict=True):
            if payload == LOST:
                self._cut(key)
                continue
            try:
                self._deliver(key, clean(payload))
            except Malformed:
                self.malformed += 1

    def _deliver(self, key: bytes, payload: bytes) -> None:
        """An update for all followers, written once for each form that one of them has. Raises
        Malformed after it has gone to all that it could be written for."""
        made: dict[int, bytes] = {}
        problem: Malformed | None = None
        for client in list(self._followers.get(key, ())):
            try:
                if client.form not in made:
                    made[client.form] = forms.message(payload, client.form)
                client.deliver_event(made[client.form])
            except Malformed as error:
                client.event_lost()
                problem = error
        if problem is not None:
            raise problem

    def _cut(self, key: bytes) -> None:
        """Updates of this account were lost: whoever follows it has to know."""
        for client in list(self._followers.get(key, ())):
            client.event_lost()

    def _unfollow(self, client: Client, key: bytes) -> None:
        followers = self._followers.get(key, {})
        if client in followers:
            del followers[client]
            self.wants.remove(key, Mode.LTP)
        if not followers:
            self._followers.pop(key, None)
