"""What one connection is asked for, and what the broker has said to it. Pure; `now_s` in seconds.

1. What is wanted is compared with what was asked: the difference is what there is to say.
2. A subscription is confirmed by an acknowledgement, or a tick in a higher mode than was there
   before. Of a broker that confirms, one that is neither within its time is late; of another it is
   taken to be confirmed then.
3. A connection that is lost takes all that was asked with it; what is wanted stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from hub.brokers.base import Change, Subscription


@dataclass(slots=True)
class _Entry:
    """The mode asked for, and until when it is to be confirmed."""

    asked: int = 0
    until_s: float = 0.0


class Ledger:
    """The subscriptions of one connection."""

    def __init__(self, confirm_s: float) -> None:
        self._confirm_s = confirm_s
        self._entries: dict[Subscription, _Entry] = {}
        self._open: dict[Subscription, None] = {}
        self._unconfirmed: dict[Subscription, None] = {}

    def __repr__(self) -> str:
        return (
            f"<Ledger {len(self._entries)} subscriptions, {len(self._open)} to be told, "
            f"{len(self._unconfirmed)} unconfirmed>"
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, sub: Subscription) -> bool:
        return sub in self._entries

    @property
    def open(self) -> int:
        """How many changes there are to be told."""
        return len(self._open)

    @property
    def confirmed(self) -> int:
        """How many subscriptions the broker has confirmed."""
        asked = sum(entry.asked > 0 for entry in self._entries.values())
        return asked - len(self._unconfirmed)

    def subs(self) -> Iterable[Subscription]:
        """All of them."""
        return self._entries

    def want(self, sub: Subscription) -> None:
        """The mode of a subscription has been set; 0 releases it."""
        entry = self._entries.get(sub)
        if entry is None:
            if not sub.mode:
                return
            entry = self._entries[sub] = _Entry()
        if not sub.mode:
            self._unconfirmed.pop(sub, None)
        if entry.asked != sub.mode:
            self._open[sub] = None
            return
        self._open.pop(sub, None)
        if not sub.mode:
            self._forget(sub)

    def changes(self, most: int) -> list[Change]:
        """What is to be said next: at most so many changes, releases first, for they make room."""
        ready = sorted(islice(self._open, 4 * most), key=lambda sub: sub.mode > 0)[:most]
        return [Change(sub, self._entries[sub].asked, sub.mode) for sub in ready]

    def said(self, changes: Iterable[Change], now_s: float) -> None:
        """They have been sent."""
        for sub, was, to in changes:
            entry = self._entries.get(sub)
            if entry is None:
                continue
            entry.asked = to
            if to > was:
                sub.waits, sub.held = True, was
                entry.until_s = now_s + self._confirm_s
                self._unconfirmed[sub] = None
            self.want(sub)

    def confirm(self, sub: Subscription) -> bool:
        """The broker has confirmed it; whether that is news."""
        sub.waits = False
        return self._unconfirmed.pop(sub, self) is None

    def due(self, now_s: float) -> list[Subscription]:
        """Those whose time to be confirmed is over."""
        return [sub for sub in self._unconfirmed if self._entries[sub].until_s <= now_s]

    def unsaid(self) -> list[Subscription]:
        """Those of which nothing was asked yet."""
        return [sub for sub in self._open if not self._entries[sub].asked]

    def again(self, subs: Iterable[Subscription]) -> None:
        """Nothing has come of asking for these: they are to be asked for once more."""
        for sub in subs:
            self._entries[sub].asked = 0
            self._unconfirmed.pop(sub, None)
            self.want(sub)

    def drop(self, sub: Subscription) -> None:
        """It was refused, or goes to another connection without a word: forget it."""
        self._forget(sub)

    def lost(self) -> None:
        """The connection is gone."""
        self._unconfirmed.clear()
        for sub, entry in list(self._entries.items()):
            entry.asked = 0
            sub.waits, sub.held = True, 0
            self.want(sub)

    def _forget(self, sub: Subscription) -> None:
        for kept in (self._entries, self._open, self._unconfirmed):
            kept.pop(sub, None)
