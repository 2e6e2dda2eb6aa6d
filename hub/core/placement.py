"""Where things live: the home shard of a key, and which shard takes the next client."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from hub.core import topics


def home(key: bytes, shards: int) -> int:
    """The shard that keeps the last value of a key: `crc32(key) % shards`. Scopes do not count:
    all origins of an instrument are at home in one place."""
    return crc32(topics.plain(key)) % shards


def least_loaded(loads: Sequence[int | None], me: int) -> int:
    """The shard that should take a connection that `me` accepted.

    `loads` holds the clients of each shard, None for one that takes none. `me` keeps it when
    nobody has fewer; otherwise the lowest-numbered of the least loaded gets it.
    """
    best = me
    least = loads[me]
    for shard, load in enumerate(loads):
        if load is not None and (least is None or load < least):
            best, least = shard, load
    return best
