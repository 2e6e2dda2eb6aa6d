"""A tick as the bytes a client reads.

The server's WebSocket frames carry no mask (RFC 6455, 5.1), so a frame is built once and shared.
The JSON around the payload follows Python's default separators, as OpenAlgo's server writes it.
"""

from __future__ import annotations

import json
from struct import pack

import msgspec

from hub.core.errors import Malformed
from hub.core.index import Variant


class _Object(msgspec.Struct):
    """Any JSON object: every field is unknown, so none is built."""


_quoted = json.encoder.encode_basestring_ascii
_check = msgspec.json.Decoder(_Object).decode
_TEXT = 0x81  # FIN, opcode 1
_SHORT = 126
_MEDIUM = 1 << 16


def header(size: int) -> bytes:
    """The frame header of an unmasked text message of `size` bytes (RFC 6455, 5.2)."""
    if size < _SHORT:
        return bytes((_TEXT, size))
    if size < _MEDIUM:
        return pack(">BBH", _TEXT, 126, size)
    return pack(">BBQ", _TEXT, 127, size)


HEADERS = tuple(header(size) for size in range(8192))
"""Headers of the sizes that ticks have, by size."""


def text(payload: bytes) -> bytes:
    """A whole text message as one frame."""
    return header(len(payload)) + payload


def market_data(variant: Variant, mode: int) -> tuple[bytes, bytes]:
    """What stands before and after the payload of a tick tagged with `mode`."""
    _, exchange, symbol, broker, _ = variant
    head = (
        f'{{"type": "market_data", "symbol": {_quoted(symbol)}, '
        f'"exchange": {_quoted(exchange)}, "mode": {mode:d}, "data": '
    )
    return head.encode(), f', "broker": {_quoted(broker)}}}'.encode()


def tick(head: bytes, payload: bytes, tail: bytes) -> bytes:
    """One tick as a frame."""
    return text(b"".join((head, payload, tail)))


def clean(payload: bytes) -> bytes:
    """The payload if it may be put into a frame as it is, else one that may.

    A JSON object in UTF-8 passes untouched; NaN and infinities, which JSON does not know but
    Python writes, become null. Anything else raises Malformed.
    """
    try:
        _check(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _rebuilt(payload)
    return payload


def _rebuilt(payload: bytes) -> bytes:
    try:
        value = json.loads(payload, parse_constant=lambda _: None)
        rebuilt = json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}: {error}") from None
    if not isinstance(value, dict):
        raise Malformed(f"a JSON {type(value).__name__}, not an object")
    return rebuilt
