"""Where a handshake ends and what is read instead of what is none. What is answered is shown on a
real socket: tests/integration/test_websocket.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import handshake

HELLO = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"


@given(st.binary(max_size=40), st.integers(0, len(HELLO)))
def test_rule_2_what_is_behind_a_handshake_is_left_however_it_is_cut(
    behind: bytes, cut: int
) -> None:
    unread, read = HELLO[:cut], b""
    for more in (b"", HELLO[cut:] + behind):
        unread += more
        while unread and not read.endswith(b"\r\n\r\n"):
            part = handshake.part(unread)
            assert part
            unread = unread[len(part) :]
            read += part
    assert (read, unread) == (HELLO, behind)


@pytest.mark.parametrize(
    ("data", "read"),
    [(b"\x16\x03\x01\x02\x00", b"\n"), (b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n"), (b"", b"")],
)
def test_rule_3_tls_is_read_as_no_handshake(data: bytes, read: bytes) -> None:
    assert handshake.readable(data) == read


def test_answers_by_hand_are_whole() -> None:
    for text in (handshake.NONE, handshake.BUSY):
        head, _, body = text.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
