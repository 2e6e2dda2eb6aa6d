"""The JSON of a tick, checked once where it comes in and never read.

Whatever has passed here may be put into a frame, or into a client's message, as it is.
"""

from __future__ import annotations

import json

import msgspec

from hub.core.errors import Malformed


class _Object(msgspec.Struct):
    """Any JSON object: every field is unknown, so none is built."""


_check = msgspec.json.Decoder(_Object).decode


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
