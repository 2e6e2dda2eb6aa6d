"""Ticks for a reader that does not keep up: the newest of each topic. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from hub.core import hot

_MOST_BYTES = 1 << 20


class Late:
    """At most one tick of each topic, in the order in which they came; each with the kind of
    message (core/stream) that it goes in."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[bytes, tuple[bytes, bytes]] = {}

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
                replaced += newest.pop(topic, None) is not None
                newest[topic] = kind, payload
        return replaced

    def select(self, keep: Callable[[bytes], bool]) -> None:
        """Forget all other topics."""
        self._newest = {topic: tick for topic, tick in self._newest.items() if keep(topic)}

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
        for topic in pairs[::2]:
            del self._newest[topic]
