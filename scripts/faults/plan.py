"""Which faults are done, in which order: the same seed gives the same. Pure.

1. Each deck is dealt out whole before it is shuffled again, so that a short run has every kind.
2. Two lanes run side by side: processes, one fault after the other; and clients and publishers.
3. A pause goes before each, drawn as well, so that faults come at random times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Fault(NamedTuple):
    """One fault: what is done to whom, how long it lasts, and how long to wait before it."""

    kind: str
    target: str
    seconds: float
    pause_s: float
    draw: int  # whatever else is drawn for it comes from here

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {self.target}{lasts}"


_PROCESSES = (
    ("kill", "shard"),
    ("kill", "router"),
    ("kill", "feed"),
    ("kill", "monitor"),
    ("stop", "shard"),
    ("stop", "router"),
    ("stop", "feed"),
    ("stop", "monitor"),
    ("terminate", "shard"),
)
_CLIENTS = (
    ("freeze", "client"),
    ("freeze", "client"),
    ("slow", "client"),
    ("reset", "client"),
    ("slice", "client"),
    ("delay", "client"),
    ("mute", "client"),
    ("storm", "clients"),
    ("vandal", "garbage"),
    ("vandal", "malformed"),
    ("vandal", "oversized"),
    ("vandal", "cuts"),
)
_SECONDS = {
    "stop": (1.0, 8.0),
    "freeze": (3.0, 15.0),
    "slow": (3.0, 12.0),
    "slice": (1.0, 4.0),
    "delay": (1.0, 4.0),
    "mute": (1.0, 4.0),
}


def processes(seed: int, shards: int, feeds: Sequence[str]) -> Iterator[Fault]:
    """Faults of the hub's processes, without end."""
    rng = random.Random(f"{seed} processes")
    while True:
        for kind, role in rng.sample(_PROCESSES, len(_PROCESSES)):
            target = {
                "shard": f"shard-{rng.randrange(shards)}",
                "feed": f"feed-{rng.choice(list(feeds))}",
            }.get(role, role)
            yield _fault(rng, kind, target, 0.5, 3.0)


def clients(seed: int, proxied: int) -> Iterator[Fault]:
    """Faults of clients, their lines, and publishers, without end; clients by number."""
    rng = random.Random(f"{seed} clients")
    while True:
        for kind, what in rng.sample(_CLIENTS, len(_CLIENTS)):
            target = f"client {rng.randrange(proxied)}" if what == "client" else what
            yield _fault(rng, kind, target, 0.3, 2.5)


def _fault(rng: random.Random, kind: str, target: str, least_s: float, most_s: float) -> Fault:
    low, high = _SECONDS.get(kind, (0.0, 0.0))
    pause_s = rng.uniform(least_s, most_s)
    return Fault(kind, target, rng.uniform(low, high), pause_s, rng.randrange(2**32))
