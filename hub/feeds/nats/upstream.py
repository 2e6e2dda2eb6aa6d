"""An ingest as an edge knows it: its feeds, the edge's lease there, and the ticks that come.

1. What is wanted of a feed is told as it changes, and all of it when something was lost, or may be.
   Of a feed that is here no more nothing is.
2. One thing is asked at a time, so that words keep their order. Who is not answered asks again.
3. After a hole, and when NATS or the router was away, the values of all that is wanted are asked
   for.
4. Another stay of the ingest's uplink knows nothing of this edge, which begins anew then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from hub.core import cluster, stream, subjects
from hub.core.cluster import Beat, Holes, Renew, Welcome, Who
from hub.core.errors import Malformed, NoAnswer
from hub.core.liveness import BEAT_S
from hub.feeds.nats.remote import Remote
from hub.runtime.log import Seldom, log
from hub.runtime.nats import Nats, Subscription

_ANSWER_S = 2.0
_AGAIN_S = 0.3


class Upstream:
    """One ingest. `me` is this machine's name and epoch; `take` is handed the kind (core/stream)
    and the batch of what the ingest sends."""

    def __init__(
        self,
        nats: Nats,
        prefix: str,
        me: tuple[str, int],
        beat: Beat,
        take: Callable[[bytes, bytes], None],
    ) -> None:
        self.machine = beat.machine
        self.beat = beat
        self.heard_s = 0.0
        self.lag_ms: float | None = None
        self.feeds: dict[str, Remote] = {}  # by the name that they have there
        self.holes = self.resyncs = 0
        self._ended: set[str] = set()  # feeds of which it is yet to be told that nothing is wanted
        self._seen = Holes()
        self._nats = nats
        self._prefix = prefix
        self._me = me
        self._take = take
        self._lease = 0
        self._missed = False
        self._ticks: Subscription | None = None
        self._something = asyncio.Event()
        self._seldom = Seldom()

    def __repr__(self) -> str:
        return f"<Upstream {self.machine} lease {self._lease}, {len(self.feeds)} feeds>"

    @property
    def subscribed(self) -> bool:
        """Whether ticks are subscribed."""
        return self._ticks is not None

    def heard(self, beat: Beat, now_s: float) -> None:
        """It is there."""
        if beat.stay != self.beat.stay:
            self._begin_anew()
        self.beat, self.heard_s = beat, now_s

    def add(self, feed: Remote) -> None:
        """One of its feeds is here."""
        self.feeds[feed.offer.feed] = feed
        self._ended.discard(feed.offer.feed)  # all that is wanted of it is told anew
        self.changed()

    def drop(self, feed: Remote) -> None:
        """It is here no more."""
        if self.feeds.get(feed.offer.feed) is feed:
            del self.feeds[feed.offer.feed]
            self._ended.add(feed.offer.feed)
            self.changed()

    def changed(self) -> None:
        """There is something to tell."""
        self._something.set()

    def doubt(self) -> None:
        """Something may have been lost on the way, to there or from there."""
        self._seen.doubt()
        self._missed = True
        for feed in self.feeds.values():
            feed.untold = True
        self.changed()

    def missed(self) -> None:
        """What has come went nowhere: values are asked for."""
        self._missed = True
        self.changed()

    def answered(self, told: cluster.Results) -> None:
        """One of its feeds has answered."""
        if feed := self.feeds.get(told.feed):
            feed.answered(told)

    async def run(self) -> None:
        """Keep the lease and tell what is wanted, for as long as this machine is there."""
        renewed_s = 0.0
        while True:
            try:
                if not self._nats.connected:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                if not self._lease:
                    await self._hello()
                elif time.monotonic() - renewed_s >= BEAT_S:
                    renewed_s = time.monotonic()
                    await self._say(Renew(self._lease))
                await self._tell()
            except NoAnswer as error:
                self._seldom.warning("answer", "%s", error)
                self.doubt()
                await asyncio.sleep(_AGAIN_S)
            else:
                await self._wait(BEAT_S - (time.monotonic() - renewed_s))

    def leave(self) -> None:
        """Give the lease back."""
        self._unsubscribe()
        lease, self._lease = self._lease, 0
        if lease:
            self._nats.publish(self._subject(), cluster.encode(cluster.Bye(lease)))

    async def _wait(self, at_most_s: float) -> None:
        """Wait until there is something to tell."""
        try:
            async with asyncio.timeout(max(0.0, at_most_s)):
                await self._something.wait()
        except TimeoutError:
            return
        self._something.clear()

    async def _hello(self) -> None:
        self._seen.doubt()
        told = await self._ask(cluster.Hello(*self._me))
        if not isinstance(told, Welcome):
            raise NoAnswer(self.machine, _ANSWER_S)
        self._unsubscribe()
        mine = subjects.mine(self._prefix, self.beat.stay, told.number)
        self._ticks = self._nats.subscribe(mine, self._take_ticks)
        self._lease, self._missed = told.lease, False  # what a new lease wants it is sent
        self._ended.clear()
        self._seen.begin(told.newest)
        for feed in self.feeds.values():
            feed.untold = True
        log.info("%s gives us what it has", self.machine)

    async def _tell(self) -> None:
        for name in list(self._ended):
            if self._lease:
                await self._say(cluster.Interest(self._lease, name, (), first=True, last=True))
                self._ended.discard(name)
        for feed in list(self.feeds.values()):
            for wants, first, last in feed.tell() if feed.news else ():
                if not self._lease:  # it is none any more: a new one is told everything
                    return
                word = cluster.Interest(self._lease, feed.offer.feed, wants, first, last)
                await self._say(word)
        if self._missed and self._lease:
            self._missed = False
            self.resyncs += 1
            self._seen.doubt()
            taken = await self._say(cluster.Values(self._lease))
            if isinstance(taken, cluster.Taken):
                found = self._seen.found
                self._seen.begin(taken.newest)
                self._look(found)

    async def _say(self, word: cluster.Ask) -> cluster.Told:
        """Ask under the lease, which is none any more when the ingest does not know it."""
        told = await self._ask(word)
        if isinstance(told, Who):
            self._begin_anew()
        return told

    async def _ask(self, word: cluster.Ask) -> cluster.Told:
        """Raises NoAnswer."""
        asked_s = time.monotonic()
        data = await self._nats.request(self._subject(), cluster.encode(word), _ANSWER_S)
        self.lag_ms = round((time.monotonic() - asked_s) * 1000, 3)
        try:
            return cluster.told(data)
        except Malformed as error:
            self._seldom.warning("told", "%s: %s", self.machine, error)
            raise NoAnswer(self.machine, _ANSWER_S) from None

    def _subject(self) -> str:
        return subjects.ask(self._prefix, self.machine)

    def _begin_anew(self) -> None:
        self._lease = 0
        self._seen = Holes()
        self._unsubscribe()
        self.changed()

    def _unsubscribe(self) -> None:
        if self._ticks is not None:
            self._ticks.close()
            self._ticks = None

    def _take_ticks(self, subject: str, data: bytes, _: str) -> None:
        """A message of ticks."""
        try:
            ticks = cluster.ticks(data)
        except Malformed as error:
            self._seldom.warning("ticks", "%s: %s", self.machine, error)
            return
        found = self._seen.found
        if not self._seen.take(subject, ticks.number, ticks.before):
            return
        self._look(found)
        if ticks.batch != cluster.EMPTY:
            self._take(stream.AGAIN if ticks.again else stream.UNCHECKED, ticks.batch)

    def _look(self, found: int) -> None:
        """Whether there are more holes than were found before."""
        if self._seen.found > found:
            self._seldom.warning("hole", "ticks of %s were lost on their way", self.machine)
            self.holes += 1
            self.missed()
