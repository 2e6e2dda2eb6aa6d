"""What the router says to who keeps keys, be it a shard or the uplink: where their ticks begin and
end, what it is asked about them, and what others knew."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hub.core import codec, stream
from hub.runtime.links import Parts
from shards.snapshots import Snapshots


def kinds(
    snapshots: Snapshots[Any],
    is_own: Callable[[bytes], bool],
    answer: Callable[[list[bytes]], None],
) -> dict[bytes, Callable[[Parts], None]]:
    """How each kind of these messages is taken. `is_own` tells whether a stay is that of this
    process; `answer` takes what is for the router's ingest, and must not be lost."""

    def opened(rest: Parts) -> None:
        told = codec.decode(rest[0])
        snapshots.opened(codec.keys(told), int(told["number"]), int(told["question"]))

    def query(rest: Parts) -> None:
        asked = codec.decode(rest[0])
        pairs = snapshots.query(asked["live"], asked["other"], time.monotonic())
        question, stay = int(asked["question"]), asked["stay"]
        if is_own(stay):
            snapshots.own([*asked["live"], *asked["other"]], question)
        else:
            answer([stream.VALUES, stay, b"%d" % question, codec.pack(pairs)])

    def values(rest: Parts) -> None:
        told = codec.decode(rest[1])
        snapshots.values(codec.unpack(rest[0]), codec.keys(told), int(told["question"]))

    return {
        stream.OPENED: opened,
        stream.CLOSED: lambda rest: snapshots.closed(_keys(rest[0])),
        stream.QUERY: query,
        stream.VALUES: values,
        stream.FORGET: lambda rest: snapshots.forget(_keys(rest[0])),
    }


def _keys(frame: bytes) -> list[bytes]:
    return codec.keys(codec.decode(frame))
