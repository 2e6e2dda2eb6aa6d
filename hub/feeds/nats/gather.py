"""The feed `nats`: finds the ingests there are, and has the feeds of each here as if they ran here.

1. It serves nobody itself. Each feed that an ingest announces is one of its guests, with a name and
   a link to the router of its own: to all others here it is a feed like any.
2. A feed is here for as long as its ingest says so. Silence counts while NATS is there: cut off
   from it, clients keep what they have, and are sent what has changed when it is back.
3. Of a feed that several announce, the one with the newest lease is it. One that was gone is
   another when it is back, even if nobody here has heard that it was (its `life`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import hub
from hub.cluster.follower import Follower
from hub.cluster.machines import Machines, machine_name
from hub.cluster.publisher import Publisher
from hub.core import cluster, subjects, topics
from hub.core.cluster import EDGE, INGEST, SILENT_S, STANDBY, Announced, Beat
from hub.core.errors import Malformed
from hub.core.liveness import BEAT_S, Awake
from hub.core.model import NOBODY, Result, Want
from hub.core.names import POSITION
from hub.core.settings import NATS, Settings
from hub.feeds.base import FeedHealth, FeedState, Guest, House, Limits, Serves, Sink
from hub.feeds.nats.remote import Remote
from hub.feeds.nats.upstream import Upstream
from hub.runtime.log import Seldom, log
from hub.runtime.nats import Nats
from hub.runtime.paths import make_runtime_dir


class _Housed(NamedTuple):
    """A feed that is here, and by which ingest."""

    upstream: Upstream
    remote: Remote
    guest: Guest

    def is_that(self, upstream: Upstream, announced: Announced) -> bool:
        """Whether it is the one that is announced."""
        remote = self.remote
        same = remote.offer == announced.offer and remote.life == announced.life
        return same and self.upstream is upstream


class NatsFeed:
    """See the module."""

    name = NATS
    serves = Serves(users=(NOBODY,), logins=True)
    limits = Limits()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._me = machine_name(settings), time.time_ns()
        self._started_s = time.time()
        self._machines = Machines()
        self._upstreams: dict[str, Upstream] = {}
        self._here: dict[str, _Housed] = {}
        self._look = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._clock = Awake()
        self._ticks = self._holes = self._resyncs = 0
        self._sink: Sink | None = None
        self._seldom = Seldom()

    def __repr__(self) -> str:
        return f"<NatsFeed of {' '.join(self._upstreams) or 'nobody'}, {len(self._here)} feeds>"

    def use(self, house: House) -> None:
        """Whose guests the feeds are to be."""
        self._house = house

    async def start(self, sink: Sink) -> None:
        """Look for ingests."""
        nats, (machine, epoch) = self._settings.nats, self._me
        self._sink = sink
        self._nats = Nats(nats, f"shardhub {machine} feed-{NATS}", up=self._up)
        self._events = Publisher(self._nats, nats.prefix, machine, epoch)
        position = make_runtime_dir(self._settings) / POSITION
        self._follower = Follower(
            self._nats,
            nats.prefix,
            machine,
            self._take_event,
            stream=self._events.stream,
            position=position,
        )
        self._nats.subscribe(subjects.beat(nats.prefix), self._take_beat)
        self._nats.subscribe(subjects.edge(nats.prefix, machine), self._take_told)
        await self._nats.start()
        self._work("tend", self._tend())
        self._work("guests", self._keep_guests())
        self._events.start()
        self._follower.start()

    def apply(self, wants: Sequence[Want]) -> None:
        """Nobody is served here, so nobody wants anything."""
        text = f"the feed {NATS} only brings those of other machines"
        if self._sink is not None:
            self._sink.answer([Result(want.key, want.modes, text) for want in wants if want.modes])

    def invalidate(self, user: str, kind: str) -> None:
        """Credentials of a user have changed on this machine: the others have to know."""
        told = json.dumps({"user_id": user, "cache_type": kind})
        self._events.offer(topics.INVALIDATED, told.encode())

    def health(self) -> FeedHealth:
        """How NATS is, and what came by it."""
        state, problem = FeedState.CONNECTED, ""
        if not self._nats.connected:
            state, problem = FeedState.DISCONNECTED, "NATS is away; clients keep what they have"
        elif not self._here:
            state, problem = FeedState.CONNECTING, "no machine has a feed (hub start --publish)"
        return FeedHealth(state, 0, self._ticks, problem, connections=len(self._upstreams))

    def figures(self) -> dict[str, Any]:
        """What a heartbeat says besides."""
        upstreams = self._upstreams.values()
        return {
            "nats": self._nats.figures(),
            "events": self._events.figures() | self._follower.figures(),
            "machines": len(self._upstreams),
            "holes": self._holes + sum(one.holes for one in upstreams),
            "resyncs": self._resyncs + sum(one.resyncs for one in upstreams),
        }

    def cluster(self) -> dict[str, Any]:
        """What `hub status --cluster` asks for."""
        return {
            "machine": self._me[0],
            "role": EDGE,
            "nats": self._nats.figures(),
            "subjects": sum(one.subscribed for one in self._upstreams.values()),
            "machines": self._machines.told(time.monotonic()),
        }

    async def stop(self) -> None:
        """Give everything back."""
        for task in self._tasks.values():
            task.cancel()
        for upstream in self._upstreams.values():
            upstream.leave()
        for name in list(self._here):
            await self._dismiss(name)
        await self._events.stop()
        await self._follower.stop()
        await self._nats.stop()

    # What others say.

    def _take_beat(self, _: str, data: bytes, __: str) -> None:
        now_s = time.monotonic()
        beat = self._machines.hear(data, now_s)
        if beat is not None and beat.role == INGEST:
            self._take_ingest(beat, self._clock.look(now_s))

    def _take_ingest(self, beat: Beat, awake_s: float) -> None:
        upstream = self._upstreams.get(beat.machine)
        if upstream is None:
            prefix = self._settings.nats.prefix
            upstream = Upstream(self._nats, prefix, self._me, beat, self._take_batch)
            self._upstreams[beat.machine] = upstream
            self._work(f"@{beat.machine}", upstream.run())
        upstream.heard(beat, awake_s)
        self._look.set()

    def _take_told(self, _: str, data: bytes, __: str) -> None:
        """An ingest tells of results."""
        try:
            told = cluster.told(data)
        except Malformed as error:
            self._seldom.warning("told", "%s", error)
            return
        if isinstance(told, cluster.Results) and (found := self._upstreams.get(told.machine)):
            found.answered(told)

    def _take_batch(self, kind: bytes, batch: bytes) -> None:
        self._ticks += cluster.count(batch)
        self._house.pass_on(kind, batch)

    def _take_event(self, key: bytes, payload: bytes) -> None:
        if key == topics.INVALIDATED:
            self._house.say({"t": "invalidate", "payload": payload})
        else:
            self._house.account([key, payload])

    def _up(self) -> None:
        """NATS is there, or there again."""
        self._events.up()
        self._follower.up()
        for upstream in self._upstreams.values():
            upstream.doubt()

    # Guests come and go.

    async def _tend(self) -> None:
        """Once a second: our own beat, and who is silent. While NATS is away it is we who hear
        nobody, and right after a pause what they have said is yet to be read."""
        while True:
            pause = self._clock.pause(time.monotonic())
            awake_s = self._clock.look(time.monotonic())
            for upstream in list(self._upstreams.values()):
                if not self._nats.connected:
                    upstream.heard_s = awake_s
                elif awake_s - upstream.heard_s > SILENT_S and not pause.read_first:
                    self._forget(upstream)
            self._beat()
            await asyncio.sleep(BEAT_S)

    def _forget(self, upstream: Upstream) -> None:
        log.warning("%s is silent; its feeds are gone", upstream.machine)
        del self._upstreams[upstream.machine]
        self._holes += upstream.holes
        self._resyncs += upstream.resyncs
        self._tasks.pop(f"@{upstream.machine}").cancel()
        upstream.leave()
        self._look.set()

    def _beat(self) -> None:
        if not self._nats.connected:
            return
        lags = [one.lag_ms for one in self._upstreams.values() if one.lag_ms is not None]
        machine, epoch = self._me
        beat = Beat(
            machine=machine,
            role=EDGE,
            epoch=epoch,
            hub=hub.__version__,
            since_s=self._started_s,
            shards=self._settings.hub.shards,
            figures={"in": self._ticks, "lag_ms": max(lags, default=0.0)},
            problem=self.health().problem,
        )
        self._nats.publish(subjects.beat(self._settings.nats.prefix), cluster.encode(beat))

    async def _keep_guests(self) -> None:
        """Let exactly the feeds be here that are announced."""
        while True:
            await self._look.wait()
            self._look.clear()
            there = self._announced()
            for name, housed in list(self._here.items()):
                found = there.get(name)
                if found is None or not housed.is_that(*found):
                    await self._dismiss(name)
            for name, (upstream, announced) in there.items():
                if name not in self._here:
                    await self._take_in(upstream, announced)

    def _announced(self) -> dict[str, tuple[Upstream, Announced]]:
        """All feeds, each where its lease is the newest."""
        found: dict[str, tuple[Upstream, Announced]] = {}
        for upstream in self._upstreams.values():
            for announced in upstream.beat.feeds:
                if announced.lease and announced.lease.state == STANDBY:
                    continue
                other = found.get(announced.name)
                if other is None or _revision(announced) > _revision(other[1]):
                    found[announced.name] = upstream, announced
        return found

    async def _take_in(self, upstream: Upstream, announced: Announced) -> None:
        remote = Remote(announced, upstream.changed)
        guest = self._house.guest(remote)
        remote.asked, guest.resumed = guest.asked, upstream.missed
        self._here[announced.name] = _Housed(upstream, remote, guest)
        upstream.add(remote)
        await guest.start()
        log.info("feed %s is here, by %s", announced.name, upstream.machine)

    async def _dismiss(self, name: str) -> None:
        upstream, remote, guest = self._here.pop(name)
        upstream.drop(remote)
        await guest.part()
        log.info("feed %s is gone", name)

    def _work(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the feed stops; a fault in it is one of the process."""
        task = self._tasks[name] = asyncio.create_task(work)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.fail(error)


def _revision(announced: Announced) -> int:
    """Of those who say that they run it the one that began last does."""
    return announced.lease.revision if announced.lease else 0
