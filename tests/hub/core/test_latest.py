"""Last values and snapshots, against all that a session was sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.hot import Line
from hub.core.latest import Latest
from hub.core.model import Mode, lowest

KEY, OTHER = b"NSE_A", b"NSE_A_LTP"  # a key that looks like a topic of the other
LTP, QUOTE, DEPTH = Mode.LTP, Mode.QUOTE, Mode.DEPTH
TICKS = st.lists(st.sampled_from(Mode), max_size=8)


def told(*modes: Mode, key: bytes = KEY, latest: Latest | None = None, seq: int = 0) -> Latest:
    """What a shard knows after ticks of these modes, in this order."""
    latest = latest or Latest()
    for number, mode in enumerate(modes, seq + 1):
        line = latest.line(key, mode)
        line.payload, line.seq = b"%d" % number, number
    return latest


def value(line: Line | None) -> bytes | None:
    return line.payload if line else None


@given(TICKS, st.sampled_from(Mode))
def test_rule_2_the_newest_for_a_mode_is_the_last_tick_not_below_it(
    ticks: list[Mode], mode: Mode
) -> None:
    sent = [b"%d" % number for number, tick in enumerate(ticks, 1) if tick >= mode]
    assert value(told(*ticks).newest(KEY, mode)) == (sent[-1] if sent else None)


@given(TICKS, st.sampled_from(Mode), st.integers(0, 7))
def test_rule_3_a_snapshot_is_never_older_than_what_its_receiver_has(
    ticks: list[Mode], mode: Mode, held: int
) -> None:
    shown = told(*ticks).snapshot(KEY, mode, held & ~mode.bit)
    held &= ~mode.bit
    had = [number for number, tick in enumerate(ticks, 1) if held and tick >= lowest(held)]
    if shown is not None:
        assert shown.mode >= mode
        assert shown.seq >= max(had, default=0)


@given(TICKS.filter(bool), st.sampled_from(Mode))
def test_a_session_that_holds_nothing_is_shown_the_newest(ticks: list[Mode], mode: Mode) -> None:
    latest = told(*ticks)
    assert latest.snapshot(KEY, mode, 0) is latest.newest(KEY, mode)


def test_a_session_that_goes_deeper_is_shown_what_is_the_newest_of_all() -> None:
    assert value(told(LTP, QUOTE).snapshot(KEY, QUOTE, LTP.bit)) == b"2"
    assert told(QUOTE, LTP).snapshot(KEY, QUOTE, LTP.bit) is None


def test_a_value_that_came_under_another_mode_already_is_not_shown_again() -> None:
    assert told(DEPTH).snapshot(KEY, LTP, DEPTH.bit) is None
    assert told(QUOTE).snapshot(KEY, LTP, QUOTE.bit | DEPTH.bit) is None


def test_a_session_that_goes_shallower_is_shown_what_it_was_not_sent() -> None:
    assert value(told(DEPTH, LTP).snapshot(KEY, LTP, DEPTH.bit)) == b"2"
    assert value(told(LTP).snapshot(KEY, LTP, QUOTE.bit)) == b"1"


def test_what_is_not_known_is_not_shown() -> None:
    assert Latest().snapshot(KEY, LTP, 0) is None
    assert told(LTP).snapshot(KEY, QUOTE, 0) is None
    assert told(LTP).newest(OTHER, LTP) is None


def test_the_lines_of_a_key_come_lowest_mode_first_and_are_its_own() -> None:
    latest = told(DEPTH, LTP)
    told(LTP, QUOTE, key=OTHER, latest=latest)
    assert [(line.key, line.mode) for line in latest.of(KEY)] == [(KEY, LTP), (KEY, DEPTH)]
    assert [(line.key, line.mode) for line in latest.of(OTHER)] == [(OTHER, LTP), (OTHER, QUOTE)]


def test_forget_drops_values_and_keeps_routes() -> None:
    latest = told(LTP, QUOTE)
    told(LTP, key=OTHER, latest=latest)
    for line in latest.of(KEY):
        line.routes = ((b"head", b"tail", ()),)
    latest.forget(KEY)
    latest.forget(b"NSE_UNKNOWN")
    assert latest.newest(KEY, LTP) is None
    assert latest.newest(OTHER, LTP) is not None
    assert all(line.routes for line in latest.of(KEY))


def test_unresolve_drops_routes_and_keeps_values() -> None:
    latest = told(LTP, QUOTE)
    told(LTP, key=OTHER, latest=latest)
    for line in (*latest.of(KEY), *latest.of(OTHER)):
        line.routes = ()
    latest.unresolve(KEY)
    assert [line.routes for line in latest.of(KEY)] == [None, None]
    assert [line.routes for line in latest.of(OTHER)] == [()]
    assert value(latest.newest(KEY, LTP)) == b"2"


def test_tidy_leaves_only_lines_that_know_something() -> None:
    latest = told(LTP, DEPTH)
    latest.line(KEY, QUOTE)
    latest.line(OTHER, LTP)
    latest.tidy(KEY)
    assert [line.mode for line in latest.of(KEY)] == [LTP, DEPTH]
    latest.tidy(OTHER)
    latest.tidy(OTHER)
    assert not latest.of(OTHER)
    assert len(latest.lines) == 2


def test_a_line_is_made_once() -> None:
    latest = told(QUOTE)
    assert latest.line(KEY, LTP) is latest.line(KEY, LTP)
    assert [line.mode for line in latest.of(KEY)] == [LTP, QUOTE]
    assert latest.lines[topics.of(KEY, LTP)] is latest.line(KEY, LTP)


def test_shrink_forgets_the_older_half_of_what_nobody_holds() -> None:
    latest = told(LTP)
    for number in range(5):
        told(LTP, key=b"NSE_%d" % number, latest=latest, seq=10 + number)
    assert latest.shrink(lambda key: key == KEY) == 3
    assert [line.key for line in latest.lines.values()] == [KEY, b"NSE_3", b"NSE_4"]
    assert latest.shrink(lambda key: True) == 0


def test_of_an_even_number_shrink_forgets_no_more_than_half() -> None:
    latest = Latest()
    for number in range(4):
        told(LTP, key=b"NSE_%d" % number, latest=latest, seq=number)
    assert latest.shrink(lambda key: False) == 2
    assert [line.key for line in latest.lines.values()] == [b"NSE_2", b"NSE_3"]
