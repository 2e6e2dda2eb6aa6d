"""All shards' claims on one feed: any history against a naive feed and a naive count."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.core import topics
from hub.core.claims import Answer, Claims, Work
from hub.core.model import Result, Want

KEY = b"NSE_A"
KEYS = [KEY, b"NSE_B"]
SHARDS = st.integers(0, 2)
WANTS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 7)).map(lambda want: Want(*want)),
    max_size=3,
    unique_by=lambda want: want.key,
)
LINGER_S = 5.0


class History(RuleBasedStateMachine):
    """Claims against what each shard said last, and a feed that answers in its order.

    `has` is what the feed was told last and has not refused, `good` what it has granted of it;
    `open_` is what each shard waits for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.claims = Claims(LINGER_S)
        self.said: dict[tuple[int, bytes], int] = {}
        self.open_: dict[tuple[int, bytes], int] = {}
        self.has: dict[bytes, int] = {}
        self.good: dict[bytes, int] = {}
        self.asked: deque[Want] = deque()
        self.used: dict[bytes, float] = {}
        self.now = 100.0

    def union(self, key: bytes) -> int:
        modes = 0
        for (_, held), wanted in self.said.items():
            modes |= wanted if held == key else 0
        return modes

    def hear(self, answers: list[Answer]) -> None:
        for shard, result in answers:
            waited = self.open_[shard, result.key]
            assert result.modes
            assert not result.modes & ~waited, "rule 3: an answer for what was not claimed"
            self.open_[shard, result.key] = waited & ~result.modes
            if result.error:
                left = self.said.get((shard, result.key), 0) & ~result.modes
                self.said[shard, result.key] = left
            if not self.open_[shard, result.key]:
                del self.open_[shard, result.key]
        self.said = {held: modes for held, modes in self.said.items() if modes}

    def tell_feed(self, wants: list[Want]) -> None:
        for want in wants:
            self.has[want.key] = want.modes
            self.good[want.key] = self.good.get(want.key, 0) & want.modes
            if want.modes:
                self.asked.append(want)

    @rule(shard=SHARDS, wants=WANTS, replace=st.booleans())
    def say(self, shard: int, wants: list[Want], replace: bool) -> None:
        if replace:
            for held in [held for held in self.said if held[0] == shard]:
                self.end(*held)
        for want in wants:
            if want.modes:
                self.said[shard, want.key] = self.open_[shard, want.key] = want.modes
            else:
                self.end(shard, want.key)
        before = dict(self.has)
        work = self.claims.apply(shard, wants, replace=replace, now=self.now)
        for ask in work.asks:
            assert ask.modes & ~before.get(ask.key, 0), "rule 2: asked again only for more"
            assert not self.union(ask.key) & ~ask.modes, "rule 2: the union of what is claimed"
            assert not before.get(ask.key, 0) & ~ask.modes, "rule 1: what lingers was given up"
        self.tell_feed(work.asks)
        self.hear(work.answers)

    def end(self, shard: int, key: bytes) -> None:
        self.said.pop((shard, key), None)
        self.open_.pop((shard, key), None)

    @precondition(lambda self: self.asked)
    @rule(ok=st.booleans())
    def feed_answers(self, ok: bool) -> None:
        ask = self.asked.popleft()
        others = {held: modes for held, modes in self.said.items() if held not in self.open_}
        if not ok:
            refused = ask.modes & ~self.confirmed(ask.key)
            if not refused or any(later.key == ask.key for later in self.asked):
                ok = True  # a feed that has it, or is just asked for more, does not refuse it
            else:
                self.has[ask.key] = self.has.get(ask.key, 0) & ~refused
        error = "" if ok else "no such symbol"
        self.hear(self.claims.settle(Result(ask.key, ask.modes, error)))
        if ok:
            granted = ask.modes & self.has.get(ask.key, 0)  # late, it may have been released
            self.good[ask.key] = self.good.get(ask.key, 0) | granted
        for held, modes in others.items():
            assert self.said.get(held) == modes, "rule 4: taken from one who had it"

    def confirmed(self, key: bytes) -> int:
        return self.good.get(key, 0) & self.has.get(key, 0)

    @rule(shards=st.sets(SHARDS))
    def go(self, shards: set[int]) -> None:
        for held in [held for held in self.said if held[0] in shards]:
            self.end(*held)
        self.claims.drop(shards, self.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, LINGER_S]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        ended = self.claims.due(self.now)
        for want in ended:
            assert want.modes == self.union(want.key), "rule 1: released while claimed"
        self.tell_feed(ended)

    @rule(most=st.integers(1, 2))
    def make_room(self, most: int) -> None:
        idle = [key for key in self.has if self.has[key] and not self.union(key)]
        given_back = self.claims.give_back(most)
        assert len(given_back) == min(most, len(idle)), "rule 1: what lingers makes room"
        assert all(not want.modes and want.key in idle for want in given_back)
        self.tell_feed(given_back)

    @invariant()
    def rule_1_what_is_claimed_the_feed_was_told(self) -> None:
        for key in KEYS:
            assert not self.union(key) & ~self.has.get(key, 0)
            assert bool(self.has.get(key)) == (key in self.claims)

    @invariant()
    def the_shards_that_claim_are_known(self) -> None:
        assert set(self.claims.shards()) == {shard for shard, _ in self.said}

    def teardown(self) -> None:
        """In the end everybody is answered, all shards leave, and the feed keeps nothing."""
        while self.asked:
            self.feed_answers(ok=True)
        assert not self.open_, "rule 3: a claim was never answered"
        self.go({0, 1, 2})
        self.pass_time(LINGER_S + 1)
        while self.asked:
            self.feed_answers(ok=True)
        assert not any(self.has.values()), "rule 1: a key was never released"
        assert len(self.claims) == 0
        assert not self.claims._ending
        assert not any(self.claims._by_shard.values())


TestHistory = History.TestCase


def claim(claims: Claims, shard: int, modes: int, *, depth: int = 5, now: float = 0.0) -> Work:
    return claims.apply(shard, [Want(KEY, modes, depth, "NSE", "A")], replace=False, now=now)


def live(modes: int, *shards: int) -> Claims:
    """Claims of these shards that the feed has granted."""
    claims = Claims(LINGER_S)
    for shard in shards:
        claim(claims, shard, modes)
    claims.settle(Result(KEY, modes))
    return claims


def test_rule_1_a_key_lingers_and_is_then_released() -> None:
    claims = live(1, 0, 1)
    claims.drop([0], 10.0)
    assert claims.due(100.0) == []
    claims.drop([1], 100.0)
    assert claims.due(104.9) == []
    assert KEY in claims
    assert claims.due(105.0) == [Want(KEY, 0, 5, "NSE", "A")]
    assert KEY not in claims


def test_nothing_is_due_unless_something_lingers() -> None:
    claims = Claims(LINGER_S)
    claims.apply(0, [Want(KEY, 1)], replace=False, now=0.0)
    claims.settle(Result(KEY, 1))
    assert not claims.lingering
    claims.apply(0, [Want(KEY, 0)], replace=False, now=0.0)
    assert claims.lingering
    assert claims.due(LINGER_S) == [Want(KEY, 0)]
    assert not claims.lingering


def test_rule_1_the_oldest_makes_room_first_and_what_is_claimed_does_not() -> None:
    claims = Claims(LINGER_S)
    keys = [b"NSE_%d" % number for number in range(4)]
    claims.apply(0, [Want(key, 3) for key in keys], replace=False, now=0.0)
    for now, (number, modes) in enumerate([(2, 0), (0, 0), (3, 1), (1, 0)]):
        claims.apply(0, [Want(keys[number], modes)], replace=False, now=float(now))
    assert [want.key for want in claims.give_back(2)] == [keys[2], keys[0]]
    assert [want.key for want in claims.give_back(9)] == [keys[1]]
    assert claims.give_back(1) == []
    assert sorted(claims.take_released()) == keys[:3]
    assert keys[3] in claims


def test_rule_1_a_feed_that_is_full_is_asked_again_for_as_much_as_lingers_in_that_scope() -> None:
    claims = Claims(LINGER_S)
    mine, other = topics.scope("angel"), topics.scope("zerodha")
    old = [Want(mine + b"NSE_A", 1), Want(other + b"NSE_B", 1), Want(mine + b"NSE_C", 1)]
    new = [Want(mine + name, 1) for name in (b"NSE_D", b"NSE_E", b"NSE_F")]
    claims.apply(0, old, replace=False, now=0.0)
    for number in (2, 0, 1):
        claims.apply(0, [old[number]._replace(modes=0)], replace=False, now=1.0)
    claims.apply(0, new, replace=False, now=5.0)
    refused = [Result(want.key, 1, "full") for want in new]
    assert claims.make_room(refused) == [
        old[2]._replace(modes=0), old[0]._replace(modes=0), *new[:2]
    ], "the oldest first; what lingers in another scope is no room for the third"  # fmt: skip
    assert claims.make_room(refused) == [], "each is given back once"
    assert claims.take_released() == [old[2].key, old[0].key]
    assert claims.settle(Result(new[0].key, 1)) == [Answer(0, Result(new[0].key, 1))]
    assert claims.settle(refused[2]) == [Answer(0, refused[2])]


def test_rule_1_nothing_is_given_back_for_what_nobody_waits_for() -> None:
    claims = live(1, 0)
    claims.apply(0, [Want(b"NSE_OLD", 1)], replace=False, now=0.0)
    claims.settle(Result(b"NSE_OLD", 1))
    claims.apply(0, [Want(b"NSE_OLD", 0)], replace=False, now=0.0)
    assert claims.make_room([Result(KEY, 1, "full"), Result(b"NSE_GONE", 1, "full")]) == []
    claims.apply(0, [Want(b"NSE_NEW", 1)], replace=False, now=0.0)
    claims.apply(0, [Want(b"NSE_NEW", 0)], replace=False, now=0.0)
    assert claims.make_room([Result(b"NSE_NEW", 1, "full")]) == []
    claims.apply(0, [Want(KEY, 5)], replace=False, now=0.0)
    assert claims.make_room([Result(KEY, 5, "full")]) == [], "more of a key takes no more room"


def test_rule_1_who_is_refused_again_is_given_no_more_room() -> None:
    """Else one key that will never fit would cost all that linger."""
    old = [Want(b"NSE_%d" % number, 1) for number in range(5)]
    claims = Claims(LINGER_S)
    claims.apply(0, [*old, Want(KEY, 1)], replace=False, now=0.0)
    for want in old:
        claims.settle(Result(want.key, 1))
    claims.apply(0, [want._replace(modes=0) for want in old], replace=False, now=1.0)
    refused = [Result(KEY, 1, "full")]
    assert len(claims.make_room(refused)) == 2
    assert claims.make_room(refused) == []
    assert claims.settle(refused[0]) == [Answer(0, refused[0])]
    claims.apply(0, [Want(KEY, 1)], replace=False, now=2.0)
    assert len(claims.make_room(refused)) == 2, "whoever asks anew may have room made again"


def test_rule_1_for_what_was_there_and_is_lost_room_may_be_made_again() -> None:
    old = [Want(b"NSE_1", 1), Want(b"NSE_2", 1)]
    claims = Claims(LINGER_S)
    claims.apply(0, [*old, Want(KEY, 1)], replace=False, now=0.0)
    claims.apply(0, [want._replace(modes=0) for want in old], replace=False, now=1.0)
    assert len(claims.make_room([Result(KEY, 1, "full")])) == 2
    claims.settle(Result(KEY, 1))
    claims.settle(Result(KEY, 1, "lost"))
    claims.apply(0, [Want(KEY, 1)], replace=False, now=2.0)
    assert len(claims.make_room([Result(KEY, 1, "full")])) == 2


def test_rule_1_a_login_that_lingers_makes_no_room() -> None:
    claims = Claims(LINGER_S)
    login = Want(topics.login("anita", "angel"), 1)
    claims.apply(0, [login, Want(KEY, 1)], replace=False, now=0.0)
    claims.apply(0, [login._replace(modes=0)], replace=False, now=1.0)
    assert claims.make_room([Result(KEY, 1, "full")]) == []
    assert login.key in claims


def test_rule_1_who_comes_back_while_it_lingers_is_answered_at_once_and_keeps_it() -> None:
    claims = live(1, 0)
    claims.drop([0], 10.0)
    assert claim(claims, 1, 1, now=14.0) == Work([], [Answer(1, Result(KEY, 1))], [])
    assert claims.due(1000.0) == []


def test_rule_1_a_mode_that_nobody_wants_any_more_is_given_up_alone() -> None:
    claims = live(3, 0)
    claim(claims, 0, 1, now=10.0)
    assert [want.modes for want in claims.due(15.0)] == [1]
    assert claim(claims, 1, 1, now=16.0).asks == []


def test_rule_1_what_lingers_stays_when_another_mode_is_asked_for() -> None:
    claims = live(1, 0)
    claims.drop([0], 10.0)
    assert [want.modes for want in claim(claims, 1, 2, now=11.0).asks] == [3]
    assert [want.modes for want in claims.due(15.0)] == [2]


def test_rule_3_answered_at_once_is_what_the_feed_has_granted_and_not_refused() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 3)
    assert claim(claims, 1, 1).answers == []
    claims.settle(Result(KEY, 1))
    assert claim(claims, 2, 1).answers == [Answer(2, Result(KEY, 1))]
    claims.settle(Result(KEY, 2, "no quotes"))
    assert claim(claims, 3, 1).answers == [Answer(3, Result(KEY, 1))]
    assert claim(claims, 3, 2).answers == []


def test_of_what_is_asked_the_new_keys_are_told_apart() -> None:
    claims = live(1, 0)
    new = Want(b"NSE_B", 1)
    work = claims.apply(1, [Want(KEY, 2), new], replace=False, now=0.0)
    assert (work.asks, work.fresh) == ([Want(KEY, 3, 5, "NSE", "A"), new], [new])
    again = claims.apply(2, [new._replace(modes=2)], replace=False, now=0.0)
    assert (len(again.asks), again.fresh) == (1, []), "the feed was asked for it already"


def test_rule_1_the_clock_runs_from_the_first_who_left() -> None:
    claims = live(3, 0, 1)
    claim(claims, 0, 1, now=10.0)
    claim(claims, 1, 1, now=12.0)
    assert claims.due(14.9) == []
    claims.drop([0], 14.9)
    assert [want.modes for want in claims.due(17.0)] == [1]


def test_rule_2_two_shards_are_one_ask() -> None:
    claims = Claims(LINGER_S)
    assert [want.modes for want in claim(claims, 0, 1).asks] == [1]
    assert claim(claims, 1, 1) == Work([], [], [])
    assert [want.modes for want in claim(claims, 2, 4).asks] == [5]


def test_rule_2_more_levels_are_asked_for_and_waited_for() -> None:
    claims = live(4, 0)
    work = claim(claims, 1, 4, depth=20)
    assert work == Work([Want(KEY, 4, 20, "NSE", "A")], [], [])
    assert claims.settle(Result(KEY, 4, "", 20)) == [Answer(1, Result(KEY, 4, "", 20))]


def test_rule_2_fewer_levels_are_there_already_and_another_mode_takes_none_away() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 4, depth=20)
    claims.settle(Result(KEY, 4, "", 20))
    assert claim(claims, 1, 4, depth=5) == Work([], [Answer(1, Result(KEY, 4))], [])
    assert claim(claims, 2, 6, depth=5).asks == [Want(KEY, 6, 20, "NSE", "A")]


def test_rule_3_everyone_who_waits_gets_the_answer() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 1)
    claim(claims, 1, 1)
    assert {answer.shard for answer in claims.settle(Result(KEY, 1, "", 5))} == {0, 1}
    assert claims.settle(Result(KEY, 1)) == []


def test_rule_3_a_shard_that_left_is_not_answered() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 1)
    claims.drop([0], 1.0)
    assert claims.settle(Result(KEY, 1)) == []


def test_rule_3_an_ask_for_more_levels_that_is_refused_is_answered_and_costs_nobody_a_level() -> (
    None
):
    claims = live(4, 0)
    claim(claims, 1, 4, depth=20)
    assert claims.settle(Result(KEY, 4, "5 levels only")) == [
        Answer(1, Result(KEY, 4, "5 levels only"))
    ]
    claims.drop([0, 1], 10.0)
    assert [want.modes for want in claims.due(15.0)] == [0]


def test_rule_4_a_refused_mode_takes_nothing_from_those_who_have_another() -> None:
    claims = live(1, 0)
    claim(claims, 1, 2)
    assert claims.settle(Result(KEY, 3, "no quotes")) == [Answer(1, Result(KEY, 2, "no quotes"))]
    assert claim(claims, 2, 1).answers == [Answer(2, Result(KEY, 1))]
    assert claims.shards() == [0, 2]


def test_rule_4_an_error_speaks_of_its_own_modes_only() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 1)
    claim(claims, 1, 2)
    assert claims.settle(Result(KEY, 1, "no")) == [Answer(0, Result(KEY, 1, "no"))]
    assert claims.settle(Result(KEY, 3)) == [Answer(1, Result(KEY, 2))]
    claims.drop([1], 0.0)
    assert [want.modes for want in claims.due(LINGER_S)] == [0]


def test_a_claim_refused_after_its_shard_left_is_forgotten() -> None:
    claims = Claims(LINGER_S)
    claim(claims, 0, 1)
    claims.drop([0], 0.0)
    assert claims.settle(Result(KEY, 1, "no such symbol")) == []
    assert claims.due(100.0) == []
    assert len(claims) == 0


def test_a_lost_subscription_is_asked_for_again_by_the_next_who_comes() -> None:
    claims = live(3, 0)
    claim(claims, 2, 1)
    lost = claims.settle(Result(KEY, 6, "the broker has dropped it"))
    assert lost == [Answer(0, Result(KEY, 2, "the broker has dropped it"))], "2 has only LTP"
    lost = claims.settle(Result(KEY, 3, "the broker has dropped it"))
    assert [(answer.shard, answer.result.modes) for answer in lost] == [(0, 1), (2, 1)]
    assert claims.shards() == [0, 2]
    assert claims.take_released() == [], "who claimed it still does"
    assert [want.modes for want in claim(claims, 1, 1).asks] == [3]


def test_what_was_lost_while_more_was_asked_for_is_released_all_the_same() -> None:
    """The feed may still say that it has all of it: that answer was under way."""
    claims = live(4, 0)
    claim(claims, 0, 6, now=1.0)
    claims.settle(Result(KEY, 4, "lost"))
    claims.settle(Result(KEY, 6))
    claim(claims, 0, 2, now=2.0)
    assert [want.modes for want in claims.due(100.0)] == [2]
    claim(claims, 0, 0, now=101.0)
    assert [want.modes for want in claims.due(200.0)] == [0]
    assert len(claims) == 0


def test_a_subscription_lost_while_it_shrinks_is_not_begun_anew() -> None:
    claims = live(3, 0)
    claim(claims, 0, 1, now=1.0)
    claims.settle(Result(KEY, 3, "lost"))
    assert claims.due(100.0) == []


@pytest.mark.parametrize("error", ["", "no"])
def test_an_answer_for_an_unknown_key_is_for_nobody(error: str) -> None:
    assert Claims(LINGER_S).settle(Result(b"NSE_X", 7, error)) == []


def test_replace_ends_what_is_not_named_and_only_of_that_shard() -> None:
    claims = Claims(LINGER_S)
    claims.apply(0, [Want(KEY, 1), Want(b"NSE_B", 1)], replace=False, now=0.0)
    claims.apply(1, [Want(KEY, 1)], replace=False, now=0.0)
    claims.apply(0, [], replace=True, now=0.0)
    assert claims.shards() == [1]
    assert [want.key for want in claims.due(LINGER_S)] == [b"NSE_B"]
