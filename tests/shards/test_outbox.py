"""What a client that is behind is owed: lines conflated, order updates kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.hot import Line
from hub.core.model import Mode
from shards import outbox
from shards.outbox import Outbox

UNBOUNDED = 1 << 30


def make_lines(how_many: int) -> list[Line]:
    return [Line(b"NSE_S%d" % number, Mode.QUOTE) for number in range(how_many)]


def put(line: Line, seq: int) -> None:
    line.seq, line.payload = seq, b"%d" % seq


def show(line: Line, _: int = 0) -> bytes | None:
    """A line as a frame that tells topic and value."""
    return None if line.payload is None else line.key + b"=" + line.payload


def test_a_new_outbox_is_in_step_and_empty() -> None:
    box = Outbox(1)
    assert not box.behind
    assert len(box) == 0
    assert box.settle(show, UNBOUNDED) == ([], [])


def test_of_each_line_only_the_newest_value_is_sent() -> None:
    box, (line,) = Outbox(1), make_lines(1)
    box.fall_behind()
    for seq in (1, 2, 3):
        put(line, seq)
        box.owe([line])
    assert (box.behind, len(box), box.conflated) == (True, 1, 2)
    assert box.settle(show, UNBOUNDED) == ([], [b"NSE_S0=3"])
    assert not box.behind


def test_when_what_is_owed_is_the_last_of_it_no_other_lines_are_owed_and_order_updates_are() -> (
    None
):
    box, (first, second) = Outbox(1), make_lines(2)
    box.fall_behind()
    put(first, 1)
    box.owe([first])
    box.finish()
    put(first, 2)
    put(second, 3)
    box.owe([first, second])
    assert box.owe_event(b"filled")
    assert box.conflated == 1, "it is sent the newest all the same"
    assert box.settle(show, UNBOUNDED) == ([b"filled"], [b"NSE_S0=2"])
    assert not box.behind


def test_what_a_line_was_spared_is_told_when_it_is_paid_and_then_counted_anew() -> None:
    box, (one, other) = Outbox(1), make_lines(2)
    box.fall_behind()
    told: list[tuple[Line, int]] = []

    def note(line: Line, spared: int) -> bytes:
        told.append((line, spared))
        return b"."

    box.owe([one, other, one, one])
    assert not told
    box.settle(note, 1)
    box.owe([one])
    box.settle(note, UNBOUNDED)
    assert told == [(one, 2), (other, 0), (one, 0)]
    assert box.conflated == 2


def test_what_is_forgotten_is_owed_no_more() -> None:
    box, (one, other) = Outbox(1), make_lines(2)
    box.fall_behind()
    put(one, 1)
    put(other, 2)
    box.owe([one, other, one])
    box.forget(one)
    box.forget(one)
    assert box.settle(show, UNBOUNDED) == ([], [b"NSE_S1=2"])
    assert not box.behind


def test_lines_are_paid_in_the_order_of_their_newest_values() -> None:
    box, (first, second) = Outbox(1), make_lines(2)
    box.fall_behind()
    for seq, line in enumerate((first, second, first), 1):
        put(line, seq)
        box.owe([line])
    assert box.settle(show, UNBOUNDED) == ([], [b"NSE_S1=2", b"NSE_S0=3"])


def test_order_updates_come_first_whole_and_in_order() -> None:
    box, (line,) = Outbox(3), make_lines(1)
    box.fall_behind()
    put(line, 1)
    box.owe([line])
    assert all(box.owe_event(frame) for frame in (b"a", b"a", b"b"))
    assert box.settle(show, UNBOUNDED) == ([b"a", b"a", b"b"], [b"NSE_S0=1"])


def test_one_order_update_more_than_the_limit_is_refused_and_none_is_lost() -> None:
    box = Outbox(2)
    box.fall_behind()
    assert [box.owe_event(frame) for frame in (b"a", b"b", b"c")] == [True, True, False]
    assert box.settle(show, UNBOUNDED) == ([b"a", b"b"], [])
    assert box.owe_event(b"d")


def test_order_updates_are_bounded_by_their_size_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_EVENT_BYTES", 10)
    box = Outbox(1000)
    box.fall_behind()
    assert [box.owe_event(frame) for frame in (b"12345", b"12345", b"1")] == [True, True, False]
    assert box.settle(show, 1) == ([b"12345"], [])
    assert [box.owe_event(frame) for frame in (b"12345", b"1")] == [True, False]
    assert box.settle(show, UNBOUNDED) == ([b"12345"] * 2, [])


def test_a_budget_ends_a_settlement_and_the_session_stays_behind() -> None:
    box, lines = Outbox(9), make_lines(3)
    box.fall_behind()
    for seq, line in enumerate(lines, 1):
        put(line, seq)
    box.owe(lines)
    box.owe_event(b"12345")
    assert box.settle(show, 5) == ([b"12345"], [])
    assert box.settle(show, 9) == ([], [b"NSE_S0=1", b"NSE_S1=2"])
    assert box.behind
    assert box.settle(show, 1) == ([], [b"NSE_S2=3"])
    assert not box.behind


def test_a_budget_holds_for_order_updates_too_and_those_left_keep_their_turn() -> None:
    box = Outbox(9)
    box.fall_behind()
    for event in (b"first", b"other", b"third"):
        box.owe_event(event)
    assert box.settle(show, 7) == ([b"first", b"other"], [])
    assert (len(box), box.behind) == (1, True)
    assert box.settle(show, 7) == ([b"third"], [])
    assert not box.behind


def test_a_line_the_session_does_not_get_any_more_costs_nothing() -> None:
    box, (gone, kept) = Outbox(1), make_lines(2)
    box.fall_behind()
    put(kept, 1)
    box.owe([gone, kept])
    assert box.settle(show, 1) == ([], [b"NSE_S1=1"])
    assert not box.behind


def test_its_repr_tells_where_it_stands() -> None:
    box = Outbox(1)
    assert "in step" in repr(box)
    box.fall_behind()
    box.owe(make_lines(2))
    assert "behind" in repr(box)
    assert "2 lines" in repr(box)


@dataclass
class Naive:
    """A client that is owed every tick in a list, and picks the newest of each when it can."""

    ticks: list[tuple[bytes, int]] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def newest(self) -> list[tuple[bytes, int]]:
        return sorted(dict(self.ticks).items(), key=lambda tick: tick[1])


HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.integers(0, 5)),
        st.tuples(st.just("event"), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(1, 60)),
    ),
    max_size=60,
)


@given(HISTORIES, st.integers(1, 4))
def test_histories_end_like_those_of_a_naive_client(
    history: list[tuple[str, int]], limit: int
) -> None:
    box, lines, naive = Outbox(limit), make_lines(6), Naive()
    box.fall_behind()
    last: dict[bytes, int] = {}
    for seq, (step, number) in enumerate(history, 1):
        if step == "tick":
            put(lines[number], seq)
            box.owe([lines[number]])
            naive.ticks.append((lines[number].key, seq))
        elif step == "event":
            frame = b"@%d" % seq + b"." * number
            taken = box.owe_event(frame)
            assert taken == (len(naive.events) < limit)
            naive.events += [frame] if taken else []
        else:
            paid, shown = box.settle(show, number)
            check_budget(paid + shown, number)
            assert paid == naive.events[: len(paid)]
            del naive.events[: len(paid)]
            expected = [key + b"=%d" % value for key, value in naive.newest()]
            assert shown == expected[: len(shown)]
            for frame in shown:
                key, _, value = frame.partition(b"=")
                assert int(value) > last.get(key, 0), "an old value after a newer one"
                last[key] = int(value)
            naive.ticks = [tick for tick in naive.ticks if tick[0] + b"=%d" % last.get(tick[0], 0)
                           not in shown]  # fmt: skip
        assert len(box) == len(naive.newest()) + len(naive.events)
        if step == "settle":
            assert box.behind == bool(len(box))
            if not box.behind:
                box.fall_behind()


def check_budget(sent: list[bytes], budget: int) -> None:
    """Without its last frame a settlement stays below the budget; something is always sent."""
    assert sum(map(len, sent[:-1])) < budget


@pytest.mark.parametrize("ticks", [10, 1000])
def test_what_is_owed_is_bounded_by_the_lines_not_by_the_ticks(ticks: int) -> None:
    box, lines = Outbox(1), make_lines(3)
    box.fall_behind()
    for seq in range(1, ticks):
        put(lines[seq % 3], seq)
        box.owe([lines[seq % 3]])
    assert len(box) == 3
    assert box.conflated == ticks - 1 - 3
