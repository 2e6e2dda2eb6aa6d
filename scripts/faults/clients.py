"""Clients that prove what came: each keeps an account of every connection it has.

They read whole chunks and walk the frames by their headers, so that forty of them leave the
machine to the hub. One whose connection ends comes back at once, as those of brokers' clients do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec

from scripts.benchmark.handshake import masked
from scripts.benchmark.walk import BINARY, CLOSE, PING, TEXT, Block, Walker
from scripts.faults.ledger import ORDERS, Account

_PONG = 0x8A
_ANSWER_S = 30.0
_AGAIN_S = 0.5
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

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over; whoever waits for a reply gets none."""
        for future in (self.opened, *self._asked):
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

    async def ask(self, request: Mapping[str, Any], within_s: float = _ANSWER_S) -> Said:
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


class Client:
    """One client through all its connections. `loose` may be behind; `restless` drops half of what
    it holds now and then, and takes it again."""

    def __init__(
        self,
        name: str,
        *,
        port: Callable[[], int],
        user: str,
        key: str,
        symbols: Sequence[str],
        period_ns: int,
        orders: bool = False,
        loose: bool = False,
        restless: bool = False,
        form: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.loose = loose
        self.symbols = symbols
        self.user = user
        self.connection: Connection | None = None
        self.ready_ns = 0  # when all it wants was confirmed; 0 while it is not
        self.connections = 0
        self.retries = 0
        self.wanted = True
        self.on_connect: Callable[[Account], None] = lambda account: None
        self.on_close: Callable[[Client, Connection], None] = lambda client, connection: None
        self.on_error: Callable[[Client, str], None] = lambda client, what: None
        self.delays: Callable[[int, int], None] = lambda sent_ns, now_ns: None
        self._port = port
        self._key = key
        self._period_ns = period_ns
        self._orders = orders
        self._restless = restless
        self._form = form or {}
        self._rng = random.Random(f"{seed} {name}")
        self._timing = 0

    def __repr__(self) -> str:
        return f"<Client {self.name} {'ready' if self.ready_ns else 'not ready'}>"

    @property
    def account(self) -> Account | None:
        """Its account while it is connected."""
        return self.connection.account if self.connection else None

    @property
    def steady(self) -> bool:
        """Whether it has all it wants, and is one that keeps up."""
        return bool(self.ready_ns) and not self.loose

    def leave(self) -> None:
        """Go, and do not come back."""
        self.wanted = False
        if self.connection is not None:
            self.connection.close()

    async def live(self) -> None:
        """Connect, follow, and come back, until nobody wants it any more."""
        while self.wanted:
            try:
                connection = await self._connect()
            except OSError:
                await asyncio.sleep(self._rng.uniform(0.05, 0.2))
                continue
            try:
                await self._begin(connection)
                await self._stay(connection)
            except (OSError, TimeoutError) as error:
                if not connection.closed.done():
                    self.on_error(self, f"no reply: {type(error).__name__}")
            self.ready_ns = 0
            if not connection.closed.done():
                connection.close()
            await connection.closed
            self.connection = None
            self.on_close(self, connection)
            await asyncio.sleep(self._rng.uniform(0.0, 0.1))

    async def _connect(self) -> Connection:
        self.connections += 1
        account = Account(
            f"{self.name}#{self.connections}", self._period_ns, loose=self.loose, user=self.user
        )
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(account, self._delay), "127.0.0.1", self._port()
        )
        self.connection = connection
        self.on_connect(account)
        return connection

    async def _begin(self, connection: Connection) -> None:
        await asyncio.wait_for(asyncio.shield(connection.opened), _ANSWER_S)
        await self._insist(
            connection, {"action": "authenticate", "api_key": self._key, **self._form}
        )
        if self._orders:
            await self._insist(connection, {"action": "subscribe_orders"})
        await self._subscribe(connection, self.symbols)
        self.ready_ns = _clock_ns()

    async def _insist(self, connection: Connection, request: Mapping[str, Any]) -> None:
        """Ask until it succeeds, and tell when it did not at once."""
        while (reply := await connection.ask(request)).status != "success":
            self.retries += 1
            failed = [row for row in reply.subscriptions if row["status"] != "success"]
            why = failed[0].get("message") if failed else reply.message
            self.on_error(self, f"{request['action']}: {reply.status}: {why}")
            await asyncio.sleep(_AGAIN_S)

    async def _subscribe(self, connection: Connection, symbols: Sequence[str]) -> None:
        wanted = [{"symbol": symbol, "exchange": "NSE"} for symbol in symbols]
        await self._insist(connection, {"action": "subscribe", "symbols": wanted, "mode": "Quote"})

    async def _stay(self, connection: Connection) -> None:
        while self._restless and not connection.closed.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.shield(connection.closed), self._rng.uniform(0.5, 3.0)
                )
                return
            half = self._rng.sample(self.symbols, len(self.symbols) // 2)
            wanted = [{"symbol": symbol, "exchange": "NSE"} for symbol in half]
            self.ready_ns = 0
            await connection.ask({"action": "unsubscribe", "symbols": wanted, "mode": "Quote"})
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            await self._subscribe(connection, half)
            self.ready_ns = _clock_ns()
        await connection.closed

    def _delay(self, sent_ns: int, now_ns: int) -> None:
        """Pass on how long one tick in so many took."""
        self._timing += 1
        if not self._timing % 17:
            self.delays(sent_ns, now_ns)
