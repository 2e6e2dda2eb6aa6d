"""What is a plain JSON object to the compiled twin is one to `payload.clean` as well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core.errors import Malformed
from hub.core.payload import clean
from tests.hub.core.kit import unreached

WORDS = (
    *rb'{ } [ ] : , " "a" \ \n \u00e9 0 1 - . e E+ 1.5e-3 true tru false null NaN / //'.split(b" "),
    *rb'Infinity {} {"a": [1, "b":2'.split(b" "),
    *(b" ", b"\n", b"\x00", b"\x7f", b"\x1f", b"\xc3\xa4", b"\xff"),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner),
    max_leaves=12,
)


def routed(twin: Any, payload: bytes) -> bytes | None:
    """What becomes of a payload on its way; None when it is dropped."""
    group = twin.Group((0,), [])
    malformed = twin.route([b"T", payload], {b"T": (group,)}, unreached, [])
    assert malformed == (not group.pairs)
    return group.pairs[1] if group.pairs else None


def expected(payload: bytes) -> bytes | None:
    try:
        return clean(payload)
    except Malformed:
        return None


@given(words=st.lists(st.sampled_from(WORDS), max_size=14))
@example(words=[b'{"a":', b"0", b"1", b"}"])
@example(words=[b'{"a":', b"-", b"}"])
@example(words=[b'{"a":', b"1", b",", b"}"])
@example(words=[b'{"a":', b"[1,", b"]", b"}"])
@example(words=[b'{"a":', b"[1,", b"1", b"}"])
@example(words=[b"{}", b"\x00"])
@example(words=[b'{"a":', b"1", b"\x00", b"}"])
@example(words=[b'{"a":', b"1", b"}", b"}"])
@example(words=[b'{"a"', b",", b'"b":2', b"}"])
@example(words=[b'{"a":', b'"b":2', b"}"])
@example(words=[b"{", b'"\\'])
@example(words=[b'{"a":', b"tru"])
@example(words=[b'{"a":', b"1", b"e"])
@example(words=[b'{"a":', b"1", b"E+"])
@example(words=[b'{"a":', b"1e999", b"}"])
def test_of_anything_like_json_both_make_the_same(twin: Any, words: list[bytes]) -> None:
    for payload in (b"".join(words), b"{" + b"".join(words) + b"}"):
        assert routed(twin, payload) == expected(payload)


@given(value=st.dictionaries(TEXTS, VALUES), data=st.data())
def test_any_object_passes_and_cut_anywhere_it_does_not(
    twin: Any, value: dict[str, Any], data: st.DataObject
) -> None:
    payload = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode()
    assert routed(twin, payload) == payload
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    assert routed(twin, cut) is None


@pytest.mark.parametrize("depth", [1, 59, 60, 61, 63, 64, 65, 100])
@pytest.mark.parametrize("end", [b"", b"}", b"]"])
def test_any_depth_is_the_same(twin: Any, depth: int, end: bytes) -> None:
    for opened, closed in ((b'{"a":', b"}"), (b'[{"a":', b"}]")):
        payload = b'{"a":' + opened * depth + b"1" + closed * depth + b"}" + end
        assert routed(twin, payload) == expected(payload)
