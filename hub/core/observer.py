"""What of the ticks that come is looked at more closely: those whose way is timed, and, while
somebody looks, how often each topic ticks. Pure; times are arguments.

From `from_ns` on `observe` is to be called with what has come; before that there is nothing to do,
so that most ticks cost one comparison a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hub.core.heat import Heat
from hub.core.journey import Sampler


class Observer:
    """The router's."""

    def __init__(self, sample_ms: float) -> None:
        self._sampler = Sampler(sample_ms)
        self._heat = Heat()
        self.chosen = self._sampler.chosen
        self.from_ns = self._sampler.due_ns

    def __repr__(self) -> str:
        return f"<Observer {self._sampler!r} {self._heat!r}>"

    def observe(self, pairs: Sequence[bytes], now_ns: int) -> None:
        """Ticks `[topic, json, ...]` have come."""
        if now_ns >= self._sampler.due_ns:
            self._sampler.choose(pairs, now_ns)
        if self._sampler.tracing:
            self._sampler.look(pairs[::2], now_ns)
        if self._heat.on:
            self._heat.count(pairs[::2])

    def place(self, follow: Callable[[bytes, bytes], bool], now_ns: int) -> None:
        """Ticks are about to be written, and some were `chosen`: see `Sampler.place`."""
        self._sampler.place(follow, now_ns)
        self._aim()

    def trace(self, key: bytes, asker: str, until_ns: int) -> None:
        """Somebody wants to see the ticks of this key."""
        self._sampler.trace(key, asker, until_ns)
        self._aim()

    def look(self, now_s: float) -> list[tuple[bytes, float]]:
        """The topics that tick most, and how often a second: see `Heat.look`."""
        found = self._heat.look(now_s)
        self._aim()
        return found

    def tend(self, now_ns: int) -> None:
        """Once a second: who has seen enough."""
        self._sampler.tend(now_ns)
        self._heat.tend(now_ns / 1e9)
        self._aim()

    def figures(self) -> dict[str, list[float]]:
        """How long ticks took to be routed, for a heartbeat."""
        return {"routed": self._sampler.routed.encode()}

    def _aim(self) -> None:
        always = self._sampler.tracing or self._heat.on
        self.from_ns = 0 if always else self._sampler.due_ns
