"""Where each tick goes, for any interest and any order of calls."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import codec, hot, topics
from hub.core import routing as module
from hub.core.interest import InterestTable
from hub.core.keepers import Keepers
from hub.core.model import Mode, Want, lowest
from hub.core.placement import home
from hub.core.routing import Routing

KEYS = [b"NSE_A", b"NSE_A_LTP", b"NSE_INDEX_B", b"MCX_C"]
SHARDS = 4


class Tick(NamedTuple):
    """A step: a tick comes."""

    key: bytes
    mode: Mode


class Say(NamedTuple):
    """A step: a shard says what it wants of a key."""

    shard: int
    key: bytes
    modes: int
    settled: bool


class Settle(NamedTuple):
    """A step: questions about a key are answered."""

    key: bytes


class Take(NamedTuple):
    """A step: what is pending is taken, on the fast way or the slow one."""

    fast: bool


class Prepare(NamedTuple):
    """A step: there is time to resolve some of what is expected."""

    most: int


STEPS = st.lists(
    st.builds(Tick, st.sampled_from(KEYS), st.sampled_from(Mode))
    | st.builds(
        Say, st.integers(0, SHARDS - 1), st.sampled_from(KEYS), st.integers(0, 7), st.booleans()
    )
    | st.builds(Settle, st.sampled_from(KEYS))
    | st.builds(Take, st.booleans())
    | st.builds(Prepare, st.integers(0, 5)),
    max_size=60,
)
Pairs = list[tuple[bytes, bytes]]


class Bench:
    """A routing, and all that each shard got: by way and in order."""

    def __init__(self, shards: int = SHARDS, max_topics: int = 1000) -> None:
        self.interest = InterestTable()
        self.keepers = Keepers(shards, self.interest)
        self.shards = range(shards)
        self.routing = Routing(shards, self.interest, self.keepers, max_topics)
        self.fast: dict[int, Pairs] = defaultdict(list)
        self.slow: dict[int, Pairs] = defaultdict(list)

    def say(self, shard: int, key: bytes, modes: int, *, settled: bool = True) -> None:
        """A shard's word, and what follows; `settled` when its question is answered at once."""
        self.take()
        change = self.interest.apply(shard, "sim", [Want(key, modes)], replace=False)
        asking = shard if change.opened else None
        move = self.keepers.tend(key, self.shards, [] if settled else self.shards, asking)
        self.routing.invalidate([*change.keys, *([key] if move.changed else [])])
        self.routing.expect([Want(key, modes)])

    def settle(self, key: bytes) -> None:
        """What was asked about a key is answered."""
        self.take()
        if self.keepers.tend(key, self.shards, []).changed:
            self.routing.invalidate([key])

    def take(self, *, fast: bool = True, slow: bool = True) -> None:
        if fast:
            self._read(hot.take(self.routing.fast), self.fast)
            assert not self.routing.fast
        if slow:
            self._read(hot.take(self.routing.slow), self.slow)
            assert not self.routing.slow

    @staticmethod
    def _read(frames: dict[int, list[bytes]], into: dict[int, Pairs]) -> None:
        for shard, batches in frames.items():
            for batch in batches:
                pairs = codec.unpack(batch)
                assert pairs
                into[shard] += zip(pairs[::2], pairs[1::2], strict=True)


def of_key(pairs: Pairs, key: bytes) -> Pairs:
    return [pair for pair in pairs if topics.parse(pair[0]).key == key]


@given(STEPS, st.integers(1, 5))
def test_rules_1_to_3_every_tick_goes_once_where_it_is_wanted_and_kept(
    steps: list[Tick | Say | Settle | Take], max_topics: int
) -> None:
    bench = Bench(max_topics=max_topics)
    wanted: dict[bytes, dict[int, int]] = defaultdict(dict)
    fast: dict[int, Pairs] = defaultdict(list)
    slow: dict[int, Pairs] = defaultdict(list)
    for number, step in enumerate(steps):
        match step:
            case Tick(key, mode):
                pair = topics.of(key, mode), b'{"n":%d}' % number
                assert bench.routing.offer([*pair]) == []
                keeping = bench.keepers.all_ticks(key)
                legs = {shard: lowest(modes) for shard, modes in wanted[key].items() if modes}
                for shard in {*(one for one in legs if legs[one] <= mode), *keeping}:
                    (fast if shard in legs else slow)[shard].append(pair)
            case Say(shard, key, modes, settled):
                wanted[key][shard] = modes
                bench.say(shard, key, modes, settled=settled)
            case Settle(key):
                bench.settle(key)
            case Take(is_fast):
                bench.take(fast=is_fast, slow=not is_fast)
            case Prepare(most):
                bench.routing.prepare(most)
    bench.take()
    for shard in range(SHARDS):
        assert sorted(bench.fast[shard]) == sorted(fast[shard])
        assert sorted(bench.slow[shard]) == sorted(slow[shard])
        for key in KEYS:
            assert of_key(bench.fast[shard], key) == of_key(fast[shard], key)
            assert of_key(bench.slow[shard], key) == of_key(slow[shard], key)


def test_rule_1_a_shard_that_wants_depth_gets_no_lower_ticks() -> None:
    bench = Bench()
    for shard, mode in ((0, Mode.LTP), (1, Mode.DEPTH)):
        bench.say(shard, b"NSE_A", mode.bit)
    for mode in Mode:
        bench.routing.offer([topics.of(b"NSE_A", mode), b"{}"])
    bench.take()
    assert bench.fast[1] == [(b"NSE_A_DEPTH", b"{}")]
    assert [topic for topic, _ in bench.fast[0]] == [b"NSE_A_LTP", b"NSE_A_QUOTE", b"NSE_A_DEPTH"]
    assert not bench.slow, "no copy goes home"


def test_rule_2_a_keeper_that_wants_depth_gets_all_ticks_on_one_way_so_their_order_holds() -> None:
    """On two ways an old LTP tick came after a newer one in Depth, and was shown as the newest."""
    bench, at_home = Bench(), home(b"NSE_A", SHARDS)
    for keeper in (at_home, (at_home + 1) % SHARDS):
        bench.say(keeper, b"NSE_A", Mode.DEPTH.bit)
        sent = [(topics.of(b"NSE_A", mode), b'{"n":%d}' % mode) for mode in (1, 3, 2, 3, 1)]
        for pair in sent:
            bench.routing.offer([*pair])
        bench.take()
        assert bench.fast[keeper] == sent
        assert bench.slow[keeper] == []
        bench.say(keeper, b"NSE_A", 0)
        bench.settle(b"NSE_A")


def test_rule_2_a_keeper_without_a_leg_and_its_heir_both_get_all_ticks() -> None:
    bench, at_home = Bench(), home(b"NSE_A", SHARDS)
    away = (at_home + 1) % SHARDS
    bench.say(away, b"NSE_A", Mode.DEPTH.bit, settled=False)
    for number in b'{"n":1}', b'{"n":2}', b'{"n":3}':
        bench.routing.offer([b"NSE_A_LTP", number])
        if number == b'{"n":1}':
            bench.settle(b"NSE_A")
        elif number == b'{"n":2}':
            bench.say(away, b"NSE_A", 0, settled=False)
    bench.take()
    assert [payload for _, payload in bench.fast[away]] == [b'{"n":1}', b'{"n":2}']
    assert [payload for _, payload in bench.slow[away]] == [b'{"n":3}']
    assert [payload for _, payload in bench.slow[at_home]] == [b'{"n":1}', b'{"n":3}']


def test_rule_2_home_gets_what_nobody_wants_on_the_slow_way_only() -> None:
    bench = Bench()
    bench.routing.offer([b"NSE_A_LTP", b"{}"])
    assert not bench.routing.fast
    assert bench.routing.slow
    bench.take()
    assert bench.slow == {home(b"NSE_A", SHARDS): [(b"NSE_A_LTP", b"{}")]}


def test_shards_that_want_the_same_share_one_packed_frame() -> None:
    bench = Bench()
    for key in (b"NSE_A", b"MCX_C"):
        for shard in range(SHARDS):
            bench.say(shard, key, Mode.LTP.bit)
    bench.routing.offer(
        [b"NSE_A_LTP", b'{"n":1}', b"MCX_C_LTP", b'{"n":2}', b"NSE_A_LTP", b'{"n":3}']
    )
    frames = hot.take(bench.routing.fast)
    assert sorted(frames) == list(range(SHARDS))
    assert len({id(frame) for batches in frames.values() for frame in batches}) == 1
    assert codec.unpack(frames[0][0])[1::2] == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


def test_a_topic_in_another_case_arrives_in_its_canonical_form() -> None:
    bench = Bench(1)
    assert bench.routing.offer([b"NSE_a_Quote", b"{}"] * 2) == []
    bench.take()
    assert bench.slow[0] == [(b"NSE_a_QUOTE", b"{}")] * 2


def test_the_repr_of_a_group_counts_ticks() -> None:
    bench = Bench(1)
    bench.say(0, b"NSE_A", Mode.LTP.bit)
    bench.routing.offer([b"NSE_A_LTP", b"{}"] * 3)
    assert repr(bench.routing) == "<Routing 1 topics in 1 groups>"
    assert repr(bench.routing._group((0,))) == "<Group (0,) with 3 ticks>"


def test_what_is_no_tick_comes_back_in_its_order_and_holds_up_nothing() -> None:
    bench = Bench(1)
    bad = [b"", b"nonsense", b"@orders:u_LTP", b"NSE_\xff_LTP", b"NSE_LTP"]
    pairs = [part for topic in (*bad, b"NSE_A_LTP", *bad) for part in (topic, b"{}")]
    assert bench.routing.offer(pairs) == [(topic, b"{}") for topic in bad * 2]
    bench.take()
    assert bench.slow[0] == [(b"NSE_A_LTP", b"{}")]
    assert len(bench.routing) == 1


def test_half_a_pair_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="pairs"):
        Bench().routing.offer([b"NSE_A_LTP", b"{}", b"NSE_A_LTP"])


def test_rule_4_a_change_of_interest_takes_effect_with_invalidate() -> None:
    bench = Bench()
    away = (home(b"NSE_A", SHARDS) + 1) % SHARDS
    bench.routing.offer([b"NSE_A_LTP", b'{"n":1}'])
    bench.say(away, b"NSE_A", Mode.LTP.bit)
    bench.routing.offer([b"NSE_A_LTP", b'{"n":2}'])
    bench.say(away, b"NSE_A", 0)
    bench.routing.offer([b"NSE_A_LTP", b'{"n":3}'])
    bench.take()
    assert bench.fast == {away: [(b"NSE_A_LTP", b'{"n":2}')]}
    assert [payload for _, payload in bench.slow[home(b"NSE_A", SHARDS)]] == [
        b'{"n":1}',
        b'{"n":3}',
    ]


def test_no_more_topics_are_remembered_than_allowed() -> None:
    """And no fewer: one that is forgotten early is read anew with each tick."""
    bench = Bench(max_topics=3)
    for number in range(100):
        bench.routing.offer([b"NSE_S%d_LTP" % number, b"{}"])
        assert len(bench.routing) == number % 3 + 1
    bench.take()
    assert sum(len(pairs) for pairs in bench.slow.values()) == 100


@pytest.fixture
def few_groups(monkeypatch: pytest.MonkeyPatch) -> int:
    """A bound of groups that is soon reached; all sets of ten shards are beyond it."""
    monkeypatch.setattr(module, "_FEW_GROUPS", 8)
    return 8


def test_groups_that_no_route_leads_to_are_forgotten(few_groups: int) -> None:
    bench = Bench(shards=10)
    for number in range(1, 1 << 8):
        for shard in range(10):
            bench.say(shard, KEYS[0], number >> shard & 1)
            bench.routing.offer([b"NSE_A_LTP", b"{}"])
            assert len(bench.routing._groups) <= few_groups + 1


def test_groups_that_routes_lead_to_stay_and_are_looked_for_ever_more_seldom(
    few_groups: int,
) -> None:
    """A topic that is resolved later must find the group of its key's other topics (rule 3)."""
    bench = Bench(shards=10)
    for number in range(1, 100):
        key = b"NSE_%d" % number
        for shard in range(10):
            bench.say(shard, key, number >> shard & 1)
        bench.routing.offer([key + b"_LTP", b"{}"])
    routing = bench.routing
    bench.take()
    routing._tidy()
    used = {group for route in routing._routes.values() for group in route}
    assert used - set(routing._slow_groups) == set(routing._groups.values())
    assert routing._most_groups == 2 * len(routing._groups) > 2 * few_groups


ANGEL, DHAN = topics.scope("angel"), topics.scope("dhan")


def test_rule_5_a_tick_of_the_bus_counts_in_every_scope_and_one_of_a_feed_in_its_own() -> None:
    bench, at_home = Bench(), home(b"NSE_A", SHARDS)
    one, other = (at_home + 1) % SHARDS, (at_home + 2) % SHARDS
    bench.say(one, ANGEL + b"NSE_A", Mode.QUOTE.bit)
    bench.say(other, DHAN + b"NSE_A", Mode.LTP.bit)
    bench.say(at_home, b"NSE_A", Mode.LTP.bit)
    offered = bench.routing.offer_shared([b"NSE_A_LTP", b'{"n":1}', b"NSE_A_quote", b'{"n":2}'])
    assert offered == []
    assert bench.routing.offer([ANGEL + b"NSE_A_QUOTE", b'{"n":3}']) == []
    bench.take()
    assert bench.fast == {
        one: [
            (ANGEL + b"NSE_A_LTP", b'{"n":1}'),
            *[(ANGEL + b"NSE_A_QUOTE", n) for n in (b'{"n":2}', b'{"n":3}')],
        ],
        other: [(DHAN + b"NSE_A_LTP", b'{"n":1}'), (DHAN + b"NSE_A_QUOTE", b'{"n":2}')],
        at_home: [(b"NSE_A_LTP", b'{"n":1}'), (b"NSE_A_QUOTE", b'{"n":2}')],
    }


def test_rule_5_scopes_that_come_and_go_are_followed() -> None:
    bench, away = Bench(), (home(b"NSE_A", SHARDS) + 1) % SHARDS
    bench.say(away, ANGEL + b"NSE_A", 7)
    bench.routing.offer_shared([b"NSE_A_LTP", b'{"n":1}'])
    bench.say(away, DHAN + b"NSE_A", 7)
    bench.routing.offer_shared([b"NSE_A_LTP", b'{"n":2}'])
    bench.say(away, ANGEL + b"NSE_A", 0)
    bench.routing.offer_shared([b"NSE_A_LTP", b'{"n":3}'])
    bench.say(away, DHAN + b"NSE_A", 0)
    bench.routing.offer_shared([b"NSE_A_LTP", b'{"n":4}'])
    bench.take()
    scoped = [(topic[: -len(b"NSE_A_LTP")], payload) for topic, payload in bench.fast[away]]
    assert scoped == [
        (ANGEL, b'{"n":1}'),
        (ANGEL, b'{"n":2}'),
        (DHAN, b'{"n":2}'),
        (DHAN, b'{"n":3}'),
    ]


def test_rule_5_nobody_pretends_on_the_bus_to_have_an_origin() -> None:
    bench = Bench()
    bench.say(0, ANGEL + b"NSE_A", 7)
    bench.routing.offer([ANGEL + b"NSE_A_LTP", b'{"n":true}'])
    for _ in range(2):
        offered = bench.routing.offer_shared(
            [ANGEL + b"NSE_A_LTP", b"forged", b"NSE_A_LTP", b'{"n":1}', b"nonsense", b'{"n":2}']
        )
        assert offered == [(ANGEL + b"NSE_A_LTP", b"forged"), (b"nonsense", b'{"n":2}')]
    bench.take()
    got = [payload for pairs in bench.fast.values() for _, payload in pairs]
    assert sorted(set(got)) == [b'{"n":1}', b'{"n":true}']


@given(
    said=st.lists(
        st.tuples(
            st.sampled_from(["wants", "feed", "bus", "bus"]),
            st.sampled_from([b"", ANGEL, DHAN, b"\x1f", b"\x1f\x1f"]),
            st.sampled_from(KEYS),
            st.sampled_from([b"_LTP", b"_quote", b"_DEPTH", b""]),
            st.integers(0, 7),
        ),
        max_size=20,
    )
)
def test_rule_5_whatever_is_wanted_and_was_there_before_nobody_pretends_it(
    said: list[tuple[str, bytes, bytes, bytes, int]],
) -> None:
    bench = Bench()
    for number, (what, scope, key, suffix, modes) in enumerate(said):
        if what == "wants":
            bench.say(number % SHARDS, scope + key, modes)
        elif what == "feed":
            bench.routing.offer([scope + key + suffix, b"{}"])
        else:
            payload = b'{"forged":1}' if scope else b'{"n":1}'
            bench.routing.offer_shared([scope + key + suffix, payload])
    bench.take()
    got = [payload for way in (bench.fast, bench.slow) for to in way.values() for _, payload in to]
    assert b'{"forged":1}' not in got


def test_rule_5_what_was_found_of_scopes_is_bounded() -> None:
    bench = Bench(max_topics=10)
    bench.say(0, ANGEL + b"NSE_A", 7)
    for number in range(100):
        bench.routing.offer_shared([b"NSE_S%d_LTP" % number, b"{}"])
        assert len(bench.routing._copies) <= 10


def test_what_is_wanted_is_resolved_before_its_first_tick() -> None:
    bench = Bench()
    bench.say(1, b"NSE_A", Mode.QUOTE.bit | Mode.DEPTH.bit)
    bench.say(2, ANGEL + b"NSE_A", Mode.LTP.bit)
    bench.say(3, b"@orders:alice", Mode.LTP.bit)
    assert bench.routing.unprepared
    bench.routing.prepare(1)
    assert len(bench.routing) == 1
    bench.routing.prepare(10)
    assert set(bench.routing._routes) == {
        b"NSE_A_QUOTE", b"NSE_A_DEPTH", ANGEL + b"NSE_A_LTP",
    }  # fmt: skip
    assert not bench.routing.unprepared


def test_what_has_changed_is_resolved_anew_while_somebody_wants_it() -> None:
    bench = Bench(max_topics=10)
    bench.say(1, b"NSE_A", Mode.LTP.bit)
    bench.routing.offer([b"NSE_A_QUOTE", b"{}"])  # nobody asked for this mode by name
    bench.say(2, b"NSE_A", Mode.LTP.bit)
    assert len(bench.routing) == 0
    bench.routing.prepare(10)
    assert set(bench.routing._routes) == {b"NSE_A_LTP", b"NSE_A_QUOTE"}
    for shard in (1, 2):
        bench.say(shard, b"NSE_A", 0)
    bench.routing.prepare(10)
    assert len(bench.routing) == 0
    assert not bench.routing.unprepared
    for number in range(100):
        bench.say(0, b"NSE_S%d" % number, Mode.LTP.bit)
        bench.routing.prepare(10)
        assert len(bench.routing) <= 10
