"""What is wanted, what is held, and which modes that means to subscribe. Pure.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

DEPTH = 4
"""The bit of Depth mode; LTP has 1, Quote 2."""

FULL = -1
"""Levels of a result that is an error: a pool has no room for another symbol."""


class Want(NamedTuple):
    """All that is wanted of a key: modes as a set of bits, levels in Depth mode."""

    key: bytes
    modes: int
    depth: int
    exchange: str
    symbol: str


class Held(NamedTuple):
    """What the adapter has said yes to: modes as a set of bits, the levels asked for in Depth mode;
    `actual` is the number of levels it named, or 0."""

    modes: int = 0
    depth: int = 0
    actual: int = 0

    def with_mode(self, mode: int, depth: int, actual: int) -> Held:
        """And this mode, too; `depth` and a named number of levels count for Depth mode."""
        modes = self.modes | 1 << (mode - 1)
        if mode == 3:
            return Held(modes, depth, actual)
        return Held(modes, self.depth, actual or self.actual)

    def without(self, modes: int) -> Held:
        """These modes no more."""
        if self.modes & modes & DEPTH:
            return Held(self.modes & ~modes)
        return self._replace(modes=self.modes & ~modes)


def modes_of(bits: int) -> list[int]:
    """Mode numbers of a set of modes, lowest first."""
    return [mode for mode in (1, 2, 3) if bits >> (mode - 1) & 1]


def deeper(want: Want, held: Held) -> bool:
    """Whether more levels are wanted than were asked for."""
    return bool(want.modes & held.modes & DEPTH) and want.depth > held.depth


def order(want: Want, held: Held) -> list[int]:
    """The modes to subscribe, lowest first: an adapter that keeps only the last one of a symbol has
    the highest then; and a pool asks its adapter for each, as it does when they come one by one."""
    again = DEPTH if deeper(want, held) else 0
    return modes_of(want.modes & ~held.modes | again)


def is_full(answer: Any) -> bool:
    """Whether an answer to subscribe is a pool's, that all its connections are full."""
    return isinstance(answer, dict) and answer.get("code") == "MAX_CAPACITY_REACHED"


def levels(answer: Any) -> int:
    """The number of levels an answer to subscribe names; 0 when it names none."""
    actual = answer.get("actual_depth") if isinstance(answer, dict) else None
    return actual if isinstance(actual, int) and not isinstance(actual, bool) else 0
