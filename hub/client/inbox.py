"""Ticks that have come and that their reader has not taken yet. Pure.

1. Ticks are taken in the order in which they came, and none is left out while there is room.
2. Without room the newest tick of each topic is kept, and tells how many it stands for.

The client stops reading when there is no room; the second rule is for the moments in which it must
read on, because somebody waits for the reply to a request.
"""

from __future__ import annotations

from collections import deque

import msgspec

from hub.client.messages import Tick

_Topic = tuple[str, str, int]


class Inbox:
    """Up to `most` ticks, and beyond them one of each topic."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ticks: deque[Tick] = deque()
        self._late: dict[_Topic, Tick] = {}

    def __repr__(self) -> str:
        return f"<Inbox {len(self._ticks)} of {self._most} ticks, {len(self._late)} late>"

    def __len__(self) -> int:
        return len(self._ticks) + len(self._late)

    @property
    def full(self) -> bool:
        """Whether there is no room for another tick."""
        return len(self) >= self._most

    def put(self, tick: Tick) -> None:
        """Take a tick in."""
        if not self._late and len(self._ticks) < self._most:
            self._ticks.append(tick)
            return
        topic = (tick.exchange, tick.symbol, tick.mode)
        before = self._late.pop(topic, None)
        if before is not None:
            skipped = before.skipped + 1 + tick.skipped
            tick = msgspec.structs.replace(tick, skipped=skipped)
        self._late[topic] = tick

    def take(self) -> Tick:
        """The oldest tick; there must be one."""
        if not self._ticks:
            self._ticks.extend(self._late.values())
            self._late.clear()
        return self._ticks.popleft()

    def take_all(self) -> list[Tick]:
        """All of them."""
        found = [*self._ticks, *self._late.values()]
        self._ticks.clear()
        self._late.clear()
        return found
