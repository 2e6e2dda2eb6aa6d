"""Payloads, whatever they hold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Malformed
from hub.core.payload import clean
from tests.hub.core.kit import OBJECTS, TEXTS

PIECES = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"1",
        b"-",
        b".",
        b"e5",
        b"NaN",
        b"Infinity",
        b"0",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"true",
        b"null",
        b'"a"',
        b'{"a":',
        b"\\u12",
        b"\\ud83d",
        b"\x00",
        b"\xff",
        b"\xc3\xa9",
        b"\xed\xa0\x80",
        b"\n",
        b" ",
        b"\xef\xbb\xbf",
        b"/*x*/",
    ]
)


def strict(payload: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8 without BOM, no NaN, no infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(payload.decode(), parse_constant=refuse)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_object_passes_untouched(
    value: dict[str, Any], escaped: bool, indent: int | None
) -> None:
    payload = json.dumps(value, ensure_ascii=escaped, indent=indent).encode(
        "utf-8", "surrogatepass"
    )
    try:
        payload.decode()
    except UnicodeDecodeError:  # a lone surrogate: not UTF-8, so it is written with escapes
        assert strict(clean(payload)) == value
    else:
        assert clean(payload) is payload


def test_what_an_object_holds_is_not_looked_at() -> None:
    for payload in (
        b'{"type": 1, "t": [1e999]}',
        b'{"a":1,"a":2}',
        b' {"n": 1%s} ' % (b"0" * 9999),
    ):
        assert clean(payload) is payload


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_know_becomes_null(constant: str) -> None:
    payload = f'{{"ltp": {constant}, "rows": [{{"p": {constant}}}], "s": "{constant} é"}}'
    assert strict(clean(payload.encode())) == {
        "ltp": None,
        "rows": [{"p": None}],
        "s": f"{constant} é",
    }


def test_a_number_beyond_all_floats_beside_a_nan_does_not_become_infinity() -> None:
    try:
        cleaned = clean(b'{"a": NaN, "b": 1e999}')
    except Malformed:
        return
    strict(cleaned)


@given(st.dictionaries(TEXTS, st.floats() | st.lists(st.floats()), max_size=5))
def test_pythons_own_dumps_of_any_floats_can_be_sent(value: dict[str, Any]) -> None:
    read_back = strict(clean(json.dumps(value).encode()))
    for key, number in value.items():
        if isinstance(number, float):
            assert read_back[key] == (number if math.isfinite(number) else None)
        else:
            assert read_back[key] == [n if math.isfinite(n) else None for n in number]


@pytest.mark.parametrize("payload", [b"[]", b"1", b'"x"', b"null", b"true", b"NaN", b"[{}]"])
def test_json_that_is_no_object_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        clean(payload)


@pytest.mark.parametrize(
    "payload",
    [b"", b" ", b"{", b"{}}", b"{'a':1}", b'{"a":1}\x00', b"{1:2}", b'{"a":01}', b'{"a":"\n"}',
     b'{"a":"\\q"}', b'{"a":.5}', b'{"a":[1,]}', b"{}{}", b'{"a":"\xff"}', b'{"\xc3":1}',
     b'{"a":"\xc0\xaf"}', b"\xff\xfe", b'{"a":+1}', b'{"a":0x1}'],
)  # fmt: skip
def test_garbage_and_invalid_utf_8_are_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        clean(payload)


@pytest.mark.parametrize("leaf", [b"1", b"NaN"])
@pytest.mark.parametrize("depth", [10, 900, 990, 1000, 5000, 200_000])
def test_deep_nesting_passes_or_is_malformed(leaf: bytes, depth: int) -> None:
    payload = b'{"a":' + b"[" * depth + leaf + b"]" * depth + b"}"
    try:
        cleaned = clean(payload)
    except Malformed:
        assert depth >= 900
        return
    assert cleaned.count(b"[") == depth
    assert b"NaN" not in cleaned


@given(st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=40))
def test_whatever_comes_is_json_that_clients_can_read_or_malformed(payload: bytes) -> None:
    try:
        cleaned = clean(payload)
    except Malformed:
        return
    assert isinstance(strict(cleaned), dict)
