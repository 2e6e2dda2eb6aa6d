"""What tests play in which something happens while clients read: who publishes, who listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.integration.harness import Client, Hub, Message, Publisher, fresh, numbers, until


class Reader:
    """Reads a client until it is closed, so that a test can do something else meanwhile."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.task = asyncio.create_task(self._read())

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.task.done()

    def numbers(self, symbol: str) -> list[int]:
        """The numbers in the ticks of a symbol so far."""
        return numbers(self.client.seen, symbol)

    async def stop(self) -> None:
        """Read no more; what has come stays."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.client.next(3600)


class Beacon:
    """Publishes numbers on a symbol all the time; `sent` is how many."""

    def __init__(
        self, publisher: Publisher, symbol: str, *, every_s: float = 0.005, pad: str = ""
    ) -> None:
        self.sent = 0
        self.publisher = publisher
        self._symbol = symbol
        self._every_s = every_s
        self._pad = pad
        self._task = asyncio.create_task(self._shine())

    async def stop(self) -> None:
        """Publish no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _shine(self) -> None:
        while True:
            self.publisher.send(f"NSE_{self._symbol}_LTP", {"n": self.sent, "pad": self._pad})
            self.sent += 1
            await asyncio.sleep(self._every_s)


def order_update(number: int) -> Message:
    """An order update of anita's, as OpenAlgo publishes it."""
    return {"type": "order_update", "user_id": "anita", "n": number}


def scene(play: Callable[[Hub, AsyncExitStack], Any], hub: Hub) -> None:
    """Run a test whose clients are all closed in the end."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await play(hub, stack)

    asyncio.run(main())


async def audience(hub: Hub, stack: AsyncExitStack, many: int) -> tuple[str, Beacon, list[Reader]]:
    """So many clients that all get the numbers of a symbol: it, who publishes them, who reads."""
    (symbol,) = fresh()
    publisher = await stack.enter_async_context(hub.publisher())
    await hub.all_serve()
    clients = [await stack.enter_async_context(hub.client(snapshot=False)) for _ in range(many)]
    for client in clients:
        await client.subscribe(symbol)
    readers, beacon = [Reader(client) for client in clients], Beacon(publisher, symbol)
    await until(lambda: all(reader.numbers(symbol) for reader in readers), "ticks come")
    return symbol, beacon, readers


async def until_conflated(
    hub: Hub, publisher: Publisher, symbols: Sequence[str], many: int, *, some_seldom: bool = False
) -> int:
    """Publish the numbers of rounds on these symbols until the only shard has conflated so many
    ticks; how many rounds that took. With `some_seldom` the nth symbol ticks in every nth alone."""
    rounds = 0
    while (await hub.figures())["shard-0"].get("conflated", 0) < many:
        for _ in range(20):
            for number, symbol in enumerate(symbols, 1):
                if not (some_seldom and rounds % number):
                    publisher.send(f"NSE_{symbol}_LTP", {"n": rounds, "ballast": "x" * 5000})
            rounds += 1
            await asyncio.sleep(0.01)
    return rounds
