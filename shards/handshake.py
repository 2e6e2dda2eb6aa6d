"""What is answered to a WebSocket handshake, and to what is none.

1. Who may not come is told why: 503 when there is no room, 403 for a page of a foreign origin.
2. What comes behind a handshake is read when that is answered, though it came in one write.
3. Whoever speaks something else here, TLS for one, is told so at once.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from shards.guests import Guests

_VERSION = "13"
_END = re.compile(rb"\A\r?\n|\n\r\n")
"""Where a handshake may end, in a part of what has come: its empty line may be cut."""
_TLS = b"\x16\x03"
"""How TLS begins, and nothing in a handshake does."""


def _none(scheme: bytes) -> bytes:
    text = b"This is no WebSocket handshake. The scheme here is %b.\n" % scheme
    return (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
    ) % (len(text), text)


NONE = _none(b"ws://, without TLS")
"""What is answered to what is no handshake."""
NONE_SECURE = _none(b"wss://, with TLS")
"""The same where TLS is spoken, also to who does not."""

_RETRY_S = 1
"""When to come again, for whoever is told that there is no room, or no service, for now."""

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: %d\r\n"
    b"Connection: close\r\n\r\n"
) % _RETRY_S
"""What is answered to whoever has not shaken hands when it is sent away."""


def part(data: bytes) -> bytes:
    """As much of what has come as may belong to the handshake: the WebSocket layer reads on at
    once, and would answer what is behind it before the handshake itself."""
    end = _END.search(data)
    return data[: end.end()] if end else data


def readable(data: bytes) -> bytes:
    """What the layer is given to read. A client of wss:// waits for an answer: it has said all it
    will, so it is read as a line that is no handshake."""
    return b"\n" if data.startswith(_TLS) else data


def answer(
    ws: ServerProtocol, request: Request, guests: Guests, address: str, no_room: str
) -> Response:
    """The answer to a handshake. `no_room` says why nobody can be taken; empty when one can."""
    headers = request.headers
    origins, hosts = headers.get_all("Origin"), headers.get_all("Host")
    origin, host = (values[0] if values else None for values in (origins, hosts))
    if no_room:
        response = ws.reject(HTTPStatus.SERVICE_UNAVAILABLE, f"{no_room}\n")
        response.headers["Retry-After"] = str(_RETRY_S)
        return response
    if len(origins) > 1 or len(hosts) > 1:
        return ws.reject(HTTPStatus.BAD_REQUEST, "one Host and one Origin\n")
    if guests.foreign(origin, host, address):
        return ws.reject(HTTPStatus.FORBIDDEN, "pages of this origin may not\n")
    response = ws.accept(request)
    if set(headers.get_all("Sec-WebSocket-Version")) - {_VERSION}:  # RFC 6455, 4.4
        text = f"version {_VERSION} of WebSocket is spoken here\n"
        response = ws.reject(HTTPStatus.UPGRADE_REQUIRED, text)
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Version"] = _VERSION
    return response
