"""How a tick reads in a terminal, and a book."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from cli import ticks
from hub.client.messages import Depth, Level, Tick
from hub.core.model import Mode

AT = time.mktime((2026, 1, 2, 9, 15, 7, 0, 0, -1))


def tick(**data: Any) -> Tick:
    return Tick("NSE", "SBIN", Mode.DEPTH, data, round((AT + 0.5) * 1e9), {})


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        (AT * 1000 + 42, "09:15:07.042"),
        (AT, "09:15:07.000"),
        ("yesterday", "09:15:07.500"),
        (None, "09:15:07.500"),
        (-5, "09:15:07.500"),
        (AT * 1e9, "09:15:07.500"),
    ],
)
def test_the_clock_takes_seconds_milliseconds_or_the_arrival(timestamp: Any, shown: str) -> None:
    assert ticks.clock(tick(timestamp=timestamp)) == shown


def line(**data: object) -> str:
    return " ".join(ticks.line(tick(**data), 12).plain.split()[1:])


def test_a_line_has_what_the_tick_carries() -> None:
    assert line(ltp=2501.4) == "NSE:SBIN 2,501.40"
    assert line(ltp=84.0275) == "NSE:SBIN 84.0275"
    assert line(ltp=110.0, close=100.0, volume=12345) == "NSE:SBIN 110.00 +10.00 +10.00 % 12,345"
    assert line(ltp=99.0, change=-1.0, change_percent=-1.0).endswith("-1.00 -1.00 %")
    assert line(volume=0) == "NSE:SBIN 0"
    assert line() == "NSE:SBIN"


def test_a_depth_has_its_best_level() -> None:
    depth = {"buy": [{"price": 99.9, "quantity": 1500}], "sell": [{"price": 100, "quantity": 7}]}
    assert line(ltp=100, depth=depth).endswith("1,500 @ 99.90 | 100.00 @ 7")
    assert line(ltp=100, change=1, depth=depth).split()[2:4] == ["+1.00", "1,500"]
    assert line(ltp=100, depth={"buy": [], "sell": []}) == "NSE:SBIN 100.00"


FIGURES = st.none() | st.text() | st.integers(0, 10**12)
LEVELS = st.lists(
    st.dictionaries(st.sampled_from(["price", "quantity", "orders"]), FIGURES) | st.text()
)


@given(st.dictionaries(
    st.sampled_from(["ltp", "close", "change", "change_percent", "volume", "timestamp", "depth"]),
    st.none() | st.booleans() | st.text() | st.integers() | st.floats()
    | st.fixed_dictionaries({}, optional={"buy": LEVELS, "sell": LEVELS}),
))  # fmt: skip
def test_no_tick_breaks_it(data: dict[str, Any]) -> None:
    assert "NSE:SBIN" in ticks.line(tick(**data), 10, 1.0).plain
    assert "NSE:SBIN" in drawn(tick(**data))


def test_gains_are_green_and_losses_red() -> None:
    for move, style in ((1, "green"), (-1, "red"), (0, "dim")):
        styles = {str(span.style) for span in ticks.line(tick(ltp=5, change=move), 1).spans}
        assert style in styles
        assert not {"green", "red"} - {style} & styles


@pytest.mark.parametrize(
    ("ltp", "before", "style"),
    [
        (5, 4, "bold green"),
        (4, 5, "bold red"),
        (5, 5, "bold"),
        (5, None, "bold"),
        (None, 5, "bold"),
    ],
)
def test_a_price_has_the_colour_of_its_way(ltp: Any, before: float | None, style: str) -> None:
    spans = ticks.line(tick(ltp=ltp), 1, before).spans
    assert [str(span.style) for span in spans if "bold" in str(span.style)] == [style]


def drawn(one: Tick, width: int = 100, height: int = 40) -> str:
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(ticks.ladder(one, None, width, height))
    return capture.get()


def book(levels: int) -> dict[str, Any]:
    buy, sell = (
        [{"price": 100 + sign * n, "quantity": 10 * n, "orders": n} for n in range(1, levels + 1)]
        for sign in (-1, 1)
    )
    return {"buy": buy, "sell": sell}


@pytest.mark.parametrize("levels", [5, 20, 30, 50])
def test_a_ladder_has_all_levels_the_best_on_top(levels: int) -> None:
    rows = drawn(tick(ltp=100.0, depth=book(levels)), height=60).splitlines()
    assert len(rows) == levels + 3
    assert "99.00" in rows[2]
    assert "101.00" in rows[2]
    assert f"{10 * levels:,}" in rows[levels + 1]
    assert max(map(len, rows)) <= 100


def test_the_bars_are_as_long_as_the_quantities_and_stand_beside_the_prices() -> None:
    one = tick(depth={"buy": [{"price": 9, "quantity": 100}, {"price": 8, "quantity": 50}],
                      "sell": [{"price": 10, "quantity": 25}]})  # fmt: skip
    _, _, best, second, _ = drawn(one).splitlines()
    left, right = best.split("9.00")[0], best.split("10.00")[1]
    cells = left.count("█")
    assert cells >= 10
    assert (second.count("█"), right.count("█")) == (round(cells / 2), round(cells / 4))


def test_a_ladder_fits_into_a_small_terminal() -> None:
    rows = drawn(tick(ltp=1.0, depth=book(50)), width=80, height=12).splitlines()
    assert len(rows) == 11
    assert max(map(len, rows)) <= 80


def test_the_balance_tells_which_side_has_more() -> None:
    text: Text = ticks.balance(Depth((Level(1, 30, 1),), (Level(2, 10, 1),)), 40)
    assert text.plain.startswith("30 bid ")
    assert text.plain.endswith(" 10 asked  75 : 25")
    assert ticks.balance(Depth((), ()), 40).plain == "no book"
