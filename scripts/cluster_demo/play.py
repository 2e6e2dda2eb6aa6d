"""What the demo does: everything up, then one fault after another, each until ticks flow again."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from hub.auth.keystore import KeyStore
from hub.core.errors import StartError
from hub.core.settings import Sim
from hub.feeds.sim import SimFeed
from hub.runtime.control import ask
from scripts.benchmark.keeper import free_ports
from scripts.cluster_demo.machines import Machine, Node, nodes
from scripts.cluster_demo.watch import Watch

SYMBOLS = 20
_RATE = 5.0
_FLOWS_S = 45.0
_STEADY_S = 1.0
_DOWN_S = 2.0
"""How long what was killed stays down, where nobody starts it again by itself."""


class Result(NamedTuple):
    """A fault, and the longest time without a tick at each edge, in seconds."""

    fault: str
    gaps_s: dict[str, float]
    lost: int


class Cluster(NamedTuple):
    """Everything that runs."""

    folder: Path
    nodes: Sequence[Node]
    ingest: Machine
    edges: Sequence[Machine]
    watches: Sequence[Watch]


def instruments() -> list[str]:
    """What the clients hold, as `NSE:RELIANCE`."""
    sim = Sim()
    listings = SimFeed(sim.symbols, _RATE, sim.seed).listings[:SYMBOLS]
    return [":".join(listing.instrument) for listing in listings]


@asynccontextmanager
async def cluster(program: Path, tell: Callable[[str], None]) -> AsyncIterator[Cluster]:
    """Three nodes, an ingest and two edges, each watched by a client. Raises StartError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-cluster-")))
        ports = free_ports(6 + 3 + 2)
        nats = nodes(program, folder, ports[:6])
        key = KeyStore(folder / "keys.json").add("demo", "demo", "sim", now=time.time())
        usual = {"nats.servers": ",".join(f"nats://127.0.0.1:{port}" for port in ports[0:6:2])}
        ingest = Machine(
            "ingest",
            folder,
            usual
            | {
                "bus.port": str(ports[6]),
                "hub.feeds": "sim",
                "hub.shards": "0",
                "nats.publish": "true",
                "sim.rate": str(_RATE),
            },
        )
        edges = [
            Machine(
                f"edge-{number}",
                folder,
                usual
                | {
                    "bus.port": str(ports[6 + number]),
                    "hub.feeds": "nats",
                    "hub.shards": "2",
                    "keys.file": str(folder / "keys.json"),
                    "websocket.port": str(ports[8 + number]),
                },
            )
            for number in (1, 2)
        ]
        tell("three NATS nodes, an ingest, two edges: starting")
        for process in (*nats, ingest, *edges):
            stack.callback(process.stop)
            process.start()
        for machine in (ingest, *edges):
            await machine.ready()
            tell(f"{machine.name} is ready")
        watches = [Watch(edge.name) for edge in edges]
        for number, watch in enumerate(watches, 1):
            url = f"ws://127.0.0.1:{ports[8 + number]}"
            task = asyncio.create_task(watch.run(url, key, instruments()))
            stack.push_async_callback(_end, task)
        made = Cluster(folder, nats, ingest, edges, watches)
        if not await _flows(made):
            raise StartError(f"no ticks came within {_FLOWS_S:g} s")
        yield made


def faults(made: Cluster) -> dict[str, Callable[[], Awaitable[None]]]:
    """What can happen, by name; each has everything running again, or about to, in the end."""

    async def node() -> None:
        told = await ask(made.ingest.runtime_dir, "uplink", {"t": "cluster"})
        address = told["cluster"]["nats"]["server"]
        one = next(one for one in made.nodes if address.endswith(f":{one.port}"))
        one.kill()
        await asyncio.sleep(_DOWN_S)
        one.start()

    async def all_nodes() -> None:
        for one in made.nodes:
            one.kill()
        await asyncio.sleep(_DOWN_S)
        for one in made.nodes:
            one.start()

    async def uplink() -> None:
        os.kill((await made.ingest.row("uplink"))["pid"], signal.SIGKILL)

    async def feed() -> None:
        os.kill((await made.edges[0].row("feed-nats"))["pid"], signal.SIGKILL)

    async def ingest() -> None:
        made.ingest.kill()
        await asyncio.sleep(_DOWN_S)
        made.ingest.start()

    return {
        "the ingest's NATS node is killed": node,
        "the ingest's uplink is killed": uplink,
        "the first edge's feed-nats is killed": feed,
        "the ingest machine is killed": ingest,
        "all three NATS nodes are killed": all_nodes,
    }


async def suffer(made: Cluster, fault: str, deed: Callable[[], Awaitable[None]]) -> Result:
    """Do it, and wait until ticks flow as before. Raises StartError when they do not."""
    lost = sum(watch.lost for watch in made.watches)
    for watch in made.watches:
        watch.begin()
    await deed()
    if not await _flows(made):
        raise StartError(f"{fault}: no ticks within {_FLOWS_S:g} s")
    gaps = {watch.name: round(watch.gap_s, 2) for watch in made.watches}
    return Result(fault, gaps, sum(watch.lost for watch in made.watches) - lost)


async def _flows(made: Cluster) -> bool:
    """Wait until all watches have been sent ticks for a while, at a full rate."""
    until_s, since_s = time.monotonic() + _FLOWS_S, time.monotonic()
    enough = SYMBOLS * _RATE * 0.7
    while time.monotonic() < until_s:
        if min(watch.rate for watch in made.watches) < enough:
            since_s = time.monotonic()
        elif time.monotonic() - since_s > _STEADY_S:
            return True
        await asyncio.sleep(0.05)
    return False


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
