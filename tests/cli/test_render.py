"""Tables, bars and figures as they are read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli import render
from cli.render import Column


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (2.44, "2.4"), (9.94, "9.9"), (9.96, "10"), (380.2, "380"), (12400, "12,400"),
        (999_499, "999,499"), (999_500, "1.00M"), (1_250_000, "1.25M"),
    ],
)  # fmt: skip
def test_rates_have_three_or_four_digits(value: float, text: str) -> None:
    assert render.rate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"), (7.9, "7s"), (60, "1m00s"), (245, "4m05s"), (3600, "1h00m"), (7380, "2h03m"),
        (86399, "23h59m"), (86400, "1d00h"), (446400, "5d04h"),
    ],
)  # fmt: skip
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


def test_figures() -> None:
    assert render.millis(0.36) == "0.4 ms"
    assert render.millis(1234.5) == "1,234 ms"
    assert render.size(35.4 * (1 << 20)) == "35 MiB"
    assert render.figure(12345) == "12,345"
    assert render.price(2501.5) == "2,501.50"
    assert render.price(84.0275) == "84.0275"
    assert render.quantity(None) == ""


@pytest.mark.parametrize("make", [render.rate, render.millis, render.size, render.duration])
def test_what_does_not_apply_is_a_dot(make: object) -> None:
    assert callable(make)
    assert str(make(None)) == "·"


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(1, 60))
def test_a_bar_is_as_wide_as_asked_and_grows_with_its_value(a: float, b: float, width: int) -> None:
    low, high = (render.bar(value, 100.0, width).plain for value in sorted((a, b)))
    assert len(low) == len(high) == width
    assert low.count("█") <= high.count("█")


def test_bars_at_their_ends() -> None:
    assert render.bar(0, 100, 4).plain == "    "
    assert render.bar(50, 100, 4).plain == "██  "
    assert render.bar(100, 100, 4).plain == render.bar(250, 100, 4).plain == "████"
    assert render.bar(1, 0, 4).plain == "    "


@pytest.mark.parametrize(("percent", "colour"), [(0, "cyan"), (60, "yellow"), (90, "red")])
def test_load_has_a_colour(percent: float, colour: str) -> None:
    assert render.heat(percent) == colour


def test_an_unknown_state_looks_alarming() -> None:
    assert render.state("ready").style == "green"
    assert render.state("failed").style == render.state("what").style == "bold red"


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]))), st.integers(20, 120)
)
def test_no_table_is_wider_than_its_console_and_no_cell_is_wrapped(
    notes: list[str], width: int
) -> None:
    table = render.table(
        (Column("name"), Column("notes", wide=True)), [("x", note) for note in notes], ("sum", "")
    )
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert sum(line.startswith("x") for line in lines) == len(notes)
    assert len(lines) == len(notes) + 4


def test_what_is_whole_is_never_cut_and_what_says_nothing_may_be_left_out() -> None:
    columns = (
        Column("process", whole=True),
        Column("words", wide=True),
        Column("empty", spare=True),
        Column("pid", right=True, whole=True),
        Column("restarts", right=True, spare=True),
    )
    rows: list[tuple[render.Cell, ...]] = [("feed-openalgo", "x" * 60, "", "12345", render.ABSENT)]
    out = io.StringIO()
    Console(file=out, width=40).print(render.table(columns, rows, ("total", "", "", "", "0")))
    text = out.getvalue()
    assert "feed-openalgo" in text
    assert "12345" in text
    assert "empty" not in text
    assert "restarts" not in text
    rows.append(("router", "", "", "7", "2"))
    out = io.StringIO()
    Console(file=out, width=80).print(render.table(columns, rows, ("total", "", "", "", "2")))
    assert "restarts" in out.getvalue()
