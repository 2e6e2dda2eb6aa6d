"""A client at an edge, and what it notices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from hub.client import State, connect

_SECOND = 1.0


class Watch:
    """Counts ticks and the longest time without one; `lost` is how often it was disconnected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost = 0
        self.ticks = 0
        self.price = 0.0
        self._last_s = time.monotonic()
        self._longest_s = 0.0
        self._recent: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<Watch {self.name}, {self.ticks} ticks, lost {self.lost} times>"

    async def run(self, url: str, key: str, symbols: Sequence[str]) -> None:
        """Read until cancelled."""
        async with connect(url, key, on_state=self._state, wait=True) as client:
            await client.subscribe(symbols, "ltp")
            async for tick in client:
                self._take(tick.data["ltp"] if tick.name == symbols[0] else self.price)

    def begin(self) -> None:
        """Forget how long it has been without a tick: something is about to happen."""
        self._longest_s = 0.0

    @property
    def gap_s(self) -> float:
        """The longest time without a tick since it began, up to now."""
        return max(self._longest_s, time.monotonic() - self._last_s)

    @property
    def rate(self) -> int:
        """Ticks in the last second."""
        now_s = time.monotonic()
        while self._recent and now_s - self._recent[0] > _SECOND:
            self._recent.popleft()
        return len(self._recent)

    def _take(self, price: float) -> None:
        now_s = time.monotonic()
        self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s
        self._recent.append(now_s)
        self.ticks += 1
        self.price = price

    def _state(self, state: State) -> None:
        self.lost += not state.connected
