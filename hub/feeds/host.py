"""The process that runs one feed: reference counts below it, ticks and answers out of it.

Ticks go to the router's ingest in batches; wants come over the control link, answers go back the
same way to the shard that asked. The feed itself never sees a shard.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from hub.core import codec, stream, topics
from hub.core.claims import Answer, Claims, Work
from hub.core.codec import Message
from hub.core.config import load
from hub.core.errors import Malformed
from hub.core.liveness import MISSED_S, Awake
from hub.core.market import Market
from hub.core.model import FULL, Offer, Result, Want
from hub.core.names import FEED, reader, reader_number
from hub.core.payload import clean
from hub.core.settings import Settings
from hub.core.stale import Staleness
from hub.feeds import catalogue
from hub.feeds.base import Bringer, Feed, LoginFeed
from hub.feeds.holidays import Holidays
from hub.runtime import wire
from hub.runtime.control import ControlLink
from hub.runtime.log import Seldom
from hub.runtime.role import Role, run

_INGEST_QUEUE = 1000
_TICK_S = 0.25
_CALM_TICK_S = 1.0
_GRACE_S = 10.0
_EMPTY_S = 0.01
_LARGEST_BATCH = 2000
_MOST_NAMED = 5
"""Stale keys that the figures name."""

_MOST_RELEASED = 500
"""Keys told of in one message: ticks wait while the router follows it."""


class FeedHost(Role):
    """Runs the feed that its name (`feed-sim`) names."""

    def __init__(self, name: str, settings: Settings, feed: Feed | None = None) -> None:
        super().__init__(name, settings)
        self._feed = feed or catalogue.make(name.removeprefix(FEED), settings)
        self._holidays = Holidays(settings.market.calendar)
        self.begin_anew()
        self._calm_since_s = float("-inf")
        self._heard: set[int] = set()
        self._forget_at = float("inf")
        self._malformed = 0
        self._seldom = Seldom()

    def begin_anew(self) -> None:
        """Nobody wants anything of the feed yet."""
        market = self.settings.market
        self._claims = Claims(self.settings.upstream.linger_s)
        self._stale = Staleness(
            Market(market.sessions, market.timezone, market.holidays, self._holidays),
            self._claims.claimants,
        )

    async def start(self) -> None:
        """Start the feed, then report for work."""
        self._ingest = wire.to_router(self.runtime_dir, _INGEST_QUEUE)
        self._ingest.reset(open_=True)
        self._control = ControlLink(
            self.name,
            self.runtime_dir,
            welcomed=self._welcomed,
            figures=self._figures,
            handlers={
                "interest": self._take_interest,
                "invalidate": self._take_invalidate,
                "quiet": self._take_quiet,
                "cluster": self._take_cluster,
            },
            offer=self.offer(),
            refused=self.refused,
        )
        await self.begin()
        self._control.start(self.background)
        self.background(self._tend())

    async def begin(self) -> None:
        """Start the feed."""
        if isinstance(self._feed, Bringer):
            self._feed.use(self)
        await self._feed.start(self)

    async def end(self) -> None:
        """Stop it."""
        await self._feed.stop()

    async def drain(self) -> None:
        """Leave the source, then the hub."""
        await self.end()
        await self._empty()
        await self._control.stop()
        self._ingest.close()

    async def _empty(self) -> None:
        """Send what was kept for a router without room: there is no later tick to make up for it.
        A router that takes nothing is waited for no longer than a part of the time to leave."""
        until_s = time.monotonic() + self.settings.hub.stop_s / 10
        while not self._ingest.retry() and time.monotonic() < until_s:  # noqa: ASYNC110  # no event
            await asyncio.sleep(_EMPTY_S)

    def offer(self) -> Offer:
        """What the feed announces."""
        feed = self._feed
        return Offer(
            feed.name,
            brokers=feed.serves.brokers,
            users=feed.serves.users,
            symbols=feed.limits.symbols,
            depth_levels=feed.limits.depth_levels,
            shared=feed.serves.shared,
            logins=feed.serves.logins,
        )

    # What the feed is given as its sink.

    def publish(self, pairs: Sequence[bytes]) -> None:
        """Ticks on their way to the router, which relies on their JSON: those that have none are
        dropped and counted here. While it takes none the newest of each topic is kept for it."""
        good = self._checked(pairs)
        for start in range(0, len(good), _LARGEST_BATCH):
            batch = good[start : start + _LARGEST_BATCH]
            if not self._ingest.send_ticks(stream.TICKS, [codec.pack(batch)]):
                self._seldom.warning("ingest", "the router takes no ticks; they are conflated")

    # What a feed that brings others has of it as its house.

    def guest(self, feed: Feed) -> Guest:
        """See `House`."""
        return Guest(self, feed)

    def pass_on(self, kind: bytes, batch: bytes) -> None:
        """See `House`."""
        if not self._ingest.send_ticks(kind, [batch]):
            self._seldom.warning("ingest", "the router takes no ticks; they are conflated")

    def account(self, pairs: Sequence[bytes]) -> None:
        """See `House`."""
        self._ingest.send_surely([stream.ACCOUNT, codec.pack(pairs)])

    def say(self, message: Message) -> None:
        """See `House`."""
        self._control.send(message)

    def _take_cluster(self, message: Message) -> None:
        """The command line asks for all machines."""
        if isinstance(self._feed, Bringer):
            told = self._feed.cluster()
            self.say({"t": "cluster", "to": message["from"], "cluster": told})

    def _checked(self, pairs: Sequence[object]) -> list[bytes]:
        good: list[bytes] = []
        parts = iter(pairs)
        for topic, payload in zip(parts, parts, strict=False):
            try:
                if not (isinstance(topic, bytes) and isinstance(payload, bytes)):
                    raise Malformed("topic and JSON are bytes")
                good += (topic, clean(payload))
            except Malformed as error:
                self._malformed += 1
                self._seldom.warning("malformed", "%.80r is dropped: %s", topic, error)
        return good

    def answer(self, results: Sequence[Result]) -> None:
        """The feed's answers, handed to the shards that wait for them. What it has no room for it
        is asked for once more, as far as what only lingers makes room."""
        full = [result for result in results if result.code == FULL]
        asked_again = self._claims.make_room(full) if full else []
        keys = {want.key for want in asked_again}
        told = [result for result in results if result.key not in keys]
        for result in told:
            if result.error:
                self._seldom.warning("refused", "%s: %s", topics.shown(result.key), result.error)
        self._send([answer for result in told for answer in self._claims.settle(result)])
        self._send(self._logins_up(told))
        self._apply(asked_again)
        self._tell_released()

    # What the router tells.

    def _welcomed(self, _: Message) -> None:
        """A new stay at the router: shards that do not come back in time are forgotten."""
        self._heard.clear()
        self._forget_at = time.monotonic() + _GRACE_S

    def _take_interest(self, message: Message) -> None:
        shard, wants = int(message["shard"]), codec.wants(message)
        self._heard.add(shard)
        replace = bool(message["replace"])
        work = self._claims.apply(shard, wants, replace=replace, now=time.monotonic())
        self._stale.claimed(shard, [want.key for want in wants], replace=replace)
        self._judge(all_=False)
        self._send(work.answers)
        self._apply(self._within_limits(work))

    def _take_invalidate(self, message: Message) -> None:
        if self._feed.serves.logins:
            feed = cast("LoginFeed", self._feed)
            feed.invalidate(str(message["user"]), str(message["kind"]))

    def _take_quiet(self, message: Message) -> None:
        """What a shard hears nothing of."""
        hub = self.settings.hub
        shard = reader_number(str(message["from"]), hub.shards, self.settings.streams)
        self._stale.take(shard, codec.quiet(message), replace=bool(message["replace"]))
        self._holidays.learn(self.background)

    def _judge(self, *, all_: bool = True) -> None:
        """Tell shards what is stale of their keys, and what is not any more."""
        self._stale.judge(time.time(), time.monotonic() - self._calm_since_s, all_=all_)
        for shard, rows, replace in self._stale.tell():
            self._control.send(
                {
                    "t": "stale",
                    "to": reader(shard, self.settings.hub.shards),
                    "feed": self._feed.name,
                    "stale": rows,
                    "replace": replace,
                }
            )

    def _within_limits(self, work: Work) -> list[Want]:
        """What the feed may be asked for. What only lingers makes room. For the rest the last of
        the new keys are refused: of none of these the feed was asked for anything yet."""
        limit = self._feed.limits.symbols
        over = len(self._claims) - limit if limit else 0
        if over <= 0:
            return work.asks
        given_back = self._claims.give_back(over)
        self._apply(given_back)
        self._tell_released()
        over -= len(given_back)
        if not over:
            return work.asks
        refused = work.fresh[-over:]
        self._refuse(refused, f"feed {self._feed.name} takes no more than {limit} symbols")
        keys = {want.key for want in refused}
        return [want for want in work.asks if want.key not in keys]

    def _apply(self, wants: list[Want]) -> None:
        """Hand wants to the feed; one that breaks down is an error for those who wait."""
        if not wants:
            return
        try:
            self._feed.apply(wants)
        except Exception as error:  # noqa: BLE001  # a feed is somebody else's code
            self._seldom.warning("apply", "feed %s: %r", self._feed.name, error)
            self._refuse(wants, f"feed {self._feed.name}: {type(error).__name__}: {error}")

    def _refuse(self, wants: list[Want], reason: str) -> None:
        self.answer([Result(want.key, want.modes, reason) for want in wants if want.modes])

    def _logins_up(self, results: Iterable[Result]) -> list[Answer]:
        """Logins that are up are told to all shards: to some it was refused before, so that they
        claim it no more, and their clients are told why not at everything they ask."""
        return [
            Answer(shard, result)
            for result in results
            if result.key.startswith(topics.LOGIN) and not result.error
            for shard in range(self.settings.streams)
        ]

    def _send(self, answers: list[Answer]) -> None:
        by_shard: dict[int, list[Result]] = defaultdict(list)
        for shard, result in answers:
            by_shard[shard].append(result)
        for shard, results in by_shard.items():
            self._control.send(
                {
                    "t": "results",
                    "to": reader(shard, self.settings.hub.shards),
                    "feed": self._feed.name,
                    "results": results,
                }
            )

    async def _tend(self) -> None:
        """Release what has lingered long enough; forget shards that did not come back. After a
        pause of this process what they have said meanwhile is read first."""
        clock = Awake()
        while True:
            await asyncio.sleep(_TICK_S if self._claims.lingering else _CALM_TICK_S)
            pause = clock.pause(time.monotonic())
            self._paused(pause.seconds, time.monotonic())
            self._ingest.retry()
            if not pause.read_first:
                self._sweep(time.monotonic())

    def _paused(self, seconds: float, now_s: float) -> None:
        """Nobody is late for what fell due meanwhile, and after a long pause nothing is stale of
        which others have not had time to speak."""
        self._forget_at += seconds
        if seconds > MISSED_S:
            self._calm_since_s = now_s

    def _sweep(self, now_s: float) -> None:
        if now_s >= self._forget_at:
            self._forget_at = float("inf")
            for shard in set(self._claims.shards()) - self._heard:
                self._claims.drop({shard}, now_s)
                self._stale.claimed(shard, (), replace=True)
        self._judge()
        ended = self._claims.due(now_s)
        self._apply(ended)
        self._tell_released()

    def _tell_released(self) -> None:
        keys = self._claims.take_released()
        for start in range(0, len(keys), _MOST_RELEASED):
            self._control.send({"t": "released", "keys": keys[start : start + _MOST_RELEASED]})

    def _figures(self) -> dict[str, Any]:
        health = self._feed.health()
        return (
            self.common_figures()
            | {
                "out": health.ticks,
                "dropped": health.dropped,
                "conflated": self._ingest.conflated + health.conflated,
                "malformed": self._malformed,
                "symbols": health.subscribed,
                "feed_state": health.state.value,
                "problem": health.problem,
                "limit": self._feed.limits.symbols,
                "topics": health.topics,
                "connections": health.connections,
                "brokers": list(health.brokers),
                "accounts": list(health.accounts),
                "refused": [list(row) for row in health.refused],
                "stale": self._stale.count,
                "stale_first": [topics.shown(key) for key in self._stale.first(_MOST_NAMED)],
            }
            | (self._feed.figures() if isinstance(self._feed, Bringer) else {})
        )


class Guest(FeedHost):
    """The host of a feed that another feed brings: in its process, with a name of its own."""

    def __init__(self, house: FeedHost, feed: Feed) -> None:
        super().__init__(f"{FEED}{feed.name}", house.settings, feed)
        self._house = house
        self._stays = 0
        self.resumed: Callable[[], None] = lambda: None

    def _welcomed(self, message: Message) -> None:
        self._stays += 1
        super()._welcomed(message)

    def _take_interest(self, message: Message) -> None:
        tells_all = self._stays > 1 and int(message["shard"]) not in self._heard
        super()._take_interest(message)
        if tells_all:
            self.resumed()

    def asked(self, key: bytes) -> int:
        """See `hub.feeds.base.Guest`."""
        return self._claims.asked(key)

    def fail(self, error: BaseException) -> None:
        """A fault is one of the whole process."""
        self._house.fail(error)

    def _figures(self) -> dict[str, Any]:
        return super()._figures() | {"guest": self._house.name}


def _main(feed: str) -> None:
    from hub.feeds.deputy import Deputy  # noqa: PLC0415  # which is a host

    settings = load()
    run(f"{FEED}{feed}", settings, Deputy if settings.nats.standby else FeedHost)


if __name__ == "__main__":
    _main(sys.argv[1])
