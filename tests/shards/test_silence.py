"""What a shard hears nothing of, held against a model that keeps all there was."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.index import Index
from hub.core.latest import Latest
from hub.core.model import Instrument, Mode, Quiet
from shards import tickets
from shards.fanout import Fanout
from shards.silence import Silence
from shards.snapshots import Snapshots
from tests.shards.kit import Client

STALE_S = 60.0
EVERY_S = 10.0
ONE, TWO = Instrument("NSE", "ONE"), Instrument("NSE", "TWO")


class Ear:
    """A shard's silence, with clients and ticks by hand; `quiet` is what the feeds were told."""

    def __init__(self, stale_s: float = STALE_S) -> None:
        self.index: Index[tickets.Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[tickets.Client] = Fanout(self.index, self.latest)
        self.snapshots = Snapshots(self.index, self.latest, self.fanout)
        self.silence = Silence(self.index, self.latest, self.fanout, stale_s)
        self.client = Client()
        self.there = {"bus", "sim"}
        self.now_s = 1000.0
        self.quiet: dict[str, dict[bytes, int]] = defaultdict(dict)
        self.rows: list[Quiet] = []
        assert self.silence.every_s == EVERY_S * stale_s / STALE_S

    def hold(
        self, one: Instrument, mode: Mode, feed: str = "bus", client: Client | None = None
    ) -> None:
        self.index.add(client or self.client, one, mode, "zerodha", feed)

    def drop(self, one: Instrument, mode: Mode) -> None:
        self.index.remove(self.client, one.key, mode)

    def tick(self, one: Instrument, mode: Mode) -> None:
        self.fanout.offer([topics.of(one.key, mode), b"{}"])

    def told_last_value(self, one: Instrument, mode: Mode) -> None:
        """A leg opens, and the keeper answers."""
        self.snapshots.opened([one.key], 1, 7)
        self.snapshots.values([topics.of(one.key, mode), b"{}"], [one.key], 7)

    def look(self, after_s: float = EVERY_S) -> None:
        self.now_s += after_s
        for _ in self.silence.look(self.now_s):
            pass
        self.take()

    def take(self) -> None:
        """The feeds are told, until there is nothing more to tell."""
        while self.silence.untold(self.there):
            for feed, rows, replace in self.silence.tell(self.there):
                assert feed in self.there
                assert len(rows) <= 500
                if replace:
                    self.quiet[feed].clear()
                for row in rows:
                    self.quiet[feed][row.key] = row.modes
                self.rows += rows
        assert not self.silence.tell(self.there)

    def modes(self, one: Instrument, feed: str = "bus") -> int:
        return self.quiet[feed].get(one.key, 0)

    def steadily(self, one: Instrument, mode: Mode, every: int, times: int) -> None:
        """So many ticks, one at every so many looks."""
        for _ in range(times):
            self.tick(one, mode)
            for _ in range(every):
                self.look()


@pytest.fixture
def ear() -> Ear:
    return Ear()


def looks_until_quiet(ear: Ear, one: Instrument) -> int:
    for count in range(10_000):
        if ear.modes(one):
            return count
        ear.look()
    raise AssertionError("it is never quiet")


def fall_quiet(ear: Ear, mode: Mode) -> None:
    """ONE is held, and never ticks."""
    ear.hold(ONE, mode)
    ear.look()
    looks_until_quiet(ear, ONE)


def test_what_has_never_ticked_is_quiet_after_the_time_that_is_set(ear: Ear) -> None:
    ear.hold(ONE, Mode.QUOTE)
    ear.look()
    assert looks_until_quiet(ear, ONE) == 7
    assert ear.rows == [Quiet(ONE.key, Mode.QUOTE.bit, STALE_S)]


def test_what_ticks_all_the_time_is_quiet_after_the_time_that_is_set(ear: Ear) -> None:
    ear.hold(ONE, Mode.QUOTE)
    ear.steadily(ONE, Mode.QUOTE, 1, 50)
    assert looks_until_quiet(ear, ONE) == 7
    ear.tick(ONE, Mode.QUOTE)
    ear.look()
    assert ear.modes(ONE) == 0


def test_rule_2_what_seldom_ticks_is_not_quiet_before_ten_of_its_pauses(ear: Ear) -> None:
    """An option that ticks every ten minutes, as soon as that is known of it."""
    ear.hold(ONE, Mode.QUOTE)
    ear.steadily(ONE, Mode.QUOTE, 60, 3)
    ear.rows.clear()
    ear.steadily(ONE, Mode.QUOTE, 60, 10)
    assert not [row for row in ear.rows if row.modes]
    looks = looks_until_quiet(ear, ONE)
    assert 580 - 60 < looks < 600
    assert ear.rows[-1].after_s == pytest.approx(10 * 600, rel=0.02), "the feed has to know"


def test_rule_3_a_night_teaches_little(ear: Ear) -> None:
    ear.hold(ONE, Mode.QUOTE)
    ear.steadily(ONE, Mode.QUOTE, 1, 50)
    for _ in range(8000):
        ear.look()
    ear.steadily(ONE, Mode.QUOTE, 1, 20)
    assert looks_until_quiet(ear, ONE) <= 7


def test_a_first_value_is_no_tick(ear: Ear) -> None:
    """Nor is one that comes with another leg: what is quiet stays so when somebody comes."""
    fall_quiet(ear, Mode.QUOTE)
    ear.told_last_value(ONE, Mode.QUOTE)
    ear.look()
    assert ear.modes(ONE) == Mode.QUOTE.bit
    ear.tick(ONE, Mode.QUOTE)
    ear.told_last_value(ONE, Mode.QUOTE)
    ear.look()
    ear.tick(ONE, Mode.QUOTE)
    ear.look()
    assert ear.modes(ONE) == 0


def test_where_nobody_looks_first_values_are_not_noted() -> None:
    """Nobody took them out, so that they grew with every key that was ever held."""
    ear = Ear(stale_s=0.0)
    ear.hold(ONE, Mode.QUOTE)
    ear.told_last_value(ONE, Mode.QUOTE)
    assert ear.latest.of(ONE.key)
    assert not ear.fanout.remembered


def test_a_tick_after_a_first_value_is_one(ear: Ear) -> None:
    fall_quiet(ear, Mode.QUOTE)
    ear.told_last_value(ONE, Mode.QUOTE)
    ear.tick(ONE, Mode.QUOTE)
    ear.look()
    assert ear.modes(ONE) == 0


def test_a_mode_ticks_with_every_tick_that_its_holders_are_sent(ear: Ear) -> None:
    ear.hold(ONE, Mode.LTP)
    ear.hold(ONE, Mode.DEPTH)
    ear.look()
    for _ in range(12):
        ear.tick(ONE, Mode.QUOTE)
        ear.look()
    assert ear.modes(ONE) == Mode.DEPTH.bit


def test_a_mode_that_is_new_begins_anew_and_one_that_is_dropped_is_forgotten(ear: Ear) -> None:
    fall_quiet(ear, Mode.LTP)
    ear.hold(ONE, Mode.DEPTH)
    ear.look()
    assert ear.modes(ONE) == Mode.LTP.bit
    ear.drop(ONE, Mode.LTP)
    ear.look()
    assert ear.modes(ONE) == 0
    ear.drop(ONE, Mode.DEPTH)
    ear.look()
    assert not ear.silence._topics


def test_each_feed_is_told_of_what_is_held_of_it(ear: Ear) -> None:
    ear.hold(ONE, Mode.LTP, "bus")
    ear.hold(ONE, Mode.DEPTH, "sim", Client())
    ear.hold(TWO, Mode.LTP, "sim")
    ear.look()
    looks_until_quiet(ear, ONE)
    assert ear.quiet == {
        "bus": {ONE.key: Mode.LTP.bit},
        "sim": {ONE.key: Mode.DEPTH.bit, TWO.key: Mode.LTP.bit},
    }


def test_rule_4_a_feed_that_is_new_is_told_everything(ear: Ear) -> None:
    fall_quiet(ear, Mode.LTP)
    ear.there.clear()
    ear.silence.gone("bus")
    ear.look()
    assert not ear.silence.untold(ear.there)
    ear.quiet["bus"] = {TWO.key: 1}  # what another shard of that name had said
    ear.there.add("bus")
    ear.take()
    assert ear.quiet["bus"] == {ONE.key: Mode.LTP.bit}


def test_a_new_stay_counts_anew_and_says_so(ear: Ear) -> None:
    fall_quiet(ear, Mode.LTP)
    ear.silence.reset(["bus"])
    ear.take()
    assert ear.quiet["bus"] == {}
    assert looks_until_quiet(ear, ONE) == 8


def test_thousands_are_told_500_at_a_time(ear: Ear) -> None:
    for number in range(1200):
        ear.hold(Instrument("NSE", f"S{number}"), Mode.LTP)
    for _ in range(10):
        ear.look()
    assert len(ear.quiet["bus"]) == 1200


def test_a_look_is_taken_in_pieces_and_once_at_a_time(ear: Ear) -> None:
    for number in range(250):
        ear.hold(Instrument("NSE", f"S{number}"), Mode.LTP)
    first = ear.silence.look(1.0)
    assert next(first) == 100
    assert list(ear.silence.look(2.0)) == []
    assert list(first) == [100, 50, 100, 100, 50], "and what is held no more is looked for"
    assert len(list(ear.silence.look(3.0))) == 6


def test_what_is_held_no_more_is_forgotten_in_pieces(ear: Ear) -> None:
    """Of 50,000 quiet keys it took 45 ms at a time, in which no tick went out."""
    many = [Instrument("NSE", f"S{number}") for number in range(250)]
    for one in many:
        ear.hold(one, Mode.LTP)
    for _ in range(10):
        ear.look()
    for one in many:
        ear.drop(one, Mode.LTP)
    quiet, topics = ear.silence._quiet["bus"], ear.silence._topics
    assert len(quiet) + len(topics) == 500
    look = ear.silence.look(ear.now_s)
    left = [500, *(len(quiet) + len(topics) for _ in look), len(quiet) + len(topics)]
    assert left[-1] == 0
    assert max(before - after for before, after in pairwise(left)) == 100


class Naive:
    """Keeps when each topic was held and seen to tick, and reckons from all of that."""

    def __init__(self) -> None:
        self.held: dict[tuple[Instrument, Mode], float | None] = {}
        self.seen: dict[tuple[Instrument, Mode], list[float]] = defaultdict(list)
        self.since: set[tuple[Instrument, Mode]] = set()

    def look(self, now_s: float) -> dict[bytes, int]:
        quiet: dict[bytes, int] = {}
        for topic, begun_s in list(self.held.items()):
            if begun_s is None:
                self.held[topic], self.seen[topic] = now_s, []
            elif topic in self.since:
                self.seen[topic].append(now_s)
            if now_s - (self.seen[topic] or [self.held[topic] or 0])[-1] > self.patience(topic):
                quiet[topic[0].key] = quiet.get(topic[0].key, 0) | topic[1].bit
        self.since.clear()
        return quiet

    def patience(self, topic: tuple[Instrument, Mode]) -> float:
        usual = 0.0
        for before, after in pairwise(self.seen[topic]):
            pause = max(after - before - EVERY_S / 2, EVERY_S / 2)
            if not usual:
                usual = min(pause, 10 * STALE_S)
            else:
                usual = 7 / 8 * usual + min(pause, max(4 * usual, STALE_S)) / 8
        return max(STALE_S, 10 * usual)


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    ear.hold(ONE, Mode.LTP)
    with monkeypatch.context() as patch:
        patch.setattr(ear.silence, "_look_at", lambda *_: ear.there.remove("nothing"))
        with pytest.raises(KeyError):
            ear.look()
    ear.steadily(ONE, Mode.LTP, 1, 3)
    for _ in range(10):
        ear.look()
    assert ear.modes(ONE) == Mode.LTP.bit


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hold", "drop", "tick", "tick", "value", "look", "look", "look"]),
            st.sampled_from([ONE, TWO]),
            st.sampled_from(list(Mode)),
            st.integers(1, 30),
        ),
        max_size=80,
    )
)
def test_it_hears_what_the_model_hears(
    steps: list[tuple[str, Instrument, Mode, int]],
) -> None:
    ear, naive = Ear(), Naive()
    for kind, one, mode, many in steps:
        match kind:
            case "hold":
                ear.hold(one, mode)
                naive.held.setdefault((one, mode), None)
            case "drop":
                ear.drop(one, mode)
                naive.held.pop((one, mode), None)
                ear.look()  # or it could be held again before it was seen that it was not
            case "tick":
                ear.tick(one, mode)
            case "value":
                ear.told_last_value(one, mode)
                naive.since -= {topic for topic in naive.held if topic[0] == one}
            case "look":
                for _ in range(many):
                    ear.look()
                    expected = naive.look(ear.now_s)
                    found = {key: modes for key, modes in ear.quiet["bus"].items() if modes}
                    assert found == expected
        if kind == "tick":
            naive.since |= {topic for topic in naive.held if topic[0] == one and topic[1] <= mode}
        elif kind == "drop":
            naive.look(ear.now_s)
