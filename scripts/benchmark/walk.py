"""Walking WebSocket frames by their headers, without looking at what is in them.

Frames of one size that follow each other make a block: that each begins with the same header is
seen from every size-th byte, so a thousand frames cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
_SHORT, _MEDIUM = 126, 127


class Block(NamedTuple):
    """Whole frames with the same header: how many, where their payload begins, and the bytes."""

    kind: int  # the first byte of each: FIN and opcode
    frames: int
    header_bytes: int
    data: bytes

    @property
    def size(self) -> int:
        """The size of each frame in bytes, header included."""
        return len(self.data) // self.frames

    @property
    def payload(self) -> bytes:
        """The payload of the first frame."""
        return self.data[self.header_bytes : self.size]


class Walker:
    """Cuts a stream of bytes into blocks, and keeps what is not yet whole."""

    def __init__(self) -> None:
        self._rest = b""

    def __repr__(self) -> str:
        return f"<Walker with {len(self._rest)} bytes of a frame>"

    def take(self, chunk: bytes) -> list[Block]:
        """The blocks that are whole now that these bytes have come."""
        blocks = []
        data = self._rest + chunk if self._rest else chunk
        at, end = 0, len(data)
        while found := _header(data, at):
            size, header_bytes = found
            most = (end - at) // size
            if not most:
                break
            count = alike(data, at, size, range(header_bytes), most)
            after = at + count * size
            blocks.append(Block(data[at], count, header_bytes, data[at:after]))
            at = after
        self._rest = data[at:]
        return blocks


def _header(data: bytes, at: int) -> tuple[int, int] | None:
    """The size of the frame at `at` and of its header (RFC 6455, 5.2); None if not whole yet."""
    if len(data) - at < 2:
        return None
    short = data[at + 1]
    width = {_SHORT: 2, _MEDIUM: 8}.get(short, 0)
    if len(data) - at < 2 + width:
        return None
    payload = int.from_bytes(data[at + 2 : at + 2 + width], "big") if width else short
    return 2 + width + payload, 2 + width


def alike(data: bytes, at: int, size: int, places: Sequence[int], most: int) -> int:
    """How many pieces of `size` bytes in a row, `most` at the most, have the same bytes at these
    places as the one at `at`; at least 1."""
    end = at + most * size
    if all(data[at + i : end : size] == data[at + i : at + i + 1] * most for i in places):
        return most
    mark = [data[at + i] for i in places]
    count = 1
    while count < most and [data[at + count * size + i] for i in places] == mark:
        count += 1
    return count
