"""A histogram of durations in logarithmic buckets, 1 % wide, that can be merged and sent on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

_SCALE = 1 / math.log(1.01)


class Histogram:
    """Durations in ns. Percentiles are right to within 1 %, count and maximum are exact."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, p50 {self.percentile_ns(50)} ns, max {self.max_ns} ns>"

    def add(self, duration_ns: int) -> None:
        """Count one duration; below 1 ns counts as 1 ns."""
        self.count += 1
        self.max_ns = max(self.max_ns, duration_ns)
        self._buckets[int(math.log(max(duration_ns, 1)) * _SCALE)] += 1

    def merge(self, other: Histogram) -> None:
        """Count all that another one has counted."""
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)
        self._buckets.update(other._buckets)

    def percentile_ns(self, percent: float) -> int:
        """The smallest duration that `percent` of all do not exceed; 0 when there are none."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                return min(self.max_ns, round(math.exp((bucket + 0.5) / _SCALE)))
        return 0

    def as_json(self) -> dict[str, object]:
        """What `from_json` reads."""
        return {
            "max_ns": self.max_ns,
            "buckets": {str(key): count for key, count in self._buckets.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Histogram:
        """A histogram that another process sent."""
        made = cls()
        buckets = value["buckets"]
        if isinstance(buckets, dict):
            made._buckets.update({int(key): int(count) for key, count in buckets.items()})
        made.count = made._buckets.total()
        made.max_ns = int(str(value["max_ns"]))
        return made
