"""How a client has what it is sent written: ticks one by one or in batches, JSON or msgpack.

1. A form changes how something is written, never what it says: the same fields in the same order.
2. A payload becomes msgpack once, however many clients are sent it, and only if some client is.
3. Ticks that leave together are one message in a batch, and another when that would be too large.
4. A piece is what waits for an audience: a whole frame, or in a batch one of its ticks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
import msgspec

from hub.core import frames
from hub.core.errors import Malformed
from hub.core.hot import Line, header
from hub.core.index import Variant

PLAIN = 0
"""Text, one tick a message: what every client gets that does not ask for anything else."""
BATCH = 1
MSGPACK = 2

ENCODINGS = {"json": PLAIN, "msgpack": MSGPACK}
MOST_BYTES = 256 * 1024
"""The size beyond which a batch is not filled; a single tick may be larger."""

_TICK_FIELDS = 6
_SEPARATOR_BYTES = 2  # of each piece; so many make up for the brackets, or the array's header
_LONGEST_WHOLE = 20  # digits and sign of what 64 bits may hold
_read = msgspec.json.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode
_array_header = msgpack.Packer().pack_array_header
_map_header = msgpack.Packer().pack_map_header


def encoding(form: int) -> str:
    """What clients call a form's encoding."""
    return "msgpack" if form & MSGPACK else "json"


def around(variant: Variant, mode: int, skipped: int = 0) -> tuple[bytes, bytes]:
    """What stands before and after the payload of a tick tagged with `mode`. One that tells of
    skipped ticks has one field more, at its end."""
    if not variant.form & MSGPACK:
        head, tail = frames.market_data(variant, mode)
        return head, tail[:-1] + b', "skipped": %d}' % skipped if skipped else tail
    names = ("symbol", variant.symbol, "exchange", variant.exchange)
    begin = ("type", "market_data", *names, "mode", int(mode), "data")
    end = ("broker", variant.broker, *(("skipped", skipped) if skipped else ()))
    return _map_header(_TICK_FIELDS + bool(skipped)) + _packed_each(*begin), _packed_each(*end)


def piece(line: Line, head: bytes, tail: bytes, form: int) -> bytes:
    """A line's value, which it must have, between what stands around it. Raises Malformed."""
    payload = _packed(line) if form & MSGPACK else line.payload or b""
    body = b"".join((head, payload, tail))
    return body if form & BATCH else _opening(len(body), form) + body


def joined(pieces: Sequence[bytes], form: int) -> bytes:
    """Pieces that leave together, as whole frames: in batches if that is the form."""
    if form & BATCH:
        pieces = [_batch(some, form) for some in _parts(pieces)]
    return b"".join(pieces)


def message(text: bytes, form: int) -> bytes:
    """A whole message that is no tick, as a frame. Raises Malformed."""
    if not form & MSGPACK:
        return frames.text(text)
    body = pack(text)
    return _opening(len(body), form) + body


def pack(text: bytes) -> bytes:
    """JSON as msgpack: whole numbers of 64 bits, all others doubles, strings in UTF-8.

    What has no place there comes as near as can be: a whole number beyond 64 bits is a double, a
    number beyond all doubles nil, half a surrogate pair `?`. Raises Malformed when it is nested
    too deeply.
    """
    try:
        return _pack(_read(text))
    except (
        ValueError,
        OverflowError,
        RecursionError,
    ):  # msgspec's errors and Unicode's are the first
        return _pack_rest(text)


# Below: details.


def _packed(line: Line) -> bytes:
    """A line's value as msgpack; it stays with the line until that has another value."""
    payload = line.payload or b""
    kept = line.packed
    if kept is None or kept[0] is not payload:
        kept = line.packed = (payload, pack(payload))
    return kept[1]


def _parts(pieces: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Pieces by the batches they go into."""
    start = size = 0
    for place, one in enumerate(pieces):
        size += len(one) + _SEPARATOR_BYTES
        if size > MOST_BYTES and place > start:
            yield pieces[start:place]
            start, size = place, len(one) + _SEPARATOR_BYTES
    if pieces:
        yield pieces[start:]


def _batch(pieces: Sequence[bytes], form: int) -> bytes:
    """Some pieces as one message: an array, also of one."""
    if form & MSGPACK:
        body = b"".join((_array_header(len(pieces)), *pieces))
    else:
        body = b"".join((b"[", b", ".join(pieces), b"]"))
    return _opening(len(body), form) + body


def _opening(size: int, form: int) -> bytes:
    return header(size, frames.BINARY if form & MSGPACK else frames.TEXT)


def _pack_rest(text: bytes) -> bytes:
    """The same for what msgpack has no place for."""
    try:
        return _pack(_valid(json.loads(text, parse_int=_whole, parse_float=_finite)))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"cannot be msgpack: {type(error).__name__}: {error}") from None


def _packed_each(*values: str | int) -> bytes:
    return b"".join([_pack(_valid(value)) for value in values])


def _whole(digits: str) -> int | float | None:
    value = int(digits) if len(digits) <= _LONGEST_WHOLE else None
    return value if value is not None and -(1 << 63) <= value < 1 << 64 else _finite(digits)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _valid(value: Any) -> Any:
    """A value whose strings can be written."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_valid(name): _valid(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_valid(inner) for inner in value]
    return value
