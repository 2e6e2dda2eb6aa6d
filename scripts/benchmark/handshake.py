"""How a connection begins: WebSocket handshake, authenticate, subscribe; or as a ZMQ socket. It may
wait."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
from struct import pack
from typing import Any

import msgspec

from hub.core import forms, zmtp
from hub.core.errors import HubError
from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import EXCHANGE, PROBE, symbols
from scripts.benchmark.walk import TEXT, Block, Walker

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_AT_ONCE = 1000
CHUNK_BYTES = 1 << 16


def shake_hands(sock: socket.socket, port: int, protocol: str = "") -> bytes:
    """Upgrade to WebSocket; returns what the server has said already, behind its answer.

    `protocol` is the subprotocol asked for. Raises HubError when the server does not follow.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        + (f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else "")
        + "\r\n"
    )
    sock.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += some(sock)
    proof = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest())  # noqa: S324  # RFC 6455 names SHA-1
    if not answer.startswith(b"HTTP/1.1 101") or proof not in answer:
        raise HubError(f"the WebSocket handshake failed: {answer[:200]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def greet(sock: socket.socket, kind: bytes, partner: bytes) -> socket.socket:
    """Shake hands as a ZMQ socket of this kind with one of the other; the same socket."""
    handshake = zmtp.Handshake(kind, (partner,))
    sock.sendall(zmtp.greeting())
    while not handshake.done:
        sock.sendall(handshake.take(some(sock)))
    return sock


def subscribe(sock: socket.socket, load: Load, key: str, form: int = forms.PLAIN) -> None:
    """Authenticate and subscribe to all symbols and the probe, in Quote mode; everything after
    the reply to authenticate is in the form asked for.

    Raises HubError when one of it is refused. Afterwards ticks may have begun, but nobody
    publishes yet.
    """
    replies = _Replies(sock)
    asked = wish(form)
    request = {"action": "authenticate", "api_key": key, "snapshot": False, **asked}
    granted = replies.ask(request, "auth")
    if not asked.items() <= granted.items():
        raise HubError(f"the server does not grant {asked}: {granted}")
    names = [*symbols(load), PROBE]
    for start in range(0, len(names), _AT_ONCE):
        wanted = [
            {"symbol": name, "exchange": EXCHANGE} for name in names[start : start + _AT_ONCE]
        ]
        replies.ask({"action": "subscribe", "symbols": wanted, "mode": "Quote"}, "subscribe")


def wish(form: int) -> dict[str, Any]:
    """What an authenticate says to have this form; nothing for the plain one."""
    batch = {"batch": True} if form & forms.BATCH else {}
    return batch | ({"encoding": forms.encoding(form)} if form & forms.MSGPACK else {})


def masked(kind: int, payload: bytes) -> bytes:
    """A client's frame. Its mask is zero, so the payload stands there as it is."""
    size = len(payload)
    if size < 126:
        head = pack(">BB", kind, 0x80 | size)
    elif size < 1 << 16:
        head = pack(">BBH", kind, 0x80 | 126, size)
    else:
        head = pack(">BBQ", kind, 0x80 | 127, size)
    return head + bytes(4) + payload


def some(sock: socket.socket) -> bytes:
    """What has come, waited for. Raises HubError when nothing comes any more."""
    try:
        data = sock.recv(CHUNK_BYTES)
    except OSError as error:
        raise HubError(f"no answer from the server: {error}") from None
    if not data:
        raise HubError("the server closed the connection")
    return data


class _Replies:
    """Sends requests, each after the reply to the one before."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._walker = Walker()

    def ask(self, request: dict[str, Any], kind: str) -> dict[str, Any]:
        """Send a request and read on until its reply has come."""
        self._sock.sendall(masked(TEXT, json.dumps(request).encode()))
        while True:
            for block in self._walker.take(some(self._sock)):
                reply = _decoded(block)
                if reply.get("status", "success") != "success":
                    raise HubError(f"{kind} was refused: {block.payload[:300]!r}")
                if reply.get("type") == kind:
                    return reply


def _decoded(block: Block) -> dict[str, Any]:
    read = json.loads if block.kind == TEXT else msgspec.msgpack.decode
    reply: dict[str, Any] = read(block.payload)
    return reply
