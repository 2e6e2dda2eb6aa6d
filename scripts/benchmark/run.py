"""One load from start to end: first the hub under it, then the plain loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.benchmark import children, loads, usage
from scripts.benchmark.children import Child, Family
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.usage import Usage

_START_S = 40.0
_SUBSCRIBE_S = 60.0
_PROBE_S = 10.0
_TAIL_S = 30.0
_PEER_S = 5.0
_LIMITED = 90.0
_LATE_MS = 100.0
_NOISE = 30.0
_READERS = 2


class Result(NamedTuple):
    """What one server did with one load."""

    load: Load
    delivered: int  # frames, each client and tick counted once
    duplicates: int
    disordered: int
    latency: Histogram
    server: Usage
    readers: dict[str, float]  # CPU of clients and publisher, in % of one core
    received_bytes: int  # warm-up included
    notes: list[str]  # why this run does not count; empty when it does

    @property
    def ratio(self) -> float:
        """Delivered of what should have been."""
        return self.delivered / self.load.deliveries

    @property
    def others(self) -> float:
        """CPU of everything on this machine that is not the benchmark's, in % of one core."""
        return max(0.0, self.server.machine - self.server.total - sum(self.readers.values()))

    @property
    def counts(self) -> str:
        """`yes`; `no` when it was not the server that was measured; `noisy` when others were
        busy, so that delivery counts and time does not."""
        return "no" if self.notes else "noisy" if self.others > _NOISE else "yes"


class Pair(NamedTuple):
    """A load on the hub, and on the plain loop right after it."""

    hub: Result
    peer: Result | None

    @property
    def ratio(self) -> float:
        """The hub's CPU as a multiple of the plain loop's; 0 when that was not run."""
        return self.hub.server.total / self.peer.server.total if self.peer else 0.0


def seconds(load: Load, *, peer: bool) -> float:
    """About how long a load takes."""
    own = load.warm_s + load.seconds + 6
    return own + (load.warm_s + min(load.seconds, _PEER_S) + 2 if peer else 0)


def measure(
    load: Load, flags: Mapping[str, object], beat: Callable[[], None], *, peer: bool = True
) -> Pair:
    """Run a load. Raises HubError when something does not start or does not answer."""
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        log = Path(folder, "log")
        runtime_dir = Path(folder, "run")
        runtime_dir.mkdir(mode=0o700)
        with children.family(log, beat) as started:
            hub = _hub(started, load, {**flags, "hub.shards": load.shards}, runtime_dir)
        if not peer:
            return Pair(hub, None)
        short = msgspec.structs.replace(load, seconds=min(load.seconds, _PEER_S))
        with children.family(log, beat) as started:
            return Pair(hub, _peer(started, short))


def _hub(started: Family, load: Load, flags: Mapping[str, object], runtime_dir: Path) -> Result:
    arguments = msgspec.json.encode(flags).decode()
    server = started.start("server", str(runtime_dir), arguments)
    ready = server.wait("ready", _START_S)
    readers = _readers(started, load, ready["ws"], ready["key"])
    for reader in readers:
        reader.wait("subscribed", _SUBSCRIBE_S)
    address = f"tcp://127.0.0.1:{ready['bus']}"
    publisher = started.start("publisher", loads.encode(load), address)
    for reader in readers:
        reader.wait("probed", _PROBE_S)
    return _window(load, publisher, publisher, readers, ready["pids"])


def _peer(started: Family, load: Load) -> Result:
    server = started.start("peer", loads.encode(load))
    readers = _readers(started, load, server.wait("ready", _START_S)["port"], "")
    for reader in readers:
        reader.wait("subscribed", _SUBSCRIBE_S)
    return _window(load, server, None, readers, {"peer": server.pid})


def _readers(started: Family, load: Load, port: int, key: str) -> list[Child]:
    """The clients, spread over at most two processes."""
    count = min(_READERS, load.clients)
    shares = [load.clients // count + (index < load.clients % count) for index in range(count)]
    arguments = msgspec.json.encode([port, key]).decode()
    return [
        started.start(
            "clients", loads.encode(msgspec.structs.replace(load, clients=share)), arguments
        )
        for share in shares
    ]


def _window(
    load: Load,
    source: Child,
    publisher: Child | None,
    readers: Sequence[Child],
    pids: Mapping[str, int],
) -> Result:
    """Start the source and read all counters where the window begins and ends."""
    others = {f"clients {number}": child.pid for number, child in enumerate(readers, 1)}
    if publisher is not None:
        others["publisher"] = publisher.pid
    source.tell("start")
    source.wait("window", load.warm_s * 3 + 5)
    before, others_before = usage.read(pids), usage.read(others)
    done = source.wait("done", load.seconds * 3 + 5)
    after, others_after = usage.read(pids), usage.read(others)
    for reader in readers:
        reader.tell("finish")
    said = [reader.wait("result", _TAIL_S) for reader in readers]
    latency = Histogram()
    for one in said:
        latency.merge(Histogram.from_json(one["latency"]))
    server, around = usage.between(before, after), usage.between(others_before, others_after)
    closed = [text for one in said for text in one["closed"]]
    missing = [name for name in pids if name not in after.cpu_s]
    return Result(
        load,
        sum(sum(one["delivered"]) for one in said),
        sum(one["duplicates"] for one in said),
        sum(one["disordered"] for one in said),
        latency,
        server,
        around.cpu,
        sum(one["received_bytes"] for one in said),
        [
            *(f"{name} is gone" for name in missing),
            *(f"a client was {text}" for text in closed[:1]),
            *_limits(around.cpu, server.seconds / load.seconds, done["late_ms"]),
        ],
    )


def _limits(cpu: Mapping[str, float], stretch: float, late_ms: float) -> list[str]:
    """Where it was not the server that was measured."""
    notes = [
        f"{name} at {percent:.0f} %: the limit"
        for name, percent in cpu.items()
        if percent > _LIMITED
    ]
    if stretch > 1.01:
        notes.append(f"published {(stretch - 1) * 100:.0f} % too slowly")
    elif late_ms > _LATE_MS:
        notes.append(f"published up to {late_ms:.0f} ms late")
    return notes
