"""What `hub tail` sends, and how a tick reads."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import ticks
from hub.core.model import Instrument, Mode

NAMES = st.text(st.characters(categories=["Lu", "Nd"]), min_size=1)
INSTRUMENTS = st.lists(st.builds(Instrument, NAMES, NAMES), min_size=1, unique=True)


@given(INSTRUMENTS)
def test_symbols_are_read_as_they_are_written(wanted: list[Instrument]) -> None:
    text = " , ".join(f"{one.exchange}:{one.symbol}" for one in wanted)
    assert ticks.instruments(text) == wanted
    assert ticks.instruments(f"{text},{text}") == wanted


@pytest.mark.parametrize("text", ["", ",", "RELIANCE", "NSE:", ":RELIANCE", "NSE:A,B"])
def test_what_is_no_symbol_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="EXCHANGE:SYMBOL"):
        ticks.instruments(text)


def test_requests() -> None:
    assert json.loads(ticks.authenticate("k")) == {"action": "authenticate", "api_key": "k"}
    assert json.loads(ticks.subscribe([Instrument("NSE", "SBIN")], Mode.DEPTH)) == {
        "action": "subscribe", "symbols": [{"exchange": "NSE", "symbol": "SBIN"}], "mode": "Depth",
    }  # fmt: skip


def test_the_clock_takes_seconds_milliseconds_or_now() -> None:
    at = time.mktime((2026, 1, 2, 9, 15, 7, 0, 0, -1))
    assert ticks.clock(at * 1000 + 42, 0) == "09:15:07.042"
    assert ticks.clock(at, 0) == "09:15:07.000"
    assert ticks.clock("yesterday", at + 0.5) == ticks.clock(None, at + 0.5) == "09:15:07.500"


def line(**data: object) -> str:
    message = {"exchange": "NSE", "symbol": "SBIN", "data": data}
    return " ".join(ticks.line(message, 12, 0.0).plain.split()[1:])


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


@given(st.dictionaries(
    st.sampled_from(["ltp", "close", "change", "change_percent", "volume", "timestamp", "depth"]),
    st.none() | st.booleans() | st.text() | st.integers(-(10**9), 10**9),
))  # fmt: skip
def test_no_tick_breaks_it(data: dict[str, object]) -> None:
    message = {"exchange": "NSE", "symbol": "SBIN", "data": data}
    assert "NSE:SBIN" in ticks.line(message, 10, 1.0).plain


def test_gains_are_green_and_losses_red() -> None:
    for move, style in ((1, "green"), (-1, "red"), (0, "dim")):
        message = {"data": {"ltp": 5, "change": move}}
        styles = {str(span.style) for span in ticks.line(message, 1, 0.0).spans}
        assert style in styles
        assert not {"green", "red"} - {style} & styles


def test_refused_symbols_are_sentences() -> None:
    rows = [
        {"exchange": "NSE", "symbol": "A", "status": "success"},
        {"exchange": "NSE", "symbol": "B", "status": "error", "message": "no such thing"},
    ]
    assert ticks.refused({"subscriptions": rows}) == ["NSE:B: no such thing"]
