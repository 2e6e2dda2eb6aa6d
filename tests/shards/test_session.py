"""One client's conversation: replies in order, subscribes side by side, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from hub.core import topics
from hub.core.errors import KeyStoreError
from hub.core.forms import BATCH, MOST_BYTES, MSGPACK, PLAIN
from hub.core.model import Instrument, Mode, Offer, Result, Stale
from shards import protocol
from shards.desk import Desk
from shards.tickets import Client, SubscribeTicket
from tests.shards.kit import (
    ALICE,
    answer,
    bodies,
    decoded,
    instruments,
    make_settings,
    remains,
    serve,
    tick,
)
from tests.shards.talk import (
    AUTH,
    FORMS,
    A,
    B,
    C,
    Talk,
    beside,
    following,
    gist,
    holds,
    ping,
    publish,
    run,
    sub,
    taken,
    told,
    update,
)

# Who it is.


@pytest.mark.parametrize(
    "action",
    ["subscribe", "unsubscribe", "unsubscribe_all", "subscribe_orders", "unsubscribe_orders",
     "get_broker_info"],
)  # fmt: skip
def test_before_authentication_most_is_refused(action: str) -> None:
    async def main() -> None:
        talk = Talk()
        talk.say({"action": action}, ping(1), {"type": "get_supported_brokers"})
        assert talk.gist() == ["NOT_AUTHENTICATED", 1, "supported_brokers"]

    run(main)


def test_what_is_no_request_is_answered_in_its_turn() -> None:
    async def main() -> None:
        talk = Talk()
        talk.say("", "[]", b"\xff", {"action": "pong"}, ping(1))
        assert talk.gist() == [
            "INVALID_JSON", "SERVER_ERROR", "SERVER_ERROR", "INVALID_ACTION", 1,
        ]  # fmt: skip

    run(main)


def test_a_subscribe_right_behind_authenticate_waits_for_it() -> None:
    async def main() -> None:
        talk = Talk()
        talk.may_answer.clear()
        talk.say({"action": "auth", "apikey": "alice's key"}, sub(A, request_id=1), ping(2))
        await asyncio.sleep(0)
        assert talk.asked == ["alice's key"]
        assert talk.heard() == []
        talk.may_answer.set()
        await talk.work()
        assert talk.gist() == ["auth"]
        answer(talk.desk)
        assert talk.gist() == [1, 2]

    run(main)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"action": "auth"}, "AUTHENTICATION_ERROR"),
        ({"action": "auth", "api_key": "wrong"}, "AUTHENTICATION_ERROR"),
        ({"action": "auth", "api_key": ["alice's key"]}, "SERVER_ERROR"),
    ],
)
def test_a_bad_key_leaves_who_was_known_before(request_: dict[str, Any], code: str) -> None:
    async def main() -> None:
        stranger = Talk()
        stranger.say(request_, ping(1))
        await stranger.work()
        assert stranger.gist() == [code, 1]
        assert stranger.session.identity is None
        talk = await Talk().known()
        talk.say(request_, sub(A, request_id=1))
        await talk.work()
        answer(talk.desk)
        assert talk.gist() == [code, 1]
        assert talk.session.identity == ALICE

    run(main)


def test_keys_that_cannot_be_read_are_a_server_error_and_not_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        talk = Talk()
        talk.trouble = KeyStoreError("the file has gone")
        for n in (1, 2):
            talk.say({"action": "auth", "api_key": "alice's key"}, ping(n))
            await talk.work()
            assert talk.gist() == ["SERVER_ERROR", n]
        (record,) = caplog.records
        assert record.message == "API keys: the file has gone"
        talk.trouble = None
        await talk.known()
        assert talk.session.identity == ALICE

    run(main)


def test_a_user_whom_no_feed_serves_is_known_but_gets_no_ticks() -> None:
    async def main() -> None:
        talk = Talk()
        talk.say({"action": "auth", "api_key": "eve's key"})
        await talk.work()
        assert talk.gist() == ["BROKER_ERROR"]
        talk.say(sub(A), {"type": "unsubscribe_all"}, {"type": "get_broker_info"})
        assert talk.gist() == ["BROKER_ERROR"] * 3
        malformed: list[Any] = ["SBIN", ["SBIN"], 5]
        for symbols in malformed:
            talk.say({"type": "subscribe", "symbols": symbols})
            talk.say({"type": "unsubscribe", "symbols": symbols})
        assert talk.gist() == ["BROKER_ERROR"] * 6
        talk.say({"type": "subscribe_orders", "request_id": 4})
        answer(talk.desk)
        assert talk.gist() == [4]

    run(main)


def test_bad_parameters_are_told_before_a_missing_feed() -> None:
    async def main() -> None:
        talk = await Talk().known("eve's key")
        talk.say(sub(A, mode=9), sub())
        assert talk.gist() == ["INVALID_MODE", "INVALID_PARAMETERS"]

    run(main)


def test_broker_info_tells_whether_the_feed_is_up() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say({"action": "get_broker_info"})
        serve(talk.desk, "dhan")
        talk.say({"action": "get_broker_info"})
        assert [found["adapter_status"] for found in talk.heard()] == ["connected", "disconnected"]

    run(main)


# Order.


def test_replies_leave_in_the_order_of_their_requests_whatever_they_wait_for() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(
            sub(A, request_id=1),
            sub(B, mode=9),
            sub(B, request_id=2),
            sub(C, request_id=3),
            ping(4),
            {"action": "nonsense"},
            {"action": "subscribe_orders", "request_id": 5},
            {"action": "unsubscribe_all", "request_id": 6},
        )
        assert talk.heard() == []
        ((feed, _, wants),) = talk.desk.tell()
        for want in reversed(wants):
            talk.desk.take_results(feed, [Result(want.key, want.modes)])
        assert talk.gist() == [1, "INVALID_MODE", 2, 3, 4, "INVALID_ACTION"]
        answer(talk.desk)
        assert talk.gist() == [5, 6]

    run(main)


def test_a_burst_of_subscribes_becomes_one_question() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(*(sub(one, request_id=number) for number, one in enumerate(instruments(1, 2, 50))))
        assert len(talk.desk.tell()[0].wants) == 50

    run(main)


def test_an_unsubscribe_is_not_overtaken_by_a_subscribe_behind_it() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(A, request_id=1), {"type": "unsubscribe_all", "request_id": 2},
                 sub(B, request_id=3))  # fmt: skip
        answer(talk.desk)
        assert talk.gist() == [1, 2, 3]
        assert list(talk.desk.index.held(talk.session)) == [B.key]

    run(main)


def test_the_first_value_follows_its_own_reply() -> None:
    async def main() -> None:
        talk = await Talk().known()
        await beside(talk, A, B)
        talk.desk.fanout.offer([*tick(A, Mode.QUOTE, "a"), *tick(B, Mode.QUOTE, "b")])
        talk.say(sub(A, request_id=1), sub(B, request_id=2, snapshot=False), sub(B, request_id=3))
        assert talk.gist() == [1, "a", 2, 3]

    run(main)


def test_authenticate_may_switch_first_values_off() -> None:
    async def main() -> None:
        talk = await Talk().known()
        await beside(talk, A)
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, "a"))
        talk.say({"action": "auth", "api_key": "alice's key", "snapshot": False})
        await talk.work()
        talk.say(sub(A, request_id=1))
        assert talk.gist() == ["auth", 1]

    run(main)


def test_five_thousand_requests_at_once_are_answered_in_order_without_recursion() -> None:
    async def main() -> None:
        talk = Talk(make_settings(hub={"shards": 2}, websocket={"max_requests": 100_000}))
        talk.may_answer.clear()
        talk.say({"action": "auth", "api_key": "alice's key"})
        talk.say(*(ping(number) if number % 3 else sub(A, request_id=number)
                   for number in range(5000)))  # fmt: skip
        talk.may_answer.set()
        await talk.work()
        answer(talk.desk)
        assert talk.gist() == ["auth", *range(5000)]

    run(main)


@pytest.mark.parametrize("depth", [900, 970, 980, 985, 990, 995])
@pytest.mark.parametrize("shape", ['{"action": %s}', '{"action": "ping", "timestamp": %s}',
                                   '{"action": "subscribe", "mode": %s}',
                                   '{"action": "subscribe_orders", "request_id": %s}'])  # fmt: skip
def test_deeply_nested_values_get_some_answer(shape: str, depth: int) -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(shape % ("[" * depth + "]" * depth), ping(1))
        answer(talk.desk)
        assert len(talk.wire.sent) == 2

    run(main)


# Bounds.


def test_requests_that_wait_are_bounded_by_their_bytes_too() -> None:
    """1,024 requests of 1 MiB each may wait by their number: 40 MB became 969 MiB."""

    async def main() -> None:
        limits = {"max_requests": 1000, "max_waiting_bytes": 100_000}
        talk = Talk(make_settings(hub={"shards": 2}, websocket=limits))
        talk.may_answer.clear()
        talk.say({"action": "auth", "api_key": "alice's key"})
        pad, said = "x" * 9_000, 0
        while talk.wire.reading:
            talk.say({"action": "ping", "_pingId": said, "pad": pad + "x" * said})
            said += 1
        assert 10 <= said <= 12
        talk.may_answer.set()
        await talk.work()
        assert talk.wire.reading
        assert talk.gist() == ["auth", *range(said)]
        assert talk.session._waiting_bytes == 0, "each counted with its own size"

    run(main)


def test_a_request_that_waits_is_kept_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, it is thirty times as large: it is read when its turn comes and not before."""

    async def main() -> None:
        talk = await Talk().known()
        read, seen = protocol.read, []

        def counted(text: str | bytes) -> protocol.Request:
            seen.append(text)
            return read(text)

        monkeypatch.setattr(protocol, "read", counted)
        talk.say(sub(A), *(ping(number) for number in range(50)))
        assert len(seen) <= 2, "the subscribe that has no answer yet, and the next one"
        answer(talk.desk)
        assert len(seen) == 51
        assert talk.gist() == ["subscribe", *range(50)]

    run(main)


def test_subscribes_that_wait_for_answers_are_bounded_by_their_bytes() -> None:
    """They are read, and each has a row for each symbol: only so many may run side by side."""

    async def main() -> None:
        limits = {"max_waiting_bytes": 10_000}
        talk = await Talk(make_settings(hub={"shards": 2}, websocket=limits)).known()
        many = [Instrument("NSE", f"M{number}") for number in range(100)]
        for number in range(6):
            talk.say(sub(*many, mode=1 + number % 3, request_id=number))
        assert len(talk.session._tickets) == 2
        assert not talk.wire.reading
        for _ in range(6):
            answer(talk.desk)
        assert [gist for gist in talk.gist() if isinstance(gist, int)] == list(range(6))
        assert talk.wire.reading

    run(main)


def test_a_ticket_keeps_of_its_request_what_the_reply_needs() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(A, request_id=7, pad="x" * 100_000))
        (ticket,) = talk.session._tickets
        assert isinstance(ticket, SubscribeTicket)
        assert ticket.request == {"request_id": 7}

    run(main)


# Limits of a user, of all its sessions.


def two(**limits: int) -> tuple[Talk, Talk]:
    """Two clients of one hub."""
    one = Talk(make_settings(hub={"shards": 2}, websocket=limits))
    return one, Talk(one.settings, one.desk, one.guests)


def test_a_user_may_have_so_many_sessions() -> None:
    async def main() -> None:
        first, second = two(max_user_sessions=1)
        await first.known()
        second.say({"action": "auth", "api_key": "alice's key"})
        await second.work()
        (refusal,) = second.heard()
        assert refusal["code"] == "AUTHENTICATION_ERROR"
        assert "alice has 1 sessions already (websocket.max_user_sessions)" in refusal["message"]
        assert second.wire.authenticated == 0
        second.say({"action": "auth", "api_key": "bob's key"})
        await second.work()
        assert second.gist() == ["auth"]
        first.say({"action": "auth", "api_key": "alice's key"})
        await first.work()
        assert first.gist() == ["auth"], "the same session again is no other one"
        first.session.gone()
        second.say({"action": "auth", "api_key": "alice's key"})
        await second.work()
        assert second.gist() == ["auth"]

    run(main)


def test_a_user_may_hold_so_many_symbols_with_all_sessions() -> None:
    async def main() -> None:
        first, second = two(max_user_symbols=2)
        await first.known()
        await second.known()
        first.say(sub(A))
        answer(first.desk)
        second.say(sub(B, C))
        answer(first.desk)
        (reply,) = second.heard()
        assert [row["status"] for row in reply["subscriptions"]] == ["success", "error"]
        assert "alice holds 2 symbols already" in reply["subscriptions"][1]["message"]
        first.heard()
        first.say(sub(A, mode="LTP"), sub(C))
        answer(first.desk)
        assert [reply["status"] for reply in first.heard()] == ["success", "partial"]
        first.say({"action": "unsubscribe_all"})
        second.say(sub(C))
        answer(first.desk)
        assert second.heard()[-1]["status"] == "success"
        second.session.gone()
        assert second.guests.symbol_room("alice") == 2

    run(main)


def test_symbols_without_an_answer_yet_count_as_well() -> None:
    async def main() -> None:
        talk = await two(max_user_symbols=2)[0].known()
        for one in (A, B, C):
            talk.say(sub(one))
        answer(talk.desk)
        assert [reply["status"] for reply in talk.heard()] == ["success", "success", "partial"]

    run(main)


def test_who_becomes_another_user_takes_its_symbols_along() -> None:
    async def main() -> None:
        talk = await two(max_user_symbols=5)[0].known()
        talk.say(sub(A, B))
        answer(talk.desk)
        assert talk.guests.symbol_room("alice") == 3
        talk.say({"action": "auth", "api_key": "bob's key"})
        await talk.work()
        assert (talk.guests.symbol_room("alice"), talk.guests.symbol_room("bob")) == (5, 3)
        talk.session.gone()
        assert talk.guests.symbol_room("bob") == 5

    run(main)


def private(isolate: str = "broker") -> Talk:
    """A session in a hub whose only feed's ticks are not for everybody."""
    talk = Talk(make_settings(hub={"shards": 2}, upstream={"isolate": isolate}))
    talk.desk.take_feeds([Offer("desk", shared=False)], 0.0)
    return talk


def keys_of(talk: Talk) -> list[bytes]:
    return list(talk.desk.index.held(talk.session))


@pytest.mark.parametrize(
    ("isolate", "scope"),
    [("user", b"\x1falice\x1f"), ("broker", b"\x1fzerodha\x1f"), ("none", b"")],
)
def test_what_is_not_shared_is_held_in_the_scope_of_its_origin(isolate: str, scope: bytes) -> None:
    async def main() -> None:
        talk = await private(isolate).known()
        talk.say(sub(A, B, mode="LTP"))
        answer(talk.desk)
        assert keys_of(talk) == [scope + A.key, scope + B.key]
        talk.heard()
        talk.desk.fanout.offer([topics.of(scope + A.key, 1), b'{"ltp": 7}'])
        talk.desk.fanout.flush()
        (shown,) = talk.heard()
        assert Instrument(shown["exchange"], shown["symbol"]) == A
        entry = {"exchange": A.exchange, "symbol": A.symbol, "mode": 1}
        talk.say({"action": "unsubscribe", "symbols": [entry]})
        assert keys_of(talk) == [scope + B.key]
        talk.say({"action": "unsubscribe_all"})
        assert keys_of(talk) == []
        talk.session.gone()
        answer(talk.desk)
        assert remains(talk.desk) == []

    run(main)


def test_who_becomes_another_user_holds_nothing_that_only_the_first_was_entitled_to() -> None:
    async def main() -> None:
        talk = await private().known()
        talk.say(sub(A, B))
        answer(talk.desk)
        await talk.known("alice's key")
        assert len(keys_of(talk)) == 2, "it is the same user"
        await talk.known("bob's key")
        assert keys_of(talk) == []
        talk.say(sub(A))
        answer(talk.desk)
        assert keys_of(talk) == [topics.scope("dhan") + A.key]
        assert talk.guests.symbol_room("alice") == talk.settings.websocket.max_user_symbols
        talk.session.gone()
        answer(talk.desk)
        assert remains(talk.desk) == []

    run(main)


def test_a_scope_stays_when_another_feed_steps_in() -> None:
    async def main() -> None:
        talk = await private().known()
        talk.say(sub(A))
        answer(talk.desk)
        talk.desk.take_feeds([Offer("bus")], 100.0)
        talk.desk.take_feeds([Offer("bus")], 200.0)
        talk.say(sub(B), {"action": "unsubscribe", **A._asdict()})
        answer(talk.desk)
        assert keys_of(talk) == [topics.scope("zerodha") + B.key]

    run(main)


def test_it_is_misplaced_when_its_own_feed_comes_later_than_it() -> None:
    async def main() -> None:
        talk = await Talk(make_settings()).known()
        bus, broker = Offer("bus"), talk.session.identity.broker  # type: ignore[union-attr]  # known
        for now_s in (0.0, 100.0):
            talk.desk.take_feeds([bus], now_s)
        assert not talk.session.misplaced, "it holds nothing"
        talk.say(sub(A))
        answer(talk.desk)
        assert not talk.desk.take_feeds([bus], 101.0), "none has come"
        assert not talk.session.misplaced
        assert talk.desk.take_feeds([bus, Offer("its", brokers=(broker,))], 102.0)
        assert talk.session.misplaced

    run(main)


def logins() -> Talk:
    """A session in a hub whose only feed has to be told who is there."""
    talk = Talk(make_settings(hub={"shards": 2}))
    for now_s in (0.0, 100.0):  # nobody remembers the feed that was there before
        talk.desk.take_feeds([Offer("desk", shared=False, logins=True)], now_s)
    return talk


def stands(talk: Talk, error: str = "", code: str = "") -> None:
    """The feed tells how alice's login stands."""
    talk.desk.tell()
    talk.desk.take_results("desk", [Result(topics.login(*ALICE), 1, error, code=code)])


def test_authenticate_is_answered_when_the_broker_is_connected_and_all_else_behind_it() -> None:
    async def main() -> None:
        talk = logins()
        talk.say(AUTH, sub(A, request_id=1), ping(2))
        await talk.work()
        assert talk.heard() == []
        assert talk.told
        stands(talk)
        answer(talk.desk)
        assert talk.gist() == ["auth", 1, 2]
        assert talk.wire.authenticated == 1

    run(main)


def test_a_login_that_fails_is_told_with_its_code_and_the_client_may_try_again() -> None:
    async def main() -> None:
        talk = logins()
        talk.say(AUTH, {"action": "get_broker_info"})
        await talk.work()
        stands(talk, "token expired", "BROKER_CONNECTION_ERROR")
        failed, info = talk.heard()
        assert (failed["code"], failed["message"]) == ("BROKER_CONNECTION_ERROR", "token expired")
        assert info["adapter_status"] == "disconnected"
        assert talk.wire.authenticated == 1, "the key was good"
        talk.say(sub(A), {"action": "unsubscribe_all"}, {"action": "subscribe_orders"})
        answer(talk.desk, error="token expired")
        no_ticks, no_end, orders = talk.heard()
        assert {(one["code"], one["message"]) for one in (no_ticks, no_end)} == {
            ("BROKER_ERROR", "token expired")
        }
        assert orders["status"] == "success"
        talk.say(AUTH)
        await talk.work()
        stands(talk)
        talk.say(sub(A), {"action": "get_broker_info"})
        answer(talk.desk)
        auth, subscribed, info = talk.heard()
        assert [auth["status"], subscribed["status"]] == ["success", "success"]
        assert info["adapter_status"] == "connected"

    run(main)


def test_a_login_that_comes_up_later_serves_who_was_told_that_it_failed() -> None:
    async def main() -> None:
        talk = await logins().known()
        stands(talk, "token expired")
        stands(talk)
        talk.heard()
        talk.say(sub(A, request_id=1))
        answer(talk.desk)
        assert talk.gist() == [1]

    run(main)


def test_who_cannot_wait_for_the_broker_is_let_in_and_what_it_asks_waits() -> None:
    async def main() -> None:
        talk = logins()
        talk.say(AUTH, sub(A, request_id=1))
        await talk.work()
        talk.desk.expire(time.monotonic() + talk.settings.upstream.login_s)
        assert talk.gist() == ["auth"]
        answer(talk.desk)
        assert talk.gist() == [1]

    run(main)


def test_the_time_its_key_takes_is_part_of_what_a_client_waits_for_its_broker() -> None:
    async def main() -> None:
        talk = logins()
        talk.may_answer.clear()
        before_s = time.monotonic()
        talk.say(AUTH)
        asyncio.get_running_loop().call_later(0.2, talk.may_answer.set)
        await talk.work()
        assert talk.gist() == []
        talk.desk.expire(before_s + talk.settings.upstream.login_s + 0.1)
        assert talk.gist() == ["auth"]

    run(main)


def test_who_leaves_while_its_broker_connects_leaves_nothing() -> None:
    async def main() -> None:
        talk = logins()
        talk.say(AUTH, sub(A))
        await talk.work()
        talk.session.gone()
        stands(talk)
        answer(talk.desk)
        assert talk.heard() == []
        assert remains(talk.desk) == []
        assert len(talk.desk.logins) == 0

    run(main)


def test_a_user_without_a_broker_is_told_so() -> None:
    async def main() -> None:
        talk = logins()
        talk.say({"action": "auth", "api_key": "carol's key"}, {"action": "get_broker_info"})
        await talk.work()
        for error in talk.heard():
            assert error["code"] == "BROKER_ERROR"
            assert "carol is not logged in" in error["message"]
        assert len(talk.desk.logins) == 0

    run(main)


def test_without_a_limit_a_user_may_hold_what_a_connection_may() -> None:
    async def main() -> None:
        talk = await two(max_user_symbols=0)[0].known()
        talk.say(sub(A, B, C))
        answer(talk.desk)
        assert [row["status"] for row in talk.heard()[0]["subscriptions"]] == ["success"] * 3

    run(main)


def test_a_refused_key_is_counted() -> None:
    async def main() -> None:
        talk = await Talk().known("nobody's key")
        assert talk.guests.refused_keys == 1

    run(main)


@pytest.mark.parametrize("most", [1, 2, 10])
def test_reading_pauses_at_the_bound_and_goes_on_below_half_of_it(most: int) -> None:
    async def main() -> None:
        talk = Talk(make_settings(hub={"shards": 2}, websocket={"max_requests": most}))
        talk.may_answer.clear()
        talk.say({"action": "auth", "api_key": "alice's key"})
        for number in range(most):
            assert talk.wire.reading
            talk.say(ping(number))
        assert not talk.wire.reading
        talk.say(ping(most))
        talk.may_answer.set()
        await talk.work()
        assert talk.wire.reading
        assert talk.gist() == ["auth", *range(most + 1)]

    run(main)


def test_subscribes_that_wait_count_too() -> None:
    async def main() -> None:
        talk = await Talk(make_settings(hub={"shards": 2}, websocket={"max_requests": 4})).known()
        talk.say(*(sub(A, request_id=number) for number in range(4)))
        assert not talk.wire.reading
        answer(talk.desk)
        assert talk.wire.reading

    run(main)


def test_reading_goes_on_when_half_of_what_waited_has_its_answer() -> None:
    async def main() -> None:
        hub = {"shards": 2, "feeds": ["zerodha"]}
        talk = await Talk(make_settings(hub=hub, websocket={"max_requests": 4})).known()
        wanted = instruments(1, 2, 4)
        talk.say(*(sub(one) for one in wanted))
        reading = []
        for one in wanted:
            talk.desk.tell()
            talk.desk.take_results("zerodha", [Result(one.key, 2)])
            reading.append(talk.wire.reading)
        assert reading == [False, True, True, True]

    run(main)


def test_the_pong_tells_the_time_in_milliseconds() -> None:
    async def main() -> None:
        talk, before_ms = Talk(), time.time_ns() // 1_000_000
        talk.say(ping(1))
        (pong,) = talk.heard()
        assert before_ms <= pong["server_timestamp"] <= time.time_ns() // 1_000_000

    run(main)


# Order updates.


def test_updates_come_after_the_reply_and_end_with_unsubscribe_orders() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say({"action": "subscribe_orders", "request_id": 1})
        answer(talk.desk)
        talk.desk.accounts.offer([*update("alice", 2), *update("bob", 3)])
        talk.say({"action": "unsubscribe_orders", "request_id": 4})
        talk.desk.accounts.offer(update("alice", 5))
        assert talk.gist() == [1, 2, 4]

    run(main)


def test_who_would_miss_an_update_is_closed_and_nobody_else() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        talk.desk.accounts.offer([b"@orders:bob", b""])
        assert talk.wire.closed == []
        talk.desk.accounts.offer([*update("alice", 1), b"@orders:alice", b""])
        assert talk.gist() == [1]
        assert talk.wire.closed == [(1013, "order updates were lost")]

    run(main)


def test_another_user_on_the_connection_ends_the_updates_of_the_first() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        talk.say({"action": "auth", "api_key": "bob's key"})
        await talk.work()
        talk.heard()
        talk.desk.accounts.offer([*update("alice", 1), *update("bob", 2)])
        assert talk.gist() == []

    run(main)


def test_the_same_user_again_keeps_following() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        await talk.known()
        talk.desk.accounts.offer(update("alice", 1))
        assert talk.gist() == [1]

    run(main)


def test_updates_beyond_the_bound_close_and_none_is_skipped_before() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_order_updates": 2})
        talk = await following(await Talk(settings).known())
        talk.session.blocked()
        for number in range(2):
            talk.desk.accounts.offer(update("alice", number))
        assert talk.wire.closed == []
        talk.desk.accounts.offer(update("alice", 2))
        assert talk.wire.closed[0][0] == 1013
        assert talk.heard() == []
        talk.desk.accounts.offer(update("alice", 3))
        assert talk.guests.figures(0)["overrun"] == 1, "and it gets no more of them"

    run(main)


# Other forms than plain text.


async def conversation(form: int) -> list[str | bytes]:
    """One of everything that a client may be sent after it has authenticated."""
    settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
    talk, many = Talk(settings), instruments(1, 2, 1300)
    await beside(talk, *many)
    for number, one in enumerate(many):
        talk.desk.fanout.offer(tick(one, Mode.QUOTE, number))
    talk.say(AUTH | FORMS[form])
    await talk.work()
    first, *others = taken(talk)
    assert isinstance(first, str), "its reply is text still"
    assert not others
    talk.say({"action": "subscribe_orders"})
    answer(talk.desk)
    talk.say(sub(*many, request_id="large"), sub(A, mode=9), ping(2))
    while talk.session._tickets:
        talk.desk.fanout.offer([*tick(many[0], Mode.QUOTE, -1), *tick(many[1], Mode.QUOTE, -2)])
        talk.desk.fanout.flush()
        answer(talk.desk)
    talk.desk.accounts.offer([*update("alice", 3), *update("alice", 4)])
    talk.session.blocked()
    for number, one in enumerate(many):
        talk.desk.fanout.offer([*tick(one, Mode.QUOTE, 1), *tick(one, Mode.DEPTH, number)])
    talk.desk.fanout.flush()
    talk.desk.accounts.offer(update("alice", 5))
    while talk.session.unblocked(1 << 14):
        pass
    talk.say({"action": "unsubscribe_all"}, {"action": "nonsense"})
    answer(talk.desk)
    publish(talk, (A, 6))
    return taken(talk)


def test_in_any_form_a_client_is_told_what_it_would_be_in_plain_text() -> None:
    async def main() -> None:
        found = {form: await conversation(form) for form in FORMS}
        said = list(map(gist, told(found[PLAIN])))
        assert said[:4] == ["subscribe_orders", "large", -1, -2], "replies, then first values"
        assert said[-5:] == [1298, 1, 1299, "unsubscribe", "INVALID_ACTION"]
        assert {"INVALID_MODE", 2, 3, 4, 5, -1, -2} <= set(said), "nothing is missing"
        for form, all_ in found.items():
            assert told(all_) == told(found[PLAIN])
            assert {type(body) for body in all_} == {bytes if form & MSGPACK else str}
            for value in map(decoded, all_):
                if isinstance(value, list):
                    assert form & BATCH
                    assert {one["type"] for one in value} == {"market_data"}
                else:
                    assert not (form & BATCH and value.get("type") == "market_data")
            if form & BATCH:
                assert len(all_) < len(found[PLAIN]) / 10

    run(main)


def test_what_is_owed_in_batches_is_paid_in_bounded_ones_behind_the_updates() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = Talk(settings), instruments(1, 2, 3000)
        talk.say(AUTH | FORMS[BATCH])
        await talk.work()
        await following(talk)
        talk.say(*(sub(*many[start : start + 500]) for start in range(0, 3000, 500)))
        answer(talk.desk)
        taken(talk)
        talk.session.blocked()
        for one in many:
            talk.desk.fanout.offer(tick(one, Mode.QUOTE, 1))
        talk.desk.fanout.flush()
        talk.desk.accounts.offer(update("alice", 77))
        assert not talk.session.unblocked(1 << 30)
        first, *batches = taken(talk)
        assert gist(decoded(first)) == 77
        assert len(batches) == 2
        assert all(len(batch) <= MOST_BYTES for batch in batches)
        assert [one["symbol"] for one in told(batches)] == [one.symbol for one in many]
        assert not talk.session.unblocked(1 << 30)
        assert taken(talk) == [], "nothing owed is no empty batch"

    run(main)


@pytest.mark.parametrize("asked", [{"batch": "yes"}, {"encoding": "xml"}, {"encoding": []}])
def test_a_form_that_is_none_is_refused_and_nothing_is_lost(asked: dict[str, Any]) -> None:
    async def main() -> None:
        talk = Talk()
        talk.say(AUTH | asked, sub(A), ping(1))
        await talk.work()
        assert talk.gist() == ["INVALID_PARAMETERS", "NOT_AUTHENTICATED", 1]
        assert talk.asked == [], "the key is not even looked at"
        await talk.known()
        talk.say(sub(A), {"action": "auth", "api_key": "bob's key"} | asked)
        answer(talk.desk)
        await talk.work()
        publish(talk, (A, 1))
        assert talk.gist() == ["subscribe", "INVALID_PARAMETERS", 1]
        assert talk.session.identity == ALICE

    run(main)


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_a_connection_keeps_the_form_of_its_first_authenticate(first: int, second: int) -> None:
    async def main() -> None:
        talk = Talk()
        talk.say(AUTH | {"api_key": "wrong"} | FORMS[second])
        await talk.work()
        talk.say(AUTH | FORMS[first])
        await talk.work()
        refused, reply = taken(talk)
        assert isinstance(refused, str), "neither is in the form that it asks for"
        assert isinstance(reply, str)
        assert decoded(reply).get("batch", False) is bool(first & BATCH)
        in_full = {"batch": bool(second & BATCH), "encoding": ("json", "msgpack")[second // 2]}
        talk.say({"action": "auth", "api_key": "bob's key"} | in_full)
        await talk.work()
        (again,) = taken(talk)
        assert isinstance(again, bytes if first & MSGPACK else str)
        if first == second:
            assert decoded(again)["user_id"] == "bob"
            return
        assert decoded(again) == {
            "status": "error",
            "code": "INVALID_PARAMETERS",
            "message": "batch and encoding stay as the first authenticate of a connection has them",
        }
        assert talk.session.identity == ALICE
        talk.say({"action": "auth", "api_key": "bob's key"})
        await talk.work()
        (third,) = taken(talk)
        assert decoded(third)["user_id"] == "bob", "who says nothing of it keeps it"
        assert isinstance(third, bytes if first & MSGPACK else str)

    run(main)


def test_who_is_known_without_a_feed_has_its_form_from_the_error_on() -> None:
    async def main() -> None:
        talk = Talk()
        talk.say({"action": "auth", "api_key": "eve's key", "encoding": "msgpack"}, ping(1))
        await talk.work()
        error, pong = taken(talk)
        assert isinstance(error, str)
        assert decoded(error)["code"] == "BROKER_ERROR"
        assert isinstance(pong, bytes)
        assert decoded(pong)["_pingId"] == 1

    run(main)


@pytest.mark.parametrize("error", ["", "token expired"])
def test_a_form_begins_after_a_reply_that_waits_for_the_broker_too(error: str) -> None:
    async def main() -> None:
        talk = logins()
        talk.say(AUTH | FORMS[BATCH | MSGPACK] | {"conflation_info": True, "max_rate": 4}, ping(2))
        await talk.work()
        assert taken(talk) == []
        stands(talk, error)
        reply, pong = taken(talk)
        assert isinstance(reply, str)
        assert decoded(reply).get("encoding") == (None if error else "msgpack")
        assert isinstance(pong, bytes)
        talk.say(AUTH)
        await talk.work()
        stands(talk)
        (again,) = taken(talk)
        assert decoded(again)["encoding"] == "msgpack"
        assert (decoded(again)["conflation_info"], decoded(again)["max_rate"]) == (True, 4)

    run(main)


# Gone.


def test_gone_in_the_middle_of_anything_leaves_nothing() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(A, request_id=1), sub(B), sub(C, mode=7), ping(1))
        ((feed, _, wants),) = talk.desk.tell()
        talk.desk.take_results(feed, [Result(wants[1].key, wants[1].modes)])
        told = talk.told
        talk.session.gone()
        assert talk.told > told, "the end of an interest is told"
        answer(talk.desk)
        assert remains(talk.desk) == []
        assert talk.heard() == []

    run(main)


def test_gone_while_an_order_subscription_waits_leaves_nothing() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        talk.say({"action": "subscribe_orders"})
        talk.session.gone()
        answer(talk.desk)
        other = await beside(talk)
        other.say({"action": "subscribe_orders"})
        other.session.gone()
        answer(talk.desk)
        assert remains(talk.desk) == []

    run(main)


def test_gone_in_the_middle_of_authentication_leaves_nothing() -> None:
    async def main() -> None:
        talk = Talk()
        talk.may_answer.clear()
        talk.say({"action": "auth", "api_key": "alice's key"}, sub(A))
        await asyncio.sleep(0)
        talk.session.gone()
        talk.may_answer.set()
        await talk.work()
        assert remains(talk.desk) == []

    run(main)


def test_its_repr_tells_who_it_is_and_where_it_stands() -> None:
    async def main() -> None:
        talk = Talk()
        assert "unknown" in repr(talk.session)
        await talk.known()
        assert "alice" in repr(talk.session)
        assert "in step" in repr(talk.session)

    run(main)


def test_a_reply_of_many_turns_comes_before_the_first_values_and_they_before_the_ticks() -> None:
    """While a large subscribe is confirmed, ticks of its symbols come already. None may be sent
    before the reply, none may be lost, and none may follow a newer one."""

    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = await Talk(settings).known(), instruments(1, 2, 3000)
        await beside(talk, *many)
        holds(talk, C)
        watched = {one.symbol: one for one in (many[0], many[1500], many[-1], C)}
        numbers = iter(range(1, 1000))
        sent: dict[str, list[int]] = {symbol: [] for symbol in watched}

        def publish() -> None:
            for symbol, one in watched.items():
                sent[symbol].append(next(numbers))
                talk.desk.fanout.offer(tick(one, Mode.QUOTE, sent[symbol][-1]))
            talk.desk.fanout.flush()

        publish()
        talk.heard()
        talk.say(sub(*many, request_id="large"))
        heard: list[dict[str, Any]] = []
        turns = 0
        while talk.desk.busy:
            publish()
            talk.desk.tell()
            heard += talk.heard()
            turns += 1
        publish()
        heard += talk.heard()
        assert turns > 3, "it took several turns"
        at = next(n for n, found in enumerate(heard) if found.get("request_id") == "large")
        assert {found["symbol"] for found in heard[:at]} == {C.symbol}
        for symbol in watched:
            got = [gist(found) for found in heard if found.get("symbol") == symbol]
            assert got == sent[symbol][-len(got) :], "from the first value on, everything, in order"
            assert len(got) > 1

    run(main)


async def rich(many: list[Instrument], **limits: int) -> Talk:
    """A client that holds all of these."""
    settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000} | limits)
    talk = await Talk(settings).known()
    talk.say(sub(*many))
    while talk.session._tickets:
        answer(talk.desk)
    talk.heard()
    return talk


def test_what_is_asked_behind_a_large_unsubscribe_waits_for_it_a_subscribe_too() -> None:
    async def main() -> None:
        many = instruments(1, 2, 3000)
        talk = await rich(many)
        one = many[-1]
        talk.say({"type": "unsubscribe_all", "request_id": 1}, sub(one, request_id=2), ping(3),
                 {"type": "unsubscribe_all", "request_id": 4}, sub(one, C, request_id=5),
                 sub(A, request_id=6))  # fmt: skip
        assert talk.heard() == []
        turns = 0
        while talk.desk.index.held(talk.session):
            assert talk.heard() == []
            talk.desk.tell()
            turns += 1
        assert turns > 3
        heard = talk.heard()
        answer(talk.desk)
        heard += talk.heard()
        assert [gist(found) for found in heard] == [1, 2, 3, 4, 5, 6]
        assert [len(heard[place]["successful"]) for place in (0, 3)] == [3000, 1]
        assert list(talk.desk.index.held(talk.session)) == [one.key, C.key, A.key]

    run(main)


def test_no_tick_of_what_is_gone_follows_the_reply_also_to_who_is_behind() -> None:
    async def main() -> None:
        for behind in (False, True):
            many = instruments(1, 2, 3000)
            talk = await rich(many)
            if behind:
                talk.session.blocked()
            talk.say({"type": "unsubscribe_all", "request_id": "u"})
            heard, value = [], 0
            while talk.desk.busy:
                value += 1
                for one in (many[0], many[-1]):
                    talk.desk.fanout.offer(tick(one, Mode.QUOTE, value))
                talk.desk.tell()
                heard += talk.gist()
            talk.desk.fanout.flush()
            talk.session.unblocked(1 << 20)
            heard += talk.gist()
            ticks = heard[: heard.index("u")]
            assert heard[-1] == "u"
            assert ticks == ([] if behind else list(range(1, len(ticks) + 1)))
            assert behind or len(ticks) > 1, "those in between come, of what is still held"

    run(main)


@pytest.mark.parametrize("turns", range(7))
def test_a_client_that_leaves_in_any_turn_of_an_unsubscribe_is_counted_no_more(turns: int) -> None:
    async def main() -> None:
        talk = await rich(instruments(1, 2, 1800), max_user_symbols=5000)
        assert talk.guests.symbol_room("alice") == 3200
        talk.say({"type": "unsubscribe_all", "request_id": "u"}, sub(C))
        for _ in range(turns):
            talk.desk.tell()
        talk.session.gone()
        talk.heard()
        answer(talk.desk)
        assert talk.heard() == []
        assert talk.guests.symbol_room("alice") == 5000
        assert remains(talk.desk) == []

    run(main)


def test_after_a_large_unsubscribe_a_user_has_its_room_back() -> None:
    async def main() -> None:
        talk = await rich(instruments(1, 2, 1800), max_user_symbols=2000)
        talk.say({"type": "unsubscribe_all", "request_id": "u"})
        assert talk.gist() == []
        answer(talk.desk)
        assert talk.gist() == ["u"]
        assert talk.guests.symbol_room("alice") == 2000

    run(main)


@pytest.mark.parametrize("depth", [900, 970, 980, 985, 990, 995, 5000])
@pytest.mark.parametrize("place", ["symbol", "exchange", "mode"])
def test_an_entry_of_a_large_unsubscribe_that_is_nested_deeply_gets_some_answer(
    depth: int, place: str
) -> None:
    """It is read in a later turn, where nobody waits for what it raises."""

    async def main() -> None:
        many = instruments(1, 2, 1500)
        talk = await rich(many)
        entry = {"symbol": "X", "exchange": "NSE", "mode": 1} | {place: "HERE"}
        rows = [{"symbol": one.symbol, "exchange": one.exchange} for one in many]
        asked = json.dumps({"action": "unsubscribe", "symbols": [*rows, entry]})
        talk.say(asked.replace('"HERE"', "[" * depth + "]" * depth), ping(1))
        answer(talk.desk)
        assert len(talk.heard()) == 2
        assert not talk.session._tickets

    run(main)


# What a user has in the whole hub.


def test_a_client_that_held_much_is_counted_no_more_when_it_is_gone() -> None:
    """It lets go of thousands of symbols in turns. Were those counted that it has at its end, a
    user who reconnects often would be refused one day, with nothing held."""

    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(*instruments(1, 2, 3000), request_id=1))
        while talk.gist() != [1]:
            answer(talk.desk)
        room = talk.guests.symbol_room("alice")
        talk.session.gone()
        assert talk.desk.index.held(talk.session), "it takes more than this turn"
        while talk.desk.busy:
            talk.desk.tell()
        assert not talk.desk.index.held(talk.session)
        assert room is not None
        assert talk.guests.symbol_room("alice") == room + 3000

    run(main)


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize(("limit", "asked"), [(100_000, 1800), (1000, 1500)])
def test_a_client_that_leaves_in_any_turn_is_counted_no_more(
    turns: int, limit: int, asked: int
) -> None:
    async def main() -> None:
        talk = await two(max_user_symbols=limit)[0].known()
        talk.say(sub(*instruments(1, 2, asked)))
        left = turns
        while talk.desk.busy and left:
            _answer_once(talk.desk)
            left -= 1
        talk.session.gone()
        while talk.desk.busy:
            _answer_once(talk.desk)
        assert talk.guests.symbol_room("alice") == limit
        assert remains(talk.desk) == []

    def _answer_once(desk: Desk) -> None:
        for feed, number, wants in desk.tell():
            begun = [want.key for want in wants if want.modes]
            desk.snapshots.opened(begun, number, number)
            desk.snapshots.values([], begun, number)
            results = [Result(want.key, want.modes) for want in wants if want.modes]
            desk.take_results(feed, results)

    run(main)


# Keys that were revoked.


def test_a_client_whose_key_was_revoked_is_closed_and_nobody_else() -> None:
    async def main() -> None:
        alice, bob, stranger = await Talk().known(), await Talk().known("bob's key"), Talk()
        for talk in (alice, bob, stranger):
            talk.session.recheck(lambda grant: grant.key_id != "alice's key")
        assert alice.wire.closed == [(1008, "the API key was revoked")]
        assert bob.wire.closed == stranger.wire.closed == []

    run(main)


# What is stale.


def stale(*wanted: Instrument, modes: int = Mode.QUOTE.bit) -> list[Stale]:
    return [Stale(one.key, modes) for one in wanted]


async def asking(**more: object) -> Talk:
    """A client that is told what is stale."""
    talk = Talk()
    talk.say({"action": "auth", "api_key": "alice's key", "stale_info": True} | more)
    await talk.work()
    (reply,) = talk.heard()
    assert reply["stale_info"] is True
    return talk


def told_stale(talk: Talk) -> list[tuple[str, bool]]:
    """Symbols and states, where nothing else comes."""
    found = talk.heard()
    assert {one["type"] for one in found} <= {"stale"}
    return [(one["symbol"], one["stale"]) for one in found]


def test_who_asks_is_told_what_is_stale_and_who_does_not_is_not() -> None:
    async def main() -> None:
        talk = await asking()
        other = await beside(talk)
        for one in (talk, other):
            one.say(sub(A, B))
            answer(talk.desk)
            one.heard()
        talk.desk.take_stale("zerodha", stale(A), replace=False)
        assert told_stale(talk) == [(A.symbol, True)]
        talk.desk.take_stale("zerodha", stale(A, modes=0), replace=False)
        assert told_stale(talk) == [(A.symbol, False)]
        assert other.heard() == []

    run(main)


def test_of_what_becomes_stale_those_are_looked_at_who_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 1,000 who ask each of 20,000 symbols was looked up for each of them: 1.5 s of work."""

    async def main() -> None:
        talk = await asking()
        holds(talk, A)
        for symbol in (B, C):
            other = Talk(talk.settings, talk.desk, talk.guests)
            other.say({"action": "auth", "api_key": "alice's key", "stale_info": True})
            await other.work()
            holds(other, symbol)
        looked: list[bytes] = []
        owe = talk.desk.notices.owe

        def noted(client: Client, keys: Iterable[bytes]) -> bool:
            asked = list(keys)
            looked.extend(asked)
            return owe(client, asked)

        monkeypatch.setattr(talk.desk.notices, "owe", noted)
        talk.desk.take_stale("zerodha", stale(A, B), replace=False)
        assert looked == [A.key, B.key]
        assert told_stale(talk) == [(A.symbol, True)]

    run(main)


def test_what_is_stale_already_comes_behind_the_reply_and_the_first_value() -> None:
    async def main() -> None:
        talk = await asking()
        await beside(talk, A)
        publish(talk, (A, 7))
        talk.desk.take_stale("zerodha", stale(A, B), replace=False)
        talk.say(sub(A, request_id="r"), ping(1))
        answer(talk.desk)
        assert talk.gist() == ["r", 7, "stale", 1]

    run(main)


def test_what_becomes_stale_while_a_reply_is_confirmed_comes_behind_that() -> None:
    async def main() -> None:
        talk = await asking()
        holds(talk, A)
        talk.session.withhold()
        talk.desk.take_stale("zerodha", stale(A), replace=False)
        assert talk.heard() == []
        talk.say(sub(B, request_id="r"))
        answer(talk.desk)
        assert talk.gist() == ["r", "stale"]

    run(main)


def test_who_holds_many_modes_is_told_of_all_of_them() -> None:
    """Of 100 symbols in two modes 100 of 200 were told, and nothing asked for the rest."""

    async def main() -> None:
        talk = await asking()
        wanted = instruments(1, 2, 100)
        for mode in Mode:
            talk.say(sub(*wanted, mode=int(mode)))
        answer(talk.desk)
        talk.heard()
        for modes, is_stale in ((7, True), (0, False)):
            talk.desk.take_stale("zerodha", stale(*wanted, modes=modes), replace=False)
            while talk.desk.busy:
                talk.desk.tell()
            found = told_stale(talk)
            assert len(found) == 300
            assert {state for _, state in found} == {is_stale}
        assert not talk.desk.notices.owes(talk.session)

    run(main)


def test_many_stale_symbols_are_told_a_slice_in_each_turn() -> None:
    async def main() -> None:
        talk = await asking()
        wanted = instruments(1, 2, 2000)
        holds(talk, *wanted)
        talk.desk.take_stale("zerodha", stale(*wanted), replace=False)
        turns = [len(told_stale(talk))]
        while talk.desk.busy:
            talk.desk.tell()
            turns.append(len(told_stale(talk)))
        assert sum(turns) == 2000
        assert max(turns) <= 1200
        talk.desk.unsubscribe(talk.session, {}, None, "zerodha")
        answer(talk.desk)
        talk.say(sub(*wanted))
        answer(talk.desk)
        assert sum(one["type"] == "stale" for one in talk.heard()) == 2000

    run(main)


def test_who_is_behind_is_told_the_newest_state_when_it_is_in_step_again() -> None:
    async def main() -> None:
        talk = await asking()
        talk.say(sub(A, B, C))
        answer(talk.desk)
        talk.desk.take_stale("zerodha", stale(C), replace=False)
        talk.heard()
        talk.session.blocked()
        for modes in (Mode.QUOTE.bit, 0, Mode.QUOTE.bit):
            talk.desk.take_stale("zerodha", stale(A, modes=modes), replace=False)
        for modes in (Mode.QUOTE.bit, 0):
            talk.desk.take_stale("zerodha", stale(B, modes=modes), replace=False)
        talk.desk.take_stale("zerodha", stale(C, modes=0), replace=False)
        publish(talk, (A, 7))
        assert talk.heard() == []
        assert talk.session.unblocked(1) is False
        (first, *rest) = talk.heard()
        assert gist(first) == 7
        assert [(one["symbol"], one["stale"]) for one in rest] == [
            (A.symbol, True), (C.symbol, False),
        ]  # fmt: skip

    run(main)


@pytest.mark.parametrize("form", [BATCH, MSGPACK, BATCH | MSGPACK])
def test_it_is_told_in_its_form_and_never_in_a_batch(form: int) -> None:
    async def main() -> None:
        talk = Talk()
        asked = {"batch": bool(form & BATCH), "encoding": "msgpack" if form & MSGPACK else "json"}
        auth = {"action": "auth", "api_key": "alice's key", "stale_info": True}
        talk.say(auth | asked)
        await talk.work()
        talk.say(sub(A, B))
        answer(talk.desk)
        talk.wire.sent.clear()
        talk.desk.take_stale("zerodha", stale(A, B), replace=False)
        found = bodies(b"".join(talk.wire.sent))
        assert [isinstance(one, bytes) for one in found] == [bool(form & MSGPACK)] * 2
        assert [decoded(one)["symbol"] for one in found] == [A.symbol, B.symbol]

    run(main)


def test_a_later_authenticate_turns_it_on_and_off() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(A))
        answer(talk.desk)
        talk.desk.take_stale("zerodha", stale(A), replace=False)
        talk.heard()
        auth = {"action": "auth", "api_key": "alice's key"}
        for wish, expected in ((True, ["auth", "stale"]), (None, ["auth"]), (False, ["auth"])):
            talk.say(auth | {"stale_info": wish})
            await talk.work()
            assert talk.gist() == expected
        talk.desk.take_stale("zerodha", stale(A, modes=0), replace=False)
        assert talk.heard() == []
        talk.say(auth | {"stale_info": 1})
        assert talk.gist() == ["INVALID_PARAMETERS"]

    run(main)


def test_an_authenticate_that_fails_asks_for_nothing() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say({"action": "auth", "api_key": "wrong", "stale_info": True})
        await talk.work()
        assert not talk.session.options.stale_info
        assert not talk.desk.notices._askers

    run(main)


def test_who_is_gone_is_told_nothing_and_leaves_nothing() -> None:
    async def main() -> None:
        talk = await asking()
        talk.say(sub(A))
        answer(talk.desk)
        talk.session.gone()
        answer(talk.desk)
        talk.desk.take_stale("zerodha", stale(A), replace=False)
        assert not talk.desk.notices._askers

    run(main)
