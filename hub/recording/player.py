"""Plays a recording: rows when they are due, in batches when many are.

A player that cannot keep up is late; it leaves nothing out. Payloads stay as they were recorded,
timestamps too.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hub.core.errors import Malformed
from hub.recording import read
from hub.recording.pace import Pace, Timeline
from hub.recording.rows import Row

BATCH = 500
"""Rows in one call; then others have their turn."""

_EARLY_S = 0.0005
_LATE_S = 1.0

Publish = Callable[[Sequence[Row]], Awaitable[None]]


class Player:
    """One file at a pace. `late_s` is how much behind it is, `played` how many rows of it were
    published in this round."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self._path = path
        self._pace = pace
        self.late_s = 0.0
        self.played = 0

    def __repr__(self) -> str:
        return f"<Player {self._path.name}, {self.played} played>"

    @property
    def problem(self) -> str:
        """A sentence when it does not keep up."""
        if self.late_s < _LATE_S:
            return ""
        return f"cannot keep up: {self.late_s:.0f} s behind at {self._pace.speed:g} times the speed"

    async def play(self, publish: Publish) -> None:
        """Publish all rows, or with `loop` for ever. Raises Malformed."""
        while True:
            await self._once(publish)
            if not self.played:
                since = self._pace.begin.isoformat() if self._pace.begin else "the beginning"
                raise Malformed(f"{self._path} has no ticks from {since} on")
            if not self._pace.loop:
                return

    async def _once(self, publish: Publish) -> None:
        self.played = 0
        timeline, loop = Timeline(self._pace), asyncio.get_running_loop()
        first_ns, begin_s = -1, loop.time()
        chunks = read.chunks(self._path)
        ahead = asyncio.create_task(asyncio.to_thread(next, chunks, None))
        try:
            while chunk := await asyncio.shield(ahead):  # its thread goes on, whoever cancels this
                ahead = asyncio.create_task(asyncio.to_thread(next, chunks, None))
                if first_ns < 0:
                    first_ns = self._pace.first_ns(chunk[0])
                rows: Sequence[Row] = chunk
                if not self.played:
                    rows, begin_s = _since(chunk, first_ns), loop.time()
                await self._play(rows, timeline.due(rows), begin_s, publish)
        finally:
            await asyncio.gather(ahead, return_exceptions=True)
            chunks.close()

    async def _play(
        self, rows: Sequence[Row], due: Sequence[float], begin_s: float, publish: Publish
    ) -> None:
        """Publish rows, each when it is due: s since `begin_s` of the loop's clock."""
        loop, at = asyncio.get_running_loop(), 0
        while at < len(rows):
            now_s = loop.time() - begin_s
            self.late_s = max(0.0, now_s - due[at])
            await asyncio.sleep(max(0.0, due[at] - now_s))
            now_s = loop.time() - begin_s + _EARLY_S
            end = max(at + 1, bisect_right(due, now_s, at, min(len(rows), at + BATCH)))
            await publish(rows[at:end])
            self.played += end - at
            at = end


def _since(rows: Sequence[Row], first_ns: int) -> Sequence[Row]:
    """Rows from the first one on that is not earlier."""
    for at, row in enumerate(rows):
        if row.time_ns >= first_ns:
            return rows[at:]
    return []
