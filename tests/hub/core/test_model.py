"""Modes as numbers, bits and labels; instruments and their keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.model import Instrument, Mode, Want, highest_up_to, lowest

SETS = st.sets(st.sampled_from(Mode))


def bits(modes: set[Mode]) -> int:
    return sum(mode.bit for mode in modes)


def test_the_numbers_bits_and_labels_are_those_of_the_client_protocol() -> None:
    assert [(mode.value, mode.bit, mode.label) for mode in Mode] == [
        (1, 1, "LTP"),
        (2, 2, "Quote"),
        (3, 4, "Depth"),
    ]


@given(SETS)
def test_lowest_is_the_lowest_number_of_the_set(modes: set[Mode]) -> None:
    assert lowest(bits(modes)) == min(modes, default=0)


@given(SETS, st.sampled_from(Mode))
def test_highest_up_to_never_goes_beyond_the_mode(modes: set[Mode], mode: Mode) -> None:
    expected = max((held for held in modes if held <= mode), default=0)
    assert highest_up_to(bits(modes), mode) == expected


@pytest.mark.parametrize("mode", Mode)
def test_a_client_may_name_a_mode_by_number_or_by_label_in_any_case(mode: Mode) -> None:
    for value in (int(mode), mode.label, mode.name, mode.label.lower(), f" \t{mode.label}\n"):
        assert Mode.from_client(value) is mode


@pytest.mark.parametrize(
    "value", [0, 4, -1, True, False, None, 1.0, "", "1", "full", [1], {}, b"LTP"]
)
def test_anything_else_is_no_mode_and_the_sentence_names_it(value: object) -> None:
    with pytest.raises(ValueError, match="is not one of 1") as caught:
        Mode.from_client(value)
    assert repr(value) in str(caught.value)


@given(st.text(), st.text())
def test_text_is_a_mode_or_a_value_error_and_nothing_else(before: str, after: str) -> None:
    try:
        mode = Mode.from_client(before + "depth" + after)
    except ValueError:
        assert (before + after).strip()
    else:
        assert mode is Mode.DEPTH
        assert not (before + after).strip()


def test_a_key_is_exchange_and_symbol_whatever_underscores_they_have() -> None:
    assert Instrument("NSE_INDEX", "NIFTY").key == b"NSE_INDEX_NIFTY"
    assert Instrument("NSE_INDEX", "NIFTY").key == Instrument("NSE", "INDEX_NIFTY").key
    assert Instrument("NSE", "रिलायंस").key.decode() == "NSE_रिलायंस"


def test_a_want_is_for_five_levels_unless_it_says_otherwise() -> None:
    assert Want(b"@orders:alice", 1) == (b"@orders:alice", 1, 5, "", "")
