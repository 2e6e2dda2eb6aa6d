"""An uplink without its processes: what its router sends, what edges ask, what leaves by NATS."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.core import cluster, codec, stream, subjects, topics
from hub.core.cluster import Beat, Bye, Hello, Holes, Interest, Renew, Results, Values
from hub.core.codec import Message
from hub.core.model import Offer, Result, Want
from hub.core.settings import Hub, Settings
from hub.core.settings import Nats as NatsSettings
from shards import uplink as module
from shards.uplink import Uplink

A, B, C = b"NSE_A", b"NSE_B", b"NSE_C"
SCOPED = topics.scope("anita") + A
PREFIX = NatsSettings().prefix
STAY, NEXT_STAY = stream.token(7, 1), stream.token(7, 2)


class Door:
    """NATS by hand: keeps what is published and delivers it when the test says so."""

    def __init__(self) -> None:
        self.connected = True
        self.room = True
        self.most_bytes = 1 << 20
        self.tried = 0
        self.out: list[tuple[str, bytes]] = []

    @property
    def has_room(self) -> bool:
        return self.connected and self.room

    def publish(self, subject: str, *parts: bytes) -> bool:
        data = b"".join(parts)
        self.tried += 1
        taken = self.connected and len(data) <= self.most_bytes
        if taken:
            self.out.append((subject, data))
        return taken

    def figures(self) -> dict[str, Any]:
        return {"connected": self.connected}


class Link:
    """The way to the router, and what is told by it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(codec.decode(codec.encode(message)))


class Ingest:
    """The pipe to the router."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def reset(self, *, open_: bool) -> list[list[bytes]]:
        assert open_
        unsent, self.sent = self.sent, []
        return unsent

    def send_surely(self, parts: Sequence[bytes]) -> None:
        self.sent.append(list(parts))

    def retry(self) -> bool:
        return True


class Events:
    """Account events on their way to other machines."""

    stream = None  # of which both are told

    def __init__(self) -> None:
        self.offered: list[tuple[bytes, bytes]] = []

    def offer(self, key: bytes, payload: bytes) -> None:
        self.offered.append((key, payload))

    def up(self) -> None:
        """NATS is there."""

    def figures(self) -> dict[str, Any]:
        return {}


class Machine:
    """An edge: its lease, and what it has been sent, with holes found as feed-nats finds them."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.got: list[tuple[bytes, bytes]] = []
        self.again: list[tuple[bytes, bytes]] = []
        self.results: list[Result] = []
        self.holes = Holes()
        self.hello()

    def hello(self) -> None:
        welcome = self.world.ask(Hello(self.name, 1))
        assert isinstance(welcome, cluster.Welcome)
        self.lease, self.number = welcome.lease, welcome.number
        self.holes = Holes()
        self.holes.begin(welcome.newest)

    def want(self, *wants: Want, feed: str = "sim", first: bool = False, last: bool = False) -> Any:
        return self.world.ask(Interest(self.lease, feed, wants, first, last))

    def mine(self, subject: str) -> bool:
        """As NATS matches subjects, which is all that `*` means."""
        pattern = subjects.mine(PREFIX, self.world.uplink._stay, self.number).split(".")
        tokens = subject.split(".")
        return len(tokens) == len(pattern) and all(
            want in ("*", token) for want, token in zip(pattern, tokens, strict=True)
        )

    def take(self, subject: str, data: bytes) -> None:
        if self.mine(subject):
            number, before, again, batch = cluster.ticks(data)
            if self.holes.take(subject, number, before):
                pairs = codec.unpack(batch)
                ticks = [*zip(pairs[::2], pairs[1::2], strict=True)]
                self.got += ticks
                self.again += ticks if again else []
        elif subject == subjects.edge(PREFIX, self.name):
            told = cluster.told(data)
            assert isinstance(told, Results)
            assert told.machine == "desk1"
            self.results += told.results

    def seen(self) -> list[tuple[bytes, bytes]]:
        """What it was sent since this was last asked."""
        self.world.deliver()
        got, self.got, self.again = self.got, [], []
        return got


class World:
    """A welcome uplink behind two shards; what its router sends is handed to it."""

    def __init__(self, room: Path) -> None:
        room.chmod(0o700)
        settings = Settings(
            hub=Hub(shards=2, runtime_dir=str(room), feeds=["sim"]),
            nats=NatsSettings(publish=True, name="desk1"),
        )
        uplink: Any = Uplink("uplink", settings)
        self.uplink = uplink
        self.door = uplink._nats = Door()
        self.link = uplink._control = Link()
        self.ingest = uplink._ingest = Ingest()
        self.events = uplink._events = uplink._follower = Events()
        uplink._pump = SimpleNamespace(faults=0)
        self.edges: list[Machine] = []
        self.questions = itertools.count(1)
        self.welcome(STAY)
        self.pulse("sim")

    def welcome(self, stay: bytes) -> None:
        self.stay = stay
        self.uplink._welcomed({"t": "welcome", "lease": 1, "stream": stay})

    def pulse(self, *feeds: str) -> None:
        offers = [Offer(feed) for feed in feeds]
        self.uplink._take_pulse({"t": "pulse", "feeds": offers})

    def edge(self, name: str) -> Machine:
        edge = Machine(self, name)
        self.edges.append(edge)
        return edge

    def ask(self, asked: cluster.Ask, reply: str = "inbox") -> Any:
        """What is replied."""
        self.uplink._take_ask("ask", cluster.encode(asked), reply)
        for at, (subject, data) in enumerate(self.door.out):
            if subject == reply:
                del self.door.out[at]
                return cluster.told(data)
        return None

    def deliver(self) -> None:
        out, self.door.out = self.door.out, []
        for subject, data in out:
            for edge in self.edges:
                edge.take(subject, data)

    def take(self, kind: bytes, *parts: bytes, stay: bytes | None = None) -> None:
        self.uplink._take([kind + (self.stay if stay is None else stay), *parts])

    def ticks(self, *pairs: tuple[bytes, bytes], kind: bytes = stream.TICKS) -> None:
        self.take(kind, codec.pack([part for pair in pairs for part in pair]))
        self.uplink._flush()

    def opened(self, *keys: bytes, values: Sequence[bytes] = ()) -> None:
        """The router opens legs, and their keeper answers."""
        question = next(self.questions)
        told = {"keys": list(keys), "number": 1 << 30, "question": question}
        self.take(stream.OPENED, codec.encode({"t": "opened"} | told))
        self.take(stream.VALUES, codec.pack(list(values)), codec.encode({"t": "values"} | told))
        self.uplink._flush()

    def wanted(self) -> dict[str, dict[bytes, int]]:
        """What the router was told, by feed."""
        found: dict[str, dict[bytes, int]] = defaultdict(dict)
        for message in self.link.sent:
            if message["t"] == "interest":
                if message["replace"]:
                    found[message["feed"]].clear()
                for want in codec.wants(message):
                    found[message["feed"]][want.key] = want.modes
        return found

    def results(self, *results: Result, feed: str = "sim") -> None:
        self.uplink._take_results({"t": "results", "feed": feed, "results": list(results)})

    def beat(self) -> Beat:
        self.door.out.clear()
        self.uplink._beat()
        ((_, data),) = self.door.out
        self.door.out.clear()
        return cluster.beat(data)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An uplink in a loop that is not running: it prepares its routes later."""
    loop = asyncio.new_event_loop()
    patch = pytest.MonkeyPatch()
    patch.setattr(asyncio, "get_running_loop", lambda: loop)
    yield World(tmp_path)
    patch.undo()
    loop.close()


def quote(key: bytes, payload: bytes) -> tuple[bytes, bytes]:
    return topics.of(key, 2), payload


def ltp(key: bytes, payload: bytes) -> tuple[bytes, bytes]:
    return topics.of(key, 1), payload


# Rule 2: ticks.


def test_a_tick_goes_once_to_each_set_of_edges_that_want_it(world: World) -> None:
    one, two, three = (world.edge(name) for name in ("e1", "e2", "e3"))
    one.want(Want(A, 1), Want(B, 1))
    two.want(Want(A, 1))
    three.want(Want(SCOPED, 1))
    world.opened(A, B, SCOPED)
    world.door.out.clear()
    world.ticks(ltp(A, b"1"), ltp(B, b"2"), ltp(A, b"3"), ltp(SCOPED, b"4"), ltp(C, b"5"))
    assert len(world.door.out) == 3, "one message for each set"
    assert one.seen() == [ltp(A, b"1"), ltp(A, b"3"), ltp(B, b"2")]
    assert two.seen() == [ltp(A, b"1"), ltp(A, b"3")]
    assert three.seen() == [ltp(SCOPED, b"4")]


def test_of_a_key_each_edge_has_all_its_modes_in_order(world: World) -> None:
    low, high = world.edge("low"), world.edge("high")
    low.want(Want(A, 1))
    high.want(Want(A, 2))
    world.opened(A)
    world.ticks(ltp(A, b"1"), quote(A, b"2"), ltp(A, b"3"), quote(A, b"4"))
    assert low.seen() == [ltp(A, b"1"), quote(A, b"2"), ltp(A, b"3"), quote(A, b"4")]
    assert high.seen() == [quote(A, b"2"), quote(A, b"4")]


def test_more_edges_than_a_bank_has_are_all_sent_to(world: World) -> None:
    edges = [world.edge(f"e{at}") for at in range(20)]
    for edge in edges:
        edge.want(Want(A, 1))
    world.opened(A)
    for edge in edges:
        edge.seen()
    world.ticks(ltp(A, b"1"))
    assert len(world.door.out) == 3, "one message for each bank"
    assert [edge.seen() for edge in edges] == [[ltp(A, b"1")]] * 20
    assert {edge.holes.found for edge in edges} == {0}


def test_who_does_not_want_a_key_any_more_is_sent_nothing_of_it(world: World) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    one.want(Want(A, 1))
    two.want(Want(A, 1))
    world.opened(A)
    one.want(Want(A, 0))
    world.ask(Bye(two.lease))
    world.ticks(ltp(A, b"1"))
    assert (one.seen(), two.seen()) == ([], [])
    assert world.wanted()["sim"] == {A: 0}


def test_large_batches_leave_in_parts_that_nats_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_BYTES", 100)
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    edge.seen()
    told = [ltp(A, b"%d" % at * 30) for at in range(9)] + [ltp(A, b"x" * 500)]
    world.ticks(*told)
    assert all(len(data) < 150 for _, data in world.door.out[:-1])
    assert len(world.door.out) > 3
    assert edge.seen() == told


def test_what_is_left_over_of_an_earlier_stay_is_dropped(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    world.take(stream.TICKS, codec.pack([*ltp(A, b"1")]), stay=NEXT_STAY)
    world.uplink._flush()
    assert edge.seen() == []
    assert world.uplink._leftover == 1


def test_a_message_of_the_router_that_is_nonsense_costs_nothing_else(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    world.take(stream.TICKS, b"\x01nonsense")
    world.take(b"Z", b"")
    world.ticks(ltp(A, b"1"))
    assert edge.seen() == [ltp(A, b"1")]


# Rule 3: values.


def test_a_fresh_edge_has_the_value_before_all_later_ticks_and_after_none(world: World) -> None:
    old, fresh = world.edge("e1"), world.edge("e2")
    old.want(Want(A, 1))
    world.opened(A)
    world.ticks(ltp(A, b"1"))
    world.take(stream.TICKS, codec.pack([*ltp(A, b"2")]))  # not flushed yet
    fresh.want(Want(A, 1))
    world.ticks(ltp(A, b"3"))
    assert fresh.seen() == [ltp(A, b"2"), ltp(A, b"3")]
    assert old.seen() == [ltp(A, b"1"), ltp(A, b"2"), ltp(A, b"3")]


def test_what_nobody_had_comes_from_its_keeper(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 2))
    assert edge.seen() == []
    world.opened(A, values=[*ltp(A, b"1"), *quote(A, b"2")])
    world.deliver()
    assert edge.again == [quote(A, b"2")], "of the mode it wants, as what may have come before"
    world.ticks(quote(A, b"3"))
    assert edge.seen() == [quote(A, b"2"), quote(A, b"3")]


def test_a_tick_that_was_faster_than_its_keeper_is_not_followed_by_an_older_value(
    world: World,
) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    told = {"keys": [A], "number": 1 << 30, "question": 5}
    world.take(stream.OPENED, codec.encode({"t": "opened"} | told))
    world.ticks(ltp(A, b"2"))
    values = codec.pack([*ltp(A, b"1")])
    world.take(stream.VALUES, values, codec.encode({"t": "values"} | told))
    world.uplink._flush()
    assert edge.seen() == [ltp(A, b"2")]


def test_a_lower_mode_is_shown_what_it_could_not_have(world: World) -> None:
    low, high = world.edge("low"), world.edge("high")
    low.want(Want(A, 1))
    high.want(Want(A, 2))
    world.opened(A)
    world.ticks(ltp(A, b"1"))
    assert high.seen() == []
    high.want(Want(A, 3))
    assert high.seen() == [ltp(A, b"1")]


def test_who_has_missed_something_is_sent_what_it_wants_as_it_stands(world: World) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    one.want(Want(A, 1), Want(B, 1))
    two.want(Want(A, 1))
    world.opened(A, B)
    world.ticks(ltp(A, b"1"), ltp(B, b"2"))
    world.door.out.clear()  # all of it is lost
    newest = world.uplink._newest
    taken = world.ask(Values(one.lease))
    assert taken == cluster.Taken(newest)
    one.holes.doubt()
    one.holes.begin(newest)
    assert sorted(one.seen()) == [ltp(A, b"1"), ltp(B, b"2")]
    world.uplink._mark()
    world.deliver()
    assert (one.holes.found, two.holes.found) == (0, 1), "the mark behind it tells the other"


def test_marks_end_when_nothing_is_sent_any_more_and_are_sent_until_nats_takes_them(
    world: World,
) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    edge.seen()
    world.door.connected = False
    world.ticks(ltp(A, b"1"))
    world.uplink._mark()
    world.uplink._mark()
    world.door.connected = True
    world.uplink._mark()
    assert len(world.door.out) == 1
    assert edge.seen() == []
    assert edge.holes.found == 1
    world.uplink._mark()
    world.uplink._mark()
    assert world.door.out == []


def test_when_nats_was_away_edges_are_sent_values_and_answers_then(world: World) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    one.want(Want(A, 1))
    two.want(Want(B, 1))
    world.opened(A, B)
    world.deliver()
    world.door.connected = False
    world.ticks(ltp(A, b"1"), ltp(A, b"2"), ltp(B, b"3"))
    world.results(Result(A, 1))
    world.ask(Bye(two.lease))
    world.results(Result(B, 1))
    assert world.door.out == []
    tried = world.door.tried
    world.uplink._beat()
    assert world.door.tried == tried, "nobody hears it, so it is no message that was not sent"
    world.door.connected = True
    world.uplink._up()
    assert one.seen() == []
    assert one.results == [Result(A, 1)]
    assert one.holes.found == 1, "so it knows that it has missed something"
    world.ask(Values(one.lease))
    assert one.seen() == [ltp(A, b"2")]
    assert two.seen() == []
    assert not world.uplink._owed


def test_values_go_as_fast_as_nats_takes_them(world: World) -> None:
    edge = world.edge("e1")
    keys = [b"NSE_%d" % number for number in range(1200)]
    edge.want(*[Want(key, 1) for key in keys])
    world.opened(*keys)
    world.ticks(*[ltp(key, b"1") for key in keys])
    assert len(edge.seen()) == 1200
    world.ask(Values(edge.lease))
    assert len(edge.seen()) == 500, "a part at once"
    assert world.uplink._paying
    world.door.room = False
    world.uplink._pay()
    assert edge.seen() == []
    world.door.room = True
    for some in (500, 200):
        world.uplink._pay()
        assert len(edge.seen()) == some
    assert not world.uplink._paying
    assert not world.uplink._owed_values


def test_an_answer_that_nats_takes_never_costs_its_edge_the_lease_and_nobody_else(
    world: World,
) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    for edge in (one, two):
        edge.want(Want(A, 1))
    world.door.most_bytes = 1000
    world.results(Result(A, 1, "x" * 2000))
    world.door.most_bytes = 1 << 20
    assert world.ask(Values(one.lease)) == cluster.Who(one.lease)
    two.hello()
    two.want(Want(A, 1))
    world.results(Result(A, 1))
    world.deliver()
    assert two.results == [Result(A, 1)]


def test_a_value_goes_behind_the_ticks_that_wait_for_the_next_flush(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    world.take(stream.TICKS, codec.pack([*ltp(A, b"1"), *ltp(A, b"2")]))
    world.uplink._owe(world.uplink._edges.numbered(edge.number), [A])
    world.uplink._flush()
    assert edge.seen() == [ltp(A, b"1"), ltp(A, b"2"), ltp(A, b"2")]


# Rule 1: to its router it is a shard.


def test_the_router_is_told_what_all_edges_want_together(world: World) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    one.want(Want(A, 1), Want(SCOPED, 4, 20))
    two.want(Want(A, 2), Want(topics.login("anita", "angel"), 1))
    login = topics.login("anita", "angel")
    assert world.wanted()["sim"] == {A: 3, SCOPED: 4, login: 1}
    assert world.wanted()[""] == {topics.ALL_ORDERS: 1}
    world.welcome(NEXT_STAY)
    (told,) = [sent for sent in world.link.sent[-2:] if sent["feed"] == "sim"]
    assert told["replace"]
    assert {want.key: want.modes for want in codec.wants(told)} == {A: 3, SCOPED: 4, login: 1}


def test_answers_go_to_those_who_wait(world: World) -> None:
    one, two = world.edge("e1"), world.edge("e2")
    one.want(Want(A, 1))
    two.want(Want(A, 1), Want(B, 1))
    world.results(Result(A, 1), Result(B, 1, "no such symbol"))
    world.deliver()
    assert one.results == [Result(A, 1)]
    assert two.results == [Result(A, 1), Result(B, 1, "no such symbol")]
    assert set(world.uplink._edges.held(world.uplink._edges.numbered(two.number))) == {A}
    world.ticks(ltp(B, b"1"))
    assert two.seen() == []
    assert world.wanted()["sim"] == {A: 1, B: 0}


def test_a_keeper_answers_others_and_itself(world: World) -> None:
    world.ticks(ltp(A, b"1"), kind=stream.KEEP)
    asked = {"t": "query", "question": 5, "live": [A], "other": [B]}
    world.take(stream.QUERY, codec.encode(asked | {"stay": b"another"}))
    values = [stream.VALUES, b"another", b"5", codec.pack([*ltp(A, b"1")])]
    assert world.ingest.sent == [values]
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    told = {"t": "opened", "keys": [A], "number": 1 << 30, "question": 6}
    world.take(stream.OPENED, codec.encode(told))
    world.take(stream.QUERY, codec.encode(asked | {"stay": STAY, "question": 6}))
    assert edge.seen() == [ltp(A, b"1")]
    assert len(world.ingest.sent) == 1


def test_how_old_a_value_is_that_was_kept_for_it_nobody_says(world: World) -> None:
    world.ticks(ltp(A, b"1"), kind=stream.OLD)
    world.ticks(ltp(B, b"2"), kind=stream.KEEP)
    asked = {"t": "query", "question": 5, "live": [], "other": [A, B], "stay": b"another"}
    world.take(stream.QUERY, codec.encode(asked))
    assert world.ingest.sent[-1][3] == codec.pack([*ltp(B, b"2")])


def test_what_came_while_it_was_not_there_reaches_its_edges(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    world.welcome(NEXT_STAY)
    world.ticks(ltp(A, b"1"), kind=stream.OLD)
    assert edge.seen() == [ltp(A, b"1")]


@pytest.mark.parametrize("kind", [stream.CLOSED, stream.FORGET])
def test_what_is_void_is_shown_to_nobody(world: World, kind: bytes) -> None:
    old = world.edge("e1")
    old.want(Want(A, 1))
    world.opened(A)
    world.ticks(ltp(A, b"1"))
    world.take(kind, codec.encode({"t": "keys", "keys": [A]}))
    old.seen()
    world.ask(Values(old.lease))
    assert old.seen() == []


def test_at_a_new_stay_edges_have_what_their_keepers_know_better(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1), Want(B, 1))
    world.opened(A, B)
    world.ticks(ltp(A, b"1"), ltp(B, b"2"))
    edge.seen()
    world.welcome(NEXT_STAY)
    world.opened(A, B, values=[*ltp(A, b"5"), *ltp(B, b"2")])
    assert ltp(A, b"5") in edge.seen()
    world.ticks(ltp(A, b"6"))
    assert edge.seen() == [ltp(A, b"6")]


def test_account_events_and_changed_credentials_are_for_all_machines(world: World) -> None:
    order = topics.orders("anita")
    world.take(stream.ACCOUNT, codec.pack([order, b"{}", order, b"[]"]), stay=NEXT_STAY)
    assert world.events.offered == [(order, b"{}"), (order, b"[]")]
    world.uplink._take_event(order, b"{}")
    event = [stream.ACCOUNT, codec.pack([order, b"{}"])]
    assert world.ingest.sent == [event]
    world.ingest.sent += [[stream.VALUES, STAY, b"1", b""]]
    world.welcome(NEXT_STAY)
    assert world.ingest.sent == [event], "an answer is one to the stay before"
    world.link.sent.clear()
    world.uplink._take_event(topics.INVALIDATED, b"")
    world.uplink._take_event(topics.INVALIDATED, b"[]")
    assert [told["payload"] for told in world.link.sent] == [b"", b"[]"], "one was lost"


def test_a_feed_that_is_gone_and_back_has_another_life_however_fast(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    (before,) = world.beat().feeds
    assert (before.name, before.keys) == ("sim@desk1", 1)
    world.pulse()
    world.pulse("sim")
    (after,) = world.beat().feeds
    assert (after.life > before.life, after.keys) == (True, 0)
    assert world.wanted()["sim"] == {A: 0}
    edge.want(Want(A, 1), first=True, last=True)
    assert world.wanted()["sim"] == {A: 1}


# What edges say.


def test_a_lease_that_is_none_is_asked_who_it_is(world: World) -> None:
    edge = world.edge("e1")
    for word in (Renew(7), Values(7), Bye(7), Interest(7, "sim", (Want(A, 1),))):
        assert world.ask(word) == cluster.Who(7)
    assert isinstance(world.ask(Renew(edge.lease)), cluster.Taken)
    assert A not in world.wanted()["sim"]


def test_who_says_hello_anew_is_one_edge_with_nothing(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    before = edge.lease
    edge.hello()
    assert world.wanted()["sim"] == {A: 0}
    assert world.ask(Renew(before)) == cluster.Who(before)
    (leased,) = world.beat().leases
    assert (leased.edge, leased.keys) == ("e1", 0)
    edge.want(Want(A, 1))
    world.opened(A, values=[*ltp(A, b"1")])
    assert edge.seen() == [ltp(A, b"1")]


def test_two_edges_of_one_name_are_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for epoch, doubled in ((5, False), (6, False), (5, True)):
        beat = cluster.Beat(machine="e1", role=cluster.EDGE, epoch=epoch)
        world.uplink._take_beat("beat", cluster.encode(beat), "")
        assert ("two machines are called e1" in caplog.text) is doubled


def test_an_edge_that_says_nonsense_costs_nothing(world: World) -> None:
    edge = world.edge("e1")
    edge.want(Want(A, 1))
    world.opened(A)
    for data in (b"", b"\xc1", b"\x80", cluster.encode(Interest(edge.lease, "", (Want(B, 1),)))):
        world.uplink._take_ask("ask", data, "inbox")
        world.uplink._take_beat("beat", data, "")
    assert edge.want(Want(B, 9)) is None
    world.ticks(ltp(A, b"1"))
    assert edge.seen() == [ltp(A, b"1")]
    assert B not in world.wanted()["sim"]


def test_a_beat_says_who_has_what(world: World) -> None:
    world.edge("e1").want(Want(A, 1))
    beat = world.beat()
    assert (beat.machine, beat.role, beat.shards) == ("desk1", cluster.INGEST, 2)
    assert beat.stay == world.uplink._stay
    assert [(one.edge, one.keys) for one in beat.leases] == [("e1", 1)]
    world.uplink._take_beat("", cluster.encode(beat), "")
    world.uplink._take_cluster({"from": "cli-1"})
    told = world.link.sent[-1]["cluster"]
    assert [one["name"] for one in told["machines"]] == ["desk1"]
    figures = world.uplink._figures()
    assert (figures["edges"], figures["symbols"]) == (1, 1)


def tended(world: World, met: Callable[[], bool]) -> None:
    """Run the tender until something is the case."""

    async def main() -> None:
        tender = asyncio.create_task(world.uplink._tend())
        async with asyncio.timeout(20):
            while not met():
                await asyncio.sleep(0.005)
                if tender.done():
                    tender.result()
        tender.cancel()

    asyncio.run(main())


def test_who_is_silent_is_let_go_but_not_while_nats_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr("shards.edges.LEASE_S", 0.1)
    world.edge("e1")
    world.door.connected = False
    until_s = time.monotonic() + 0.2
    tended(world, lambda: time.monotonic() > until_s)
    assert len(world.uplink._edges) == 1
    world.door.connected = True
    tended(world, lambda: len(world.uplink._edges) == 0)
