"""What `hub top` shows, and what its keys do."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from cli import topview
from cli.keyboard import BACKSPACE, ENTER, ESCAPE
from cli.topview import SORTS, VIEWS, State
from tests.cli.board import board, process


def drawn(state: State, height: int = 0, width: int = 140, **more: Any) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(topview.picture(board(**more), state, width, height))
    return capture.get().splitlines()


def names(lines: list[str], *among: str) -> list[str]:
    return [word for line in lines for word in line.split()[:1] if word in among]


def test_processes_are_shown_in_their_order_with_what_they_cost() -> None:
    lines = drawn(State("processes", "name", ""))
    assert names(lines, "router", "shard-0", "shard-1") == ["router", "shard-0", "shard-1"]
    assert "Shardhub 9.9" in lines[0]
    assert "5,000" in lines[1]
    assert "p99 800 us" in lines[1]
    (shard,) = [line for line in lines if line.startswith("shard-1")]
    assert {"50.0", "40", "1.8"} <= set(shard.split())


def test_numbers_are_ordered_highest_first_and_the_other_way_round() -> None:
    state = State("processes", "cpu", "")
    among = ("router", "shard-0", "shard-1")
    assert names(drawn(state), *among) == ["shard-1", "router", "shard-0"]
    state.press("r")
    assert names(drawn(state), *among) == ["shard-0", "router", "shard-1"]
    assert names(drawn(State("processes", "p99", "")), *among)[0] == "shard-1"


@pytest.mark.parametrize("view", VIEWS)
def test_every_order_of_every_view_can_be_shown(view: str) -> None:
    for sort in SORTS[view]:
        assert drawn(State(view, sort, ""))


def test_symbols_and_clients_are_shown() -> None:
    lines = drawn(State("symbols", "rate", ""))
    assert names(lines, "NSE_A", "NSE_B") == ["NSE_A", "NSE_B"]
    lines = drawn(State("clients", "slow", ""))
    assert names(lines, "10.0.0.1:5", "10.0.0.2:6") == ["10.0.0.1:5", "10.0.0.2:6"]
    assert "behind for 3s" in "\n".join(lines)
    assert names(drawn(State("clients", "out", "")), "10.0.0.1:5", "10.0.0.2:6")[0] == "10.0.0.2:6"


def test_the_filter_goes_by_name_whatever_the_case_and_by_user() -> None:
    among = ("router", "shard-0", "shard-1")
    assert names(drawn(State("processes", "name", "SHARD")), *among) == ["shard-0", "shard-1"]
    lines = drawn(State("clients", "slow", "bob"))
    assert names(lines, "10.0.0.1:5", "10.0.0.2:6") == ["10.0.0.2:6"]
    assert "No process has this name." in drawn(State("processes", "name", "zzz"))


def test_what_does_not_fit_is_counted() -> None:
    many = [process(f"shard-{number}") for number in range(30)]
    lines = drawn(State("processes", "name", ""), height=20, processes=many)
    assert len(lines) <= 20
    assert any(line.startswith("and ") and "more" in line for line in lines)


def test_reasons_are_told_and_an_absent_monitor_first() -> None:
    state = State("processes", "name", "")
    state.problem = "the hub has no monitor just now"
    lines = drawn(state, reasons=["a", "b", "c", "d"], level="bad")
    assert "! the hub has no monitor just now" in lines
    assert "! and 2 more" in lines


def test_keys_change_what_is_shown() -> None:
    state = State("processes", "cpu", "")
    state.press("c")
    assert (state.view, state.sort) == ("clients", "slow")
    state.press("\t")
    assert state.view == "processes"
    state.press("s")
    assert (state.view, state.sort) == ("symbols", "rate")
    state.press("o")
    assert state.sort == "name"
    state.press("o")
    assert state.sort == "rate"
    state.press(" ")
    assert state.held
    state.press("x")
    assert not state.over
    state.press("q")
    assert state.over


def test_a_filter_is_typed_and_taken_away() -> None:
    state = State("processes", "name", "")
    for key in ("/", "q", "x", BACKSPACE, "s", ENTER):
        state.press(key)
    assert (state.wanted, state.typing, state.over) == ("qs", False, False)
    state.press(ESCAPE)
    assert state.wanted == ""
    for key in ("/", "a", ESCAPE):
        state.press(key)
    assert (state.wanted, state.typing) == ("", False)
