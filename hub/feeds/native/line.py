"""A way to a broker that is kept: a connection is made, and made again, for what is wanted of it.

1. It is made with credentials that are asked for anew each time: a token dies every morning.
2. It stays when nothing is wanted of it any more.
3. Ticks are published in one go for all that a turn of the loop has brought.
4. A message that asks for more than there is room for is asked in halves, until it is known what
   has room and what has none. That is believed for `_FULL_S`, or until the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Sequence

from hub.brokers.base import Addresses, Channel, Limits, Subscription
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.feeds.native.ledger import Ledger
from hub.feeds.native.owner import Once, Owner
from hub.feeds.native.retry import Retry
from hub.feeds.native.session import Session
from hub.feeds.native.spread import Load
from hub.runtime.log import Seldom, log

_DAY_S = 86_400.0
_FULL_S = 300.0
_PATIENT = (Fault.EVICTED, Fault.RATE, Fault.CAPACITY)
"""Faults after which nothing makes the next try come sooner."""


class Line:
    """One connection of an account by a channel; `number` begins at 1."""

    def __init__(self, owner: Owner, channel: Channel, addresses: Addresses, number: int) -> None:
        self.channel = channel
        self.ledger = Ledger(channel.limits.confirm_s)
        self.load = Load(channel.limits)
        self.name = owner.name if number == 1 else f"{owner.name}, connection {number}"
        self.state = "idle"
        self.problem = ""
        self.fault: Fault | None = None
        self.ticks = self.reconnects = self.malformed = 0
        self.ticked_s = 0.0
        self._owner = owner
        self._addresses = addresses
        self._retry = Retry()
        self._session: Session | None = None
        self._trial: Once | None = None
        self._up_s = self._next_s = 0.0
        self._full_until_s = 0.0
        self.portion = channel.limits.per_message
        self._now_s = self._latest_ms = 0.0
        self._pairs: list[bytes] = []
        self._leaving = False
        self._again = asyncio.Event()
        self._seldom = Seldom()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Line {self.name} {self.channel.name} {self.state}, {self.ledger!r}>"

    @property
    def limits(self) -> Limits:
        """What the broker allows."""
        return self.channel.limits

    # What the account does with it.

    def want(self, sub: Subscription) -> None:
        """The mode of a subscription has been set."""
        self.ledger.want(sub)
        if self._session is not None and self.ledger.open:
            self._session.wishes.set()

    def settle(self, now_s: float) -> None:
        """Judge those that the broker has had its time for."""
        if self.state != "up":
            return
        if self._full_until_s <= now_s:
            self._forget_full()
        due = self.ledger.due(now_s)
        if not self.limits.confirms:
            for sub in due:
                self.confirm(sub)
        elif due:
            self._give_up(due)

    def hurry(self) -> None:
        """Wait no longer for the next try, unless the broker wants to be left alone."""
        if self.fault not in _PATIENT:
            self._again.set()

    def trouble(self) -> str:
        """Why it is not connected, and when it tries again."""
        wait_s = self._next_s - self._owner.now_s()
        return f"{self.problem}; again in {wait_s:.0f} s" if wait_s >= 1 else self.problem

    async def run(self) -> None:
        """Connect, and connect again, until cancelled or left."""
        while True:
            least_s, error = await self._connect()
            if self._leaving:
                return
            self.problem, self.fault, self.state = str(error), error.fault, "waiting"
            self.ledger.lost()
            wait_s = 0.0  # of credentials that are refused the account takes care
            if error.fault is not Fault.AUTH:
                wait_s = self._retry.wait_s(error.fault, random.random(), least_s)  # noqa: S311
                kind = error.fault.name  # an eviction is told, whatever was lost just before it
                self._seldom.warning(kind, "%s: %s; again in %.1f s", self.name, error, wait_s)
            self._next_s = self._owner.now_s() + wait_s
            self._again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._again.wait()
            self.reconnects += 1

    async def leave(self) -> None:
        """Close the connection, and make none any more."""
        self._leaving = True
        if self._session is not None:
            await self._session.close()

    async def _connect(self) -> tuple[float, BrokerError]:
        """One connection from beginning to end: for how long the next one has to wait at least, and
        why it ended."""
        self.state, self._up_s, before = "connecting", 0.0, self.ticks
        try:
            credentials = await self._owner.admit()
        except BrokerError as error:
            return 0.0, error
        except Exception as error:  # noqa: BLE001  # what it is read from may be anything
            log.error("%s", self.name, exc_info=error)
            return 0.0, BrokerError(Fault.NETWORK, f"its credentials: {type(error).__name__}")
        self._trial = Once(self._owner)
        ended = BrokerError(Fault.NETWORK, "it was left")
        session = None
        try:
            codec = self.channel.codec(credentials, self._addresses)
            session = self._session = Session(self, self._owner, codec)
            if self.ledger.open:
                session.wishes.set()
            await session.run()
        except BrokerError as error:
            ended = error
        except Exception as error:  # noqa: BLE001  # a codec raises nothing; if so, no feed ends
            log.error("%s", self.name, exc_info=error)
            ended = BrokerError(Fault.NETWORK, f"{type(error).__name__} in its codec")
        finally:
            if not self._trial.tell(ended) and ended.fault is Fault.AUTH:
                self._owner.expelled(credentials, ended)
            up_s = self._owner.now_s() - self._up_s if self._up_s else 0.0
            self._retry.lasted(up_s, delivered=self.ticks > before)
            self._session = None
        if session is None:
            return 0.0, ended
        rest_s = self.limits.rest_s if up_s and session.in_order else 0.0
        return max(rest_s, session.retry_after_s), ended

    # What its connection tells.

    def up(self) -> None:
        """See `session.Side`."""
        if self._trial is not None:
            self._trial.tell(None)
        self.state, self.problem = "up", ""
        self._forget_full()
        self._up_s = self._owner.now_s()
        log.info("%s is up", self.name)

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, number: int) -> None:
        """See `session.Side`."""
        if sub.waits and mode > sub.held:
            self.confirm(sub)
        pairs = self._pairs
        arbiter = self._owner.arbiter
        if arbiter:
            if not pairs:
                self._now_s, self._latest_ms = self._owner.now_s(), (time.time() + _DAY_S) * 1000
            if at_ms > self._latest_ms:
                at_ms = 0  # it would keep out all that is to come
            if not arbiter.passes(sub, at_ms, number, self._now_s):
                return
        if not pairs:
            self._loop.call_soon(self._publish)
        pairs.append(sub.topics[mode])
        pairs.append(payload)

    def confirm(self, sub: Subscription) -> None:
        """See `session.Side`."""
        if self.ledger.confirm(sub):
            self._owner.confirmed(sub)

    def refuse(self, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """See `session.Side`."""
        mine = [sub for sub in subs if sub in self.ledger]
        full = fault is Fault.CAPACITY and bool(mine)
        if full and len(mine) > 1:
            self.portion = len(mine) // 2
            self.ledger.again(mine)
            if self._session is not None:
                self._session.wishes.set()
            return
        if full:
            mine += [sub for sub in self.ledger.unsaid() if sub is not mine[0]]
        for sub in mine:
            self.ledger.drop(sub)
            self.load.remove(sub.mode)
        if full:
            self.load.full_at = self.load.count
            self._full_until_s = self._owner.now_s() + _FULL_S
        if mine:
            self._owner.refused(self, mine, fault, text)

    def _forget_full(self) -> None:
        """There may be room again."""
        self.load.full_at, self._full_until_s = math.inf, math.inf
        self.portion = self.limits.per_message

    def _give_up(self, subs: Sequence[Subscription]) -> None:
        """Nothing has come of these. They are released: what comes late is of no use any more, and
        would count against the limit."""
        for sub in subs:
            self.load.remove(sub.mode)
            sub.mode = 0
            self.want(sub)
        wait_s = self.limits.confirm_s
        text = f"it has not confirmed it within {wait_s:g} s: it may know no such symbol"
        self._owner.refused(self, subs, Fault.NETWORK, text)

    def in_session(self) -> bool:
        """See `session.Side`."""
        return self._owner.in_session(self)

    def _publish(self) -> None:
        pairs, self._pairs = self._pairs, []
        self.ticks += len(pairs) // 2
        self.ticked_s = self._owner.now_s()
        self._owner.publish(pairs)
