"""Who is there, told by heartbeats alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.core.liveness import MISSED_S, Awake, Peers

NAMES = st.sampled_from(["shard-0", "shard-1", "feed-sim", "monitor"])
EPOCHS = st.integers(1, 3)


def test_rule_1_a_process_is_there_until_it_was_silent_too_long() -> None:
    peers = Peers(missed_s=3)
    peers.hello("shard-0", 1, 10.0)
    assert peers.gone(13.0) == []
    assert "shard-0" in peers
    assert [peer.name for peer in peers.gone(13.1)] == ["shard-0"]
    assert "shard-0" not in peers
    assert peers.gone(99.0) == []


def test_rule_1_a_word_of_it_keeps_it_there() -> None:
    peers = Peers(missed_s=3)
    peer, _ = peers.hello("shard-0", 1, 10.0)
    peer.heard_s = 12.0
    assert peers.gone(14.9) == []
    assert peers.gone(15.1) == [peer]


def test_rule_1_three_missed_beats_are_the_default() -> None:
    peers = Peers()
    peers.hello("monitor", 1, 0.0)
    assert peers.gone(MISSED_S) == []
    assert len(peers.gone(MISSED_S + 0.01)) == 1


def test_rule_2_a_new_epoch_replaces_the_old_process() -> None:
    peers = Peers()
    old, replaced = peers.hello("shard-0", 1, 0.0)
    assert not replaced
    new, replaced = peers.hello("shard-0", 2, 1.0)
    assert replaced
    assert new.lease != old.lease
    assert peers.get("shard-0") is new


def test_rule_2_the_same_epoch_is_the_same_stay() -> None:
    peers = Peers()
    peer, _ = peers.hello("shard-0", 1, 0.0)
    assert peers.hello("shard-0", 1, 2.0) == (peer, False)
    assert peers.gone(4.0) == []


def test_rule_3_no_two_stays_have_the_same_lease() -> None:
    peers = Peers()
    leases = []
    for epoch in (1, 2, 1):
        leases += [peers.hello(name, epoch, 0.0)[0].lease for name in ("shard-0", "monitor")]
    peers.leave("monitor")
    leases.append(peers.hello("monitor", 1, 0.0)[0].lease)
    assert all(leases)
    assert len(set(leases)) == 7


def test_a_goodbye_is_told_once() -> None:
    peers = Peers()
    peers.hello("monitor", 1, 0.0)
    assert peers.leave("monitor")
    assert not peers.leave("monitor")
    assert peers.names() == []


class History(RuleBasedStateMachine):
    """Peers against `{name: (epoch, lease, heard)}`."""

    def __init__(self) -> None:
        super().__init__()
        self.peers = Peers(missed_s=3)
        self.naive: dict[str, tuple[int, int, float]] = {}
        self.leases: set[int] = set()
        self.now = 0.0

    @rule(seconds=st.sampled_from([0.0, 1.0, 2.5, 4.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=NAMES, epoch=EPOCHS)
    def hello(self, name: str, epoch: int) -> None:
        before = self.naive.get(name)
        peer, replaced = self.peers.hello(name, epoch, self.now)
        assert replaced == (before is not None and before[0] != epoch)
        if before is not None and not replaced:
            assert peer.lease == before[1]
        else:
            assert peer.lease not in self.leases
            assert peer.lease
        self.leases.add(peer.lease)
        self.naive[name] = (epoch, peer.lease, self.now)

    @rule(name=NAMES)
    def hear(self, name: str) -> None:
        peer = self.peers.get(name)
        assert (peer is None) == (name not in self.naive)
        if peer is not None:
            peer.heard_s = self.now
            self.naive[name] = (peer.epoch, peer.lease, self.now)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        assert self.peers.leave(name) == (self.naive.pop(name, None) is not None)

    @rule()
    def look(self) -> None:
        silent = {name for name, (_, _, heard) in self.naive.items() if self.now - heard > 3}
        assert {peer.name for peer in self.peers.gone(self.now)} == silent
        for name in silent:
            del self.naive[name]

    @invariant()
    def the_same_are_there(self) -> None:
        assert sorted(self.peers.names()) == sorted(self.naive)
        for name, (epoch, lease, heard) in self.naive.items():
            peer = self.peers.get(name)
            assert peer is not None
            assert (peer.epoch, peer.lease, peer.heard_s) == (epoch, lease, heard)


TestHistory = History.TestCase


@given(NAMES)
def test_the_status_line_names_who_is_there(name: str) -> None:
    peers = Peers()
    assert repr(peers) == "<Peers none>"
    peers.hello(name, 1, 0.0)
    assert repr(peers) == f"<Peers {name}>"


def test_a_pause_counts_as_one_step_and_what_came_before_and_after_it_in_full() -> None:
    clock = Awake(step_s=1.5)
    assert clock.look(100.0) == 0
    assert clock.look(101.0) == 1
    assert clock.look(1000.0) == 2.5
    assert clock.look(1001.0) == 3.5
    assert clock.paused_s == pytest.approx(899 - 1.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_clock_of_a_process_never_runs_back_and_never_faster_than_time(
    gaps: list[float],
) -> None:
    clock, now_s = Awake(), 0.0
    before = clock.look(now_s)
    for gap in gaps:
        now_s += gap
        awake = clock.look(now_s)
        assert before <= awake <= before + gap + 1e-6
        before = awake
