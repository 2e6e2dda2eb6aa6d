"""Even pacing: which ticks are due, a millisecond at a time or one by one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

from scripts.benchmark.loads import Load

_STEP_S = 0.001
_LONGEST_BURST_S = 0.005
_SPIN_NS = 15_000
_PR_SET_TIMERSLACK = 29


class Pace:
    """Says which numbers are due by a clock in ns; `late_ns` is the longest it was ever behind."""

    def __init__(
        self, load: Load, clock_ns: Callable[[], int], sleep: Callable[[float], None]
    ) -> None:
        self._load = load
        self._clock_ns = clock_ns
        self._sleep = sleep
        self.late_ns = 0

    def bursts(self) -> Iterator[range]:
        """Ranges of ticks, each when it is due; one begins exactly where the window does."""
        return self._singles() if self._load.single else self._bursts()

    def _bursts(self) -> Iterator[range]:
        """Bursts of at most 5 ms of ticks. Who was late catches up in such bursts, one right
        after the other."""
        load, at = self._load, 0
        most = max(1, int(load.rate * _LONGEST_BURST_S))
        start_ns = self._clock_ns()
        while at < load.last:
            elapsed_ns = self._clock_ns() - start_ns
            due = min(elapsed_ns * load.rate // 10**9, load.last)
            late = due > at + most
            due = min(due, at + most)
            if at < load.first < due:
                due = load.first
            if due > at:
                if at >= load.first:
                    self.late_ns = max(self.late_ns, elapsed_ns - at * 10**9 // load.rate)
                yield range(at, due)
                at = due
            self._sleep(0 if late else _STEP_S)

    def _singles(self) -> Iterator[range]:
        """One tick at a time: asleep until shortly before it is due, then at the clock. Who was
        late sends without a pause until all that is due is sent."""
        load = self._load
        start_ns = self._clock_ns()
        for at in range(load.last):
            due_ns = start_ns + at * 10**9 // load.rate
            while (left_ns := due_ns - self._clock_ns()) > 0:
                if left_ns > _SPIN_NS:
                    self._sleep((left_ns - _SPIN_NS) / 1e9)
            if at >= load.first:
                self.late_ns = max(self.late_ns, -left_ns)
            yield range(at, at + 1)


def sharpen() -> None:
    """Let this thread's sleeps end when they should: Linux adds 50 us unless told not to."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
