"""Batches of ticks and control messages as bytes.

A batch is one msgpack array `[topic, json, topic, json, ...]` of byte strings. A control message
is one msgpack map with at least `t` (its type, text). Both are the hub's own formats; they never
leave the runtime directory's sockets.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgpack
import msgspec

from hub.core.errors import Malformed
from hub.core.hot import pack, unpack
from hub.core.model import Offer, Quiet, Result, Stale, Want

__all__ = [
    "Message",
    "beat",
    "decode",
    "encode",
    "keys",
    "looked",
    "offer",
    "offers",
    "pack",
    "payload",
    "quiet",
    "results",
    "stale",
    "unpack",
    "wants",
]

Message = dict[str, Any]
"""A control message: `t` is its type, `to` and `from` are roles, the rest belongs to the type."""

_Figures = TypedDict(
    "_Figures",
    {"in": float, "out": float, "started_s": float, "children": dict[str, dict[str, Any]]},
    total=False,
)


class _Beat(TypedDict):
    """What a heartbeat has to hold, and what some of its figures have to be."""

    pid: Annotated[int, msgspec.Meta(gt=0)]
    figures: _Figures


def encode(message: Message) -> bytes:
    """A control message as one frame."""
    packed: bytes = msgpack.packb(message)
    return packed


def decode(frame: bytes) -> Message:
    """A control message. Raises Malformed when it is not a map with a type."""
    try:
        message = msgpack.unpackb(frame)
    except Exception as error:  # noqa: BLE001  # msgpack raises many kinds; the bytes come from outside
        raise Malformed(f"not a control message: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise Malformed("a control message is a map with a type")
    return message


def wants(message: Message) -> list[Want]:
    """The wants a message carries. Raises Malformed when they are of another form."""
    return _rows(message, "wants", Want)


def results(message: Message) -> list[Result]:
    """The results a message carries. Raises Malformed when they are of another form."""
    return _rows(message, "results", Result)


def quiet(message: Message) -> list[Quiet]:
    """What a shard hears nothing of. Raises Malformed when it is of another form."""
    return _rows(message, "quiet", Quiet)


def stale(message: Message) -> list[Stale]:
    """What a feed calls stale. Raises Malformed when it is of another form."""
    return _rows(message, "stale", Stale)


def offer(message: Message) -> Offer:
    """What a feed's hello announces. Raises Malformed when it is of another form."""
    (found,) = _rows({"t": message["t"], "offer": [message.get("offer")]}, "offer", Offer)
    return Offer(*found)


def offers(message: Message) -> list[Offer]:
    """The feeds a pulse names. Raises Malformed when they are of another form."""
    return _rows(message, "feeds", Offer)


def beat(message: Message) -> tuple[int, dict[str, Any]]:
    """The pid and the figures of a heartbeat. Raises Malformed when they are of another form."""
    try:
        msgspec.convert(message, _Beat)
    except msgspec.ValidationError as error:
        raise Malformed(f"{message['t']}: {error}") from None
    return message["pid"], message["figures"]


class _Slow(TypedDict):
    """What the monitor reckons with; the rest of a client it only shows."""

    behind: bool
    conflated: float
    unsent_bytes: float
    out_s: float
    share: float


class _Looked(TypedDict):
    """What a look has to tell."""

    hottest: list[tuple[bytes, float]]
    slowest: list[_Slow]


def looked(message: Message) -> tuple[list[tuple[bytes, float]], list[dict[str, Any]]]:
    """The topics and the clients that a look tells of. Raises Malformed when they are of another
    form."""
    try:
        found = msgspec.convert(message, _Looked)
    except msgspec.ValidationError as error:
        raise Malformed(f"{message['t']}: {error}") from None
    return found["hottest"], message["slowest"]


def payload(message: Message) -> bytes:
    """The payload a message carries, unread. Raises Malformed when it is of another form."""
    found = message.get("payload")
    if not isinstance(found, bytes):
        raise Malformed(f"{message['t']}: its payload is bytes")
    return found


def keys(message: Message) -> list[bytes]:
    """The keys a message carries. Raises Malformed when they are of another form."""
    return _rows(message, "keys", bytes)


def _rows(message: Message, name: str, row: type[Any]) -> list[Any]:
    try:
        return msgspec.convert(message.get(name), list[row])  # type: ignore[valid-type]  # row is a value here
    except msgspec.ValidationError as error:
        raise Malformed(f"{message['t']}: {name}: {error}") from None
