"""A shard that stands still and goes on: its clients get what is current, not its backlog, and what
was published last; nobody else notices."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, suppress

import pytest

from tests.integration.conftest import MakeHub, on_both_wires
from tests.integration.harness import Client, Hub, Publisher, fresh, until
from tests.integration.scenes import Beacon, Reader, order_update, scene

BUSY = 5
"""Symbols that tick all the time; of the others each ticks once, in the pause or before it."""


class Stage:
    """Two shards, a client on each, and symbols that tick."""

    def __init__(self, hub: Hub, publisher: Publisher) -> None:
        self.hub = hub
        self.publisher = publisher
        self.symbols = fresh(count=BUSY)
        self.quiet = fresh("QUIET", count=60)
        self.beacons: list[Beacon] = []
        self.readers: list[Reader] = []
        self.told: dict[str, int] = {}

    async def begin(self, stack: AsyncExitStack) -> str:
        """Which shard has the first client."""
        client = await stack.enter_async_context(self.hub.client(snapshot=False))
        figures = await self.hub.figures_when(
            lambda f: sorted(f[f"shard-{n}"].get("clients", 0) for n in range(2)) == [0, 1],
            "the client is counted",
        )
        other = await stack.enter_async_context(self.hub.client(snapshot=False))
        for one in (client, other):
            await one.subscribe(*self.symbols, *self.quiet)
            await one.ask({"action": "subscribe_orders"})
            self.readers.append(Reader(one))
        self.beacons = [Beacon(self.publisher, symbol) for symbol in self.symbols]
        self.tell(*self.quiet)
        await until(lambda: all(self.numbers(0, symbol) for symbol in self.symbols), "ticks come")
        await until(lambda: all(self.last(n, self.quiet[-1]) for n in range(2)), "all have begun")
        return next(name for name in ("shard-0", "shard-1") if figures[name].get("clients"))

    def tell(self, *symbols: str) -> None:
        """One tick of these."""
        for symbol in symbols:
            self.told[symbol] = self.told.get(symbol, 0) + 1
            self.publisher.send(f"NSE_{symbol}_LTP", {"n": self.told[symbol]})

    def numbers(self, client: int, symbol: str) -> list[int]:
        return self.readers[client].numbers(symbol)

    def last(self, client: int, symbol: str) -> int:
        return (self.numbers(client, symbol) or [0])[-1]

    def published(self) -> dict[str, int]:
        """The last number of each symbol."""
        busy = zip(self.symbols, self.beacons, strict=True)
        return {symbol: beacon.sent - 1 for symbol, beacon in busy} | self.told

    async def pause(self, name: str, seconds: float) -> dict[str, int]:
        """Stop a shard for so long; what was published last when it goes on. In the pause each
        quiet symbol ticks once more, but for the last, one after the other."""
        pid = self.hub.children[name].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for symbol in self.quiet[:-1]:
                self.tell(symbol)
                await asyncio.sleep(seconds / len(self.quiet))
        finally:
            published = self.published()
            os.kill(pid, signal.SIGCONT)
        return published


@pytest.mark.parametrize("seconds", [1.5, 5.0])
@on_both_wires("make_hub")
def test_after_a_pause_clients_are_sent_current_values_and_no_backlog(
    make_hub: MakeHub, seconds: float
) -> None:
    """After the longer one the router has given the shard up meanwhile."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        stage = Stage(hub, await stack.enter_async_context(hub.publisher()))
        name = await stage.begin(stack)
        before = {symbol: stage.last(0, symbol) for symbol in stage.published()}
        published = await stage.pause(name, seconds)
        await until(
            lambda: all(stage.last(0, s) >= n for s, n in published.items()), "all is current"
        )
        for symbol, newest in published.items():
            numbers = stage.numbers(0, symbol)
            assert numbers == sorted(set(numbers)), "none twice, none old after new"
            old = [n for n in numbers if before[symbol] + 5 < n < newest - 5]
            assert len(old) <= 1, f"{symbol}: a backlog of {len(old)} was sent"
        for beacon in stage.beacons:
            await beacon.stop()
        last = stage.published()
        await until(
            lambda: all(stage.last(n, s) == last[s] for s in last for n in range(2)),
            "what was published last is what was sent last",
        )
        for symbol in stage.symbols:
            numbers = stage.numbers(1, symbol)
            assert numbers == list(range(numbers[0], last[symbol] + 1)), "nobody else notices"
        assert not any(reader.closed for reader in stage.readers)
        assert hub.children[name].restarts == 0

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


def test_order_updates_that_came_in_a_pause_are_all_sent(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        stage = Stage(hub, await stack.enter_async_context(hub.publisher()))
        name = await stage.begin(stack)
        pid = hub.children[name].pid
        os.kill(pid, signal.SIGSTOP)
        for number in range(200):
            stage.publisher.send("X_orders", order_update(number))
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGCONT)
        for reader in stage.readers:
            await until(lambda reader=reader: len(updates(reader.client)) == 200, "all are sent")  # type: ignore[misc]
            assert updates(reader.client) == [*range(200)]
        for beacon in stage.beacons:
            await beacon.stop()

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


def test_a_client_that_comes_right_after_a_pause_is_served_as_ever(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        stage = Stage(hub, await stack.enter_async_context(hub.publisher()))
        name = await stage.begin(stack)
        await stage.pause(name, 4.0)
        new = [await stack.enter_async_context(hub.client()) for _ in range(4)]
        for client in new:
            await client.subscribe(*stage.symbols)
            for symbol in stage.symbols:
                await client.until(lambda m, symbol=symbol: m.get("symbol") == symbol)  # type: ignore[misc]
        for beacon in stage.beacons:
            await beacon.stop()
        with suppress(TimeoutError):
            for client in new:
                while True:
                    await client.next(0.3)
        for client in new:
            for symbol in stage.symbols:
                numbers = [m["data"]["n"] for m in client.seen if m.get("symbol") == symbol]
                assert numbers == sorted(set(numbers))

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


def updates(client: Client) -> list[int]:
    """The numbers of the order updates that a client has seen."""
    return [m["n"] for m in client.seen if m.get("type") == "order_update"]
