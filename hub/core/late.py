"""Ticks for a reader that does not keep up: the newest of each topic. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from hub.core import hot
from hub.core.topics import SAMPLE

_MOST_BYTES = 1 << 20
"""About how much goes in one message."""


class Late:
    """At most one tick of each topic, in the order in which they came; each with the kind of
    message (core/stream) that it goes in. `size` is how many bytes they are."""

    __slots__ = ("_newest", "size")

    def __init__(self) -> None:
        self._newest: dict[bytes, tuple[bytes, bytes]] = {}
        self.size = 0

    def __repr__(self) -> str:
        return f"<Late {len(self)} topics>"

    def __len__(self) -> int:
        return len(self._newest)

    def take(self, kind: bytes, batches: Iterable[bytes]) -> int:
        """Ticks that find no room; how many older ones they replace."""
        newest, replaced = self._newest, 0
        for batch in batches:
            parts = iter(hot.unpack(batch))
            for topic, payload in zip(parts, parts, strict=True):
                replaced += self._drop(topic) and topic != SAMPLE
                newest[topic] = kind, payload
                self.size += len(topic) + len(payload)
        return replaced

    def select(self, kind: bytes, keep: Callable[[bytes], bool]) -> None:
        """Forget all other topics; those that are left go in a message of this kind."""
        for topic in list(self._newest):
            if keep(topic):
                self._newest[topic] = kind, self._newest[topic][1]
            else:
                self._drop(topic)

    def forget(self, topics: Iterable[bytes]) -> None:
        """Forget these topics."""
        for topic in topics:
            self._drop(topic)

    def shrink(self, most: int) -> None:
        """Forget the oldest topics beyond so many."""
        self.forget(list(islice(self._newest, max(0, len(self) - most))))

    def first(self, most: int) -> tuple[bytes, list[bytes]]:
        """Up to `most` ticks, and about a MiB, that may go in one message: its kind, and their
        pairs. They stay."""
        kind, pairs, size = b"", list[bytes](), 0
        for topic, (of, payload) in islice(self._newest.items(), most):
            if pairs and (of != kind or size > _MOST_BYTES):
                break
            kind = of
            pairs += (topic, payload)
            size += len(payload)
        return kind, pairs

    def sent(self, pairs: list[bytes]) -> None:
        """These ticks, as `first` gave them, have gone."""
        self.forget(pairs[::2])

    def _drop(self, topic: bytes) -> bool:
        """Forget a topic; whether it was there."""
        tick = self._newest.pop(topic, None)
        if tick is not None:
            self.size -= len(topic) + len(tick[1])
        return tick is not None
