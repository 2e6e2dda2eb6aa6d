"""The router: ticks fall through it, interest climbs through it, control passes over it.

Ticks come from the bus and from the feeds' ingest, are put down in groups (core/routing) and
leave in one message per shard and flush. It never parses a tick's JSON.
Whatever must keep its order relative to ticks travels in the same pipes (core/stream).

Here is the tick path and the wiring. Who gets what is decided by core/legs, who is there by
core/roster, who is sent an order update by core/orders.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from hub.core import codec, hot, stream, topics
from hub.core.codec import Message
from hub.core.config import load
from hub.core.errors import Malformed
from hub.core.legs import Legs, Outcome, Send
from hub.core.liveness import BEAT_S
from hub.core.model import MODES, Want
from hub.core.names import CLI, FEED, is_reader, reader, reader_number
from hub.core.observer import Observer
from hub.core.orders import LOST, Orders
from hub.core.roster import Roster
from hub.core.routing import Routing
from hub.core.settings import Settings
from hub.core.topics import Kind
from hub.core.window import Window
from hub.runtime import links, wire
from hub.runtime.control import Switch
from hub.runtime.log import Seldom, log
from hub.runtime.pipe import Pipe
from hub.runtime.pump import Pump
from hub.runtime.role import Role, run

_LONGEST_TRACE_S = 15.0
"""After so long who traces has to ask anew: it may be gone."""

_MOST_PREPARED = 50
"""Topics resolved between two reads: less than half a millisecond."""

_COUNTED = ("ignored", "invalidations", "orders", "malformed", "given_up")
"""What is told from the start: who watches a counter that begins with its first one misses that."""

_QUESTIONS = frozenset({"board", "cluster", "status", "trace", "usage"})


class Router(Role):
    """The hub's middle; see the module."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._legs = Legs(settings.streams)
        self._routing = Routing(
            settings.streams,
            self._legs.interest,
            self._legs.keepers,
            settings.bus.max_topics,
        )
        self._roster = Roster(time.time_ns())
        self._orders = Orders(time.monotonic())
        self._observer = Observer(settings.flow.sample_ms)
        self._from_bus = self._from_feeds = 0
        self._tending: asyncio.TimerHandle | None = None
        self._preparing = False
        self._counts = Counter(dict.fromkeys(_COUNTED, 0))
        self._seldom = Seldom()

    async def start(self) -> None:
        """Bind everything."""
        bus, flow = self.settings.bus, self.settings.flow
        self._window = Window(flow.window_ms)
        self._pump = Pump(self._flush, self._window)
        self._switch = Switch(self.runtime_dir, self._take_control)
        self._pipes = [
            Pipe(wire.to_shard(self.settings, self.runtime_dir, shard))
            for shard in range(self.settings.streams)
        ]
        for pipe in self._pipes:
            pipe.most_topics = bus.max_topics
        self._pump.add(wire.bus(self.settings, self._take_bus))
        self._pump.add(wire.ingest(self.settings, self.runtime_dir, self._take_ingest))
        self._switch.start()
        self.background(self._watch())
        log.info("bus on tcp://%s:%d, %d shards", bus.host, bus.port, self.settings.hub.shards)

    async def drain(self) -> None:
        """Send what is pending and close."""
        self._flush_all()
        self._pump.close()
        self._switch.close()
        if self._tending is not None:
            self._tending.cancel()
        for pipe in self._pipes:
            pipe.close()

    # Ticks fall.

    def _take_bus(self, pairs: links.Parts, bad: int) -> None:
        """What publishers sent: mostly ticks."""
        now_ns = time.monotonic_ns()
        self._from_bus += len(pairs) // 2
        if bad:
            self._malformed("bus", "not two parts, topic and JSON, or too large", bad)
        strays = self._routing.offer_shared(pairs)
        if strays or self._routing.malformed:
            self._take_others(strays)
        if now_ns >= self._observer.from_ns:
            self._observer.observe(pairs, now_ns)

    def _take_others(self, strays: Iterable[tuple[bytes, bytes]]) -> None:
        """What is no tick; a fault in one of them costs none of the others."""
        if self._routing.malformed:
            self._malformed("ticks", "the JSON of a tick is no object", self._routing.malformed)
            self._routing.malformed = 0
        for topic, payload in strays:
            self._pump.guarded(partial(self._take_other, topic, payload))

    def _take_other(self, topic: bytes, payload: bytes) -> None:
        """A message of the bus that is not a tick."""
        match topics.kind(topic):
            case Kind.TICK:
                self._malformed("topic", f"{topic[:80]!r} is not EXCHANGE_SYMBOL_MODE")
            case Kind.ORDERS:
                self._take_order(topic, payload)
            case Kind.INVALIDATE:
                self._take_invalidation(payload)
            case Kind.IGNORED:
                self._counts["ignored"] += 1

    def _take_invalidation(self, payload: bytes, teller: str = "") -> None:
        """A user's credentials have changed: shards and feeds know what that means to them. The one
        who has told of it is told nothing."""
        self._counts["invalidations"] += 1
        shards = self.settings.hub.shards
        told = {one for one in range(len(self._pipes)) if reader(one, shards) == teller}
        everybodys = self._legs.interest.legs(topics.ALL_ORDERS)
        account = [stream.ACCOUNT, codec.pack([topics.INVALIDATED, payload])]
        invalidate = [stream.INVALIDATE, payload]
        takers = {one for one, pipe in enumerate(self._pipes) if pipe.open or one in told}
        self._orders.offer(topics.INVALIDATED, payload, takers, time.monotonic())
        self._send_surely(
            Send(one, account if one in everybodys else invalidate)
            for one in range(len(self._pipes))
            if one not in told
        )
        if payload == LOST:
            return  # it may be anybody's: shards ask anew for all, and of logins others tell
        try:
            told = json.loads(payload)
            user, kind = told["user_id"], told.get("cache_type", "ALL")
            if not (isinstance(user, str) and isinstance(kind, str)):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._malformed("invalidations", f"{payload[:80]!r}: no user_id in it")
            return
        for feed in self._roster.names(FEED):
            if feed != teller:
                self._switch.send(feed, {"t": "invalidate", "user": user, "kind": kind})

    def _take_ingest(self, parts: links.Parts) -> int:
        """A batch of a feed, which counts as its ticks, a keeper's answer for another shard, or
        account events that came to another machine."""
        try:
            match parts:
                case [batch]:
                    return self._take_batch(batch, checked=False)
                case [stream.TICKS, batch]:
                    return self._take_batch(batch, checked=True)
                case [stream.UNCHECKED, batch]:
                    return self._take_batch(batch, checked=False)
                case [stream.AGAIN, batch]:
                    return self._take_again(batch)
                case [stream.VALUES, stay, question, batch]:
                    self._flush_all()
                    self._follow(self._legs.answered(stay, int(question), batch))
                case [stream.ACCOUNT, batch]:
                    self._take_foreign(codec.unpack(batch))
                case _:
                    raise Malformed(f"{len(parts)} parts, of kind {parts[0][:10]!r}")
        except (Malformed, ValueError) as error:
            self._malformed("ingest", str(error))
        return 1

    def _take_batch(self, batch: bytes, *, checked: bool) -> int:
        now_ns = time.monotonic_ns()
        pairs = codec.unpack(batch)
        count = len(pairs) // 2
        self._from_feeds += count
        strays = self._routing.offer(pairs, checked=checked)
        if strays or self._routing.malformed:
            self._take_others(strays)
        if now_ns >= self._observer.from_ns:
            self._observer.observe(pairs, now_ns)
        return count

    def _take_again(self, batch: bytes) -> int:
        """Current values, of which some have come before: shards know which."""
        self._flush_all()
        count = self._take_batch(batch, checked=False)
        if self._routing.fast:
            self._send(stream.AGAIN, hot.take(self._routing.fast))
        return count

    def _take_order(self, topic: bytes, payload: bytes) -> None:
        """An order update goes to its user's shards, in order, and is never dropped."""
        try:
            user = json.loads(payload)["user_id"]
            if not isinstance(user, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            self._malformed("orders", f"{topic[:80]!r}: no user_id in an order update")
            return
        key, legs = topics.orders(user), self._legs.interest.legs
        self._counts["orders"] += 1
        takers = {*legs(key), *legs(topics.ALL_ORDERS)}
        self._orders.offer(key, payload, takers, time.monotonic())
        self._send_account(takers, [key, payload])

    def _take_foreign(self, pairs: list[bytes]) -> None:
        """Account events that came to another machine, in their order. One without content stands
        for what was lost: of a user, or of everybody."""
        now_s = time.monotonic()
        for key, payload in zip(pairs[::2], pairs[1::2], strict=True):
            if key == topics.ALL_ORDERS and payload == LOST:
                keys = self._legs.interest.orders
            elif key.startswith(topics.ORDERS):
                keys = [key]
                self._counts["orders"] += 1
            else:
                raise Malformed(f"{key[:80]!r} is no key of order updates")
            takers = {shard for one in keys for shard in self._legs.interest.legs(one)}
            self._orders.offer(key, payload, takers, now_s, foreign=True)
            for one in keys:
                self._send_account(self._legs.interest.legs(one), [one, payload])

    def _send_account(self, shards: Iterable[int], pair: Sequence[bytes]) -> None:
        for shard in shards:
            self._surely(shard, [stream.ACCOUNT, codec.pack(pair)])

    def _flush(self) -> None:
        """Send what wants no delay: each group packed once, one message per shard."""
        routing = self._routing
        if self._observer.chosen:
            self._observer.place(self._follow_tick, time.monotonic_ns())
        if routing.fast:
            left = hot.deal(routing.fast, self._pipes, stream.TICKS)
            if left:
                self._send(stream.TICKS, left)
        if routing.slow:
            self._tend_soon()

    def _follow_tick(self, topic: bytes, sample: bytes) -> bool:
        return self._routing.follow(topic, topics.SAMPLE, sample)

    def _flush_all(self) -> None:
        """Leave nothing pending: routes are about to change."""
        self._flush()
        if self._routing.slow:
            self._send(stream.KEEP, hot.take(self._routing.slow))

    def _send(self, kind: bytes, frames: dict[int, list[bytes]]) -> None:
        for shard, batches in frames.items():
            pipe = self._pipes[shard]
            if not pipe.send_ticks(kind, batches) and pipe.open:
                self._tend_soon()
                name = self._reader(shard)
                self._seldom.warning(name, "%s takes no more now; its ticks are conflated", name)

    def _send_surely(self, sends: Iterable[Send]) -> None:
        """Send what may not be lost, behind the ticks that came before it."""
        self._flush()
        for shard, parts in sends:
            self._surely(shard, parts)

    def _surely(self, shard: int, parts: list[bytes]) -> None:
        pipe = self._pipes[shard]
        pipe.send_surely(parts)
        if pipe.waiting:
            self._tend_soon()

    def _malformed(self, source: str, text: str, count: int = 1) -> None:
        self._counts["malformed"] += count
        self._seldom.warning(source, "%s: dropped: %s", source, text)

    def _tend_soon(self) -> None:
        """Something waits: on the slow way, or for room."""
        if self._tending is None:
            home_s = self.settings.flow.home_ms / 1000
            self._tending = asyncio.get_running_loop().call_later(home_s, self._tend)

    def _tend(self) -> None:
        """The slow way, and what waits for room."""
        self._tending = None
        if self._routing.slow:
            self._flush_all()
        for shard, pipe in enumerate(self._pipes):
            pipe.retry()
            if pipe.overrun:
                self._give_up(self._reader(shard))
        if any(pipe.waiting for pipe in self._pipes):
            self._tend_soon()

    def _give_up(self, name: str) -> None:
        """A shard takes nothing: it counts as gone until it says hello again."""
        log.warning("%s takes nothing; what it was owed is void", name)
        self._counts["given_up"] += 1
        if self._roster.leave(name):
            self._gone(name, returns=True)

    # Interest climbs.

    def _take_interest(self, sender: str, message: Message) -> None:
        shard = self._shard(sender)
        feed, replace = str(message["feed"]), bool(message["replace"])
        wants, number = codec.wants(message), int(message["number"])
        self._flush_all()
        if not self._pipes[shard].open:
            self._arrive(shard)
        replace = replace or self._legs.first_word(shard, feed)
        self._follow(self._legs.tell(shard, feed, wants, number=number, replace=replace))
        self._routing.expect(wants)
        self._prepare_soon()
        if not feed:
            self._confirm_accounts(shard, number, wants, replace=replace)
        elif f"{FEED}{feed}" in self._roster:
            self._switch.send(
                f"{FEED}{feed}",
                {"t": "interest", "shard": shard, "wants": wants, "replace": replace},
            )

    def _arrive(self, shard: int) -> None:
        """A shard has spoken in its stay, so it knows the stay's token: its stream begins, with
        what it is keeper of and came while it was not there."""
        token = self._roster.token(self._reader(shard))
        keepers = self._legs.keepers
        self._pipes[shard].begin(token, lambda topic: keepers.of(topics.parse(topic)[0]) == shard)
        if self._pipes[shard].waiting:
            self._tend_soon()
        self._legs.arrived(shard, token)

    def _confirm_accounts(
        self, shard: int, number: int, wants: list[Want], *, replace: bool
    ) -> None:
        """Interest in account events is answered by the router itself, in the order of the events:
        on another way the answer could be there before those of an earlier interest."""
        keys = [want.key for want in wants if want.modes]
        if keys:
            told = codec.encode({"t": "followed", "keys": keys, "number": number})
            self._surely(shard, [stream.FOLLOWED, told])
        if replace:
            missed = self._orders.missed(shard, keys)
            if missed:
                self._surely(shard, [stream.ACCOUNT, codec.pack(missed)])

    def _follow(self, outcome: Outcome) -> None:
        """Let routes and streams follow a change of legs or keepers; nothing may be pending."""
        self._routing.invalidate(outcome.changed)
        for shard, pipe in enumerate(self._pipes):
            if not pipe.open:
                pipe.forget(self._lost_to_others(shard, outcome.changed))
        self._send_surely(outcome.sends)
        self._prepare_soon()

    def _lost_to_others(self, shard: int, changed: Iterable[bytes]) -> Iterator[bytes]:
        """The topics of those of these keys that another shard is keeper of now."""
        for key in changed:
            if self._legs.keepers.of(key) != shard:
                yield from (topics.of(key, mode) for mode in MODES)

    def _prepare_soon(self) -> None:
        """Resolve the topics that are expected, a slice per turn of the loop."""
        if self._routing.unprepared and not self._preparing:
            self._preparing = True
            asyncio.get_running_loop().call_soon(self._prepare)

    def _prepare(self) -> None:
        self._preparing = False
        self._routing.prepare(_MOST_PREPARED)
        self._prepare_soon()

    # Control passes over.

    def _take_control(self, sender: str, message: Message) -> None:
        kind, now_s = message["t"], time.monotonic()
        if sender.startswith(CLI):
            self._take_question(sender, message)
        elif kind == "hello":
            self._take_hello(sender, message, now_s)
        elif not self._roster.heard(sender, message.get("lease"), now_s):
            self._switch.send(sender, {"t": "who", "lease": message.get("lease")})
        elif message.get("to", "router") != "router":
            self._pass_on(sender, message)
        else:
            self._take_known(sender, kind, message)

    def _take_known(self, sender: str, kind: str, message: Message) -> None:
        """What a process that is known says to the router itself."""
        if kind == "bye":
            if self._roster.leave(sender):
                self._gone(sender)
        elif kind == "interest":
            self._take_interest(sender, message)
        elif kind == "look":
            told = self._observer.look(time.monotonic())
            self._switch.send(
                sender, {"t": "looked", "from": "router", "hottest": told, "slowest": []}
            )
        elif kind == "mark":
            self._flush_all()
            self._surely(self._shard(sender), [stream.MARK, b"%d" % int(message["pause"])])
        elif kind == "released":
            feed = sender.removeprefix(FEED)
            self._send_surely(self._legs.released(feed, codec.keys(message)))
        elif kind == "invalidate":
            self._take_invalidation(codec.payload(message), teller=sender)
        elif kind == "beat":
            self._switch.send(sender, self._presence())
            self._pass_on(sender, message | {"to": "monitor"})

    def _take_question(self, sender: str, message: Message) -> None:
        """The command line asks. It is no process of the hub and can say nothing as one."""
        if message["t"] not in _QUESTIONS:
            raise Malformed(f"{sender}: {message['t']} is no question")
        if message["t"] == "trace":
            self._trace(sender, message)
        elif message.get("to", "router") == "router":
            answer = {"t": "status", "peers": self._roster.names(), "figures": self._figures()}
            self._switch.send(sender, answer)
        elif not self._pass_on(sender, message):
            self._switch.send(sender, {"t": "absent", "who": message["to"]})

    def _trace(self, asker: str, message: Message) -> None:
        """The ticks of a key are to be timed for a while; the shards tell the asker."""
        (key,) = codec.keys(message)
        for_s = min(max(float(message["for_s"]), 0.0), _LONGEST_TRACE_S)
        self._observer.trace(key, asker, time.monotonic_ns() + int(for_s * 1e9))
        self._switch.send(asker, {"t": "tracing", "legs": len(self._legs.interest.legs(key))})

    def _take_hello(self, sender: str, message: Message, now_s: float) -> None:
        refusal = self._roster.refusal(sender, message)
        if refusal:
            self._seldom.warning(sender, "%s", refusal)
            self._switch.send(sender, {"t": "refused", "why": refusal})
            return
        if is_reader(sender):
            self._shard(sender)
        peer, fresh, replaced = self._roster.hello(sender, message, now_s)
        if replaced:
            self._gone(sender)
        if fresh:
            log.info("%s is here", sender)
        self._switch.send(
            sender,
            {
                "t": "welcome",
                "version": stream.VERSION,
                "lease": peer.lease,
                "stream": self._roster.token(sender),
            },
        )
        if sender.startswith(FEED):
            self._brief(sender)
        self._announce()

    def _brief(self, sender: str) -> None:
        """Tell a feed that has come up what is wanted of it."""
        for shard, wants in self._legs.brief(sender.removeprefix(FEED)):
            self._switch.send(
                sender, {"t": "interest", "shard": shard, "wants": wants, "replace": True}
            )

    def _gone(self, name: str, *, returns: bool = False) -> None:
        """A process has left or fallen silent: what hung on it goes with it. One that may return
        with its clients finds the order updates that it has missed."""
        log.info("%s is gone", name)
        if is_reader(name):
            shard = self._shard(name)
            self._flush_all()
            unsent = self._pipes[shard].reset(open_=False)
            if returns or shard in self._legs.interest.legs(topics.ALL_ORDERS):
                self._await_return(shard, unsent)
            self._follow(self._legs.left(shard))
            for feed in self._roster.names(FEED):
                self._switch.send(
                    feed, {"t": "interest", "shard": shard, "wants": [], "replace": True}
                )
        elif name.startswith(FEED):
            self._send_surely(self._legs.feed_gone(name.removeprefix(FEED)))
            self._announce(gone=name)

    def _await_return(self, shard: int, unsent: list[Sequence[bytes]]) -> None:
        """Keep order updates for a shard that is silent, those first that it took no more."""
        follows = dict(self._legs.interest.of_feed("")).get(shard, [])
        batches = [codec.unpack(parts[1]) for parts in unsent if parts[0] == stream.ACCOUNT]
        updates = [pairs[at : at + 2] for pairs in batches for at in range(0, len(pairs), 2)]
        self._orders.away(shard, [want.key for want in follows], updates, time.monotonic())

    def _pass_on(self, sender: str, message: Message) -> bool:
        """Switch a message to its addressee; False when it is not there."""
        return self._switch.send(str(message["to"]), message | {"from": sender})

    def _presence(self, gone: str = "") -> Message:
        return {"t": "pulse", "feeds": self._roster.offers(without=gone)}

    def _announce(self, gone: str = "") -> None:
        """Tell the shards at once which feeds are there. Of one that is `gone` they hear so even
        when another process has its name already: what it had confirmed is void."""
        pulse = self._presence(gone)
        for name in self._roster.names():
            if is_reader(name):
                self._switch.send(name, pulse)

    def _shard(self, name: str) -> int:
        return reader_number(name, self.settings.hub.shards, self.settings.streams)

    def _reader(self, shard: int) -> str:
        return reader(shard, self.settings.hub.shards)

    async def _watch(self) -> None:
        """Once a second: who is silent, and the router's own heartbeat."""
        while True:
            await asyncio.sleep(BEAT_S)
            now_s = time.monotonic()
            for name in self._roster.silent(now_s):
                self._gone(name, returns=True)
            self._orders.tend(now_s)
            self._observer.tend(time.monotonic_ns())
            self._switch.send(
                "monitor",
                {"t": "beat", "from": "router", "pid": os.getpid(), "figures": self._figures()},
            )

    def _figures(self) -> dict[str, Any]:
        return (
            self.common_figures()
            | dict(self._counts)
            | {
                "in": self._from_bus + self._from_feeds,
                "bus": self._from_bus,
                "topics": len(self._routing),
                "symbols": self._legs.interest.symbols,
                "control_malformed": self._switch.malformed,
                "out": sum(pipe.sent for pipe in self._pipes),
                "conflated": sum(pipe.conflated for pipe in self._pipes),
                "faults": self._pump.faults + self._switch.faults,
                "orders_unclaimed": self._orders.unclaimed,
                "window_ms": self._window.width_ms,
                "latency": self._observer.figures(),
                "compiled": hot.COMPILED,
            }
        )


if __name__ == "__main__":
    run("router", load(), Router)
