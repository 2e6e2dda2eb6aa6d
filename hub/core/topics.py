r"""Keys and topics: how the names on the bus are read.

1. The key of a tick is everything before the last underscore of its topic; the rest is the mode.
2. Nobody splits a key: symbols and exchanges with underscores need no table of special cases.
3. Topics that begin with `@` are the hub's own (`@orders:<user>`, `@login:...`, `@sample`) and
   never come from outside.
4. A key may begin with a scope, the origin its ticks are bound to: `\x1forigin\x1fNSE_RELIANCE`.
   Names hold no control characters, so nobody outside makes one. Without a scope it is shared.

Source of the format: OpenAlgo's adapters, which publish `EXCHANGE_SYMBOL_MODE` with the mode as
LTP, QUOTE or DEPTH, and Flask's `BROKER_USER_orders` and `CACHE_INVALIDATE_...` messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from hub.core.errors import Malformed
from hub.core.model import Mode

MAX_KEY_BYTES = 256
"""Longest key accepted, from a client or the bus."""

_SCOPE = b"\x1f"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MODES = {b"LTP": Mode.LTP, b"QUOTE": Mode.QUOTE, b"DEPTH": Mode.DEPTH}
_SUFFIX: dict[int, bytes] = {mode: f"_{mode.name}".encode() for mode in Mode}
_INVALIDATE = b"CACHE_INVALIDATE"
ORDERS = b"@orders:"
ALL_ORDERS = b"@orders"
"""The key by which a process follows everybody's account events: order updates come under their
users' keys, changed credentials as INVALIDATED, and under itself that something was lost."""

INVALIDATED = b"@invalidate"
"""The key of changed credentials, for who follows everybody's account events."""

LOGIN = b"@login:"
SAMPLE = b"@sample"
"""What stands in a batch behind a tick whose way is timed (core/journey)."""


class Kind(Enum):
    """What a message on the bus is, told by its topic alone."""

    TICK = "tick"
    ORDERS = "orders"
    INVALIDATE = "invalidate"
    IGNORED = "ignored"


class Topic(NamedTuple):
    """A topic of market data, read."""

    key: bytes
    mode: Mode


def kind(topic: bytes) -> Kind:
    """Which of the four kinds of bus message a topic announces; the order is upstream's."""
    if topic.startswith(_INVALIDATE):
        return Kind.INVALIDATE
    if topic.endswith(b"_orders"):
        return Kind.ORDERS
    if topic.endswith((b"_positions", b"_margins")):
        return Kind.IGNORED
    return Kind.TICK


def parse(topic: bytes) -> Topic:
    """Read a market-data topic. Raises Malformed with the reason."""
    if topic.startswith(_INVALIDATE):
        raise Malformed(f"topic {topic[:80]!r} tells of credentials, whatever it ends in")
    key, _, label = topic.rpartition(b"_")
    mode = _MODES.get(label) or _MODES.get(label.upper())
    if mode is None:
        raise Malformed(f"topic {topic[:80]!r} does not end in _LTP, _QUOTE or _DEPTH")
    problem = key_problem(plain(key))
    if problem:
        raise Malformed(f"topic {topic[:80]!r}: {problem}")
    return Topic(key, mode)


def is_own(key: bytes) -> bool:
    """Whether a key is the hub's own, under which no ticks come."""
    return key.startswith(b"@")


def scope(origin: str) -> bytes:
    """What the keys of an origin (a user, a broker) begin with; nothing for the empty name."""
    if not origin:
        return b""
    name = origin.encode("utf-8", "surrogatepass")
    if not origin.isprintable() or len(name) > MAX_KEY_BYTES:
        name = b"#" + blake2b(name, digest_size=16).hexdigest().encode()
    return _SCOPE + name + _SCOPE


def plain(key: bytes) -> bytes:
    """A key, or a topic, without its scope."""
    return key[key.find(_SCOPE, 1) + 1 :] if key.startswith(_SCOPE) else key


def scope_of(key: bytes) -> bytes:
    """The scope that a key, or a topic, is in; nothing when it is in none."""
    return key[: len(key) - len(plain(key))]


def shown(key: bytes) -> str:
    """A key for people: `NSE_RELIANCE`, or `NSE_RELIANCE of angel` with its scope."""
    name = plain(key)
    told = name.decode(errors="replace")
    if name is key:
        return told
    origin = key[1 : -len(name) - 1].decode(errors="replace")
    return f"{told} of {origin}"


def key_problem(key: bytes) -> str:
    """What is wrong with a key, in words; empty when nothing is."""
    if len(key) > MAX_KEY_BYTES:
        return f"exchange and symbol are longer than {MAX_KEY_BYTES} bytes"
    exchange, separator, symbol = key.partition(b"_")
    if not (separator and exchange and symbol):
        return "it needs an exchange and a symbol"
    if is_own(key):
        return "names that begin with @ are reserved"
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return "control characters are not allowed in names" if _CONTROL.search(text) else ""


def key_of(exchange: str, symbol: str) -> tuple[bytes, str]:
    """The key of what a client has named, neither part empty, and what is wrong with it, as in
    `key_problem`. Raises UnicodeEncodeError."""
    text = f"{exchange}_{symbol}"
    key = text.encode()
    if text.isascii() and text.isprintable() and text[0] not in "_@" and len(key) <= MAX_KEY_BYTES:
        return key, ""  # as good as all are
    return key, key_problem(key)


def of(key: bytes, mode: int) -> bytes:
    """The topic a tick of this key and mode is published under."""
    return key + _SUFFIX[mode]


def select(pairs: Sequence[bytes], wanted: Callable[[bytes], bool]) -> list[bytes]:
    """Of ticks `[topic, json, ...]` those whose key is wanted. Raises Malformed."""
    found: list[bytes] = []
    for topic, payload in zip(pairs[::2], pairs[1::2], strict=True):
        if wanted(parse(topic).key):
            found += (topic, payload)
    return found


def orders(user: str) -> bytes:
    """The key, and topic, of a user's order updates."""
    return ORDERS + user.encode("utf-8", "surrogatepass")


def login(user: str, broker: str) -> bytes:
    """The key that stands for a user's login at a broker; nothing is published under it."""
    return LOGIN + f"{broker}{_SCOPE.decode()}{user}".encode("utf-8", "surrogatepass")
