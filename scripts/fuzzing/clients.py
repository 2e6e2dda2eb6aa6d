"""Targets: a client's bytes from its socket to its session and back, in a loop without time.

Each takes any bytes and raises AssertionError, or whatever the code under test should not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from tests.shards.frames import HANDSHAKE, TEXT, frame
from tests.shards.stage import LONG_S, Loop, Peer, Stage, play

_STEPS = (0, 1, 7, 512)
_MOST_LINES = 40
_KEYS = (b"", b"alice's key", b"bob's key")


@cache
def _loop() -> Loop:
    """One for all that is tried: to make one takes longer than most of it."""
    return Loop()


def talk_bytes(data: bytes) -> None:
    """Bytes as they are, from the handshake on or behind it."""
    how, data = data[:1].ljust(1, b"\0")[0], data[1:]
    said = HANDSHAKE + data if how & 1 else data
    _talk([], [said], step=_STEPS[how >> 1 & 3])


def talk_frames(data: bytes) -> None:
    """Frames whose masks and sizes are right, of any opcode, fragmented anyhow."""
    how, data = data[:1].ljust(1, b"\0")[0], data[1:]
    _talk([HANDSHAKE, *_login(how)], _frames(data), step=_STEPS[how >> 4 & 3])


def talk_requests(data: bytes) -> None:
    """A request in each line."""
    how, data = data[:1].ljust(1, b"\0")[0], data[1:]
    lines = data.split(b"\n")[:_MOST_LINES]
    _talk([HANDSHAKE, *_login(how)], [frame(how & 1 or 2, line) for line in lines])


def _login(how: int) -> list[bytes]:
    key = _KEYS[(how >> 1) % 3]
    return [frame(TEXT, b'{"action": "auth", "api_key": "%b"}' % key)] if key else []


def _frames(data: bytes) -> Iterator[bytes]:
    """First byte and size, then so many bytes, again and again."""
    while len(data) >= 2:
        first, size = data[0], data[1]
        yield frame(first & 0x0F, data[2 : 2 + size], fin=first < 0x80, rsv=first >> 6 & 1)
        data = data[2 + size :]


def _talk(first: Iterable[bytes], then: Iterable[bytes], *, step: int = 0) -> None:
    """What is said first is answered before the rest is said."""

    async def main() -> None:
        stage = Stage()
        peer = stage.connect()
        for one in first:
            await peer.say(one)
            await peer.settle()
        for one in then:
            await peer.say(one, step)
        await _stay(stage, peer)
        peer.heard()
        await stage.end()

    play(main, _loop())


async def _stay(stage: Stage, peer: Peer) -> None:
    await peer.settle()
    peer.connection.tend(stage.now_s() + LONG_S)
    await peer.settle()
