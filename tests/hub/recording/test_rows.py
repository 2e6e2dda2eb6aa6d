"""One row as a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.core.errors import Malformed
from hub.recording import rows
from hub.recording.rows import Kind
from tests.hub.recording.kit import BEGIN_NS, row


def test_a_line_is_json_that_any_program_can_read() -> None:
    text = rows.line(row(symbol="M&M-EQ"))
    assert text.endswith(b"\n")
    assert json.loads(text) == {
        "time_ns": BEGIN_NS, "topic": "NSE_M&M-EQ_QUOTE", "exchange": "NSE", "symbol": "M&M-EQ",
        "data": {"ltp": 0, "n": 1.5},
    }  # fmt: skip
    assert b'"n":1.50' in text, "data is kept as it is"
    assert rows.line(rows.parse(text, "x")) == text


def test_what_others_write_needs_three_fields() -> None:
    one = rows.parse(b'{"time_ns": 5, "topic": "A_B_LTP", "data": {"x": [1, {}]}, "more": 1}', "x")
    assert (one.time_ns, one.topic, bytes(one.data)) == (5, "A_B_LTP", b'{"x": [1, {}]}')


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"[]",
        b'{"time_ns": 1}',
        b'{"time_ns": 1.5, "topic": "a", "data": {}}',
        b'{"time_ns": 1, "topic": "a", "data": 5}',
    ],
)
def test_what_is_no_row_is_told_with_its_place(text: bytes) -> None:
    with pytest.raises(Malformed, match="f:3 is no row of a recording"):
        rows.parse(text, "f:3")


def test_the_name_tells_the_kind() -> None:
    assert rows.kind(Path("a.jsonl")) is Kind.LINES
    assert rows.kind(Path("a.b.jsonl.zst")) is Kind.PACKED
    assert rows.kind(Path("a.parquet")) is Kind.PARQUET
    with pytest.raises(Malformed, match=r"\.jsonl, \.jsonl\.zst, \.parquet"):
        rows.kind(Path("a.csv"))


def test_whole_numbers_of_any_size_stay_whole() -> None:
    big = 12345678901234567890123
    assert json.loads(rows.json_of({"v": big})) == {"v": big}
    assert rows.json_of({"v": 1, "f": 2.0}) == b'{"v":1,"f":2.0}'
