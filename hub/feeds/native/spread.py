"""Which connection of an account a subscription goes to. Pure.

1. The first connection with room takes it; another one is opened when none has.
2. A subscription stays where it is, whatever becomes of the others: nothing is moved to be even.
3. A broker that says a connection is full is believed: no more than what it has confirmed.
"""

from __future__ import annotations

import math

from hub.brokers.base import Limits


class Load:
    """How full one connection is: its shares of each mode add up to one at most."""

    __slots__ = ("_costs", "count", "full_at", "share")

    def __init__(self, limits: Limits) -> None:
        self._costs = (0.0, *(1 / most if most else 0.0 for most in limits.per_socket))
        self.share = 0.0
        self.count = 0
        self.full_at = math.inf

    def __repr__(self) -> str:
        return f"<Load {self.count} subscriptions, {self.share:.0%}>"

    def has_room(self, mode: int, instead_of: int = 0) -> bool:
        """Whether one more of this mode fits, or one in place of another mode."""
        more = self._costs[mode] - self._costs[instead_of]
        if not instead_of and self.count >= self.full_at:
            return False
        return self.share + more <= 1 + 1e-9

    def add(self, mode: int) -> None:
        """One more is there."""
        self.count += 1
        self.share += self._costs[mode]

    def change(self, was: int, to: int) -> None:
        """One has another mode."""
        self.share += self._costs[to] - self._costs[was]

    def remove(self, mode: int) -> None:
        """One is gone."""
        self.count -= 1
        self.share = max(0.0, self.share - self._costs[mode]) if self.count else 0.0


def sockets(limits: Limits, given: int) -> int:
    """How many connections of one kind an account has at most: as many as are `given`, for a plan
    may allow more than is usual, or it may share them; but one where there can be but one."""
    return given if given and limits.sockets > 1 else limits.sockets


def most(limits: Limits, given: int) -> int:
    """How many symbols an account may hold on connections of one kind, 0 for no limit."""
    on_all = max(limits.per_socket) * sockets(limits, given)
    return min(filter(None, [on_all, limits.per_account]), default=0)
