"""The subscription index: any history against `{session: {key: {mode}}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.core.hot import Audience
from hub.core.index import Index, Variant
from hub.core.model import Instrument, Mode

SESSIONS = st.integers(0, 5)
MODES = st.sampled_from(Mode)
BROKERS = st.sampled_from(["zerodha", "angel"])
INSTRUMENTS = st.sampled_from(
    [
        Instrument("NSE", "A"),
        Instrument("NSE_INDEX", "B"),
        Instrument("NSE", "INDEX_B"),  # the same key under other names
        Instrument("MCX", "C"),
    ]
)
LTP, QUOTE, DEPTH = Mode.LTP, Mode.QUOTE, Mode.DEPTH
A, B = Instrument("NSE", "A"), Instrument("NSE", "B")


class Who:
    """A session: known by identity alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class History(RuleBasedStateMachine):
    """The index against a naive model; rules 1 to 4 hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.index: Index[Who] = Index()
        self.who = [Who(f"s{number}") for number in range(6)]
        self.naive: dict[Who, dict[bytes, tuple[set[Mode], Instrument, str]]] = {}

    @rule(number=SESSIONS, instrument=INSTRUMENTS, mode=MODES, broker=BROKERS)
    def add(self, number: int, instrument: Instrument, mode: Mode, broker: str) -> None:
        session = self.who[number]
        self.index.add(session, instrument, mode, broker)
        held = self.naive.setdefault(session, {})
        modes, _, _ = held.get(instrument.key, (set(), None, None))
        if mode not in modes:
            held[instrument.key] = (modes | {mode}, instrument, broker)

    @rule(number=SESSIONS, instrument=INSTRUMENTS, mode=MODES)
    def remove(self, number: int, instrument: Instrument, mode: Mode) -> None:
        session, key = self.who[number], instrument.key
        before = self.expected(session).get(key)
        had = before is not None and bool(before.modes & mode.bit)
        assert self.index.remove(session, key, mode) == (before if had else None)
        if had:
            self.naive[session][key][0].discard(mode)
            if not self.naive[session][key][0]:
                del self.naive[session][key]
            if not self.naive[session]:
                del self.naive[session]

    @rule(number=SESSIONS)
    def drop(self, number: int) -> None:
        session = self.who[number]
        self.index.drop(session)
        self.naive.pop(session, None)

    def expected(self, session: Who) -> dict[bytes, Variant]:
        return {
            key: Variant(sum(mode.bit for mode in modes), *instrument, broker)
            for key, (modes, instrument, broker) in self.naive.get(session, {}).items()
        }

    @invariant()
    def what_a_session_holds_is_what_it_began(self) -> None:
        for session in self.who:
            expected = self.expected(session)
            assert dict(self.index.held(session)) == expected
            for key in (b"NSE_A", b"NSE_INDEX_B", b"MCX_C"):
                variant = expected.get(key)
                assert self.index.modes(session, key) == (variant.modes if variant else 0)
        assert set(self.index._held) == set(self.naive)

    @invariant()
    def rule_1_the_sessions_of_a_key_are_parted(self) -> None:
        keys = {key for held in self.naive.values() for key in held}
        assert len(self.index) == len(keys)
        for key in (b"NSE_A", b"NSE_INDEX_B", b"MCX_C"):
            assert (key in self.index) == (key in keys)
            parts: dict[Variant, set[Who]] = {}
            for session in self.naive:
                variant = self.expected(session).get(key)
                if variant:
                    parts.setdefault(variant, set()).add(session)
            found = self.index.audiences(key)
            assert {variant: set(audience.members) for variant, audience in found.items()} == parts
            members = [member for audience in found.values() for member in audience.members]
            assert len(members) == len(set(members))

    @invariant()
    def rule_2_and_3_equal_members_are_one_audience_with_one_name(self) -> None:
        by_members: dict[frozenset[Who], Audience[Who]] = {}
        uses: dict[int, int] = {}
        for variants in self.index._keys.values():
            for audience in variants.values():
                same = by_members.setdefault(frozenset(audience.members), audience)
                assert same is audience
                uses[audience.name] = uses.get(audience.name, 0) + 1
                name = 0
                for member in audience.members:
                    name ^= self.index._names[member]
                assert audience.name == name != 0
        assert {name: each.variants for name, each in self.index._audiences.items()} == uses

    def teardown(self) -> None:
        """When everybody is gone nothing is left."""
        for session in self.who:
            self.index.drop(session)
        assert not self.index._names
        assert not self.index._held
        assert not self.index._keys
        assert not self.index._audiences
        assert repr(self.index) == "<Index 0 keys, 0 sessions, 0 audiences>"


TestHistory = History.TestCase


def only(found: Mapping[Variant, Audience[Any]]) -> Audience[Any]:
    (audience,) = found.values()
    return audience


def test_rule_1_another_mode_moves_a_session_to_another_variant() -> None:
    index: Index[str] = Index()
    index.add("one", A, LTP, "zerodha")
    index.add("two", A, LTP, "zerodha")
    index.add("one", A, DEPTH, "zerodha")
    assert {v.modes: a.members for v, a in index.audiences(A.key).items()} == {
        1: ("two",),
        5: ("one",),
    }


def test_rule_1_another_broker_or_spelling_is_another_variant() -> None:
    index: Index[int] = Index()
    index.add(1, Instrument("NSE_INDEX", "B"), LTP, "zerodha")
    index.add(2, Instrument("NSE", "INDEX_B"), LTP, "zerodha")
    index.add(3, Instrument("NSE", "INDEX_B"), LTP, "angel")
    assert len(index.audiences(b"NSE_INDEX_B")) == 3


def test_of_a_session_that_has_gone_nothing_is_left() -> None:
    index = Index[str]()
    for session in ("one", "two"):
        index.add(session, Instrument("NSE", "A"), Mode.LTP, "sim")
    index.remove("one", b"NSE_A", Mode.LTP)
    assert index.sessions == 2, "it may come back"
    for session in ("one", "two"):
        index.drop(session)
    assert (index.sessions, len(index)) == (0, 0)


def test_rule_2_keys_with_the_same_sessions_share_one_audience_whatever_the_order() -> None:
    index: Index[str] = Index()
    for session in ("one", "two", "three"):
        index.add(session, A, LTP, "zerodha")
    for session in ("three", "one", "two"):
        index.add(session, B, DEPTH, "angel")
    assert only(index.audiences(A.key)) is only(index.audiences(B.key))


def test_rule_4_the_members_of_an_audience_never_change() -> None:
    index: Index[str] = Index()
    index.add("one", A, LTP, "zerodha")
    before = only(index.audiences(A.key))
    index.add("two", A, LTP, "zerodha")
    after = only(index.audiences(A.key))
    assert before.members == ("one",)
    assert after.members == ("one", "two")
    assert after is not before


def test_rule_5_another_form_is_another_variant_and_an_audience_knows_its_form() -> None:
    index: Index[str] = Index()
    index.add("plain", A, LTP, "zerodha")
    for key in (A, B):
        for session in ("one", "two"):
            index.add(session, key, LTP, "zerodha", form=3)
    found = {audience.form: audience.members for audience in index.audiences(A.key).values()}
    assert found == {0: ("plain",), 3: ("one", "two")}
    assert only(index.audiences(B.key)).form == 3
    index.add("one", A, DEPTH, "zerodha", form=3)
    assert [audience.form for audience in index.audiences(A.key).values()] == [0, 3, 3]
    held = index.remove("one", A.key, LTP)
    assert held is not None
    assert held.form == index.held("one")[A.key].form == 3


def test_an_audience_that_comes_back_has_nothing_waiting() -> None:
    index: Index[str] = Index()
    index.add("one", A, LTP, "zerodha")
    only(index.audiences(A.key)).frames.append(b"old")
    index.remove("one", A.key, LTP)
    index.add("one", A, LTP, "zerodha")
    assert only(index.audiences(A.key)).frames == []


def test_ceasing_to_hold_a_mode_that_is_not_held_changes_nothing() -> None:
    """An unsubscribe of what was never asked must be answered as such, and stir nothing."""
    index: Index[str] = Index()
    index.add("one", A, QUOTE, "zerodha")
    before = only(index.audiences(A.key))
    assert index.remove("one", A.key, LTP) is None
    assert only(index.audiences(A.key)) is before
    assert index.modes("one", A.key) == QUOTE.bit


def test_sessions_that_hold_a_key_alike_share_how_they_hold_it() -> None:
    """It is the most of what a session costs: names that each has read from its own request."""
    index: Index[str] = Index()
    for session in ("one", "two", "three"):
        index.add(session, Instrument("NSE", "".join(("S", session[:0], "1"))), QUOTE, "zerodha")
    first, *others = (index.held(session)[b"NSE_S1"] for session in ("one", "two", "three"))
    assert all(variant is first for variant in others)
    index.add("two", Instrument("NSE", "S1"), LTP, "zerodha")
    assert index.held("two")[b"NSE_S1"] is not first


def test_what_a_key_nobody_holds_has_is_empty() -> None:
    index: Index[str] = Index()
    assert dict(index.audiences(b"NSE_X")) == {}
    assert index.modes("one", b"NSE_X") == 0
    assert index.remove("one", b"NSE_X", LTP) is None
