"""What all shards together want of one feed, and what the feed has.

1. A key is subscribed upstream exactly while a shard claims it, and `linger_s` longer; less when
   room is needed.
2. The feed is asked for the union of the modes claimed; it is asked again only for more.
3. Every claim is answered once: at once when the feed has it, else when the feed answers.
4. A failed ask takes nothing away from those who had the key in other modes before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from hub.core import topics
from hub.core.model import Result, Want


class Answer(NamedTuple):
    """A result on its way to one shard."""

    shard: int
    result: Result


class Work(NamedTuple):
    """What follows from a change: wants for the feed, answers for shards. `fresh` are those of the
    asks that are for new keys: nobody claimed them, and the feed was asked for nothing of them."""

    asks: list[Want]
    answers: list[Answer]
    fresh: list[Want]


class _Claim:
    """One key: who claims it, what was asked, what is there, who waits for an answer."""

    __slots__ = (
        "asked",
        "depth",
        "exchange",
        "live",
        "live_depth",
        "pressed",
        "release_at",
        "shards",
        "symbol",
        "told",
        "waiting",
    )

    def __init__(self) -> None:
        self.shards: dict[int, int] = {}
        self.waiting: dict[int, int] = {}
        self.asked = 0
        self.told = 0  # all that the feed may have: asked for, or under way when it was lost
        self.live = 0
        self.live_depth = 0
        self.depth = 0
        self.pressed = False  # room was made for it already
        self.release_at: float | None = None
        self.exchange = ""
        self.symbol = ""

    def union(self) -> int:
        if len(self.shards) == 1:
            (modes,) = self.shards.values()
            return modes
        modes = 0
        for wanted in self.shards.values():
            modes |= wanted
        return modes


class Claims:
    """The reference counts of one feed, by key and shard. `now` is in seconds."""

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._claims: dict[bytes, _Claim] = {}
        self._ending: dict[bytes, None] = {}
        self._by_shard: dict[int, dict[bytes, None]] = {}
        self._released: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Claims {len(self._claims)} keys, {len(self._ending)} lingering>"

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, key: bytes) -> bool:
        return key in self._claims

    @property
    def lingering(self) -> bool:
        """Whether something may be `due`."""
        return bool(self._ending)

    def claimants(self, key: bytes) -> Mapping[int, int]:
        """The shards that claim a key, each with its modes."""
        claim = self._claims.get(key)
        return claim.shards if claim else {}

    def asked(self, key: bytes) -> int:
        """The set of modes that the feed is asked for."""
        claim = self._claims.get(key)
        return claim.asked if claim else 0

    def shards(self) -> list[int]:
        """The shards that claim something."""
        return [shard for shard, keys in self._by_shard.items() if keys]

    def apply(self, shard: int, wants: Iterable[Want], *, replace: bool, now: float) -> Work:
        """Take a shard's word; `replace` means it is all the shard wants."""
        work = Work([], [], [])
        news = {want.key: want for want in wants}
        if replace:
            for key in [key for key in self._by_shard.get(shard, ()) if key not in news]:
                self._end(shard, key, now)
        for key, want in news.items():
            if want.modes:
                self._claim(shard, want, work, now)
            else:
                self._end(shard, key, now)
        return work

    def drop(self, shards: Collection[int], now: float) -> None:
        """Forget shards that are gone."""
        for shard in shards:
            for key in list(self._by_shard.pop(shard, ())):
                self._end(shard, key, now)

    def settle(self, result: Result) -> list[Answer]:
        """Take the feed's answer; the answers it means for the shards that wait."""
        claim = self._claims.get(result.key)
        if claim is None:
            return []
        if result.error:
            return self._failed(claim, result)
        claim.live |= result.modes & claim.asked
        claim.live_depth = claim.depth
        claim.pressed = False
        return self._ready(claim, result) if claim.waiting else []

    def due(self, now: float) -> list[Want]:
        """Keys whose time has come: to be released, or asked for in fewer modes."""
        ended = []
        for key in list(self._ending):
            claim = self._claims[key]
            if claim.release_at is not None and claim.release_at <= now:
                ended.append(self._shrink(key, claim))
        return ended

    def give_back(self, most: int) -> list[Want]:
        """Up to `most` keys that only linger, oldest first, to be released before their time."""
        unclaimed = (key for key in self._ending if not self._claims[key].shards)
        return [self._shrink(key, self._claims[key]) for key in list(islice(unclaimed, most))]

    def make_room(self, refused: Iterable[Result]) -> list[Want]:
        """What to tell a feed that has no room for new keys: to release as many of their scopes
        that only linger, oldest first, and then what of the refused it is asked for once more.
        This walks over all that linger."""
        idle: dict[bytes, list[bytes]] = {}
        for key in reversed(self._ending):
            if not self._claims[key].shards and not topics.is_own(key):
                idle.setdefault(topics.scope_of(key), []).append(key)
        given_back, again = [], []
        for result in refused:
            claim, spare = self._claims.get(result.key), idle.get(topics.scope_of(result.key))
            if claim is None or claim.pressed or claim.live or not claim.waiting:
                continue
            if spare:
                claim.pressed = True  # or it would be given all the room there is, one by one
                key = spare.pop()
                given_back.append(self._shrink(key, self._claims[key]))
                again.append(_want(result.key, claim, claim.asked))
        return given_back + again

    def take_released(self) -> list[bytes]:
        """Keys that nobody claims any more and the feed has not, since this was last asked."""
        released, self._released = self._released, []
        return [key for key in released if key not in self._claims]

    def _claim(self, shard: int, want: Want, work: Work, now: float) -> None:
        claim = self._claims.get(want.key)
        if claim is None:
            claim = self._claims[want.key] = _Claim()
            claim.exchange, claim.symbol = want.exchange, want.symbol
            work.fresh.append(want)
        claim.shards[shard] = want.modes
        self._by_shard.setdefault(shard, {})[want.key] = None
        deeper = want.depth > claim.depth
        if deeper:
            claim.depth = want.depth
        if claim.asked:
            self._linger(want.key, claim, now)
        if not deeper and not want.modes & ~claim.live:
            work.answers.append(Answer(shard, Result(want.key, want.modes)))
            claim.waiting.pop(shard, None)
            return
        claim.waiting[shard] = want.modes
        if deeper or want.modes & ~claim.asked:
            claim.asked |= claim.union()
            claim.told = claim.asked
            same = claim.asked == want.modes and claim.depth == want.depth
            work.asks.append(want if same else _want(want.key, claim, claim.asked))

    def _end(self, shard: int, key: bytes, now: float) -> None:
        claim = self._claims.get(key)
        if claim is None or shard not in claim.shards:
            return
        del claim.shards[shard]
        claim.waiting.pop(shard, None)
        self._by_shard.get(shard, {}).pop(key, None)
        self._linger(key, claim, now)

    def _linger(self, key: bytes, claim: _Claim, now: float) -> None:
        """Start, keep or stop the clock after which the feed is asked for less."""
        if (claim.asked | claim.told) & ~claim.union():
            self._ending[key] = None
            if claim.release_at is None:
                claim.release_at = now + self._linger_s
        else:
            self._ending.pop(key, None)
            claim.release_at = None
            self._tidy(key, claim)

    def _tidy(self, key: bytes, claim: _Claim) -> None:
        if not claim.shards and not claim.asked | claim.told:
            self._ending.pop(key, None)
            del self._claims[key]
            self._released.append(key)

    def _failed(self, claim: _Claim, result: Result) -> list[Answer]:
        """Everyone who waits for a mode that is refused gets the error and loses that mode."""
        failed = result.modes & claim.asked & ~claim.live
        if failed:
            return self._refused(claim, result, failed)
        if claim.depth > claim.live_depth:  # refused is the depth: what was there before stays
            claim.depth = claim.live_depth
            return [
                Answer(shard, result._replace(modes=modes))
                for shard, modes in self._satisfied(claim)
            ]
        lost = result.modes & claim.live  # each that claims it has to know, and to ask again
        if not claim.asked & ~claim.live:  # else an ask is under way that may bring it back
            claim.told &= ~lost
        claim.asked &= ~lost
        claim.live &= ~lost
        self._linger(result.key, claim, 0)
        return [
            Answer(shard, result._replace(modes=modes & lost))
            for shard, modes in claim.shards.items()
            if modes & lost
        ]

    def _refused(self, claim: _Claim, result: Result, failed: int) -> list[Answer]:
        claim.asked &= ~failed
        claim.told &= ~failed
        answers = []
        for shard, modes in list(claim.waiting.items()):
            if modes & failed:
                answers.append(Answer(shard, result._replace(modes=modes & failed)))
                claim.waiting[shard] = modes & ~failed
        for shard, modes in list(claim.shards.items()):
            claim.shards[shard] = modes & ~failed
            if not claim.shards[shard]:
                del claim.shards[shard]
                self._by_shard.get(shard, {}).pop(result.key, None)
        answers += self._ready(claim, result)
        self._tidy(result.key, claim)
        return answers

    def _ready(self, claim: _Claim, result: Result) -> list[Answer]:
        return [
            Answer(shard, Result(result.key, modes, "", result.depth))
            for shard, modes in self._satisfied(claim)
            if modes
        ]

    @staticmethod
    def _satisfied(claim: _Claim) -> list[tuple[int, int]]:
        """The shards that wait for nothing that is not there; they wait no longer."""
        if len(claim.waiting) == 1:
            ((shard, modes),) = claim.waiting.items()
            if modes & ~claim.live:
                return []
            claim.waiting.clear()
            return [(shard, modes)]
        ready = [shard for shard, modes in claim.waiting.items() if not modes & ~claim.live]
        return [(shard, claim.waiting.pop(shard)) for shard in ready]

    def _shrink(self, key: bytes, claim: _Claim) -> Want:
        union = claim.union()
        claim.asked &= union
        claim.live &= union
        claim.told = claim.asked  # what was lost is not begun anew
        claim.release_at = None
        del self._ending[key]
        self._tidy(key, claim)
        return _want(key, claim, claim.asked)


def _want(key: bytes, claim: _Claim, modes: int) -> Want:
    return Want(key, modes, claim.depth, claim.exchange, claim.symbol)
