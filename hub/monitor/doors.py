"""What stands before the page: who may come in, and what every answer says to a browser.

1. Only addresses under which the page is served are answered (DNS rebinding).
2. What is no page of this origin opens no WebSocket and logs nobody in.
3. Where there is a token, all that shows the hub asks for it.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.core.proxies import Proxies
from hub.monitor.token import COOKIE_S, Gate
from hub.runtime.log import Seldom

OPEN_PATHS = ("/static/", "/login", "/healthz", "/readyz")
"""Where nobody is asked for a token."""

_LOGIN_BYTES = 4096
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d+)?")


class Doors:
    """Wraps the application; `host` is what it listens on, `origins` where else it is served,
    `trusted` the proxies that are believed when they say where a visitor is."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        host: str,
        port: int,
        origins: Iterable[str],
        trusted: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._gate = gate
        self._cookie = f"hub_page_{port}"
        self._origins = {origin.rstrip("/").lower() for origin in origins}
        self._names = {host.lower(), "localhost"}
        self._names |= {_name_of(urlsplit(origin).netloc) for origin in self._origins}
        self._proxies = Proxies(trusted)
        self._seldom = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a visitor in, or answer in the application's place."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        visit = HTTPConnection(scope)
        refusal = self._refusal(visit)
        if refusal is None and scope["path"] == "/login" and scope.get("method") == "POST":
            refusal = await self._login(Request(scope, receive))
        if refusal is None:
            scope["authorised"] = self._is_known(visit)
            if not scope["authorised"] and not scope["path"].startswith(OPEN_PATHS):
                refusal = self._unknown(visit)
        if refusal is not None and scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await (refusal or self._app)(scope, receive, _dressed(send, visit.headers))

    def _refusal(self, visit: HTTPConnection) -> Response | None:
        """The answer to one who came by a way that is not ours; None for the others."""
        host, origin = visit.headers.get("host", ""), visit.headers.get("origin")
        name = _name_of(host) if _HOST.fullmatch(host) else ""
        if not _is_address(name) and name not in self._names:
            text = f"This page is not served as {host!r}. If it is meant to be, add its address "
            text += "to page.origins in the hub's settings, such as https://hub.example.com.\n"
            return PlainTextResponse(text, 421)
        alters = visit.scope["type"] == "websocket" or visit.scope["method"] == "POST"
        if alters and origin is not None and not self._is_ours(origin.lower(), host.lower()):
            text = f"Pages of {origin!r} may not come here. If the hub's own page is served there, "
            text += "add it to page.origins in the hub's settings.\n"
            return PlainTextResponse(text, 403)
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin == f"http://{host}"

    def _is_known(self, visit: HTTPConnection) -> bool:
        if self._gate.is_open:
            return True
        cookie = visit.cookies.get(self._cookie, "")
        return bool(cookie) and self._gate.honours(cookie, time.time())

    def _unknown(self, visit: HTTPConnection) -> Response | None:
        """The answer to one without a cookie; None if the request itself has the token."""
        kind, _, token = visit.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if refused := self._try(visit, token):
                return refused
            visit.scope["authorised"] = True
            return None
        if visit.scope["path"] == "/":
            return None  # which is the page to log in then
        text = "Send the page's token: `Authorization: Bearer TOKEN`.\n"
        return PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})

    def _try(self, visit: HTTPConnection, token: str) -> Response | None:
        """The answer to a wrong token; None to the right one."""
        address, now_s = self._address_of(visit), time.monotonic()
        if (wait_s := self._gate.wait_s(address, now_s)) > 0:
            after = {"Retry-After": str(int(wait_s) + 1)}
            return PlainTextResponse("Too many wrong tokens; wait a moment.\n", 429, after)
        if self._gate.knows(token):
            return None
        self._gate.failed(address, now_s)
        self._seldom.warning(address, "the page: %s came with a wrong token", address)
        return PlainTextResponse("That is not the token.\n", 401, {"WWW-Authenticate": "Bearer"})

    def _address_of(self, visit: HTTPConnection) -> str:
        """Where a visitor is, also one who comes through a trusted proxy."""
        address = visit.client.host if visit.client else ""
        if not self._proxies.trusts(address):
            return address
        return self._proxies.client(address, visit.headers.getlist("x-forwarded-for"))

    async def _login(self, request: Request) -> Response:
        """The answer to the form: a cookie and the page, or the form again."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LOGIN_BYTES:
                return PlainTextResponse("That is too long for a token.\n", 413)
        token = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        if refused := self._try(request, token):
            why = "wait" if refused.status_code == 429 else "wrong"
            return RedirectResponse(f"./?{why}", 303)
        response = RedirectResponse("./", 303)
        secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
        response.set_cookie(
            self._cookie, self._gate.cookie(time.time()), max_age=COOKIE_S, httponly=True,
            samesite="strict", secure=secure,
        )  # fmt: skip
        return response


def _name_of(netloc: str) -> str:
    """The host of `host:port`, without the brackets of an IPv6 address."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    """Whether a host is an address and no name: nobody can make it lead elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _dressed(send: Send, asked: Headers) -> Send:
    """The same with what every answer says to a browser."""
    host = asked.get("host", "")

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _POLICY.format(host=host)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["X-Frame-Options"] = "DENY"
            headers["Referrer-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return dressed


_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
