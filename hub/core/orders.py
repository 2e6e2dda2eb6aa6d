"""Order updates on the router: who is sent each, and the first seconds of its life. Pure.

1. An update goes to every shard with a leg for its user, in order.
2. A router that has just begun knows of no legs. For the first seconds it keeps updates, and a
   shard that repeats its interest is sent what it has missed of it, once.
3. Every update that no shard was sent is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from hub.core.liveness import Awake

KEPT_S = 5.0
"""How long a router that has just begun keeps order updates."""

MOST_KEPT = 10_000


@dataclass(slots=True)
class _Kept:
    key: bytes
    payload: bytes
    takers: set[int] = field(default_factory=set)


class Orders:
    """Decides who is sent an order update; `now_s` is monotonic."""

    def __init__(self, now_s: float, kept_s: float = KEPT_S, most: int = MOST_KEPT) -> None:
        self._clock = Awake()
        self._clock.look(now_s)
        self._kept_s = kept_s
        self._most = most
        self._kept: deque[_Kept] = deque()
        self._keeping = True
        self.unclaimed = 0

    def __repr__(self) -> str:
        return f"<Orders {len(self._kept)} kept, {self.unclaimed} unclaimed>"

    def offer(self, key: bytes, payload: bytes, legs: Collection[int], now_s: float) -> None:
        """Note an update that `legs` are being sent."""
        self.tend(now_s)
        if self._keeping:
            if len(self._kept) >= self._most:
                self._let_go()
            self._kept.append(_Kept(key, payload, set(legs)))
        elif not legs:
            self.unclaimed += 1

    def missed(self, shard: int, keys: Iterable[bytes]) -> list[bytes]:
        """A shard repeats that it wants these keys: `[key, json, ...]` of what it has missed."""
        wanted = set(keys)
        pairs: list[bytes] = []
        for kept in self._kept:
            if kept.key in wanted and shard not in kept.takers:
                kept.takers.add(shard)
                pairs += (kept.key, kept.payload)
        return pairs

    def tend(self, now_s: float) -> None:
        """End the keeping when its time is over; only time in which the router ran counts."""
        if self._clock.look(now_s) > self._kept_s:
            self._keeping = False
            while self._kept:
                self._let_go()

    def _let_go(self) -> None:
        self.unclaimed += not self._kept.popleft().takers
