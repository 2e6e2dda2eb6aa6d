"""A histogram of durations with three significant digits, that can be merged and sent on.

Buckets are those of HdrHistogram: 2048 of 1 ns, and from there on 1024 for each doubling. The
package of that name takes half as long again for each value, which is too much for clients that
are to cost little, and wants setuptools where it runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

_BITS = 11  # 2^11 buckets for the first 2^11 ns: each is at most a 1024th of its value wide


class Histogram:
    """Durations in ns. Percentiles are right to within 0.1 %, count and maximum are exact."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets: Counter[int] = Counter()  # by the least duration in it

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, p50 {self.percentile_ns(50)} ns, max {self.max_ns} ns>"

    def add(self, duration_ns: int) -> None:
        """Count one duration; below 1 ns counts as 1 ns."""
        self.count += 1
        self.max_ns = max(self.max_ns, duration_ns)
        shift = duration_ns.bit_length() - _BITS
        if shift > 0:
            self._buckets[duration_ns >> shift << shift] += 1
        else:
            self._buckets[max(duration_ns, 1)] += 1

    def merge(self, other: Histogram) -> None:
        """Count all that another one has counted."""
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)
        self._buckets.update(other._buckets)

    def percentile_ns(self, percent: float) -> int:
        """The smallest duration that `percent` of all do not exceed; 0 when there are none."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for least, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                return min(self.max_ns, least + (1 << max(0, least.bit_length() - _BITS)) // 2)
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
