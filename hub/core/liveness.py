"""Who is there: heartbeats heard, and who has missed too many.

1. A process is there from its first word until it has been silent for `missed_s`.
2. A new epoch under an old name is a new process: the old one is gone first.
3. A lease names one stay at the router; whoever carries another lease is asked to say hello again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BEAT_S = 1.0
"""Time between heartbeats."""

MISSED_S = 3.0
"""Silence after which a process counts as gone."""


class Awake:
    """A clock that stands still while this process does: `look` at it at least every `step_s`.

    A gap of more than that between two looks is a pause (SIGSTOP, a suspended machine, a loop
    that was held), and counts as `step_s` only: nobody else was silent in time that this process
    slept through, and what has queued up meanwhile is read before anyone is judged.
    """

    def __init__(self, step_s: float = BEAT_S + 0.5) -> None:
        self._step_s = step_s
        self._seen_s = math.nan
        self._awake_s = 0.0
        self.paused_s = 0.0

    def __repr__(self) -> str:
        return f"<Awake for {self._awake_s:.1f} s, paused for {self.paused_s:.1f} s>"

    def look(self, now_s: float) -> float:
        """Seconds awake until `now_s`, which is a monotonic clock's."""
        gap_s = now_s - self._seen_s
        if gap_s > 0:  # not at the first look, when it is nan
            self._awake_s += min(gap_s, self._step_s)
            self.paused_s += max(0.0, gap_s - self._step_s)
        self._seen_s = now_s
        return self._awake_s


@dataclass(slots=True)
class Peer:
    """A process as the router sees it."""

    name: str
    epoch: int
    lease: int
    heard_s: float


class Peers:
    """All processes that have said hello and are not gone."""

    def __init__(self, missed_s: float = MISSED_S) -> None:
        self._missed_s = missed_s
        self._peers: dict[str, Peer] = {}
        self._leases = 0

    def __repr__(self) -> str:
        return f"<Peers {' '.join(sorted(self._peers)) or 'none'}>"

    def __contains__(self, name: str) -> bool:
        return name in self._peers

    def hello(self, name: str, epoch: int, now_s: float) -> tuple[Peer, bool]:
        """A process says who it is; the peer, and whether another one had that name."""
        before = self._peers.get(name)
        if before is not None and before.epoch == epoch:
            before.heard_s = now_s
            return before, False
        self._leases += 1
        peer = self._peers[name] = Peer(name, epoch, self._leases, now_s)
        return peer, before is not None

    def gone(self, now_s: float) -> list[Peer]:
        """Those that have been silent too long; they are forgotten."""
        silent = [peer for peer in self._peers.values() if now_s - peer.heard_s > self._missed_s]
        for peer in silent:
            del self._peers[peer.name]
        return silent

    def leave(self, name: str) -> bool:
        """A process says goodbye; whether it was known."""
        return self._peers.pop(name, None) is not None

    def names(self) -> list[str]:
        """Everyone who is there."""
        return list(self._peers)

    def get(self, name: str) -> Peer | None:
        """One peer, None when it is not there."""
        return self._peers.get(name)
