"""What machines tell each other survives its way, nonsense does not, no hole stays hidden."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import cluster, codec
from hub.core.cluster import (
    Announced,
    Beat,
    Bye,
    Hello,
    Holes,
    Interest,
    Lease,
    Leased,
    Renew,
    Results,
    Taken,
    Values,
    Welcome,
    Who,
)
from hub.core.errors import Malformed
from hub.core.model import Offer, Result, Want

NAMES = st.text(min_size=1, max_size=8)
NUMBERS = st.integers(0, 1 << 63)
KEYS = st.binary(min_size=1, max_size=12)
WANTS = st.builds(Want, KEYS, st.integers(0, 7), st.integers(0, 200), NAMES, NAMES)
RESULTS = st.builds(Result, KEYS, st.integers(0, 7), st.text(max_size=9), st.integers(0, 200))
ASKS = st.one_of(
    st.builds(Hello, NAMES, NUMBERS),
    st.builds(Renew, NUMBERS),
    st.builds(Values, NUMBERS),
    st.builds(Bye, NUMBERS),
    st.builds(
        Interest,
        NUMBERS,
        NAMES,
        st.lists(WANTS, max_size=3).map(tuple),
        st.booleans(),
        st.booleans(),
    ),
)
TOLD = st.one_of(
    st.builds(Welcome, NUMBERS, st.integers(0, 99), NUMBERS),
    st.builds(Taken, NUMBERS),
    st.builds(Who, NUMBERS),
    st.builds(Results, NAMES, NAMES, st.lists(RESULTS, max_size=3).map(tuple)),
)
OFFERS = st.tuples(NAMES, st.lists(NAMES).map(tuple)).map(lambda one: Offer(*one))
LEASES = st.none() | st.builds(
    Lease,
    state=st.sampled_from([cluster.ACTIVE, cluster.STANDBY]),
    holder=NAMES,
    revision=NUMBERS,
)
BEATS = st.builds(
    Beat,
    machine=NAMES,
    role=st.sampled_from([cluster.INGEST, cluster.EDGE]),
    epoch=NUMBERS,
    stay=NAMES,
    feeds=st.lists(
        st.builds(
            Announced,
            name=st.integers(0, 9).map("sim@{} ".format),
            offer=OFFERS,
            life=NUMBERS,
            lease=LEASES,
        ),
        max_size=2,
    ).map(tuple),
    leases=st.lists(
        st.builds(
            Leased,
            edge=NAMES,
            keys=st.integers(0, 9),
            left_s=st.floats(0, 5),
        ),
        max_size=2,
    ).map(tuple),
    figures=st.dictionaries(NAMES, st.floats(0, 1e9), max_size=2),
)


@given(ASKS)
def test_what_an_edge_asks_arrives_as_it_was(asked: cluster.Ask) -> None:
    assert cluster.ask(cluster.encode(asked)) == asked


@given(TOLD)
def test_what_an_ingest_tells_arrives_as_it_was(told: cluster.Told) -> None:
    assert cluster.told(cluster.encode(told)) == told


@given(BEATS)
def test_a_beat_arrives_as_it_was(beat: Beat) -> None:
    assert cluster.beat(cluster.encode(beat)) == beat


@given(
    st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=7), inner),
        ).map(msgspec.msgpack.encode),
        st.tuples(st.one_of(ASKS, TOLD, BEATS).map(cluster.encode), st.integers(0, 60)).map(
            lambda cut: cut[0][: cut[1]]
        ),
    )
)
def test_of_nonsense_nothing_but_malformed_comes(data: bytes) -> None:
    for read in (cluster.ask, cluster.told, cluster.beat, cluster.ticks):
        try:
            read(data)
        except Malformed as error:
            assert str(error)


@pytest.mark.parametrize(
    "asked",
    [
        Interest(1, "", ()),
        Interest(1, "sim", (Want(b"NSE_A", 8),)),
        Interest(1, "sim", (Want(b"NSE_A", -1),)),
    ],
)
def test_no_edge_wants_account_events_of_a_feed_or_modes_there_are_not(asked: Interest) -> None:
    with pytest.raises(Malformed):
        cluster.ask(cluster.encode(asked))


@given(st.integers(0, (1 << 63) - 1), NUMBERS, st.booleans(), st.binary(min_size=1, max_size=9))
def test_ticks_arrive_with_their_numbers(
    number: int, before: int, again: bool, batch: bytes
) -> None:
    head = cluster.head(number, before, again=again)
    assert cluster.ticks(head + batch) == (number, before, again, batch)
    with pytest.raises(Malformed):
        cluster.ticks(head)


@pytest.mark.parametrize("ticks", [0, 1, 7, 8, 40_000])
def test_a_batch_says_how_many_ticks_it_holds(ticks: int) -> None:
    assert cluster.count(codec.pack([b"NSE_A_LTP", b"{}"] * ticks)) == ticks


@pytest.mark.parametrize("batch", [b"\x00", b"\xdc", b"\xdd\x00", b"{}"])
def test_what_is_no_batch_counts_for_nothing(batch: bytes) -> None:
    assert cluster.count(batch) == 0


def test_all_machines_call_a_feed_by_where_it_is() -> None:
    assert cluster.name_of("angel", "desk1") == "angel@desk1"


# Holes: an uplink by hand numbers what it sends; some of it is lost, some comes late.

SUBJECTS = ("a", "b", "c")


class Way:
    """An uplink's numbers, and what of it an edge has been shown in the end: what arrived, or what
    came before values that were asked for after a hole."""

    def __init__(self) -> None:
        self.newest = 0
        self.sent: dict[str, int] = {}
        self.holes = Holes()
        self.lost: set[int] = set()
        self.made_up = 0

    def send(self, subject: str) -> tuple[str, int, int]:
        before, self.newest = self.sent.get(subject, 0), self.newest + 1
        self.sent[subject] = self.newest
        return subject, self.newest, before

    def take(self, message: tuple[str, int, int]) -> None:
        found = self.holes.found
        if not self.holes.take(*message) and message[1] > self.made_up:
            self.lost.add(message[1])
        if self.holes.found > found:
            self.resync()

    def resync(self) -> None:
        """As Upstream does: doubt, ask, begin with the number that the values come behind."""
        self.holes.doubt()
        self.begin()

    def begin(self) -> None:
        found = self.holes.found
        self.holes.begin(self.newest)
        self.lost.clear()
        self.made_up = self.newest
        assert self.holes.found == found, "nothing after the newest can be missing"


STEPS = st.lists(
    st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(["go", "lose", "delay", "resync"])),
    max_size=40,
)


@given(STEPS)
def test_every_hole_is_found_and_no_false_one(steps: list[tuple[str, str]]) -> None:
    way = Way()
    way.holes.begin(0)
    delayed: list[tuple[str, int, int]] = []
    for subject, what in steps:
        message = way.send(subject)
        if what == "lose":
            way.lost.add(message[1])
        elif what == "delay":
            delayed.append(message)
        else:
            if what == "resync":
                way.resync()
            missing, found = set(way.lost), way.holes.found
            out = {number for _, number, _ in delayed}
            way.take(message)
            if way.holes.found > found:
                assert missing | out, "a hole, and nothing is missing"
            for late in delayed:
                way.take(late)
            delayed.clear()
    for subject in way.sent:  # the marks behind the newest
        way.take(way.send(subject))
    assert not way.lost, "something is missing of which nobody knows"


def test_what_is_lost_between_the_answer_and_its_reading_is_found_too() -> None:
    holes = Holes()
    holes.begin(0)
    assert holes.take("a", 1, 0)
    holes.doubt()
    # Taken(1) is under way; 2 is lost behind it, 3 arrives before the answer is looked at.
    assert holes.take("a", 3, 2)
    assert holes.found == 0
    holes.begin(1)
    assert holes.found == 1


def test_what_was_lost_before_the_answer_is_made_up_for() -> None:
    holes = Holes()
    holes.begin(0)
    holes.doubt()
    assert holes.take("a", 3, 2)
    holes.begin(2)
    assert holes.take("a", 4, 3)
    assert holes.found == 0
    assert "0 found" in repr(holes)


def test_what_comes_late_is_not_used_and_was_missed() -> None:
    holes = Holes()
    holes.begin(0)
    assert holes.take("b", 2, 0)
    assert not holes.take("a", 1, 0)
    assert (holes.found, holes.late) == (0, 1)
    assert holes.take("a", 3, 1)
    assert holes.found == 1


def test_a_version_is_in_each_beat() -> None:
    told: Any = msgspec.msgpack.decode(
        cluster.encode(Beat(machine="a", role=cluster.EDGE, epoch=1))
    )
    assert told["version"] == cluster.VERSION
