"""The edges of an uplink beside a naive model: what they want, what is asked, who is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.cluster import LEASE_S
from hub.core.liveness import BEAT_S
from hub.core.model import Mode, Result, Want
from hub.core.wants import Wants
from shards.edges import Edge, Edges, Holders, Told

NAMES = ("e1", "e2", "e3")
FEEDS = ("sim", "other")
KEYS = (b"NSE_A", b"NSE_B", topics.scope("anita") + b"NSE_A")
LOGIN = topics.login("anita", "angel")
EPOCH = 1000


class World:
    """Edges, and what is wanted of the feeds for them."""

    def __init__(self, epoch: int = EPOCH) -> None:
        self.wants: dict[str, Wants] = defaultdict(Wants)
        self.shown: list[tuple[str, list[bytes]]] = []
        self.edges = Edges(self.wants.__getitem__, self.show, epoch)
        self.now_s = 0.0

    def show(self, edge: Edge, keys: list[bytes]) -> None:
        self.shown.append((edge.name, keys))

    def hello(self, name: str = "e1") -> Edge:
        return self.edges.hello(name, self.now_s)[0]

    def tell(self, edge: Edge, *wants: Want, feed: str = "sim", **part: bool) -> Any:
        return self.edges.tell(edge, feed, wants, **part, now_s=self.now_s)

    def asked(self, feed: str = "sim") -> list[Want]:
        """What the feed is asked for since this was last called."""
        return self.wants[feed].take()

    def settle(self, *results: Result, feed: str = "sim") -> Told:
        return self.edges.settle(feed, results).told


@pytest.fixture
def world() -> World:
    """Nobody is there."""
    return World()


# Rule 1: numbers.


def test_an_edge_has_the_lowest_number_that_is_free_while_its_lease_lasts(world: World) -> None:
    ones = [world.hello(f"e{at}") for at in range(20)]
    assert [one.number for one in ones] == [*range(20)]
    world.edges.drop(ones[3])
    world.edges.drop(ones[9])
    assert [world.hello(name).number for name in ("x", "y", "z")] == [3, 9, 20]
    assert world.edges.numbered(9).name == "y"
    with pytest.raises(KeyError):
        world.edges.numbered(21)


def test_who_says_hello_again_has_one_lease_and_wants_nothing(world: World) -> None:
    first = world.hello()
    world.tell(first, Want(b"NSE_A", 1))
    world.asked()
    second, changed = world.edges.hello("e1", 0.0)
    assert changed == [b"NSE_A"]
    assert world.asked() == [Want(b"NSE_A", 0)]
    assert world.edges.renew(first.lease, 0.0) is None
    assert world.edges.renew(second.lease, 0.0) is second
    assert len(world.edges) == 1


# Rule 5: leases.


def test_a_lease_of_an_earlier_life_is_nobodys() -> None:
    before, after = World(epoch=1_000_000), World(epoch=2_000_000)
    leases = {before.hello(name).lease for name in NAMES}
    for name in NAMES:
        assert after.hello(name).lease not in leases
    assert not any(after.edges.renew(lease, 0.0) for lease in leases)


def test_who_is_silent_for_long_is_told_apart_from_a_pause_of_ours(world: World) -> None:
    talks, silent = world.hello("e1"), world.hello("e2")
    while world.now_s <= LEASE_S:
        assert world.edges.silent(world.now_s) == []
        world.now_s += BEAT_S
        assert world.edges.renew(talks.lease, world.now_s) is talks
    world.now_s += 100.0
    assert world.edges.silent(world.now_s) == [], "what they said meanwhile is read first"
    world.edges.renew(talks.lease, world.now_s)
    world.now_s += BEAT_S
    assert world.edges.silent(world.now_s) == [silent]
    assert world.edges.left_s(silent, world.now_s) == 0.0
    assert 0 < world.edges.left_s(talks, world.now_s) <= LEASE_S


def test_while_we_hear_nobody_nobody_is_silent(world: World) -> None:
    world.hello()
    for _ in range(60):
        world.now_s += BEAT_S
        world.edges.excuse(world.now_s)
    world.now_s += BEAT_S
    assert world.edges.silent(world.now_s) == []


# Rules 2 and 3: what is wanted, and who is answered.


def test_a_feed_is_asked_once_for_what_several_want(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 1, 5, "NSE", "A"))
    assert world.asked() == [Want(b"NSE_A", 1, 5, "NSE", "A")]
    world.tell(two, Want(b"NSE_A", 1, 5, "NSE", "A"))
    assert world.asked() == []
    told = world.settle(Result(b"NSE_A", 1))
    assert told == {0: [Result(b"NSE_A", 1)], 1: [Result(b"NSE_A", 1)]}
    assert world.settle(Result(b"NSE_A", 1)) == {}, "answered once"


def test_what_is_there_is_answered_at_once(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 3))
    world.asked()
    world.settle(Result(b"NSE_A", 3))
    assert world.tell(two, Want(b"NSE_A", 2)).told == {1: [Result(b"NSE_A", 2)]}
    assert world.asked() == []


def test_more_levels_are_asked_for_and_stay(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 4, 5))
    world.asked()
    world.settle(Result(b"NSE_A", 4, "", 5))
    assert world.tell(two, Want(b"NSE_A", 4, 20)).told == {}
    assert world.asked() == [Want(b"NSE_A", 4, 20)]
    assert world.settle(Result(b"NSE_A", 4, "", 20)) == {1: [Result(b"NSE_A", 4, "", 20)]}


def test_what_is_refused_leaves_nothing_behind_but_may_be_asked_for_again(world: World) -> None:
    one = world.hello()
    world.tell(one, Want(b"NSE_A", 1))
    world.asked()
    told = world.settle(Result(b"NSE_A", 1, "no such symbol"))
    assert told == {0: [Result(b"NSE_A", 1, "no such symbol")]}
    assert world.edges.keys("sim") == 0
    assert world.asked() == [Want(b"NSE_A", 0)], "so that the router hears of it"
    assert len(world.wants["sim"]) == 0
    world.tell(one, Want(b"NSE_A", 1))
    assert world.asked() == [Want(b"NSE_A", 1)]


def test_a_refused_mode_takes_nothing_from_the_others(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 1))
    world.asked()
    world.settle(Result(b"NSE_A", 1))
    world.tell(two, Want(b"NSE_A", 5))
    assert world.asked() == [Want(b"NSE_A", 5)]
    told = world.settle(Result(b"NSE_A", 4, "no depth"))
    assert told == {1: [Result(b"NSE_A", 4, "no depth"), Result(b"NSE_A", 1)]}
    assert world.wants["sim"].modes(b"NSE_A") == 1


def test_a_login_that_is_up_is_told_to_all(world: World) -> None:
    one, _ = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(LOGIN, 1, 5, "angel", "anita"))
    told = world.settle(Result(LOGIN, 1))
    assert set(told) == {0, 1}
    world.settle(Result(LOGIN, 1, "wrong password"))
    assert LOGIN not in world.wants["sim"] or not world.wants["sim"].modes(LOGIN)


def test_what_comes_of_a_feed_of_which_nothing_is_wanted_is_nobodys(world: World) -> None:
    world.hello()
    assert world.settle(Result(b"NSE_A", 1), feed="unknown") == {}
    assert world.edges.keys("unknown") == 0


# All that is wanted, in parts.


def test_all_that_is_wanted_is_told_in_parts_without_a_gap(world: World) -> None:
    edge = world.hello()
    a, b, c, d = (Want(f"NSE_{one}".encode(), 1) for one in "ABCD")
    world.tell(edge, a, b, c)
    world.asked()
    assert world.tell(edge, a, first=True).changed == [], "others may come in the next part"
    world.tell(edge, d)
    assert world.asked() == [d]
    change = world.tell(edge, b, last=True)
    assert change.changed == [c.key]
    assert world.asked() == [Want(c.key, 0)]
    assert set(world.edges.held(edge)) == {a.key, b.key, d.key}


def test_a_telling_that_was_broken_off_begins_anew(world: World) -> None:
    edge = world.hello()
    a, b = Want(b"NSE_A", 1), Want(b"NSE_B", 1)
    world.tell(edge, a, first=True)
    world.tell(edge, b, first=True, last=True)
    assert set(world.edges.held(edge)) == {b.key}
    world.tell(edge, first=True, last=True)
    assert not set(world.edges.held(edge))
    assert world.edges.keys("sim") == 0


def test_one_edges_word_is_not_anothers(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 1), first=True, last=True)
    world.tell(two, first=True, last=True)
    assert set(world.edges.held(one)) == {b"NSE_A"}


# Rule 4: feeds.


def test_a_feed_that_is_gone_has_nothing_of_any_edge_and_another_life(world: World) -> None:
    one, two = world.hello("e1"), world.hello("e2")
    world.tell(one, Want(b"NSE_A", 1), first=True)
    world.tell(two, Want(b"NSE_A", 2))
    world.tell(two, Want(b"NSE_B", 1), feed="other")
    world.asked()
    world.settle(Result(b"NSE_A", 3))
    life = world.edges.life("sim")
    assert set(world.edges.feed_gone("sim")) == {b"NSE_A"}
    assert world.edges.life("sim") != life
    assert world.asked() == [Want(b"NSE_A", 0)]
    assert (world.edges.keys("sim"), world.edges.keys("other")) == (0, 1)
    assert world.settle(Result(b"NSE_A", 1)) == {}, "a late answer of the one before"
    world.tell(one, Want(b"NSE_B", 1), first=True, last=True)
    assert world.asked() == [Want(b"NSE_B", 1)]
    assert world.settle(Result(b"NSE_B", 1)) == {0: [Result(b"NSE_B", 1)]}


# As Snapshots sees them.


def test_edges_hold_keys_in_all_modes_from_their_lowest_on(world: World) -> None:
    one, two, three = (world.hello(name) for name in NAMES)
    world.tell(one, Want(b"NSE_A", 2))
    world.tell(two, Want(b"NSE_A", 2))
    world.tell(three, Want(b"NSE_A", 4), Want(b"NSE_B", 1))
    holders = Holders(world.edges)
    assert b"NSE_A" in holders
    assert set(holders) == {b"NSE_A", b"NSE_B"}
    found = {
        variant.modes: list(audience.members)
        for variant, audience in holders.audiences(b"NSE_A").items()
    }
    assert found == {6: [one, two], 4: [three]}
    held = holders.held(three).get(b"NSE_A")
    assert held is not None
    assert held.modes == 4
    assert holders.held(one).get(b"NSE_B") is None
    assert not [*holders.holders()]
    assert not [*one.owing()]


# A history of many edges.


class Model:
    """What each edge wants of each feed, and for what it waits, kept naively."""

    def __init__(self) -> None:
        self.world = World()
        self.there: dict[str, Edge] = {}
        self.held: dict[tuple[str, str], dict[bytes, int]] = defaultdict(dict)
        self.waits: Counter[tuple[str, str, bytes]] = Counter()
        self.router: dict[str, dict[bytes, int]] = defaultdict(dict)

    def edge(self, name: str) -> Edge:
        if name not in self.there:
            self.hello(name)
        return self.there[name]

    def hello(self, name: str) -> None:
        self.gone(name)
        self.there[name] = self.world.hello(name)

    def gone(self, name: str) -> None:
        for feed in FEEDS:
            self.held.pop((name, feed), None)
        for wait in [wait for wait in self.waits if wait[0] == name]:
            del self.waits[wait]

    def drop(self, name: str) -> None:
        if name in self.there:
            self.world.edges.drop(self.there.pop(name))
            self.gone(name)

    def tell(self, name: str, feed: str, wants: Sequence[tuple[bytes, int]], *, all_: bool) -> None:
        edge, held = self.edge(name), self.held[name, feed]
        news = dict(wants)
        for key in [key for key in held if all_ and key not in news]:
            self.hold(name, feed, key, 0)
        for key, modes in news.items():
            self.hold(name, feed, key, modes)
        told = [Want(key, modes) for key, modes in news.items()]
        self.take(
            self.world.edges.tell(edge, feed, told, first=all_, last=all_, now_s=0.0).told, feed
        )

    def hold(self, name: str, feed: str, key: bytes, modes: int) -> None:
        self.waits.pop((name, feed, key), None)
        if modes:
            self.held[name, feed][key] = modes
            self.waits[name, feed, key] = modes
        else:
            self.held[name, feed].pop(key, None)

    def answer(self, feed: str, key: bytes, *, error: str) -> None:
        """The feed says of a key that it is there in all modes asked for, or in none of them."""
        asked = self.router[feed].get(key, 0)
        if asked:
            self.take(self.world.settle(Result(key, asked, error), feed=feed), feed, error)

    def take(self, told: Told, feed: str, error: str = "") -> None:
        for number, results in told.items():
            name = self.world.edges.numbered(number).name
            for result in results:
                wanted = self.held[name, feed].get(result.key, 0)
                assert result.modes & ~wanted == 0, "nobody is answered for what it does not want"
                assert result.error == error
                waits = self.waits.pop((name, feed, result.key), 0)
                if not error:
                    assert waits == result.modes, "answered once, for all it has asked for"
                elif wanted == result.modes:
                    del self.held[name, feed][result.key]
                else:
                    self.held[name, feed][result.key] = wanted & ~result.modes

    def feed_gone(self, feed: str) -> None:
        self.world.edges.feed_gone(feed)
        for name in self.there:
            self.held.pop((name, feed), None)
        for wait in [wait for wait in self.waits if wait[1] == feed]:
            del self.waits[wait]

    def check(self) -> None:
        edges = self.world.edges
        numbers = [edge.number for edge in edges]
        assert len({*numbers}) == len(numbers) == len(self.there)
        for feed in FEEDS:
            for want in self.world.wants[feed].take():
                self.router[feed][want.key] = want.modes
                if not want.modes:
                    del self.router[feed][want.key]
            union: Counter[bytes] = Counter()
            for (_, of), held in self.held.items():
                for key, modes in held.items() if of == feed else ():
                    union[key] |= modes
            assert self.router[feed] == dict(union), "the union, and nothing else"
            assert edges.keys(feed) == len(union)
        for name, edge in self.there.items():
            mine = {key for feed in FEEDS for key in self.held[name, feed]}
            assert set(edges.held(edge)) == mine
        legs = {key for held in self.held.values() for key in held}
        assert set(edges.interest) == legs


def steps() -> st.SearchStrategy[Callable[[Model], None]]:
    names, feeds, keys = (st.sampled_from(one) for one in (NAMES, FEEDS, KEYS))
    wants = st.lists(st.tuples(keys, st.integers(0, 7)), max_size=3)
    return st.one_of(
        st.builds(
            lambda name, feed, told, all_: lambda model: model.tell(name, feed, told, all_=all_),
            names,
            feeds,
            wants,
            st.booleans(),
        ),
        st.builds(
            lambda feed, key, error: lambda model: model.answer(feed, key, error=error),
            feeds,
            keys,
            st.sampled_from(["", "", "refused"]),
        ),
        names.map(lambda name: lambda model: model.drop(name)),
        names.map(lambda name: lambda model: model.hello(name)),
        feeds.map(lambda feed: lambda model: model.feed_gone(feed)),
    )


@given(st.lists(steps(), max_size=30))
def test_what_a_feed_is_asked_for_is_always_what_its_edges_want(
    history: list[Callable[[Model], None]],
) -> None:
    model = Model()
    for step in history:
        step(model)
        model.check()


def test_status_lines(world: World) -> None:
    edge = world.hello()
    assert (repr(world.edges), repr(edge)) == ("<Edges e1>", f"<Edge 0 e1 lease {EPOCH + 1}>")
    assert Mode.LTP.bit == 1
