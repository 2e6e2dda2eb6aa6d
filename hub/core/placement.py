"""Where things live: the home shard of a key, and which shard takes the next client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from hub.core import topics


def home(key: bytes, shards: int) -> int:
    """The shard that keeps the last values of a key nobody wants: `crc32(key) % shards`. Scopes do
    not count: all origins of an instrument are at home in one place."""
    return crc32(topics.plain(key)) % shards


class Packing(NamedTuple):
    """How full a shard is made before the next one gets any. The share that it uses now says
    nothing of clients whose symbols do not tick yet, so there is a bound of clients as well."""

    share: float  # of a core
    clients: int


def taker(
    loads: Sequence[int | None], shares: Sequence[float], me: int, packing: Packing | None = None
) -> int:
    """The shard that should take a connection that `me` accepted.

    `loads` holds the clients of each shard, None for one that takes none; `shares` what each
    uses, of a core. Without packing, or when no shard has room, it is the least loaded.
    """
    packed = None if packing is None else fullest(loads, shares, packing)
    return least_loaded(loads, me) if packed is None else packed


def fullest(loads: Sequence[int | None], shares: Sequence[float], packing: Packing) -> int | None:
    """The shard with the most clients of those that have room, the lowest-numbered of several;
    None when none has room."""
    best, most = None, -1
    for shard, (load, share) in enumerate(zip(loads, shares, strict=True)):
        if load is None or load >= packing.clients or share >= packing.share:
            continue
        if load > most:
            best, most = shard, load
    return best


def least_loaded(loads: Sequence[int | None], me: int) -> int:
    """The shard with the fewest clients, `me` when nobody has fewer; otherwise the lowest-numbered
    of the least loaded."""
    best = me
    least = loads[me]
    for shard, load in enumerate(loads):
        if load is not None and (least is None or load < least):
            best, least = shard, load
    return best
