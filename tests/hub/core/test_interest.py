"""Who wants what: any history of words against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.core import topics
from hub.core.interest import Change, InterestTable
from hub.core.model import Want

SHARDS = st.integers(0, 2)
FEEDS = st.sampled_from(["bus", "sim", ""])
KEYS = [b"NSE_A", b"NSE_B", b"@orders:u"]
WANTS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 7)).map(lambda want: Want(*want)), max_size=4
)
LTP, QUOTE, DEPTH = 1, 2, 4


def level_of(modes: int) -> int:
    return next((number for number in (1, 2, 3) if modes & 1 << number - 1), 0)


class History(RuleBasedStateMachine):
    """The table against `{(shard, feed, key): modes}`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InterestTable()
        self.naive: dict[tuple[int, str, bytes], int] = {}

    def levels(self) -> dict[tuple[int, bytes], int]:
        """The lowest mode of each shard and key over all feeds."""
        levels: dict[tuple[int, bytes], int] = {}
        for (shard, _, key), modes in self.naive.items():
            level = level_of(modes)
            levels[shard, key] = min(levels.get((shard, key), level), level)
        return levels

    def check(self, shard: int, before: dict[tuple[int, bytes], int], change: Change) -> None:
        after = self.levels()
        for key in KEYS:
            was, is_ = before.get((shard, key), 0), after.get((shard, key), 0)
            assert change.opened.count(key) == bool(is_ and (not was or is_ < was))
            assert change.closed.count(key) == bool(was and not is_)
            assert change.narrowed.count(key) == bool(was and is_ > was)
        assert sorted(change.keys) == sorted(change.opened + change.closed + change.narrowed)

    @rule(shard=SHARDS, feed=FEEDS, wants=WANTS, replace=st.booleans())
    def say(self, shard: int, feed: str, wants: list[Want], replace: bool) -> None:
        before = self.levels()
        if replace:
            self.naive = {
                held: modes for held, modes in self.naive.items() if held[:2] != (shard, feed)
            }
        for want in wants:
            self.naive[shard, feed, want.key] = want.modes
        self.naive = {held: modes for held, modes in self.naive.items() if modes}
        self.check(shard, before, self.table.apply(shard, feed, iter(wants), replace=replace))

    @rule(shard=SHARDS)
    def go(self, shard: int) -> None:
        before = self.levels()
        self.naive = {held: modes for held, modes in self.naive.items() if held[0] != shard}
        self.check(shard, before, self.table.drop(shard))

    @invariant()
    def legs_are_the_lowest_modes_over_all_feeds(self) -> None:
        levels = self.levels()
        for key in KEYS:
            legs = {shard: level for (shard, held), level in levels.items() if held == key}
            assert dict(self.table.legs(key)) == legs
            assert (key in self.table) == bool(legs)
        assert len(self.table) == len({key for _, key in levels})

    @invariant()
    def a_feed_that_comes_up_is_told_all_that_is_wanted_of_it(self) -> None:
        for feed in ("bus", "sim", ""):
            told = {
                (shard, feed, want.key): want.modes
                for shard, wants in self.table.of_feed(feed)
                for want in wants
            }
            assert told == {held: modes for held, modes in self.naive.items() if held[1] == feed}

    @invariant()
    def the_counts_are_those_of_the_words(self) -> None:
        for shard in range(3):
            assert self.table.count(shard) == sum(held[0] == shard for held in self.naive)


TestHistory = History.TestCase


def test_rule_1_the_last_word_of_a_shard_replaces_the_one_before() -> None:
    table = InterestTable()
    table.apply(0, "sim", [Want(b"NSE_A", LTP), Want(b"NSE_B", LTP)], replace=False)
    change = table.apply(0, "sim", [Want(b"NSE_A", QUOTE)], replace=True)
    assert change == Change(opened=[], closed=[b"NSE_B"], narrowed=[b"NSE_A"])
    assert table.legs(b"NSE_A") == {0: 2}


def test_rule_2_a_leg_stays_open_while_another_feed_is_wanted_for_it() -> None:
    table = InterestTable()
    table.apply(0, "sim", [Want(b"NSE_A", DEPTH)], replace=False)
    assert table.apply(0, "bus", [Want(b"NSE_A", LTP)], replace=False).opened == [b"NSE_A"]
    assert table.apply(0, "bus", [], replace=True) == Change([], [], [b"NSE_A"])
    assert table.legs(b"NSE_A") == {0: 3}
    assert table.apply(0, "sim", [Want(b"NSE_A", 0)], replace=False).closed == [b"NSE_A"]
    assert table.legs(b"NSE_A") == {}


def test_rule_3_a_shard_that_is_gone_wants_nothing_of_any_feed() -> None:
    table = InterestTable()
    for feed in ("sim", "bus"):
        table.apply(1, feed, [Want(b"NSE_A", LTP)], replace=False)
    assert table.drop(1).closed == [b"NSE_A"]
    assert len(table) == table.count(1) == 0
    assert table.drop(1) == Change([], [], [])
    assert list(table.of_feed("sim")) == []


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_of_several_words_about_one_key_the_last_holds(modes: list[int]) -> None:
    table = InterestTable()
    table.apply(0, "sim", [Want(b"NSE_A", each) for each in modes], replace=False)
    assert table.legs(b"NSE_A").get(0, 0) == level_of(modes[-1])


def test_a_feed_is_told_depth_and_names_too() -> None:
    table = InterestTable()
    want = Want(b"NSE_A", DEPTH, 20, "NSE", "A")
    table.apply(2, "sim", [want], replace=False)
    assert list(table.of_feed("sim")) == [(2, [want])]


def test_rule_4_a_shared_key_is_known_in_each_scope_in_which_it_is_wanted() -> None:
    table, angel, dhan = InterestTable(), topics.scope("angel"), topics.scope("dhan")
    table.apply(0, "sim", [Want(b"NSE_A", LTP)], replace=False)
    assert not bool(table.scopes)
    table.apply(0, "sim", [Want(angel + b"NSE_A", LTP)], replace=False)
    table.apply(1, "sim", [Want(angel + b"NSE_A", LTP), Want(dhan + b"NSE_A", 7)], replace=False)
    assert bool(table.scopes)
    assert set(table.scoped(b"NSE_A")) == {angel + b"NSE_A", dhan + b"NSE_A"}
    assert not set(table.scoped(b"NSE_B"))
    table.drop(1)
    assert set(table.scoped(b"NSE_A")) == {angel + b"NSE_A"}
    table.apply(0, "sim", [], replace=True)
    assert not bool(table.scopes)
    assert not set(table.scoped(b"NSE_A"))


def test_all_followed_order_updates_are_told_each_once() -> None:
    table = InterestTable()
    account = [Want(b"@orders:b", LTP), Want(b"@orders:a", LTP), Want(topics.ALL_ORDERS, LTP)]
    table.apply(0, "", account, replace=True)
    table.apply(1, "", account[:1], replace=True)
    table.apply(1, "sim", [Want(b"@orders:no", LTP), Want(b"NSE_A", LTP)], replace=True)
    assert table.orders == [b"@orders:a", b"@orders:b"]


def test_symbols_are_counted_without_the_hubs_own_keys() -> None:
    table = InterestTable()
    table.apply(0, "sim", [Want(b"NSE_A", LTP), Want(topics.login("u", "b"), LTP)], replace=False)
    table.apply(1, "", [Want(topics.orders("u"), LTP)], replace=False)
    table.apply(1, "sim", [Want(b"NSE_A", LTP)], replace=False)
    assert (len(table), table.symbols) == (3, 1)
    table.drop(1)
    assert (len(table), table.symbols) == (2, 1)
    table.apply(0, "sim", [], replace=True)
    assert (len(table), table.symbols) == (0, 0)
