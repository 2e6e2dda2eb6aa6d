"""What a Fyers server writes: frames of the data socket, and protobuf of the deep books.

Written from the formats' description, and not from the codec: no line is shared with it.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping, Sequence

HOLE = -(2**31)


def token(hsm_key: str = "hsm-key-1", exp: int = 4102444800) -> str:
    """An access token that carries that key."""
    parts = (
        {"typ": "JWT", "alg": "HS256"},
        {"sub": "access_token", "exp": exp, "hsm_key": hsm_key},
    )
    text = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*text, b"c2lnbmF0dXJl"]).decode()


def field(number: int, value: bytes) -> bytes:
    return bytes([number, len(value) >> 8, len(value) & 255]) + value


def reply(kind: int, *fields: bytes) -> bytes:
    body = bytes([kind, len(fields)]) + b"".join(fields)
    return len(body).to_bytes(2, "big") + body


def yes(kind: int, ack_every: int | None = None) -> bytes:
    """K, and in the reply to a login how many data frames are acknowledged at a time."""
    more = [] if ack_every is None else [field(2, struct.pack("!L", ack_every))]
    return reply(kind, field(1, b"K"), *more)


def no(kind: int) -> bytes:
    return reply(kind, field(1, b"N"), field(2, b"\0\0\0\0"))


def custom(code: int, text: str, about: int) -> bytes:
    return reply(
        51, field(1, struct.pack("!l", code)), field(2, text.encode()), field(3, bytes([about]))
    )


def data(number: int, entries: Sequence[bytes]) -> bytes:
    """A data frame of these entries."""
    body = b"".join(entries)
    head = struct.pack("!BLH", 6, number & 0xFFFFFFFF, len(entries))
    return struct.pack("!H", (len(head) + len(body)) & 0xFFFF) + head + body


def snapshot(
    number: int,
    topic: str,
    values: Iterable[int | None],
    *,
    precision: int = 2,
    multiplier: int = 1,
    texts: Sequence[str] = ("NSE", "2885", "RELIANCE-EQ"),
) -> bytes:
    figures = _figures(values)
    name = topic.encode()
    return b"".join([
        b"S",
        number.to_bytes(2, "big"),
        bytes([len(name)]),
        name,
        bytes([len(figures) // 4]),
        figures,
        b"\x00\x07",
        multiplier.to_bytes(2, "big"),
        bytes([precision]),
        *(bytes([len(text.encode())]) + text.encode() for text in texts),
    ])  # fmt: skip


def update(number: int, values: Iterable[int | None]) -> bytes:
    figures = _figures(values)
    return b"U" + number.to_bytes(2, "big") + bytes([len(figures) // 4]) + figures


def lite(number: int, ltp: int | None) -> bytes:
    return b"L" + number.to_bytes(2, "big") + _figures([ltp])


def _figures(values: Iterable[int | None]) -> bytes:
    return b"".join(
        (HOLE if value is None else value).to_bytes(4, "big", signed=True) for value in values
    )


# Deep books: protobuf, a field at a time.


def _varint(value: int) -> bytes:
    found = bytearray()
    value &= 2**64 - 1
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _number(at: int, value: int) -> bytes:
    return _varint(at << 3) + _varint(value)


def _bytes(at: int, value: bytes) -> bytes:
    return _varint(at << 3 | 2) + _varint(len(value)) + value


def _wrapped(at: int, value: int | None) -> bytes:
    """A number in a message of its own: absent is not zero."""
    if value is None:
        return b""
    return _bytes(at, _number(1, value) if value else b"")


Level = tuple[int | None, int | None, int | None, int | None]
"""Which level, and its price in paise, quantity and orders; None is what has not changed."""


def level(where: int | None, price: int | None, quantity: int | None, orders: int | None) -> bytes:
    return b"".join(
        _wrapped(at, value) for at, value in enumerate((price, quantity, orders, where), 1)
    )


def feed(
    ticker: str,
    *,
    bids: Sequence[Level] = (),
    asks: Sequence[Level] = (),
    buying: int | None = None,
    selling: int | None = None,
    time_s: int | None = 1_790_000_000,
    sequence: int = 0,
    ltp: int | None = None,
) -> bytes:
    """What has changed of one book."""
    depth = b"".join([
        _wrapped(1, buying),
        _wrapped(2, selling),
        *(_bytes(3, level(*one)) for one in asks),
        *(_bytes(4, level(*one)) for one in bids),
    ])  # fmt: skip
    quote = _bytes(1, _wrapped(1, ltp)) if ltp is not None else b""
    return b"".join([
        quote,
        _bytes(5, depth),
        _wrapped(6, time_s),
        _wrapped(7, time_s),
        _bytes(8, b"10100000002885"),
        _number(9, sequence) if sequence else b"",
        _bytes(11, ticker.encode()),
    ])  # fmt: skip


def message(feeds: Mapping[str, bytes], *, snapshot: bool = False) -> bytes:
    """A message of books, by the number of each."""
    parts = [_number(1, 6)]
    parts += [_bytes(2, _bytes(1, key.encode()) + _bytes(2, feed)) for key, feed in feeds.items()]
    return b"".join(parts + ([_number(3, 1)] if snapshot else []))


def complaint(text: str) -> bytes:
    return _number(1, 8) + _bytes(4, text.encode()) + _number(5, 1)
