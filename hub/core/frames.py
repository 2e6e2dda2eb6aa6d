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


def tick(head: bytes, payload: bytes, tail: bytes) -> bytes:
    """One tick as a frame."""
    return text(b"".join((head, payload, tail)))
