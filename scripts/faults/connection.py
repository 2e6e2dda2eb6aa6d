"""One WebSocket connection of a client, and the account of what comes on it.

It reads whole chunks and walks the frames by their headers, so that forty of them leave the machine
to the hub. What is subscribed is put into the account at the very place of the reply in the stream.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from scripts.benchmark.handshake import masked
from scripts.benchmark.walk import BINARY, CLOSE, PING, TEXT, Block, Walker
from scripts.faults.account import ORDERS, Account

ANSWER_S = 30.0
_PONG = 0x8A
_clock_ns = time.monotonic_ns


class Data(msgspec.Struct):
    """The part of a tick's JSON that is checked; feeds of others have none of it."""

    seq: int = -1
    sent_ns: int = 0


class Said(msgspec.Struct):
    """Whatever the hub says, as far as it is looked at."""

    type: str = ""
    status: str = ""
    message: str = ""
    symbol: str = ""
    exchange: str = ""
    data: Data | None = None
    user_id: str = ""
    seq: int = -1
    sent_ns: int = 0
    subscriptions: list[dict[str, Any]] = []
    successful: list[dict[str, Any]] = []


_json = msgspec.json.Decoder(Said | list[Said]).decode
_packed = msgspec.msgpack.Decoder(Said | list[Said]).decode


class Connection(asyncio.Protocol):
    """One WebSocket connection: what it says goes to `account`, replies to who asked."""

    def __init__(self, account: Account, delays: Callable[[int, int], None]) -> None:
        loop = asyncio.get_running_loop()
        self.account = account
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.code = 0  # of a close frame; 0 when there was none
        self.reason = ""
        self.refused = ""
        self.first_tick_ns = 0  # when the first tick came
        self.replied_ns = 0  # when the last subscribe was answered
        self._delays = delays
        self._walker = Walker()
        self._head = b""
        self._asked: deque[asyncio.Future[Said]] = deque()
        self.transport: asyncio.Transport

    @property
    def port(self) -> int:
        """Its own port."""
        name = self.transport.get_extra_info("sockname")
        return int(name[1]) if name else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's form
        """It is over; whoever waits for a reply gets none."""
        waiting: list[asyncio.Future[Any]] = [self.opened, *self._asked]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionError("the connection is closed"))
                future.exception()
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if not self.opened.done():
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.refused = head.split(b"\r\n")[0].decode(errors="replace")
                self.transport.abort()
                return
            self.opened.set_result(None)
        now_ns = _clock_ns()
        for block in self._walker.take(data):
            self._take(block, now_ns)

    async def ask(self, request: Mapping[str, Any], within_s: float = ANSWER_S) -> Said:
        """Send a request; its reply. Raises ConnectionError or TimeoutError."""
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        if self.closed.done():
            raise ConnectionError("the connection is closed")
        self.transport.write(masked(TEXT, json.dumps(request).encode()))
        return await asyncio.wait_for(answer, within_s)

    def close(self) -> None:
        """Leave without a word."""
        self.transport.abort()

    def _take(self, block: Block, now_ns: int) -> None:
        if block.kind == CLOSE:
            self.code = int.from_bytes(block.payload[:2], "big")
            self.reason = block.payload[2:].decode(errors="replace")
            self.transport.close()
        elif block.kind == PING:
            self.transport.write(masked(_PONG, block.payload))
        elif block.kind in {TEXT, BINARY}:
            read = _json if block.kind == TEXT else _packed
            size, skipped, data = block.size, block.header_bytes, block.data
            for at in range(0, len(data), size):
                found = read(data[at + skipped : at + size])
                for one in found if isinstance(found, list) else (found,):
                    self._hear(one, now_ns)

    def _hear(self, said: Said, now_ns: int) -> None:
        if said.type == "market_data":
            data = said.data or Data()
            topic = f"{said.exchange}:{said.symbol}"
            if not self.first_tick_ns:
                self.first_tick_ns = now_ns
            if data.seq < 0:
                self.account.take_any(topic, now_ns)
                return
            self.account.take(topic, data.seq, data.sent_ns, now_ns)
            self._delays(data.sent_ns, now_ns)
        elif said.type == "order_update":
            self.account.take(ORDERS + said.user_id, said.seq, said.sent_ns, now_ns)
        else:
            self._reply(said, now_ns)

    def _reply(self, said: Said, now_ns: int) -> None:
        """Keep the account at the very place of the reply in the stream."""
        if said.type == "subscribe":
            self.replied_ns, self.first_tick_ns = now_ns, 0
            for row in said.subscriptions:
                if row["status"] == "success":
                    self.account.subscribed(f"{row['exchange']}:{row['symbol']}", now_ns)
        elif said.type == "unsubscribe":
            for row in said.successful:
                self.account.unsubscribed(f"{row['exchange']}:{row['symbol']}")
        elif said.type == "subscribe_orders" and said.status == "success":
            self.account.subscribed(ORDERS + self.account.user, now_ns)
        if self._asked:
            answer = self._asked.popleft()
            if not answer.done():
                answer.set_result(said)
