"""ZMTP 3, the protocol of ZeroMQ's sockets, without the sockets. Pure.

How a connection begins, and what its commands say. The frames behind that are cut by
hot.Decoder, and made by hot.message.

Source of the format: rfc.zeromq.org/spec/37 (ZMTP 3.1) and 23 (3.0). A greeting of 64 bytes each
way, mechanism NULL, a READY command with the Socket-Type, then frames: a byte of flags, a size in
one byte or eight, the body.
"""

from __future__ import annotations

from collections.abc import Collection
from struct import pack
from typing import NamedTuple

from hub.core.errors import Malformed
from hub.core.hot import message

GREETING_BYTES = 64
_LONG, _COMMAND = 2, 4
_SHORT = 256
_MECHANISM = b"NULL".ljust(20, b"\0")
_VERSION = (3, 1)
_FILLER = 31
_READY_BYTES = 4096
"""More than a socket's properties take, which nobody has reason to exceed."""


class Command(NamedTuple):
    """A command: its name, and what follows it."""

    name: bytes
    body: bytes


def read(body: bytes) -> Command:
    """The body of a command's frame. Raises Malformed."""
    end = 1 + body[0] if body else 0
    if not 1 < end <= len(body):
        raise Malformed("a command without a name")
    return Command(body[1:end], body[end:])


def greeting() -> bytes:
    """How a peer of this side begins."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes(_VERSION) + _MECHANISM + b"\0" + bytes(_FILLER)


def command(name: bytes, body: bytes = b"") -> bytes:
    """A command as one frame."""
    named = bytes((len(name),)) + name + body
    if len(named) < _SHORT:
        return bytes((_COMMAND, len(named))) + named
    return pack(">BQ", _COMMAND | _LONG, len(named)) + named


def subscribe(prefix: bytes, minor: int) -> bytes:
    """What a SUB socket says to a peer of version 3.`minor`: a command since 3.1, before that a
    message that begins with a 1."""
    return command(b"SUBSCRIBE", prefix) if minor else message([b"\1" + prefix])


def pong(ping: Command) -> bytes:
    """The answer to a PING: its context, which stands behind two bytes of time to live."""
    return command(b"PONG", ping.body[2:])


class Handshake:
    """The beginning of a connection: `kind` is the type of the socket on this side, `partners`
    are those it has something to do with."""

    def __init__(self, kind: bytes, partners: Collection[bytes]) -> None:
        self._ready = command(b"READY", _property(b"Socket-Type", kind))
        self._partners = partners
        self._held = b""
        self._greeted = False
        self.done = False
        self.minor = 0

    def __repr__(self) -> str:
        return f"<Handshake {'done' if self.done else 'greeted' if self._greeted else 'begun'}>"

    def take(self, data: bytes) -> bytes:
        """Bytes of the peer's; what is to be sent in answer. Raises Malformed."""
        self._held += data
        answer = b""
        if not self._greeted:
            self._check_greeting()
            if len(self._held) < GREETING_BYTES:
                return b""
            self.minor = min(self._held[11], _VERSION[1])
            self._held = self._held[GREETING_BYTES:]
            self._greeted = True
            answer = self._ready
        self._look_for_ready()
        return answer

    def end(self) -> None:
        """The peer has left. Raises Malformed when it had begun: libzmq leaves without a word when
        it wants another mechanism."""
        if self._held or self._greeted:
            raise Malformed(
                "it has not shaken hands to the end; should it want CURVE or PLAIN: "
                "this socket has NULL"
            )

    def rest(self) -> bytes:
        """What has come behind the handshake."""
        rest, self._held = self._held, b""
        return rest

    def _check_greeting(self) -> None:
        """Check as much of the greeting as is there: another protocol shows at once."""
        held = self._held
        if held[:1] not in (b"", b"\xff") or (len(held) > 9 and not held[9] & 1):
            raise Malformed("it does not speak ZMTP")
        if len(held) > 10 and held[10] < _VERSION[0]:
            raise Malformed(f"it speaks ZMTP {held[10]}; 3.0 or newer is needed (libzmq 4)")
        if len(held) >= 32 and held[12:32] != _MECHANISM:
            name = _shown(held[12:32].rstrip(b"\0"))
            raise Malformed(f"it asks for the mechanism {name}; this socket has NULL")

    def _look_for_ready(self) -> None:
        held = self._held
        found = _header(held)
        if found is None:
            return
        flags, start, size = found
        if not flags & _COMMAND or size > _READY_BYTES:
            raise Malformed("it does not begin with a command READY")
        if len(held) < start + size:
            return
        name, body = read(held[start : start + size])
        if name != b"READY":
            reason = _shown(body[1:]) if name == b"ERROR" else ""
            raise Malformed(f"it begins with the command {_shown(name)} {reason}".rstrip())
        kind = _properties(body).get(b"socket-type", b"")
        if kind not in self._partners:
            raise Malformed(f"it is a socket of type {_shown(kind) or 'none'}")
        self._held = held[start + size :]
        self.done = True


def _header(data: bytes) -> tuple[int, int, int] | None:
    """Of the first frame: its flags, where its body begins and how large it is; None when the
    header is not whole."""
    if len(data) < 2:
        return None
    flags = data[0]
    if not flags & _LONG:
        return flags, 2, data[1]
    if len(data) < 9:
        return None
    return flags, 9, int.from_bytes(data[1:9], "big")


def _shown(text: bytes) -> str:
    """A peer's own words, short enough for a line of the log and without control characters."""
    return repr(text[:80])[2:-1]


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + pack(">I", len(value)) + value


def _properties(body: bytes) -> dict[bytes, bytes]:
    """The properties of a READY command; their names count without regard to case. Raises
    Malformed."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        middle = at + 1 + body[at]
        start = middle + 4
        end = start + int.from_bytes(body[middle:start], "big")
        if start > len(body) or end > len(body):
            raise Malformed("a command READY that is cut short")
        found[body[at + 1 : middle].lower()] = body[start:end]
        at = end
    return found
