"""Several machines: some are cut off, die, or are slow; others stand by."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from scripts.faults.proxy import Proxy
from tests import natsserver
from tests.integration.harness import Hub, fresh, ticks_of, until
from tests.integration.machines import (
    BACK_S,
    Cluster,
    audience,
    back,
    held,
    hubs_of,
    orders,
    perform,
    reaching,
)
from tests.integration.scenes import Beacon, Reader, order_update


def test_an_edge_that_was_cut_off_is_as_before_when_it_is_back(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(stack, cluster)
        publisher, ingest = beacon.publisher, cluster.hubs[0]
        proxy = Proxy(cluster.nodes[0].port)
        stack.push_async_callback(proxy.close)
        by_proxy: dict[str, Any] = {"nats.servers": [f"nats://127.0.0.1:{proxy.port}"]}
        edge = await asyncio.to_thread(cluster.edge, "cut", **by_proxy)
        stack.push_async_callback(asyncio.to_thread, edge.stop)
        client = await stack.enter_async_context(edge.client())
        (alone,) = fresh()
        await client.subscribe(symbol, alone)
        assert (await client.ask({"action": "subscribe_orders"}))["status"] == "success"
        reader = Reader(client)
        publisher.send(f"NSE_{alone}_LTP", {"n": 1})
        await until(lambda: reader.numbers(symbol) and reader.numbers(alone) == [1], "ticks come")

        proxy.set(frozen_up=True, frozen_down=True)
        await ingest.figures_when(
            lambda f: (f["uplink"]["edges"], f["uplink"]["symbols"]) == (2, 1), "it is let go"
        )
        away = await edge.figures_when(lambda f: not f["feed-nats"]["nats_connected"], "it is told")
        assert "NATS is away" in away["feed-nats"]["problem"]
        publisher.send(f"NSE_{alone}_LTP", {"n": 2})
        publisher.send("X_orders", order_update(7))
        await back(symbol, beacon, readers)
        assert not reader.closed

        proxy.clear()
        await back(symbol, beacon, [*readers, reader])
        publisher.send("X_orders", order_update(8))
        await until(lambda: 8 in orders(client), "order updates", BACK_S)
        assert orders(client) == [7, 8]
        assert reader.numbers(alone) == [1, 2]
        await edge.figures_when(lambda f: f["feed-nats"]["nats_reconnects"], "it is counted")
        await beacon.stop()

    perform(play)


def test_an_ingest_that_dies_costs_nobody_his_connection(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(stack, cluster)
        ingest, *edges = cluster.hubs[:3]
        ingest.lose_power()
        for edge in edges:
            await edge.figures_when(lambda f: f["feed-nats"]["machines"] == 0, "it is missed")
        await asyncio.to_thread(ingest.start)
        await back(symbol, beacon, readers)
        await beacon.stop()

    perform(play)


def test_what_a_dead_edge_wanted_is_released_within_10_s(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(stack, cluster)
        ingest, _, two = cluster.hubs[:3]
        (alone,) = fresh()
        async with two.client(snapshot=False) as client:
            await client.subscribe(alone)
            await held(ingest, 2)
            two.lose_power()
            died_s = time.monotonic()
        await held(ingest, 1)
        assert time.monotonic() - died_s < 10
        await back(symbol, beacon, readers[:1])
        await asyncio.to_thread(two.start)
        async with two.client(snapshot=False) as client:
            await client.subscribe(symbol)
            again = Reader(client)
            await until(lambda: again.numbers(symbol), "ticks come", BACK_S)
            await back(symbol, beacon, [readers[0], again])
            await again.stop()
        await beacon.stop()

    perform(play)


def test_an_edge_that_nats_drops_as_slow_catches_up(tmp_path: Path) -> None:
    small = 'max_pending: 1MB\nmax_payload: 1MB\nwrite_deadline: "500ms"'

    async def play(stack: AsyncExitStack) -> None:
        node = stack.enter_context(natsserver.server(tmp_path, small))
        cluster = stack.enter_context(hubs_of(tmp_path, [node]))
        ingest, edge = cluster.ingest("desk"), cluster.edge("edge")
        publisher = await stack.enter_async_context(reaching(ingest, edge))
        (symbol,) = fresh()
        client = await stack.enter_async_context(edge.client(snapshot=False))
        await client.subscribe(symbol)
        reader, beacon = Reader(client), Beacon(publisher, symbol, pad="x" * 50_000)
        await until(lambda: reader.numbers(symbol), "ticks come")
        pid = edge.children["feed-nats"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: "Slow Consumer" in node.log.read_text(), "it is dropped")
        finally:
            os.kill(pid, signal.SIGCONT)
        await back(symbol, beacon, [reader])
        await edge.figures_when(lambda f: f["feed-nats"]["nats_reconnects"] == 1, "it is counted")
        assert edge.children["feed-nats"].pid == pid
        await beacon.stop()
        await until(lambda: reader.numbers(symbol)[-1] == beacon.sent - 1, "the newest value")

    perform(play)


def test_a_feed_whose_machine_dies_runs_on_its_standby_and_never_on_both(cluster: Cluster) -> None:
    pair: dict[str, Any] = {"nats.prefix": "pair"}
    feed = pair | {"hub.feeds": ["sim"], "nats.standby": "desk", "nats.lease_s": 2}

    async def states(*hubs: Hub) -> list[str]:
        told = [await hub.figures_when(lambda f: "feed-sim" in f, "its figures") for hub in hubs]
        return [figures["feed-sim"].get("lease", "") for figures in told]

    async def play(stack: AsyncExitStack) -> None:
        start = asyncio.to_thread
        first = await start(cluster.ingest, "first", **feed)
        await first.figures_when(lambda f: f["feed-sim"]["lease"] == "active", "it has the lease")
        second = await start(cluster.ingest, "second", 1, **feed)
        edge = await start(cluster.edge, "aside", 2, **pair)
        for hub in (first, second, edge):
            stack.push_async_callback(asyncio.to_thread, hub.stop)
        client = await stack.enter_async_context(edge.client("simon", snapshot=False))
        await client.subscribe("RELIANCE")
        reader = Reader(client)

        def count() -> int:
            return len(ticks_of(client.seen, "RELIANCE"))

        await until(count, "ticks come")
        assert await states(first, second) == ["active", "standby"]

        first.lose_power()
        died_s, before = time.monotonic(), count()
        await second.figures_when(lambda f: f["feed-sim"]["lease"] == "active", "it takes over")
        await until(lambda: count() > before + 20, "its ticks")
        assert time.monotonic() - died_s < 2 + 5
        assert not reader.closed

        await start(first.start)
        for _ in range(10):
            assert await states(first, second) in (["", "active"], ["standby", "active"])
            await asyncio.sleep(0.1)
        assert await states(first, second) == ["standby", "active"]
        await reader.stop()

    perform(play)


def test_a_client_whose_feed_comes_later_is_sent_to_it(cluster: Cluster) -> None:
    """It was bound to the bus, which serves everybody, and got no tick for ever."""

    async def play(stack: AsyncExitStack) -> None:
        edge = cluster.hubs[1]
        early = await stack.enter_async_context(edge.client("simon"))
        other = await stack.enter_async_context(edge.client("anita"))
        for client in (early, other):
            await client.subscribe("RELIANCE")
        feeds: dict[str, Any] = {"hub.feeds": ["sim"]}
        late = await asyncio.to_thread(cluster.ingest, "late", **feeds)
        stack.push_async_callback(asyncio.to_thread, late.stop)
        assert await early.closed() == 1012, "it connects again, as when a server restarts"
        again = await stack.enter_async_context(edge.client("simon"))
        await again.subscribe("RELIANCE")
        assert (await again.tick())["symbol"] == "RELIANCE"
        assert (await other.ask({"action": "ping"}))["type"] == "pong", "whose feed is the bus"

    perform(play)
