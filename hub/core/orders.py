"""Order updates on the router: who is sent each, and what is kept of them. Pure.

1. An update goes to every shard with a leg for its user, in order.
2. A router that has just begun knows of no legs. For the first seconds it keeps updates, and a
   shard that repeats its interest is sent what it has missed of it, once.
3. A shard that falls silent may come back with its clients, who have noticed nothing: what they
   follow is kept for it. Of one that is away too long, or misses too much, nothing is kept but
   the fact; its clients are told that something was lost (an update without content).
4. Every update that no shard was sent is counted, but for those that came to another machine: it
   may be that nobody here follows them.
5. A reader that follows everybody's account events (topics.ALL_ORDERS) gets all that came to this
   machine: it takes them to others, and none from others back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from hub.core import topics
from hub.core.liveness import Awake

KEPT_S = 5.0
"""How long a router that has just begun keeps order updates."""

AWAY_S = 60.0
"""How long they are kept for a shard that has fallen silent."""

MOST_KEPT = 10_000
"""How many are kept in a router's first seconds, and for each shard that is silent."""

MOST_BYTES = 64 << 20
"""The same in bytes."""

LOST = b""
"""What stands for updates that were lost."""

_NOBODY = -1


@dataclass(slots=True)
class _Kept:
    key: bytes
    payload: bytes
    takers: set[int] = field(default_factory=set)
    foreign: bool = False

    def keys(self, followed: Collection[bytes]) -> list[bytes]:
        """The keys under which it is for a shard that follows these."""
        if self.foreign and self.key == topics.ALL_ORDERS:  # what was lost is of everybody
            return sorted(key for key in followed if key.startswith(topics.ORDERS))
        everybodys = topics.ALL_ORDERS in followed and not self.foreign
        return [self.key] if everybodys or self.key in followed else []

    @property
    def counts(self) -> bool:
        """Whether it is missed when nobody takes it."""
        return not self.foreign and self.key != topics.INVALIDATED


@dataclass(slots=True)
class _Away:
    """A shard that is silent: what its clients follow, and what they have missed; None when that
    was too much."""

    keys: set[bytes]
    until_s: float
    missed: list[_Kept] | None
    size: int


class Orders:
    """Decides who is sent an order update; `now_s` is monotonic."""

    def __init__(
        self,
        now_s: float,
        kept_s: float = KEPT_S,
        most: int = MOST_KEPT,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._clock = Awake()
        self._clock.look(now_s)
        self._kept_s = kept_s
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._kept: deque[_Kept] = deque()
        self._keeping = True
        self._away: dict[int, _Away] = {}
        self.unclaimed = 0

    def __repr__(self) -> str:
        return (
            f"<Orders {len(self._kept)} kept, {len(self._away)} shards away, "
            f"{self.unclaimed} unclaimed>"
        )

    def offer(
        self,
        key: bytes,
        payload: bytes,
        legs: Collection[int],
        now_s: float,
        *,
        foreign: bool = False,
    ) -> None:
        """Note an update that `legs` are being sent; a `foreign` one came to another machine."""
        self.tend(now_s)
        update = _Kept(key, payload, set(legs), foreign)
        if self._keeping:
            self._kept.append(update)
            self._size += len(payload)
            while len(self._kept) > self._most or self._size > self._most_bytes:
                oldest = self._kept.popleft()
                self._size -= len(oldest.payload)
                self._let_go(oldest)
        elif not self._keep_for_silent(update):
            self._let_go(update)

    def away(
        self, shard: int, keys: Iterable[bytes], unsent: Iterable[Sequence[bytes]], now_s: float
    ) -> None:
        """A shard has fallen silent that follows these keys; `[key, json]` were on their way."""
        if shard in self._away:
            return  # it came back for a moment and has said nothing
        until_s = self._clock.look(now_s) + AWAY_S
        missed = [_Kept(key, payload) for key, payload in unsent]
        size = sum(len(update.payload) for update in missed)
        self._away[shard] = _Away(set(keys), until_s, missed, size)

    def missed(self, shard: int, keys: Iterable[bytes]) -> list[bytes]:
        """A shard repeats that it wants these keys: `[key, json, ...]` of what it has missed."""
        wanted = set(keys)
        away = self._away.pop(shard, None)
        if away is None:
            updates = []
        elif away.missed is None:
            updates = [_Kept(key, LOST) for key in sorted(away.keys & wanted)]
        else:
            updates = away.missed
        pairs: list[bytes] = []
        for update in (*updates, *self._kept):
            mine = [] if shard in update.takers else update.keys(wanted)
            if mine:
                update.takers.add(shard)
            for key in mine:
                pairs += (key, update.payload)
        for update in updates:
            self._let_go(update)
        return pairs

    def tend(self, now_s: float) -> None:
        """End what is kept when its time is over; only time in which the router ran counts."""
        awake_s = self._clock.look(now_s)
        if self._keeping and awake_s > self._kept_s:
            self._keeping = False
            while self._kept:
                update = self._kept.popleft()
                if not self._keep_for_silent(update):
                    self._let_go(update)
        for away in self._away.values():
            if awake_s > away.until_s:
                self._lose(away)

    def _keep_for_silent(self, update: _Kept) -> bool:
        """Keep an update for the shards that are away and follow it; whether there is one."""
        kept = False
        for shard, away in self._away.items():
            if away.missed is None or shard in update.takers or not update.keys(away.keys):
                continue
            size = away.size + len(update.payload)
            if len(away.missed) < self._most and size <= self._most_bytes:
                away.missed.append(update)
                away.size = size
                kept = True
            else:
                self._lose(away)
        return kept

    def _lose(self, away: _Away) -> None:
        for update in away.missed or ():
            self._let_go(update)
        away.missed = None

    def _let_go(self, update: _Kept) -> None:
        if not update.takers and update.counts:
            self.unclaimed += 1
            update.takers.add(_NOBODY)  # several may keep it, and it is counted once
