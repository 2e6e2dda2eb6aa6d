"""Walking frames by their headers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hub.core import frames
from scripts.benchmark.handshake import masked
from scripts.benchmark.walk import PING, TEXT, Walker

payloads = st.lists(
    st.one_of(
        st.binary(max_size=3),
        st.sampled_from([125, 126, 127, 300, 65_535, 65_536]).map(lambda size: b"x" * size),
        st.just(b"the same again and again" * 10),
    ),
    max_size=30,
)


def walked(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The payloads a walker finds when the stream comes in pieces."""
    walker, found = Walker(), []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        for block in walker.take(stream[start:end]):
            assert block.kind == TEXT
            assert block.size * block.frames == len(block.data)
            starts = range(0, len(block.data), block.size)
            found += [block.data[at + block.header_bytes : at + block.size] for at in starts]
    return found


@given(payloads, st.lists(st.integers(0, 10**6), max_size=6))
def test_every_frame_is_found_once_and_whole_however_the_stream_is_cut(
    sent: list[bytes], cuts: list[int]
) -> None:
    assert walked(b"".join(map(frames.text, sent)), cuts) == sent


def test_frames_of_one_size_make_one_block() -> None:
    blocks = Walker().take(frames.text(b"abc") * 1000)
    assert [(block.frames, block.payload) for block in blocks] == [(1000, b"abc")]


def test_a_header_inside_a_payload_is_not_taken_for_one() -> None:
    inner = frames.text(b"ab")
    sent = [inner * 2, b"x" * 8, inner * 2]
    assert walked(b"".join(map(frames.text, sent)), []) == sent


def test_kinds_are_told_apart() -> None:
    ping = bytes((PING, 0))
    blocks = Walker().take(ping + frames.text(b"") + ping * 2)
    assert [(block.kind, block.frames) for block in blocks] == [(PING, 1), (TEXT, 1), (PING, 2)]


def test_a_byte_at_a_time_ends_the_same() -> None:
    stream = frames.text(b"x" * 200) * 3
    assert walked(stream, list(range(len(stream)))) == [b"x" * 200] * 3


@given(st.sampled_from([0, 125, 126, 65_535, 65_536]))
def test_a_clients_own_frames_have_a_mask_of_zero(size: int) -> None:
    payload = b"x" * size
    plain = frames.text(payload)
    sent = masked(TEXT, payload)
    assert sent[0] == plain[0]
    assert sent[1] == plain[1] | 0x80
    assert sent[2:] == plain[2 : len(plain) - size] + bytes(4) + payload
