"""What a client asks for."""

from __future__ import annotations

import json

import pytest

from hub.client import wishes
from hub.client.wishes import Held, Wish
from hub.core.model import Instrument, Mode

A, B, C = (Instrument("NSE", name) for name in "ABC")


@pytest.mark.parametrize(
    "symbols",
    ["NSE:A,NSE:B", " NSE:A , NSE:B,", ["NSE:A", "NSE:B,NSE:A"], [A, "NSE:B"], [A, B], (A, B, A)],
)
def test_symbols_are_written_in_many_ways_and_each_counts_once(symbols: wishes.Symbols) -> None:
    assert wishes.instruments(symbols) == [A, B]


def test_a_single_instrument_is_one_symbol_and_colons_may_follow() -> None:
    assert wishes.instruments(A) == [A]
    assert wishes.instruments("NFO:X:1") == [Instrument("NFO", "X:1")]


@pytest.mark.parametrize("symbols", ["", [], ",", "SBIN", ":A", "NSE:", ["NSE:A", "x"]])
def test_what_is_no_symbol_says_how_one_looks(symbols: wishes.Symbols) -> None:
    with pytest.raises(ValueError, match=r"EXCHANGE:SYMBOL, such as NSE:RELIANCE"):
        wishes.instruments(symbols)


def test_a_subscribe_has_only_what_was_asked_for() -> None:
    (plain,) = map(json.loads, wishes.subscribe([A], Wish(Mode.QUOTE)))
    assert plain == {"action": "subscribe", "symbols": [A._asdict()], "mode": "Quote"}
    (full,) = map(json.loads, wishes.subscribe([A], Wish(Mode.DEPTH, 20, 4.0, snapshot=False)))
    assert full == plain | {"mode": "Depth", "depth": 20, "max_rate": 4.0, "snapshot": False}
    (drop,) = map(json.loads, wishes.unsubscribe([A], Mode.LTP))
    assert drop == {"action": "unsubscribe", "symbols": [A._asdict()], "mode": "LTP"}


def test_many_symbols_are_several_requests_each_below_what_a_hub_takes() -> None:
    many = [Instrument("N" * 8, f"{number:0>247}") for number in range(5001)]
    texts = [*wishes.subscribe(many, Wish(Mode.QUOTE))]
    assert max(map(len, texts)) < 1 << 20
    found = [Instrument(**one) for text in texts for one in json.loads(text)["symbols"]]
    assert found == many


def test_what_is_held_is_told_by_how_it_was_asked_for() -> None:
    held = Held()
    held.add([A, B], Wish(Mode.LTP))
    held.add([A, C], Wish(Mode.DEPTH, 20))
    held.add([B], Wish(Mode.LTP, max_rate=2.0))
    assert held.by_wish() == {
        Wish(Mode.LTP): [A], Wish(Mode.LTP, max_rate=2.0): [B], Wish(Mode.DEPTH, 20): [A, C],
    }  # fmt: skip
    held.drop([A, B], Mode.DEPTH)
    assert held.still([A, B, C], Mode.DEPTH) == [C]
    assert held.still([A, B, C], Mode.LTP) == [A, B]
    assert repr(held) == "<Held 3>"
    held.clear()
    assert not len(held)
