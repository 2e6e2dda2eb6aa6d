"""A tick as the bytes a client reads.

The server's WebSocket frames carry no mask (RFC 6455, 5.1), so a frame is built once and shared.
The JSON around the payload follows Python's default separators, as OpenAlgo's server writes it.
"""

from __future__ import annotations

import json
from functools import lru_cache

from hub.core.hot import header
from hub.core.index import Variant

_quoted = json.encoder.encode_basestring_ascii
TEXT = 0x81  # FIN, opcode 1
BINARY = 0x82  # FIN, opcode 2
_MEDIUM = 126  # a length from which on it stands in two bytes more, or in eight


def text(payload: bytes) -> bytes:
    """A whole text message as one frame."""
    return header(len(payload)) + payload


def market_data(variant: Variant, mode: int) -> tuple[bytes, bytes]:
    """What stands before and after the payload of a tick tagged with `mode`."""
    head = (
        f'{{"type": "market_data", "symbol": {_quoted(variant.symbol)}, '
        f'"exchange": {_quoted(variant.exchange)}, "mode": {mode:d}, "data": '
    )
    return head.encode(), _tail(variant.broker)


@lru_cache(1024)
def _tail(broker: str) -> bytes:
    """One copy for all topics: there are few brokers."""
    return f', "broker": {_quoted(broker)}}}'.encode()


def split(data: bytes) -> list[bytes]:
    """Whole frames that lie one behind the other, each for itself."""
    found, start = [], 0
    while start < len(data):
        size, begin = data[start + 1], start + 2
        if size >= _MEDIUM:
            wide = 2 if size == _MEDIUM else 8
            begin, size = begin + wide, int.from_bytes(data[begin : begin + wide], "big")
        found.append(data[start : begin + size])
        start = begin + size
    return found


def tick(head: bytes, payload: bytes, tail: bytes) -> bytes:
    """One tick as a frame."""
    return text(b"".join((head, payload, tail)))
