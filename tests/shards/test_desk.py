"""Between clients and the router: wanted is what is held or awaited, and nothing is left."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hub.core.errors import RequestError
from hub.core.hot import Line
from hub.core.model import Identity, Instrument, Mode, Result, Want
from shards import protocol
from shards.desk import Desk
from shards.protocol import Drop
from shards.slices import Slices
from shards.tickets import SubscribeTicket, UnsubscribeTicket
from shards.wanted import ACCOUNTS
from tests.shards.kit import (
    ALICE,
    BOB,
    Client,
    answer,
    by_feed,
    instruments,
    make_settings,
    remains,
    serve,
    subscription,
    tick,
)

LTP, QUOTE, DEPTH = Mode
HERE, THERE = instruments(0, 2, 1)[0], instruments(1, 2, 1)[0]
A, B, C = instruments(1, 2, 3)


def make(**sections: dict[str, Any]) -> Desk:
    hub = {"shards": 2, "feeds": ["zerodha", "dhan"]} | sections.pop("hub", {})
    settings = make_settings(hub=hub, **sections)
    desk = Desk(settings)
    serve(desk, *settings.hub.feeds)
    return desk


def ask(
    desk: Desk,
    client: Client,
    mode: object,
    *wanted: Instrument,
    identity: Identity = ALICE,
    now_s: float = 0.0,
    **more: object,
) -> SubscribeTicket:
    request = subscription(mode, *wanted, **more)
    return desk.subscribe(
        client, request, identity, protocol.subscribe(request, snapshot=True), now_s
    )


def hold(desk: Desk, client: Client, mode: object, *wanted: Instrument, **more: Any) -> list[Line]:
    ticket = ask(desk, client, mode, *wanted, **more)
    answer(desk)
    assert ticket.complete
    before = len(client.lines)
    assert ticket.confirm()
    return client.lines[before:]


def drop(desk: Desk, client: Client, *drops: Drop) -> dict[str, Any]:
    """An unsubscribe of a few symbols, which is done at once, and its reply."""
    return reply_of(desk.unsubscribe(client, {}, drops, "zerodha"))


def drop_all(desk: Desk, client: Client) -> dict[str, Any]:
    """The same of everything."""
    return reply_of(desk.unsubscribe(client, {}, None, "zerodha"))


def reply_of(ticket: UnsubscribeTicket) -> dict[str, Any]:
    assert ticket.complete
    assert ticket.confirm()
    reply: dict[str, Any] = json.loads(ticket.reply())
    return reply


def named(rows: list[dict[str, Any]]) -> list[Instrument]:
    return [Instrument(row["exchange"], row["symbol"]) for row in rows]


def problems(ticket: SubscribeTicket) -> list[str]:
    return [row.problem for row in ticket.rows]


def wants(desk: Desk) -> dict[str, list[Want]]:
    return by_feed(desk.tell())


# Subscribing.


def test_a_client_gets_ticks_from_its_reply_on() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, "Quote", A)
    assert not ticket.complete
    assert wants(desk) == {"zerodha": [Want(A.key, 2, 5, A.exchange, A.symbol)]}
    desk.fanout.offer(tick(A, QUOTE, 1))
    desk.take_results("zerodha", [Result(A.key, 2)])
    assert client.answers == 1
    assert ticket.complete
    desk.fanout.offer(tick(A, QUOTE, 2))
    desk.fanout.flush()
    assert client.got() == []
    ticket.confirm()
    desk.fanout.offer(tick(A, QUOTE, 3))
    desk.fanout.flush()
    assert [data["ltp"] for _, _, data in client.got()] == [3]


def test_many_symbols_are_told_at_once_and_answered_one_by_one() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, 1, A, B, C, depth=20)
    ((_, _, told),) = desk.tell()
    assert [(want.key, want.modes, want.depth) for want in told] == [
        (one.key, 1, 20) for one in (A, B, C)
    ]
    desk.take_results("zerodha", [Result(B.key, 1, "no such symbol")])
    desk.take_results("zerodha", [Result(A.key, 1, depth=10)])
    assert not ticket.complete
    desk.take_results("zerodha", [Result(C.key, 1)])
    assert ticket.complete
    assert problems(ticket) == ["", "no such symbol", ""]
    assert [row.depth for row in ticket.rows] == [10, 20, 20]
    ticket.confirm()
    assert list(desk.index.held(client)) == [A.key, C.key]


def test_an_answer_for_other_modes_feeds_or_keys_answers_nothing() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, "Depth", A)
    desk.tell()
    for feed, result in (
        ("zerodha", Result(A.key, 3)),
        ("zerodha", Result(B.key, 4)),
        ("dhan", Result(A.key, 4)),
        ("nobody", Result(A.key, 4)),
    ):
        desk.take_results(feed, [result])
    assert not ticket.complete
    assert client.answers == 0


def test_what_is_held_already_is_a_no_op_success() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    ticket = ask(desk, client, 1, A)
    assert ticket.complete
    assert ticket.confirm()
    assert not client.sent
    assert wants(desk) == {}
    drop(desk, client, Drop(A, LTP))
    assert wants(desk)["zerodha"][0].modes == 0


def test_one_symbol_named_twice_is_held_once() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A, A)
    drop(desk, client, Drop(A, LTP))
    answer(desk)
    desk.leave(client)
    assert remains(desk) == []


def test_two_clients_of_a_key_are_one_want() -> None:
    desk, first, second = make(), Client(), Client()
    one, two = ask(desk, first, 1, A), ask(desk, second, 1, A)
    assert len(wants(desk)["zerodha"]) == 1
    desk.take_results("zerodha", [Result(A.key, 1)])
    assert one.complete
    assert two.complete
    one.confirm()
    two.confirm()
    desk.leave(first)
    assert wants(desk) == {}
    desk.leave(second)
    assert wants(desk)["zerodha"] == [Want(A.key, 0, 5, A.exchange, A.symbol)]


def test_whoever_comes_to_a_confirmed_key_is_answered_at_once() -> None:
    desk, first, second = make(), Client(), Client()
    hold(desk, first, 1, A)
    ticket = ask(desk, second, 1, A)
    assert ticket.complete
    assert wants(desk) == {}


def test_a_key_is_there_once_however_many_hold_it() -> None:
    desk, clients = make(), [Client(), Client(), Client()]
    for client in clients:
        hold(desk, client, "LTP", A)
    (first,), *others = (list(desk.index.held(client)) for client in clients)
    assert all(key is first for (key,) in others)


def test_a_refused_symbol_may_be_asked_for_again() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, 1, A)
    answer(desk, error="not now")
    assert problems(ticket) == ["not now"]
    ticket.confirm()
    answer(desk)
    assert remains(desk) == []
    hold(desk, client, 1, A)
    assert desk.index.modes(client, A.key) == LTP.bit


def test_a_name_that_cannot_be_used_is_asked_of_nobody() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, 1, Instrument("@", "x"), Instrument("NSE", "\ud800"))
    assert ticket.complete
    assert all(problems(ticket))
    ticket.confirm()
    assert wants(desk) == {}
    assert remains(desk) == []


@pytest.mark.parametrize(
    ("feeds", "broker", "feed"),
    [
        (["zerodha", "dhan"], "dhan", "dhan"),
        (["bus"], "dhan", "bus"),
        (["bus", "dhan"], "dhan", "dhan"),
        (["bus", "dhan"], "upstox", "bus"),
        (["sim"], "dhan", ""),
    ],
)
def test_a_broker_is_served_by_its_own_feed_else_by_the_bus(
    feeds: list[str], broker: str, feed: str
) -> None:
    assert make(hub={"feeds": feeds}).feeds.of(Identity("anita", broker)) == feed


def test_symbols_behind_one_that_is_held_or_bad_are_subscribed_all_the_same() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    ticket = ask(desk, client, 1, A, Instrument("NSE", "@\n"), B)
    (told,) = wants(desk).values()
    assert [want.key for want in told] == [B.key]
    assert [bool(problem) for problem in problems(ticket)] == [False, True, False]


def test_symbols_that_are_held_already_take_none_of_the_room_for_new_ones() -> None:
    desk, client = make(websocket={"max_symbols": 2}), Client()
    hold(desk, client, 1, A)
    ticket = ask(desk, client, 2, A, B, C)
    assert [bool(problem) for problem in problems(ticket)] == [False, False, True]
    assert desk.refused_symbols == 1


def test_after_a_pause_of_the_process_a_feed_has_its_time_all_the_same() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, 1, A)
    orders = desk.accounts.follow(client, {}, "alice", desk.deadline(0.0))
    desk.tell()
    desk.paused(60.0)
    desk.expire(67.9)
    assert not ticket.complete
    assert not orders.complete
    desk.expire(68.0)
    assert ticket.complete
    assert orders.complete


def test_a_desk_is_busy_until_everything_is_told_and_done() -> None:
    desk, client = make(), Client()
    assert not desk.busy
    ask(desk, client, 1, *instruments(1, 2, 3000))
    turns = 0
    while desk.busy:
        desk.tell()
        turns += 1
    assert turns > 1
    assert desk.tell() == []
    assert len(desk.wanted) == 3000


def test_a_connection_holds_so_many_symbols_and_no_more() -> None:
    desk, client, other = make(websocket={"max_symbols": 2}), Client(), Client()
    ticket = ask(desk, client, 1, A, B, C)
    assert [bool(problem) for problem in problems(ticket)] == [False, False, True]
    waiting = ask(desk, client, 1, C)
    assert all(problems(waiting)), "what is on its way counts"
    assert not any(problems(ask(desk, other, 1, C)))
    answer(desk)
    ticket.confirm()
    hold(desk, client, 3, A)  # another mode is not another symbol
    assert desk.index.modes(client, A.key) == LTP.bit | DEPTH.bit
    assert all(problems(ask(desk, client, 1, C)))
    drop(desk, client, Drop(B, None))
    assert not any(problems(ask(desk, client, 1, C)))


# First values.


def test_the_first_value_follows_the_reply_unless_nobody_asked_for_it() -> None:
    desk, first, second, third = make(), Client(), Client(), Client()
    hold(desk, first, 2, A)
    desk.fanout.offer(tick(A, QUOTE, 1))
    (line,) = hold(desk, second, 2, A)
    assert line.payload == b'{"ltp": 1}'
    assert hold(desk, third, 2, A, snapshot=False) == []


def test_the_first_value_of_a_new_key_comes_with_the_keepers_answer() -> None:
    desk, client = make(), Client()
    ticket = ask(desk, client, 2, HERE)
    (word,) = desk.tell()
    desk.take_results("zerodha", [Result(HERE.key, 2)])
    assert ticket.confirm()
    assert not client.sent
    desk.snapshots.opened([HERE.key], word.number, 5)
    desk.snapshots.values(tick(HERE, QUOTE, 7), [HERE.key], 5)
    assert [data["ltp"] for _, _, data in client.got()] == [7]


# Unsubscribing.


def test_what_is_dropped_and_what_was_not_held_are_both_named() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    bad = Drop(C, None, "mode 9 is not one")
    reply = drop(desk, client, Drop(A, LTP), Drop(B, QUOTE), bad)
    assert named(reply["successful"]) == [A, B]
    assert named(reply["failed"]) == [C]
    assert reply["failed"][0]["status"] == "error"
    assert not desk.index.held(client)


@pytest.mark.parametrize(
    ("held", "mode", "left"),
    [
        ((1, 2, 3), None, 1 | 4),  # Quote is meant when nothing is said
        ((1, 3), None, 0),  # and all there is when Quote is not held
        ((1, 2, 3), LTP, 2 | 4),
        ((1, 3), QUOTE, 1 | 4),
        ((2,), DEPTH, 2),
    ],
)
def test_an_unsubscribe_drops_the_mode_it_names(
    held: tuple[int, ...], mode: Mode | None, left: int
) -> None:
    desk, client = make(), Client()
    for one in held:
        hold(desk, client, one, A)
    drop(desk, client, Drop(A, mode))
    assert desk.index.modes(client, A.key) == left


def test_unsubscribe_all_names_every_mode_of_every_symbol() -> None:
    desk, client, other = make(), Client(), Client()
    hold(desk, client, 1, A, B)
    hold(desk, client, 3, A)
    hold(desk, other, 1, A)
    reply = drop_all(desk, client)
    assert named(reply["successful"]) == [A, A, B]
    assert reply["failed"] == []
    assert desk.index.modes(other, A.key) == LTP.bit
    assert drop_all(desk, client)["successful"] == []


def test_a_tick_before_an_unsubscribe_is_delivered_and_none_after() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    desk.fanout.offer(tick(A, LTP, 1))
    drop_all(desk, client)
    assert [data["ltp"] for _, _, data in client.got()] == [1]
    desk.fanout.offer(tick(A, LTP, 2))
    desk.fanout.flush()
    assert client.got() == []


def test_a_tick_before_a_reply_is_sent_before_it() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    ticket = ask(desk, client, 2, A)
    answer(desk)
    desk.fanout.offer(tick(A, QUOTE, 1))
    assert ticket.confirm()
    assert [(tag, data["ltp"]) for _, tag, data in client.got()] == [(1, 1), (2, 1)]


def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    desk, client, other = make(), Client(), Client()
    hold(desk, client, 1, A)
    hold(desk, other, 1, A)
    desk.fanout.offer(tick(A, LTP, 1))
    desk.leave(client)
    assert len(client.got()) == len(other.got()) == 1
    desk.fanout.offer(tick(A, LTP, 2))
    desk.fanout.flush()
    assert client.got() == []


def test_a_name_nobody_can_hold_is_unsubscribed_in_peace() -> None:
    desk, client = make(), Client()
    odd = Instrument("NSE", "\ud800")
    assert named(drop(desk, client, Drop(odd, None))["successful"]) == [odd]


def test_a_name_that_is_nested_without_end_disturbs_nobody() -> None:
    desk, client = make(), Client()
    nested: Any = []
    for _ in range(10_000):
        nested = [nested]
    hold(desk, client, 1, A)
    with pytest.raises(RequestError):
        drop(desk, client, Drop(Instrument("NSE", nested), None), Drop(A, LTP))
    assert not desk.index.held(client)


# Leaving.


def test_a_client_that_goes_before_its_reply_leaves_nothing() -> None:
    for answered in (False, True):
        desk, client = make(), Client()
        ticket = ask(desk, client, 1, A, B)
        if answered:
            answer(desk)
        ticket.cancel()
        desk.leave(client)
        answer(desk)
        assert remains(desk) == []


def test_a_late_answer_for_somebody_who_has_gone_harms_nobody() -> None:
    desk, client = make(), Client()
    ask(desk, client, 1, A).cancel()
    desk.leave(client)
    desk.take_results("zerodha", [Result(A.key, 1)])
    answer(desk)
    assert client.answers == 0
    assert remains(desk) == []


def test_whoever_changes_to_another_brokers_user_still_leaves_nothing() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    hold(desk, client, 2, A, B, identity=BOB)
    drop(desk, client, Drop(A, QUOTE))
    answer(desk)
    assert desk.index.modes(client, A.key) == LTP.bit
    desk.leave(client)
    answer(desk)
    assert remains(desk) == []


def test_what_nobody_wants_is_kept_until_the_router_says_that_another_keeps_it() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, HERE, THERE)
    desk.fanout.offer([*tick(HERE, LTP, 1), *tick(THERE, LTP, 1)])
    desk.leave(client)
    desk.tell()
    desk.fanout.offer(tick(HERE, QUOTE, 2))
    assert len(desk.latest.lines) == 3
    desk.snapshots.closed([HERE.key])
    assert [line.key for line in desk.latest.lines.values()] == [THERE.key]


# A feed that does not answer, or is not there.


def test_a_feed_that_is_silent_is_named_in_the_error() -> None:
    desk, client = make(upstream={"answer_s": 4.0}), Client()
    ticket = ask(desk, client, 1, A, B, now_s=10.0)
    desk.tell()
    desk.take_results("zerodha", [Result(A.key, 1)])
    desk.expire(10.2)
    desk.expire(13.9)
    assert not ticket.complete
    desk.expire(14.0)
    assert ticket.complete
    assert client.answers == 1
    assert problems(ticket) == ["", "feed zerodha did not answer within 4 s"]
    ticket.confirm()
    assert list(desk.index.held(client)) == [A.key]
    assert wants(desk)["zerodha"] == [Want(B.key, 0, 5, B.exchange, B.symbol)]


def test_while_answers_come_in_the_others_are_waited_for() -> None:
    """A broker that takes 50 symbols in a message has thousands of them after some time."""
    desk, client = make(upstream={"answer_s": 4.0}), Client()
    ticket = ask(desk, client, 1, A, B, C, now_s=10.0)
    desk.tell()
    desk.take_results("zerodha", [Result(A.key, 1)])
    desk.expire(13.8)
    desk.expire(14.7)
    assert not ticket.complete
    desk.take_results("zerodha", [Result(B.key, 1)])
    desk.expire(14.9)
    desk.expire(15.8)
    assert not ticket.complete
    desk.expire(15.9)
    assert problems(ticket) == ["", "", "feed zerodha did not answer within 4 s"]


def test_an_interest_in_orders_is_not_refused_for_a_silent_router() -> None:
    desk, client = make(), Client()
    ticket = desk.accounts.follow(client, {}, "alice", desk.deadline(0.0))
    desk.expire(7.9)
    assert not ticket.complete
    desk.expire(8.0)
    assert ticket.complete
    assert client.answers == 1


def test_a_feed_that_has_gone_has_nothing_confirmed() -> None:
    desk, first, second = make(), Client(), Client()
    hold(desk, first, 1, A)
    hold(desk, first, 1, B, identity=BOB)
    serve(desk, "dhan")
    assert "zerodha" not in desk.feeds
    assert not ask(desk, second, 1, A).complete
    assert ask(desk, second, 1, B, identity=BOB).complete
    assert desk.index.held(first), "clients keep what they hold"


# Telling.


def test_account_interest_is_told_under_a_name_of_its_own() -> None:
    desk, client = make(), Client()
    ticket = desk.accounts.follow(client, {}, "alice", 8.0)
    ((feed, number, told),) = desk.tell()
    assert (feed, told) == (ACCOUNTS, [Want(b"@orders:alice", 1)])
    desk.take_followed([b"@orders:alice"], number)
    assert ticket.complete
    assert client.answers == 1


def test_an_answer_to_an_earlier_interest_in_an_account_is_none_to_a_later_one() -> None:
    """Of the events between the two some are still on their way, and some went to nobody."""
    desk, before, after = make(), Client(), Client()
    numbers = []
    for client in (before, after):
        ticket = desk.accounts.follow(client, {}, "alice", 8.0)
        numbers += [number for _, number, told in desk.tell() for want in told if want.modes]
        if client is before:
            ticket.cancel()
            desk.tell()
    desk.take_followed([b"@orders:alice"], numbers[0])
    assert not ticket.complete
    desk.take_followed([b"@orders:alice"], numbers[1])
    assert ticket.complete
    assert desk.accounts.follow(before, {}, "alice", 8.0).complete, "it is known now"
    assert not desk.wanted._asked


def test_only_differences_are_told_but_a_new_router_is_told_all() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A)
    hold(desk, client, 3, B, identity=BOB)
    ticket = desk.accounts.follow(client, {}, "alice", 8.0)
    desk.tell()
    ticket.confirm()
    assert wants(desk) == {}
    told = by_feed(desk.wanted.tell_all())
    assert {feed: [(want.key, want.modes) for want in rows] for feed, rows in told.items()} == {
        "zerodha": [(A.key, 1)], "dhan": [(B.key, 4)], ACCOUNTS: [(b"@orders:alice", 1)],
    }  # fmt: skip
    assert wants(desk) == {}


def test_telling_all_forgets_what_has_ended_since() -> None:
    desk, client = make(), Client()
    ask(desk, client, 1, A).cancel()
    hold(desk, client, 1, B)
    desk.fanout.offer(tick(B, LTP, 1))
    desk.leave(client)
    desk.snapshots.reset()
    desk.wanted.tell_all()
    assert remains(desk) == []
    assert not desk.latest.lines


def test_each_feed_counts_its_symbols() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, A, B)
    hold(desk, client, 2, A)
    hold(desk, client, 1, C, identity=BOB)
    assert len(desk.wanted) == 3
    assert "3 keys" in repr(desk)


def test_ticks_that_came_unasked_are_marked_with_their_time() -> None:
    desk = make()
    desk.fanout.offer(tick(THERE, LTP, 1))
    desk.fanout.keep([*tick(HERE, LTP, 1), b"bad", b"{}"], 5.0)
    seen = {line.key: line.seen_s for line in desk.latest.lines.values()}
    assert seen == {HERE.key: 5.0, THERE.key: 0.0}


# Random histories.

WHO = st.integers(0, 2)
MODE = st.sampled_from(Mode)
KEYS = (HERE, A, B, C)
KEY = st.sampled_from(KEYS)


class Histories(RuleBasedStateMachine):
    """Three clients, two feeds; the model knows who holds and who awaits what."""

    @initialize()
    def begin(self) -> None:
        self.desk = make(websocket={"max_symbols": 3})
        self.clients = [Client(str(number)) for number in range(3)]
        self.identities = [ALICE, ALICE, BOB]
        self.tickets: list[list[SubscribeTicket]] = [[] for _ in self.clients]
        self.held: list[set[tuple[bytes, Mode]]] = [set() for _ in self.clients]
        self.unanswered: list[tuple[str, Want]] = []
        self.now_s = 0.0
        self.ticks = 0

    @rule(who=WHO, mode=MODE, wanted=st.lists(KEY, max_size=4), snapshot=st.booleans())
    def subscribe(self, who: int, mode: Mode, wanted: list[Instrument], snapshot: bool) -> None:
        if not wanted:
            return
        ticket = ask(
            self.desk, self.clients[who], int(mode), *wanted,
            identity=self.identities[who], now_s=self.now_s, snapshot=snapshot,
        )  # fmt: skip
        self.tickets[who].append(ticket)
        self.reply()

    @rule()
    def tell(self) -> None:
        self.unanswered += [(feed, want) for feed, _, rows in self.desk.tell() for want in rows]

    @rule()
    def tell_all(self) -> None:
        self.unanswered = [
            (feed, want) for feed, _, rows in self.desk.wanted.tell_all() for want in rows
        ]

    @precondition(lambda self: self.unanswered)
    @rule(data=st.data(), good=st.booleans())
    def feed_answers(self, data: st.DataObject, good: bool) -> None:
        place = data.draw(st.integers(0, len(self.unanswered) - 1))
        feed, want = self.unanswered.pop(place)
        if want.modes:
            self.desk.snapshots.opened([want.key], self.desk.wanted._words, place)
            self.desk.snapshots.values([], [want.key], place)
            result = Result(want.key, want.modes, "" if good else "no")
            self.desk.take_results(feed, [result])
            self.reply()

    @rule(seconds=st.sampled_from([1.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.desk.expire(self.now_s)
        self.reply()

    @rule(who=WHO, instrument=KEY, mode=st.none() | MODE)
    def unsubscribe(self, who: int, instrument: Instrument, mode: Mode | None) -> None:
        if self.tickets[who]:
            return  # a session waits for its replies
        drop(self.desk, self.clients[who], Drop(instrument, mode))
        of_key = {pair for pair in self.held[who] if pair[0] == instrument.key}
        if mode is None:
            mode = QUOTE if (instrument.key, QUOTE) in of_key else None
        self.held[who] -= {pair for pair in of_key if mode is None or pair[1] is mode}

    @rule(who=WHO)
    def unsubscribe_all(self, who: int) -> None:
        if not self.tickets[who]:
            drop_all(self.desk, self.clients[who])
            self.held[who].clear()

    @rule(who=WHO)
    def leave(self, who: int) -> None:
        for ticket in self.tickets[who]:
            ticket.cancel()
        self.tickets[who].clear()
        self.desk.leave(self.clients[who])
        self.held[who].clear()
        self.clients[who] = Client(f"{who} again")

    @rule(who=WHO)
    def becomes_another_user(self, who: int) -> None:
        if not self.tickets[who]:
            self.identities[who] = BOB if self.identities[who] is ALICE else ALICE

    @rule(feeds=st.sets(st.sampled_from(["zerodha", "dhan"])))
    def feeds_come_and_go(self, feeds: set[str]) -> None:
        serve(self.desk, *feeds)

    @rule(instrument=KEY, mode=MODE)
    def tick(self, instrument: Instrument, mode: Mode) -> None:
        if instrument is not HERE and instrument.key not in self.desk.wanted._legs:
            return  # the router sends nothing that it was not asked for
        self.ticks += 1
        self.desk.fanout.flush()
        for client in self.clients:
            client.sent.clear()
        self.desk.fanout.offer(tick(instrument, mode, self.ticks))
        self.desk.fanout.flush()
        for client, held in zip(self.clients, self.held, strict=True):
            tags = [one for key, one in held if key == instrument.key and one <= mode]
            due = [(instrument.symbol, max(tags), {"ltp": self.ticks})] if tags else []
            assert client.got() == due

    def reply(self) -> None:
        """As sessions do: replies in their order, as soon as they are complete."""
        for who, tickets in enumerate(self.tickets):
            while tickets and tickets[0].complete:
                ticket = tickets.pop(0)
                ticket.confirm()
                self.held[who] |= {(row.key, ticket.mode) for row in ticket.rows if not row.problem}

    @invariant()
    def the_index_knows_who_holds_what(self) -> None:
        for client, held in zip(self.clients, self.held, strict=True):
            found = self.desk.index.held(client)
            assert {
                (key, mode) for key, variant in found.items() for mode in Mode
                if variant.modes & mode.bit
            } == held  # fmt: skip
            assert len(found) <= 3

    @invariant()
    def what_is_wanted_is_what_is_held_or_awaited(self) -> None:
        expected = Counter(pair for held in self.held for pair in held)
        expected += Counter(
            (row.key, ticket.mode)
            for tickets in self.tickets
            for ticket in tickets
            for row in ticket.rows
            if row.wanted
        )
        found: Counter[tuple[bytes, Mode]] = Counter()
        for feed_wants in self.desk.wanted._feeds.values():
            for key, record in feed_wants._records.items():
                for mode in Mode:
                    assert record.counts[mode - 1] >= 0
                    found[key, mode] += record.counts[mode - 1]
        assert +found == expected

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        for who in range(3):
            self.leave(who)
        self.desk.tell()
        assert remains(self.desk) == []
        self.desk.snapshots.closed([one.key for one in KEYS])
        assert not self.desk.latest.lines


Histories.TestCase.settings = hypothesis_settings(max_examples=40, stateful_step_count=40)
TestHistories = Histories.TestCase


# Many, and much.


def opcodes(run: Callable[[], object]) -> int:
    """How many steps the interpreter takes; the time it takes depends on the machine."""
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return steps


def storm(clients: int) -> tuple[Desk, list[SubscribeTicket]]:
    """Everybody has come back at once and waits for the same symbols."""
    desk = make()
    desk.slices = Slices(10**9)
    return desk, [ask(desk, Client(), 1, A, B, C) for _ in range(clients)]


def settle_storm(clients: int, how: str) -> int:
    desk, tickets = storm(clients)
    told = desk.tell()

    def run() -> None:
        if how == "answered":
            for feed, _, found in told:
                desk.take_results(feed, [Result(want.key, want.modes) for want in found])
        elif how == "late":
            desk.expire(1e9)
        else:
            for ticket in tickets:
                ticket.cancel()

    steps = opcodes(run)
    assert not desk._waiting
    return steps


@pytest.mark.parametrize("how", ["answered", "late", "gone"])
def test_a_storm_of_clients_that_wait_for_the_same_costs_each_of_them_the_same(how: str) -> None:
    """Searching a row among all that wait made 400 clients with 500 symbols block the loop for
    more than a second."""
    few, many = settle_storm(50, how), settle_storm(200, how)
    assert many < 5 * few


def turns(desk: Desk) -> Iterator[dict[str, list[Want]]]:
    """Turn after turn, until nothing is left."""
    while desk.busy:
        yield wants(desk)


def test_a_large_subscribe_is_entered_told_and_confirmed_in_bounded_turns() -> None:
    """Tens of thousands of rows in one turn keep all other clients of the shard waiting."""
    desk, client, other = make(websocket={"max_symbols": 9000}), Client(), Client()
    many = instruments(1, 2, 8000)
    ticket = ask(desk, client, 1, *many)
    told: list[Want] = []
    longest = 0
    while len(told) < len(many):
        entered = len(ticket.rows)
        now = wants(desk).get("zerodha", [])
        told += now
        longest = max(longest, len(now), len(ticket.rows) - entered)
        small = ask(desk, other, 1, many[0])
        assert small.rows, "what is small is entered at once"
        small.cancel()
    assert len(told) == 8000
    assert longest <= 1000
    results = [Result(want.key, want.modes) for want in told]
    desk.take_results("zerodha", results)
    while not ticket.complete:
        before = ticket.missing
        wants(desk)
        assert before - ticket.missing <= 1000
    assert not ticket.confirm(), "the client is told when"
    assert not ticket.confirm(), "asking again changes nothing"
    answers = client.answers
    held = 0
    while client.answers == answers:
        wants(desk)
        now_held = len(desk.index.held(client))
        assert now_held - held <= 2000
        held = now_held
    assert ticket.confirm()
    assert held == 8000
    desk.leave(client)
    while desk.slices:
        wants(desk)
    wants(desk)


def holder(desk: Desk, many: list[Instrument], *modes: int) -> Client:
    """A client that holds all of these, however many turns that takes."""
    client = Client()
    for mode in modes:
        ticket = ask(desk, client, mode, *many)
        while not (ticket.complete and ticket.confirm()):
            answer(desk)
    answer(desk)
    return client


@pytest.mark.parametrize("all_", [True, False])
def test_a_large_unsubscribe_is_done_and_told_in_bounded_turns(all_: bool) -> None:
    """Dropping 50,000 symbols in one turn kept all other clients waiting for half a second."""
    desk, many = make(websocket={"max_symbols": 9000}), instruments(1, 2, 4000)
    client, other = holder(desk, many, 1, 2), holder(desk, many[:1], 1)
    drops = [Drop(one, mode) for one in many for mode in (LTP, QUOTE)]
    ticket = desk.unsubscribe(client, {}, None if all_ else iter(drops), "zerodha")
    assert not ticket.complete
    answers, left = client.answers, len(many)
    while not ticket.complete:
        assert client.answers == answers, "the client is told at the end"
        now_left = len(desk.index.held(client))
        assert left - now_left <= 600
        left = now_left
        desk.fanout.offer(tick(many[-1], QUOTE, 1))
        desk.fanout.flush()
        assert bool(client.got()) == bool(desk.index.modes(client, many[-1].key))
        assert sum(len(word.wants) for word in desk.tell()) <= 500
        drop(desk, other, Drop(many[0], LTP))  # what is small is done at once
    assert client.answers == answers + 1
    assert not desk.index.held(client)
    reply = reply_of(ticket)
    assert named(reply["successful"]) == [one.instrument for one in drops]
    desk.leave(other)
    desk.leave(client)
    answer(desk)
    assert remains(desk) == []


@pytest.mark.parametrize("after", range(9))
def test_a_client_that_goes_in_the_midst_of_a_large_unsubscribe_leaves_nothing(after: int) -> None:
    desk = make(websocket={"max_symbols": 9000})
    client = holder(desk, instruments(1, 2, 3000), 1)
    ticket = desk.unsubscribe(client, {}, None, "zerodha")
    answers = client.answers
    for _ in range(after):
        desk.tell()
    told, written = client.answers, len(ticket._dropped)
    assert told == answers + ticket.complete
    ticket.cancel()
    desk.leave(client)
    answer(desk)
    assert remains(desk) == []
    assert len(ticket._dropped) == written, "nothing more is done for it"
    assert client.answers == told, "one that has gone is told nothing"


def test_an_unsubscribe_in_the_midst_of_first_values_leaves_none_of_them_awaited() -> None:
    desk = make(websocket={"max_symbols": 9000})
    client, many = Client(), instruments(1, 2, 2000)
    ticket = ask(desk, client, 1, *many)
    while not (ticket.complete and ticket.confirm()):
        answer(desk, open_=False)
    assert desk.snapshots._awaiting
    desk.unsubscribe(client, {}, None, "zerodha")
    answer(desk)
    assert not desk.index.held(client)
    desk.leave(client)
    answer(desk)
    assert remains(desk) == []


@pytest.mark.parametrize("after", range(0, 30, 3))
def test_a_client_that_goes_in_the_midst_of_a_large_subscribe_leaves_nothing(after: int) -> None:
    desk, client = make(websocket={"max_symbols": 9000}), Client()
    ticket = ask(desk, client, 1, *instruments(1, 2, 5000))
    for _ in range(after):
        for feed, _, found in desk.tell():
            results = [Result(want.key, want.modes) for want in found if want.modes]
            desk.take_results(feed, results)
        if ticket.complete and ticket.confirm():
            break
    ticket.cancel()
    desk.leave(client)
    while desk.busy:
        answer(desk)
    assert remains(desk) == []


def test_the_limit_of_a_connection_holds_for_subscribes_that_are_entered_in_turns() -> None:
    desk, client = make(websocket={"max_symbols": 3000}), Client()
    many = instruments(1, 2, 4000)
    tickets = [ask(desk, client, 1, *many[:2500]), ask(desk, client, 1, *many[1500:])]
    for _ in turns(desk):
        pass
    refused = [row for ticket in tickets for row in ticket.rows if row.problem]
    assert len(refused) == 2000
    assert all("holds 3000 symbols" in row.problem for row in refused)


# Topics made ready before their first tick.


def routes(desk: Desk) -> dict[tuple[bytes, int], int]:
    """How many kinds of frames the ticks of each topic become that is ready."""
    lines = desk.latest.lines.values()
    return {(line.key, line.mode): len(line.routes) for line in lines if line.routes is not None}


def test_the_way_of_a_topic_is_ready_before_its_first_tick() -> None:
    """At the opening bell the first ticks of all symbols come at once."""
    desk, client = make(), Client()
    hold(desk, client, "Quote", HERE, THERE)
    assert desk.busy
    answer(desk)
    assert not desk.busy
    assert routes(desk) == {(HERE.key, QUOTE): 1, (THERE.key, QUOTE): 1}
    desk.fanout.offer(tick(THERE, QUOTE, 1))
    desk.fanout.flush()
    assert client.got() == [(THERE.symbol, 2, {"ltp": 1})]


def test_topics_are_made_ready_a_few_in_a_turn_and_after_all_else() -> None:
    desk, client = make(), Client()
    many = instruments(1, 2, 250)
    hold(desk, client, 1, *many)
    turns = 0
    while desk.busy:
        desk.tell()
        turns += 1
        assert len(routes(desk)) <= 100 * turns
    assert len(routes(desk)) == 250
    assert turns == 3


def test_what_was_let_go_before_its_turn_is_not_made_ready() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, HERE, THERE)
    desk.leave(client)
    answer(desk)
    assert not desk.latest.lines


def test_a_topic_made_ready_for_nothing_is_forgotten() -> None:
    desk, client = make(), Client()
    hold(desk, client, 1, HERE, THERE)
    answer(desk)
    assert len(desk.latest.lines) == 2
    desk.leave(client)
    answer(desk)
    assert not desk.latest.lines


def test_whoever_comes_later_is_sent_the_ticks_of_a_topic_that_is_ready() -> None:
    desk, early, late = make(), Client("early"), Client("late")
    hold(desk, early, 1, THERE)
    answer(desk)
    hold(desk, late, 1, THERE)
    answer(desk)
    desk.fanout.offer(tick(THERE, LTP, 5))
    desk.fanout.flush()
    assert [tag for _, tag, _ in early.got()] == [1]
    assert [tag for _, tag, _ in late.got()] == [1]


# Two feeds that serve the same user.


def test_a_key_has_all_its_modes_of_one_feed_also_when_another_was_asked_meanwhile() -> None:
    """On leaving, all modes are taken from one feed: what was asked of the other stayed wanted."""
    desk, client = make(), Client()
    first = ask(desk, client, 1, A)
    ((feed, _, _),) = desk.tell()
    desk.take_results(feed, [Result(A.key, 1)])
    other = next(name for name in ("zerodha", "dhan") if name != feed)
    second = _asked_of(desk, client, A, QUOTE, other)
    answer(desk)
    assert first.confirm()
    assert second.confirm()
    assert {variant.feed for variant in desk.index.held(client).values()} == {feed}
    assert wants(desk) == {
        feed: [Want(A.key, 3, 5, A.exchange, A.symbol)],
        other: [Want(A.key, 0, 5, A.exchange, A.symbol)],
    }
    desk.leave(client)
    answer(desk)
    assert remains(desk) == []


def _asked_of(
    desk: Desk, client: Client, one: Instrument, mode: Mode, feed: str
) -> SubscribeTicket:
    """A subscribe that goes to this feed."""
    request = subscription(mode.value, one)
    asked = protocol.subscribe(request, snapshot=True)
    ticket = SubscribeTicket(desk, client, request, asked, broker="b", deadline_s=8.0)
    desk.slices.begin(desk._enter(ticket, feed))
    return ticket
