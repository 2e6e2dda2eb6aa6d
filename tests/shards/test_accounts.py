"""Order updates: exactly the followers of their user, from the reply on, in order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import forms, topics
from hub.core.errors import Malformed
from hub.core.forms import BATCH, MSGPACK, PLAIN
from hub.core.model import Want
from shards.accounts import Accounts
from shards.tickets import OrdersTicket
from tests.shards.kit import Client

ALICE, BOB = "alice", "bob_and sons"


def update(user: str, number: int) -> list[bytes]:
    return [topics.orders(user), json.dumps({"user_id": user, "n": number}).encode()]


def know(accounts: Accounts) -> list[Client]:
    """The router takes what it is told."""
    keys = [want.key for want in accounts.wants.take() if want.modes]
    return [client for client in accounts.begins(keys) if isinstance(client, Client)]


def follow(accounts: Accounts, client: Client, user: str) -> OrdersTicket:
    ticket = accounts.follow(client, {}, user, 8.0)
    know(accounts)
    assert ticket.complete
    assert ticket.confirm()
    return ticket


def numbers(client: Client) -> list[int]:
    return [found["n"] for found in client.updates()]


def test_exactly_the_followers_of_a_user_get_its_updates_in_order() -> None:
    accounts, alices, both, bobs = Accounts(), Client(), Client(), Client()
    for client, user in ((alices, ALICE), (both, ALICE), (both, BOB), (bobs, BOB)):
        follow(accounts, client, user)
    accounts.offer([*update(ALICE, 1), *update(BOB, 2), *update(ALICE, 3), *update("eve", 4)])
    assert numbers(alices) == [1, 3]
    assert numbers(both) == [1, 2, 3]
    assert numbers(bobs) == [2]


def test_a_payload_reaches_the_client_verbatim() -> None:
    accounts, client = Accounts(), Client()
    follow(accounts, client, ALICE)
    payload = b'{"type":"order_update",  "user_id": "alice"}'
    accounts.offer([topics.orders(ALICE), payload])
    assert client.events == [bytes((0x81, len(payload))) + payload]


def test_each_follower_gets_an_update_in_its_form_and_never_in_a_batch() -> None:
    accounts = Accounts()
    clients = [Client(form=form) for form in (PLAIN, BATCH, MSGPACK, BATCH | MSGPACK)]
    for client in clients:
        follow(accounts, client, ALICE)
    accounts.offer([*update(ALICE, 1), *update(ALICE, 2)])
    for client in clients:
        assert client.updates() == [{"user_id": ALICE, "n": 1}, {"user_id": ALICE, "n": 2}]


def test_an_update_that_cannot_be_written_ends_its_client_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: bytes) -> bytes:
        raise Malformed("nested too deeply")

    accounts, packed, plain = Accounts(), Client(form=MSGPACK), Client()
    for client in (packed, plain):
        follow(accounts, client, ALICE)
    monkeypatch.setattr(forms, "pack", refuse)
    accounts.offer(update(ALICE, 1))
    assert (packed.cut, packed.updates()) == (True, [])
    assert (plain.cut, numbers(plain)) == (False, [1])
    assert accounts.malformed == 1


def test_a_malformed_update_is_dropped_and_counted() -> None:
    accounts, client = Accounts(), Client()
    follow(accounts, client, ALICE)
    key = topics.orders(ALICE)
    accounts.offer([key, b"nonsense", key, b"[]", *update(ALICE, 1)])
    assert numbers(client) == [1]
    assert accounts.malformed == 2


def test_the_reply_waits_until_the_router_knows() -> None:
    accounts, client = Accounts(), Client()
    ticket = accounts.follow(client, {}, ALICE, 8.0)
    assert not ticket.complete
    accounts.offer(update(ALICE, 1))
    assert know(accounts) == [client]
    assert ticket.complete
    accounts.offer(update(ALICE, 2))
    assert numbers(client) == []
    ticket.confirm()
    accounts.offer(update(ALICE, 3))
    assert numbers(client) == [3]


def test_another_users_answer_completes_nothing() -> None:
    accounts, client = Accounts(), Client()
    ticket = accounts.follow(client, {}, ALICE, 8.0)
    assert accounts.begins([topics.orders(BOB)]) == []
    assert not ticket.complete


def test_a_router_that_is_silent_does_not_keep_the_reply_for_ever() -> None:
    accounts, client = Accounts(), Client()
    ticket = accounts.follow(client, {}, ALICE, 8.0)
    assert accounts.expire(7.9) == []
    assert accounts.expire(8.0) == [client]
    assert ticket.complete
    assert accounts.expire(9.0) == []


def test_a_reply_that_fell_due_between_two_looks_is_not_forgotten() -> None:
    accounts, client = Accounts(), Client()
    accounts.follow(client, {}, ALICE, 8.0)
    assert accounts.expire(8.5) == [client]


def test_after_a_pause_the_router_has_as_much_time_as_before() -> None:
    accounts, client = Accounts(), Client()
    accounts.follow(client, {}, ALICE, 8.0)
    accounts.paused(5.0)
    assert accounts.expire(12.9) == []
    assert accounts.expire(13.0) == [client]


def test_whoever_follows_a_known_account_is_answered_at_once() -> None:
    accounts, first, second = Accounts(), Client(), Client()
    follow(accounts, first, ALICE)
    assert accounts.follow(second, {}, ALICE, 8.0).complete
    know(accounts)
    assert accounts.wants.everything() == [Want(topics.orders(ALICE), 1)]


def test_following_twice_is_following_once() -> None:
    accounts, client = Accounts(), Client()
    follow(accounts, client, ALICE)
    follow(accounts, client, ALICE)
    accounts.offer(update(ALICE, 1))
    assert numbers(client) == [1]
    accounts.unfollow(client, ALICE)
    assert [want.modes for want in accounts.wants.take()] == [0]
    assert len(accounts.wants) == 0


def test_unfollowing_ends_the_interest_and_may_be_repeated() -> None:
    accounts, client, other = Accounts(), Client(), Client()
    follow(accounts, client, ALICE)
    follow(accounts, other, ALICE)
    accounts.unfollow(client, ALICE)
    accounts.unfollow(client, ALICE)
    accounts.unfollow(client, BOB)
    assert accounts.wants.take() == []
    accounts.offer(update(ALICE, 1))
    assert (numbers(client), numbers(other)) == ([], [1])


def test_a_cancelled_ticket_leaves_nothing() -> None:
    for answered in (False, True):
        accounts, client = Accounts(), Client()
        ticket = accounts.follow(client, {}, ALICE, 8.0)
        if answered:
            know(accounts)
        ticket.cancel()
        accounts.wants.take()
        assert len(accounts.wants) == 0
        assert know(accounts) == accounts.expire(99.0) == []


def test_a_user_whose_name_is_hard_to_write_is_still_one_user() -> None:
    accounts, client = Accounts(), Client()
    follow(accounts, client, "\ud800")
    accounts.offer([topics.orders("\ud800"), b'{"n": 1}'])
    assert numbers(client) == [1]


WHO = st.integers(0, 2)
USER = st.sampled_from([ALICE, BOB])


@given(
    st.lists(
        st.tuples(st.sampled_from(["follow", "unfollow", "leave", "update", "ask"]), WHO, USER),
        max_size=40,
    )
)
def test_histories_end_like_those_of_a_naive_list(steps: list[tuple[str, int, str]]) -> None:
    accounts, clients = Accounts(), [Client() for _ in range(3)]
    following: list[set[str]] = [set() for _ in clients]
    due: list[list[int]] = [[] for _ in clients]
    for number, (step, who, user) in enumerate(steps):
        if step == "follow":
            follow(accounts, clients[who], user)
            following[who].add(user)
        elif step == "unfollow":
            accounts.unfollow(clients[who], user)
            following[who].discard(user)
        elif step == "leave":
            accounts.leave(clients[who])
            following[who].clear()
        elif step == "ask":
            accounts.follow(clients[who], {}, user, 8.0).cancel()
        else:
            accounts.offer(update(user, number))
            for users, owed in zip(following, due, strict=True):
                owed.extend([number] if user in users else [])
        accounts.wants.take()
        wanted = {topics.orders(user) for users in following for user in users}
        assert {want.key for want in accounts.wants.everything()} == wanted
    assert [numbers(client) for client in clients] == due
    for client in clients:
        accounts.leave(client)
    accounts.wants.take()
    assert len(accounts.wants) == 0
    assert not accounts._followers
    assert not accounts._waiting
