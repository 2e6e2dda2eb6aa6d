"""What a shard tells of its wants, against a plain count."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.core.model import Mode, Result, Want
from hub.core.wants import Wants

KEYS = st.sampled_from([b"NSE_A", b"NSE_B"])
MODES = st.sampled_from(Mode)
LTP, QUOTE, DEPTH = Mode.LTP, Mode.QUOTE, Mode.DEPTH


class History(RuleBasedStateMachine):
    """Wants against a Counter of holders, and a router that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.wants = Wants()
        self.holders: Counter[tuple[bytes, Mode]] = Counter()
        self.router: dict[bytes, Want] = {}
        self.feed_has: dict[bytes, int] = {}
        self.errors: set[bytes] = set()
        self.touched: set[bytes] = set()

    def modes(self, key: bytes) -> int:
        return sum(mode.bit for mode in Mode if self.holders[key, mode] > 0)

    def hear(self, want: Want) -> None:
        assert want.modes == self.modes(want.key)
        assert want.depth == 5
        if want.modes:
            self.router[want.key] = want
        else:
            self.router.pop(want.key, None)
        self.errors.discard(want.key)
        self.feed_has[want.key] = self.feed_has.get(want.key, 0) & want.modes

    @rule(key=KEYS, mode=MODES)
    def add(self, key: bytes, mode: Mode) -> None:
        self.holders[key, mode] += 1
        sure = bool(key in self.router and self.feed_has.get(key, 0) & mode.bit)
        assert self.wants.add(key, mode, exchange="NSE", symbol="A") == sure
        if not sure:
            self.touched.add(key)

    @precondition(lambda self: any(self.holders.values()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        held = sorted(holder for holder, count in self.holders.items() if count)
        key, mode = data.draw(st.sampled_from(held))
        self.holders[key, mode] -= 1
        self.wants.remove(key, mode)
        self.touched.add(key)

    @rule(key=KEYS, modes=st.integers(1, 7), ok=st.booleans())
    def answer(self, key: bytes, modes: int, ok: bool) -> None:
        known = key in self.wants
        self.wants.settle(Result(key, modes, "" if ok else "no such symbol"))
        if known and ok:
            told = self.router[key].modes if key in self.router else 0
            self.feed_has[key] = self.feed_has.get(key, 0) | modes & told
        elif known:
            self.feed_has[key] = self.feed_has.get(key, 0) & ~modes
            self.errors.add(key)

    @rule()
    def take(self) -> None:
        changes = self.wants.take()
        assert len({want.key for want in changes}) == len(changes)
        for want in changes:
            before = self.router.get(want.key)
            assert want.key in self.errors or want.modes != (before.modes if before else 0), (
                "told without a difference"
            )
            self.hear(want)
        for key in self.touched - {want.key for want in changes}:
            before = self.router.get(key)
            assert self.modes(key) == (before.modes if before else 0), "a difference not told"
            assert key not in self.errors
            if not self.modes(key):
                self.feed_has.pop(key, None)
        self.touched.clear()

    @rule()
    def new_router(self) -> None:
        self.router.clear()
        told = self.wants.everything()
        for key in [key for key in (b"NSE_A", b"NSE_B") if not self.modes(key)]:
            self.feed_has.pop(key, None)
            self.errors.discard(key)
        for want in told:
            assert want.modes
            self.hear(want)
        assert self.router.keys() == {key for key, _ in self.holders if self.modes(key)}
        self.touched.clear()

    @rule()
    def feed_gone(self) -> None:
        self.wants.doubt()
        self.feed_has.clear()

    @invariant()
    def the_router_was_told_what_told_says(self) -> None:
        for key in (b"NSE_A", b"NSE_B"):
            assert self.wants.told(key) == (self.router[key].modes if key in self.router else 0)

    @invariant()
    def rule_1_what_is_held_is_known_and_what_is_neither_held_nor_told_is_not(self) -> None:
        for key in (b"NSE_A", b"NSE_B"):
            if self.modes(key):
                assert key in self.wants
            elif key not in self.touched and key not in self.router:
                assert key not in self.wants


TestHistory = History.TestCase


def test_rule_2_what_is_told_is_the_state_not_the_step() -> None:
    wants = Wants()
    wants.add(b"NSE_A", LTP, exchange="NSE", symbol="A")
    assert wants.take() == [Want(b"NSE_A", 1, 5, "NSE", "A")]
    wants.add(b"NSE_A", DEPTH, depth=20)
    assert wants.take() == [Want(b"NSE_A", 5, 20, "NSE", "A")]
    wants.remove(b"NSE_A", LTP)
    wants.remove(b"NSE_A", DEPTH)
    assert wants.take() == [Want(b"NSE_A", 0, 20, "NSE", "A")]
    assert len(wants) == 0


def test_rule_3_a_thousand_symbols_are_told_at_once_and_only_once() -> None:
    wants = Wants()
    for number in range(1000):
        wants.add(b"NSE_%d" % number, QUOTE)
    assert len(wants.take()) == 1000
    assert wants.take() == []


def test_rule_3_a_holder_that_comes_and_goes_between_two_takes_is_not_told() -> None:
    wants = Wants()
    wants.add(b"NSE_A", LTP)
    wants.remove(b"NSE_A", LTP)
    assert wants.take() == []
    assert b"NSE_A" not in wants


def test_rule_3_after_an_error_the_same_is_told_again() -> None:
    wants = Wants()
    wants.add(b"NSE_A", LTP)
    wants.take()
    wants.settle(Result(b"NSE_A", 1, "broker is away"))
    wants.add(b"NSE_A", LTP)
    assert [want.modes for want in wants.take()] == [1]
    wants.add(b"NSE_A", LTP)
    assert wants.take() == []


def test_what_the_feed_has_confirmed_needs_no_result() -> None:
    wants = Wants()
    assert not wants.add(b"NSE_A", QUOTE)
    wants.take()
    assert not wants.add(b"NSE_A", QUOTE)
    wants.settle(Result(b"NSE_A", QUOTE.bit))
    assert wants.add(b"NSE_A", QUOTE)
    assert not wants.add(b"NSE_A", LTP)
    wants.doubt()
    assert not wants.add(b"NSE_A", QUOTE)


def test_a_mode_that_was_given_up_needs_a_result_again() -> None:
    wants = Wants()
    for mode in (LTP, QUOTE):
        wants.add(b"NSE_A", mode)
    wants.take()
    wants.settle(Result(b"NSE_A", LTP.bit | QUOTE.bit))
    wants.remove(b"NSE_A", QUOTE)
    assert [want.modes for want in wants.take()] == [LTP.bit]
    assert not wants.add(b"NSE_A", QUOTE)
    assert wants.add(b"NSE_A", LTP)


def test_more_depth_than_was_told_needs_a_result() -> None:
    wants = Wants()
    wants.add(b"NSE_A", DEPTH, depth=5)
    wants.take()
    wants.settle(Result(b"NSE_A", DEPTH.bit))
    assert wants.add(b"NSE_A", DEPTH, depth=5)
    assert not wants.add(b"NSE_A", DEPTH, depth=20)
    assert [want.depth for want in wants.take()] == [20]


def test_after_more_depth_was_refused_the_next_holder_has_the_old_depth_told_again() -> None:
    """Else the feed would go on to be asked for levels that nobody is to get."""
    wants = Wants()
    wants.add(b"NSE_A", QUOTE)
    wants.take()
    wants.settle(Result(b"NSE_A", QUOTE.bit))
    wants.add(b"NSE_A", DEPTH, depth=20)
    wants.take()
    wants.settle(Result(b"NSE_A", DEPTH.bit, "no 20 levels here"))
    wants.remove(b"NSE_A", DEPTH)
    assert not wants.add(b"NSE_A", QUOTE)
    assert [(want.modes, want.depth) for want in wants.take()] == [(QUOTE.bit, 5)]


def test_what_was_lost_is_told_again_to_the_next_holder_and_when_it_is_asked_again() -> None:
    wants = Wants()
    wants.add(b"NSE_A", QUOTE)
    wants.add(b"NSE_B", QUOTE)
    wants.take()
    for key in (b"NSE_A", b"NSE_B"):
        wants.settle(Result(key, QUOTE.bit))
    wants.settle(Result(b"NSE_A", QUOTE.bit, "the broker has dropped it"))
    assert not wants.untold
    wants.ask_again()
    assert [(want.key, want.modes) for want in wants.take()] == [(b"NSE_A", QUOTE.bit)]
    wants.ask_again()
    assert not wants.untold, "it was asked; now an answer is due"
    wants.settle(Result(b"NSE_A", QUOTE.bit, "it still has not"))
    assert not wants.add(b"NSE_A", QUOTE)
    assert [want.key for want in wants.take()] == [b"NSE_A"]


def test_an_answer_for_what_was_not_asked_confirms_nothing() -> None:
    wants = Wants()
    wants.add(b"NSE_A", LTP)
    wants.settle(Result(b"NSE_A", 7))
    wants.settle(Result(b"NSE_B", 7))
    assert not wants.add(b"NSE_A", LTP)
    wants.take()
    wants.settle(Result(b"NSE_A", 7))
    assert wants.add(b"NSE_A", LTP)
    assert not wants.add(b"NSE_A", DEPTH)
