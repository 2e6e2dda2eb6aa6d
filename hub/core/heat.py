"""Which topics tick most, while somebody looks. Pure; `now_s` is an argument.

Counting costs a little for every tick, so it is only done while looks come, and ends with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST = 20
"""Topics that are told of."""

_PATIENCE_S = 5.0
_MOST_TOPICS = 200_000
"""More are not counted apart: a publisher may make up names."""


class Heat:
    """Ticks by topic since the last look; `on` while they are counted."""

    def __init__(self) -> None:
        self.on = False
        self._counts: Counter[bytes] = Counter()
        self._since_s = 0.0

    def __repr__(self) -> str:
        return f"<Heat {'on' if self.on else 'off'}, {len(self._counts)} topics>"

    def count(self, topics: Iterable[bytes]) -> None:
        """Ticks of these topics have come."""
        self._counts.update(topics)
        if len(self._counts) > _MOST_TOPICS:
            self._counts.clear()

    def take(self, now_s: float) -> tuple[Counter[bytes], float]:
        """The ticks by topic since the last look, and how many seconds that is. At the first there
        are none: from then on they are counted."""
        counts, elapsed_s = self._counts, now_s - self._since_s
        self.on, self._since_s, self._counts = True, now_s, Counter()
        return counts, elapsed_s

    def look(self, now_s: float) -> list[tuple[bytes, float]]:
        """The topics that ticked most since the last look, and how often a second."""
        counts, elapsed_s = self.take(now_s)
        if elapsed_s <= 0:
            return []
        return [(topic, count / elapsed_s) for topic, count in counts.most_common(MOST)]

    def tend(self, now_s: float) -> None:
        """Count no more when nobody has looked for a while."""
        if self.on and now_s - self._since_s > _PATIENCE_S:
            self.on = False
            self._counts.clear()
