"""The feed of brokers that the hub reaches by itself.

1. A symbol is looked up in its broker's list of instruments; one that is not there is refused, with
   the nearest there are.
2. A want is answered when a broker has confirmed it, has refused it, or cannot be reached.
3. Accounts are filled in their order. With `upstream.copies` a symbol is had from several, and of
   the copies of a tick the first is published.
4. What an account that the broker has shut out had goes to others with room.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

from hub.brokers import catalogue
from hub.brokers.base import Subscription
from hub.core import topics
from hub.core.liveness import Awake
from hub.core.market import Market
from hub.core.model import FULL, Fault, Mode, Result, Want
from hub.core.settings import Settings
from hub.credentials.provider import providers
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink
from hub.feeds.holidays import Holidays
from hub.feeds.native import spread
from hub.feeds.native.account import Account
from hub.feeds.native.arbiter import Arbiter
from hub.feeds.native.universe import Universes, Ways
from hub.runtime.log import log
from hub.runtime.tasks import end

_STEP_S = 0.5
_PATIENCE_S = 4.0
"""How long a new want waits for an account that is connecting, and for the list of instruments."""

_KEPT = 1000
"""Refusals that are remembered, to be told."""

_NAMED = 20
_A_TURN = 200


class _Wish:
    """What is wanted of a key, of whom it is had, and in which modes it is there."""

    __slots__ = ("full", "good", "since_s", "subs", "want")

    def __init__(self, want: Want, since_s: float) -> None:
        self.want = want
        self.since_s = since_s
        self.subs: list[Subscription] = []
        self.good = 0
        self.full: set[int] = set()  # accounts whose broker has no room for it


class NativeFeed:
    """The feed of one broker, or of several that share one universe of symbols."""

    def __init__(self, name: str, settings: Settings) -> None:
        names = catalogue.of_feed(name)
        alone = set(settings.hub.feeds) <= {name}
        self.name = name
        self.serves = Serves(brokers=() if alone else tuple(dict.fromkeys([name, *names])))
        self._settings = settings
        self._brokers = [catalogue.get(broker) for broker in names]
        self._copies = settings.upstream.copies
        self.arbiter = Arbiter() if self._copies > 1 else None
        self._holidays = Holidays(settings.market.calendar)
        market = settings.market
        self._market = Market(market.sessions, market.timezone, market.holidays, self._holidays)
        self._providers = [(broker, providers(broker, settings)) for broker in self._brokers]
        self.limits = Limits(self._most(), self._levels())
        self._accounts: list[Account] = []
        self._universes = Universes(self._brokers, settings, self._listed)
        self._wishes: dict[bytes, _Wish] = {}
        self._pending: dict[bytes, None] = {}
        self._unread: deque[Want] = deque()
        self._reading = False
        self._refused: OrderedDict[bytes, str] = OrderedDict()
        self._shut: list[bool] = []
        self._ticks = 0
        self._clock = Awake()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._sink: Sink

    def __repr__(self) -> str:
        return f"<NativeFeed {self.name}, {len(self._wishes)} symbols, {self._ticks} ticks>"

    async def start(self, sink: Sink) -> None:
        """Begin to connect."""
        self._sink = sink
        for broker, found in self._providers:
            given = getattr(self._settings, broker.name)
            for provider in found:
                number = len(self._accounts)
                ordinal = found.index(provider) + 1
                name = broker.name if len(found) == 1 else f"{broker.name} {ordinal}"
                account = Account(self, broker, given, provider, number, name)
                self._accounts.append(account)
        for universe in self._universes.each:
            self._background(universe.run())
        for account in self._accounts:
            account.start()
        self._holidays.learn(self._background)
        self._background(self._tend())

    def apply(self, wants: Sequence[Want]) -> None:
        """Take changes of what is wanted."""
        self._unread.extend(wants)
        if not self._reading:
            self._read()

    def _read(self) -> None:
        """Take some of what is wanted, and the rest in the next turn of the loop: ticks do not
        wait for thousands of symbols."""
        results: list[Result] = []
        for _ in range(min(_A_TURN, len(self._unread))):
            want = self._unread.popleft()
            if want.modes:
                self._take(want, results)
            else:
                self._release(want.key)
        self._answer(results)
        self._reading = bool(self._unread) and not self._stopped
        if self._reading:
            asyncio.get_running_loop().call_soon(self._read)

    def health(self) -> FeedHealth:
        """Its figures, and those of its accounts."""
        states = [account.state for account in self._accounts]
        if "up" in states:
            state = FeedState.CONNECTED
        else:
            state = FeedState.CONNECTING if "connecting" in states else FeedState.DISCONNECTED
        return FeedHealth(
            state,
            sum(bool(wish.subs) for wish in self._wishes.values()),
            self._ticks,
            self._problem(),
            connections=sum(
                line.state == "up" for account in self._accounts for line in account.lines
            ),
            accounts=tuple(account.figures() for account in self._accounts),
            refused=tuple(
                (topics.shown(key), text) for key, text in list(self._refused.items())[-_NAMED:]
            ),
        )

    async def stop(self) -> None:
        """Leave."""
        self._stopped = True
        await asyncio.gather(*(account.stop() for account in self._accounts))
        await end(self._tasks)

    # What accounts tell.

    def publish(self, pairs: list[bytes]) -> None:
        """Ticks of an account."""
        if not self._stopped:
            self._ticks += len(pairs) // 2
            self._sink.publish(pairs)

    def confirmed(self, sub: Subscription) -> None:
        """An account has a symbol."""
        wish = self._wishes.get(sub.key)
        if wish is not None and sub in wish.subs:
            self._good(wish)

    def refused(self, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """An account cannot have symbols. What is had of another all the same is not lost, nor is
        a lower mode that was there before."""
        results: list[Result] = []
        for sub in subs:
            wish = self._wishes.get(sub.key)
            if wish is None or sub not in wish.subs:
                continue
            wish.subs.remove(sub)
            if fault is Fault.CAPACITY:
                wish.full.add(sub.account)
                self._spread(wish, self._universes.ways(wish.want))
            if not wish.subs:
                self._refuse(wish, fault, f"{self._accounts[sub.account].name}: {text}", results)
        self._answer(results)

    def is_open(self, exchange: str) -> bool:
        """Whether an exchange is in session."""
        return self._market.open_s(exchange, time.time()) is not None

    def now_s(self) -> float:
        """Seconds that this process has been awake."""
        return self._clock.look(time.monotonic())

    # What is wanted.

    def _take(self, want: Want, results: list[Result]) -> None:
        wish = self._wishes.get(want.key)
        if wish is None:
            wish = self._wishes[want.key] = _Wish(want, self.now_s())
        wish.want = want
        wish.full.clear()
        ways = self._universes.ways(want)
        if not any(ways.values()):  # it may be there in other modes
            self._leave(wish)
        if not wish.subs:
            wish.since_s = self.now_s()
            self._find(wish, ways, results)
            return
        mode = _highest(want)
        for sub in list(wish.subs):
            if sub.mode != mode and not self._accounts[sub.account].change(sub, mode):
                self._accounts[sub.account].change(sub, 0)  # another connection is to have it
                wish.subs.remove(sub)
        if len(wish.subs) < self._copies:
            self._spread(wish, ways)
        wish.good &= want.modes
        if not wish.subs:
            self._refuse(wish, Fault.CAPACITY, f"{self.name} has no room for it", results)
        elif mode > wish.good.bit_length():
            self._pending[want.key] = None
            wish.since_s = self.now_s()
        else:
            self._good(wish)

    def _release(self, key: bytes) -> None:
        wish = self._wishes.pop(key, None)
        self._pending.pop(key, None)
        self._refused.pop(key, None)
        if self.arbiter is not None:
            self.arbiter.forget(key)
        if wish is not None:
            self._leave(wish)

    def _leave(self, wish: _Wish) -> None:
        """Have it of nobody any more."""
        for sub in wish.subs:
            self._accounts[sub.account].change(sub, 0)
        wish.subs.clear()

    def _find(self, wish: _Wish, ways: Ways, results: list[Result]) -> None:
        """Have it of as many accounts as there are to be copies."""
        want = wish.want
        self._pending[want.key] = None
        if not any(ways.values()):
            if self._universes.ready:
                self._background(self._tell_unknown(want))
            return  # else it is looked for again when the lists are there
        self._spread(wish, ways)
        if not wish.subs:
            self._refuse(wish, Fault.CAPACITY, f"{self.name} has no room for it", results)

    def _spread(self, wish: _Wish, ways: Ways) -> None:
        """Have it of as many accounts as there are to be copies. One that is out gives it up where
        another one has room."""
        shut = {account.number for account in self._accounts if account.out}
        have = {sub.account for sub in wish.subs}
        for account in sorted(
            self._accounts, key=lambda one: (one.number in shut, one.state == "down")
        ):
            there = [sub for sub in wish.subs if sub.account not in shut]
            if len(there) >= self._copies or (account.number in shut and wish.subs):
                break
            way = ways[account.broker.name]
            if way is not None and account.number not in have | wish.full:
                sub = account.add(way.listing, wish.want.symbol, way.channel, _highest(wish.want))
                wish.subs += [sub] if sub else []
        for sub in [sub for sub in wish.subs if sub.account in shut][: len(wish.subs) - 1]:
            self._accounts[sub.account].change(sub, 0)
            wish.subs.remove(sub)

    # What is answered.

    def _good(self, wish: _Wish) -> None:
        want = wish.want
        wish.good = want.modes
        wish.full.clear()
        self._pending.pop(want.key, None)
        self._refused.pop(want.key, None)
        depth = self._depth(want) if want.modes & Mode.DEPTH.bit else 0
        self._answer([Result(want.key, want.modes, depth=depth)])

    def _refuse(self, wish: _Wish, fault: Fault, text: str, results: list[Result]) -> None:
        """Nobody has it any more as it is wanted; in the modes that were there it is asked for
        again."""
        want = wish.want
        bad = want.modes & ~wish.good
        if not wish.good or not bad:
            self._lost(wish, fault, text, results)
            return
        results.append(Result(want.key, bad, text, code=FULL if fault is Fault.CAPACITY else ""))
        self._pending.pop(want.key, None)
        wish.want = want._replace(modes=wish.good)
        self._spread(wish, self._universes.ways(want))
        if not wish.subs:
            self._lost(wish, fault, text, results)

    def _lost(self, wish: _Wish, fault: Fault, text: str, results: list[Result]) -> None:
        """It cannot be had: that is shown until it is asked for again."""
        self._give_up(wish, fault, text, results)
        self._refused[wish.want.key] = text
        while len(self._refused) > _KEPT:
            self._refused.popitem(last=False)

    def _give_up(self, wish: _Wish, fault: Fault, text: str, results: list[Result]) -> None:
        """A client hears why, and it is wanted no more until it is asked for."""
        want = wish.want
        self._release(want.key)
        code = FULL if fault is Fault.CAPACITY else ""
        results.append(Result(want.key, want.modes, text, code=code))

    def _answer(self, results: list[Result]) -> None:
        if results:
            self._sink.answer(results)

    async def _tell_unknown(self, want: Want) -> None:
        """Say what there is instead, which takes time to find."""
        told = await self._universes.unknown(want)
        wish = self._wishes.get(want.key)
        if wish is not None and not wish.subs:
            results: list[Result] = []
            self._lost(wish, Fault.NETWORK, told, results)
            self._answer(results)

    def _depth(self, want: Want) -> int:
        _, colon, levels = want.symbol.rpartition(":")
        return int(levels) if colon and levels.isdecimal() else self._brokers[0].channels[0].levels

    # In the course of time.

    def _listed(self) -> None:
        """There is another list of instruments: look for what waits for one."""
        results: list[Result] = []
        for key in list(self._pending):
            wish = self._wishes[key]
            if not wish.subs:
                self._find(wish, self._universes.ways(wish.want), results)
        self._answer(results)
        self._make_up()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_STEP_S)
            now_s = self.now_s()
            for account in self._accounts:
                account.settle()
            self._even_out()
            results: list[Result] = []
            for key in list(self._pending):
                self._judge(self._wishes[key], now_s, results)
            self._answer(results)

    def _even_out(self) -> None:
        """When an account is out, or in again: what it had goes to others, and copies are made up
        for."""
        states = [account.out for account in self._accounts]
        if states == self._shut or len(states) < 2:
            return
        self._shut = states
        self._make_up()

    def _make_up(self) -> None:
        """Have what is wanted of others, where that is due: this walks over all of it."""
        if len(self._accounts) > 1:
            for wish in self._wishes.values():
                if wish.subs:
                    self._spread(wish, self._universes.ways(wish.want))

    def _judge(self, wish: _Wish, now_s: float, results: list[Result]) -> None:
        """Whether a want that is not answered yet can still be hoped for."""
        if now_s - wish.since_s < _PATIENCE_S or wish.good:
            return
        accounts = [self._accounts[sub.account] for sub in wish.subs]
        if not accounts:
            text = self._problem() or f"{self.name} has no list of instruments yet"
        elif any(account.state == "up" for account in accounts):
            return
        else:
            account = accounts[0]
            text = f"{account.name} is not connected: {account.trouble() or account.state}"
        self._give_up(wish, Fault.NETWORK, text, results)  # no fault of the symbol

    def _problem(self) -> str:
        told = [
            f"{account.name}: {trouble}"
            for account in self._accounts
            if (trouble := account.trouble())
        ]
        return "; ".join(filter(None, [*told, self._universes.problem]))

    def _most(self) -> int:
        """How many symbols there is room for; 0 for no limit."""
        found = [
            spread.most(broker.channels[0].limits, getattr(self._settings, broker.name).sockets)
            for broker, providers_ in self._providers
            for _ in providers_
        ]
        return 0 if 0 in found else sum(found) // max(1, self._copies)

    def _levels(self) -> tuple[int, ...]:
        return tuple(
            sorted({channel.levels for broker in self._brokers for channel in broker.channels})
        )

    def _background(self, job: Any) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("feed %s", self.name, exc_info=task.exception())


def _highest(want: Want) -> int:
    return want.modes.bit_length()
