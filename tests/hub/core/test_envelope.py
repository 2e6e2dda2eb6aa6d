"""Account events between machines: as they travel, where, and which have come already."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.envelope import Envelope, Seen, decode, encode, everything, subject
from hub.core.errors import Malformed
from hub.core.orders import LOST

KEYS = st.builds(topics.orders, st.text()) | st.just(topics.INVALIDATED)


def event(
    number: int, key: bytes = b"@orders:a", machine: str = "desk1", epoch: int = 1
) -> Envelope:
    return Envelope(machine, epoch, number, key, b"{}")


@given(st.text(), st.integers(0, 2**63), st.integers(0, 2**63), KEYS, st.binary())
def test_rule_1_an_event_travels_as_it_is(
    machine: str, epoch: int, number: int, key: bytes, payload: bytes
) -> None:
    one = Envelope(machine, epoch, number, key, payload)
    assert decode(encode(one)) == one


def test_rule_1_what_everybody_lost_travels_and_has_no_content() -> None:
    one = Envelope("desk1", 1, 2, topics.ALL_ORDERS, LOST)
    assert decode(encode(one)) == one
    with pytest.raises(Malformed, match="no key of account events"):
        decode(encode(Envelope("desk1", 1, 2, topics.ALL_ORDERS, b"{}")))


@given(st.binary() | st.recursive(st.none() | st.text() | st.binary(), st.lists).map(msgpack.packb))
def test_any_bytes_are_an_event_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize("key", [b"NSE_A_LTP", b"@login:a", b"", b"@ordersX"])
def test_what_is_no_account_event_is_none(key: bytes) -> None:
    with pytest.raises(Malformed, match="no key of account events"):
        decode(encode(event(1, key)))


def test_each_event_has_a_name_of_its_own() -> None:
    events = [event(11), event(1), event(1, machine="desk2"), event(1, epoch=11)]
    assert len({one.ident for one in events}) == 4
    assert event(10, epoch=255).ident == "desk1.ff.10"


def test_the_subject_tells_the_user_and_is_below_everything() -> None:
    assert everything("hub") == "hub.events.>"
    assert subject("hub", topics.INVALIDATED) == "hub.events.invalidate"
    assert subject("hub", topics.ALL_ORDERS) == "hub.events.lost"
    assert subject("hub", topics.orders("alice")) == "hub.events.orders.alice"


@given(st.text(), st.text())
@example("x" * 10_000, "x" * 10_001)
def test_each_user_has_a_subject_of_one_part_of_its_own(one: str, other: str) -> None:
    subjects = [subject("hub", topics.orders(user)) for user in (one, other)]
    assert (subjects[0] == subjects[1]) == (one == other)
    for found in subjects:
        assert found.startswith("hub.events.orders.")
        assert len(found.split(".")) == 4
        assert found[-1] != "."
        assert not set(found) & set(" \t\r\n*>")
        assert len(found) < 1000, "a longer one ends the connection"


def test_rule_2_of_a_key_what_is_not_above_what_has_come_has_come() -> None:
    seen = Seen()
    told = [seen.is_new(event(number)) for number in (1, 2, 2, 1, 5, 4, 6)]
    assert told == [True, True, False, False, True, False, True]


def test_rule_2_keys_machines_and_their_lives_have_sequences_of_their_own() -> None:
    seen = Seen()
    events = [event(5), event(4, b"@orders:b"), event(3, machine="desk2"), event(2, epoch=2)]
    assert [seen.is_new(one) for one in (*events, *events)] == [True] * 4 + [False] * 4


def test_of_how_many_keys_it_is_known_is_bounded_and_the_stalest_goes() -> None:
    seen = Seen(2)
    for number, key in ((1, b"a"), (2, b"b"), (3, b"a"), (4, b"c")):
        assert seen.is_new(event(number, key))
    assert not seen.is_new(event(3, b"a"))
    assert seen.is_new(event(2, b"b")), "forgotten"
    assert repr(seen) == "<Seen 2 keys>"
