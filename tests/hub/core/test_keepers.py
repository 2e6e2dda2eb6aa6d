"""Who keeps a key, and who comes after: the rules one by one, then random histories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.interest import InterestTable
from hub.core.keepers import Keepers, Move
from hub.core.model import Mode, Want
from hub.core.placement import home

SHARDS = 4
KEY = b"NSE_A"
HOME = home(KEY, SHARDS)
ONE, TWO, THREE = (shard for shard in range(SHARDS) if shard != HOME)
LTP, DEPTH = Mode.LTP.bit, Mode.DEPTH.bit


class Bench:
    """Keepers, and the shards that wait for an answer."""

    def __init__(self) -> None:
        self.interest = InterestTable()
        self.keepers = Keepers(SHARDS, self.interest)
        self.here = set(range(SHARDS))
        self.unsettled: set[int] = set()

    def want(self, shard: int, modes: int) -> Move:
        """A shard's word; one whose leg opens asks the keeper, unless it is that itself."""
        change = self.interest.apply(shard, "sim", [Want(KEY, modes)], replace=False)
        if not change.opened:
            if change.closed:
                self.unsettled.discard(shard)
            return self.tend()
        keeper = self.keeper
        (self.unsettled.add if keeper in self.here - {shard} else self.unsettled.discard)(shard)
        return self.tend(shard)

    def answer(self, shard: int) -> Move:
        """A shard has been sent the answer that it waited for."""
        self.unsettled.discard(shard)
        return self.tend()

    def leave(self, shard: int, *, asked: Collection[int] = ()) -> Move:
        """A shard is gone; those who have asked it are answered for it."""
        self.here.discard(shard)
        self.unsettled -= {shard, *asked}
        self.interest.drop(shard)
        return self.tend()

    def tend(self, asking: int | None = None) -> Move:
        move = self.keepers.tend(KEY, self.here, self.unsettled, asking)
        if move.heir is not None and move.keeper in self.here:
            self.unsettled.add(move.heir)
        return move

    @property
    def keeper(self) -> int:
        return self.keepers.of(KEY)

    def all_ticks(self) -> tuple[int, ...]:
        return self.keepers.all_ticks(KEY)


def kept_by(shard: int, modes: int = LTP) -> Bench:
    """A key that this shard has the only leg of, and keeps."""
    bench = Bench()
    bench.want(shard, modes)
    bench.answer(shard)
    assert bench.all_ticks() == (shard,)
    return bench


def test_rule_2_home_keeps_what_nobody_wants() -> None:
    bench = Bench()
    assert bench.all_ticks() == (HOME,)
    assert bench.tend() == (HOME, None, [], False)
    assert repr(bench.keepers) == "<Keepers, 0 keys kept away from home, 0 heirs>"


def test_rule_2_a_home_with_a_leg_stays_keeper_whoever_else_has_one() -> None:
    bench = Bench()
    for shard in (HOME, ONE, TWO):
        assert bench.want(shard, LTP) == (HOME, None, [], False)
        bench.answer(shard)
    assert bench.all_ticks() == (HOME,)


@pytest.mark.parametrize("modes", [LTP, DEPTH])
def test_rule_3_the_first_leg_inherits_when_it_has_been_sent_the_answer(modes: int) -> None:
    bench = Bench()
    assert bench.want(ONE, modes) == (HOME, None, [], True), "it has asked already"
    assert bench.all_ticks() == (HOME, ONE)
    assert bench.keeper == HOME
    assert repr(bench.keepers) == "<Keepers, 0 keys kept away from home, 1 heirs>"
    assert bench.answer(ONE) == (HOME, None, [HOME], True)
    assert bench.all_ticks() == (ONE,)
    assert repr(bench.keepers) == "<Keepers, 1 keys kept away from home, 0 heirs>"


@pytest.mark.parametrize("other", [HOME, TWO])
def test_rule_1_a_keeper_with_a_leg_stays_keeper_whoever_comes_and_goes(other: int) -> None:
    bench = kept_by(ONE, DEPTH)
    for modes in (LTP, DEPTH, 0):
        bench.want(other, modes)
        bench.answer(other)
        assert bench.all_ticks() == (ONE,)
    assert bench.leave(other) == (ONE, None, [], False)


def test_rule_3_when_the_last_leg_closes_home_is_told_and_inherits() -> None:
    bench = kept_by(ONE)
    assert bench.want(ONE, 0) == (ONE, HOME, [], True)
    assert bench.all_ticks() == (ONE, HOME)
    assert bench.answer(HOME) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (HOME,)
    assert not bench.keepers._keepers


def test_rule_3_another_leg_is_told_and_inherits() -> None:
    bench = kept_by(ONE)
    bench.want(TWO, DEPTH)
    bench.answer(TWO)
    assert bench.want(ONE, 0) == (ONE, TWO, [], True)
    assert bench.all_ticks() == (ONE, TWO)
    assert bench.want(THREE, DEPTH) == (ONE, None, [], False), "the heir stays heir"
    assert bench.answer(TWO) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (TWO,)


def test_rule_3_an_heir_that_waits_for_an_older_answer_is_told_anew() -> None:
    """It was sent the ticks of higher modes only since it asked."""
    bench = kept_by(ONE)
    bench.want(TWO, DEPTH)
    assert bench.want(ONE, 0) == (ONE, TWO, [], True)


def test_rule_3_a_keeper_whose_leg_opens_again_stays_keeper() -> None:
    bench = kept_by(ONE)
    bench.want(ONE, 0)
    assert bench.want(ONE, DEPTH) == (ONE, None, [HOME], True)
    assert bench.all_ticks() == (ONE,)
    assert bench.answer(HOME) == (ONE, None, [], False)


def test_rule_3_an_heir_whose_leg_closes_is_followed_by_another() -> None:
    bench = kept_by(ONE)
    bench.want(TWO, DEPTH)
    bench.want(ONE, 0)
    assert bench.want(TWO, 0) == (ONE, HOME, [TWO], True)
    assert bench.want(THREE, DEPTH) == (ONE, None, [HOME], True), "home is heir of none but itself"
    assert bench.all_ticks() == (ONE, THREE)


def test_rule_4_a_leg_in_the_lowest_mode_inherits_at_once() -> None:
    bench = kept_by(ONE)
    for shard, modes in ((TWO, DEPTH), (THREE, LTP)):
        bench.want(shard, modes)
        bench.answer(shard)
    assert bench.want(ONE, 0) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (THREE,)


def test_rule_4_but_not_before_what_it_asked_is_answered() -> None:
    bench = kept_by(ONE)
    bench.want(TWO, LTP)
    assert bench.want(ONE, 0) == (ONE, None, [], True)
    assert bench.all_ticks() == (ONE, TWO)
    assert bench.answer(TWO) == (ONE, None, [ONE], True)


def test_rule_4_one_that_has_its_answer_goes_before_the_heir_that_waits() -> None:
    bench = kept_by(ONE)
    bench.want(TWO, DEPTH)
    bench.want(ONE, 0)
    bench.want(THREE, LTP)
    assert bench.answer(THREE) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (THREE,)


def test_rule_5_who_knows_all_inherits_from_one_that_is_gone() -> None:
    bench = kept_by(ONE)
    for shard, modes in ((TWO, DEPTH), (THREE, LTP)):
        bench.want(shard, modes)
        bench.answer(shard)
    assert bench.leave(ONE) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (THREE,)


@pytest.mark.parametrize("modes", [LTP, DEPTH])
def test_rule_5_who_does_not_is_told_that_nothing_is_known(modes: int) -> None:
    bench = kept_by(ONE)
    bench.want(TWO, modes)
    assert bench.leave(ONE) == (ONE, TWO, [ONE], True)
    assert bench.all_ticks() == (TWO,)


def test_rule_5_an_heir_inherits_what_it_has_been_sent_since() -> None:
    bench = kept_by(ONE)
    bench.want(TWO, DEPTH)
    bench.want(ONE, 0)
    assert bench.leave(ONE, asked=[TWO]) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (TWO,)


def test_rule_5_home_begins_with_nothing_and_knows_that() -> None:
    bench = kept_by(ONE)
    assert bench.leave(ONE) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (HOME,)


def test_rule_5_who_opens_when_the_keeper_is_gone_keeps_the_key_from_then_on() -> None:
    for modes in (LTP, DEPTH):
        bench = Bench()
        bench.leave(HOME)
        assert bench.want(ONE, modes) == (HOME, None, [HOME], True)
        assert bench.all_ticks() == (ONE,)


def test_a_home_that_is_not_there_is_not_told_and_what_was_known_is_lost() -> None:
    bench = kept_by(ONE)
    bench.leave(HOME)
    assert bench.want(ONE, 0) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (HOME,)


def test_a_home_that_leaves_while_it_is_told_loses_what_was_known() -> None:
    bench = kept_by(ONE)
    bench.want(ONE, 0)
    assert bench.leave(HOME) == (ONE, None, [ONE], True)
    assert bench.all_ticks() == (HOME,)


WHO = st.integers(0, SHARDS - 1)
STEPS = st.lists(
    st.tuples(st.just("want"), WHO, st.integers(0, 7))
    | st.tuples(st.just("answer"), WHO, st.just(0))
    | st.tuples(st.just("leave"), WHO, st.just(0))
    | st.tuples(st.just("come"), WHO, st.just(0)),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_one_that_may_is_keeper_or_will_be_and_nobody_misses_a_tick(
    steps: list[tuple[str, int, int]],
) -> None:
    """Who is keeper has been sent every tick since it was told what was before, or nothing."""
    bench = Bench()
    fed: dict[int, bool] = defaultdict(bool)  # whether a shard missed none since it asked last
    for step, shard, modes in steps:
        before, legs = bench.keeper, dict(bench.interest.legs(KEY))
        asked, move = None, None
        if step == "want" and shard in bench.here:
            move = bench.want(shard, modes)
            now = bench.interest.legs(KEY).get(shard, 0)
            asked = shard if now and (not legs.get(shard) or now < legs[shard]) else None
        elif step == "answer":
            move = bench.answer(shard)
        elif step == "leave" and shard in bench.here:
            gone = bench.unsettled if shard == bench.keeper else ()
            move = bench.leave(shard, asked=gone)
        elif step == "come":
            bench.here.add(shard)
        told = {asked, move.heir if move else None}
        legs = dict(bench.interest.legs(KEY))
        for one in range(SHARDS):
            gets_all = legs.get(one) == Mode.LTP or one in bench.all_ticks()
            fed[one] = gets_all and (fed[one] or one in told)
        if bench.keeper != before and bench.keeper in legs:
            assert fed[bench.keeper], "it missed ticks"
            assert bench.keeper not in bench.unsettled
        may = legs or {HOME: 0}
        assert set(bench.all_ticks()) & set(may), "one that may be keeper gets every tick"
        if bench.keeper not in may:
            assert bench.keeper in bench.here, "one that is gone keeps nothing"
        assert set(bench.all_ticks()) - set(may) <= {bench.keeper}
        assert len(bench.all_ticks()) == 1 + (bench.keeper not in may)
