"""The uplink: brings what this machine's feeds have to other machines, by NATS.

1. To its router it is a shard, the last one: it tells interest, is sent ticks, may be keeper of
   keys and is asked for their last values. Its clients are edges (shards/edges.py).
2. A tick goes once to each set of edges that want it: the router's own way (hub/core/routing), with
   edges for shards. What waits for a set leaves as one message on the subject of that set.
3. What an edge has not been sent and should have, it is sent as values: when it begins to want a
   key, when it says that it has missed something, and when NATS was away from here.
4. Nothing waits for NATS: while it is away values are kept, ticks are not.

Of the tick path the first step here, `_take`, is a shard's, and the last, `_flush`, a router's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import hub
from hub.cluster.follower import Follower
from hub.cluster.machines import Machines, machine_name
from hub.cluster.publisher import Publisher
from hub.core import cluster, codec, hot, stream, subjects, topics
from hub.core.cluster import Announced, Beat, Lease, Leased
from hub.core.codec import Message
from hub.core.config import load
from hub.core.errors import Malformed
from hub.core.index import Index
from hub.core.latest import Latest
from hub.core.liveness import BEAT_S
from hub.core.model import NOBODY, Mode, Offer
from hub.core.names import POSITION, UPLINK
from hub.core.routing import Routing
from hub.core.settings import Settings
from hub.core.wants import Wants
from hub.core.window import Window
from hub.runtime import links, wire
from hub.runtime.control import ControlLink
from hub.runtime.log import Seldom, log
from hub.runtime.nats import Nats
from hub.runtime.pump import Pump
from hub.runtime.role import Role, run
from shards import keeping
from shards.edges import Edge, Edges, Holders, Told
from shards.fanout import Fanout
from shards.snapshots import Snapshots
from shards.wanted import Wanted, Word

_LARGEST_BYTES = 256 << 10
"""About how much goes in one message; NATS takes a MiB unless told otherwise."""

_MOST_PREPARED = 50
_MOST_SETS = 4096
_MOST_TOLD = 500
"""Answers in one message, and keys whose values are sent at once."""

_ROOM_S = 0.005
"""How soon it is looked again whether NATS has taken them."""
_FEEDS_S = 5.0
"""How long is waited for this machine's feeds before the others are told which there are."""


class Uplink(Role):
    """Wires the edges to the router on one side and to NATS on the other."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._number = settings.hub.shards
        self._machine = machine_name(settings)
        self._epoch = time.time_ns()
        self._stay = f"{self._epoch:x}"
        self._offers: list[Offer] = []
        self._latest = Latest()
        self._fanout: Fanout[Any] = Fanout(Index(), self._latest, settings.bus.max_topics)
        accounts = Wants()
        accounts.add(topics.ALL_ORDERS, Mode.LTP)
        self._edges = Edges(self._wants_of, self._owe, self._epoch)
        self._snapshots: Snapshots[Edge] = Snapshots(
            Holders(self._edges), self._latest, self._fanout
        )
        self._wanted = Wanted(accounts, self._snapshots.opening, self._snapshots.ended)
        self._routing = Routing(0, self._edges.interest, NoKeepers(), settings.bus.max_topics)
        self._subjects: dict[tuple[int, ...], list[str]] = {}
        self._sent: dict[str, int] = {}  # the newest number on each subject
        self._marked: dict[str, int] = {}
        self._newest = 0
        self._owed: deque[tuple[Edge, bytes]] = deque()
        self._owed_values: dict[Edge, dict[bytes, None]] = {}
        self._paying: asyncio.TimerHandle | None = None
        self._out = self._resent = self._leftover = 0
        self._preparing = False
        self._known = asyncio.Event()
        self._leases: dict[str, Lease] = {}
        self._machines = Machines()
        self._token, self._ticks = b"", stream.TICKS
        self._seldom = Seldom()
        self._kinds: dict[bytes, Callable[[links.Parts], None]] = {
            stream.KEEP: self._take_kept,
            stream.OLD: self._take_ticks,
            stream.ACCOUNT: self._take_accounts,
            stream.FOLLOWED: lambda _: None,
            stream.MARK: lambda _: None,
            **keeping.kinds(
                self._snapshots,
                lambda stay: stay == self._token,
                self._answer,
            ),
            stream.INVALIDATE: lambda _: None,  # it follows all account events
        }

    async def start(self) -> None:
        """Open the pipe from the router, report for work, then find NATS."""
        nats = self.settings.nats
        self._nats = Nats(nats, f"shardhub {self._machine} {self.name}", up=self._up)
        self._events = Publisher(self._nats, nats.prefix, self._machine, self._epoch)
        self._follower = Follower(
            self._nats,
            nats.prefix,
            self._machine,
            self._take_event,
            stream=self._events.stream,
            position=self.runtime_dir / POSITION,
        )
        self._pump = Pump(self._flush, Window(0))
        self._pump.add(wire.from_router(self.settings, self.runtime_dir, self._number, self._take))
        self._ingest = wire.to_router(self.runtime_dir, self.settings.flow.pipe)
        self._ingest.reset(open_=True)  # account events of others may come before the welcome
        self._control = ControlLink(
            self.name,
            self.runtime_dir,
            welcomed=self._welcomed,
            figures=self._figures,
            handlers={
                "results": self._take_results,
                "pulse": self._take_pulse,
                "cluster": self._take_cluster,
                "lease": self._take_lease,
            },
            refused=self.refused,
        )
        self._control.start(self.background)
        prefix = nats.prefix
        self._nats.subscribe(subjects.beat(prefix), self._take_beat)
        self._nats.subscribe(subjects.ask(prefix, self._machine), self._take_ask)
        await self._nats.start()
        self._events.start()
        self._follower.start()
        self.background(self._tend())
        log.info("feeds go out as %s by %s", self._machine, ", ".join(nats.servers))

    async def drain(self) -> None:
        """Send what is pending, and leave."""
        self._flush()
        await self._control.stop()
        self._pump.close()
        self._ingest.close()
        await self._events.stop()
        await self._follower.stop()
        await self._nats.stop()

    # Ticks fall.

    def _take(self, parts: links.Parts) -> None:
        """A message of the stream."""
        try:
            if parts[0] == self._ticks:
                self._take_ticks(parts[1:])
            elif parts[0][1:] == self._token or parts[0][:1] == stream.ACCOUNT:
                self._kinds[parts[0][:1]](parts[1:])
            else:
                self._leftover += 1
        except (Malformed, LookupError, OverflowError, TypeError, ValueError) as error:
            self._seldom.warning("stream", "a message of the router cannot be used: %r", error)

    def _take_ticks(self, rest: Iterable[bytes]) -> None:
        for batch in rest:
            pairs = codec.unpack(batch)
            self._fanout.offer(pairs)
            self._routing.offer(pairs, checked=True)

    def _flush(self) -> None:
        """Send what waits for each set of edges, packed once."""
        waiting = self._routing.fast
        for group in waiting:
            pairs, group.pairs = group.pairs, []
            self._publish(group.shards, pairs)
        waiting.clear()

    def _publish(self, edges: tuple[int, ...], pairs: list[bytes], *, again: bool = False) -> None:
        for part in _parted(pairs):
            batch = hot.pack(part)
            for subject in self._subjects_of(edges):
                self._send(subject, batch, again=again)
            self._out += len(part) // 2

    def _subjects_of(self, edges: tuple[int, ...]) -> list[str]:
        found = self._subjects.get(edges)
        if found is None:
            if len(self._subjects) >= _MOST_SETS:
                self._subjects.clear()
            prefix = self.settings.nats.prefix
            found = self._subjects[edges] = subjects.audience(prefix, self._stay, edges)
        return found

    def _send(self, subject: str, batch: bytes, *, again: bool = False) -> bool:
        """A message that NATS does not take leaves a hole, which is found by the next one."""
        before, number = self._sent.get(subject, 0), self._newest + 1
        self._newest = self._sent[subject] = number
        return self._nats.publish(subject, cluster.head(number, before, again=again), batch)

    def _take_kept(self, rest: links.Parts) -> None:
        now_s = time.monotonic()
        for batch in rest:
            self._fanout.keep(codec.unpack(batch), now_s)

    def _take_accounts(self, rest: links.Parts) -> None:
        parts = iter(codec.unpack(rest[0]))
        for key, payload in zip(parts, parts, strict=True):
            self._events.offer(key, payload)

    def _take_event(self, key: bytes, payload: bytes) -> None:
        """An account event of another machine."""
        if key == topics.INVALIDATED:
            self._control.send({"t": "invalidate", "payload": payload})
        else:
            self._ingest.send_surely([stream.ACCOUNT, codec.pack([key, payload])])

    # What is known: to edges that begin to want it, or have missed it; and to the router's shards.

    def _answer(self, parts: list[bytes]) -> None:
        """To a shard, by way of the router."""
        self._ingest.send_surely(parts)

    def _owe(self, edge: Edge, keys: Iterable[bytes]) -> None:
        """Send an edge what is known of these keys: some at once, the rest as NATS takes it."""
        self._owed_values.setdefault(edge, {}).update(dict.fromkeys(keys))
        if self._paying is None:
            self._pay()

    def _pay(self) -> None:
        self._paying = None
        for edge, keys in list(self._owed_values.items()):
            if edge not in self._edges or not self._nats.connected:
                keys.clear()  # it asks for them when it is back
            elif self._nats.has_room:
                part = list(islice(keys, _MOST_TOLD))
                self._show(edge, part)
                for key in part:
                    del keys[key]
            if not keys:
                del self._owed_values[edge]
        if self._owed_values:
            self._paying = asyncio.get_running_loop().call_later(_ROOM_S, self._pay)

    def _show(self, edge: Edge, keys: Iterable[bytes]) -> None:
        """Send an edge what is known of these keys, behind the ticks that came before."""
        self._flush()
        pairs: list[bytes] = []
        legs = self._edges.interest.legs
        for key in keys:
            level = legs(key).get(edge.number, 0)
            for line in sorted(self._latest.of(key), key=lambda line: line.seq):
                if line.payload is not None and 0 < level <= line.mode:
                    pairs += (topics.of(key, line.mode), line.payload)
        self._resent += len(pairs) // 2
        self._publish((edge.number,), pairs, again=True)

    def _up(self) -> None:
        """NATS is there, or there again. What edges were not sent meanwhile they miss by the marks,
        and ask for."""
        self._events.up()
        self._follower.up()
        self._tell_owed()
        self._mark()

    # Interest climbs.

    def _take_ask(self, _: str, data: bytes, reply: str) -> None:
        """An edge asks."""
        try:
            asked = cluster.ask(data)
        except Malformed as error:
            self._seldom.warning("ask", "%s", error)
            return
        if isinstance(asked, cluster.Hello):
            self._reply(reply, self._welcome(asked))
            return
        edge = self._edges.renew(asked.lease, time.monotonic())
        if edge is None:
            self._reply(reply, cluster.Who(asked.lease))
            return
        self._flush()
        self._reply(reply, cluster.Taken(self._newest))
        if isinstance(asked, cluster.Interest):
            self._tell_edges(asked.feed, self._take_interest(edge, asked))
        elif isinstance(asked, cluster.Values):
            self._owe(edge, self._edges.held(edge))
        elif isinstance(asked, cluster.Bye):
            self._let_go(edge)

    def _welcome(self, hello: cluster.Hello) -> cluster.Welcome:
        self._flush()
        edge, changed = self._edges.hello(hello.machine, time.monotonic())
        self._follow(changed)
        log.info("%s takes feeds from here", edge.name)
        return cluster.Welcome(edge.lease, edge.number, self._newest)

    def _let_go(self, edge: Edge) -> None:
        self._flush()
        log.info("%s takes nothing any more", edge.name)
        self._follow(self._edges.drop(edge))

    def _take_interest(self, edge: Edge, asked: cluster.Interest) -> Told:
        change = self._edges.tell(
            edge,
            asked.feed,
            asked.wants,
            first=asked.first,
            last=asked.last,
            now_s=time.monotonic(),
        )
        self._follow(change.changed)
        self._routing.expect(asked.wants)
        ready = [
            key
            for key in change.opened
            if self._snapshots.first(
                edge, key, Mode(self._edges.interest.legs(key)[edge.number]), 0
            )
        ]
        self._owe(edge, ready)
        return change.told

    def _follow(self, changed: list[bytes]) -> None:
        """Let routes follow a change, and tell the router. Nothing may be pending."""
        self._routing.invalidate(changed)
        self._tell()
        self._prepare_soon()

    def _wants_of(self, feed: str) -> Wants:
        return self._wanted.of(feed)

    def _tell(self) -> None:
        while words := self._wanted.tell():
            for word in words:
                self._send_interest(word, replace=False)

    def _send_interest(self, word: Word, *, replace: bool) -> None:
        self._control.send(
            {
                "t": "interest",
                "feed": word.feed,
                "number": word.number,
                "wants": word.wants,
                "replace": replace,
            }
        )

    def _prepare_soon(self) -> None:
        if self._routing.unprepared and not self._preparing:
            self._preparing = True
            asyncio.get_running_loop().call_soon(self._prepare)

    def _prepare(self) -> None:
        self._preparing = False
        self._routing.prepare(_MOST_PREPARED)
        self._prepare_soon()

    def _welcomed(self, message: Message) -> None:
        """The router knows nothing of this process: tell it everything."""
        self._token = message["stream"]
        self._ticks = stream.TICKS + self._token
        for parts in self._ingest.reset(open_=True):
            if parts[0] == stream.ACCOUNT:  # all else was for the stay before
                self._ingest.send_surely(parts)
        self._flush()
        self._snapshots.reset()
        for word in self._wanted.tell_all():
            self._send_interest(word, replace=True)

    def _take_results(self, message: Message) -> None:
        feed = str(message["feed"])
        self._flush()
        change = self._edges.settle(feed, codec.results(message))
        self._follow(change.changed)
        self._tell_edges(feed, change.told)

    def _take_pulse(self, message: Message) -> None:
        """Which feeds there are."""
        offers = codec.offers(message)
        gone = {offer.feed for offer in self._offers} - {offer.feed for offer in offers}
        fresh = offers != self._offers
        self._offers = offers
        if {offer.feed for offer in offers} >= set(self.settings.hub.feeds):
            self._known.set()
        for feed in gone:
            self._flush()
            self._follow(self._edges.feed_gone(feed))
        if fresh and self._known.is_set():
            self._beat()

    # To other machines.

    def _reply(self, reply: str, told: cluster.Told) -> None:
        if reply:
            self._nats.publish(reply, cluster.encode(told))

    def _tell_edges(self, feed: str, told: Told) -> None:
        for number, results in told.items():
            edge = self._edges.numbered(number)
            for start in range(0, len(results), _MOST_TOLD):
                part = tuple(results[start : start + _MOST_TOLD])
                word = cluster.Results(self._machine, feed, part)
                self._owed.append((edge, cluster.encode(word)))
        self._tell_owed()

    def _tell_owed(self) -> None:
        """Answers that NATS did not take go first when it does; an edge that is gone by then asks
        for everything anew."""
        while self._owed:
            edge, word = self._owed[0]
            subject = subjects.edge(self.settings.nats.prefix, edge.name)
            sent = edge in self._edges and self._nats.publish(subject, word)
            if edge in self._edges and not sent:
                if not self._nats.has_room:
                    return
                self._let_go(edge)  # NATS will never take this: the edge begins anew
            self._owed.popleft()

    def _take_beat(self, _: str, data: bytes, __: str) -> None:
        """Another machine is there."""
        self._machines.hear(data, time.monotonic())

    async def _tend(self) -> None:
        """Once a second: the beat, edges that are silent, marks behind the newest ticks."""
        await self.until(self._known, _FEEDS_S)
        self._known.set()
        while True:
            self._beat()
            if not self._nats.connected:
                self._edges.excuse(time.monotonic())
            else:
                for edge in self._edges.silent(time.monotonic()):
                    log.warning("%s is silent; it takes nothing any more", edge.name)
                    self._let_go(edge)
            self._tell_owed()
            self._mark()
            self._ingest.retry()
            await asyncio.sleep(BEAT_S)

    def _mark(self) -> None:
        """Say behind the newest ticks of each set that they were the newest: who lost them sees a
        hole."""
        marked, self._marked = self._marked, {}
        for subject, number in [*self._sent.items()]:
            if marked.get(subject, 0) < number:
                if self._send(subject, cluster.EMPTY):
                    self._marked[subject] = self._newest
            else:
                self._marked[subject] = number

    def _beat(self) -> None:
        if not self._nats.connected:
            return
        now_s = time.monotonic()
        beat = Beat(
            machine=self._machine,
            role=cluster.INGEST,
            epoch=self._epoch,
            hub=hub.__version__,
            stay=self._stay,
            since_s=self.started_s,
            shards=self.settings.hub.shards,
            figures={"in": self._fanout.taken, "out": self._out},
            feeds=tuple(map(self._announced, filter(self._is_told, self._offers))),
            leases=tuple(
                Leased(
                    edge=edge.name,
                    keys=self._edges.interest.count(edge.number),
                    left_s=round(self._edges.left_s(edge, now_s), 1),
                )
                for edge in self._edges
            ),
        )
        self._nats.publish(subjects.beat(self.settings.nats.prefix), cluster.encode(beat))

    def _is_told(self, offer: Offer) -> bool:
        """Of a feed with a lease nothing is told before it is known who has that, and what it
        offers while it runs."""
        lease = self._leases.get(offer.feed)
        if lease is None:
            return not self.settings.nats.standby
        return lease.state != cluster.ACTIVE or NOBODY not in offer.users

    def _announced(self, offer: Offer) -> Announced:
        name = cluster.name_of(offer.feed, self.settings.nats.standby or self._machine)
        feed = offer.feed
        life, keys = self._edges.life(feed), self._edges.keys(feed)
        lease = self._leases.get(feed)
        return Announced(name=name, offer=offer, life=life, keys=keys, lease=lease)

    def _take_lease(self, message: Message) -> None:
        """Who runs a feed of those that could."""
        feed, lease = str(message["feed"]), cluster.lease(message["held"])
        before = self._leases.get(feed)
        self._leases[feed] = lease
        if before is None or before.state != lease.state:
            self._beat()

    def _take_cluster(self, message: Message) -> None:
        """The command line asks for all machines."""
        told = {
            "machine": self._machine,
            "role": cluster.INGEST,
            "nats": self._nats.figures(),
            "subjects": len(self._sent),
            "machines": self._machines.told(time.monotonic()),
        }
        self._control.send({"t": "cluster", "to": message["from"], "cluster": told})

    def _figures(self) -> dict[str, Any]:
        return self.common_figures() | {
            "in": self._fanout.taken,
            "out": self._out,
            "symbols": len(self._edges.interest),
            "topics": len(self._latest.lines),
            "edges": len(self._edges),
            "batches": self._newest,
            "resent": self._resent,
            "leftover": self._leftover,
            "faults": self._pump.faults,
            "malformed": self._fanout.malformed,
            "nats": self._nats.figures(),
            "events": self._events.figures() | self._follower.figures(),
            "compiled": hot.COMPILED,
        }


class NoKeepers:
    """Nobody keeps anything for edges but this process."""

    def all_ticks(self, _: bytes) -> Sequence[int]:
        """Nobody has to be sent more than he wants."""
        return ()


def _parted(pairs: list[bytes]) -> Iterator[list[bytes]]:
    """Ticks in parts that are no larger than NATS takes, each of one at least."""
    start = size = 0
    for at in range(0, len(pairs), 2):
        size += len(pairs[at]) + len(pairs[at + 1])
        if size > _LARGEST_BYTES and at > start:
            yield pairs[start:at]
            start, size = at, len(pairs[at]) + len(pairs[at + 1])
    if start < len(pairs):
        yield pairs[start:]


if __name__ == "__main__":
    run(UPLINK, load(), Uplink)
