"""A hub that is not one, for clients: it says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

KEY = "hub_00000000_secret"
Message = dict[str, Any]
Play = Callable[["Fake", ServerConnection], Awaitable[None]]


def tick(symbol: str = "SBIN", ltp: float = 100.0, mode: int = 2, **more: Any) -> Message:
    return {"type": "market_data", "symbol": symbol, "exchange": "NSE", "mode": mode,
            "data": {"ltp": ltp}, "broker": "sim"} | more  # fmt: skip


class Fake:
    """Answers each request by the protocol, keeps what it is told, and then lets `play` act.

    `unknown` symbols are refused, `full` is how many handshakes are answered with 503 and
    `retry_after`, `broker_away` how many logins with BROKER_ERROR.
    """

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.clients: list[ServerConnection] = []
        self.unknown: set[str] = set()
        self.play: Play | None = None
        self.full = self.broker_away = 0
        self.retry_after = "0"
        self.silent: set[str] = set()
        self.packed = False
        self.url = ""

    def actions(self) -> list[str]:
        return [one["action"] for one in self.told]

    def asked(self, action: str) -> list[Message]:
        return [one for one in self.told if one["action"] == action]

    @property
    def last(self) -> ServerConnection:
        return self.clients[-1]

    async def say(self, what: Message | list[Message], to: ServerConnection | None = None) -> None:
        to = to or self.last
        await to.send(msgspec.msgpack.encode(what) if self.packed else json.dumps(what))

    def handshake(self, client: ServerConnection, request: Request) -> Response | None:
        if not self.full:
            return None
        self.full -= 1
        response = client.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        response.headers["Retry-After"] = self.retry_after
        return response

    async def talk(self, client: ServerConnection) -> None:
        self.clients.append(client)
        with suppress(ConnectionClosed):
            async for text in client:
                message = json.loads(text)
                self.told.append(message)
                if message["action"] not in self.silent:
                    await self.say(self.reply(message), client)
                if self.play is not None:
                    await self.play(self, client)

    def reply(self, message: Message) -> Message:
        action = message["action"]
        if action == "authenticate":
            return self._greeting(message)
        if action == "subscribe":
            rows = [one | self._verdict(one["symbol"]) for one in message["symbols"]]
            return {"type": action, "status": "success", "subscriptions": rows}
        if action == "unsubscribe":
            rows = [one | self._verdict(one["symbol"]) for one in message["symbols"]]
            return {"type": action, "status": "success", "failed": [],
                    "successful": rows}  # fmt: skip
        if action == "nonsense":
            return {"status": "error", "code": "INVALID_ACTION", "message": "there is no nonsense"}
        return {"type": action, "status": "success"}

    def _greeting(self, message: Message) -> Message:
        if message["api_key"] != KEY:
            return {"status": "error", "code": "AUTHENTICATION_ERROR", "message": "no such key"}
        if self.broker_away:
            self.broker_away -= 1
            return {"status": "error", "code": "BROKER_ERROR", "message": "no feed"}
        return {"type": "auth", "status": "success"}

    def _verdict(self, symbol: str) -> Message:
        if symbol in self.unknown:
            return {"status": "error", "message": f"there is no {symbol}"}
        return {"status": "success", "depth": 5}


@asynccontextmanager
async def fake() -> AsyncIterator[Fake]:
    """One of these, on a port of its own."""
    made = Fake()
    async with serve(made.talk, "127.0.0.1", 0, process_request=made.handshake) as server:
        (sock,) = server.sockets
        made.url = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        yield made


def run(scene: Callable[[Fake], Awaitable[None]]) -> None:
    """Play a scene with a hub that is not one."""

    async def main() -> None:
        async with asyncio.timeout(20), fake() as made:
            await scene(made)

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    """Wait until this holds; the scene's own deadline is the bound."""
    while not condition():  # noqa: ASYNC110  # there is nothing that would set an event
        await asyncio.sleep(0.005)
