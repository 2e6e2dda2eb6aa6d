"""Several machines: what goes on between them, and what dies of a machine or of NATS."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from hub.monitor.metrics import FIGURES
from tests.integration.harness import Client, Hub, Publisher, fresh, numbers, until
from tests.integration.machines import (
    BACK_S,
    Cluster,
    audience,
    back,
    held,
    orders,
    perform,
    publishing,
)
from tests.integration.scenes import Reader, order_update


def test_each_edge_is_sent_what_its_clients_want_in_order_and_nothing_else(
    cluster: Cluster,
) -> None:
    async def play(stack: AsyncExitStack) -> None:
        publisher, one, two = await stack.enter_async_context(publishing(cluster))
        both, only = fresh(count=2)
        before = await two.figures_when(lambda f: "holes" in f["feed-nats"], "it is heard")
        holes = before["feed-nats"]["holes"]  # of tests before this
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
        await asyncio.sleep(1.1)  # after a beat with what has come now
        assert (await two.figures())["feed-nats"]["holes"] == holes, "nothing was lost"

    perform(play)


def test_each_figure_of_the_way_to_others_is_told_by_who_has_it(cluster: Cluster) -> None:
    """A figure whose name in the heartbeats is another would never be told."""
    processes = {"uplink": (cluster.hubs[0], "uplink"), "feed": (cluster.hubs[1], "feed-nats")}

    async def play(_: AsyncExitStack) -> None:
        for role, (hub, name) in processes.items():
            of_it = [one for one in FIGURES if one.name.startswith("nats_") and role in one.roles]
            assert len(of_it) > 5
            sources = {one.source for one in of_it}
            has_all = partial(_has_all, name, sources)
            await hub.figures_when(has_all, f"all figures of {name}")

    perform(play)


def _has_all(name: str, sources: set[str], figures: dict[str, Any]) -> bool:
    return sources <= {*figures[name]}


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

    perform(play)


def test_what_nobody_wants_any_more_is_released_at_the_ingest(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        ingest, one, two = cluster.hubs[:3]
        await held(ingest, 0)
        (symbol,) = fresh()
        for edge in (one, two):
            client = await stack.enter_async_context(edge.client(snapshot=False))
            await client.subscribe(symbol)
        await held(ingest, 1)

    perform(play)
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

    perform(play)


def test_a_node_that_dies_costs_nobody_its_connection(cluster: Cluster) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(stack, cluster)
        for node in cluster.nodes:
            node.kill()
            await asyncio.sleep(1)
            await back(symbol, beacon, readers)
            node.start()
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.launch()
        await back(symbol, beacon, readers)
        await beacon.stop()

    perform(play)


@pytest.mark.parametrize(
    ("machine", "process"), [(0, "uplink"), (0, "router"), (1, "feed-nats"), (1, "router")]
)
def test_a_process_that_dies_costs_nobody_its_connection(
    cluster: Cluster, machine: int, process: str
) -> None:
    async def play(stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(stack, cluster)
        hub = cluster.hubs[machine]
        (calm,) = fresh()
        client = await stack.enter_async_context(cluster.hubs[1].client(snapshot=False))
        await client.subscribe(calm)
        reader = Reader(client)
        beacon.publisher.send(f"NSE_{calm}_LTP", {"n": 1})
        await until(lambda: reader.numbers(calm) == [1], "a value")
        victim = hub.kill(process)
        if machine == 1:  # of what nobody takes in at the ingest nobody knows
            beacon.publisher.send(f"NSE_{calm}_LTP", {"n": 2})
        await until(lambda: hub.is_back(process, victim), "it is back", BACK_S)
        await back(symbol, beacon, readers)
        if machine == 1:
            await until(lambda: reader.numbers(calm)[-1] == 2, "the current value", BACK_S)
        await beacon.stop()

    perform(play)


def test_an_invalidation_at_an_edge_reaches_all_machines_once(cluster: Cluster) -> None:
    async def count(hub: Hub, name: str) -> int:
        figures = await hub.figures_when(lambda f: name in f["router"], "the router's figures")
        return int(figures["router"][name])

    def counted(figures: dict[str, Any], told: int) -> bool:
        return bool(figures["router"]["invalidations"] == told)

    async def play(stack: AsyncExitStack) -> None:
        hubs = cluster.hubs[:3]
        publisher = Publisher(hubs[1].bus)
        stack.callback(publisher.close)
        ignored = await count(hubs[1], "ignored")
        while await count(hubs[1], "ignored") == ignored:
            publisher.send("X_margins", {})
            await asyncio.sleep(0.05)
        told = {"user_id": "anita", "cache_type": "ALL"}
        before = [await count(hub, "invalidations") for hub in hubs]
        for more in (1, 2):
            publisher.send("CACHE_INVALIDATE_ALL_anita", told)
            for hub, was in zip(hubs, before, strict=True):
                counts = partial(counted, told=was + more)
                await hub.figures_when(counts, "each is counted once")

    perform(play)
