"""Thousands of clients in one process: each is a protocol that reads frames and little else.

What they ask for goes out in one breath with their handshake, as a client in a hurry may do.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Self, cast

import pytest
import uvloop

from tests.integration.harness import WITHIN_S, Hub, Message, together
from tests.shards.frames import CLOSE, HANDSHAKE, PING, PONG, TEXT, frame

_TICK = b'"market_data"'
_LINGER = struct.pack("ii", 1, 0)


class Guest(asyncio.Protocol):
    """One client: how it was answered, what it was told, how many ticks came. With `keeps` it
    keeps its ticks."""

    def __init__(self, *, keeps: bool = False) -> None:
        self.status = 0
        self.why = b""
        self.replies: list[Message] = []
        self.ticks = 0
        self.kept: list[Message] = []
        self.code = 0
        self.ended = False
        self._keeps = keeps
        self._unread = b""
        self._transport: asyncio.Transport

    def __repr__(self) -> str:
        return f"<Guest {self.status} {len(self.replies)} replies, {self.ticks} ticks>"

    def numbers(self, symbol: str) -> list[int]:
        """The numbers in the ticks of a symbol that it kept."""
        return [tick["data"]["n"] for tick in self.kept if tick["symbol"] == symbol]

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self.status:
            head, found, rest = self._unread.partition(b"\r\n\r\n")
            if not found:
                return
            self.status, self._unread = int(head.split()[1]), rest
        if self.status != 101:
            self.why, self._unread = self.why + self._unread, b""
            return
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    # For tests.

    def send(self, *requests: Message) -> None:
        """Send requests."""
        self._transport.write(b"".join(said(request) for request in requests))

    def write(self, data: bytes) -> None:
        """Send whatever this is."""
        self._transport.write(data)

    def freeze(self) -> None:
        """Read nothing any more."""
        self._transport.pause_reading()

    def thaw(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def vanish(self) -> None:
        """Be gone without a word: the kernel resets the connection."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self.ended:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._transport.abort()

    def leave(self) -> None:
        """Say goodbye."""
        self._transport.write(frame(CLOSE, (1000).to_bytes(2, "big")))

    # Below: details.

    def _read(self) -> None:
        data, start = self._unread, 0
        while len(data) >= start + 2:
            size, body = data[start + 1], start + 2
            if size >= 126:
                body += 2 if size == 126 else 8
                if len(data) < body:
                    break
                size = int.from_bytes(data[start + 2 : body], "big")
            if len(data) < body + size:
                break
            self._take(data[start] & 15, data[body : body + size])
            start = body + size
        self._unread = data[start:]

    def _take(self, opcode: int, body: bytes) -> None:
        if opcode == CLOSE:
            self.code = int.from_bytes(body[:2], "big")
            self._transport.write(frame(CLOSE, body[:2]))
        elif opcode == PING:
            self._transport.write(frame(PONG, body))
        elif _TICK in body:
            self.ticks += 1
            if self._keeps:
                self.kept.append(json.loads(body))
        else:
            self.replies.append(json.loads(body))


def said(request: Message) -> bytes:
    """A request as a client's frame."""
    return frame(TEXT, json.dumps(request).encode())


def asks(hub: Hub, *symbols: str, user: str = "anita", snapshot: bool = False) -> list[Message]:
    """To authenticate, and to subscribe to these symbols."""
    wanted = [{"symbol": symbol, "exchange": "NSE"} for symbol in symbols]
    subscribe = {"action": "subscribe", "symbols": wanted, "mode": 1, "snapshot": snapshot}
    return [
        {"action": "authenticate", "api_key": hub.keys[user]},
        *([subscribe] if symbols else []),
    ]


class Crowd:
    """Clients of a hub. On leaving it all that are still there are gone."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._guests: list[Guest] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for guest in self._guests:
            guest.vanish()
        await until(lambda: all(guest.ended for guest in self._guests), "all have left")

    async def come(
        self,
        requests: Iterable[Message] = (),
        *,
        keeps: bool = False,
        first: bytes = HANDSHAKE,
        receive_bytes: int = 0,
    ) -> Guest:
        """A client that has connected and asked; it waits for nothing."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        loop, guest = asyncio.get_running_loop(), Guest(keeps=keeps)
        try:
            await loop.sock_connect(sock, ("127.0.0.1", int(self._hub.first["ws"])))
        except BaseException:
            sock.close()
            raise
        await loop.create_connection(lambda: guest, sock=sock)
        self._guests.append(guest)
        guest.write(first + b"".join(map(said, requests)))
        return guest

    def forget(self) -> None:
        """Think no more of those who have left."""
        self._guests = [guest for guest in self._guests if not guest.ended]

    async def all_come(
        self, count: int, requests: Iterable[Message] = (), **options: Any
    ) -> list[Guest]:
        """So many at once."""
        asked = list(requests)
        return await together(self.come(asked, **options) for _ in range(count))


async def until(
    condition: Callable[[], Any],
    what: str,
    within_s: float = 2 * WITHIN_S,
    *,
    every_s: float = 0.1,
) -> None:
    """Wait until a condition holds, without asking too often; fails naming it."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(every_s)


def need_descriptors(count: int) -> None:
    """Let this process, and what it starts, have so many; skip the test where that may not be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} descriptors, and the hard limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def play(main: Callable[[], Any]) -> None:
    """Run a test's coroutine on the loop that has the most left for thousands of clients."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
