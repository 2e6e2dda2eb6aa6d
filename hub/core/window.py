"""The flush window: how long to wait for more before sending, by how busy the process is.

An idle process sends at once. The busier it is, the longer it waits, up to the longest window:
cost per delivery falls as load rises, and latency stays bounded. `now_s` and `cpu_s` are seconds
of wall clock and of this process's CPU time.
"""

from __future__ import annotations

_SAMPLE_S = 0.05
_IDLE = 0.04
_BUSY = 0.25


class Window:
    """The wait before the next flush, between 0 and `longest_s`."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._at_s = 0.0
        self._cpu_s = 0.0
        self.busy = 0.0
        self.width_s = 0.0

    def __repr__(self) -> str:
        return f"<Window {self.width_s * 1000:.2f} ms at {self.busy:.0%} busy>"

    def due(self, now_s: float) -> bool:
        """Whether it is time to `sample` again."""
        return now_s - self._at_s >= _SAMPLE_S

    def sample(self, now_s: float, cpu_s: float) -> None:
        """Take a reading; the width follows the share of CPU used since the last one."""
        elapsed = now_s - self._at_s
        if self._at_s and elapsed > 0:
            share = (cpu_s - self._cpu_s) / elapsed
            self.busy += (share - self.busy) * min(1.0, elapsed / (2 * _SAMPLE_S))
            self.width_s = self._longest_s * min(1.0, max(0.0, self.busy - _IDLE) / (_BUSY - _IDLE))
        self._at_s, self._cpu_s = now_s, cpu_s
