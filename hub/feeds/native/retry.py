"""When a connection to a broker is made again. Pure: dice and clock are arguments.

1. A connection that failed is tried again somewhere in a time that doubles, from half a second to
   half a minute: a thousand hubs that lose a broker in the same moment do not come back in one.
2. One that was up for a minute and brought something begins anew at the first wait; one that was up
   for less, but not for nothing, leaves the wait as it is.
3. Who was sent away by another login of the same account stays away for half a minute at least,
   and twice as long each time: two hubs would take the session from each other for ever.
4. Who asked too often, or for more than there is room, stays away for a minute at least, as long as
   the broker says, and twice as long each time.
5. Credentials that are refused are a matter of the account (gate.py).
"""

from __future__ import annotations

from typing import NamedTuple

from hub.core.model import Fault

STEADY_S = 60.0
"""A connection that was up for so long, and brought something, was a good one."""

_FIRST_S, _LONGEST_S = 0.5, 30.0
_SHORT_S = 5.0


class _Away(NamedTuple):
    """How long to stay away: at first, at most, and after how long up it is forgotten."""

    first_s: float
    longest_s: float
    forgotten_s: float


_AWAY = {
    Fault.EVICTED: _Away(30.0, 600.0, 900.0),
    Fault.RATE: _Away(60.0, 900.0, 300.0),
    Fault.CAPACITY: _Away(60.0, 900.0, 300.0),
}


class Retry:
    """The waits of one connection."""

    def __init__(self) -> None:
        self._ceiling_s = _FIRST_S
        self._times = dict.fromkeys(_AWAY, 0)

    def __repr__(self) -> str:
        return f"<Retry within {self._ceiling_s:g} s next>"

    def lasted(self, up_s: float, *, delivered: bool) -> None:
        """The last connection was up for so long; whether it has brought ticks."""
        if delivered and up_s >= STEADY_S:
            self._ceiling_s = _FIRST_S
        elif delivered and up_s >= _SHORT_S:
            self._ceiling_s = max(_FIRST_S, self._ceiling_s / 2)
        for fault, away in _AWAY.items():
            if up_s >= away.forgotten_s:
                self._times[fault] = 0

    def wait_s(self, fault: Fault, roll: float, least_s: float = 0.0) -> float:
        """How long to wait after this; `roll` is between 0 and 1, `least_s` what was asked for."""
        away = _AWAY.get(fault)
        if away is None:
            ceiling_s, self._ceiling_s = self._ceiling_s, min(2 * self._ceiling_s, _LONGEST_S)
            return max(least_s, ceiling_s * roll)
        times, self._times[fault] = self._times[fault], self._times[fault] + 1
        base_s = min(away.first_s * 2.0 ** min(times, 10), away.longest_s)
        return max(least_s, base_s * (1 + roll / 2))
