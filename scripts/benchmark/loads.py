"""What is measured: loads by name."""

from __future__ import annotations

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Clients that each hold all symbols in Quote mode, and ticks published round robin."""

    name: str
    clients: int
    symbols: int
    rate: int  # ticks per second, over all symbols
    seconds: float = 10.0  # how long the measured window is
    warm_s: float = 2.0  # what is published before it
    payload_bytes: int = 305
    shards: int = 4
    single: bool = False  # one tick at a time, evenly, instead of bursts of a millisecond

    @property
    def first(self) -> int:
        """The number of the first tick in the window; ticks are numbered from 0."""
        return round(self.rate * self.warm_s)

    @property
    def last(self) -> int:
        """One more than the number of the last tick."""
        return self.first + self.ticks

    @property
    def ticks(self) -> int:
        """How many ticks are published in the window."""
        return round(self.rate * self.seconds)

    @property
    def deliveries(self) -> int:
        """How many frames all clients together should get in the window."""
        return self.ticks * self.clients

    @property
    def every(self) -> int:
        """Latency is taken of every so many ticks: of all, unless there are very many. A prime,
        so that it falls on all places of a burst."""
        return 1 if self.clients * self.rate <= 60_000 else 17


LOADS = (
    Load(name="1x5000", clients=1, symbols=1000, rate=5000),
    Load(name="10x5000", clients=10, symbols=1000, rate=5000),
    Load(name="10x5000-single", clients=10, symbols=1000, rate=5000, single=True),
    Load(name="50x1000", clients=50, symbols=1000, rate=1000),
    Load(name="50x5000", clients=50, symbols=1000, rate=5000),
    Load(name="4x30000", clients=4, symbols=10_000, rate=30_000),
)
"""The default set: clients x ticks per second. 50x5000 may be more than a small machine can do."""


def encode(load: Load) -> str:
    """A load as one argument of a command line."""
    return msgspec.json.encode(load).decode()


def decode(text: str) -> Load:
    """What `encode` wrote."""
    return msgspec.json.decode(text, type=Load)
