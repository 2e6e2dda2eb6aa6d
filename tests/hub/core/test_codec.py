"""Batches and control messages: round trips, and whatever bytes may come."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import codec
from hub.core.errors import Malformed
from hub.core.model import Result, Want

PAIRS = st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=300))).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WANTS = st.lists(
    st.builds(Want, st.binary(max_size=20), st.integers(0, 7), st.integers(0, 200), TEXTS, TEXTS)
)
RESULTS = st.lists(
    st.builds(Result, st.binary(max_size=20), st.integers(0, 7), TEXTS, st.integers(0, 200))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(PAIRS)
@example([b"NSE_RELIANCE_LTP", b"x" * 70_000])
@example([])
def test_a_batch_makes_the_round_trip(pairs: list[bytes]) -> None:
    assert codec.unpack(codec.pack(pairs)) == pairs


@given(PAIRS, st.binary(max_size=9))
def test_a_batch_of_an_odd_number_of_parts_is_malformed(pairs: list[bytes], odd: bytes) -> None:
    with pytest.raises(Malformed, match="pairs"):
        codec.unpack(codec.pack([*pairs, odd]))


@given(st.binary() | VALUES.map(msgpack.packb))
def test_any_bytes_are_a_batch_or_malformed(frame: bytes) -> None:
    try:
        pairs = codec.unpack(frame)
    except Malformed:
        return
    assert len(pairs) % 2 == 0
    assert all(isinstance(part, bytes) for part in pairs)


@pytest.mark.parametrize("value", [["NSE_A_LTP", "{}"], [1, 2], {"a": 1}, None, [[b"a", b"b"]]])
def test_a_batch_of_anything_but_bytes_is_malformed(value: object) -> None:
    with pytest.raises(Malformed, match="not a batch"):
        codec.unpack(msgpack.packb(value))


@given(PAIRS, st.data())
def test_a_batch_cut_short_or_with_something_behind_it_is_malformed(
    pairs: list[bytes], data: st.DataObject
) -> None:
    frame = codec.pack(pairs)
    cut = data.draw(st.integers(0, len(frame) - 1))
    for broken in (frame[:cut], frame + b"\x00"):
        with pytest.raises(Malformed):
            codec.unpack(broken)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS)
def test_a_control_message_makes_the_round_trip(fields: dict[str, Any], kind: str) -> None:
    message = fields | {"t": kind}
    assert codec.decode(codec.encode(message)) == message


@given(st.binary() | VALUES.map(msgpack.packb))
@example(b"\x91" * 100_000)
@example(b"\x81\xa1t" * 100_000)
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x81\xa1t\xa1\xff")
@example(b"\x81\x01\x02")
@example(b"\xc1")
def test_any_bytes_are_a_control_message_or_malformed(frame: bytes) -> None:
    try:
        message = codec.decode(frame)
    except Malformed:
        return
    assert isinstance(message["t"], str)


@pytest.mark.parametrize("value", [{}, {"t": 1}, {"t": None}, {b"t": "beat"}, ["t"], "t", 7])
def test_a_control_message_is_a_map_with_a_type(value: object) -> None:
    with pytest.raises(Malformed):
        codec.decode(msgpack.packb(value))


@given(WANTS)
def test_wants_travel_as_they_are(wants: list[Want]) -> None:
    assert codec.wants(codec.decode(codec.encode({"t": "interest", "wants": wants}))) == wants


@given(RESULTS)
def test_results_travel_as_they_are(results: list[Result]) -> None:
    sent = codec.encode({"t": "results", "results": results})
    assert codec.results(codec.decode(sent)) == results


@given(st.lists(st.binary(max_size=20)))
def test_keys_travel_as_they_are(keys: list[bytes]) -> None:
    assert codec.keys(codec.decode(codec.encode({"t": "released", "keys": keys}))) == keys


@given(VALUES)
def test_rows_of_another_form_are_malformed_and_nothing_else(value: Any) -> None:
    message = {"t": "x", "wants": value, "results": value, "keys": value}
    for read in (codec.wants, codec.results, codec.keys):
        try:
            rows = read(message)
        except Malformed:
            continue
        assert isinstance(rows, list)


@pytest.mark.parametrize("rows", [None, [[b"k"]], [[b"k", "1"]], [[1, 1]], [b"k"], {"a": 1}, "x"])
def test_wants_need_a_key_and_modes(rows: object) -> None:
    with pytest.raises(Malformed, match="interest: wants"):
        codec.wants({"t": "interest", "wants": rows})


def test_a_payload_travels_unread_and_is_bytes() -> None:
    assert codec.payload(codec.decode(codec.encode({"t": "invalidate", "payload": b"{"}))) == b"{"
    for message in ({"t": "invalidate"}, {"t": "invalidate", "payload": "{"}):
        with pytest.raises(Malformed, match="invalidate: its payload"):
            codec.payload(message)


def test_a_beat_travels_as_it_is() -> None:
    figures = {"in": 3, "started_s": 1.5, "children": {"router": {"pid": 7}}, "lag_s": 0.1}
    assert codec.beat({"t": "beat", "pid": 7, "figures": figures}) == (7, figures)


@pytest.mark.parametrize(
    "beat",
    [
        {},
        {"pid": 7},
        {"figures": {}},
        {"pid": 0, "figures": {}},
        {"pid": -1, "figures": {}},
        {"pid": "7", "figures": {}},
        {"pid": 7, "figures": []},
        {"pid": 7, "figures": {"in": "many"}},
        {"pid": 7, "figures": {"out": None}},
        {"pid": 7, "figures": {"started_s": []}},
        {"pid": 7, "figures": {"children": []}},
        {"pid": 7, "figures": {"children": {"router": "ready"}}},
    ],
)
def test_a_beat_of_another_form_is_malformed(beat: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="beat"):
        codec.beat({"t": "beat"} | beat)


SLOW = {
    "behind": True, "conflated": 3, "unsent_bytes": 10, "out_s": 1.5, "share": 0.5, "user": "alice",
}  # fmt: skip


def test_what_a_look_tells_travels_as_it_is() -> None:
    message = {"t": "looked", "hottest": [(b"NSE_A_LTP", 2.5)], "slowest": [SLOW]}
    travelled = codec.decode(codec.encode(message))
    assert codec.looked(travelled) == ([(b"NSE_A_LTP", 2.5)], [SLOW])


@pytest.mark.parametrize(
    "told",
    [
        {"slowest": []},
        {"hottest": []},
        {"hottest": [("NSE_A_LTP", 2.5)], "slowest": []},
        {"hottest": [(b"NSE_A_LTP",)], "slowest": []},
        {"hottest": [], "slowest": [5]},
        *({"hottest": [], "slowest": [SLOW | {name: None}]} for name in [*SLOW][:5]),
    ],
)
def test_a_look_of_another_form_is_malformed(told: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="looked"):
        codec.looked({"t": "looked", **told})


def test_a_message_without_its_rows_is_malformed() -> None:
    for read in (codec.wants, codec.results, codec.keys):
        with pytest.raises(Malformed):
            read({"t": "interest"})
