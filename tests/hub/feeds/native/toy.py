"""A broker that is none: JSON in text frames, on a server of this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request as Asked
from websockets.http11 import Response

from hub.brokers.base import (
    Addresses,
    Broker,
    Change,
    Channel,
    Confirmed,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Failed,
    Field,
    Frame,
    Limits,
    Listing,
    Reader,
    Ready,
    Refused,
    Reply,
    Request,
    Source,
    Subscription,
    Take,
)
from hub.core.model import Fault, Result

LISTINGS = [Listing("NSE", f"S{number}", "1", str(number)) for number in range(40)]
LISTINGS += [Listing("NFO", "S28OCT25FUT", "2", "1", expiry="2025-10-28", kind="FUT")]


class ToyCodec:
    """Says {"sub": [token, mode]}; hears {"ok"|"no"|"full"|"t": token} and {"auth": bool}."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self.ready = False
        self._token = credentials["token"]
        self._url = addresses.url
        self._subs: dict[str, Subscription] = {}

    def ask(self) -> Request | None:
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:
        return Endpoint(self._url, {"x-token": self._token})

    def opened(self) -> Sequence[Frame]:
        return ['{"hello": 1}']

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        for sub, _, to in changes:
            if to:
                self._subs[sub.listing.token] = sub
            else:
                self._subs.pop(sub.listing.token, None)
        return [json.dumps({"sub": [[one.sub.listing.token, one.to] for one in changes]})]

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        said = json.loads(data)
        if "auth" in said:
            self.ready = said["auth"]
            return [Ready() if said["auth"] else Failed(Fault.AUTH, "it does not know the token")]
        mode = said.pop("mode", 3)
        ((word, token),) = [pair for pair in said.items() if pair[0] != "at"]
        if word == "over":
            subs = tuple(self._subs.pop(str(one)) for one in token)
            return [Refused(subs, Fault.CAPACITY, "there is no room")]
        sub = self._subs.get(str(token))
        if sub is None:
            self.malformed += 1
            return []
        if word == "t":
            take(sub, min(mode, sub.mode), b'{"ltp": %s}' % token.encode(), said.get("at", 0), 0)
            return []
        if word == "ok":
            return [Confirmed(sub)]
        fault = Fault.CAPACITY if word == "full" else Fault.NETWORK
        return [Refused((sub,), fault, "there is no room" if word == "full" else "no such thing")]

    def beat(self) -> Sequence[Frame]:
        return ['{"beat": 1}']

    def ended(self, end: Ended) -> tuple[Fault, str]:
        if end.status == HTTPStatus.FORBIDDEN:
            return Fault.AUTH, "it refuses the token"
        if end.code == 1000 and end.ready:
            return Fault.EVICTED, "another login has taken the session"
        return Fault.NETWORK, f"closed with {end.code}"


def toy(**limits: Any) -> Broker:
    """The broker, with these limits."""
    usual = {"sockets": 1, "per_message": 10, "confirm_s": 0.3, "ready_s": 0.5, "ping_s": 0.0}
    found = Limits(**usual | limits)
    channel = Channel("toy", Addresses("ws://127.0.0.1:1"), found, ToyCodec)
    deep = channel._replace(name="deep", levels=20, books=True)
    reader = Reader((Source("all", "http://127.0.0.1:1/all"),), _read)
    return Broker("angel", "Toy", (channel, deep), reader, (Field("token", "The token."),))


def _read(_: str, __: IO[bytes]) -> Iterable[Listing]:
    return LISTINGS


class ToyServer:
    """What the broker does. `tokens` are let in, but while they are `away`; `quiet` are never
    confirmed, `bad` refused; of more than `room` on one connection the rest is, or with `whole` all
    of the message."""

    def __init__(self) -> None:
        self.tokens = {"good", "one"}
        self.away: set[str] = set()
        self.by_status = False
        self.quiet: set[str] = set()
        self.bad: set[str] = set()
        self.room = 1000
        self.whole = False
        self.sockets: list[ServerConnection] = []
        self.said: list[Any] = []
        self.tries: list[str] = []
        self.held: dict[ServerConnection, dict[str, int]] = {}
        self.url = ""

    def process(self, socket: ServerConnection, asked: Asked) -> Response | None:
        token = asked.headers["x-token"]
        self.tries.append(token)
        if token in self.away:
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "no")
        if self.by_status and token not in self.tokens:
            return socket.respond(HTTPStatus.FORBIDDEN, "no")
        return None

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.recv()
        good = socket.request.headers["x-token"] in self.tokens
        await socket.send(json.dumps({"auth": good}))
        if not good:
            await socket.wait_closed()
            return
        self.sockets.append(socket)
        self.held[socket] = {}
        async for text in socket:
            said = json.loads(text)
            self.said.append(said)
            rows = said.get("sub", ())
            new = [token for token, mode in rows if mode and str(token) not in self.held[socket]]
            if self.whole and new and len(self.held[socket]) + len(new) > self.room:
                await socket.send(json.dumps({"over": new}))
                continue
            for token, mode in rows:
                await self._take(socket, str(token), mode)

    async def _take(self, socket: ServerConnection, token: str, mode: int) -> None:
        held = self.held[socket]
        if not mode:
            held.pop(token, None)
        elif token in self.bad:
            await socket.send(json.dumps({"no": token}))
        elif token not in held and len(held) >= self.room:
            await socket.send(json.dumps({"full": token}))
        else:
            held[token] = mode
            if token not in self.quiet:
                await socket.send(json.dumps({"ok": token}))

    async def tick(self, token: str, at_ms: int = 0, of: int = -1, mode: int = 3) -> None:
        await self.sockets[of].send(json.dumps({"t": token, "at": at_ms, "mode": mode}))

    def drop(self, of: int = -1) -> None:
        self.sockets[of].transport.abort()


@asynccontextmanager
async def serving() -> AsyncIterator[ToyServer]:
    toy_server = ToyServer()
    server: Server
    async with serve(
        toy_server.handle, "127.0.0.1", 0, process_request=toy_server.process, close_timeout=0.1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        toy_server.url = f"ws://127.0.0.1:{port}"
        yield toy_server


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.answers: list[Result] = []
        self.ticks: list[tuple[bytes, bytes]] = []
        self._news = asyncio.Event()

    def publish(self, pairs: Sequence[bytes]) -> None:
        self.ticks += zip(pairs[::2], pairs[1::2], strict=True)
        self._news.set()

    def answer(self, results: Sequence[Result]) -> None:
        self.answers += results
        self._news.set()


async def until(condition: Callable[[], Any], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what it is of has no event
            await asyncio.sleep(0.01)


def credentials_file(path: Path, token: str) -> Path:
    path.write_text(f"token={token}\n", encoding="utf-8")
    path.chmod(0o600)
    return path
