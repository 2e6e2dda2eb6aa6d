"""What drives a role whose instructions are counted: one burst in, all that comes of it out, then
the next. So each burst is one wake-up of the role, whatever else the machine does.

1. A burst is sent by one call: it arrives as one piece.
2. What the role puts out is not parsed: each tick carries a mark, and the marks are counted.
3. Whoever stands around the role is real where it decides what the role is given, and silent while
   it is counted.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from hub.auth.keystore import KeyStore
from hub.core import codec, config, hot, stream
from hub.core.codec import Message
from hub.core.model import Mode, Want
from hub.core.names import INGEST, pipe_name
from hub.feeds.host import FeedHost
from hub.router import Router
from hub.runtime.control import ControlLink
from scripts.benchmark.handshake import greet, shake_hands, subscribe
from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import EXCHANGE, Ticks, symbols

BURST = 10
"""Ticks that come at once: those of 2 ms when 5,000 come a second."""

SHARDS, CLIENTS = 4, 3
LOAD = Load(name="counted", clients=CLIENTS, symbols=1000, rate=5000, shards=SHARDS)

_MARK = b'"ltp": 2931.45'
_PATIENCE_S = 60.0
_CHUNK_BYTES = 1 << 16

_NOBODY = Want(b"@orders:nobody", 1)
"""The router answers itself for interest in order updates: then it knows what was told before."""

_ticks = Ticks(LOAD)
_kept: list[ControlLink] = []


def settings(folder: Path, shards: int) -> dict[str, object]:
    """The flags of a hub in this folder that flushes at once, and times no ticks: how many that are
    goes by the clock."""
    return {
        "hub.runtime_dir": str(folder),
        "hub.shards": shards,
        "hub.log_level": "warning",
        "keys.file": str(folder / "keys.json"),
        "bus.port": _free_port(),
        "websocket.port": _free_port(),
        "flow.sample_ms": 0,
        "flow.window_ms": 0,
    }


class Closed(Exception):
    """The role has closed a connection."""


class Line:
    """Where bursts go in, and the ends where their ticks come out."""

    def __init__(self, source: socket.socket, burst: Callable[[int], bytes]) -> None:
        self._source = source
        self._burst = burst
        self._sent = 0
        self.ends: list[socket.socket] = []

    def __repr__(self) -> str:
        return f"<Line to {len(self.ends)} ends, {self._sent} bursts>"

    def run(self, bursts: int) -> None:
        """Send so many bursts, each after the one before has come out at every end."""
        made = [self._burst(number) for number in range(self._sent, self._sent + bursts)]
        self._sent += bursts
        for burst in made:
            self._source.sendall(burst)
            for end in self.ends:
                _expect(end, BURST)


def bus_burst(number: int) -> bytes:
    """A burst as a publisher sends it."""
    return b"".join(hot.message(pair) for pair in _pairs(number))


def ingest_burst(number: int) -> bytes:
    """A burst as a feed host sends it."""
    batch = codec.pack([part for pair in _pairs(number) for part in pair])
    return hot.message([stream.TICKS, batch])


def to_router(folder: Path, flags: dict[str, Any], *, ingest: bool) -> Line:
    """A router that is counted: four shards that hold all symbols are there before this returns."""
    if ingest:
        line = Line(_unix(folder / INGEST, b"PUSH", b"PULL"), ingest_burst)
    else:
        line = Line(_tcp(flags["bus.port"], b"PUB", b"SUB"), bus_burst)
    line.ends = [_unix(folder / pipe_name(shard), b"PULL", b"PUSH") for shard in range(SHARDS)]
    asyncio.run(_want_all(folder))
    return line


async def _want_all(folder: Path) -> None:
    """Speak for the shards. Whose beats end with this: the router hears no more of them."""
    wants = [Want(f"{EXCHANGE}_{name}".encode(), Mode.QUOTE.bit) for name in symbols(LOAD)]
    for shard in range(SHARDS):
        said: asyncio.Queue[Message] = asyncio.Queue()
        link = ControlLink(
            f"shard-{shard}",
            folder,
            welcomed=said.put_nowait,
            handlers={"pulse": said.put_nowait},
        )
        link.start()
        _kept.append(link)
        await asyncio.wait_for(said.get(), _PATIENCE_S)
        for feed, told in (("bus", wants), ("", [_NOBODY])):
            link.send({"t": "interest", "feed": feed, "number": 1, "wants": told, "replace": True})
        for _ in range(2):  # the link's own beat may be answered first
            link.send({"t": "beat", "pid": os.getpid(), "figures": {}})
        for _ in range(2):
            await asyncio.wait_for(said.get(), _PATIENCE_S)


@contextmanager
def around_shard(flags: dict[str, Any]) -> Iterator[None]:
    """A router and a feed that a shard finds."""
    own = config.load(environ={}, flags=flags)
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE_S)

    router, feed = Router("router", own), FeedHost("feed-bus", own)
    do(router.start())
    do(feed.start())
    try:
        yield
    finally:
        do(feed.drain())
        do(router.drain())
        do(_end_tasks())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def to_shard(flags: dict[str, Any], key: str) -> Line:
    """A shard that is counted: clients that hold all symbols are there before this returns."""
    line = Line(_tcp(flags["bus.port"], b"PUB", b"SUB"), bus_burst)
    port = flags["websocket.port"]
    for _ in range(CLIENTS):
        sock = _connected("127.0.0.1", port)
        shake_hands(sock, port)
        subscribe(sock, LOAD, key)
        line.ends.append(sock)
    return line


def make_key(flags: dict[str, Any]) -> str:
    """A key that clients can authenticate with."""
    return KeyStore(Path(flags["keys.file"])).add("bench", "bench", "bus", now=time.time())


def _pairs(number: int) -> list[tuple[bytes, bytes]]:
    first = number * BURST
    return [_ticks.message(tick, 0) for tick in range(first, first + BURST)]


def _expect(end: socket.socket, marks: int) -> None:
    """Read until so many ticks have come; the end of the last one may come later."""
    data = b""
    while data.count(_MARK) < marks:
        more = end.recv(_CHUNK_BYTES)
        if not more:
            raise Closed
        data += more


def _tcp(port: int, kind: bytes, partner: bytes) -> socket.socket:
    return greet(_connected("127.0.0.1", port), kind, partner)


def _unix(path: Path, kind: bytes, partner: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(_PATIENCE_S)
    sock.connect(str(path))
    return greet(sock, kind, partner)


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), _PATIENCE_S)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
