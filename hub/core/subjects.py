r"""NATS subjects: where machines say what. Pure.

1. A name is one token, whatever is in it: letters, digits, `-` and `_` stay, and every other byte
   of its UTF-8 is `%` and two hexadecimal digits. The empty name is `%`. Each name has one token
   and each token one name.
2. Ticks go to the set of machines that want them. Each of them hears its own part of a subject and
   takes any other for granted, so it hears a set exactly when it is one of it, and then once.

        P.beat                  everybody's beat
        P.ask.<machine>         what a machine is asked
        P.edge.<machine>        what a machine is told
        P.t.<stay>.<bank>.<b0>...<b7>   ticks, for those edges of bank n // 8 whose n % 8 is a `1`
        P.tick.<key>.<MODE>     one topic: measured (scripts/benchmark/subjects), not used

P is `nats.prefix`. Events of accounts are below `P.events` (core/envelope). What a subject may hold
is told by NATS's documentation, "Subject-Based Messaging": tokens with dots between, none of them
empty, no white space, and `*` and `>` in place of what is not known.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from hub.core import topics
from hub.core.errors import Malformed

_BANK = 8
_PLAIN = frozenset((string.ascii_letters + string.digits + "-_").encode())
_TOKENS = [chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in range(256)]
_EMPTY = "%"


def escape(name: str | bytes) -> str:
    """The token of a name."""
    data = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
    return "".join(map(_TOKENS.__getitem__, data)) or _EMPTY


def unescape(token: str) -> bytes:
    """The name of a token. Raises Malformed for one that no name has."""
    head, *rest = token.split("%")
    try:
        name = head.encode() + b"".join(
            bytes.fromhex(part[:2]) + part[2:].encode() for part in rest if token != _EMPTY
        )
    except ValueError:
        name = b""
    if escape(name) != token:
        raise Malformed(f"{token[:80]!r} is no token of a name")
    return name


def beat(prefix: str) -> str:
    """Where everybody says once a second that it is there."""
    return f"{prefix}.beat"


def ask(prefix: str, machine: str) -> str:
    """Where a machine is asked."""
    return f"{prefix}.ask.{escape(machine)}"


def edge(prefix: str, machine: str) -> str:
    """Where a machine is told."""
    return f"{prefix}.edge.{escape(machine)}"


def audience(prefix: str, stay: str, edges: Iterable[int]) -> list[str]:
    """Where ticks go for these edges, numbered by the stay of their ingest: one subject for each
    bank that one of them is in."""
    banks: dict[int, set[int]] = {}
    for number in edges:
        banks.setdefault(number // _BANK, set()).add(number % _BANK)
    return [
        _banked(prefix, stay, bank, ["1" if at in wants else "0" for at in range(_BANK)])
        for bank, wants in banks.items()
    ]


def mine(prefix: str, stay: str, number: int) -> str:
    """What an edge of this number subscribes: every set that it is of."""
    bank, own = divmod(number, _BANK)
    return _banked(prefix, stay, bank, ["1" if at == own else "*" for at in range(_BANK)])


def topic(prefix: str, topic: bytes) -> str:
    """The subject of one topic. Its key is a name: it is not split into exchange and symbol.
    Raises Malformed for a topic that is none of market data."""
    key, mode = topics.parse(topic)
    return f"{prefix}.tick.{escape(key)}.{mode.name}"


def topic_of(subject: str) -> bytes:
    """The topic that has this subject. Raises Malformed for a subject of something else."""
    prefix, _, rest = subject.partition(".tick.")
    key, _, mode = rest.rpartition(".")
    found = unescape(key) + b"_" + mode.encode()
    if topic(prefix, found) != subject:
        raise Malformed(f"{subject[:80]!r} is no subject of a topic")
    return found


def _banked(prefix: str, stay: str, bank: int, bits: list[str]) -> str:
    return f"{prefix}.t.{stay}.{bank}.{'.'.join(bits)}"
