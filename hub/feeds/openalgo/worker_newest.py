"""What waits while there is no room: of ticks the newest of each topic, of order updates all.

1. A newer tick takes the place of the one before it, at the end: what is sent last is newest.
2. Order updates have one topic for all of a broker's, so none takes the place of another. Beyond
   their bound the oldest go.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, islice

Pair = tuple[bytes, bytes]
"""A topic and its JSON."""

MOST_ORDERS = 10_000
ORDERS = b"_orders"
"""What the topic of an order update ends with."""


class Newest:
    """Ticks and order updates that wait. Not for several threads at a time."""

    def __init__(self) -> None:
        self._ticks: dict[bytes, bytes] = {}
        self._orders: deque[Pair] = deque(maxlen=MOST_ORDERS)

    def __repr__(self) -> str:
        return f"<Newest of {len(self._ticks)} topics, {len(self._orders)} order updates>"

    def __len__(self) -> int:
        return len(self._ticks) + len(self._orders)

    def put(self, topic: bytes, text: bytes) -> str:
        """Keep this one. What that cost: a tick that was `conflated`, an order update that was
        `dropped`, or nothing."""
        if topic.endswith(ORDERS):
            full = len(self._orders) == MOST_ORDERS
            self._orders.append((topic, text))
            return "dropped" if full else ""
        known = self._ticks.pop(topic, None) is not None
        self._ticks[topic] = text
        return "conflated" if known else ""

    def first(self, count: int) -> list[Pair]:
        """Up to so many of those that are to be sent first."""
        return list(islice(chain(self._orders, self._ticks.items()), count))

    def sent(self, pairs: list[Pair]) -> None:
        """The first ones, just these, have been sent."""
        for topic, _ in pairs:
            if topic.endswith(ORDERS):
                self._orders.popleft()
            else:
                del self._ticks[topic]
