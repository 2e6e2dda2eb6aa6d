"""The text protocol of NATS, inside of WebSocket frames."""

from __future__ import annotations

import itertools
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark import nats
from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import Ticks, layout
from scripts.benchmark.walk import BINARY, PING, TEXT, Block

LOAD = Load(name="test", clients=1, symbols=3, rate=10)
TICKS = Ticks(LOAD)


def msg(number: int) -> bytes:
    """A tick as the server passes it on."""
    payload = TICKS.message(number, 10**18 + number)[1]
    subject = nats.subject(TICKS.names[number % 3])
    return f"MSG {subject} {100_000 + number % 3} {len(payload)}\r\n".encode() + payload + b"\r\n"


def frame(payload: bytes) -> bytes:
    return pack(">BBH", BINARY, 126, len(payload)) + payload


def blocks_of(stream: bytes, sizes: list[int], cuts: list[int]) -> list[Block]:
    """What a walker makes of a stream that is framed in pieces and comes in other pieces."""
    framed, at = [], 0
    for size in [*sizes, len(stream)]:
        framed.append(frame(stream[at : at + size]))
        at += size
    sent = b"".join(framed)
    walker = nats.NatsWalker()
    edges = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    return [
        block for start, end in itertools.pairwise(edges) for block in walker.take(sent[start:end])
    ]


def numbers(blocks: list[Block]) -> list[int]:
    found: list[int] = []
    for block in blocks:
        where = layout(block.data[: block.size])
        assert block.kind == TEXT
        assert where
        found += where.read_numbers(block.data)
    return found


@given(
    st.integers(1, 30),
    st.lists(st.integers(0, 2000), max_size=8),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_every_message_is_found_once_however_it_is_packed_and_split(
    count: int, sizes: list[int], cuts: list[int]
) -> None:
    stream = b"".join(msg(number) for number in range(count))
    assert numbers(blocks_of(stream, sizes, cuts)) == list(range(count))


def test_messages_of_one_size_make_one_block() -> None:
    (block,) = blocks_of(b"".join(map(msg, range(100))), [], [])
    where = layout(block.data[: block.size])
    assert block.frames == 100
    assert where
    assert where.read_time_ns(block.data, 7) == 10**18 + 7


def test_what_stands_between_messages_is_passed_over_and_pings_are_told() -> None:
    stream = b'INFO {"x":"MSG "}\r\n+OK\r\n' + msg(0) + b"PING\r\n" + msg(1) + b"PONG\r\n"
    kinds = [block.kind for block in blocks_of(stream, [], [])]
    assert kinds == [TEXT, PING, TEXT]


def test_messages_of_other_sizes_make_blocks_of_their_own() -> None:
    probe = b"MSG NSE.PROBE.QUOTE 100003 15\r\n" + b'{"probe": true}' + b"\r\n"
    blocks = blocks_of(msg(0) + probe + msg(1), [], [])
    assert [block.data for block in blocks] == [msg(0), probe, msg(1)]


def test_a_ping_of_websocket_itself_is_told_with_its_payload() -> None:
    (block,) = nats.NatsWalker().take(bytes((PING, 2)) + b"ab")
    assert (block.kind, block.payload) == (PING, b"ab")


def test_pongs_are_counted() -> None:
    walker = nats.NatsWalker()
    walker.take(frame(b"PONG\r\nPO"))
    assert walker.pongs == 1
    walker.take(frame(b"NG\r\n"))
    assert walker.pongs == 2


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(ValueError, match="Permissions"):
        nats.NatsWalker().take(frame(b"-ERR 'Permissions Violation'\r\n"))


def test_a_client_subscribes_to_every_symbol_and_the_probe() -> None:
    lines = nats.subscribes(LOAD).split(b"\r\n")
    assert lines[1] == b"SUB NSE.SYM000000.QUOTE 100000"
    assert lines[4] == b"SUB NSE.PROBE.QUOTE 100003"
    assert lines[5:] == [b"PING", b""]
    assert len({len(line) for line in lines[1:4]}) == 1


def test_a_publish_names_its_size() -> None:
    assert nats.pub(b"a.b", b"xyz") == b"PUB a.b 3\r\nxyz\r\n"
