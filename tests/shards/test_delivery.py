"""What one client is sent: all of it, or the newest of each topic, and never too often."""

from __future__ import annotations

from hub.core.model import Mode
from tests.shards.kit import (
    answer,
    instruments,
    make_settings,
    tick,
)
from tests.shards.talk import (
    A,
    B,
    C,
    Talk,
    following,
    run,
    sub,
    update,
)

# Behind.


def test_behind_it_gets_the_newest_of_each_topic_and_all_updates_first() -> None:
    async def main() -> None:
        talk = await following(await Talk().known())
        talk.say(sub(A, B))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        for value in (1, 2):
            talk.desk.fanout.offer([*tick(A, Mode.QUOTE, value), *tick(B, Mode.QUOTE, -value)])
            talk.desk.fanout.flush()
        talk.desk.accounts.offer(update("alice", 77))
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, 3))
        talk.desk.fanout.flush()
        assert talk.heard() == []
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [77, -2, 3]
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, 4))
        talk.desk.fanout.flush()
        assert talk.gist() == [4]

    run(main)


def test_what_is_unsubscribed_while_behind_is_not_paid() -> None:
    async def main() -> None:
        talk = await Talk().known()
        talk.say(sub(A, B))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        talk.desk.fanout.offer([*tick(A, Mode.QUOTE, 1), *tick(B, Mode.QUOTE, 2)])
        talk.desk.fanout.flush()
        talk.say({"action": "unsubscribe", "symbol": A.symbol, "exchange": A.exchange,
                  "request_id": 9})  # fmt: skip
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [9, 2]

    run(main)


def test_behind_and_back_again_no_old_value_comes_after_a_newer_one() -> None:
    """It leaves a symbol it is owed, another client keeps it going, and it comes back."""

    async def main() -> None:
        talk = await Talk().known()
        other = await Talk(talk.settings, talk.desk).known()
        talk.say(sub(A))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, 1))
        talk.desk.fanout.flush()
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
        other = await Talk(talk.settings, talk.desk).known()
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
        talk.say(sub(A, B, C))
        answer(talk.desk)
        talk.heard()
        talk.session.blocked()
        for value, one in enumerate((A, B, C)):
            talk.desk.fanout.offer(tick(one, Mode.QUOTE, value))
        talk.desk.fanout.flush()
        talk.session.unblocked(1)
        assert talk.gist() == [0]
        assert talk.session.outbox.behind
        talk.desk.fanout.offer(tick(A, Mode.QUOTE, 9))
        talk.desk.fanout.flush()
        talk.session.unblocked(1 << 20)
        assert talk.gist() == [1, 2, 9]

    run(main)


# While a reply is being confirmed.


def test_who_falls_behind_while_a_reply_is_confirmed_is_paid_after_it() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2}, websocket={"max_symbols": 5000})
        talk, many = await Talk(settings).known(), instruments(1, 2, 2500)
        other = await Talk(settings, talk.desk).known()
        other.say(*(sub(*many[start : start + 500]) for start in range(0, 2500, 500)))
        answer(talk.desk)
        talk.say(sub(*many, request_id="large"))
        while talk.desk.slices:
            talk.session.blocked()
            talk.desk.fanout.offer(tick(many[0], Mode.QUOTE, 7))
            talk.desk.fanout.flush()
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
        limits = {"max_symbols": 5000, "outbox_bytes": 65_536}
        settings = make_settings(hub={"shards": 2}, websocket=limits)
        talk, many = await Talk(settings).known(), instruments(1, 2, 3000)
        other = await Talk(settings, talk.desk).known()
        other.say(*(sub(*many[start : start + 500]) for start in range(0, 3000, 500)))
        answer(talk.desk)
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
        talk.desk.fanout.offer(tick(many[0], Mode.QUOTE, -1))
        talk.desk.fanout.flush()
        assert talk.gist() == [-1], "in step again"

    run(main)


def test_what_a_client_is_owed_is_not_lost_when_a_leg_goes_lower_for_another() -> None:
    async def main() -> None:
        settings = make_settings(hub={"shards": 2})
        talk = await Talk(settings).known()
        other = await Talk(settings, talk.desk).known()
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
