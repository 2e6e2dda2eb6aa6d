"""Forms: what a client in batches or msgpack reads is what one of plain text does."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import forms, frames
from hub.core.errors import Malformed
from hub.core.forms import BATCH, MOST_BYTES, MSGPACK, PLAIN
from hub.core.hot import Line, header
from hub.core.index import Variant
from hub.core.model import Mode
from tests.hub.core.kit import JSON, OBJECTS
from tests.shards.kit import bodies, received, ticks

FORMS = (PLAIN, BATCH, MSGPACK, BATCH | MSGPACK)
NAMES = st.text(st.characters(codec="utf-8"), max_size=9)


def make_line(data: object, *, escaped: bool = True) -> Line:
    line = Line(b"NSE_TCS", Mode.QUOTE)
    line.payload = json.dumps(data, ensure_ascii=escaped).encode()
    return line


def make_variant(form: int, exchange: str = "NSE", symbol: str = "TCS") -> Variant:
    return Variant(Mode.QUOTE.bit, exchange, symbol, "zerodha", "bus", form)


def make_piece(line: Line, form: int) -> bytes:
    return forms.piece(line, *forms.around(make_variant(form), Mode.QUOTE), form)


def sent(lines: list[Line], form: int) -> bytes:
    return forms.joined([make_piece(line, form) for line in lines], form)


def in_msgpack(value: Any) -> Any:
    """JSON as a reader of msgpack can have it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, dict):
        return {name: in_msgpack(inner) for name, inner in value.items()}
    return [in_msgpack(inner) for inner in value] if isinstance(value, list) else value


# One writing is as good as another.


@given(st.lists(OBJECTS, max_size=20), NAMES, NAMES, st.booleans())
@example([{"ltp": 1.0, "n": 1, "x": -0.0, "y": 1e300}, {}], "NSE_INDEX", 'NIFTY"50\\ ₹', False)
def test_every_form_says_what_plain_text_says(
    data: list[dict[str, Any]], exchange: str, symbol: str, escaped: bool
) -> None:
    lines = [make_line(one, escaped=escaped) for one in data]
    expected: list[Any] = []
    for form in FORMS:
        around = forms.around(make_variant(form, exchange, symbol), Mode.DEPTH)
        pieces = [forms.piece(line, *around, form) for line in lines]
        found = ticks(forms.joined(pieces, form), form)
        if form == PLAIN:
            expected = found
            assert [one["data"] for one in found] == data
        elif form == BATCH:
            assert repr(found) == repr(expected)
        else:
            assert repr(found) == repr(in_msgpack(expected)), "also the kinds, and the order"


@pytest.mark.parametrize("form", FORMS)
def test_a_tick_that_follows_skipped_ones_has_one_field_more_at_its_end(form: int) -> None:
    line, variant = make_line({"ltp": 1.5}), make_variant(form)
    plain, more = (
        ticks(forms.joined([forms.piece(line, *around, form)], form), form)[0]
        for around in (forms.around(variant, Mode.QUOTE), forms.around(variant, Mode.QUOTE, 70_000))
    )
    assert list(more.items()) == [*plain.items(), ("skipped", 70_000)]
    assert forms.around(variant, Mode.QUOTE, 0) == forms.around(variant, Mode.QUOTE)


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=40))
def test_a_batch_is_bounded_and_nothing_of_it_is_lost(sizes: list[int]) -> None:
    lines = [make_line({"n": n, "x": "y" * size}) for n, size in enumerate(sizes)]
    for form in (BATCH, BATCH | MSGPACK):
        data = sent(lines, form)
        batches = received(data, form)
        assert [one["data"]["n"] for one in ticks(data, form)] == list(range(len(sizes)))
        pieces = [len(make_piece(line, form)) for line in lines]
        assert len(batches) == 1 or sum(pieces) + 2 * len(pieces) > MOST_BYTES
        for batch in batches:
            written = [len(make_piece(lines[one["data"]["n"]], form)) for one in batch]
            assert sum(written) + 2 * len(written) <= MOST_BYTES


def test_a_batch_is_filled_as_far_as_it_may_be() -> None:
    size = len(make_piece(make_line({"x": ""}), BATCH)) + 2
    full = make_line({"x": "y" * (MOST_BYTES // 4 - size)})
    over = make_line({"x": "y" * (MOST_BYTES // 4 - size + 1)})
    assert len(sent([full] * 4, BATCH)) == MOST_BYTES + len(header(MOST_BYTES))
    assert [len(one) for one in received(sent([full, full, full, over], BATCH), BATCH)] == [3, 1]


@pytest.mark.parametrize("form", [BATCH, BATCH | MSGPACK])
def test_a_tick_larger_than_a_batch_goes_alone(form: int) -> None:
    small, large = make_line({"x": 1}), make_line({"x": "y" * MOST_BYTES})
    found = received(sent([small, large, large, small, small], form), form)
    assert [len(batch) for batch in found] == [1, 1, 1, 2]


@pytest.mark.parametrize("form", [BATCH, BATCH | MSGPACK])
def test_one_tick_is_a_batch_and_none_is_nothing(form: int) -> None:
    (batch,) = received(sent([make_line({"ltp": 1})], form), form)
    assert [one["data"] for one in batch] == [{"ltp": 1}]
    assert forms.joined([], form) == b""


@pytest.mark.parametrize("how_many", [1, 15, 16, 2000])
def test_the_msgpack_package_reads_it_too(how_many: int) -> None:
    """It is what most clients in Python have; ours is another."""
    data = sent([make_line({"n": n}) for n in range(how_many)], BATCH | MSGPACK)
    (body,) = bodies(data)
    (batch,) = received(data, BATCH | MSGPACK)
    assert msgpack.unpackb(body) == batch


def test_a_batch_of_text_holds_the_very_objects_of_plain_text() -> None:
    line = make_line({"ltp": 1.50})
    plain = sent([line], PLAIN)[2:]
    assert sent([line, line], BATCH).endswith(b"[" + plain + b", " + plain + b"]")


# Messages that are no ticks.


@given(OBJECTS)
def test_a_message_is_one_object_in_any_form(value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    assert forms.message(text, PLAIN) == forms.message(text, BATCH) == frames.text(text)
    packed = forms.message(text, MSGPACK)
    assert received(packed, MSGPACK) == [in_msgpack(value)]
    assert forms.message(text, BATCH | MSGPACK) == packed


# What msgpack has no place for.


@given(JSON)
def test_any_json_can_be_msgpack(value: Any) -> None:
    packed = forms.pack(json.dumps(value).encode())
    assert repr(msgspec.msgpack.decode(packed)) == repr(in_msgpack(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775809", -(2.0**63)),
        ("18446744073709551616", 2.0**64),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("1" + "0" * 300, 1e300),
        ("1" + "0" * 400, None),
        ("1" + "0" * 5000, None),
        ("-1e999", None),
        ("1e-999", 0.0),
        ("1.0", 1.0),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"a\ud83d"', "a?"),
        (r'"\ude00b"', "?b"),
        (r'{"\ud83d": ["\ud83d"]}', {"?": ["?"]}),
    ],
)
def test_what_has_no_place_comes_as_near_as_can_be(text: str, value: object) -> None:
    beside = f'{{"v": {text}, "rest": ["é", 1, 1.0, null, true]}}'.encode()
    found = msgspec.msgpack.decode(forms.pack(beside))
    assert repr(found) == repr({"v": value, "rest": ["é", 1, 1.0, None, True]})


@given(st.text(st.characters(), max_size=6))
def test_a_name_that_is_no_utf_8_can_be_written(symbol: str) -> None:
    variant = make_variant(MSGPACK, symbol=symbol)
    data = forms.piece(make_line({}), *forms.around(variant, Mode.LTP), MSGPACK)
    (tick,) = ticks(data, MSGPACK)
    assert tick["symbol"] == symbol.encode(errors="replace").decode()


@pytest.mark.parametrize("leaf", ["1", "1e999"])
def test_what_is_nested_too_deeply_is_malformed_and_not_a_crash(leaf: str) -> None:
    deep = ("[" * 5000 + leaf + "]" * 5000).encode()
    with pytest.raises(Malformed):
        forms.pack(deep)
    with pytest.raises(Malformed):
        forms.message(deep, MSGPACK)
    assert forms.message(deep, BATCH) == frames.text(deep)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_the_same_to_the_last_bit(number: float) -> None:
    (found,) = msgspec.msgpack.decode(forms.pack(json.dumps([number]).encode()))
    assert isinstance(found, float)
    assert math.copysign(1, found) == math.copysign(1, number)
    assert found == number


# Once for all.


def test_a_payload_becomes_msgpack_once_until_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[bytes] = []

    def count(text: bytes) -> bytes:
        packed.append(text)
        return b"\x80"

    monkeypatch.setattr(forms, "pack", count)
    line = make_line({"n": 1})
    for form in FORMS * 2:
        make_piece(line, form)
    assert packed == [b'{"n": 1}']
    line.payload = b'{"n": 2}'
    for form in FORMS:
        make_piece(line, form)
    assert packed == [b'{"n": 1}', b'{"n": 2}']


def test_clients_of_text_alone_have_nothing_made_msgpack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "pack", lambda _: pytest.fail("nobody wants it"))
    line = make_line({"n": 1})
    for form in (PLAIN, BATCH):
        assert ticks(sent([line], form), form)
    assert line.packed is None
