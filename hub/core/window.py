"""The flush window: how long to wait for more before sending, by how busy the process is.

An idle process sends at once. The busier it is, the longer it waits, up to the longest window:
cost per delivery falls as load rises, and latency stays bounded. `now_s` and `cpu_s` are seconds
of wall clock and of this process's CPU time. Widths are whole milliseconds, as a loop's timers are.
"""

from __future__ import annotations

_SAMPLE_S = 0.05


class Window:
    """The wait before the next flush, between 0 and `longest_ms`; it begins to open at a share
    `idle` of a core and is open at `busy`."""

    def __init__(self, longest_ms: float, idle: float = 0.04, busy: float = 0.2) -> None:
        self._longest_ms = longest_ms
        self._idle = idle
        self._busy = busy
        self._at_s = 0.0
        self._cpu_s = 0.0
        self.share = 0.0
        self.width_ms = 0

    def __repr__(self) -> str:
        return f"<Window {self.width_ms} ms at {self.share:.0%} of a core>"

    def due(self, now_s: float) -> bool:
        """Whether it is time to `sample` again."""
        return now_s - self._at_s >= _SAMPLE_S

    def sample(self, now_s: float, cpu_s: float) -> None:
        """Take a reading; the width follows the share of CPU used since the last one."""
        elapsed_s = now_s - self._at_s
        if self._at_s and elapsed_s > 0:
            share = (cpu_s - self._cpu_s) / elapsed_s
            self.share += (share - self.share) * min(1.0, elapsed_s / (2 * _SAMPLE_S))
            opening = (self.share - self._idle) / (self._busy - self._idle)
            self.width_ms = round(self._longest_ms * min(1.0, max(0.0, opening)))
        self._at_s, self._cpu_s = now_s, cpu_s
