"""Targets: what a broker sends. Its codec reads messages of which any may be anything.

Bytes are a mode, and then messages, each behind its length (u16, little-endian); those of a broker
that sends text are text where they can be.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

import msgspec

from hub.brokers import catalogue
from hub.brokers.base import Change, Codec, Event, Subscription

_SERVERS = {"flattrade": "noren", "shoonya": "noren"}
_SYMBOLS = 3
_NOW_MS = 1_795_000_000_000
_LENGTH = struct.Struct("<H")


def seeds(name: str) -> list[bytes]:
    """What its fake server sends, in each mode."""
    found = []
    for mode in (1, 2, 3):
        _, frames = _sample(name, mode)
        parts = [part.encode() if isinstance(part, str) else part for part in frames]
        packed = b"".join(_LENGTH.pack(len(part)) + part for part in parts)
        found.append(bytes((mode,)) + packed)
    return found


def read(name: str, data: bytes) -> None:
    """Whatever a broker sends, nothing is raised, and a tick is an object of the instrument that
    it is told of, in a mode that is wanted."""
    mode = 1 + (data[0] - 1) % 3 if data else 1
    channel = catalogue.get(name).channels[0]
    listings, first = _sample(name, mode)
    subs = [Subscription(listing) for listing in listings]

    codec = channel.codec(_server(name).CREDENTIALS, channel.addresses)
    _let_in(codec, first)
    for sub in subs:
        sub.mode = mode
    codec.change([Change(sub, 0, mode) for sub in subs])
    taken: list[tuple[Any, ...]] = []
    for message in _messages(data[1:], text=isinstance(first[-1], str)):
        for event in codec.receive(message, _NOW_MS, lambda *tick: taken.append(tick)):
            assert isinstance(event, get_args(Event))
    for tick in taken:
        _check(subs, *tick)


def _check(subs: Sequence[Subscription], *tick: Any) -> None:
    sub, mode, payload, at_ms, seq = tick
    assert sub in subs
    assert 1 <= mode <= sub.mode
    assert type(at_ms) is type(seq) is int
    value = msgspec.json.decode(payload)
    assert (value["symbol"], value["exchange"]) == (sub.symbol, sub.listing.exchange)


def _let_in(codec: Codec, first: Sequence[Any]) -> None:
    if codec.ask() is None:
        codec.endpoint(None)
    codec.opened()
    for message in first:
        if codec.ready:
            break
        codec.receive(message, _NOW_MS, _nobody)


def _messages(data: bytes, *, text: bool) -> Iterator[str | bytes]:
    at = 0
    while at + 2 <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        part = data[at + 2 : at + 2 + length]
        at += 2 + length
        try:
            yield part.decode() if text else part
        except UnicodeDecodeError:
            yield part


@cache
def _sample(name: str, mode: int) -> tuple[Any, list[Any]]:
    listings, frames = _server(name).sample(_SYMBOLS, mode, 2 * _SYMBOLS)
    return listings, list(frames)


def _server(name: str) -> Any:
    return importlib.import_module(f"tests.brokers.{_SERVERS.get(name, name)}_server")


def _nobody(*_: object) -> None:
    raise AssertionError("nothing was asked for yet")
