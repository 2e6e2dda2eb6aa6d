"""The ticks whose way is timed, as they pass through a shard: see core/journey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.core import journey, topics
from hub.core.codec import Message
from hub.core.errors import Malformed
from hub.core.journey import Journey, Latency


class Journeys:
    """Samples that came, until what came with them is written."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._waiting: list[Journey] = []
        self._latency = Latency()

    def __repr__(self) -> str:
        return f"<Journeys {len(self._waiting)} under way, {self._latency!r}>"

    def framed(self, pairs: Sequence[bytes], taken_ns: int, framed_ns: int, epoch_ns: int) -> None:
        """The frames of these ticks are made, and samples are among them. Raises Malformed."""
        found = [place for place in range(0, len(pairs), 2) if pairs[place] == topics.SAMPLE]
        if not found:
            raise Malformed("a sample without a payload")
        for place in found:
            self._waiting.append(
                journey.journey(
                    pairs, place, taken_ns=taken_ns, framed_ns=framed_ns, epoch_ns=epoch_ns
                )
            )

    def written(self, now_ns: int) -> list[Message]:
        """What came is written: count how long it took, and tell those who asked."""
        waiting, self._waiting = self._waiting, []
        told: list[Message] = []
        for one in waiting:
            took_us = one.hops(now_ns)
            if one.asker:
                told.append(self._traced(one, took_us))
            else:
                self._latency.add(took_us)
        return told

    def figures(self) -> dict[str, list[float]]:
        """How long it took so far, for a heartbeat."""
        return self._latency.figures()

    def _traced(self, one: Journey, took_us: dict[str, float]) -> dict[str, Any]:
        return {
            "t": "traced",
            "to": one.asker,
            "shard": self._shard,
            "topic": topics.plain(one.topic),
            "received_ns": one.received_ns,
            "took_us": took_us,
        }
