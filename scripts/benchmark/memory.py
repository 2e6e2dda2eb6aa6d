"""What a shard's memory costs: idle sessions, and clients that hold symbols which tick.

    python -m scripts.benchmark.memory

Each figure is the growth of the resident memory of the only shard of a real hub, by what came to
it. The first sessions are not counted: what a process makes once is no cost of the next client.
"""

from __future__ import annotations

import json
import select
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import psutil

from scripts.benchmark import children, loads
from scripts.benchmark.children import Family
from scripts.benchmark.handshake import masked, shake_hands
from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import EXCHANGE, symbols
from scripts.benchmark.walk import TEXT, Walker

_FIRST = 50
_IDLE = 500
_CLIENTS = 20
_HELD = 1000
_RATE = 5000
_TICKING_S = 8.0
_SETTLE_S = 2.0
_CHUNK_BYTES = 1 << 16


class Shard:
    """A hub of one shard, and the clients that are connected to it."""

    def __init__(self, family: Family, runtime_dir: Path) -> None:
        self._family = family
        flags = msgspec.json.encode({"hub.shards": 1}).decode()
        self._ready = family.start("server", str(runtime_dir), flags).wait("ready", 40)
        self._process = psutil.Process(self._ready["pids"]["shard-0"])
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        threading.Thread(target=self._drain, daemon=True).start()

    def rss_bytes(self) -> int:
        """Its resident memory, once it is quiet."""
        time.sleep(_SETTLE_S)
        return int(self._process.memory_info().rss)

    def client(self, names: Sequence[str] = ()) -> None:
        """One more that has authenticated and holds these symbols; what it is sent is read."""
        sock = socket.create_connection(("127.0.0.1", self._ready["ws"]), timeout=20)
        shake_hands(sock, self._ready["ws"])
        _ask(sock, {"action": "authenticate", "api_key": self._ready["key"]})
        if names:
            wanted = [{"symbol": name, "exchange": EXCHANGE} for name in names]
            _ask(sock, {"action": "subscribe", "symbols": wanted, "mode": "Quote"})
        self._socks[sock.fileno()] = sock
        self._poll.register(sock, select.EPOLLIN)

    def tick(self, names: Sequence[str]) -> None:
        """Publish ticks of the first of all symbols for a while."""
        load = Load(name="memory", clients=1, symbols=len(names), rate=_RATE, seconds=_TICKING_S)
        address = f"tcp://127.0.0.1:{self._ready['bus']}"
        publisher = self._family.start("publisher", loads.encode(load), "bus", address)
        publisher.wait("ready", 10)
        publisher.tell("start")
        publisher.wait("done", 4 * _TICKING_S)

    def _drain(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                if not self._socks[fd].recv(_CHUNK_BYTES):
                    self._poll.unregister(fd)


def idle() -> float:
    """Bytes of an idle session: authenticated, nothing subscribed."""
    with _shard() as shard:
        for _ in range(_FIRST):
            shard.client()
        before = shard.rss_bytes()
        for _ in range(_IDLE):
            shard.client()
        return (shard.rss_bytes() - before) / _IDLE


def holding(*, shared: bool, there: int = 0) -> float:
    """Bytes of a client and a thousand symbols that it holds while all tick: the same symbols as
    the other clients, or its own. Clients that are there before have made what all share."""
    names = names_of(there + _CLIENTS, shared=shared)
    with _shard() as shard:
        for _ in range(_FIRST):
            shard.client()
        for own in names[:there]:
            shard.client(own)
        if there:
            shard.tick(_together(names))
        before = shard.rss_bytes()
        for own in names[there:]:
            shard.client(own)
        shard.tick(_together(names))
        return (shard.rss_bytes() - before) / _CLIENTS


def names_of(clients: int, *, shared: bool) -> list[list[str]]:
    """A thousand symbols for each client."""
    load = Load(name="names", clients=1, symbols=_HELD if shared else _HELD * clients, rate=1)
    names = symbols(load)
    starts = [0 if shared else client * _HELD for client in range(clients)]
    return [names[start : start + _HELD] for start in starts]


def _together(names: list[list[str]]) -> list[str]:
    return sorted({name for own in names for name in own})


@contextmanager
def _shard() -> Iterator[Shard]:
    with tempfile.TemporaryDirectory(prefix="hub-memory-") as folder:
        runtime_dir = Path(folder, "run")
        runtime_dir.mkdir(mode=0o700)
        with children.family(Path(folder, "log"), lambda: None) as family:
            yield Shard(family, runtime_dir)


def _ask(sock: socket.socket, request: dict[str, Any]) -> None:
    """Send a request and wait until it is answered."""
    sock.sendall(masked(TEXT, json.dumps(request).encode()))
    walker = Walker()
    while True:
        for block in walker.take(sock.recv(_CHUNK_BYTES)):
            reply = json.loads(block.payload)
            if "status" in reply:
                assert reply["status"] == "success", reply
                return


@click.command()
def main() -> None:
    """Measure; a minute."""
    _show("an idle session", idle())
    of = f"a client of {_HELD:,} symbols that tick,"
    _show(f"{of} the same for {_CLIENTS}", holding(shared=True))
    _show(f"{of} one more of the same", holding(shared=True, there=_CLIENTS))
    _show(f"{of} its own", holding(shared=False))


def _show(what: str, size_bytes: float) -> None:
    click.echo(f"{what:<60}{size_bytes / 1024:8.1f} KB")


if __name__ == "__main__":
    main(prog_name="python -m scripts.benchmark.memory")
