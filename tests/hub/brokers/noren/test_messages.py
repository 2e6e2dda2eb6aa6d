"""Messages read the same in one go and field by field; what is no number costs itself alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.noren import messages
from hub.brokers.noren.messages import COUNTS, NUMBERS

_NUMBERS = st.integers(-(10**9), 10**9)
_PRICES = _NUMBERS.map(lambda units: units / 100)


@st.composite
def told(draw: st.DrawFn) -> dict[str, Any]:
    """A tick as a server may write it: numbers as text, or as numbers."""
    found: dict[str, Any] = {"t": "df", "e": "NFO", "tk": "65872", "ltt": "09:15:00"}
    for name in draw(st.sets(st.sampled_from(NUMBERS))):
        value = draw(_NUMBERS if name in COUNTS else _PRICES)
        found[name] = draw(st.sampled_from([value, str(value)]))
    return found


@given(told())
def test_in_one_go_and_field_by_field_a_message_reads_the_same(found: dict[str, Any]) -> None:
    at_once = messages.book(json.dumps(found))
    cleaned, left_out = messages.clean(found)
    assert msgspec.structs.asdict(at_once) == msgspec.structs.asdict(cleaned)
    assert not left_out


@pytest.mark.parametrize(
    ("odd", "left_out"),
    [
        ("", 0), ("-", 0), (" ", 0), (None, 0),
        ("nan", 1), ("NaN", 1), ("inf", 1), ("-Infinity", 1), ("1e400", 1), ("1_0", 1),
        ("0x1f", 1), ("\u0661\u0662", 1), ("x", 1), ("1" * 400, 1), (10**300, 1), (True, 1),
        ([], 1), ({}, 1),
    ],
)  # fmt: skip
def test_an_odd_field_is_left_out_and_the_others_are_read(odd: object, left_out: int) -> None:
    found = {"t": "tf", "e": "NSE", "tk": "22", "lp": odd, "v": odd, "h": "12.5"}
    if odd is not None:
        with pytest.raises(messages.UNREADABLE):
            messages.touch(json.dumps(found))
    cleaned, counted = messages.clean(found)
    assert (cleaned.lp, cleaned.v, cleaned.h) == (None, None, 12.5)
    assert counted == 2 * left_out


@pytest.mark.parametrize(("word", "value"), [(" 12.5 ", 12.5), ("0012.50", 12.5), ("+3", 3.0)])
def test_a_number_may_be_written_oddly(word: str, value: float) -> None:
    cleaned, left_out = messages.clean({"t": "tf", "e": "NSE", "tk": 22, "lp": word})
    assert (cleaned.tk, cleaned.lp, left_out) == ("22", value, 0)


@given(st.dictionaries(st.sampled_from([*NUMBERS, "t", "e", "tk", "ltt"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=3,
)))  # fmt: skip
def test_whatever_a_field_holds_nothing_raises(found: dict[str, Any]) -> None:
    cleaned, left_out = messages.clean(found)
    assert 0 <= left_out <= len(found)
    for value in msgspec.structs.astuple(cleaned):
        assert value is None or isinstance(value, str) or abs(value) <= 2**53


@pytest.mark.parametrize(
    "data", ["", "{", "[]", "1", '"t"', "null", b"\xff\xfe", "\ud800", '{"a":' * 100_000]
)
def test_what_is_no_object_has_no_words(data: str | bytes) -> None:
    assert messages.words(data) is None
