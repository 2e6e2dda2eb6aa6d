"""What one client has received: each tick once, and the ticks of a topic in their order.

1. Tick `n` is of topic `n % topics`, and follows tick `n - topics` there.
2. A number that jumps ahead leaves those in between missing; one that comes later is an order
   violation, one that comes twice a duplicate. Neither is counted as delivered twice.
"""

from __future__ import annotations

from collections.abc import Sequence

_MOST_MISSING = 1_000_000


class Ledger:
    """Counts the ticks with numbers from `first` up to `last`, and checks all of them."""

    def __init__(self, topics: int, first: int, last: int) -> None:
        self._topics = topics
        self._first = first
        self._last = last
        self._newest = list(range(-topics, 0))  # of each topic: the number that came last
        self._missing: set[int] = set()
        self.delivered = 0
        self.early = 0  # of those before `first`: the warm-up's
        self.duplicates = 0
        self.disordered = 0

    def __repr__(self) -> str:
        return (
            f"<Ledger {self.delivered} of {self._last - self._first}, {self.duplicates} "
            f"duplicates, {self.disordered} out of order>"
        )

    @property
    def complete(self) -> bool:
        """Whether all that should come has come."""
        return self.delivered == self._last - self._first

    def take(self, numbers: Sequence[int]) -> None:
        """Ticks have come, in this order."""
        topics, start = self._topics, 0
        while start < len(numbers):  # a stretch that goes round the topics no more than once
            at = numbers[start] % topics
            part = numbers[start : start + topics - at]
            if not self._take_run(at, part):
                for number in part:
                    self._take_one(number)
            start += len(part)

    def _take_run(self, at: int, part: Sequence[int]) -> bool:
        """Take numbers that follow each other, each the next of its topic; False if they don't."""
        first, size = part[0], len(part)
        before = first - self._topics
        if part[-1] - first != size - 1 or list(part) != list(range(first, first + size)):
            return False
        if self._newest[at : at + size] != list(range(before, before + size)):
            return False
        self._newest[at : at + size] = part
        self.delivered += max(0, min(part[-1] + 1, self._last) - max(first, self._first))
        self.early += max(0, min(part[-1] + 1, self._first) - first)
        return True

    def _take_one(self, number: int) -> None:
        topic = number % self._topics
        newest = self._newest[topic]
        if number > newest:
            if len(self._missing) < _MOST_MISSING:
                self._missing.update(range(newest + self._topics, number, self._topics))
            self._newest[topic] = number
        elif number in self._missing:
            self._missing.discard(number)
            self.disordered += 1
        else:
            self.duplicates += 1
            return
        self.delivered += self._first <= number < self._last
        self.early += number < self._first
