"""What one client is sent: all of it, or the newest of each topic, and never too often."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.forms import BATCH, PLAIN
from hub.core.model import Instrument, Mode, Result
from shards.desk import Desk
from tests.shards.kit import answer, decoded, instruments, make_settings, tick
from tests.shards.talk import (
    AUTH,
    FORMS,
    A,
    B,
    C,
    Talk,
    beside,
    following,
    holds,
    ping,
    publish,
    run,
    sub,
    taken,
    told,
    update,
)

# Behind.


def test_behind_it_gets_the_newest_of_each_topic_and_all_updates_first() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        holds(talk, A, B)
        talk.session.blocked()
        for value in (1, 2):
            publish(talk, (A, value), (B, -value))
        talk.desk.accounts.offer(update("alice", 77))
        publish(talk, (A, 3))
        assert talk.heard() == []
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [77, -2, 3]
        publish(talk, (A, 4))
        assert talk.gist() == [4]

    run(main)


def test_since_when_it_is_behind_is_when_it_fell_behind_first() -> None:
    """Its socket may take a part now and then: it is behind all the same."""

    async def main() -> None:
        talk = await following(await Talk().known())
        holds(talk, A, B)
        talk.wire.clock_s = 5.0
        talk.session.blocked()
        publish(talk, (A, 1), (B, 2))
        talk.wire.clock_s = 9.0
        assert talk.session.unblocked(1), "a part of it"
        talk.session.blocked()
        assert talk.session.behind_since_s == 5.0
        assert not talk.session.unblocked(1 << 20)
        talk.session.blocked()
        assert talk.session.behind_since_s == 9.0, "another time"

    run(main)


def test_what_is_unsubscribed_while_behind_is_not_paid() -> None:
    async def main() -> None:
        talk = await Talk().known()
        holds(talk, A, B)
        talk.session.blocked()
        publish(talk, (A, 1), (B, 2))
        talk.say({"action": "unsubscribe", "symbol": A.symbol, "exchange": A.exchange,
                  "request_id": 9})  # fmt: skip
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [9, 2]

    run(main)


def test_behind_and_back_again_no_old_value_comes_after_a_newer_one() -> None:
    """It leaves a symbol it is owed, another client keeps it going, and it comes back."""

    async def main() -> None:
        talk = await Talk().known()
        other = await beside(talk)
        holds(talk, A)
        talk.session.blocked()
        publish(talk, (A, 1))
        talk.say({"action": "unsubscribe_all", "request_id": "u"})
        answer(talk.desk)
        other.say(sub(A))
        answer(talk.desk)
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, 2))
        talk.say(sub(A, request_id="s"))
        talk.session.unblocked(1 << 20)
        assert talk.gist() == ["u", "s", 2]

    run(main)


def test_behind_a_first_value_takes_its_turn() -> None:
    async def main() -> None:
        talk = await Talk().known()
        other = await beside(talk)
        talk.say(sub(A, mode=1))
        other.say(sub(A, mode=2))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        talk.desk.fanout.offer([*tick(A, Mode.LTP, 1), *tick(A, Mode.QUOTE, 2)])
        talk.desk.fanout.flush()
        talk.say(sub(A, mode=2, request_id="s"))
        talk.session.unblocked(1 << 20)
        assert talk.gist() == ["s", 1, 2]

    run(main)


def test_first_values_arrive_while_the_budget_is_kept() -> None:
    async def main() -> None:
        talk = await Talk().known()
        holds(talk, A, B, C)
        talk.session.blocked()
        for value, one in enumerate((A, B, C)):
            talk.desk.fanout.offer(tick(one, Mode.QUOTE, value))
        talk.desk.fanout.flush()
        talk.session.unblocked(1)
        assert talk.gist() == [0]
        assert talk.session.outbox.behind
        publish(talk, (A, 9))
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [1, 2, 9]

    run(main)


# While a reply is being confirmed.


def test_who_falls_behind_while_a_reply_is_confirmed_is_paid_after_it() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = await Talk(settings).known(), instruments(1, 2, 2500)
        await beside(talk, *many)
        talk.say(sub(*many, request_id="large"))
        while talk.desk.slices:
            talk.session.blocked()
            publish(talk, (many[0], 7))
            talk.session.unblocked(1 << 20)
            talk.desk.tell()
        assert talk.gist() == ["large"]
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [7]
        assert not talk.session.outbox.behind

    run(main)


def test_what_is_withheld_is_bounded_and_beyond_that_owed() -> None:
    """Twenty clients that subscribe 10,000 symbols at once withheld 45 MB in a second."""

    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = await Talk(settings).known(), instruments(1, 2, 3000)
        talk.wire.high_bytes = 65_536
        await beside(talk, *many)
        talk.say(sub(*many, request_id="large"))
        last = 0
        while talk.desk.slices:
            for _ in range(500):
                last += 1
                talk.desk.fanout.offer(tick(many[0], Mode.QUOTE, last))
            talk.desk.fanout.flush()
            kept = sum(len(data) for data, _ in talk.session._withheld or ())
            assert kept < 65_536
            talk.desk.tell()
        assert talk.gist() == ["large"]
        assert talk.wire.asked_to_pay == 1
        assert not talk.session.unblocked(1 << 20)
        assert talk.gist() == [last]
        publish(talk, (many[0], -1))
        assert talk.gist() == [-1], "in step again"

    run(main)


def test_what_a_client_is_owed_is_not_lost_when_a_leg_goes_lower_for_another() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2})
        talk = await Talk(settings).known()
        other = await beside(talk)
        talk.say(sub(A, mode=3))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        talk.desk.fanout.offer(tick(A, Mode.DEPTH, 5))
        talk.desk.fanout.flush()
        other.say(sub(A, mode=1))
        ((_, number, _),) = talk.desk.tell()
        talk.desk.snapshots.opened([A.key], number, 1)
        assert not talk.session.unblocked(1 << 20)
        assert talk.gist() == [5]

    run(main)


# What was spared.


async def asking(form: int = PLAIN, desk: Desk | None = None, **options: Any) -> Talk:
    """A client that has asked for this when it authenticated."""
    talk = Talk(desk=desk)
    talk.say(AUTH | FORMS[form] | options)
    await talk.work()
    (reply,) = taken(talk)
    assert {name: decoded(reply)[name] for name in options} == options
    return talk


def after(talk: Talk, seconds: float, look: Callable[[], None] = lambda: None) -> None:
    """Time passes, and the session is woken whenever it has asked for that; then we look."""
    wire = talk.wire
    end_s = wire.clock_s + seconds
    while wire.alarm_s is not None and wire.alarm_s <= end_s:
        wire.clock_s, wire.alarm_s = wire.alarm_s, None
        talk.session.fall_due()
        look()
    wire.clock_s = end_s


def seen(talk: Talk) -> list[tuple[str, int, int]]:
    """Symbol, value and skipped of each tick since this was last asked."""
    return [(one["symbol"], one["data"]["ltp"], one.get("skipped", 0)) for one in told(taken(talk))]


@pytest.mark.parametrize("form", FORMS)
def test_who_asks_for_it_is_told_how_many_ticks_it_was_spared(form: int) -> None:
    async def main() -> None:
        talk = await asking(form, conflation_info=True)
        holds(talk, A, B)
        publish(talk, (A, 1), (A, 2))
        assert seen(talk) == [(A.symbol, 1, 0), (A.symbol, 2, 0)]
        talk.session.blocked()
        for value in (3, 4, 5):
            publish(talk, (A, value))
        publish(talk, (B, 6))
        talk.session.unblocked(1 << 20)
        first, second = told(taken(talk))
        assert list(first.items())[-2:] == [("broker", "zerodha"), ("skipped", 2)], "at the end"
        assert (first["data"]["ltp"], second["data"]["ltp"]) == (5, 6)
        assert "skipped" not in second, "nothing was left out of this topic"
        publish(talk, (A, 7))
        talk.session.blocked()
        publish(talk, (A, 8), (A, 9))
        talk.session.unblocked(1 << 20)
        assert seen(talk) == [(A.symbol, 7, 0), (A.symbol, 9, 1)], "counted anew"
        assert talk.session.outbox.conflated == 3

    run(main)


@pytest.mark.parametrize("form", FORMS)
def test_who_does_not_ask_gets_what_it_would_have_got_and_is_counted_all_the_same(
    form: int,
) -> None:
    async def main() -> None:
        talk = await asking(form)
        holds(talk, A)
        publish(talk, (A, 3))
        (before,) = taken(talk)
        talk.session.blocked()
        for value in (1, 2, 3):
            publish(talk, (A, value))
        talk.session.unblocked(1 << 20)
        assert taken(talk) == [before]
        assert talk.session.outbox.conflated == 2

    run(main)


def test_it_may_be_asked_for_in_a_subscribe_and_given_up_again() -> None:
    async def main() -> None:
        talk = await asking()
        found = []
        for number, asked in enumerate([None, True, None, False, None]):
            more = {} if asked is None else {"conflation_info": asked}
            talk.say(sub(A if number % 2 else B, **more))
            answer(talk.desk)
            talk.heard()
            talk.session.blocked()
            publish(talk, (B, 1), (B, 2))
            talk.session.unblocked(1 << 20)
            found.append([skipped for _, _, skipped in seen(talk)])
        assert found == [[0], [1], [1], [0], [0]], "for all of the connection, from then on"
        for asked, answered in ((True, True), (None, True), (False, None), (None, None)):
            more = {} if asked is None else {"conflation_info": asked}
            talk.say(AUTH | more)
            await talk.work()
            (reply,) = talk.heard()
            assert reply.get("conflation_info") is answered

    run(main)


def test_what_was_withheld_and_did_not_fit_is_told_as_well() -> None:
    async def main() -> None:
        talk, many = Talk(make_settings(hub={"shards": 2})), instruments(1, 2, 1500)
        talk.wire.high_bytes = 16_384
        talk.say(AUTH | {"conflation_info": True})
        await talk.work()
        talk.say(sub(*many, snapshot=False, request_id="large"))
        published = 0
        talk.heard()
        while talk.session._withheld is None:
            answer_once(talk)
        while talk.session._withheld is not None:
            for _ in range(100):
                published += 1
                publish(talk, (many[0], published))
            answer_once(talk)
        while talk.session.unblocked(1 << 20):
            pass
        reply, *ticks = talk.heard()
        assert reply["request_id"] == "large"
        assert published >= 200
        assert sum(1 + one.get("skipped", 0) for one in ticks) == published
        assert ticks[-1]["data"]["ltp"] == published
        assert ticks[-1]["skipped"] > 0

    run(main)


def answer_once(talk: Talk) -> None:
    """One turn of the shard, with the answers to what it asks."""
    for feed, number, wants in talk.desk.tell():
        begun = [want.key for want in wants if want.modes]
        talk.desk.snapshots.opened(begun, number, number)
        talk.desk.snapshots.own(begun, number)
        results = [Result(want.key, want.modes) for want in wants if want.modes]
        talk.desk.take_results(feed, results)


def test_who_comes_back_to_a_symbol_is_not_paid_what_it_was_owed_before() -> None:
    async def main() -> None:
        talk = await asking(conflation_info=True)
        holds(talk, A)
        talk.session.blocked()
        publish(talk, (A, 1), (A, 2))
        talk.say({"action": "unsubscribe_all"}, sub(A, snapshot=False))
        answer(talk.desk)
        talk.session.unblocked(1 << 20)
        assert talk.gist() == ["unsubscribe", "subscribe"]
        talk.session.blocked()
        publish(talk, (A, 3))
        talk.session.unblocked(1 << 20)
        assert seen(talk) == [(A.symbol, 3, 0)]

    run(main)


# A rate.


@pytest.mark.parametrize("form", FORMS)
def test_a_rate_lets_the_first_tick_pass_and_then_the_newest_once_an_interval(form: int) -> None:
    async def main() -> None:
        talk = await asking(form, conflation_info=True, max_rate=4)
        holds(talk, A, B)
        publish(talk, (A, 1))
        assert seen(talk) == [(A.symbol, 1, 0)], "at once"
        for value in (2, 3, 4):
            publish(talk, (A, value))
            after(talk, 0.05)
        assert seen(talk) == []
        publish(talk, (B, 5))
        assert seen(talk) == [(B.symbol, 5, 0)], "each topic for itself"
        after(talk, 0.11)
        assert seen(talk) == [(A.symbol, 4, 2)], "the newest, when the interval is over"
        after(talk, 5)
        assert seen(talk) == [], "and once"
        publish(talk, (A, 6), (A, 7))
        assert seen(talk) == [(A.symbol, 7, 1)], "quiet for long, and two at once"
        assert talk.session.outbox.conflated == 3

    run(main)


def test_ticks_that_fall_due_together_leave_together() -> None:
    async def main() -> None:
        talk = await asking(BATCH, max_rate=2)
        holds(talk, A, B, C)
        publish(talk, (A, 1), (B, 2), (C, 3))
        publish(talk, (B, 4), (C, 5), (A, 6), (B, 7))
        taken(talk)
        after(talk, 0.6)
        (batch,) = taken(talk)
        assert [one["data"]["ltp"] for one in decoded(batch)] == [5, 6, 7], "in their order"

    run(main)


@pytest.mark.parametrize("form", FORMS)
def test_a_rate_of_some_symbols_costs_the_others_no_tick(form: int) -> None:
    async def main() -> None:
        talk = await asking(form, conflation_info=True)
        holds(talk, A, B)
        holds(talk, A, max_rate=1)
        publish(talk, (B, 1), (A, 2), (B, 3), (A, 4), (B, 5))
        publish(talk, (A, 6), (B, 7))
        publish(talk, (B, 8), (B, 9))
        assert sorted(seen(talk)) == sorted(
            [(A.symbol, 4, 1), *((B.symbol, value, 0) for value in (1, 3, 5, 7, 8, 9))]
        )
        after(talk, 1)
        assert seen(talk) == [(A.symbol, 6, 0)]

    run(main)


@pytest.mark.parametrize("form", FORMS)
def test_behind_too_a_rate_of_some_symbols_is_none_of_the_others(form: int) -> None:
    async def main() -> None:
        talk = await asking(form, conflation_info=True)
        holds(talk, A, max_rate=1)
        holds(talk, B)
        publish(talk, (A, 1), (B, 2))
        taken(talk)
        talk.session.blocked()
        publish(talk, (A, 3), (B, 4), (B, 5))
        assert not talk.session.unblocked(1 << 20)
        assert seen(talk) == [(B.symbol, 5, 1)]
        after(talk, 1)
        assert seen(talk) == [(A.symbol, 3, 0)]

    run(main)


def test_who_gives_up_its_rate_has_at_once_what_that_held_back() -> None:
    async def main() -> None:
        talk = await asking(max_rate=0.1)
        holds(talk, A)
        publish(talk, (A, 1))
        publish(talk, (A, 2))
        talk.heard()
        talk.say(AUTH | {"max_rate": None})
        await talk.work()
        assert sorted(map(str, talk.gist())) == ["2", "auth"]
        publish(talk, (A, 3), (A, 4))
        assert talk.gist() == [3, 4]

    run(main)


@pytest.mark.parametrize("slow", [False, True])
def test_who_drops_one_mode_of_two_is_still_owed_what_it_gets_under_the_other(slow: bool) -> None:
    async def main() -> None:
        options: dict[str, Any] = {} if slow else {"max_rate": 1}
        talk = await asking(**options)
        holds(talk, A, mode=1)
        holds(talk, A, mode=3)
        for value in (1, 2):
            publish(talk, (A, value), mode=Mode.DEPTH)
            if slow:
                talk.session.blocked()
        talk.heard()
        talk.say({"action": "unsubscribe", "symbol": A.symbol, "exchange": A.exchange, "mode": 3})
        after(talk, 1)
        talk.session.unblocked(1 << 20)
        reply, owed = talk.heard()
        assert reply["type"] == "unsubscribe"
        assert (owed["data"]["ltp"], owed["mode"]) == (2, 1)

    run(main)


def test_a_rate_in_a_subscribe_is_that_of_its_symbols_until_another_is_said() -> None:
    async def main() -> None:
        talk, never = await asking(max_rate=1), 20.0

        def interval(one: Instrument) -> float:
            """How long a second tick has to wait."""
            after(talk, 20)
            publish(talk, (one, 1), (one, 2))
            publish(talk, (one, 3))
            talk.heard()
            waited = 0.0
            while not talk.wire.sent and waited < never:
                after(talk, 0.125)
                waited += 0.125
            talk.heard()
            return waited

        holds(talk, A, max_rate=4)
        holds(talk, B)
        assert (interval(A), interval(B)) == (0.25, 1.0)
        holds(talk, A)
        assert interval(A) == 0.25, "nothing is said of it"
        holds(talk, A, max_rate=0.5)
        assert interval(A) == 2.0
        holds(talk, A, mode=3)
        assert interval(A) == 2.0, "all topics of a symbol have its rate"
        for none in (None, 0):
            holds(talk, A, max_rate=2)
            assert interval(A) == 0.5
            holds(talk, A, max_rate=none)
            assert interval(A) == 1.0, "that of the connection again"
        holds(talk, A, max_rate=2)
        talk.say({"action": "unsubscribe", "symbols": [{"symbol": A.symbol, "exchange": A.exchange,
                                                         "mode": 3}]})  # fmt: skip
        talk.heard()
        assert interval(A) == 0.5, "held in another mode still"
        talk.say({"action": "unsubscribe_all"})
        talk.heard()
        holds(talk, A)
        assert interval(A) == 1.0, "who comes back begins anew"
        for rate, expected in ((8, 0.125), (0, never), (0.5, 2.0), (None, never)):
            talk.say(AUTH | {"max_rate": rate})
            await talk.work()
            assert talk.heard()[0].get("max_rate") == (rate or None)
            assert interval(A) == expected

    run(main)


def test_what_a_subscribe_could_not_have_has_no_rate() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1)
        talk.say(sub(A, max_rate=9))
        answer(talk.desk, error="no such symbol")
        assert talk.heard()[0]["status"] == "partial"
        assert talk.session._pacer is not None
        assert not talk.session._pacer._every_s

    run(main)


def test_first_values_wait_for_no_interval_and_begin_one() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1)
        other = await asking(desk=talk.desk)
        holds(other, A, mode=1)
        holds(other, A, mode=2)
        publish(talk, (A, 1))
        talk.say(sub(A, mode=1, request_id="s"))
        answer(talk.desk)
        assert talk.gist() == ["s", 1]
        publish(talk, (A, 2))
        after(talk, 0.5)
        assert talk.gist() == []
        talk.say(sub(A, mode=2, request_id="t"))
        answer(talk.desk)
        assert talk.gist() == ["t", 2], "news under the new mode"
        publish(talk, (A, 3))
        after(talk, 0.9)
        assert talk.gist() == []
        after(talk, 0.2)
        assert talk.gist() == [3]

    run(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{}, {"max_rate": 1}])
def test_a_first_value_that_its_keeper_sends_later_begins_an_interval_too(
    form: int, options: dict[str, Any]
) -> None:
    async def main() -> None:
        talk = await asking(form, **options)
        talk.say(sub(A))
        ((feed, number, wants),) = talk.desk.tell()
        talk.desk.take_results(feed, [Result(want.key, want.modes) for want in wants])
        (reply,) = told(taken(talk))
        assert reply["type"] == "subscribe"
        talk.desk.snapshots.opened([A.key], number, number)
        talk.desk.snapshots.values(tick(A, Mode.QUOTE, 1), [A.key], number)
        assert seen(talk) == [(A.symbol, 1, 0)]
        publish(talk, (A, 2))
        assert bool(seen(talk)) == (not options)
        after(talk, 1)
        assert bool(seen(talk)) == bool(options)

    run(main)


def test_replies_and_order_updates_wait_for_no_rate() -> None:
    async def main() -> None:
        talk = await following(await asking(max_rate=0.1))
        holds(talk, A)
        publish(talk, (A, 1))
        publish(talk, (A, 2))
        for number in (7, 8):
            talk.desk.accounts.offer(update("alice", number))
        talk.say(ping(3))
        assert talk.gist() == [1, 7, 8, 3]
        after(talk, 10)
        assert talk.gist() == [2]

    run(main)


def test_behind_a_rate_counts_on_and_what_falls_due_is_owed() -> None:
    async def main() -> None:
        talk = await asking(conflation_info=True, max_rate=1)
        holds(talk, A, B)
        publish(talk, (A, 1))
        publish(talk, (A, 2))
        talk.session.blocked()
        publish(talk, (A, 3), (B, 4))
        assert not talk.session.unblocked(1 << 20)
        assert seen(talk) == [(A.symbol, 1, 0), (B.symbol, 4, 0)], "the interval of A is not over"
        talk.session.blocked()
        publish(talk, (A, 5))
        after(talk, 3)
        publish(talk, (A, 6), (B, 7))
        assert seen(talk) == []
        assert not talk.session.unblocked(1 << 20)
        assert seen(talk) == [(A.symbol, 6, 3), (B.symbol, 7, 0)]
        publish(talk, (A, 8))
        assert seen(talk) == []
        after(talk, 1)
        assert seen(talk) == [(A.symbol, 8, 0)], "in step again"

    run(main)


def test_what_falls_due_while_a_reply_is_confirmed_follows_it() -> None:
    async def main() -> None:
        talk, many = await asking(max_rate=1), instruments(1, 2, 1500)
        holds(talk, A)
        publish(talk, (A, 1))
        talk.heard()
        publish(talk, (A, 2))
        talk.say(sub(*many, request_id="large"))
        while talk.session._withheld is None:
            answer_once(talk)
        after(talk, 2)
        publish(talk, (A, 3))
        after(talk, 2)
        assert talk.gist() == []
        while talk.session._withheld is not None:
            answer_once(talk)
        assert talk.gist() == ["large", 3]
        publish(talk, (A, 4))
        after(talk, 1)
        assert talk.gist() == [4], "and it is woken again"

    run(main)


def test_who_has_gone_or_left_a_symbol_is_owed_nothing_of_it() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1)
        holds(talk, A)
        publish(talk, (A, 1))
        publish(talk, (A, 2))
        talk.heard()
        talk.say({"action": "unsubscribe_all"}, sub(A, snapshot=False))
        answer(talk.desk)
        after(talk, 5)
        assert talk.gist() == ["unsubscribe", "subscribe"]
        publish(talk, (A, 3))
        assert talk.gist() == [3]
        pacer = talk.session._pacer
        assert pacer is not None
        talk.session.gone()
        answer(talk.desk)
        assert not any((pacer._sent_s, pacer._owed, pacer._due, pacer._every_s))

    run(main)


class Ledger:
    """What was published of each symbol, and what one client got of it, when."""

    def __init__(self, talk: Talk, *wanted: Instrument) -> None:
        self.talk = talk
        self.wanted = wanted
        self.number = 0
        self.published: dict[str, list[int]] = {one.symbol: [] for one in wanted}
        self.got: dict[str, list[tuple[int, int, float]]] = {one.symbol: [] for one in wanted}

    def publish(self, places: list[int]) -> None:
        ticks = [(self.wanted[place], self.number + more) for more, place in enumerate(places, 1)]
        self.number += len(places)
        for one, value in ticks:
            self.published[one.symbol].append(value)
        publish(self.talk, *ticks)

    def look(self) -> None:
        for symbol, value, skipped in seen(self.talk):
            self.got[symbol].append((value, skipped, self.talk.wire.clock_s))

    def values(self, one: Instrument) -> list[int]:
        return [value for value, _, _ in self.got[one.symbol]]

    def check(self, one: Instrument, every_s: float) -> None:
        """All is accounted for."""
        got, published = self.got[one.symbol], self.published[one.symbol]
        assert sum(1 + skipped for _, skipped, _ in got) == len(published)
        assert self.values(one)[-1:] == published[-1:], "the last one published arrives"
        assert set(self.values(one)) <= set(published)
        pairs = list(pairwise(got))
        assert all(before < value for (before, _, _), (value, _, _) in pairs), "newer ones only"
        assert all(later - at_s >= every_s for (_, _, at_s), (_, _, later) in pairs)

    @property
    def skipped(self) -> int:
        return sum(skipped for of in self.got.values() for _, skipped, _ in of)


STEPS = st.lists(
    st.tuples(st.just("ticks"), st.lists(st.integers(0, 2), min_size=1, max_size=5))
    | st.tuples(st.just("pass"), st.integers(1, 40))
    | st.tuples(st.just("block"), st.none())
    | st.tuples(st.just("pay"), st.integers(1, 400)),
    max_size=40,
)


@given(STEPS, st.sampled_from(sorted(FORMS)), st.sampled_from([0, 4]))
def test_whatever_happens_all_is_accounted_for(
    steps: list[tuple[str, Any]], form: int, rate: int
) -> None:
    """A may have 2 ticks a second, B what the connection has, C 10."""

    async def main() -> None:
        options: dict[str, Any] = {"max_rate": rate} if rate else {}
        talk = await asking(form, conflation_info=True, **options)
        talk.say(sub(A, max_rate=2), sub(B), sub(C, max_rate=10))
        answer(talk.desk)
        taken(talk)
        ledger = Ledger(talk, A, B, C)
        for step, argument in [*steps, ("pay", 1 << 20), ("pass", 100)]:
            if step == "ticks":
                ledger.publish(argument)
            elif step == "block":
                talk.session.blocked()
            elif step == "pass":
                after(talk, argument / 64, ledger.look)
            elif talk.session.outbox.behind:
                talk.session.unblocked(argument)
            ledger.look()
        for one, every_s in ((A, 0.5), (B, rate and 1 / rate), (C, 0.1)):
            ledger.check(one, every_s)
        assert talk.session.outbox.conflated == ledger.skipped
        if not rate and ("block", None) not in steps:
            assert ledger.values(B) == ledger.published[B.symbol], "every tick, once"

    run(main)


# Several topics under one tag.


def test_a_rate_never_lets_an_older_topic_pass_behind_a_newer_one_under_the_same_tag() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1, conflation_info=True)
        holds(talk, A, mode="LTP")
        for value, mode in ((1, Mode.LTP), (2, Mode.LTP), (3, Mode.QUOTE)):
            publish(talk, (A, value), mode=mode)
        after(talk, 2.0)
        assert seen(talk) == [(A.symbol, 1, 0), (A.symbol, 3, 0)]
        publish(talk, (A, 4), mode=Mode.LTP)
        assert seen(talk) == [(A.symbol, 4, 1)], "what was passed over is told with the next"

    run(main)


def test_under_another_tag_nothing_is_passed_over() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1)
        holds(talk, A, mode="LTP")
        holds(talk, A, mode="Quote")
        for value, mode in ((1, Mode.LTP), (2, Mode.LTP), (3, Mode.QUOTE)):
            publish(talk, (A, value), mode=mode)
        after(talk, 2.0)
        assert [value for _, value, _ in seen(talk)] == [1, 3, 2]

    run(main)


def test_who_comes_back_to_a_mode_is_passed_over_nothing() -> None:
    async def main() -> None:
        talk = await asking(max_rate=1)
        holds(talk, A, mode="LTP")
        publish(talk, (A, 1), mode=Mode.QUOTE)
        talk.say({"action": "unsubscribe_all"})
        answer(talk.desk)
        talk.heard()
        assert not talk.session._pacer or not talk.session._pacer._newest

    run(main)


MIXED = st.lists(
    st.tuples(st.just("tick"), st.sampled_from(list(Mode)))
    | st.tuples(st.just("pass"), st.integers(1, 40))
    | st.tuples(st.just("block"), st.none())
    | st.tuples(st.just("pay"), st.integers(1, 400)),
    max_size=40,
)


def play(talk: Talk, step: str, argument: Any, number: int) -> bool:
    """One step; whether it published this number."""
    if step == "tick":
        publish(talk, (A, number), mode=argument)
    elif step == "block":
        talk.session.blocked()
    elif step == "pass":
        after(talk, argument / 64)
    elif talk.session.outbox.behind:
        talk.session.unblocked(argument)
    return step == "tick"


@given(MIXED, st.sampled_from([0, 2, 4]), st.booleans())
def test_topics_of_all_modes_come_in_order_and_all_is_accounted_for(
    steps: list[tuple[str, Any]], rate: int, parts: bool
) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"max_rate": rate} if rate else {}
        talk = await asking(conflation_info=True, **options)
        holds(talk, A, mode="LTP")
        published = 0
        for step, argument in steps:
            published += play(talk, step, argument, published + 1)
        if parts:
            talk.session.part()
        after(talk, 2.0)
        while talk.session.unblocked(1 << 20):
            pass
        got = seen(talk)
        assert not published or got[-1][1] == published, "the last one published arrives"
        for mode in Mode:
            published += play(talk, "tick", mode, published + 1)
            after(talk, 2.0)
        got += seen(talk)
        assert all(before[1] < later[1] for before, later in pairwise(got))
        assert sum(1 + skipped for _, _, skipped in got) == published

    run(main)


# A client that is sent away.


@pytest.mark.parametrize("full", ["reply", "values"])
def test_who_is_sent_away_while_a_large_subscribe_is_confirmed_has_its_first_values(
    full: str,
) -> None:
    """All 3,000 of them were left out when they, or the reply, were more than the socket took."""

    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = await Talk(settings).known(), instruments(1, 2, 3000)
        other = await beside(talk, *many)
        publish(other, *((one, number) for number, one in enumerate(many)))
        if full == "values":
            talk.wire.high_bytes = 16_384
        talk.say(sub(*many, request_id="large"))
        while talk.session._withheld is None:
            talk.desk.tell()
        talk.session.part()
        assert talk.session.owed
        if full == "reply":
            write = talk.wire.write

            def fill(data: bytes) -> int:
                talk.session.blocked()
                return write(data)

            talk.wire.write = fill  # type: ignore[method-assign]
        answer(talk.desk)
        while talk.session.unblocked(1 << 20):
            pass
        reply, *ticks = talk.heard()
        assert reply["request_id"] == "large"
        assert [one["data"]["ltp"] for one in ticks] == list(range(3000))
        assert not talk.session.owed

    run(main)


def test_what_is_forgotten_is_paid_to_who_is_owed_it_and_to_nobody_else() -> None:
    """A feed host that died took them along: neither sent nor told as skipped."""

    async def main() -> None:
        slow = await asking(conflation_info=True)
        paced = await asking(desk=slow.desk, conflation_info=True, max_rate=1)
        for talk in (slow, paced):
            holds(talk, A)
        publish(slow, (A, 1))
        seen(slow)
        slow.session.blocked()
        for value in (2, 3):
            publish(slow, (A, value))
        slow.desk.snapshots.forget([A.key])
        new = await asking(desk=slow.desk)
        holds(new, A)
        slow.session.unblocked(1 << 20)
        after(paced, 2.0)
        assert seen(slow) == [(A.symbol, 3, 1)]
        assert seen(paced) == [(A.symbol, 1, 0), (A.symbol, 3, 1)]
        assert seen(new) == []
        publish(slow, (A, 4))
        assert [seen(talk)[-1][1] for talk in (slow, new)] == [4, 4]
        assert not slow.session._kept

    run(main)
