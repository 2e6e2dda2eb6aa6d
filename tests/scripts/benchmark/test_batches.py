"""Batches as the hub writes them, cut into ticks again."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import forms, frames
from hub.core.forms import BATCH, MSGPACK
from hub.core.hot import Line
from hub.core.index import Variant
from hub.core.model import Mode
from scripts.benchmark.batches import BatchWalker
from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import PROBE_PAYLOAD, Ticks, layout, smallest_payload
from scripts.benchmark.walk import PING, Block

LEAST = smallest_payload()
LOAD = Load(name="test", clients=1, symbols=3, rate=10)
NOW_NS = 10**18
both_encodings = pytest.mark.parametrize("form", [BATCH, BATCH | MSGPACK])


def piece(payload: bytes, form: int) -> bytes:
    line = Line(b"NSE_TCS", Mode.QUOTE)
    line.payload = payload
    variant = Variant(Mode.QUOTE.bit, "NSE", "TCS", "bus", "bus", form)
    return forms.piece(line, *forms.around(variant, Mode.QUOTE), form)


def tick(number: int, form: int, payload_bytes: int = 305) -> bytes:
    load = msgspec.structs.replace(LOAD, payload_bytes=payload_bytes)
    return piece(Ticks(load).message(number, NOW_NS + number)[1], form)


def told(blocks: list[Block]) -> list[int]:
    """The numbers of all ticks, each of which must have its time."""
    found: list[int] = []
    for block in blocks:
        where = layout(block.data[: block.size])
        assert where
        numbers = where.read_numbers(block.data)
        times = [where.read_time_ns(block.data, at) for at in range(block.frames)]
        assert times == [NOW_NS + number for number in numbers]
        found += numbers
    return found


@both_encodings
@pytest.mark.parametrize("count", [1, 2, 15, 16, 300])
def test_ticks_of_one_size_are_one_block(form: int, count: int) -> None:
    batch = forms.joined([tick(number, form) for number in range(count)], form)
    blocks = BatchWalker().take(batch)
    assert [block.frames for block in blocks] == [count]
    assert told(blocks) == list(range(count))


@given(
    st.sampled_from([BATCH, BATCH | MSGPACK]),
    st.lists(st.lists(st.sampled_from([LEAST, LEAST + 1, 305, 306]), min_size=1, max_size=20)),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_every_tick_is_found_once_whatever_the_sizes_and_cuts(
    form: int, batches: list[list[int]], cuts: list[int]
) -> None:
    numbers = itertools.count()
    sent = b"".join(
        forms.joined([tick(next(numbers), form, size) for size in sizes], form) for sizes in batches
    )
    walker = BatchWalker()
    edges = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    found = [
        block for start, end in itertools.pairwise(edges) for block in walker.take(sent[start:end])
    ]
    assert told(found) == list(range(sum(map(len, batches))))


@both_encodings
def test_sizes_that_only_add_up_are_not_taken_for_one_size(form: int) -> None:
    sizes = [300, 310, 305, 305]
    pieces = [tick(number, form, size) for number, size in enumerate(sizes)]
    blocks = BatchWalker().take(forms.joined(pieces, form))
    assert [block.frames for block in blocks] == [1, 1, 1, 1]
    assert told(blocks) == [0, 1, 2, 3]


@both_encodings
def test_a_tick_has_its_number_at_the_same_place_decoded_or_not(form: int) -> None:
    even = forms.joined([tick(0, form), tick(1, form)], form)
    uneven = forms.joined([tick(2, form), tick(3, form, 400)], form)
    (first,) = BatchWalker().take(even)
    second, _ = BatchWalker().take(uneven)
    assert first.size == second.size
    assert layout(first.data[: first.size])[1:] == layout(second.data)[1:]  # type: ignore[index]  # both are ticks


@both_encodings
def test_a_probe_is_not_lost_among_ticks(form: int) -> None:
    blocks = BatchWalker().take(forms.joined([piece(PROBE_PAYLOAD, form), tick(7, form)], form))
    assert b"probe" in blocks[0].data
    assert told(blocks[1:]) == [7]


@both_encodings
def test_what_is_in_no_array_comes_as_it_is(form: int) -> None:
    reply = b'{"type": "pong"}'
    ping, block = BatchWalker().take(bytes((PING, 2)) + b"ab" + forms.message(reply, form))
    assert (ping.kind, ping.payload) == (PING, b"ab")
    kind, packed = (frames.BINARY, forms.pack(reply)) if form & MSGPACK else (frames.TEXT, reply)
    assert (block.kind & 0x0F, block.payload) == (kind & 0x0F, packed)
