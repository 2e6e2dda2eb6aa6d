"""Loads from start to end, on one contender after the other, in rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from scripts.benchmark import children, loads, usage
from scripts.benchmark.children import Child, Family
from scripts.benchmark.contenders import Contender, Stage
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result, limits
from scripts.benchmark.speech import Join

_SUBSCRIBE_S = 60.0
_PROBE_S = 10.0
_TAIL_S = 30.0
_AROUND_S = 5.0
_READERS = 2


def seconds(load: Load) -> float:
    """About how long one contender takes with a load."""
    return load.warm_s + load.seconds + _AROUND_S


def measure(load: Load, contender: Contender, beat: Callable[[], None]) -> Result:
    """Run a load. Raises HubError when something does not start or does not answer."""
    with (
        tempfile.TemporaryDirectory(prefix="hub-bench-") as folder,
        children.family(Path(folder, "log"), beat) as started,
    ):
        stage = contender.start(started, load, Path(folder))
        readers = _readers(started, load, stage.join)
        for reader in readers:
            reader.wait("subscribed", _SUBSCRIBE_S)
        around = {f"clients {number}": child.pid for number, child in enumerate(readers, 1)}
        if contender.disturbers:
            around["disturbers"] = _disturb(started, load, stage.join, contender.disturbers)
        return _window(load, stage, _source(started, load, stage), readers, around)


def _readers(started: Family, load: Load, join: Join) -> list[Child]:
    """The clients, spread over at most two processes."""
    count = min(_READERS, load.clients)
    shares = [load.clients // count + (index < load.clients % count) for index in range(count)]
    argument = msgspec.json.encode(join).decode()
    return [
        started.start(
            "clients", loads.encode(msgspec.structs.replace(load, clients=share)), argument
        )
        for share in shares
    ]


def _disturb(started: Family, load: Load, join: Join, count: int) -> int:
    """Have so many clients that read nothing on the server, and so many slow ones; their pid."""
    few = msgspec.structs.replace(load, clients=count)
    child = started.start("disturbers", loads.encode(few), msgspec.json.encode(join).decode())
    child.wait("subscribed", _SUBSCRIBE_S)
    return child.pid


def _source(started: Family, load: Load, stage: Stage) -> Child:
    """Whoever sends the ticks: a publisher, or the server itself."""
    if not stage.join.probed:
        return stage.child
    return started.start("publisher", loads.encode(load), *stage.outlet)


def _window(
    load: Load, stage: Stage, source: Child, readers: Sequence[Child], others: dict[str, int]
) -> Result:
    """Start the source and read all counters where the window begins and ends."""
    if stage.join.probed:
        others["publisher"] = source.pid
        for reader in readers:
            reader.wait("probed", _PROBE_S)
    source.tell("start")
    source.wait("window", load.warm_s * 3 + 5)
    before, others_before = usage.read(stage.pids), usage.read(others)
    done = source.wait("done", load.seconds * 3 + 5)
    after, others_after = usage.read(stage.pids), usage.read(others)
    for reader in readers:
        reader.tell("finish")
    said = [reader.wait("result", _TAIL_S) for reader in readers]
    server, around = usage.between(before, after), usage.between(others_before, others_after)
    closed = [text for one in said for text in one["closed"]]
    missing = [name for name in stage.pids if name not in after.cpu_s]
    return Result(
        load,
        delivered=sum(one["delivered"] for one in said),
        early=sum(one["early"] for one in said),
        duplicates=sum(one["duplicates"] for one in said),
        disordered=sum(one["disordered"] for one in said),
        latency=_merged(said, "latency"),
        warm_up=_merged(said, "warm_up"),
        server=server,
        readers=around.cpu,
        received_bytes=sum(one["received_bytes"] for one in said),
        notes=[
            *(f"{name} is gone" for name in missing),
            *(f"a client was {text}" for text in closed[:1]),
            *limits(around.cpu, server.seconds / load.seconds, done["late_ms"]),
        ],
    )


def _merged(said: Sequence[Mapping[str, Mapping[str, object]]], name: str) -> Histogram:
    merged = Histogram()
    for one in said:
        merged.merge(Histogram.from_json(one[name]))
    return merged
