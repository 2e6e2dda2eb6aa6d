"""What waits to be read, against a list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.client.inbox import Inbox
from hub.client.messages import Tick
from hub.core.model import Mode


def tick(symbol: str, number: int, skipped: int = 0) -> Tick:
    return Tick("NSE", symbol, Mode.LTP, {"n": number}, 0, {}, skipped)


def test_ticks_are_taken_in_their_order_while_there_is_room() -> None:
    inbox = Inbox(3)
    for number in range(3):
        assert not inbox.full
        inbox.put(tick("A", number))
    assert inbox.full
    assert [inbox.take().data["n"] for _ in range(3)] == [0, 1, 2]
    assert len(inbox) == 0


def test_without_room_the_newest_of_each_topic_is_kept_and_tells_for_how_many_it_stands() -> None:
    inbox = Inbox(1)
    inbox.put(tick("A", 0))
    inbox.put(tick("A", 1, skipped=2))
    inbox.put(tick("B", 2))
    inbox.put(tick("A", 3, skipped=1))
    assert repr(inbox) == "<Inbox 1 of 1 ticks, 2 late>"
    found = [inbox.take() for _ in range(len(inbox))]
    assert [(one.symbol, one.data["n"], one.skipped) for one in found] == [
        ("A", 0, 0), ("B", 2, 0), ("A", 3, 4),
    ]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from("ABC"), st.sampled_from(["take", "all"]))))
def test_nothing_is_lost_without_being_counted_and_nothing_is_old(steps: list[str]) -> None:
    inbox, sent, got = Inbox(4), dict.fromkeys("ABC", 0), dict.fromkeys("ABC", 0)
    for step in [*steps, "all"]:
        if step in sent:
            sent[step] += 1
            inbox.put(tick(step, sent[step]))
        elif step == "all" or len(inbox):
            for one in inbox.take_all() if step == "all" else [inbox.take()]:
                got[one.symbol] += 1 + one.skipped
                assert one.data["n"] == got[one.symbol]
        assert len(inbox) <= 4 + len(sent)
    assert got == sent
