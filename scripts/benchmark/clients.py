"""Clients that cost little: whole chunks from non-blocking sockets, frames walked by header.

Each checks the number of every frame it gets; latency runs from the moment a tick was published
to the moment its bytes were read here, in ns of the machine's monotonic clock.

`hub.client` is not used: it decodes every tick for its user, some 3 µs each, so that with hundreds
of clients the figures would be those of the reader and not of the hub.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from scripts.benchmark import leash, loads
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.ledger import Ledger
from scripts.benchmark.loads import Load
from scripts.benchmark.speech import SPEECHES, Cutter, Join, pong
from scripts.benchmark.ticks import Layout, layout
from scripts.benchmark.walk import BINARY, CLOSE, PING, TEXT, Block

_CHUNK_BYTES = 1 << 18
_POLL_S = 0.05
_TAIL_S = 1.5
_LONGEST_TAIL_S = 20.0


class Times(NamedTuple):
    """How long ticks took, those of the warm-up apart."""

    warm_up: Histogram
    window: Histogram


class Client:
    """One connection and what it has received."""

    def __init__(self, sock: socket.socket, load: Load, cutter: Cutter, times: Times) -> None:
        self.sock = sock
        self.ledger = Ledger(load.symbols, load.first, load.last)
        self.probed = False
        self.closed = ""
        self.received_bytes = 0
        self._load = load
        self._times = times
        self._cutter = cutter
        self._layouts: dict[int, Layout | None] = {}

    def read(self) -> None:
        """Take what has come."""
        try:
            chunk = self.sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            chunk, self.closed = b"", str(error)
        if not chunk:
            self.closed = self.closed or "closed"
            return
        now_ns = time.monotonic_ns()
        self.received_bytes += len(chunk)
        for block in self._cutter.take(chunk):
            self._take(block, now_ns)

    def _take(self, block: Block, now_ns: int) -> None:
        if block.kind not in {TEXT, BINARY}:
            self._take_control(block)
            return
        size = block.size
        if size not in self._layouts:
            self._layouts[size] = layout(block.data[:size])
        found = self._layouts[size]
        if found is None:
            self.probed = self.probed or b"probe" in block.data
            return
        numbers = found.read_numbers(block.data)
        self.ledger.take(numbers)
        self._time(found, block.data, numbers, now_ns)

    def _time(self, where: Layout, data: bytes, numbers: Sequence[int], now_ns: int) -> None:
        every, first, times = self._load.every, self._load.first, self._times
        for index, number in enumerate(numbers):
            if number % every == 0:
                kept = times.window if number >= first else times.warm_up
                kept.add(now_ns - where.read_time_ns(data, index))

    def _take_control(self, block: Block) -> None:
        if block.kind == PING:
            self.sock.send(pong(block))
        elif block.kind == CLOSE:
            self.closed = f"closed by the server: {block.payload!r}"


def main(load: Load, join: Join) -> None:
    """Connect this process's share of clients and read until the load is over."""
    heard = leash.hold()
    times = Times(Histogram(), Histogram())
    speech = SPEECHES[join.speech]
    clients = {}
    for _ in range(load.clients):
        sock = socket.create_connection(("127.0.0.1", join.port), timeout=20)
        speech.join(sock, load, join)
        sock.setblocking(False)
        clients[sock.fileno()] = Client(sock, load, speech.cutter(), times)
    leash.say("subscribed")
    _read(clients, heard, probed=not join.probed)
    ledgers = [client.ledger for client in clients.values()]
    leash.say(
        "result",
        delivered=sum(ledger.delivered for ledger in ledgers),
        early=sum(ledger.early for ledger in ledgers),
        duplicates=sum(ledger.duplicates for ledger in ledgers),
        disordered=sum(ledger.disordered for ledger in ledgers),
        received_bytes=sum(client.received_bytes for client in clients.values()),
        closed=[client.closed for client in clients.values() if client.closed],
        latency=times.window.as_json(),
        warm_up=times.warm_up.as_json(),
    )
    leash.wait_for("end", heard)


def _read(clients: dict[int, Client], heard: set[str], *, probed: bool) -> None:
    """Read until everything has come, or nothing comes any more after the publisher's last."""
    poll = select.epoll()
    for fd in clients:
        poll.register(fd, select.EPOLLIN)
    last_s = until_s = 0.0
    while True:
        events = poll.poll(_POLL_S)
        for fd, _ in events:
            clients[fd].read()
            if clients[fd].closed:
                poll.unregister(fd)
        if not probed and all(client.probed for client in clients.values()):
            probed = True
            leash.say("probed")
        if "finish" not in heard:
            continue
        now_s = time.monotonic()
        until_s = until_s or now_s + _LONGEST_TAIL_S
        last_s = now_s if events or not last_s else last_s
        done = all(client.ledger.complete or client.closed for client in clients.values())
        if done or now_s - last_s > _TAIL_S or now_s > until_s:
            return


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Join))
