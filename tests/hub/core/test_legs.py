"""Legs, openings and questions: what each change sends, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core import codec, stream, topics
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
    """What the keeper is asked in these sends."""
    (found,) = [codec.decode(parts[1]) for _, parts in sends if parts[0] == stream.QUERY]
    return found


def answer(one: Legs, asked: dict[str, Any], *pairs: bytes) -> list[Send]:
    """The keeper answers."""
    return one.answered(asked["stay"], asked["question"], codec.pack(pairs)).sends


def kept_by(shard: int) -> Legs:
    """A key that this shard has the only leg of, and keeps."""
    one = legs()
    answer(one, question(tell(one, shard, 1)))
    assert one.keepers.all_ticks(KEY) == (shard,)
    return one


def kinds(sends: list[Send]) -> list[tuple[int, bytes]]:
    return [(send.shard, send.parts[0]) for send in sends]


def test_rule_2_an_opening_is_told_then_asked_for_and_both_carry_the_question() -> None:
    opened, query = tell(legs(), ASKER, 1, number=41)
    to, kind, asked = read(query)
    assert (to, kind, asked["stay"]) == (HOME, stream.QUERY, stay(ASKER))
    assert (asked["live"], asked["other"]) == ([], [KEY])
    assert read(opened) == (
        ASKER,
        stream.OPENED,
        {"t": "opened", "keys": [KEY], "number": 41, "question": asked["question"]},
    )


@pytest.mark.parametrize("modes", [1, 4])
def test_rule_2_an_heir_that_has_just_asked_is_not_told_again(modes: int) -> None:
    assert kinds(tell(legs(), ASKER, modes)) == [(ASKER, stream.OPENED), (HOME, stream.QUERY)]


def test_rule_2_each_keeper_is_asked_for_what_it_keeps() -> None:
    one = legs()
    wants = [Want(key, 1) for key in KEYS.values()]
    sends = one.tell(ASKER, "sim", wants, number=5, replace=False).sends
    asked = {
        read(send)[0]: read(send)[2]["other"] for send in sends if send.parts[0] == stream.QUERY
    }
    assert asked == {shard: [key] for shard, key in KEYS.items()}
    opened = [read(send)[2] for send in sends if send.parts[0] == stream.OPENED]
    assert sorted(key for told in opened for key in told["keys"]) == sorted(KEYS.values())
    assert {told["number"] for told in opened} == {5}
    assert len({told["question"] for told in opened}) == SHARDS


def test_rule_2_an_heir_is_told_by_no_word_and_the_keeper_is_asked_for_it() -> None:
    one = kept_by(ASKER)
    outcome = one.tell(ASKER, "sim", [Want(KEY, 0)], number=9, replace=False)
    opened, query = outcome.sends
    to, kind, asked = read(query)
    assert (to, kind, asked["stay"]) == (ASKER, stream.QUERY, stay(HOME))
    assert (asked["live"], asked["other"]) == ([KEY], []), "the feed has it for a while yet"
    told = {"t": "opened", "keys": [KEY], "number": 0, "question": asked["question"]}
    assert read(opened) == (HOME, stream.OPENED, told)
    assert outcome.changed == [KEY]


@pytest.mark.parametrize("wanted", [True, False])
def test_rule_2_what_no_feed_has_is_live_for_an_heir_if_somebody_wants_it(wanted: bool) -> None:
    one = kept_by(ASKER)
    if wanted:
        tell(one, THIRD, 4)
    one.feed_gone("sim")
    asked = question(tell(one, ASKER, 0, number=2))
    assert (asked["live"], asked["other"]) == (([KEY], []) if wanted else ([], [KEY]))


def test_rule_3_the_answer_goes_to_who_asked_with_the_number_of_its_question() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1, number=7))
    told, ended = one.answered(asked["stay"], asked["question"], b"batch").sends
    assert told.parts[1] == b"batch"
    assert read(told) == (
        ASKER,
        stream.VALUES,
        {"t": "values", "keys": [KEY], "question": asked["question"]},
    )
    assert read(ended) == (HOME, stream.CLOSED, {"t": "closed", "keys": [KEY]})


def test_rule_3_an_answer_to_an_earlier_opening_still_carries_that_one() -> None:
    one = legs()
    first = question(tell(one, ASKER, 1, number=1))
    tell(one, ASKER, 0, number=2)
    second = question(tell(one, ASKER, 1, number=3))
    for asked in (first, second):
        assert read(answer(one, asked)[0])[2]["question"] == asked["question"]


def test_rule_3_an_answer_to_an_earlier_opening_makes_nobody_keeper() -> None:
    one = legs()
    first = question(tell(one, ASKER, 1, number=1))
    tell(one, ASKER, 0, number=2)
    second = question(tell(one, ASKER, 1, number=3))
    answer(one, first)
    assert one.keepers.of(KEY) == HOME
    answer(one, second)
    assert one.keepers.of(KEY) == ASKER


def test_rule_3_an_answer_counts_once_and_only_for_the_stay_that_asked() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1))
    for another in (b"another stay", b"yet another stay"):
        assert one.answered(another, asked["question"], b"") == ([], [])
    assert one.answered(asked["stay"], asked["question"], b"").changed == [KEY]
    assert one.answered(asked["stay"], asked["question"], b"") == ([], [])
    assert one.answered(asked["stay"], 99, b"") == ([], [])


def test_rule_3_a_keeper_that_is_not_there_is_answered_for_empty() -> None:
    opened, told = tell(legs(ASKER, THIRD), ASKER, 1, number=5)
    assert codec.unpack(told.parts[1]) == []
    number = read(opened)[2]["question"]
    assert read(told) == (
        ASKER, stream.VALUES, {"t": "values", "keys": [KEY], "question": number},
    )  # fmt: skip


def test_rule_3_a_keeper_that_leaves_is_answered_for_empty_and_its_late_word_is_void() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1, number=5))
    outcome = one.left(HOME)
    (told,) = outcome.sends
    assert codec.unpack(told.parts[1]) == []
    assert read(told)[0] == ASKER
    assert outcome.changed == [KEY], "who asked is keeper now"
    assert one.keepers.of(KEY) == ASKER
    assert one.answered(asked["stay"], asked["question"], b"late") == ([], [])


def test_rule_3_who_asked_and_left_is_sent_nothing() -> None:
    one = legs()
    asked = question(tell(one, ASKER, 1))
    assert one.left(ASKER).sends == []
    one.arrived(ASKER, b"a new stay")
    assert one.answered(asked["stay"], asked["question"], b"") == ([], [])


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
    keepers = {at: one.keepers.of(key) for at, key in KEYS.items()}
    ended = {
        (read(send)[0], *read(send)[2]["keys"])
        for send in one.left(goes).sends
        if send.parts[0] == stream.VALUES
    }
    assert ended == {
        (asker, KEYS[at])
        for asker, at in asked
        if keepers[at] == goes and asker not in {goes, keepers[at]}
    }
    for (asker, at), query in asked.items():
        answers = answer(one, query)
        told = [to for to, kind in kinds(answers) if kind == stream.VALUES]
        assert told == ([asker] if len({asker, keepers[at], goes}) == SHARDS else [])


def test_a_shard_that_keeps_what_it_asks_for_needs_nobody_to_pass_the_answer_on() -> None:
    one = legs()
    assert question(tell(one, HOME, 1))["stay"] == stay(HOME)
    assert one.left(HOME).sends == []
    assert repr(one) == "<Legs of 2 shards, 0 questions>"


def test_rule_5_who_has_no_leg_and_keeps_nothing_is_told_so_once() -> None:
    one = kept_by(ASKER)
    answer(one, question(tell(one, THIRD, 1)))
    (ended,) = tell(one, THIRD, 0, number=2)
    assert read(ended) == (THIRD, stream.CLOSED, {"t": "closed", "keys": [KEY]})
    assert tell(one, THIRD, 0, number=3) == []


def test_rule_5_a_keeper_whose_leg_has_closed_is_told_when_the_heir_has_the_answer() -> None:
    one = kept_by(ASKER)
    asked = question(tell(one, ASKER, 0, number=2))
    assert kinds(answer(one, asked)) == [(HOME, stream.VALUES), (ASKER, stream.CLOSED)]


def test_rule_5_a_keeper_that_is_followed_at_once_is_told_at_once() -> None:
    one = kept_by(ASKER)
    answer(one, question(tell(one, THIRD, 1)))
    assert kinds(tell(one, ASKER, 0, number=2)) == [(ASKER, stream.CLOSED)]
    assert one.keepers.of(KEY) == THIRD


def test_rule_5_a_leg_that_closed_before_its_answer_takes_none() -> None:
    """The answer still comes; the shard was told that the key is none of its business."""
    one = legs()
    tell(one, HOME, 1)
    asked = question(tell(one, ASKER, 1))
    assert kinds(tell(one, ASKER, 0, number=2)) == [(ASKER, stream.CLOSED)]
    assert one._questions.unsettled(KEY) == ()
    assert kinds(answer(one, asked)) == [(ASKER, stream.VALUES)]


def test_rule_5_a_shard_that_is_gone_is_told_nothing() -> None:
    one = kept_by(ASKER)
    asked = question(tell(one, THIRD, 4))
    sends = one.left(ASKER).sends
    assert kinds(sends) == [
        (THIRD, stream.VALUES), (THIRD, stream.OPENED), (THIRD, stream.VALUES),
    ]  # fmt: skip
    assert one.keepers.of(KEY) == THIRD
    assert answer(one, asked) == []


def test_a_home_that_leaves_while_it_is_heir_ends_what_the_keeper_keeps() -> None:
    one = kept_by(ASKER)
    tell(one, ASKER, 0, number=2)
    outcome = one.left(HOME)
    assert (outcome.changed, kinds(outcome.sends)) == ([KEY], [(ASKER, stream.CLOSED)])
    assert one.keepers.all_ticks(KEY) == (HOME,)


def test_keys_under_which_no_ticks_come_have_no_heirs() -> None:
    one = legs()
    login = topics.login("anita", "angel")
    for modes, number in ((1, 1), (0, 2)):
        sends = one.tell(ASKER, "sim", [Want(login, modes)], number=number, replace=False).sends
        assert stream.CLOSED not in {send.parts[0] for send in sends}
    assert one.keepers.all_ticks(login) == (home(login, SHARDS),)


def test_a_shard_that_leaves_changes_the_routes_of_all_it_wanted() -> None:
    one = legs()
    tell(one, ASKER, 1)
    assert one.left(ASKER).changed == [KEY]
    assert len(one.interest) == 0


def test_only_an_opening_asks_and_every_change_changes_routes() -> None:
    one = legs()
    tell(one, HOME, 1)
    outcome = one.tell(ASKER, "sim", [Want(KEY, 2)], number=1, replace=False)
    assert (outcome.changed, len(outcome.sends)) == ([KEY], 2)
    assert one.tell(ASKER, "sim", [Want(KEY, 3)], number=2, replace=False).sends, "lower: opens"
    outcome = one.tell(ASKER, "sim", [Want(KEY, 2)], number=3, replace=False)
    assert outcome == ([KEY], [])
    outcome = one.tell(ASKER, "sim", [], number=4, replace=True)
    assert (outcome.changed, kinds(outcome.sends)) == ([KEY], [(ASKER, stream.CLOSED)])


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
    (told, _) = answer(one, asked, KEY + b"_LTP", b"old", b"NSE_B_LTP", b"good")
    assert codec.unpack(told.parts[1]) == [b"NSE_B_LTP", b"good"]


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
