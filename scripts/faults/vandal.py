"""Publishers that misbehave on the bus's port. Each waits on its socket, so run it in a thread."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from hub.core import hot, zmtp
from hub.core.errors import HubError
from scripts.benchmark.handshake import greet

_TIMEOUT_S = 3.0
_LINGER_NOT = struct.pack("ii", 1, 0)
_LONG = b"\x02"  # the flag of a ZMTP frame whose size has eight bytes


def garbage(port: int, rng: random.Random) -> None:
    """Bytes that are no greeting, and bytes that are no frames behind a good one."""
    with _connected(port) as sock:
        sock.sendall(rng.randbytes(rng.randrange(1, 4096)))
    with _greeted(port) as sock:
        sock.sendall(rng.randbytes(rng.randrange(1, 65536)))


def malformed(port: int, rng: random.Random) -> None:
    """Good frames of bad messages: parts missing or too many, no topic, no JSON, no object."""
    bad: tuple[tuple[bytes, ...], ...] = (
        (b"NSE_ALONE_QUOTE",),
        (b"NSE_THREE_QUOTE", b"{}", b"{}"),
        (b"", b""),
        (b"NSE_NOMODE", b"{}"),
        (b"NSE_BAD_QUOTE", b"{"),
        (b"NSE_LIST_QUOTE", b"[1]"),
        (b"NSE_UTF_QUOTE", b'{"a": "\xff"}'),
        (b"NSE_\xff\x00_QUOTE", b"{}"),
        (b"ANALYZE_orders", b"{}"),
        (b"ANALYZE_x_orders", b'{"user_id": 7}'),
        (b"CACHE_INVALIDATE_ALL", b"null"),
    )
    with _greeted(port) as sock:
        for _ in range(50):
            sock.sendall(hot.message(rng.choice(bad)))


def oversized(port: int, rng: random.Random) -> None:
    """A message of several MiB, a frame that says it has a terabyte, and a topic of 100 kB."""
    with _greeted(port) as sock:
        sock.sendall(hot.message((b"NSE_BIG_QUOTE", b'{"a": "%b"}' % (b"x" * (2 << 20)))))
        sock.sendall(hot.message((b"NSE_" + b"x" * 100_000 + b"_QUOTE", b"{}")))
    with _greeted(port) as sock:
        sock.sendall(_LONG + (1 << 40).to_bytes(8, "big") + rng.randbytes(1000))


def cuts(port: int, rng: random.Random) -> None:
    """Connects and leaves at every point there is, by FIN and by RST."""
    frame = hot.message((b"NSE_CUT_QUOTE", b'{"ltp": 1}'))
    for _ in range(20):
        with _connected(port) as sock:
            sock.sendall(zmtp.greeting()[: rng.randrange(64)])
            if rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    for _ in range(5):
        with _greeted(port) as sock:
            sock.sendall(frame * 3 + frame[: rng.randrange(len(frame))])


DEEDS: dict[str, Callable[[int, random.Random], None]] = {
    "garbage": garbage,
    "malformed": malformed,
    "oversized": oversized,
    "cuts": cuts,
}


def do(what: str, port: int, seed: int) -> None:
    """One of them; a router that cuts it off, or is not there, is what it has to expect."""
    with suppress(OSError, HubError):
        DEEDS[what](port, random.Random(seed))


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
    sock.settimeout(_TIMEOUT_S)
    return sock


def _greeted(port: int) -> socket.socket:
    return greet(_connected(port), b"PUB", b"SUB")
