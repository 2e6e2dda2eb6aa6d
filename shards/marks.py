"""How much each client of a shard may leave unsent, so that all together stay bounded. Pure."""

from __future__ import annotations

LEAST_BYTES = 16 << 10
"""What each may have, however many there are."""


class Mark:
    """The high-water mark of each of a shard's connections: `each_bytes`, or its part of
    `all_bytes` if that is less.

    Parts are those of a number of clients rounded up to a power of two. It doubles as soon as
    there are more, and halves when a quarter is left, so that setting all marks anew costs each
    client that comes or goes a few steps at most.
    """

    def __init__(self, each_bytes: int, all_bytes: int) -> None:
        self._each = each_bytes
        self._all = all_bytes
        self._parts = 1

    def __repr__(self) -> str:
        return f"<Mark {self.bytes} bytes for each of {self._parts}>"

    @property
    def bytes(self) -> int:
        """The mark as it is now."""
        return min(self._each, max(LEAST_BYTES, self._all // self._parts))

    def fit(self, clients: int) -> bool:
        """There are so many clients now; whether the mark is another one."""
        before = self.bytes
        while clients > self._parts:
            self._parts *= 2
        while self._parts > 1 and clients <= self._parts // 4:
            self._parts //= 2
        return self.bytes != before
