"""Logins at brokers: wanted while somebody is here, awaited so long and no longer."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from hub.core import topics
from hub.core.errors import RequestError
from hub.core.model import Mode, Offer, Result
from hub.core.wants import Wants
from shards.desk import Desk
from shards.logins import Logins, LoginTicket
from tests.shards.kit import ALICE, BOB, Client, by_feed, make_settings, remains

KEY = topics.login(*ALICE)


def make(**upstream: Any) -> Desk:
    desk = Desk(make_settings(hub={"shards": 2}, upstream=upstream))
    serve(desk)
    return desk


def serve(desk: Desk, *there: str) -> None:
    desk.take_feeds([Offer(feed, shared=False, logins=True) for feed in there or ("oa",)], 0.0)


def attend(desk: Desk, client: Client, now_s: float = 0.0) -> LoginTicket:
    ticket = desk.attend(client, ALICE, now_s)
    assert ticket is not None
    return ticket


def told(desk: Desk) -> list[tuple[bytes, int]]:
    return [(want.key, want.modes) for want in by_feed(desk.tell()).get("oa", [])]


def stands(desk: Desk, error: str = "", code: str = "") -> None:
    desk.take_results("oa", [Result(KEY, Mode.LTP.bit, error, code=code)])


def test_rule_1_a_login_is_wanted_while_a_session_of_its_user_is_here() -> None:
    desk, one, two = make(), Client(), Client()
    attend(desk, one)
    (want,) = by_feed(desk.tell())["oa"]
    assert (want.key, want.exchange, want.symbol) == (KEY, ALICE.broker, ALICE.user)
    attend(desk, two)
    desk.leave(one)
    assert told(desk) == []
    desk.leave(two)
    assert told(desk) == [(KEY, 0)]
    assert remains(desk) == []
    assert len(desk.logins) == 0


def test_rule_2_the_reply_waits_until_the_login_is_up() -> None:
    desk, client = make(), Client()
    ticket = attend(desk, client)
    told(desk)
    assert not ticket.complete
    stands(desk)
    assert ticket.complete
    assert client.answers == 1
    assert json.loads(ticket.reply())["status"] == "success"
    assert attend(desk, Client()).complete, "it is up already"


def test_rule_2_who_has_waited_long_enough_is_let_in() -> None:
    desk, client = make(login_s=4.0), Client()
    ticket = attend(desk, client, now_s=10.0)
    desk.expire(13.9)
    assert not ticket.complete
    desk.paused(1.0)
    desk.expire(14.9)
    assert not ticket.complete
    desk.expire(15.0)
    assert ticket.complete
    assert client.answers == 1
    assert json.loads(ticket.reply())["status"] == "success"


def test_rule_3_a_failed_login_tells_why_until_it_is_up() -> None:
    desk, client = make(), Client()
    ticket = attend(desk, client)
    told(desk)
    stands(desk, "no token", "BROKER_CONNECTION_ERROR")
    with pytest.raises(RequestError, match="no token") as caught:
        ticket.reply()
    assert caught.value.code == "BROKER_CONNECTION_ERROR"
    assert desk.logins.problem(client) is not None
    stands(desk)
    assert desk.logins.problem(client) is None
    assert desk.connected(client, ALICE)


def test_rule_3_one_that_is_up_after_all_is_claimed_again_and_no_more() -> None:
    desk, client = make(), Client()
    attend(desk, client)
    told(desk)
    stands(desk, "it hangs")
    assert told(desk) == []
    stands(desk)
    assert told(desk) == [(KEY, Mode.LTP.bit)]
    stands(desk)
    assert told(desk) == []
    assert len(desk.logins) == 1


def test_rule_3_an_error_without_a_code_is_the_brokers() -> None:
    desk = make()
    ticket = attend(desk, Client())
    stands(desk, "no such broker")
    with pytest.raises(RequestError) as caught:
        ticket.reply()
    assert caught.value.code == "BROKER_ERROR"


@pytest.mark.parametrize("same", [True, False])
def test_rule_3_each_authenticate_has_a_failed_login_tried_again(same: bool) -> None:
    desk, client = make(), Client()
    attend(desk, client)
    told(desk)
    stands(desk, "no token")
    again = attend(desk, client if same else Client())
    assert not again.complete
    assert told(desk) == [(KEY, 1)]
    stands(desk)
    assert json.loads(again.reply())["status"] == "success"


def test_one_that_is_being_tried_is_not_asked_for_again() -> None:
    desk, client = make(), Client()
    attend(desk, client)
    assert told(desk) == [(KEY, 1)]
    attend(desk, client)
    attend(desk, Client())
    assert told(desk) == []


def test_when_the_feed_is_gone_nobody_knows_how_its_logins_stand() -> None:
    desk, client, other = make(), Client(), Client()
    attend(desk, client)
    told(desk)
    stands(desk)
    serve(desk, "another")
    assert not desk.connected(client, ALICE)
    serve(desk, "oa")
    assert not attend(desk, other).complete
    stands(desk)
    assert desk.connected(other, ALICE)


def test_of_a_feed_that_is_gone_no_failure_is_told_any_more() -> None:
    desk, client = make(), Client()
    attend(desk, client)
    stands(desk, "no token")
    serve(desk, "another")
    assert desk.logins.problem(client) is None


def test_a_feed_that_is_gone_puts_no_other_feeds_logins_in_doubt() -> None:
    wants: dict[str, Wants] = defaultdict(Wants)
    logins, alice, bob = Logins(wants.__getitem__), Client(), Client()
    logins.attend(alice, ALICE, "oa", 4.0)
    logins.attend(bob, BOB, "another", 4.0)
    for identity in (ALICE, BOB):
        logins.settle(Result(topics.login(*identity), Mode.LTP.bit))
    logins.doubt("another")
    assert logins.up(alice)
    assert not logins.up(bob)


def test_a_feed_without_logins_wants_none() -> None:
    desk, client = make(), Client()
    desk.take_feeds([Offer("bus")], 0.0)
    desk.take_feeds([Offer("bus")], 100.0)
    assert desk.attend(client, ALICE, 0.0) is None
    assert desk.connected(client, ALICE)
    assert told(desk) == []


def test_who_becomes_another_user_leaves_the_first_ones_login() -> None:
    desk, client = make(), Client()
    first = attend(desk, client)
    told(desk)
    assert desk.attend(client, BOB, 0.0) is not None
    assert dict(told(desk)) == {KEY: 0, topics.login(*BOB): 1}
    stands(desk)
    assert not first.complete, "nobody waits for it any more"


def test_who_leaves_waits_no_longer_for_a_login_that_others_wait_for() -> None:
    desk, gone, other = make(), Client(), Client()
    first, second = attend(desk, gone), attend(desk, other)
    desk.leave(gone)
    stands(desk)
    assert (first.complete, second.complete) == (False, True)
    assert (gone.answers, other.answers) == (0, 1)


def test_two_users_and_two_brokers_have_logins_of_their_own() -> None:
    keys = {topics.login(user, broker) for user in ("a", "a:b", "b") for broker in ("x", "x:a")}
    assert len(keys) == 6
