"""A whole hub in one process, without sockets: the real router, shards and feed host, joined by
queues that a seeded history empties in any order that ZMQ allows. Processes die, and are stopped
and resumed: whoever is stopped takes nothing in, while others may give it up.

Every tick carries a number, so each client can prove what it was sent: never twice, never an old
one after a newer one, also across an unsubscribe (after which the last one may be shown once more),
at last the newest, and at rest exactly what it holds. What a new client is shown then is compared
with what was published last.

Each client has one of the four forms, in turn.

In every other world the feed's ticks are not shared: clients of two brokers hold the same symbols,
each in the scope of its own, ticks come in one scope or, on the bus, for both.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import msgspec

from hub.core import codec, forms, stream, topics
from hub.core.codec import Message
from hub.core.hot import Line
from hub.core.model import Identity, Instrument, Mode, Offer, Result, Want
from hub.core.names import FEED, SHARD
from hub.core.placement import home
from hub.core.settings import Settings
from hub.feeds.base import Limits, Serves
from hub.feeds.host import FeedHost
from hub.router import Router
from hub.runtime.pipe import Pipe
from shards.protocol import NO_OPTIONS, Drop, Subscribe
from shards.shard import Shard
from shards.slices import Slices
from shards.tickets import Ticket
from tests.shards.kit import ticks

SHARDS = 3
MODES = (Mode.LTP, Mode.QUOTE, Mode.DEPTH)
INSTRUMENTS = [Instrument("NSE", f"S{number}") for number in range(5)] + [
    Instrument("NSE_INDEX", "NIFTY"),
    Instrument("CRYPTO", "SOL_INR"),
]


class Queue:
    """What a pipe of the router leads to: room, or none, as the world says. Nothing is lost."""

    fd = -1

    def __init__(self) -> None:
        self.turned: Callable[[], None] = lambda: None
        self.room = True
        self.waiting: deque[list[bytes]] = deque()
        self.topics: list[bytes] = []
        """Of every tick that was ever sent."""

    def send(self, parts: Sequence[bytes]) -> bool:
        if self.room:
            self.waiting.append(list(parts))
            if parts[0][:1] in {stream.TICKS, stream.KEEP, stream.OLD}:
                self.topics += [topic for batch in parts[1:] for topic in codec.unpack(batch)[::2]]
        return self.room

    def unsent(self, rest: bytes) -> None:
        raise AssertionError("nobody writes past it")

    def close(self) -> None:
        """Nothing is open."""


class Stream(Pipe):
    """The way from the router to a shard."""

    def __init__(self) -> None:
        self.queue = Queue()
        super().__init__(self.queue)


class Ingest:
    """A keeper's answers on their way to the router: late, but in order. A real one forgets only
    what it has not sent yet when it is reset; what is on its way here stays on its way."""

    def __init__(self) -> None:
        self.waiting: deque[list[bytes]] = deque()

    def send_surely(self, parts: Sequence[bytes]) -> None:
        self.waiting.append(list(parts))

    def reset(self, *, open_: bool) -> None:
        """What is on its way stays on its way."""


class Link:
    """A control link with the rules of runtime/control, over a queue."""

    def __init__(
        self, world: World, name: str, epoch: int, welcomed: Callable[[Message], None]
    ) -> None:
        self.name, self.epoch, self.lease = name, epoch, 0
        self.stopped = False
        self._world = world
        self._welcomed = welcomed

    def send(self, message: Message) -> None:
        if self.lease:
            self._post(message | {"lease": self.lease})

    def hello(self) -> None:
        hello = {"t": "hello", "version": stream.VERSION, "epoch": self.epoch}
        offer = Offer("", brokers=tuple(self._world.brokers), shared=self._world.shared)
        self._post(hello | {"offer": offer})

    def beat(self) -> None:
        if self.stopped:
            return
        if self.lease:
            self.send({"t": "beat", "pid": 1, "figures": {}})
        else:
            self.hello()

    def take(self, message: Message) -> bool:
        """Whether the message was the link's own business."""
        if message["t"] == "welcome":
            fresh, self.lease = message["lease"] != self.lease, message["lease"]
            if fresh:
                self._welcomed(message)
                self._world.begins_anew(self.name)
        elif message["t"] == "who" and message["lease"] == self.lease:
            self.lease = 0
            self.hello()
        return message["t"] in {"welcome", "who"}

    def _post(self, message: Message) -> None:
        self._world.upward.append((self.name, codec.decode(codec.encode(message))))


class Switch:
    """The router's end of all links."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, to: str, message: Message) -> bool:
        if to in self._world.links:
            self._world.downward[to].append(codec.decode(codec.encode(message)))
        return to in self._world.links


class Client:
    """A session that checks what it is sent."""

    def __init__(self, shard: int, broker: str, scope: bytes, form: int) -> None:
        self.fd = -1
        self.shard = shard
        self.form = form
        self.options = NO_OPTIONS
        self.broker = broker
        self.scope = scope
        self.tickets: list[Ticket] = []
        self.last: dict[bytes, int] = {}
        self.got: list[tuple[bytes, int]] = []
        self.dropping: list[Drop] = []
        self.dropped: set[bytes] = set()
        self.withheld: list[tuple[bytes, int, int]] | None = None
        self.newest: dict[bytes, int] = defaultdict(int)
        self.desk: Any = None

    def unsent(self, data: bytes, sent: int) -> None:
        raise AssertionError("it has no socket")

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        found = ticks(data, self.form)
        assert len(found) == len(lines)
        for tick in found:
            self._take(tick)

    def owes(self, line: Line) -> bool:
        del line
        return False

    def owing(self) -> Sequence[Line]:
        return ()

    def keep(self, line: Line, as_it_was: Line) -> None:
        del as_it_was
        raise AssertionError(f"nothing is owed: {line}")

    def deliver_batch(self, batch: bytes, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        assert len(pieces) == len(lines)
        self.deliver(batch, lines)

    def show(self, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        self.deliver(forms.joined(pieces, self.form), lines)

    def limit(self, key: bytes, max_rate: float) -> None:
        raise AssertionError("nobody asks for a rate here")

    def ceases(self, key: bytes, modes: int) -> None:
        assert modes & self.desk.index.modes(self, key) == modes, "it holds these, and goes on"

    def deliver_event(self, frame: bytes) -> None:
        raise AssertionError(f"nobody follows orders here: {frame!r}")

    def event_lost(self) -> None:
        raise AssertionError("nobody follows orders here")

    def answered(self) -> None:
        while self.tickets and self.tickets[0].complete:
            if not self.tickets[0].confirm():
                break
            if self.tickets.pop(0).alone:
                self._check_dropped()
            withheld, self.withheld = self.withheld, None
            for seen in withheld or ():
                self._see(*seen)

    def withhold(self) -> None:
        self.withheld = []

    def _check_dropped(self) -> None:
        """When the reply to an unsubscribe leaves, nothing of what it names is held."""
        for instrument, mode, _, _ in self.dropping:
            assert mode is not None
            held = self.desk.index.modes(self, self.scope + instrument.key)
            assert not held & mode.bit, f"{instrument} is dropped, and held in {mode.name}"
            self.dropped.add(self.scope + instrument.key)

    def _take(self, tick: dict[str, Any]) -> None:
        key = self.scope + Instrument(tick["exchange"], tick["symbol"]).key
        assert tick["data"]["scope"] in {"", self.scope.decode()}, "a tick of another origin"
        held = self.desk.index.modes(self, key)
        assert held, f"{key!r} is not held"
        number, published = tick["data"]["n"], tick["data"]["mode"]
        tags = [mode for mode in MODES if held & mode.bit and mode <= published]
        assert tick["mode"] == max(tags), "tagged with the highest mode held"
        if self.withheld is None:
            self._see(key, tick["mode"], number)
        else:
            self.withheld.append((key, tick["mode"], number))

    def _see(self, key: bytes, tag: int, number: int) -> None:
        place = f"{key!r} tagged {tag}".encode()
        newer_than = self.last.get(place, 0) - (key in self.dropped)
        assert number > newer_than, f"{place!r}: {number} after {self.last[place]}"
        self.dropped.discard(key)
        self.last[place] = number
        self.newest[key] = number
        self.got.append((key, number))


class World:
    """One history. `step` does something random; `rest` lets everything settle."""

    def __init__(self, seed: int, runtime_dir: Path) -> None:
        self.random = random.Random(seed)
        self.shared = seed % 2 == 0
        self.brokers = (
            {"sim": b""} if self.shared else {b: topics.scope(b) for b in ("sim", "gate")}
        )
        settings = Settings()
        self.settings: Settings = msgspec.structs.replace(
            settings,
            hub=msgspec.structs.replace(
                settings.hub, shards=SHARDS, feeds=["sim"], runtime_dir=str(runtime_dir)
            ),
            upstream=msgspec.structs.replace(settings.upstream, linger_s=0.0),
            flow=msgspec.structs.replace(settings.flow, sample_ms=0.0),  # no clock, no loop
            keys=msgspec.structs.replace(settings.keys, file=str(runtime_dir / "keys.json")),
            sim=msgspec.structs.replace(settings.sim, symbols=1),  # this is the source instead
        )
        self.links: dict[str, Link] = {}
        self.upward: deque[tuple[str, Message]] = deque()
        self.downward: dict[str, deque[Message]] = defaultdict(deque)
        self.streams: list[Stream] = [Stream() for _ in range(SHARDS)]
        self.answers: list[Ingest] = [Ingest() for _ in range(SHARDS)]
        self.truth: dict[bytes, tuple[int, Mode]] = {}
        self.shards: list[Any] = [None] * SHARDS
        self.clients: list[Client] = []
        self._forms = cycle((forms.PLAIN, forms.BATCH, forms.MSGPACK, forms.BATCH | forms.MSGPACK))
        self.refused = {scope + INSTRUMENTS[-1].key for scope in self.brokers.values()}
        self.number = 0
        self.epoch = 0
        self.turning: dict[int, None] = {}
        self.start_router()
        for shard in range(SHARDS):
            self.start_shard(shard)
        self.start_feed()

    # Processes.

    def start_router(self) -> None:
        self.upward.clear()
        self.downward.clear()
        for pipe in self.streams:  # some of what was on its way still arrives
            while pipe.queue.waiting and self.random.random() < 0.5:
                pipe.queue.waiting.pop()
            pipe.reset(open_=False)
        for answers in self.answers:  # a keeper's answers may outlive the router that asked
            while answers.waiting and self.random.random() < 0.5:
                answers.waiting.pop()
        self.truth.clear()
        self.router = cast("Any", Router("router", self.settings))
        self.router._pipes = self.streams
        self.router._tend_soon = lambda: None  # the world itself flushes, in any order
        self.router._prepare_soon = lambda: None
        self.router._switch = Switch(self)
        for change in ("tell", "left"):
            self._watch(change)

    def start_shard(self, number: int) -> None:
        self.clients = [client for client in self.clients if client.shard != number]
        self.streams[number].queue.waiting.clear()
        self.answers[number].waiting.clear()
        shard: Any = Shard(f"shard-{number}", self.settings)
        shard._ingest = self.answers[number]
        shard._control = self._link(f"shard-{number}", shard._welcomed)
        shard._tell = lambda: self.turning.setdefault(number)
        shard._desk.slices = Slices(self.random.choice([1, 2, 1000]))
        self.shards[number] = shard

    def start_feed(self) -> None:
        self.upstream: dict[bytes, int] = {}
        self.asked: deque[list[Want]] = deque()
        feed: Any = FeedHost("feed-sim", self.settings)
        feed._feed = self
        feed._control = self._link("feed-sim", feed._welcomed)
        self.feed = feed
        self.truth.clear()

    def _link(self, name: str, welcomed: Callable[[Message], None]) -> Link:
        self.epoch += 1
        self.upward = deque(pair for pair in self.upward if pair[0] != name)
        self.downward[name].clear()
        link = self.links[name] = Link(self, name, self.epoch, welcomed)
        link.hello()
        return link

    # The feed's own side.

    name = "sim"
    serves = Serves()
    limits = Limits()

    def apply(self, wants: list[Want]) -> None:
        self.asked.append(wants)

    def answer(self) -> None:
        """The source takes its time; refused symbols fail."""
        wants = self.asked.popleft()
        results = []
        for want in wants:
            if not want.modes:
                self.upstream.pop(want.key, None)
            elif want.key in self.refused:
                results.append(Result(want.key, want.modes, "unknown symbol"))
            else:
                self.upstream[want.key] = want.modes
                results.append(Result(want.key, want.modes))
        self.feed.answer(results)

    # Steps.

    def step(self) -> None:
        """Something happens."""
        self.random.choices(
            [
                self.subscribe,
                self.unsubscribe,
                self.come,
                self.leave,
                self.publish,
                self.carry,
                self.flush,
                self.stop,
                self.choke,
                self.crash,
                self.lose,
            ],
            [12, 6, 3, 2, 20, 50, 6, 2, 2, 1, 1],
        )[0]()

    def come(self) -> None:
        if len(self.clients) < 8:
            broker = self.random.choice(list(self.brokers))
            self.clients.append(self._join(self.random.randrange(SHARDS), broker))

    def leave(self) -> None:
        if self.clients:
            self._part(self.clients.pop(self.random.randrange(len(self.clients))))

    def subscribe(self) -> None:
        able = [client for client in self.clients if not any(one.alone for one in client.tickets)]
        if able:
            client = self.random.choice(able)
            chosen = self.random.sample(INSTRUMENTS, self.random.randint(1, 4))
            mode = self.random.choice(MODES)
            self._ask(client, chosen, mode, snapshot=self.random.random() < 0.8)

    def unsubscribe(self) -> None:
        idle = [client for client in self.clients if not client.tickets]
        if idle:
            client = self.random.choice(idle)
            chosen = self.random.sample(INSTRUMENTS, 3)
            some = [Drop(one, self.random.choice(MODES)) for one in chosen]
            self.drop(client, None if self.random.random() < 1 / 4 else some)

    def drop(self, client: Client, drops: list[Drop] | None = None) -> None:
        """A client unsubscribes; from everything unless it says what."""
        client.dropping = drops or [Drop(one, mode) for one in INSTRUMENTS for mode in MODES]
        ticket = client.desk.unsubscribe(client, {}, drops, client.broker, client.scope)
        client.tickets.append(ticket)
        client.answered()
        self.shards[client.shard]._tell()

    def publish(
        self,
        instrument: Instrument | None = None,
        mode: Mode | None = None,
        scope: bytes | None = None,
    ) -> None:
        """A feed's tick in a scope, or one of the bus, which counts for all who want it now."""
        instrument = instrument or self.random.choice(INSTRUMENTS)
        mode = mode or self.random.choice(MODES)
        if scope is None:
            scope = self.random.choice([b"", *self.brokers.values()])
        self.number += 1
        tick = {"n": self.number, "mode": mode, "scope": scope.decode()}
        payload = json.dumps(tick).encode()
        keys = [scope + instrument.key]
        if not scope:
            keys += self.router._legs.interest.scoped(instrument.key)
        for key in keys:
            if self.streams[self.keeper(key)].open:
                self.truth[key] = self.number, mode
            else:
                self.truth.pop(key, None)
        pair = [topics.of(keys[0], mode), payload]
        if scope:
            self.router._take_ingest([codec.pack(pair)])
        else:
            self.router._take_bus(pair, 0)

    def flush(self) -> None:
        routing = self.router._routing
        turns = [self.router._flush, self.router._flush_all, lambda: routing.prepare(2)]
        self.random.choice(turns)()

    def choke(self) -> None:
        """A shard's stream has no room any more, or has some again."""
        stream = self.random.choice(self.streams)
        stream.queue.room ^= True
        stream.retry()

    def carry(self) -> bool:
        """One queue moves by one message; False when all are empty."""
        moves: list[Callable[[], None]] = []
        if self.upward:
            moves.append(self._carry_up)
        moves += [
            partial(self._carry_down, name)
            for name, waiting in self.downward.items()
            if waiting and not self.links[name].stopped
        ]
        for number in range(SHARDS):
            stopped = self.links[f"{SHARD}{number}"].stopped
            if self.streams[number].queue.waiting and not stopped:
                moves.append(partial(self._carry_stream, number))
            if number in self.turning and not stopped:
                moves.append(partial(self._turn, number))
            if self.answers[number].waiting:
                moves.append(partial(self._carry_answer, number))
        if self.asked and not self.links["feed-sim"].stopped:
            moves.append(self.answer)
        if moves:
            self.random.choice(moves)()
        return bool(moves)

    def crash(self) -> None:
        """Somebody dies and is started again."""
        victims: list[Callable[[], None]] = [
            self.start_router,
            self.start_feed,
            lambda: self.start_shard(self.random.randrange(SHARDS)),
        ]
        self.random.choice(victims)()

    def lose(self) -> None:
        """The source drops something that it had, and the feed says so."""
        if self.upstream and not self.links["feed-sim"].stopped:
            key = self.random.choice(list(self.upstream))
            self.feed.answer([Result(key, self.upstream.pop(key), "the source has dropped it")])

    def stop(self) -> None:
        """A process is stopped, or goes on; or is silent so long that the router gives it up."""
        name = self.random.choice(list(self.links))
        if self.random.random() < 0.3 and self.router._roster.leave(name):
            self.router._gone(name)
            if name.startswith(FEED):
                self.truth.clear()
        else:
            self.links[name].stopped ^= True

    def begins_anew(self, name: str) -> None:
        """A process has begun a new stay: what comes from a feed is not known any more until it is
        published again."""
        if name.startswith(FEED):
            self.truth.clear()

    def keeper(self, key: bytes) -> int:
        """The shard that is asked for what is known of a key."""
        keeper: int = self.router._legs.keepers.of(key)
        return keeper

    def _watch(self, name: str) -> None:
        """With a shard that leaves goes what it kept, and what goes to a shard that is not there is
        lost: it is not known any more until it is published again."""
        legs = self.router._legs
        change = getattr(legs, name)

        def watched(shard: int, *args: Any, **more: Any) -> Any:
            if name == "left":
                self.truth = {
                    key: value
                    for key, value in self.truth.items()
                    if self.keeper(key) != shard or self._is_known_elsewhere(key, shard)
                }
            outcome = change(shard, *args, **more)
            self.truth = {
                key: value for key, value in self.truth.items() if self.keeper(key) in legs._stays
            }
            return outcome

        setattr(legs, name, watched)

    def _is_known_elsewhere(self, key: bytes, gone: int) -> bool:
        """Whether another shard was sent all ticks of a key for long enough, and lives."""
        unsettled = self.router._legs._questions.unsettled(key)
        return any(
            shard != gone and level == Mode.LTP and shard not in unsettled
            for shard, level in self.router._legs.interest.legs(key).items()
            if self.links[f"{SHARD}{shard}"].lease
        )

    def _join(self, shard: int, broker: str) -> Client:
        client = Client(shard, broker, self.brokers[broker], next(self._forms))
        client.desk = self.shards[shard]._desk
        return client

    def _part(self, client: Client) -> None:
        for ticket in client.tickets:
            ticket.cancel()
        client.desk.leave(client)
        self.shards[client.shard]._tell()

    def _ask(self, client: Client, chosen: list[Instrument], mode: Mode, *, snapshot: bool) -> None:
        who = Identity("user", client.broker)
        if not client.desk.feeds.of(who):
            return  # a session would be told that no feed serves it
        assert client.desk.scope(who) == client.scope
        entries = [(one, client.scope + one.key, "") for one in chosen]
        asked = Subscribe(entries, mode, 5, snapshot=snapshot)
        ticket = client.desk.subscribe(client, {}, who, asked, time.monotonic())
        client.tickets.append(ticket)
        client.answered()
        self.shards[client.shard]._tell()

    def _carry_up(self) -> None:
        sender, message = self.upward.popleft()
        for key in message["keys"] if message["t"] == "released" else ():
            self.truth.pop(key, None)
        self.router._take_control(sender, message)

    def _carry_down(self, name: str) -> None:
        message = self.downward[name].popleft()
        link = self.links[name]
        if link.take(message):
            return
        if name == "feed-sim" and message["t"] == "interest":
            self.feed._take_interest(message)
        elif message["t"] == "results":
            self.shards[int(name[-1])]._take_results(message)
        elif message["t"] == "pulse" and name.startswith(SHARD):
            self.shards[int(name[-1])]._take_pulse(message)

    def _turn(self, number: int) -> None:
        """A turn of a shard's loop: what is left of its work, and what it has to tell."""
        del self.turning[number]
        self.shards[number]._tell_now()

    def _carry_stream(self, number: int) -> None:
        shard = self.shards[number]
        shard._take(self.streams[number].queue.waiting.popleft())
        if self.random.random() < 0.7:
            shard._desk.fanout.flush()

    def _carry_answer(self, number: int) -> None:
        self.router._take_ingest(self.answers[number].waiting.popleft())

    # Rest.

    def rest(self) -> None:
        """Everyone goes on and beats until nothing moves any more; what lingers is released."""
        for link in self.links.values():
            link.stopped = False
        for pipe in self.streams:
            pipe.queue.room = True
            pipe.retry()
        for _ in range(4):
            for link in self.links.values():
                link.beat()
            for shard in self.shards:
                shard._desk.wanted.ask_again()
                shard._tell()
            while True:
                while self.carry():
                    pass
                self.router._flush_all()
                self.feed._sweep(time.monotonic() + 11)
                for shard in self.shards:
                    shard._desk.fanout.flush()
                if not self.asked and not any(stream.queue.waiting for stream in self.streams):
                    break

    def settle(self) -> None:
        """Nothing moves any more among those who are not stopped; what lingers upstream goes on
        doing so."""
        for _ in range(4):
            for link in self.links.values():
                link.beat()
            while self.carry():
                pass
            self.router._flush_all()
            for shard in self.shards:
                if not self.links[shard.name].stopped:
                    shard._desk.fanout.flush()

    def check(self) -> None:
        """At rest: everybody is answered, and each tick reaches exactly those who hold it."""
        assert not any(client.tickets for client in self.clients), "a subscribe was not answered"
        self._check_upstream()
        for instrument in INSTRUMENTS[:-1]:
            self._check_snapshot(instrument)
        for disturb in (self._choke, self._silence):
            self._check_newest(partial(disturb, self.random.randrange(SHARDS)))
        for instrument in INSTRUMENTS:
            for mode in MODES:
                for scope in {b"", *self.brokers.values()}:
                    self._check_tick(instrument, mode, scope)
        self._check_router()
        for shard in self.shards:
            snapshots = shard._desk.snapshots
            opening = {**snapshots._told, **snapshots._opening}
            assert not opening, f"every opening was settled, not {opening} of {shard.name}"
            assert not snapshots._awaiting, "nobody waits for what will not come"
            for line in shard._desk.latest.lines.values():
                held = line.key in shard._desk.index
                kept = line.payload is not None and self.keeper(line.key) == shard.shard
                assert held or kept, f"{line} is kept for nothing by {shard.name}"

    def _check_newest(self, disturb: Callable[[], None]) -> None:
        """Whatever a shard could not be sent in time, what was published last reaches all who hold
        it."""
        keys = [(one, scope) for scope in self.brokers.values() for one in INSTRUMENTS]
        expected: dict[bytes, int] = {}
        disturb()
        for turn in range(3):
            for instrument, scope in keys[turn:]:
                self.publish(instrument, Mode.DEPTH, scope)
                expected[scope + instrument.key] = self.number
            self.router._flush_all()
        self.rest()
        for client in self.clients:
            for key in client.desk.index.held(client):
                least = expected.get(key, 0)
                assert client.newest[key] >= least, f"shard {client.shard}: {key!r} is not current"

    def _choke(self, shard: int) -> None:
        self.streams[shard].queue.room = False

    def _silence(self, shard: int) -> None:
        """It is stopped for so long that the router gives it up."""
        name = f"{SHARD}{shard}"
        self.links[name].stopped = True
        if self.router._roster.leave(name):
            self.router._gone(name, returns=True)

    def _check_router(self) -> None:
        legs = self.router._legs
        assert not legs._questions, "every question was answered"
        assert not legs._questions._newest, "nobody waits for an answer"
        assert not legs.keepers._heirs, "every heir has inherited"
        assert all(key in legs.interest for key in legs.keepers._keepers), "idle keys are at home"

    def _check_snapshot(self, instrument: Instrument) -> None:
        """Whoever comes now is shown what was published last, if that is still to be known: a
        value of a key that somebody holds, published since its keeper and its feed are there."""
        for broker in self.brokers:
            self._check_shown(instrument, broker)

    def _check_shown(self, instrument: Instrument, broker: str) -> None:
        key = self.brokers[broker] + instrument.key
        holders = [c for c in self.clients if c.desk.index.modes(c, key)]
        known = self.truth.get(key) if holders else None
        for shard in range(SHARDS):
            newcomer = self._join(shard, broker)
            self._ask(newcomer, [instrument], Mode.LTP, snapshot=True)
            self.rest()
            shown = [number for _, number in newcomer.got]
            assert len(shown) <= 1, f"{instrument} is shown once, not {shown}"
            if known is not None:
                assert shown == [known[0]], f"shard {shard} shows {shown} of {instrument}: {known}"
            self._part(newcomer)
        self.rest()

    def _check_tick(self, instrument: Instrument, mode: Mode, scope: bytes) -> None:
        for client in self.clients:
            client.got.clear()
        for pipe in self.streams:
            pipe.queue.topics.clear()
        self.publish(instrument, mode, scope)
        self.rest()
        for origin in {b"", *self.brokers.values()}:
            self._check_copies(origin + instrument.key, mode)
        for client in self.clients:
            key = client.scope + instrument.key
            held = client.desk.index.modes(client, key) if scope in {b"", client.scope} else 0
            eligible = any(held & lower.bit for lower in MODES if lower <= mode)
            expected = [(key, self.number)] if eligible else []
            assert client.got == expected, f"shard {client.shard} holds {held} got {client.got}"

    def _check_copies(self, key: bytes, mode: Mode) -> None:
        """Of a key that is held no tick goes where nobody holds it; otherwise it goes home."""
        holders = {client.shard for client in self.clients if client.desk.index.modes(client, key)}
        topic = topics.of(key, mode)
        copies = [
            number
            for number in range(SHARDS)
            for one in self.streams[number].queue.topics
            if one == topic
        ]
        assert len(set(copies)) == len(copies), f"{topic!r} went twice to one of {copies}"
        assert set(copies) <= (holders or {home(key, SHARDS)}), f"{topic!r} went to {copies}"

    def _check_upstream(self) -> None:
        held: dict[bytes, int] = defaultdict(int)
        for client in self.clients:
            for key, variant in client.desk.index.held(client).items():
                held[key] |= variant.modes
        assert self.upstream == dict(held), "upstream has exactly what somebody holds"
        interest = self.router._legs.interest
        assert {key for key in held if key in interest} == set(held)
        assert len(interest) == len(held), "no leg without a holder"


def live(seed: int, runtime_dir: Path, steps: int) -> World:
    """A world after so many random steps, come to rest."""

    async def run() -> World:
        world = World(seed, runtime_dir)
        world.rest()
        for _ in range(steps):
            world.step()
        world.rest()
        return world

    with patch("shards.slices._PIECE", 1):  # subscribes here are of a few symbols only
        return asyncio.run(run())
