"""What clients answer."""

from __future__ import annotations

from scripts.benchmark.nats import NatsWalker
from scripts.benchmark.speech import SPEECHES, pong
from scripts.benchmark.walk import BINARY, PING, Block, Walker


def test_a_ping_of_websocket_is_answered_with_what_it_said() -> None:
    (ping,) = Walker().take(bytes((PING, 2)) + b"ab")
    assert pong(ping) == bytes((0x8A, 0x82)) + bytes(4) + b"ab"


def test_a_ping_of_nats_is_answered_inside_of_a_frame() -> None:
    (ping,) = NatsWalker().take(bytes((BINARY, 6)) + b"PING\r\n")
    assert pong(ping) == bytes((BINARY, 0x86)) + bytes(4) + b"PONG\r\n"


def test_every_speech_cuts_what_comes() -> None:
    for speech in SPEECHES.values():
        blocks: list[Block] = speech.cutter().take(b"")
        assert blocks == []
