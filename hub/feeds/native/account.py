"""One login at a broker: its credentials, its connections, and what is had by it.

1. What is wanted goes to the first connection with room, and another one is opened when none has.
2. What a connection has no room for after all goes to another one, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from hub.brokers.base import (
    Addresses,
    Broker,
    Channel,
    Credentials,
    Listing,
    Reply,
    Request,
    Subscription,
)
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.core.settings import Account as Given
from hub.credentials.provider import Provider
from hub.feeds.native import spread
from hub.feeds.native.admission import Admission
from hub.feeds.native.arbiter import Arbiter
from hub.feeds.native.line import Line
from hub.runtime import http
from hub.runtime.tasks import end

_FETCH_S = 10.0
_AWAY_S = 10.0


class Desk(Protocol):
    """The feed that an account belongs to."""

    arbiter: Arbiter | None

    def publish(self, pairs: list[bytes]) -> None:
        """Ticks `[topic, json, ...]`."""

    def confirmed(self, sub: Subscription) -> None:
        """A broker has confirmed it."""

    def refused(self, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """An account cannot have them."""

    def is_open(self, exchange: str) -> bool:
        """Whether an exchange is in session."""

    def now_s(self) -> float:
        """Seconds that this process has been awake."""


class Account:
    """One account. `number` tells it from others of the feed, from 0 on."""

    def __init__(
        self, desk: Desk, broker: Broker, given: Given, provider: Provider, number: int, name: str
    ) -> None:
        self.broker = broker
        self.number = number
        self.name = name
        self._desk = desk
        self._given = given
        self._admission = Admission(name, broker, provider, desk.now_s)
        self._lines: dict[str, list[Line]] = {channel.name: [] for channel in broker.channels}
        self._places: dict[Subscription, Line] = {}
        self._tried: set[Subscription] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._down_s: float | None = None  # since when it is down

    def __repr__(self) -> str:
        return f"<Account {self.name} {self.state}, {len(self._places)} subscriptions>"

    def start(self) -> None:
        """Connect, and stay connected."""
        self._tasks.append(asyncio.create_task(self._admission.watch(self._hurry)))
        self._open(self.broker.channels[0])

    async def stop(self) -> None:
        """Leave."""
        await asyncio.gather(*(line.leave() for line in self.lines))
        await end(self._tasks)

    @property
    def arbiter(self) -> Arbiter | None:
        """Who leaves out copies, when several accounts have the same symbols."""
        return self._desk.arbiter

    @property
    def lines(self) -> Iterator[Line]:
        """All connections."""
        return (line for lines in self._lines.values() for line in lines)

    @property
    def state(self) -> str:
        """`up`, `connecting`, `blocked` while its credentials are refused, or `down`."""
        first = self._lines[self.broker.channels[0].name]
        if any(line.state == "up" for line in first):
            return "up"
        if self._admission.blocked:
            return "blocked"
        return "down" if any(line.problem for line in first) else "connecting"

    @property
    def out(self) -> bool:
        """Whether others are to have what it has: its credentials are refused, or it has been away
        for a while."""
        away = self._down_s is not None and self._desk.now_s() - self._down_s >= _AWAY_S
        return away or self.state == "blocked"

    @property
    def most(self) -> int:
        """How many symbols it may have on its usual connections; 0 for no limit."""
        return spread.most(self.broker.channels[0].limits, self._given.sockets)

    # What is wanted of it.

    def add(
        self, listing: Listing, symbol: str, channel: Channel, mode: int
    ) -> Subscription | None:
        """Have an instrument; None when there is no room."""
        sub = Subscription(listing, symbol, self.number)
        return sub if self._place(sub, channel, mode) else None

    def change(self, sub: Subscription, mode: int) -> bool:
        """Have it in another mode; 0 releases it. False when there is no room for that: then it is
        as it was."""
        line = self._places[sub]
        if mode and not line.load.has_room(mode, sub.mode):
            return False
        self._set(line, sub, mode)
        return True

    def settle(self) -> None:
        """Judge what brokers have had their time for."""
        now_s = self._desk.now_s()
        if self.state != "down":
            self._down_s = None
        elif self._down_s is None:
            self._down_s = now_s
        for line in self.lines:
            line.settle(now_s)

    # What its lines ask and tell.

    async def admit(self) -> Credentials:
        """See `line.Owner`."""
        return await self._admission.ask()

    def admitted(self, error: BrokerError | None) -> None:
        """See `line.Owner`."""
        self._admission.told(error)

    def expelled(self, credentials: Credentials, error: BrokerError) -> None:
        """See `line.Owner`."""
        self._admission.expelled(credentials, error)

    async def fetch(self, request: Request) -> Reply:
        """See `line.Owner`."""
        return await http.fetch(request, _FETCH_S)

    def publish(self, pairs: list[bytes]) -> None:
        """See `line.Owner`."""
        self._desk.publish(pairs)

    def confirmed(self, sub: Subscription) -> None:
        """See `line.Owner`."""
        self._tried.discard(sub)
        self._desk.confirmed(sub)

    def refused(self, line: Line, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """See `line.Owner`."""
        for sub in subs:
            self._places.pop(sub, None)
        lost = list(subs)
        if fault is Fault.CAPACITY:
            lost = [sub for sub in subs if sub in self._tried or not self._move(sub, line.channel)]
        for sub in lost:
            self._tried.discard(sub)
            sub.mode = 0
        if lost:
            self._desk.refused(lost, fault, text)

    def in_session(self, line: Line) -> bool:
        """See `line.Owner`."""
        exchanges = {sub.listing.exchange for sub in line.ledger.subs()}
        return any(map(self._desk.is_open, exchanges))

    def now_s(self) -> float:
        """See `line.Owner`."""
        return self._desk.now_s()

    # What is seen of it.

    def figures(self) -> dict[str, Any]:
        """What `hub status` shows."""
        lines = list(self.lines)
        ticked_s = max((line.ticked_s for line in lines), default=0.0)
        return {
            "account": self.name,
            "broker": self.broker.name,
            "state": self.state,
            "sockets": sum(line.state == "up" for line in lines),
            "most_sockets": spread.sockets(self.broker.channels[0].limits, self._given.sockets),
            "symbols": len(self._places),
            "confirmed": sum(line.ledger.confirmed for line in lines),
            "limit": self.most,
            "tick_age_s": round(self._desk.now_s() - ticked_s, 3) if ticked_s else None,
            "reconnects": sum(line.reconnects for line in lines),
            "malformed": sum(line.malformed for line in lines),
            "expires": self._admission.expires,
            "credentials": self._admission.source,
            "problem": self.trouble(),
        }

    def trouble(self) -> str:
        """What is wrong with it, in words."""
        found = [line for line in self.lines if line.problem and line.state != "up"]
        if not found or self._admission.blocked or found[0].fault is Fault.AUTH:
            return self._admission.trouble()
        return found[0].trouble()

    # Below: details.

    def _hurry(self) -> None:
        for line in self.lines:
            line.hurry()

    def _move(self, sub: Subscription, channel: Channel) -> bool:
        """Find another place for one that its connection had no room for."""
        self._tried.add(sub)
        return self._place(sub, channel, sub.mode)

    def _place(self, sub: Subscription, channel: Channel, mode: int) -> bool:
        lines = self._lines[channel.name]
        limits = channel.limits
        held = sum(line.load.count for line in lines)
        if limits.per_account and held >= limits.per_account:
            return False
        line = next((line for line in lines if line.load.has_room(mode)), None)
        if line is None:
            line = self._open(channel)
        if line is None:
            return False
        sub.mode = mode
        line.load.add(mode)
        self._places[sub] = line
        line.want(sub)
        return True

    def _set(self, line: Line, sub: Subscription, mode: int) -> None:
        if mode:
            line.load.change(sub.mode, mode)
        else:
            line.load.remove(sub.mode)
            del self._places[sub]
            self._tried.discard(sub)
        sub.mode = mode
        line.want(sub)

    def _open(self, channel: Channel) -> Line | None:
        """One more connection, when the account may have it."""
        lines = self._lines[channel.name]
        in_all = sum(map(len, self._lines.values()))
        if len(lines) >= spread.sockets(channel.limits, self._given.sockets):
            return None
        most = self.broker.sockets and (self._given.sockets or self.broker.sockets)
        if most and in_all >= most:
            return None
        line = Line(self, channel, self._addresses(channel), len(lines) + 1)
        lines.append(line)
        self._tasks.append(asyncio.create_task(line.run()))
        return line

    def _addresses(self, channel: Channel) -> Addresses:
        """Those of the settings go before the broker's own; by another channel it is the same host
        with that channel's path."""
        url, api = channel.addresses
        if self._given.url:
            path = "" if channel is self.broker.channels[0] else urlsplit(url).path
            url = self._given.url.rstrip("/") + path if path else self._given.url
        return Addresses(url, self._given.api_url or api)
