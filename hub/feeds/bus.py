"""The bus as a feed: whoever publishes on it, publishes what he likes.

There is nobody to ask, so every subscribe succeeds and the ticks come by the router's own SUB
socket, not through here. It exists so that users of the bus are served like those of any feed.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.core.model import Result, Want
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink


class BusFeed:
    """Answers for publishers that cannot be asked."""

    name = "bus"
    serves = Serves()
    limits = Limits(depth_levels=())

    def __init__(self) -> None:
        self._wanted: set[bytes] = set()
        self._sink: Sink | None = None

    def __repr__(self) -> str:
        return f"<BusFeed {len(self._wanted)} keys>"

    async def start(self, sink: Sink) -> None:
        """There is nothing to connect to."""
        self._sink = sink

    def apply(self, wants: Sequence[Want]) -> None:
        """Everything can be had, for all we know."""
        for want in wants:
            if want.modes:
                self._wanted.add(want.key)
            else:
                self._wanted.discard(want.key)
        if self._sink is not None:
            self._sink.answer([Result(want.key, want.modes) for want in wants if want.modes])

    def health(self) -> FeedHealth:
        """The bus is always there; its ticks are counted by the router."""
        return FeedHealth(FeedState.CONNECTED, len(self._wanted), 0)

    async def stop(self) -> None:
        """There is nothing to leave."""
