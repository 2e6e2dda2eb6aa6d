"""Legs, openings and questions: what each change sends, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core import codec, stream
from hub.core.legs import Legs, Send
from hub.core.model import Want
from hub.core.placement import home

SHARDS = 3
KEY = b"NSE_A"
HOME = home(KEY, SHARDS)
KEYS = {home(key, SHARDS): key for key in (b"NSE_%d" % number for number in range(20))}
"""A key for each home."""
ASKER, THIRD = (shard for shard in range(SHARDS) if shard != HOME)


def stay(shard: int) -> bytes:
    return b"stay-%d" % shard


def legs(*shards: int) -> Legs:
    found = Legs(SHARDS)
    for shard in shards or range(SHARDS):
        found.arrived(shard, stay(shard))
    assert not list(found.brief("sim")), "the feed is there, and nothing is wanted of it yet"
    return found


def tell(one: Legs, shard: int, modes: int, number: int = 1, **more: Any) -> list[Send]:
    outcome = one.tell(shard, "sim", [Want(KEY, modes)], number=number, replace=False, **more)
    return outcome.sends


def read(send: Send) -> tuple[int, bytes, dict[str, Any]]:
    """Who is sent which kind, and what its control part says."""
    return send.shard, send.parts[0], codec.decode(send.parts[-1])


def question(sends: list[Send]) -> dict[str, Any]:
    """What the home is asked in these sends."""
    (found,) = [codec.decode(parts[1]) for _, parts in sends if parts[0] == stream.QUERY]
    return found


def test_rule_2_an_opening_is_told_then_asked_for_and_both_carry_its_number() -> None:
    opened, query = tell(legs(), ASKER, 1, number=41)
    assert read(opened) == (
        ASKER, stream.OPENED, {"t": "opened", "keys": [KEY], "number": 41},
    )  # fmt: skip
    to, kind, asked = read(query)
    assert (to, kind) == (HOME, stream.QUERY)
    assert (asked["stay"], asked["number"]) == (stay(ASKER), 41)
    assert (asked["live"], asked["other"]) == ([], [KEY])


def test_rule_2_the_answer_goes_to_who_asked_with_the_number_of_its_opening() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1, number=7))
    (answer,) = one.answered(asked["stay"], asked["question"], b"batch")
    assert answer.parts[1] == b"batch"
    assert read(answer) == (
        ASKER, stream.VALUES, {"t": "values", "keys": [KEY], "number": 7},
    )  # fmt: skip


def test_rule_2_an_answer_to_an_earlier_opening_still_carries_that_one() -> None:
    one = legs()
    first = question(tell(one, ASKER, 1, number=1))
    tell(one, ASKER, 0, number=2)
    second = question(tell(one, ASKER, 1, number=3))
    late, right = (
        read(one.answered(asked["stay"], asked["question"], b"")[0])[2]["number"]
        for asked in (first, second)
    )
    assert (late, right) == (1, 3)


def test_rule_3_an_answer_counts_once_and_only_for_the_stay_that_asked() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1))
    for another in (b"another stay", b"yet another stay"):
        assert one.answered(another, asked["question"], b"") == []
    assert len(one.answered(asked["stay"], asked["question"], b"")) == 1
    assert one.answered(asked["stay"], asked["question"], b"") == []
    assert one.answered(asked["stay"], 99, b"") == []


def test_rule_3_a_home_that_is_not_there_is_answered_for_empty() -> None:
    _, answer = tell(legs(ASKER, THIRD), ASKER, 1, number=5)
    assert codec.unpack(answer.parts[1]) == []
    assert read(answer) == (
        ASKER, stream.VALUES, {"t": "values", "keys": [KEY], "number": 5},
    )  # fmt: skip


def test_rule_3_a_home_that_leaves_is_answered_for_empty_and_its_late_word_is_void() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1, number=5))
    (answer,) = one.left(HOME).sends
    assert codec.unpack(answer.parts[1]) == []
    assert read(answer)[0] == ASKER
    assert one.answered(asked["stay"], asked["question"], b"late") == []


def test_rule_3_who_asked_and_left_is_sent_nothing() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1))
    assert one.left(ASKER).sends == []
    one.arrived(ASKER, b"a new stay")
    assert one.answered(asked["stay"], asked["question"], b"") == []


@pytest.mark.parametrize("goes", range(SHARDS))
def test_rule_3_a_shard_that_leaves_ends_its_own_questions_and_none_of_the_others(
    goes: int,
) -> None:
    """A question that is forgotten leaves its clients without a first value for good."""
    one = legs()
    asked = {}
    for asker in range(SHARDS):
        for at, key in KEYS.items():
            sends = one.tell(asker, "sim", [Want(key, 1)], number=1, replace=False).sends
            asked[asker, at] = question(sends)
    ended = {(read(send)[0], *read(send)[2]["keys"]) for send in one.left(goes).sends}
    assert ended == {(asker, KEYS[goes]) for asker in range(SHARDS) if asker != goes}
    for (asker, at), query in asked.items():
        answers = one.answered(query["stay"], query["question"], b"")
        assert [read(answer)[0] for answer in answers] == (
            [asker] if len({asker, at, goes}) == SHARDS else []
        )


def test_a_shard_that_is_its_own_home_needs_nobody_to_pass_its_answer_on() -> None:
    one = legs()
    assert question(tell(one, HOME, 1))["stay"] == stay(HOME)
    assert one.left(HOME).sends == []
    assert repr(one) == "<Legs of 2 shards, 0 questions>"


def test_a_shard_that_leaves_changes_the_routes_of_all_it_wanted() -> None:
    one = legs()
    tell(one, ASKER, 1)
    assert one.left(ASKER).changed == [KEY]
    assert len(one.interest) == 0


def test_only_an_opening_asks_and_every_change_changes_routes() -> None:
    one = legs()
    outcome = one.tell(ASKER, "sim", [Want(KEY, 2)], number=1, replace=False)
    assert (outcome.changed, len(outcome.sends)) == ([KEY], 2)
    assert one.tell(ASKER, "sim", [Want(KEY, 3)], number=2, replace=False).sends, "lower: opens"
    outcome = one.tell(ASKER, "sim", [Want(KEY, 2)], number=3, replace=False)
    assert outcome == ([KEY], [])
    assert one.tell(ASKER, "sim", [], number=4, replace=True) == ([KEY], [])


def test_interest_in_account_events_opens_a_leg_and_asks_nobody() -> None:
    one = legs()
    wants = [Want(b"@orders:anita", 1)]
    outcome = one.tell(ASKER, "", wants, number=1, replace=False)
    assert outcome == ([b"@orders:anita"], [])
    assert one.interest.legs(b"@orders:anita") == {ASKER: 1}


def test_rule_4_a_key_that_a_feed_was_asked_for_already_is_live() -> None:
    one = legs()
    tell(one, THIRD, 1)
    asked = question(tell(one, ASKER, 1))
    assert (asked["live"], asked["other"]) == ([KEY], [])


def test_rule_4_what_a_feed_releases_is_forgotten_everywhere_once() -> None:
    one = legs()
    tell(one, HOME, 1)
    sends = one.released("sim", [KEY, b"NSE_UNKNOWN"])
    assert [read(send) for send in sends] == [
        (shard, stream.FORGET, {"t": "forget", "keys": [KEY]}) for shard in range(SHARDS)
    ]
    assert one.released("sim", [KEY]) == []


def test_rule_4_a_feed_that_is_gone_has_nothing_live() -> None:
    one = legs()
    tell(one, HOME, 1)
    assert len(one.feed_gone("sim")) == SHARDS
    assert one.feed_gone("sim") == []
    assert question(tell(one, ASKER, 1))["other"] == [KEY]


def test_an_answer_under_way_does_not_bring_back_what_was_forgotten() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1))
    one.released("sim", [KEY])
    batch = codec.pack([KEY + b"_LTP", b"old", b"NSE_B_LTP", b"good"])
    (answer,) = one.answered(asked["stay"], asked["question"], batch)
    assert codec.unpack(answer.parts[1]) == [b"NSE_B_LTP", b"good"]


def test_a_feed_that_comes_up_is_told_what_each_shard_wants_and_those_keys_are_live() -> None:
    one = legs()
    tell(one, ASKER, 1)
    one.feed_gone("sim")
    assert list(one.brief("sim")) == [(ASKER, [Want(KEY, 1)])]
    assert question(tell(one, THIRD, 1))["live"] == [KEY]
    assert list(one.brief("another")) == []


# Two feeds, and feeds that are not there.


def test_a_key_that_another_feed_has_is_live() -> None:
    one = legs()
    list(one.brief("bus"))
    tell(one, HOME, 1)
    outcome = one.tell(ASKER, "bus", [Want(KEY, 1)], number=1, replace=False)
    assert question(outcome.sends)["live"] == [KEY]


@pytest.mark.parametrize("end", ["released", "gone"])
def test_what_one_feed_gives_up_and_another_has_is_not_forgotten(end: str) -> None:
    one = legs()
    list(one.brief("bus"))
    tell(one, HOME, 1)
    one.tell(ASKER, "bus", [Want(KEY, 1)], number=1, replace=False)
    ends = {
        "sim": {
            "released": lambda: one.released("sim", [KEY]),
            "gone": lambda: one.feed_gone("sim"),
        },
        "bus": {
            "released": lambda: one.released("bus", [KEY]),
            "gone": lambda: one.feed_gone("bus"),
        },
    }
    assert ends["bus"][end]() == []
    assert {send.shard for send in ends["sim"][end]()} == set(range(SHARDS))


def test_a_feed_that_is_not_there_has_nothing_live() -> None:
    """It never knew the key, so it would never release it: what is hours old would count."""
    one = legs()
    one.feed_gone("sim")
    tell(one, THIRD, 1)
    tell(one, THIRD, 0, number=2)
    assert question(tell(one, ASKER, 1))["other"] == [KEY]
    assert one.feed_gone("sim") == []


def test_what_has_a_leg_is_live_though_the_feed_has_released_it_meanwhile() -> None:
    """The shard's word was under way when the feed's came; the feed is asked anew."""
    one = legs()
    tell(one, HOME, 1)
    one.released("sim", [KEY])
    assert question(tell(one, ASKER, 1))["live"] == [KEY]
