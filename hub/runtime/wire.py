"""The sockets that ticks pass through, by libzmq or without it: `flow.wire` says which.

Both speak ZMQ's protocol, so either end may be of the other kind, or a program of somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hub.core.names import INGEST, pipe_name
from hub.core.settings import Settings
from hub.runtime import inbox, links, native
from hub.runtime.pipe import Outlet, Pipe
from hub.runtime.pump import Inlet

_CUT_OFF = 4
"""A message so many times larger than the largest one accepted is not even received: its publisher
is cut off, and connects again."""

_LARGEST_BATCH_BYTES = 1 << 30
_INGEST_QUEUE = 1000
_PIPE_BYTES = 64 << 20
"""What may wait for one shard, in bytes; by libzmq it is bounded in messages alone."""


def bus(settings: Settings, take: Callable[[links.Parts, int], None]) -> Inlet:
    """The bus: `take` gets pairs of topic and JSON, and how many messages were none. Raises
    StartError when its address is not to be had."""
    of = settings.bus
    if settings.flow.wire == "native":
        return inbox.Bus(
            of.host,
            of.port,
            queue=of.queue,
            largest_bytes=of.max_message_bytes,
            most_bytes=_CUT_OFF * of.max_message_bytes,
            take=take,
        )
    sub = links.bind(
        links.SUB,
        f"tcp://{of.host}:{of.port}",
        queue=of.queue,
        what="the bus",
        most_bytes=_CUT_OFF * of.max_message_bytes,
    )
    return links.Pairs(sub, of.max_message_bytes, take)


def ingest(settings: Settings, runtime_dir: Path, take: Callable[[links.Parts], int]) -> Inlet:
    """Where feed hosts, and shards with answers, push: `take` gets each message's parts, and says
    as how many it counts, a batch as its ticks. Raises StartError."""
    if settings.flow.wire == "native":
        return inbox.Gather(
            runtime_dir / INGEST, queue=_INGEST_QUEUE, most_bytes=_LARGEST_BATCH_BYTES, take=take
        )
    address = links.ipc(runtime_dir, INGEST)
    pull = links.bind(links.PULL, address, queue=_INGEST_QUEUE, what="the router")
    return links.Messages(pull, take)


def to_router(runtime_dir: Path, queue: int) -> Pipe:
    """A way to the router's ingest; libzmq's, whatever the router reads it with."""
    return Pipe(links.Push(links.connect(links.PUSH, links.ipc(runtime_dir, INGEST), queue=queue)))


def to_shard(settings: Settings, runtime_dir: Path, shard: int) -> Outlet:
    """The router's end of a shard's stream. Raises StartError."""
    queue = settings.flow.pipe
    if settings.flow.wire == "native":
        return native.Push(runtime_dir / pipe_name(shard), queue=queue, most_bytes=_PIPE_BYTES)
    address = links.ipc(runtime_dir, pipe_name(shard))
    return links.Push(links.bind(links.PUSH, address, queue=queue, what="the router"))


def from_router(
    settings: Settings, runtime_dir: Path, shard: int, take: Callable[[links.Parts], None]
) -> Inlet:
    """A shard's end of its stream: `take` gets each message's parts."""
    if settings.flow.wire == "native":
        path = runtime_dir / pipe_name(shard)
        return native.Pull(path, take, most_bytes=_LARGEST_BATCH_BYTES)
    address = links.ipc(runtime_dir, pipe_name(shard))
    return links.Messages(links.connect(links.PULL, address, queue=settings.flow.pipe), take)
