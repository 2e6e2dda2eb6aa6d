"""The flush window: how long to wait for more before sending, by how much comes.

Few ticks are sent at once. The more come, the longer each waits for company, up to the longest
window: every flush wakes shards and clients, and that is what a tick costs.
"""

from __future__ import annotations

_SAMPLE_S = 0.05
_STEP_MS = 0.5


class Window:
    """The wait before the next flush in ms, between 0 and `longest_ms`; it begins to open at `few`
    messages a second and is open at `many`."""

    def __init__(self, longest_ms: float, few: float = 250.0, many: float = 1000.0) -> None:
        self.longest_ms = longest_ms
        self._few = few
        self._many = many
        self._since_s = 0.0
        self._count = 0
        self.rate = 0.0
        self.width_ms = 0.0

    def __repr__(self) -> str:
        return f"<Window {self.width_ms:g} ms at {self.rate:.0f} messages/s>"

    def took(self, count: int, now_s: float) -> None:
        """So many messages have come. The width follows their rate, a step at a time."""
        self._count += count
        elapsed_s = now_s - self._since_s
        if elapsed_s < _SAMPLE_S:
            return
        if self._since_s:
            rate = self._count / elapsed_s
            self.rate += (rate - self.rate) * min(1.0, elapsed_s / (2 * _SAMPLE_S))
            opening = (self.rate - self._few) / (self._many - self._few)
            wide_ms = self.longest_ms * min(1.0, max(0.0, opening))
            self.width_ms = min(self.longest_ms, round(wide_ms / _STEP_MS) * _STEP_MS)
        self._since_s, self._count = now_s, 0
