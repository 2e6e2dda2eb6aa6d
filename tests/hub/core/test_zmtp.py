"""ZMTP as bytes: what is said, what is understood, and what nobody can do to it."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import zmtp
from hub.core._pure import PART_BYTES
from hub.core.errors import Malformed
from hub.core.hot import Decoder, message
from hub.core.zmtp import Command, Handshake

GREETING = bytes.fromhex("ff00000000000000007f") + b"\x03\x01NULL" + bytes(16) + bytes(32)
READY_PUB = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
READY_LIBZMQ = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB\x08Identity\x00\x00\x00\x00"
MOST = 1000

Item = list[bytes] | Command


# What is said. The bytes are those of the RFC.


def test_a_greeting_is_signature_version_mechanism_and_filler() -> None:
    assert zmtp.greeting() == GREETING
    assert len(GREETING) == zmtp.GREETING_BYTES


def test_ready_names_the_type_of_the_socket() -> None:
    shake = Handshake(b"SUB", [b"PUB"])
    assert shake.take(GREETING) == b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"


def test_a_subscription_is_a_command_since_3_1_and_was_a_message_before() -> None:
    assert zmtp.subscribe(b"", 1) == b"\x04\x0a\x09SUBSCRIBE"
    assert zmtp.subscribe(b"ab", 1) == b"\x04\x0c\x09SUBSCRIBEab"
    assert zmtp.subscribe(b"", 0) == b"\x00\x01\x01"
    assert zmtp.subscribe(b"ab", 0) == b"\x00\x03\x01ab"


def test_a_pong_repeats_the_context_of_the_ping_without_its_time_to_live() -> None:
    assert zmtp.pong(Command(b"PING", b"\x00\x64context")) == b"\x04\x0c\x04PONGcontext"
    assert zmtp.pong(Command(b"PING", b"")) == b"\x04\x05\x04PONG"


@pytest.mark.parametrize(
    ("parts", "data"),
    [
        ([b""], b"\x00\x00"),
        ([b"abc"], b"\x00\x03abc"),
        ([b"a", b"b"], b"\x01\x01a\x00\x01b"),
        ([b"", b"", b""], b"\x01\x00\x01\x00\x00\x00"),
        ([b"x" * 255], b"\x00\xff" + b"x" * 255),
        ([b"x" * 256], b"\x02\x00\x00\x00\x00\x00\x00\x01\x00" + b"x" * 256),
        ([b"x" * 256, b"y"], b"\x03\x00\x00\x00\x00\x00\x00\x01\x00" + b"x" * 256 + b"\x00\x01y"),
    ],
)
def test_a_message_is_a_frame_for_each_part(parts: list[bytes], data: bytes) -> None:
    assert message(parts) == data
    assert list(items(Decoder(MOST), data)) == [parts]


def test_a_command_of_any_size_is_read_as_it_was_made() -> None:
    for size in (0, 250, 251, 900):
        data = zmtp.command(b"NAME", b"x" * size)
        assert data[0] == (6 if size > 250 else 4)
        assert list(items(Decoder(MOST), data)) == [Command(b"NAME", b"x" * size)]


# The handshake.


@pytest.mark.parametrize("ready", [READY_PUB, READY_LIBZMQ, READY_PUB.replace(b"Sock", b"sOCK")])
@pytest.mark.parametrize("step", [1, 2, 9, 10, 11, 63, 64, 65, 1000])
def test_hands_are_shaken_however_the_bytes_come(ready: bytes, step: int) -> None:
    shake = Handshake(b"SUB", [b"PUB", b"XPUB"])
    said = b""
    data = GREETING + ready + b"what comes then"
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    rest = b""
    for piece in pieces:
        if shake.done:
            rest += piece
        else:
            said += shake.take(piece)
    assert shake.done
    assert shake.minor == 1
    assert said == b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    assert shake.rest() + rest == b"what comes then"
    assert shake.rest() == b""


@pytest.mark.parametrize(("minor", "agreed"), [(0, 0), (1, 1), (7, 1)])
def test_the_older_of_two_versions_counts(minor: int, agreed: int) -> None:
    shake = Handshake(b"SUB", [b"PUB"])
    shake.take(GREETING[:11] + bytes((minor,)) + GREETING[12:] + READY_PUB)
    assert shake.minor == agreed


def test_a_later_major_version_speaks_as_this_one_does() -> None:
    """The RFC has the newer peer come down to the older one's version."""
    shake = Handshake(b"SUB", [b"PUB"])
    shake.take(GREETING[:10] + b"\x04\x00" + GREETING[12:] + READY_PUB)
    assert shake.done


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "it does not speak ZMTP"),
        (b"\x16\x03\x01", "it does not speak ZMTP"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00", "it does not speak ZMTP"),
        (GREETING[:10] + b"\x01", "it speaks ZMTP 1; 3.0 or newer is needed (libzmq 4)"),
        (GREETING.replace(b"NULL", b"PLAIN")[:64], "it asks for the mechanism PLAIN;"),
        (GREETING.replace(b"NULL", b"CURVE")[:64], "it asks for the mechanism CURVE;"),
        (GREETING.replace(b"NULL", b"NU\n\xff")[:64], r"mechanism NU\n\xff;"),
        (GREETING + b"\x00\x03abc", "it does not begin with a command READY"),
        (GREETING + b"\x06" + bytes(6) + b"\xff\xff", "it does not begin with a command READY"),
        (GREETING + b"\x04\x06\x05ERROR", "it begins with the command ERROR"),
        (GREETING + b"\x04\x0b\x05ERROR\x04nono", "it begins with the command ERROR nono"),
        (GREETING + b"\x04\x06\x05HELLO", "it begins with the command HELLO"),
        (GREETING + b"\x04\x00", "a command without a name"),
        (GREETING + b"\x04\x01\x05", "a command without a name"),
        (GREETING + b"\x04\x06\x05READY", "it is a socket of type none"),
        (GREETING + b"\x04\x07\x05READY\x0b", "READY that is cut short"),
        (GREETING + READY_PUB[:1] + b"\x16" + READY_PUB[2:24], "READY that is cut short"),
        (GREETING + READY_PUB.replace(b"PUB", b"REQ"), "it is a socket of type REQ"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_who_is_not_meant_is_told_off_in_words(data: bytes, why: str, step: int) -> None:
    shake = Handshake(b"SUB", [b"PUB", b"XPUB"])
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    with pytest.raises(Malformed) as caught:
        [*map(shake.take, pieces)]
    assert why in str(caught.value)
    assert not shake.done


@pytest.mark.parametrize("said", [b"\xff", GREETING[:11], GREETING, GREETING + READY_PUB[:9]])
def test_who_leaves_in_the_middle_may_want_another_mechanism(said: bytes) -> None:
    """Libzmq leaves without a word when it hears that this side has NULL."""
    shake = Handshake(b"SUB", [b"PUB"])
    shake.end()
    shake.take(said)
    with pytest.raises(Malformed, match="CURVE or PLAIN: this socket has NULL"):
        shake.end()


@given(st.binary(max_size=300), st.integers(0, 120), st.integers(1, 50))
def test_a_handshake_with_whatever_comes_raises_nothing_else(
    noise: bytes, right: int, step: int
) -> None:
    shake = Handshake(b"SUB", [b"PUB"])
    data = (GREETING + READY_PUB)[:right] + noise
    try:
        for at in range(0, len(data), step):
            if not shake.done:
                shake.take(data[at : at + step])
    except Malformed as error:
        assert str(error).isprintable()


def test_who_never_comes_to_the_point_is_kept_no_more_than_a_few_thousand_bytes() -> None:
    shake = Handshake(b"SUB", [b"PUB"])
    shake.take(GREETING + b"\x06" + (4096).to_bytes(8, "big"))
    for _ in range(40):
        shake.take(bytes(100))
    with pytest.raises(Malformed):
        [*map(shake.take, [bytes(100)] * 10)]
    assert len(shake._held) < 10_000


def test_a_handshake_says_how_far_it_is() -> None:
    shake = Handshake(b"SUB", [b"PUB"])
    assert repr(shake) == "<Handshake begun>"
    shake.take(GREETING)
    assert repr(shake) == "<Handshake greeted>"
    shake.take(READY_PUB)
    assert repr(shake) == "<Handshake done>"


# What is understood. A decoder that reads everything anew, one frame at a time, is the measure.


def naive(data: bytes) -> Iterator[Item]:
    """The items of a whole stream, as the RFC has them."""
    at, parts = 0, []
    while at < len(data):
        flags = data[at]
        wide = 8 if flags & 2 else 1
        start = at + 1 + wide
        end = start + int.from_bytes(data[at + 1 : start], "big")
        body, at = data[start:end], end
        if flags & 4:
            yield Command(body[1 : 1 + body[0]], body[1 + body[0] :])
            continue
        parts.append(body)
        if not flags & 1:
            yield parts
            parts = []


def items(decoder: Decoder, data: bytes) -> Iterator[Item]:
    """What lies in these bytes, one at a time."""
    decoder.feed(data)
    while (item := told(decoder.item())) is not None:
        yield item


def told(item: list[bytes] | bytes | None) -> Item | None:
    """An item with its command read."""
    return zmtp.read(item) if isinstance(item, bytes) else item


def as_a_bus_reads(decoder: Decoder, largest: int, most: int) -> Iterator[Item]:
    """What lies there, pairs first."""
    while True:
        found: list[bytes] = []
        count = decoder.pairs(found, largest, most)
        assert count * 2 == len(found)
        assert count <= most
        yield from ([*pair] for pair in zip(found[::2], found[1::2], strict=True))
        item = told(decoder.item())
        if item is None:
            return
        yield item


PART = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"", b"x" * 254, b"x" * 255, b"x" * 256, b"x" * 257, b"y" * 700]),
)
FRAMES = st.lists(
    st.one_of(
        st.lists(PART, min_size=1, max_size=4),
        st.tuples(PART, PART).map(list),
        st.builds(Command, st.binary(min_size=1, max_size=9), st.binary(max_size=300)),
    ),
    max_size=12,
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[Item]]:
    """Pieces of a stream, and the items in it; commands stand between parts, too."""
    data = b""
    told: list[Item] = []
    for one in draw(FRAMES):
        if isinstance(one, Command):
            data += zmtp.command(*one)
            told.append(one)
            continue
        for number, part in enumerate(one):
            if number and draw(st.integers(0, 3)) == 0:
                command = Command(b"PING", draw(st.binary(max_size=20)))
                data += zmtp.command(*command)
                told.append(command)
            frame = message([part])
            more = number < len(one) - 1
            data += bytes((frame[0] | more,)) + frame[1:]
        told.append(one)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=20)))
    pieces = [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]
    return pieces, told


@given(streams(), st.integers(1, 5), st.sampled_from([0, 5, 255, 256, 10_000]))
def test_any_stream_cut_anywhere_has_the_items_that_were_put_into_it(
    stream: tuple[list[bytes], list[Item]], most: int, largest: int
) -> None:
    pieces, due = stream
    assert list(naive(b"".join(pieces))) == due
    one, bus = Decoder(5000), Decoder(5000)
    assert [item for piece in pieces for item in items(one, piece)] == due
    read: list[Item] = []
    for piece in pieces:
        bus.feed(piece)
        read += as_a_bus_reads(bus, largest, most)
    assert read == due
    assert bus.kept == one.kept == 0


@given(streams())
def test_it_may_be_fed_on_before_all_is_read(stream: tuple[list[bytes], list[Item]]) -> None:
    pieces, due = stream
    decoder, read = Decoder(5000), list[Item]()
    for piece in pieces:
        decoder.feed(piece)
        item = told(decoder.item())
        if item is not None:
            read.append(item)
    while (item := told(decoder.item())) is not None:
        read.append(item)
    assert read == due


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=9))
def test_pairs_are_cut_while_they_are_pairs(pairs: list[tuple[bytes, bytes]]) -> None:
    """With a first part of 256 bytes or more it stops, and says where."""
    data = b"".join(map(message, pairs))
    found: list[bytes] = []
    decoder = Decoder(MOST)
    decoder.feed(data)
    count = decoder.pairs(found, 300, 100)
    short = list(itertools.takewhile(lambda pair: len(pair[0]) < 256, pairs))
    assert found == [part for pair in short for part in pair]
    assert count == len(short)
    assert decoder.kept == len(data) - sum(len(message(pair)) for pair in short)


def test_a_second_part_that_is_too_large_is_left_to_whoever_asks_for_an_item() -> None:
    decoder, found = Decoder(MOST), list[bytes]()
    decoder.feed(message([b"a", b"12345"]) + message([b"b", b"123456"]))
    assert decoder.pairs(found, 5, 10) == 1
    assert found == [b"a", b"12345"]
    assert decoder.item() == [b"b", b"123456"]


# What nobody can do to it.


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_comes_is_items_or_malformed_and_little_of_it_is_kept(
    pieces: list[bytes],
) -> None:
    decoder = Decoder(100)
    try:
        for piece in pieces:
            decoder.feed(piece)
            for item in as_a_bus_reads(decoder, 50, 3):
                assert isinstance(item, list | Command)
            assert decoder.kept <= 100 + 9, "it keeps more than one message and a header"
    except Malformed as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("flags", [8, 16, 32, 64, 128, 0xFF])
def test_flags_that_nobody_has_defined_are_no_frame(flags: int) -> None:
    with pytest.raises(Malformed, match=f"flags {flags:#04x}"):
        list(items(Decoder(MOST), bytes((flags,)) + bytes(8)))


@pytest.mark.parametrize("flags", [2, 3, 6])
@pytest.mark.parametrize("size", [MOST + 1, 2**32, 2**63, 2**64 - 1])
def test_rule_1_a_size_beyond_what_is_allowed_is_refused_before_a_byte_of_it_comes(
    flags: int, size: int
) -> None:
    decoder = Decoder(MOST)
    with pytest.raises(Malformed, match="more than 1000 bytes"):
        list(items(decoder, bytes((flags,)) + size.to_bytes(8, "big")))


def test_rule_1_a_message_of_the_largest_size_is_taken_and_a_byte_more_is_not() -> None:
    assert list(items(Decoder(MOST), message([b"x" * MOST]))) == [[b"x" * MOST]]
    with pytest.raises(Malformed):
        list(items(Decoder(MOST), message([b"x" * (MOST + 1)])))
    with pytest.raises(Malformed):
        list(items(Decoder(MOST), message([b"x" * 500, b"x" * 501])))


def test_rule_1_very_many_empty_parts_are_a_large_message() -> None:
    with pytest.raises(Malformed):
        list(items(Decoder(MOST), b"\x01\x00" * 1000))
    decoder = Decoder(MOST)
    for _ in range(MOST // PART_BYTES):
        assert list(items(decoder, b"\x01\x00")) == []


def test_rule_2_a_command_between_two_parts_does_not_count_for_the_size_of_the_message() -> None:
    one, two = b"x" * 500, b"y" * (500 - PART_BYTES)
    ping = zmtp.command(b"PING", b"\0\0")
    first, second = message([one, two])[: 9 + 500], message([one, two])[9 + 500 :]
    assert list(items(Decoder(MOST), first + ping + second)) == [
        Command(b"PING", b"\0\0"),
        [one, two],
    ]
    assert list(items(Decoder(MOST), first + zmtp.command(b"P", b"x" * 900) + second))[1:] == [
        [one, two]
    ]


def test_rule_3_a_large_message_that_comes_in_very_small_pieces_costs_no_more_than_it_is() -> None:
    """In a list of pieces two bytes cost fifty."""
    size = 1 << 20
    data = message([b"x" * size])
    pieces = [data[at : at + 2] for at in range(0, len(data), 2)]
    decoder = Decoder(size)
    tracemalloc.start()
    try:
        for piece in pieces[:-1]:
            decoder.feed(piece)
            assert decoder.item() is None
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced < 1.5 * size
    assert decoder.kept < size + 9
    assert list(items(decoder, pieces[-1])) == [[b"x" * size]]


def test_rule_3_a_message_that_was_read_is_not_held_while_the_next_one_comes() -> None:
    large = message([b"x" * 900])
    decoder = Decoder(MOST)
    decoder.feed(large + large[:10])
    assert decoder.item() == [b"x" * 900]
    assert decoder.item() is None
    assert decoder.kept == 10


def test_a_decoder_says_what_it_holds() -> None:
    decoder = Decoder(MOST)
    list(items(decoder, b"\x01\x01a\x00\x09x"))
    assert repr(decoder) == "<Decoder 4 bytes, 1 parts>"
