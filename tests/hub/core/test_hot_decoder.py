"""ZMTP's frames cut into messages and commands, by both twins, however they are split."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core.errors import Malformed

MOST = 4096
Item = list[bytes] | bytes
FRAMES = st.lists(
    st.one_of(
        st.lists(st.binary(max_size=300), min_size=1, max_size=4),
        st.tuples(st.binary(max_size=3), st.binary(max_size=300)).map(list),
        st.binary(max_size=20),  # a command
    ),
    max_size=8,
)


def frame(flags: int, body: bytes, *, long: bool = False) -> bytes:
    if long or len(body) > 255:
        return bytes((flags | 2,)) + len(body).to_bytes(8, "big") + body
    return bytes((flags, len(body))) + body


def encoded(items: list[Item]) -> bytes:
    return b"".join(
        frame(4, item) if isinstance(item, bytes)
        else b"".join(frame(number < len(item) - 1, part) for number, part in enumerate(item))
        for item in items
    )  # fmt: skip


def items_of(decoder: Any) -> list[Item]:
    found: list[Item] = []
    while (item := decoder.item()) is not None:
        found.append(item)
    return found


def test_messages_commands_and_long_frames(twin: Any) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(b"\1\1a\0\2bc\4\5\4PING\0\0" + frame(1, b"d", long=True))
    decoder.feed(frame(0, b"", long=True))
    assert items_of(decoder) == [[b"a", b"bc"], b"\4PING", [b""], [b"d", b""]]
    assert decoder.item() is None


def test_a_command_may_stand_between_two_parts(twin: Any) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(frame(1, b"a"))
    assert decoder.item() is None
    assert "1 parts" in repr(decoder)
    decoder.feed(frame(4, b"\4PING") + frame(0, b"b"))
    assert decoder.item() == b"\4PING"
    assert decoder.pairs([], MOST, 9) == 0
    assert decoder.item() == [b"a", b"b"]


@given(items=FRAMES, data=st.data())
def test_any_split_gives_the_same(twin: Any, items: list[Item], data: st.DataObject) -> None:
    raw = encoded(items)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    decoder = twin.Decoder(MOST)
    found: list[Item] = []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        decoder.feed(raw[start:stop])
        pairs: list[bytes] = []
        while decoder.pairs(pairs, MOST, data.draw(st.integers(1, 3))):
            pass
        found += [pairs[at : at + 2] for at in range(0, len(pairs), 2)]
        found += items_of(decoder)
    assert found == items


@given(raw=st.binary(max_size=60), cut=st.integers(0, 60), most=st.integers(0, 300))
@example(raw=b"\1\0" * 20, cut=0, most=100)
@example(raw=b"\2" + b"\xff" * 8, cut=3, most=300)
def test_of_any_bytes_both_say_the_same(
    twins: tuple[Any, Any], raw: bytes, cut: int, most: int
) -> None:
    def told(twin: Any) -> list[object]:
        decoder = twin.Decoder(most)
        found: list[object] = []
        for part in (raw[:cut], raw[cut:]):
            decoder.feed(part)
            pairs: list[bytes] = []
            found.append((decoder.pairs(pairs, most // 2, 2), pairs))
            try:
                found.append(items_of(decoder))
            except Malformed as error:
                return [*found, str(error), repr(decoder)]
        return [*found, repr(decoder)]

    pure, hot = twins
    assert told(pure) == told(hot)


@pytest.mark.parametrize("raw", [b"\x08\0", b"\x0a" + bytes(8), b"\x80\0", b"\x11\5hello"])
def test_unknown_flags_are_malformed(twin: Any, raw: bytes) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(raw)
    with pytest.raises(Malformed, match="flags"):
        decoder.item()


@pytest.mark.parametrize("size", [MOST + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("flags", [2, 3, 6])
def test_what_is_too_large_is_malformed_before_it_has_come(
    twin: Any, size: int, flags: int
) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(bytes((flags,)) + size.to_bytes(8, "big"))
    assert decoder.pairs([], MOST, 9) == 0
    with pytest.raises(Malformed, match=f"more than {MOST} bytes"):
        decoder.item()


def test_no_size_overflows_where_everything_is_allowed(twin: Any) -> None:
    decoder = twin.Decoder(sys.maxsize)
    decoder.feed(b"\2" + sys.maxsize.to_bytes(8, "big") + b"beginning")
    assert decoder.item() is None
    decoder.feed(b"more")
    assert decoder.item() is None
    assert decoder.pairs([], sys.maxsize, 9) == 0


def test_the_parts_count_together(twin: Any) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(frame(1, bytes(MOST - 100)) + frame(0, bytes(36)) + frame(1, bytes(MOST - 100)))
    assert [len(part) for part in decoder.item()] == [MOST - 100, 36]
    decoder.feed(frame(0, bytes(37)))
    with pytest.raises(Malformed):
        decoder.item()


def test_very_many_empty_parts_are_too_large(twin: Any) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed(b"\1\0" * (MOST // twin.PART_BYTES + 2))
    with pytest.raises(Malformed):
        items_of(decoder)


def test_pairs_stop_at_what_is_anything_else(twin: Any) -> None:
    pair = frame(1, b"topic") + frame(0, b"body")
    for other in (
        b"",
        b"\1",
        frame(1, b"a"),
        frame(0, b"a message of one part"),
        frame(1, b"a") + frame(1, b"b") + frame(0, b"c"),
        frame(4, b"\4PING"),
        frame(1, b"a") + frame(4, b"\4PING"),
        frame(1, b"a", long=True) + frame(0, b"b"),
        frame(1, b"a") + frame(0, bytes(101)),
        (frame(1, b"a") + frame(0, bytes(100), long=True))[:-1],
        frame(1, b"a") + b"\2" + b"\xff" * 8,
        frame(1, b"a") + frame(8, b"b"),
    ):
        decoder = twin.Decoder(MOST)
        decoder.feed(pair + pair + other)
        found: list[bytes] = []
        assert decoder.pairs(found, 100, 9) == 2
        assert found == [b"topic", b"body"] * 2
        assert decoder.pairs(found, 100, 9) == 0


def test_pairs_are_no_more_than_asked_for_and_of_any_size_allowed(twin: Any) -> None:
    decoder = twin.Decoder(MOST)
    decoder.feed((frame(1, b"a") + frame(0, bytes(300))) * 3)
    found: list[bytes] = []
    assert decoder.pairs(found, 300, 0) == 0
    assert decoder.pairs(found, -1, 2) == 0
    assert decoder.pairs(found, 299, 2) == 0
    assert decoder.pairs(found, 300, 2) == 2
    assert decoder.pairs(found, sys.maxsize, 2) == 1
    assert found == [b"a", bytes(300)] * 3


def test_a_socket_is_read_as_far_as_it_goes(twin: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        decoder = twin.Decoder(1 << 20)
        assert decoder.receive(ours.fileno()) == 0
        body = bytes(range(256)) * 400
        with theirs:
            theirs.sendall(frame(0, body) + frame(1, b"a"))
            found = items_of(decoder)
            while read := decoder.receive(ours.fileno()):
                assert read <= twin.READ_BYTES
                found += items_of(decoder)
        assert found == [[body]]
        with pytest.raises(ConnectionError):
            decoder.receive(ours.fileno())
    with pytest.raises(OSError):
        decoder.receive(-1)


def test_a_connection_that_is_reset_raises(twin: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(ConnectionResetError):
            twin.Decoder(MOST).receive(ours.fileno())


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # it is no file
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("behind", [b"", b"\1"], ids=["nothing behind it", "a byte behind it"])
def test_the_memory_of_a_large_message_is_given_back(twin: Any, behind: bytes) -> None:
    large = 64 << 20
    decoder = twin.Decoder(2 * large)
    before = resident()
    decoder.feed(frame(0, bytes(large)) + behind)
    assert resident() - before >= large
    assert [len(part) for part in decoder.item()] == [large]
    assert decoder.item() is None
    decoder.feed(b"\1")
    assert resident() - before < large // 4
