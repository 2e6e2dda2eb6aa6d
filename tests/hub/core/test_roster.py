"""Who is there, told by hellos and heartbeats alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.core import codec, stream
from hub.core.codec import Message
from hub.core.errors import Malformed
from hub.core.liveness import MISSED_S
from hub.core.model import Offer
from hub.core.names import FEED, SHARD
from hub.core.roster import Roster

NAMES = st.sampled_from(["shard-0", "shard-1", "feed-sim", "monitor"])
EPOCHS = st.integers(1, 3)
OFFER = Offer("", brokers=("angel",), users=("anita",), symbols=1000, shared=False)


def hello(epoch: int = 1, **more: Any) -> Message:
    """A hello as it comes off the wire."""
    message = {"t": "hello", "epoch": epoch, "offer": OFFER, "version": stream.VERSION} | more
    return codec.decode(codec.encode(message))


def roster(missed_s: float = MISSED_S) -> Roster:
    found = Roster(7, missed_s)
    found.silent(0.0)
    return found


def silent_at(roster: Roster, until_s: int) -> list[tuple[int, str]]:
    """Ask once a second up to then: who was found silent, and when."""
    return [(second, name) for second in range(1, until_s + 1) for name in roster.silent(second)]


def test_rule_1_a_process_is_there_until_it_has_missed_three_beats() -> None:
    one = roster()
    one.hello("shard-0", hello(), 0.0)
    assert silent_at(one, 10) == [(4, "shard-0")]
    assert "shard-0" not in one


def test_rule_1_a_word_of_it_keeps_it_there() -> None:
    one = roster()
    peer = one.hello("shard-0", hello(), 0.0).peer
    assert one.silent(1.0) == one.silent(2.0) == []
    assert one.heard("shard-0", peer.lease, 2.5)
    assert one.silent(3.0) == one.silent(4.0) == one.silent(5.0) == []
    assert one.silent(6.0) == ["shard-0"]


def test_rule_2_a_new_epoch_replaces_the_old_process() -> None:
    one = roster()
    old = one.hello("shard-0", hello(1), 0.0)
    assert (old.fresh, old.replaced) == (True, False)
    new = one.hello("shard-0", hello(2), 1.0)
    assert (new.fresh, new.replaced) == (False, True)
    assert not one.heard("shard-0", old.peer.lease, 1.0)
    assert one.heard("shard-0", new.peer.lease, 1.0)


def test_rule_2_the_same_epoch_is_the_same_stay() -> None:
    one = roster()
    first = one.hello("shard-0", hello(), 0.0)
    again = one.hello("shard-0", hello(), 1.0)
    assert again.peer is first.peer
    assert (again.fresh, again.replaced) == (False, False)


def test_rule_3_no_two_stays_have_the_same_lease_or_token() -> None:
    one = roster()
    peers = [
        one.hello(name, hello(epoch), 0.0).peer
        for epoch in (1, 2, 1)
        for name in ("shard-0", "monitor")
    ]
    one.leave("monitor")
    peers.append(one.hello("monitor", hello(), 0.0).peer)
    assert all(peer.lease for peer in peers)
    assert len({peer.lease for peer in peers}) == 7
    other = Roster(8)
    other.hello("shard-0", hello(), 0.0)
    other.hello("monitor", hello(), 0.0)
    assert len({hub.token(name) for hub in (one, other) for name in ("shard-0", "monitor")}) == 4


def test_rule_3_a_lease_of_nobody_is_not_heard() -> None:
    one = roster()
    assert not one.heard("shard-0", 1, 0.0)
    one.hello("shard-0", hello(), 0.0)
    assert not one.heard("shard-0", None, 0.0)


def test_rule_4_after_a_pause_of_its_own_nobody_is_judged_before_his_beats_were_read() -> None:
    one = roster()
    peer = one.hello("shard-0", hello(), 0.0).peer
    one.hello("shard-1", hello(), 0.0)
    assert one.silent(1.0) == one.silent(2.0) == []
    assert one.silent(60.0) == [], "58 s of silence were the router's own"
    assert one.heard("shard-0", peer.lease, 60.1)
    assert one.silent(61.0) == ["shard-1"], "who does not speak then is gone"
    assert one.silent(62.0) == one.silent(63.0) == []
    assert "shard-0" in one


def test_rule_4_a_pause_that_a_message_found_first_counts_as_well() -> None:
    one = roster()
    peers = [one.hello(name, hello(), 0.0).peer for name in ("shard-0", "shard-1")]
    assert one.silent(1.0) == one.silent(2.0) == []
    assert one.heard("shard-0", peers[0].lease, 60.0)
    assert one.silent(60.1) == []
    assert one.heard("shard-1", peers[1].lease, 60.2)
    assert one.silent(61.0) == []


def test_rule_4_a_router_that_is_always_late_still_finds_who_is_dead() -> None:
    one = roster()
    one.hello("shard-0", hello(), 0.0)
    found = [name for second in range(2, 20, 2) for name in one.silent(second)]
    assert found == ["shard-0"]


@pytest.mark.parametrize("version", [1, stream.VERSION + 1, "2"])
def test_rule_5_another_version_is_refused_by_name(version: object) -> None:
    refusal = roster().refusal("shard-3", hello(version=version))
    assert "shard-3" in refusal
    assert f"version {version} " in refusal
    assert f"version {stream.VERSION};" in refusal


def test_rule_5_a_hello_without_a_version_is_of_the_first_one() -> None:
    message = hello()
    del message["version"]
    assert "version 1 " in roster().refusal("monitor", message)
    assert roster().refusal("monitor", hello()) == ""


def test_a_feed_announces_what_it_is_under_the_name_of_its_process() -> None:
    one = roster()
    one.hello("feed-angel-2", hello(), 0.0)
    one.hello("shard-0", hello(), 0.0)
    assert one.offers() == [OFFER._replace(feed="angel-2")]
    one.hello("feed-angel-2", hello(offer=OFFER._replace(symbols=5)), 0.0)
    assert [offer.symbols for offer in one.offers()] == [5], "it may change its mind"
    one.leave("feed-angel-2")
    assert one.offers() == []


@pytest.mark.parametrize("offer", [None, 5, [], ["sim", "brokers"], ["sim", [5]]])
def test_a_feed_whose_offer_cannot_be_read_is_not_there(offer: object) -> None:
    one = roster()
    with pytest.raises(Malformed):
        one.hello("feed-sim", hello(offer=offer), 0.0)
    assert one.names() == []


def test_a_goodbye_is_told_once() -> None:
    one = roster()
    one.hello("monitor", hello(), 0.0)
    assert one.leave("monitor")
    assert not one.leave("monitor")
    assert one.names() == []


def test_names_can_be_had_by_role() -> None:
    one = roster()
    for name in ("shard-0", "feed-sim", "monitor", "shard-1"):
        one.hello(name, hello(), 0.0)
    assert one.names(SHARD) == ["shard-0", "shard-1"]
    assert one.names(FEED) == ["feed-sim"]
    assert len(one.names()) == 4


class History(RuleBasedStateMachine):
    """Roster against `{name: (epoch, lease, heard)}`, in a router that is never paused."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = roster()
        self.naive: dict[str, tuple[int, int, float]] = {}
        self.leases: set[int] = set()
        self.now = 0.0

    @rule(name=NAMES, epoch=EPOCHS)
    def hello(self, name: str, epoch: int) -> None:
        before = self.naive.get(name)
        peer, fresh, replaced = self.roster.hello(name, hello(epoch), self.now)
        assert fresh == (before is None)
        assert replaced == (before is not None and before[0] != epoch)
        if before is not None and not replaced:
            assert peer.lease == before[1]
        else:
            assert peer.lease not in self.leases
            assert peer.lease
        self.leases.add(peer.lease)
        self.naive[name] = (epoch, peer.lease, self.now)

    @rule(name=NAMES, right=st.booleans())
    def hear(self, name: str, *, right: bool) -> None:
        known = self.naive.get(name)
        lease = known[1] if known and right else 0
        assert self.roster.heard(name, lease, self.now) == (known is not None and right)
        if known and right:
            self.naive[name] = (*known[:2], self.now)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        assert self.roster.leave(name) == (self.naive.pop(name, None) is not None)

    @rule()
    def a_second_passes(self) -> None:
        self.now += 1
        silent = {name for name, (_, _, heard) in self.naive.items() if self.now - heard > MISSED_S}
        assert set(self.roster.silent(self.now)) == silent
        for name in silent:
            del self.naive[name]

    @invariant()
    def the_same_are_there(self) -> None:
        assert sorted(self.roster.names()) == sorted(self.naive)
        assert [offer.feed for offer in self.roster.offers()] == [
            name.removeprefix(FEED) for name in self.naive if name.startswith(FEED)
        ]


TestHistory = History.TestCase


@given(NAMES)
def test_the_status_line_names_who_is_there(name: str) -> None:
    one = roster()
    assert repr(one) == "<Roster none>"
    one.hello(name, hello(), 0.0)
    assert repr(one) == f"<Roster {name}>"
