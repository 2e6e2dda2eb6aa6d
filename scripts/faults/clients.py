"""Clients that prove what came: each keeps an account of every connection it has.

One whose connection ends comes back at once, as those of brokers' clients do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from scripts.faults.account import Account
from scripts.faults.connection import ANSWER_S, Connection

_AGAIN_S = 0.5
_EVERY = 17  # of so many ticks one is timed
_clock_ns = time.monotonic_ns


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
        self.on_connect: Callable[[Account], None] = lambda _: None
        self.on_close: Callable[[Client, Connection], None] = lambda *_: None
        self.on_error: Callable[[str], None] = lambda _: None
        self.delays: Callable[[int, int], None] = lambda *_: None
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
                    self.on_error(f"no reply: {type(error).__name__}")
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
        account.begun_ns = _clock_ns()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(account, self._delay), "127.0.0.1", self._port()
        )
        self.connection = connection
        self.on_connect(account)
        return connection

    async def _begin(self, connection: Connection) -> None:
        await asyncio.wait_for(asyncio.shield(connection.opened), ANSWER_S)
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
            self.on_error(f"{request['action']}: {reply.status}: {why}")
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
        if not self._timing % _EVERY:
            self.delays(sent_ns, now_ns)
