"""Several machines for tests: nodes of NATS, one that has the feeds, two that serve clients.

Ticks are numbered, so that what is lost, doubled or out of order shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests import natsserver
from tests.integration.harness import Client, Hub, Publisher, fresh, until
from tests.integration.scenes import Beacon, Reader
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
        roles = {"hub.feeds": ["nats"], "hub.shards": 2, "upstream.linger_s": 0.3}
        return self._hub(self.flags(first, name=name) | roles | flags)

    def follow(self) -> None:
        """Wait until all follow the account events: a new stream of three takes seconds."""
        for hub in self.hubs:
            asyncio.run(hub.figures_when(_follows, "account events are followed"))

    def _hub(self, flags: dict[str, Any]) -> Hub:
        hub = Hub(flags | {"hub.runtime_dir": ""})
        hub.flags["hub.runtime_dir"] = str(hub.runtime_dir)
        self.hubs.append(hub)
        return hub.start()


def _follows(figures: dict[str, Any]) -> bool:
    name = "uplink" if "uplink" in figures else "feed-nats"
    return bool(figures[name]["events"]["follows"])


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


def perform(play: Callable[[AsyncExitStack], Any]) -> None:
    """Run a test whose clients are all closed in the end."""

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


async def audience(stack: AsyncExitStack, cluster: Cluster) -> tuple[str, Beacon, list[Reader]]:
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


async def back(symbol: str, beacon: Beacon, readers: list[Reader]) -> None:
    """Wait until what is published now comes, at each reader that was never closed; in order."""
    now = beacon.sent
    await until(
        lambda: all(reader.numbers(symbol)[-1] > now for reader in readers), "ticks", BACK_S
    )
    assert not any(reader.closed for reader in readers)
    for reader in readers:
        got = reader.numbers(symbol)
        assert got == sorted(set(got)), "in order, and each once"
