"""What all fake brokers have in common: WebSocket and HTTP on loopback, as a script has it.

One module per wire format, `tests/brokers/<name>_server.py`, stands on this; it has, by convention:

- `Server(Fake)`: its own encoder and the broker's manners, written independently of the codec;
- `CREDENTIALS`: what an account's credentials say that the server lets in, unless its script says
  otherwise;
- `sample(symbols, mode, count) -> Sample`, for scripts/benchmark/codecs.py: listings of `symbols`
  instruments, and what the server sends a client that has asked for all of them in that mode (1, 2
  or 3): what lets it in and full snapshots first where there are such, then frames that hold
  `count` ticks in all, of one instrument after another. It draws no lots but seeded ones;
- `main(Server, "angel")` of here at its end, to try it by hand.

A test changes `script` whenever it likes, and waits with `until` instead of sleeping. `running` has
a server in a thread, for tests that are no coroutines. Only standard conditions are simulated here:
what frames mean is the subclass's matter.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as UpgradeRequest
from websockets.http11 import Response

from hub.brokers.base import Listing

Data: TypeAlias = "str | bytes"
Sample: TypeAlias = tuple[list[Listing], list[Data]]
_Fake = TypeVar("_Fake", bound="Fake")
_T = TypeVar("_T")


class Answer(NamedTuple):
    """What HTTP answers, or an upgrade that is refused."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Asked(NamedTuple):
    """What came by HTTP, or as an upgrade. Names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


class Heard(NamedTuple):
    """A message of a client: when (of the loop's clock, in seconds), of which peer, and what."""

    at_s: float
    peer: int
    data: Data


@dataclass
class Script:
    """How the server behaves from now on.

    `refusal` is what upgrades are answered with, `refusals` how many of them (None: all).
    `auth_delay_s` passes before an answer to who logs in; without `auth_answers` none ever comes.
    `credentials` is what has to be presented: another value is a rotation. `sockets` are let in at
    most, each with `symbols` (0: as many as come). `silent` sends no ticks, and still answers
    pings. Of ticks each goes out `copies` times, in a `shuffled` order, `together` in a frame
    where the format can (`Fake.framed`).
    """

    credentials: dict[str, str] = field(default_factory=dict)
    refusal: Answer | None = None
    refusals: int | None = None
    auth_delay_s: float = 0.0
    auth_answers: bool = True
    sockets: int = 0
    symbols: int = 0
    silent: bool = False
    copies: int = 1
    shuffled: bool = False
    together: int = 1

    def refuse(self) -> Answer | None:
        """The refusal of the upgrade that has come; one less is left."""
        if self.refusal is None or self.refusals == 0:
            return None
        if self.refusals is not None:
            self.refusals -= 1
        return self.refusal


class Peer:
    """One client's connection. `asked` is its upgrade; `let_in` and `wants` are the subclass's:
    whether it has logged in, and what it has subscribed."""

    def __init__(self, number: int, asked: Asked, connection: ServerConnection) -> None:
        self.number = number
        self.asked = asked
        self.let_in = False
        self.wants: dict[Any, Any] = {}
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Peer {self.number} with {len(self.wants)} wants>"

    async def send(self, data: Data) -> None:
        """Send one message; one who has left gets nothing."""
        with suppress(ConnectionClosed):
            await self._connection.send(data)

    async def send_in_fragments(self, data: Data, size: int) -> None:
        """Send one message as a chain of fragments of that size."""
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        with suppress(ConnectionClosed):
            await self._connection.send(parts)

    async def send_cut(self, data: bytes, size: int) -> None:
        """Send the first bytes of a message, as a whole one."""
        await self.send(data[:size])

    async def send_garbage(self, size: int, seed: int = 0) -> None:
        """Send a binary message that means nothing; a large `size` is more than clients take."""
        await self.send(random.Random(seed).randbytes(size))

    def break_protocol(self) -> None:
        """Write bytes that are no frame of WebSocket."""
        self._connection.transport.write(b"\xff" * 16)

    def freeze(self) -> None:
        """Read nothing any more, so that pings, too, stay without an answer; sending still goes."""
        self._connection.transport.pause_reading()

    def thaw(self) -> None:
        """Read again."""
        self._connection.transport.resume_reading()

    def drop(self) -> None:
        """Cut the TCP connection, without a close frame."""
        self._connection.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        await self._connection.close(code, reason)


class Fake:
    """One fake broker, from `async with` on: `url` is its stream, `api` its HTTP.

    `peers` are who is connected, `heard` all that clients have sent since the start, `upgrades`
    each request to connect and the status it was answered with, `calls` what came by HTTP. With a
    `rate` it sends each peer what `ticks` gives so many times a second; else a test calls `push`.
    """

    ping_s: float | None = None
    """The server pings each so many seconds, and closes when no pong has come for twice as long."""
    idle_s: float | None = None
    """Who sends no message for so many seconds is cut."""

    def __init__(self, script: Script | None = None, *, rate: float = 0.0, port: int = 0) -> None:
        self.script = script or Script()
        self.peers: list[Peer] = []
        self.heard: list[Heard] = []
        self.upgrades: list[tuple[Asked, int]] = []
        self.calls: list[Asked] = []
        self.random = random.Random(7)
        self._rate = rate
        self._port = port
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self.peers)} peers, {len(self.heard)} heard>"

    # What a subclass says.

    def admit(self, asked: Asked) -> Answer | None:
        """What an upgrade is refused with; None lets it pass."""
        return None

    async def opened(self, peer: Peer) -> None:
        """A client has connected."""

    async def received(self, peer: Peer, data: Data) -> None:
        """A client has sent a message."""

    def answer(self, asked: Asked) -> Answer:
        """What HTTP answers: login, lists of instruments."""
        return Answer(404)

    def ticks(self, peer: Peer) -> Sequence[Data]:
        """One tick of each thing that the peer wants, or that is due."""
        return ()

    def framed(self, ticks: Sequence[Data]) -> Sequence[Data]:
        """These ticks as frames, `script.together` in each; as they are where a frame holds one."""
        return ticks

    # What a test does.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._api_server = await asyncio.start_server(self._serve_http, "127.0.0.1", 0)
        self._server: WebSocketServer = await serve(
            self._serve_peer,
            "127.0.0.1",
            self._port,
            process_request=self._process,
            compression=None,
            ping_interval=self.ping_s,
            ping_timeout=self.ping_s and 2 * self.ping_s,
            close_timeout=0.2,
        )
        self.url = f"ws://127.0.0.1:{_port_of(self._server)}"
        self.api = f"http://127.0.0.1:{_port_of(self._api_server)}"
        self._traffic = asyncio.create_task(self._send_ticks()) if self._rate else None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._traffic:
            self._traffic.cancel()
            with suppress(asyncio.CancelledError):
                await self._traffic
        for peer in list(self.peers):
            peer.drop()
        self._server.close()
        await self._server.wait_closed()
        self._api_server.close()
        await self._api_server.wait_closed()

    async def until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until that holds; it is looked at whenever a client does something. Raises
        TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the server's loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def push(self, peer: Peer, ticks: Sequence[Data]) -> None:
        """Send ticks, as the script has it."""
        script = self.script
        if script.silent:
            return
        sent = [tick for tick in ticks for _ in range(script.copies)]
        if script.shuffled:
            self.random.shuffle(sent)
        for frame in self.framed(sent):
            await peer.send(frame)

    # How it runs.

    async def _send_ticks(self) -> None:
        while True:
            await asyncio.sleep(1 / self._rate)
            for peer in list(self.peers):
                await self.push(peer, self.ticks(peer))

    def _process(self, connection: ServerConnection, request: UpgradeRequest) -> Response | None:
        asked = _asked("GET", request.path, {k.lower(): v for k, v in request.headers.raw_items()})
        refusal = self.script.refuse() or self.admit(asked)
        self.upgrades.append((asked, refusal.status if refusal else 101))
        self._changed.set()
        if refusal is None:
            return None
        headers = Headers(refusal.headers)
        headers["Content-Length"] = str(len(refusal.body))
        headers["Connection"] = "close"
        return Response(refusal.status, "Refused", headers, refusal.body)

    async def _serve_peer(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        head = {k.lower(): v for k, v in connection.request.headers.raw_items()}
        peer = Peer(next(self._numbers), _asked("GET", connection.request.path, head), connection)
        self.peers.append(peer)
        self._changed.set()
        try:
            await self.opened(peer)
            while True:
                async with asyncio.timeout(self.idle_s):
                    data = await connection.recv()
                self.heard.append(Heard(asyncio.get_running_loop().time(), peer.number, data))
                await self.received(peer, data)
                self._changed.set()
        except ConnectionClosed:
            pass
        except TimeoutError:
            peer.drop()
        finally:
            self.peers.remove(peer)
            self._changed.set()

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = _asked(method, path, headers, body)
            self.calls.append(asked)
            answer = self.answer(asked)
            named = {**answer.headers, "Content-Length": len(answer.body), "Connection": "close"}
            lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in named.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            await writer.drain()
            self._changed.set()
        writer.close()


def _asked(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Asked:
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


def _port_of(server: Any) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


@contextmanager
def running(fake: _Fake) -> Iterator[_Fake]:
    """That server in a thread of its own; `call` runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
        yield fake
        fake.call(fake.__aexit__())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def main(server: type[Fake], name: str) -> None:
    """Run that server until Ctrl+C; print how a hub reaches it, and what its credentials say."""
    parser = argparse.ArgumentParser(description=f"A fake {name} on loopback.")
    parser.add_argument("--port", type=int, default=0, help="of its stream; 0 is a free one")
    parser.add_argument("--rate", type=float, default=5.0, help="ticks a second of each instrument")
    parser.add_argument("--master", action="store_true", help="print how to load its instruments")
    options = parser.parse_args()

    async def serve_on() -> None:
        async with server(rate=options.rate, port=options.port) as fake:
            words = " ".join(
                f"--{name}-{what}url {url}"
                for what, url in (("", fake.url), ("api-", fake.api), ("instruments-", fake.api))
            )
            if options.master:
                print(f"hub instruments update {name} --from {fake.api}")
            print(f"hub start --feed {name} {words}")
            for field_, value in fake.script.credentials.items():
                print(f"{field_.upper()}={value}")
            sys.stdout.flush()
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve_on())
