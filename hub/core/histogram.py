"""Latencies in buckets that grow by a quarter of an octave, so that what two processes or two
seconds have counted can be added up, and taken from one another. Pure.

1. Bucket `n` holds latencies up to 2 ** (n / 4) us; the first holds 1 us and less, the last all
   that is longer than half a minute.
2. A histogram only grows: what came in between two moments is the later one less the earlier one.
3. A quantile is told as the upper bound of its bucket: at most 19 % too long, never too short.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from hub.core.errors import Malformed

_PER_OCTAVE = 4
BUCKETS = 25 * _PER_OCTAVE + 1
"""The last but one ends at 2 ** 25 us, which is 33.6 s."""


class Histogram:
    """How many latencies fell into each bucket, and their sum in us."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (BUCKETS + 1)
        self.sum_us = 0.0

    def __repr__(self) -> str:
        return f"<Histogram {self.count} latencies, median {self.quantile(0.5) or 0:.0f} us>"

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return sum(self.counts)

    def add(self, us: float) -> None:
        """A latency; what is below zero, as two clocks may differ, counts as none."""
        us = max(0.0, us)
        self.counts[_bucket(us)] += 1
        self.sum_us += us

    def merge(self, other: Histogram) -> None:
        """All that another has counted, too."""
        self.counts = [
            mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.sum_us += other.sum_us

    def since(self, earlier: Histogram) -> Histogram:
        """What came after `earlier`, which was this same histogram."""
        fresh = Histogram()
        pairs = zip(self.counts, earlier.counts, strict=True)
        fresh.counts = [max(0, now - then) for now, then in pairs]
        fresh.sum_us = max(0.0, self.sum_us - earlier.sum_us)
        return fresh

    def quantile(self, share: float) -> float | None:
        """The latency in us that this share of all does not exceed; None when there are none."""
        needed = share * self.count
        if not self.count:
            return None
        for bucket, so_far in enumerate(accumulate(self.counts)):
            if so_far >= needed and so_far:
                return bound_us(bucket)
        return bound_us(BUCKETS)  # never: the last sum is the count

    def up_to(self, octaves: Iterable[int]) -> list[int]:
        """How many latencies are at most 2 ** octave us, for each of these."""
        sums = [*accumulate(self.counts)]
        return [sums[octave * _PER_OCTAVE] for octave in octaves]

    def encode(self) -> list[float]:
        """It as a heartbeat carries it: the sum in us, then bucket and count of each that is not
        empty."""
        found: list[float] = [round(self.sum_us, 3)]
        for bucket, count in enumerate(self.counts):
            if count:
                found += (bucket, count)
        return found

    @classmethod
    def decode(cls, encoded: object) -> Histogram:
        """The reverse of `encode`. Raises Malformed."""
        found = cls()
        if not isinstance(encoded, Sequence) or len(encoded) % 2 != 1:
            raise Malformed("a histogram is a sum, then buckets and counts")
        try:
            found.sum_us = float(encoded[0])
            for bucket, count in zip(encoded[1::2], encoded[2::2], strict=True):
                found.counts[bucket] += max(0, int(count))
        except (IndexError, TypeError, ValueError) as error:
            raise Malformed(f"a histogram: {error}") from None
        return found


def bound_us(bucket: int) -> float:
    """The longest latency that falls into a bucket; of the last one the longest that did not."""
    return float(2 ** (min(bucket, BUCKETS - 1) / _PER_OCTAVE))


def _bucket(us: float) -> int:
    if us <= 1:
        return 0
    return min(BUCKETS, math.ceil(math.log2(us) * _PER_OCTAVE - 1e-9))
