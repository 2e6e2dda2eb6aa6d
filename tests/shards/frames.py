"""What a client says byte by byte: its handshake, and frames that keep the rules or break them."""

from __future__ import annotations

import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    width: int = 0,
    size: int | None = None,
) -> bytes:
    """A client's frame. `width` is the number of bytes of the size, the fewest by default; `size`
    is what it claims; without `mask` it carries none."""
    size = len(payload) if size is None else size
    width = width or (1 if size < 126 else 2 if size < 1 << 16 else 8)
    head = {
        1: lambda: struct.pack(">B", size),
        2: lambda: struct.pack(">BH", 126, size),
        8: lambda: struct.pack(">BQ", 127, size),
    }[width]()
    first = fin << 7 | rsv << 4 | opcode
    if mask is None:
        return bytes((first,)) + head + payload
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload))
    return bytes((first, head[0] | 0x80)) + head[1:] + mask + masked
