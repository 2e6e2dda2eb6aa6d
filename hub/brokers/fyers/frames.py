"""The frames of Fyers' data socket (HSM). Pure.

All is big-endian. A frame is u16 length, u8 kind, u8 number of fields, and the fields: u8 id, u16
length, bytes. The length that a client writes in front matters to nobody.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

AUTH, ACK, SUBSCRIBE, UNSUBSCRIBE, DATA, PAUSE, RESUME = 1, 3, 4, 5, 6, 7, 8
MODE, MASTER, CUSTOM = 12, 13, 51
YES = b"K"
PING = b"\x00\x01\x0b"

CHANNEL = 11
"""A connection may have 30 channels; this is the one that Fyers' own library uses."""
MAX_TOPICS = 1500
"""A frame names so many topics at most."""
_MAX_BYTES = 60_000  # of the topics of one frame: their length is a u16
_FULL = b"F"
_PRODUCTION = b"P"
_SOURCE = b"Shardhub"


def auth(key: str) -> bytes:
    """The first frame: who we are."""
    return _frame(AUTH, key.encode("ascii"), _PRODUCTION, b"\x01", _SOURCE)


def full_mode() -> bytes:
    """Asks for whole updates, not for the last price alone."""
    return b"\0\0" + _frame(MODE, (1 << CHANNEL).to_bytes(8, "big"), _FULL)[2:]


def acknowledgement(number: int) -> bytes:
    """Says that the data frame of that number has come."""
    return _frame(ACK, number.to_bytes(4, "big"))


def requests(kind: int, topics: Iterable[bytes]) -> Iterator[bytes]:
    """The frames that subscribe or unsubscribe these topics, and no frame for none."""
    for some in portions(topics):
        names = b"".join(len(name).to_bytes(1, "big") + name for name in some)
        yield _frame(kind, len(some).to_bytes(2, "big") + names, bytes([CHANNEL]))


def portions(topics: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The topics, as many together as one frame may name."""
    some: list[bytes] = []
    size = 0
    for topic in topics:
        if some and (len(some) == MAX_TOPICS or size + len(topic) + 1 > _MAX_BYTES):
            yield some
            some, size = [], 0
        some.append(topic)
        size += len(topic) + 1
    if some:
        yield some


def fields(data: bytes) -> dict[int, bytes]:
    """The fields of a frame that is no data, by id. Of one that is cut off there is what has come;
    raises IndexError or struct.error where not even its head has."""
    found: dict[int, bytes] = {}
    offset = 4
    for _ in range(data[3]):
        number, size = struct.unpack_from(">BH", data, offset)
        found[number] = data[offset + 3 : offset + 3 + size]
        offset += 3 + size
    return found


def _frame(kind: int, *values: bytes) -> bytes:
    body = b"".join(
        struct.pack(">BH", number, len(value)) + value for number, value in enumerate(values, 1)
    )
    return struct.pack(">HBB", len(body) + 2, kind, len(values)) + body
