"""How fast one client may talk: a bucket that tokens drip into. Pure; `now_s` is an argument."""

from __future__ import annotations


class Bucket:
    """Holds up to `burst` tokens and gains `rate` of them a second; full at first.

    It may be overdrawn by what was taken before its size was known; then it has to recover.
    """

    __slots__ = ("_at_s", "_burst", "_dry_since_s", "_level", "_rate")

    def __init__(self, burst: float, rate: float, now_s: float) -> None:
        self._burst = burst
        self._rate = rate
        self._level = burst
        self._at_s = now_s
        self._dry_since_s: float | None = None

    def __repr__(self) -> str:
        return f"<Bucket {self._level:.0f} of {self._burst:.0f}>"

    def take(self, tokens: float) -> None:
        """Something was read."""
        self._level -= tokens

    def wait_s(self, now_s: float) -> float:
        """Seconds until more may be read; 0 when it may be read now."""
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._level >= self._burst / 2:
            self._dry_since_s = None
        if self._level > 0:
            return 0.0
        if self._dry_since_s is None:
            self._dry_since_s = now_s
        return (1.0 - self._level) / self._rate

    def dry_for_s(self, now_s: float) -> float:
        """For how long it has been empty again and again, never half full."""
        return 0.0 if self._dry_since_s is None else now_s - self._dry_since_s
