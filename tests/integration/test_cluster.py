"""Several machines: three nodes of NATS, one that has the feeds, two that serve clients.

Ticks are numbered, so that what is lost, doubled or out of order shows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.faults.proxy import Proxy
from tests import natsserver
from tests.integration.harness import Client, Hub, Publisher, fresh, numbers, ticks_of, until
from tests.integration.scenes import Beacon, Reader, order_update
from tests.natsserver import NatsServer

BACK_S = 20.0
"""How long something that was killed may take until all is as before, on a machine that is busy."""


class Cluster:
    """All machines, each as a hub of its own."""

    def __init__(self, folder: Path, nodes: list[NatsServer]) -> None:
        self.nodes = nodes
        self.folder = folder
        self.hubs: list[Hub] = []

    def flags(self, first: int, **nats: Any) -> dict[str, Any]:
        """The settings of a machine that tries this node first."""
        urls = [node.url for node in self.nodes]
        return {"nats.servers": urls[first:] + urls[:first]} | {
            f"nats.{name}": value for name, value in nats.items()
        }

    def ingest(self, name: str, first: int = 0, **flags: Any) -> Hub:
        """A machine that publishes what comes on its bus."""
        roles = {"hub.feeds": ["bus"], "hub.shards": 0, "upstream.linger_s": 0.3}
        return self._hub(self.flags(first, publish=True, name=name) | roles | flags)

    def edge(self, name: str, first: int = 0, **flags: Any) -> Hub:
        """A machine that serves clients."""
        roles = {"hub.feeds": ["nats"], "hub.shards": 2}
        return self._hub(self.flags(first, name=name) | roles | flags)

    def _hub(self, flags: dict[str, Any]) -> Hub:
        hub = Hub(flags | {"hub.runtime_dir": ""})
        hub.flags["hub.runtime_dir"] = str(hub.runtime_dir)
        self.hubs.append(hub)
        return hub.start()


@contextmanager
def machines(folder: Path, count: int = 3) -> Iterator[Cluster]:
    """A cluster that ends with the block; all that it started must leave by itself."""
    with natsserver.cluster(folder, count, jetstream=True) as nodes, hubs_of(folder, nodes) as made:
        yield made


@contextmanager
def hubs_of(folder: Path, nodes: list[NatsServer]) -> Iterator[Cluster]:
    """Machines with these nodes of NATS."""
    made = Cluster(folder, nodes)
    try:
        yield made
        for hub in made.hubs:
            if hub.first and hub.code is None:
                assert hub.stop() == 0, hub.log()
    finally:
        for hub in made.hubs:
            hub.discard()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests of this module: an ingest, and two edges."""
    with machines(tmp_path_factory.mktemp("cluster")) as made:
        made.ingest("desk")
        made.edge("edge-1", 1)
        made.edge("edge-2", 2)
        yield made


@asynccontextmanager
async def publishing(cluster: Cluster) -> AsyncIterator[tuple[Publisher, Hub, Hub]]:
    """A publisher at the ingest whose messages arrive at both edges."""
    ingest, one, two = cluster.hubs[:3]
    async with reaching(ingest, one, two) as publisher:
        yield publisher, one, two


@asynccontextmanager
async def reaching(ingest: Hub, *edges: Hub) -> AsyncIterator[Publisher]:
    """A publisher at an ingest whose messages arrive at these edges."""
    publisher = Publisher(ingest.bus)
    try:
        for edge in edges:
            async with edge.client(snapshot=False) as probe:
                await publisher.arrive(probe)
        yield publisher
    finally:
        publisher.close()


def scene(play: Callable[[AsyncExitStack], Any]) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            await play(stack)

    asyncio.run(main())


def orders(client: Client) -> list[int]:
    """The numbers of the order updates that have come."""
    return [m["n"] for m in client.seen if m.get("type") == "order_update"]


async def held(hub: Hub, keys: int) -> None:
    """Wait until so many keys are wanted of an ingest's feeds."""
    await hub.figures_when(lambda f: f["uplink"]["symbols"] == keys, f"{keys} keys")


def test_each_edge_is_sent_what_its_clients_want_in_order_and_nothing_else(
    cluster: Cluster,
) -> None:
    async def play(stack: AsyncExitStack) -> None:
        publisher, one, two = await stack.enter_async_context(publishing(cluster))
        both, only = fresh(count=2)
        clients: list[Client] = [
            await stack.enter_async_context(edge.client(snapshot=False)) for edge in (one, one, two)
        ]
        await clients[0].subscribe(both, only, mode=1)
        await clients[1].subscribe(both, mode=2)
        await clients[2].subscribe(both, mode=3)
        for number in range(300):
            mode = ("LTP", "QUOTE", "DEPTH")[number % 3]
            publisher.send(f"NSE_{both}_{mode}", {"n": number})
            publisher.send(f"NSE_{only}_LTP", {"n": number})
            if not number % 50:
                await asyncio.sleep(0.01)
        for client in clients:
            await client.catch_up(publisher)
        every = [*range(300)]
        assert numbers(clients[0].seen, both) == every
        assert numbers(clients[0].seen, only) == every
        assert numbers(clients[1].seen, both) == [n for n in every if n % 3]
        assert numbers(clients[2].seen, both) == [n for n in every if n % 3 == 2]
        await two.figures_when(lambda f: f["feed-nats"]["holes"] == 0, "nothing was lost")

    scene(play)


def test_a_fresh_edge_shows_the_value_that_others_have_seen(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        publisher, one, two = await stack.enter_async_context(publishing(cluster))
        (symbol,) = fresh()
        first = await stack.enter_async_context(one.client())
        await first.subscribe(symbol)
        publisher.send(f"NSE_{symbol}_LTP", {"n": 7})
        assert (await first.tick())["data"]["n"] == 7
        second = await stack.enter_async_context(two.client())
        await second.subscribe(symbol)
        assert (await second.tick())["data"]["n"] == 7
        publisher.send(f"NSE_{symbol}_LTP", {"n": 8})
        assert (await second.tick())["data"]["n"] == 8

    scene(play)


def test_what_nobody_wants_any_more_is_released_at_the_ingest(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        ingest, one, two = cluster.hubs[:3]
        await held(ingest, 0)
        (symbol,) = fresh()
        for edge in (one, two):
            client = await stack.enter_async_context(edge.client(snapshot=False))
            await client.subscribe(symbol)
        await held(ingest, 1)

    scene(play)
    asyncio.run(held(cluster.hubs[0], 0))


def test_order_updates_reach_their_user_at_every_edge_and_nobody_else(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        publisher, one, two = await stack.enter_async_context(publishing(cluster))
        mine = [await stack.enter_async_context(edge.client("anita")) for edge in (one, two)]
        other = await stack.enter_async_context(two.client("simon"))
        for client in (*mine, other):
            assert (await client.ask({"action": "subscribe_orders"}))["status"] == "success"
        for number in range(40):
            publisher.send("X_orders", order_update(number))
        for client in mine:
            await client.until(lambda message: message.get("n") == 39)
            assert orders(client) == [*range(40)]
        await other.catch_up(publisher)
        assert not orders(other)

    scene(play)


async def _audience(stack: AsyncExitStack, cluster: Cluster) -> tuple[str, Beacon, list[Reader]]:
    """A client at each edge that reads the numbers of a symbol."""
    publisher, *edges = await stack.enter_async_context(publishing(cluster))
    (symbol,) = fresh()
    readers = []
    for edge in edges:
        client = await stack.enter_async_context(edge.client(snapshot=False))
        await client.subscribe(symbol)
        readers.append(Reader(client))
    beacon = Beacon(publisher, symbol)
    await until(lambda: all(reader.numbers(symbol) for reader in readers), "ticks come")
    return symbol, beacon, readers


async def _back(symbol: str, beacon: Beacon, readers: list[Reader]) -> None:
    """Wait until what is published now comes, at each reader that was never closed; in order."""
    now = beacon.sent
    await until(
        lambda: all(reader.numbers(symbol)[-1] > now for reader in readers), "ticks", BACK_S
    )
    assert not any(reader.closed for reader in readers)
    for reader in readers:
        got = reader.numbers(symbol)
        assert got == sorted(set(got)), "in order, and each once"


def test_a_node_that_dies_costs_nobody_its_connection(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await _audience(stack, cluster)
        for node in cluster.nodes:
            node.kill()
            await asyncio.sleep(1)
            await _back(symbol, beacon, readers)
            node.start()
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.launch()
        await _back(symbol, beacon, readers)
        await beacon.stop()

    scene(play)


@pytest.mark.parametrize(
    ("machine", "process"), [(0, "uplink"), (0, "router"), (1, "feed-nats"), (1, "router")]
)
def test_a_process_that_dies_costs_nobody_its_connection(
    cluster: Cluster, machine: int, process: str
) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await _audience(stack, cluster)
        hub = cluster.hubs[machine]
        victim = hub.kill(process)
        await until(lambda: hub.is_back(process, victim), "it is back", BACK_S)
        await _back(symbol, beacon, readers)
        await beacon.stop()

    scene(play)


def test_an_edge_that_was_cut_off_is_as_before_when_it_is_back(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await _audience(stack, cluster)
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
        await _back(symbol, beacon, readers)
        assert not reader.closed

        proxy.clear()
        await _back(symbol, beacon, [*readers, reader])
        publisher.send("X_orders", order_update(8))
        await until(lambda: 8 in orders(client), "order updates", BACK_S)
        assert orders(client) == [7, 8]
        assert reader.numbers(alone) == [1, 2]
        await edge.figures_when(lambda f: f["feed-nats"]["nats_reconnects"], "it is counted")
        await beacon.stop()

    scene(play)


def test_an_ingest_that_dies_costs_nobody_his_connection(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await _audience(stack, cluster)
        ingest, *edges = cluster.hubs[:3]
        ingest.lose_power()
        for edge in edges:
            await edge.figures_when(lambda f: f["feed-nats"]["machines"] == 0, "it is missed")
        await asyncio.to_thread(ingest.start)
        await _back(symbol, beacon, readers)
        await beacon.stop()

    scene(play)


def test_what_a_dead_edge_wanted_is_released_within_10_s(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await _audience(stack, cluster)
        ingest, _, two = cluster.hubs[:3]
        (alone,) = fresh()
        async with two.client(snapshot=False) as client:
            await client.subscribe(alone)
            await held(ingest, 2)
            two.lose_power()
            died_s = time.monotonic()
        await held(ingest, 1)
        assert time.monotonic() - died_s < 10
        await _back(symbol, beacon, readers[:1])
        await asyncio.to_thread(two.start)
        async with two.client(snapshot=False) as client:
            await client.subscribe(symbol)
            again = Reader(client)
            await until(lambda: again.numbers(symbol), "ticks come", BACK_S)
            await _back(symbol, beacon, [readers[0], again])
            await again.stop()
        await beacon.stop()

    scene(play)


def test_an_invalidation_at_an_edge_reaches_all_machines_once(cluster: Cluster) -> None:
    def counts(figures: dict[str, Any], name: str) -> int:
        return int(figures["router"].get(name, 0))

    def counted(figures: dict[str, Any], told: int) -> bool:
        return counts(figures, "invalidations") == told

    async def play(stack: AsyncExitStack) -> None:
        hubs = cluster.hubs[:3]
        before = [counts(await hub.figures(), "invalidations") for hub in hubs]
        publisher = Publisher(hubs[1].bus)
        stack.callback(publisher.close)
        ignored = counts(await hubs[1].figures(), "ignored")
        while counts(await hubs[1].figures(), "ignored") == ignored:
            publisher.send("X_margins", {})
            await asyncio.sleep(0.05)
        for more in (1, 2):
            publisher.send("CACHE_INVALIDATE_ALL_anita", {"user_id": "anita", "cache_type": "ALL"})
            for hub, was in zip(hubs, before, strict=True):
                told = was + more
                await hub.figures_when(partial(counted, told=told), "each is counted once")

    scene(play)


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
        await _back(symbol, beacon, [reader])
        await edge.figures_when(lambda f: f["feed-nats"]["nats_reconnects"] == 1, "it is counted")
        assert edge.children["feed-nats"].pid == pid
        await beacon.stop()
        await until(lambda: reader.numbers(symbol)[-1] == beacon.sent - 1, "the newest value")

    scene(play)


def test_a_feed_whose_machine_dies_runs_on_its_standby_and_never_on_both(cluster: Cluster) -> None:
    pair: dict[str, Any] = {"nats.prefix": "pair"}
    feed = pair | {"hub.feeds": ["sim"], "nats.standby": "desk", "nats.lease_s": 2}

    async def states(*hubs: Hub) -> list[str]:
        return [(await hub.figures())["feed-sim"].get("lease", "") for hub in hubs]

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

    scene(play)
