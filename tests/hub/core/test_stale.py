"""What is stale of a feed: the union of what shards say, by the market's sessions."""

from __future__ import annotations

import math
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from hub.core.market import Market
from hub.core.model import Quiet, Stale
from hub.core.stale import Staleness

NSE, ALSO, MCX, NOWHERE = b"NSE_A", b"NSE_B", b"MCX_A", b"GLOBAL_A"
KEYS = (NSE, ALSO, MCX, NOWHERE)
DAY_S = 86_400.0
MONDAY_S = 4 * DAY_S  # the epoch was a Thursday
OPEN_S = MONDAY_S + 10 * 3600
CLOSE_S = OPEN_S + 6 * 3600
MARKET = Market(["NSE mon-fri 10:00-16:00", "MCX always"], "UTC")


class Court:
    """A feed's judge, with shards that hear what they are told."""

    def __init__(self) -> None:
        self.claims: dict[bytes, dict[int, int]] = defaultdict(dict)
        self.stale = Staleness(MARKET, lambda key: self.claims[key])
        self.shards: dict[int, dict[bytes, int]] = defaultdict(dict)
        self.now_s = OPEN_S + 3600
        self.rows = 0

    def claim(self, shard: int, key: bytes, modes: int) -> None:
        if modes:
            self.claims[key][shard] = modes
        else:
            self.claims[key].pop(shard, None)
        self.stale.claimed(shard, [key], replace=False)

    def quiet(self, shard: int, *rows: Quiet, replace: bool = False) -> None:
        self.stale.take(shard, rows, replace=replace)

    def judge(self, calm_s: float = math.inf, *, all_: bool = True) -> None:
        self.stale.judge(self.now_s, calm_s, all_=all_)
        for shard, rows, replace in self.stale.tell():
            assert len(rows) <= 500
            if replace:
                self.shards[shard].clear()
            for row in rows:
                assert isinstance(row, Stale)
                assert replace or self.shards[shard].get(row.key, 0) != row.modes, "no news"
                self.shards[shard][row.key] = row.modes
            self.rows += len(rows)
        assert not self.stale.tell()

    def knows(self, shard: int) -> dict[bytes, int]:
        return {key: modes for key, modes in self.shards[shard].items() if modes}


def case(*claims: tuple[int, bytes, int]) -> Court:
    court = Court()
    for shard, key, modes in claims:
        court.claim(shard, key, modes)
    return court


def test_what_is_quiet_in_a_session_is_stale_until_it_ticks() -> None:
    court = case((0, NSE, 3))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.judge()
    assert (court.stale.count, court.stale.first(5), court.knows(0)) == (1, [NSE], {NSE: 2})
    court.quiet(0, Quiet(NSE, 0, 0))
    court.judge()
    assert (court.stale.count, court.stale.first(5), court.knows(0)) == (0, [], {})


def test_rule_1_one_topic_however_many_shards_say_so() -> None:
    court = case((0, NSE, 2), (1, NSE, 6))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.quiet(1, Quiet(NSE, 6, 60))
    court.judge()
    assert court.stale.count == 2, "two modes"
    assert court.knows(0) == court.knows(1) == {NSE: 6}
    court.quiet(0, Quiet(NSE, 0, 0))
    court.judge()
    assert court.stale.count == 2, "the other one has yet to hear it"
    court.quiet(1, Quiet(NSE, 4, 60))
    court.judge()
    assert court.stale.count == 1


def test_rule_1_who_claims_it_no_more_does_not_count() -> None:
    court = case((0, NSE, 2), (1, NSE, 2))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.judge()
    court.claim(0, NSE, 0)
    court.judge()
    assert court.stale.count == 0
    assert court.knows(0) == court.knows(1) == {}
    court.claim(0, NSE, 2)
    court.judge()
    assert court.stale.count == 1, "it was never said to tick"


def test_rule_1_a_shard_that_is_gone_counts_no_more() -> None:
    court = case((0, NSE, 2), (1, ALSO, 2))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.quiet(1, Quiet(ALSO, 2, 60))
    court.judge()
    del court.claims[NSE][0]
    court.stale.claimed(0, (), replace=True)
    court.judge()
    assert court.stale.first(5) == [ALSO]


def test_rule_2_outside_of_a_session_nothing_is_stale() -> None:
    court = case((0, NSE, 2), (0, MCX, 2), (0, NOWHERE, 2))
    court.quiet(0, *(Quiet(key, 2, 60) for key in (NSE, MCX, NOWHERE)))
    for now_s, stale in (
        (OPEN_S - 1, {MCX}),
        (OPEN_S, {MCX}),
        (OPEN_S + 59, {MCX}),
        (OPEN_S + 60, {MCX, NSE}),
        (CLOSE_S - 1, {MCX, NSE}),
        (CLOSE_S, {MCX}),
        (OPEN_S + 7 * DAY_S - 1, {MCX}),
        (OPEN_S + 7 * DAY_S + 60, {MCX, NSE}),
    ):
        court.now_s = now_s
        court.judge()
        assert court.knows(0).keys() == set(court.stale.first(5)) == stale
        assert court.stale.count == len(stale)


def test_rule_2_what_seldom_ticks_has_as_long_after_the_opening() -> None:
    court = case((0, NSE, 2))
    court.quiet(0, Quiet(NSE, 2, 6000))
    court.now_s = OPEN_S + 5999
    court.judge()
    assert court.stale.count == 0
    court.now_s = OPEN_S + 6000
    court.judge()
    assert court.stale.count == 1


def test_rule_2_what_waits_for_a_session_is_not_looked_at_before_its_time() -> None:
    """Of 50,000 keys that were quiet all night each look took 60 ms when the market opened."""
    asked: list[bytes] = []
    court = case((0, NSE, 2), (1, NSE, 2), (0, ALSO, 2), (0, b"NSE_C", 2))

    def claimants(key: bytes) -> dict[int, int]:
        asked.append(key)
        return court.claims[key]

    court.now_s = OPEN_S - 3600
    court.quiet(0, Quiet(NSE, 2, 60), Quiet(ALSO, 2, 600))
    court.quiet(1, Quiet(NSE, 2, 6000), Quiet(b"NSE_C", 2, 59))
    court.judge()
    court.quiet(1, Quiet(b"NSE_C", 0, 0))
    court.judge()
    court.stale._claimants = claimants
    for later_s in (-1, 0, 59, 60, 61, 599, 600, 5999, 6000):
        court.now_s = OPEN_S + later_s
        court.stale.judge(court.now_s, math.inf)
        found, asked[:] = list(asked), []
        assert found == {60: [NSE], 600: [ALSO], 6000: [NSE]}.get(later_s, [])


def test_what_ticks_and_is_quiet_again_outside_of_a_session_is_kept_once() -> None:
    court = case((0, NSE, 2), (0, ALSO, 2))
    court.now_s = OPEN_S - 3600
    court.quiet(0, Quiet(ALSO, 2, 60))
    for after_s in range(60, 1060):
        court.quiet(0, Quiet(NSE, 2, after_s))
        court.judge()
        court.quiet(0, Quiet(NSE, 0, 0))
        court.judge()
    assert len(court.stale._exchanges["NSE"]._times) < 110
    court.now_s = OPEN_S + 60
    court.judge()
    assert court.stale.first(5) == [ALSO]


def test_rule_3_after_a_pause_nothing_new_is_stale_and_what_was_stays_so() -> None:
    court = case((0, NSE, 2), (0, ALSO, 2))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.judge()
    court.quiet(0, Quiet(ALSO, 2, 60))
    court.judge(calm_s=59)
    assert court.stale.first(5) == [NSE]
    court.claim(0, NSE, 6)
    court.judge(calm_s=59)
    assert court.knows(0) == {NSE: 2}, "though it was looked at again"
    court.judge(calm_s=60)
    assert court.stale.first(5) == [NSE, ALSO]


def test_rule_4_who_comes_to_claim_what_is_stale_is_told_at_once() -> None:
    court = case((0, NSE, 2))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.judge()
    court.claim(1, NSE, 2)
    court.judge(all_=False)
    assert court.knows(1) == {NSE: 2}
    court.claim(1, NSE, 0)
    court.judge(all_=False)
    assert court.knows(1) == {}
    assert court.knows(0) == {NSE: 2}


def test_what_was_just_told_is_judged_alone_when_that_is_asked() -> None:
    court = case((0, NSE, 2), (0, ALSO, 2))
    court.now_s = OPEN_S + 30
    court.quiet(0, Quiet(NSE, 2, 60))
    court.judge()
    court.now_s = OPEN_S + 60
    court.quiet(0, Quiet(ALSO, 2, 60))
    court.judge(all_=False)
    assert court.stale.first(5) == [ALSO]
    court.judge()
    assert court.stale.count == 2


def test_a_shard_in_a_new_stay_knows_nothing_and_says_everything_anew() -> None:
    court = case((0, NSE, 2), (0, ALSO, 2), (1, ALSO, 2))
    court.quiet(0, Quiet(NSE, 2, 60))
    court.quiet(1, Quiet(ALSO, 2, 60))
    court.judge()
    court.shards[0] = {b"NSE_OLD": 2}
    court.quiet(0, replace=True)
    court.judge()
    assert court.stale.first(5) == [ALSO]
    assert court.knows(0) == {ALSO: 2}


def test_thousands_are_told_500_at_a_time() -> None:
    keys = [f"NSE_{number}".encode() for number in range(1200)]
    court = case(*((0, key, 2) for key in keys))
    court.quiet(0, *(Quiet(key, 2, 60) for key in keys), replace=True)
    court.judge()
    assert court.knows(0) == dict.fromkeys(keys, 2)
    court.quiet(0, *(Quiet(key, 0, 60) for key in keys))
    court.judge()
    assert court.knows(0) == {}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.integers(0, 2), st.sampled_from(KEYS), st.integers(0, 7)),
        st.tuples(st.just("quiet"), st.integers(0, 2), st.sampled_from(KEYS), st.integers(0, 7)),
        st.tuples(st.just("anew"), st.integers(0, 2), st.sampled_from(KEYS), st.integers(0, 7)),
        st.tuples(st.just("gone"), st.integers(0, 2), st.just(NSE), st.just(0)),
        st.tuples(st.just("later"), st.just(0), st.just(NSE), st.integers(1, 12)),
    ),
    max_size=40,
)


AFTER_S = (60.0, 5000.0, 10_000.0)
"""How long each shard waits."""


def expected_of(
    court: Court, said: dict[tuple[int, bytes], int], before: dict[bytes, int]
) -> dict[bytes, int]:
    """The stale modes of each key, by all that was said and what was so before."""
    found: dict[bytes, int] = defaultdict(int)
    for (who, key), modes in said.items():
        name = MARKET.exchange(key)
        open_s = MARKET.open_s(name, court.now_s) if name else None
        if open_s is not None:
            more = modes & court.claims[key].get(who, 0)
            found[key] |= more if open_s >= AFTER_S[who] else more & before.get(key, 0)
    return {key: modes for key, modes in found.items() if modes}


@given(STEPS)
def test_it_is_what_a_look_at_everything_finds(steps: list[tuple[str, int, bytes, int]]) -> None:
    court = Court()
    said: dict[tuple[int, bytes], int] = {}
    expected: dict[bytes, int] = {}
    for kind, shard, key, number in steps:
        match kind:
            case "claim":
                court.claim(shard, key, number)
            case "quiet":
                court.quiet(shard, Quiet(key, number, AFTER_S[shard]))
                said[shard, key] = number
            case "anew":
                court.quiet(shard, Quiet(key, number, AFTER_S[shard]), replace=True)
                said = {place: modes for place, modes in said.items() if place[0] != shard}
                said[shard, key] = number
            case "gone":
                for claims in court.claims.values():
                    claims.pop(shard, None)
                court.stale.claimed(shard, (), replace=True)
            case "later":
                court.now_s += number * 1800
        court.judge()
        expected = expected_of(court, said, expected)
        assert court.stale.count == sum(modes.bit_count() for modes in expected.values())
        assert set(court.stale.first(9)) == set(expected)
        for who in range(3):
            assert court.knows(who) == {
                what: modes for what, modes in expected.items() if who in court.claims[what]
            }
