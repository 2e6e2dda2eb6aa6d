"""A real hub, its publishers and its clients, for tests that go through the doors.

1. A hub is the child of its test: it lives in a directory of its own, on ports it picks itself,
   and `stop` sees that none of its processes is left.
2. Nothing here sleeps for a time: whoever waits, waits for a condition, with a deadline.
3. What did not come is told by a fence: something sent after it that does come.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import psutil
import zmq
from websockets.asyncio.client import ClientConnection, connect

from hub.auth.keystore import KeyStore
from hub.core.errors import HubError
from hub.runtime.control import ask
from scripts.faults.hub import survivors
from tests.tls import client_context

ROOT = Path(__file__).parents[2]
WITHIN_S = 15.0
"""How long anything may take before a test gives up on it."""

USERS = {
    "anita": "zerodha",
    "ravi_k sharma": "angel",
    "simon": "sim",
}
"""The users of every hub here and their brokers."""

_numbers = itertools.count(1)

Message = dict[str, Any]


class Process(NamedTuple):
    """A child of the hub as its supervisor reports it."""

    state: str
    pid: int
    restarts: int


class Hub:
    """One hub in processes of its own; `flags` are `section.name` with values. The wire is that of
    HUB_FLOW_WIRE unless a flag says another. `descriptors` is how many each process may have, half
    of them without asking."""

    def __init__(self, flags: dict[str, Any] | None = None, descriptors: int = 0) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="hubtest-", dir="/tmp"))  # short: it holds sockets
        self.runtime_dir = self.dir / "run"
        self.keys = {
            user: KeyStore(self.dir / "keys.json").add(user, user, broker, now=time.time())
            for user, broker in USERS.items()
        }
        self.flags: dict[str, Any] = {
            "hub.runtime_dir": str(self.runtime_dir),
            "hub.feeds": ["bus", "sim"],
            "hub.shards": 4,
            "flow.wire": os.environ.get("HUB_FLOW_WIRE", "native"),
            "websocket.port": 0,
            "bus.port": 0,
            "page.enabled": False,
            "keys.file": str(self.dir / "keys.json"),
            "sim.symbols": 1000,
            "sim.rate": 20,
        } | (flags or {})
        self._limits = [str(descriptors)] if descriptors else []
        self.children: dict[str, Process] = {}
        self.ever: set[int] = set()
        self.first: Message = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Hub {self.runtime_dir} {self.children}>"

    # Beginning and end.

    def start(self) -> Hub:
        """Start it and wait until all of it is ready."""
        self.spawn()
        eventually(lambda: bool(self.children) and self.is_ready(), f"{self!r} is ready")
        return self

    def spawn(self) -> None:
        """Start it and wait for its first word, which may be an error."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        arguments = ["-m", "tests.integration.runner", json.dumps(self.flags), *self._limits]
        with (self.dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=env,
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.ever.add(self._process.pid)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        eventually(lambda: bool(self.first), f"{self!r} says its first word")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit code. Nothing of it may be left."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        try:
            code = process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self!r} does not leave\n{self.log()}") from None
        eventually(lambda: not self.left(), "the hub's processes are gone")
        return code

    def lose_power(self) -> None:
        """End all of it at once, as a machine does; `start` then has the same ports."""
        assert self._process is not None
        assert self._reader is not None
        assert self._process.stdout is not None
        for process in self.left():
            with suppress(psutil.Error):
                process.kill()
        self._process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        self._process.stdout.close()
        self.flags |= {"bus.port": self.first["bus"], "websocket.port": self.first["ws"]}
        self.first, self.children = {}, {}

    def wait(self) -> int:
        """Wait until its supervisor ends by itself; the exit code."""
        assert self._process is not None
        return self._process.wait(WITHIN_S)

    def discard(self) -> None:
        """Remove all there is of it, by force where need be."""
        for child in self.left():
            with suppress(psutil.Error):
                child.kill()
        if self._process is not None:
            self._process.wait(WITHIN_S)
            assert self._reader is not None
            self._reader.join(WITHIN_S)
            assert self._process.stdout is not None
            self._process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def left(self) -> list[psutil.Process]:
        """Which of all processes that it ever had still run."""
        return survivors(self.ever - {os.getpid()}, self.runtime_dir)

    def log(self) -> str:
        """What it has written to stderr."""
        return (self.dir / "log").read_text(encoding="utf-8", errors="replace")

    # Looking at it.

    @property
    def url(self) -> str:
        """Where clients connect to."""
        scheme = "wss" if self.flags.get("websocket.tls_cert") else "ws"
        return f"{scheme}://127.0.0.1:{self.first['ws']}"

    @property
    def bus(self) -> str:
        """Where publishers connect to."""
        return f"tcp://127.0.0.1:{self.first['bus']}"

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def is_ready(self) -> bool:
        """Whether all of its processes are."""
        return all(child.state == "ready" for child in self.children.values())

    def kill(self, name: str) -> Process:
        """Kill one process on the spot; what it was."""
        victim = self.children[name]
        os.kill(victim.pid, signal.SIGKILL)
        return victim

    def is_back(self, name: str, victim: Process) -> bool:
        """Whether there is another, ready process in the place of a killed one."""
        now = self.children[name]
        return now.state == "ready" and now.pid != victim.pid

    async def figures(self) -> dict[str, Message]:
        """What the monitor knows of each process, by name; at most about a second old."""
        answer = await ask(self.runtime_dir, "monitor", {"t": "status"})
        return {row["name"]: row for row in answer["processes"]}

    async def figures_when(
        self, condition: Callable[[dict[str, Message]], Any], what: str
    ) -> dict[str, Message]:
        """The figures as soon as they satisfy a condition."""
        deadline_s = time.monotonic() + WITHIN_S
        figures: dict[str, Message] = {}
        while time.monotonic() < deadline_s:
            with suppress(HubError, KeyError):
                figures = await self.figures()
                if condition(figures):
                    return figures
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {WITHIN_S} s: {what}; figures are {figures}")

    async def all_serve(self) -> None:
        """Wait until every shard lets clients in: on a busy machine some do so later, and who comes
        before goes to the others."""
        shards = [name for name in self.children if name.startswith("shard-")]
        await self.figures_when(lambda f: all("clients" in f[name] for name in shards), "all serve")

    # Its clients and publishers.

    @asynccontextmanager
    async def client(
        self,
        user: str = "anita",
        *,
        snapshot: bool | None = None,
        form: Message | None = None,
        **options: Any,
    ) -> AsyncIterator[Client]:
        """A client that has authenticated, unless `user` is empty; `form` is what it asks for of
        `batch` and `encoding`.

        It takes in all that comes, so that it is never the one that is slow, unless `options`
        has a `max_queue`. With `unix` it comes by the Unix socket at `path`.
        """
        options = {"max_queue": None, "max_size": None, "close_timeout": 1} | options
        url = "ws://localhost" if options.get("unix") else self.url
        if url.startswith("wss:"):
            options["ssl"] = client_context()
        async with connect(url, **options) as socket_:
            client = Client(socket_)
            if user:
                extra = ({} if snapshot is None else {"snapshot": snapshot}) | (form or {})
                reply = await client.ask(
                    {"action": "authenticate", "api_key": self.keys[user]} | extra
                )
                assert reply["status"] == "success", reply
                assert {name: reply[name] for name in form or {}} == (form or {})
                client.form = form or {}
            yield client

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        """A publisher whose messages arrive."""
        publisher = Publisher(self.bus)
        try:
            async with self.client(snapshot=False) as probe:
                await publisher.arrive(probe)
            yield publisher
        finally:
            publisher.close()

    # Below: details.

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "children" in said:
                self.children = {name: Process(*row) for name, row in said["children"].items()}
                self.ever |= {child.pid for child in self.children.values() if child.pid}
            else:
                self.first = said


class Publisher:
    """What publishes on the bus: a PUB socket that connects, as those of OpenAlgo's adapters.

    Unlike theirs it drops nothing, so that tests can count.
    """

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self._socket.connect(address)

    def send(self, topic: str, data: object) -> None:
        """Publish as OpenAlgo does: topic and JSON."""
        self.send_raw(topic.encode(), json.dumps(data).encode())

    def send_raw(self, *parts: bytes) -> None:
        """Publish whatever this is."""
        self._socket.send_multipart(parts)

    async def arrive(self, client: Client) -> None:
        """Wait until what is published reaches a client (a PUB drops all before that)."""
        symbol = f"ARRIVAL{next(_numbers)}"
        await client.subscribe(symbol, mode=1, snapshot=False)
        deadline_s = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline_s:
            self.send(f"NSE_{symbol}_LTP", {"ltp": 0})
            with suppress(TimeoutError):
                while (await client.next(0.05)).get("symbol") != symbol:
                    pass
                return
        raise AssertionError(f"nothing that is published arrives within {WITHIN_S} s")

    def close(self) -> None:
        """Publish no more."""
        self._socket.close()
        self._context.term()


class Client:
    """A client over `websockets`; `seen` has every message it has read, in order, with the ticks
    of batches one by one; `batches` is how many ticks each batch had."""

    def __init__(self, socket_: ClientConnection) -> None:
        self.socket = socket_
        self.form: Message = {}
        self.seen: list[Message] = []
        self.batches: list[int] = []
        self._unread: deque[Message] = deque()

    async def send(self, message: object) -> None:
        """Send a message, a string as it is."""
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def next(self, within_s: float = WITHIN_S) -> Message:
        """The next message of whatever kind, or tick of a batch."""
        if not self._unread:
            async with asyncio.timeout(within_s):
                self._take(await self.socket.recv())
        message = self._unread.popleft()
        self.seen.append(message)
        return message

    def _take(self, message: str | bytes) -> None:
        """Read a message, which is in the form that was asked for."""
        packed = self.form.get("encoding") == "msgpack"
        assert isinstance(message, bytes if packed else str), "of another encoding"
        found = (
            json.loads(message, parse_constant=_refuse)
            if isinstance(message, str)
            else msgspec.msgpack.decode(message)
        )
        if isinstance(found, list):
            self.batches.append(len(found))
        batch = found if isinstance(found, list) else [found]
        self._unread.extend(batch)
        for one in batch:
            is_tick = one.get("type") == "market_data"
            assert (found is batch) == (is_tick and bool(self.form.get("batch")))

    async def ask(self, message: object) -> Message:
        """Send a request; the next message that is not a tick or an order update."""
        await self.send(message)
        return await self.reply()

    async def reply(self) -> Message:
        """The next message that is not a tick, an order update, or about what is stale."""
        while True:
            message = await self.next()
            if message.get("type") not in {"market_data", "order_update", "stale"}:
                return message

    async def tick(self) -> Message:
        """The next message, which must be a tick."""
        message = await self.next()
        assert message.get("type") == "market_data", message
        return message

    async def subscribe(
        self, *symbols: str, exchange: str = "NSE", mode: object = 1, **more: object
    ) -> Message:
        """Subscribe to symbols of one exchange; the reply, which must be a success."""
        wanted = [{"symbol": symbol, "exchange": exchange} for symbol in symbols]
        reply = await self.ask({"action": "subscribe", "symbols": wanted, "mode": mode, **more})
        assert reply["status"] == "success", reply
        return reply

    async def catch_up(self, publisher: Publisher) -> list[Message]:
        """Everything that comes before a fence: a tick published now and a pong asked for then.

        A first value that its home sends may come after the fence: await its tick instead."""
        fence = f"FENCE{next(_numbers)}"
        start = len(self.seen)
        await self.subscribe(fence, mode=1, snapshot=False)
        publisher.send(f"NSE_{fence}_LTP", {"ltp": 0})
        await self.until(lambda message: message.get("symbol") == fence)
        await self.send({"action": "ping", "_pingId": fence})
        await self.until(lambda message: message.get("_pingId") == fence)
        return [
            message
            for message in self.seen[start:]
            if message.get("type") in {"market_data", "order_update"}
            and message.get("symbol") != fence
        ]

    async def until(self, condition: Callable[[Message], Any]) -> Message:
        """Read on until a message satisfies a condition; that message."""
        async with asyncio.timeout(2 * WITHIN_S):
            while not condition(message := await self.next()):
                pass
        return message

    async def closed(self) -> int:
        """Read on until the hub closes; its close code."""
        async with asyncio.timeout(WITHIN_S):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


async def until(condition: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> None:
    """Wait until a condition holds; fails naming it."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(0.02)


def eventually(condition: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> None:
    """The same for those who have no loop."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


async def together(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Do several things side by side; their results in order, the first error at once."""
    return list(await asyncio.gather(*work))


def fresh(stem: str = "S", count: int = 1) -> list[str]:
    """Symbols that no other test has used."""
    number = next(_numbers)
    return [f"{stem}{number}.{n}" for n in range(count)]


def ticks_of(messages: Sequence[Message], symbol: str) -> list[Message]:
    """The ticks of one symbol."""
    return [
        message
        for message in messages
        if message.get("type") == "market_data" and message["symbol"] == symbol
    ]


def numbers(messages: Sequence[Message], symbol: str) -> list[int]:
    """The numbers in the ticks of one symbol."""
    return [tick["data"]["n"] for tick in ticks_of(messages, symbol)]


def small_socket(url: str, receive_bytes: int = 4096) -> socket.socket:
    """A socket connected to a hub that takes in little before it is read."""
    where = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.connect((where.hostname, where.port))
    return sock


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
