"""One request to an application, without a server."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Headers
    text: str


def ask(
    app: ASGIApp,
    path: str = "/",
    *,
    method: str = "GET",
    host: str = "127.0.0.1:8766",
    body: bytes = b"",
    client: str = "127.0.0.1",
    websocket: bool = False,
    **headers: str,
) -> Answer:
    """Ask; a header `user_agent` is `user-agent`. A WebSocket that is let in has the status 101."""
    given = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "websocket" if websocket else "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "client": (client, 5), "server": ("127.0.0.1", 8766),
        "scheme": "ws" if websocket else "http", "root_path": "", "http_version": "1.1",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    if websocket:
        coming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    else:
        scope["method"] = method
        coming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]  # an awaitable of its own kind
    if sent[0]["type"] == "websocket.accept":
        return Answer(101, Headers(), "")
    text = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], Headers(raw=sent[0].get("headers", [])), text.decode())
