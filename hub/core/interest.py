"""Who wants what, as the router knows it.

1. A shard's word is the truth: what it last said replaces what it said before.
2. A leg is open while its shard wants the key in some mode, of any feed; nothing else opens it.
3. A shard that is gone wants nothing.
4. What has no origin counts for all: of each shared key it is known in which scopes it is wanted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from hub.core import topics
from hub.core.model import Want, lowest

_NOBODY: Mapping[int, int] = MappingProxyType({})


class Change(NamedTuple):
    """What a shard's word did to its legs: `opened` keys get ticks they did not get before,
    `closed` keys get none any more. Keys whose lowest mode only rose stand in `narrowed`."""

    opened: list[bytes]
    closed: list[bytes]
    narrowed: list[bytes]

    @property
    def keys(self) -> list[bytes]:
        """Every key whose routes are no longer right."""
        return [*self.opened, *self.closed, *self.narrowed]


class InterestTable:
    """The wants of all shards, by feed, and the legs that follow from them."""

    def __init__(self) -> None:
        self._wants: dict[int, dict[str, dict[bytes, Want]]] = defaultdict(dict)
        self._legs: dict[bytes, dict[int, int]] = {}
        self.scopes: dict[bytes, dict[bytes, None]] = {}
        self._own = 0

    def __repr__(self) -> str:
        legs = sum(len(shards) for shards in self._legs.values())
        return f"<InterestTable {len(self._legs)} keys, {legs} legs>"

    def __len__(self) -> int:
        return len(self._legs)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._legs)

    def __contains__(self, key: bytes) -> bool:
        return key in self._legs

    def apply(self, shard: int, feed: str, wants: Iterable[Want], *, replace: bool) -> Change:
        """Take a shard's word about one feed; `replace` means it is all the shard wants of it."""
        held = self._wants[shard].setdefault(feed, {})
        news = {want.key: want for want in wants}
        gone = held.keys() - news.keys() if replace else ()
        for key in gone:
            del held[key]
        for key, want in news.items():
            if want.modes:
                held[key] = want
            else:
                held.pop(key, None)
        return self._settle(shard, [*gone, *news])

    def drop(self, shard: int) -> Change:
        """Forget a shard that is gone."""
        held = self._wants.pop(shard, {})
        return self._settle(shard, {key for wants in held.values() for key in wants})

    def legs(self, key: bytes) -> Mapping[int, int]:
        """The shards that want a key, each with the lowest mode it wants."""
        return self._legs.get(key, _NOBODY)

    @property
    def symbols(self) -> int:
        """How many keys are wanted that ticks are published under."""
        return len(self._legs) - self._own

    @property
    def orders(self) -> list[bytes]:
        """The keys of all order updates that are followed."""
        told = {want.key for _, wants in self.of_feed("") for want in wants}
        return sorted(key for key in told if key.startswith(topics.ORDERS))

    def scoped(self, key: bytes) -> Iterable[bytes]:
        """A shared key as it is wanted in scopes, each with its own."""
        return self.scopes.get(key, ())

    def of_feed(self, feed: str) -> Iterator[tuple[int, list[Want]]]:
        """What each shard wants of one feed: what a feed that has just come up is told."""
        for shard, feeds in self._wants.items():
            if feed in feeds:
                yield shard, list(feeds[feed].values())

    def feeds(self, shard: int) -> Collection[str]:
        """The feeds a shard has said something about."""
        return self._wants.get(shard, {}).keys()

    def keys(self, shard: int) -> dict[bytes, None]:
        """The keys a shard wants, in the order in which it said so."""
        return {key: None for wants in self._wants.get(shard, {}).values() for key in wants}

    def count(self, shard: int) -> int:
        """How many keys a shard wants."""
        return sum(len(wants) for wants in self._wants.get(shard, {}).values())

    def _settle(self, shard: int, keys: Iterable[bytes]) -> Change:
        """Bring the legs of these keys in line with the wants."""
        change = Change([], [], [])
        feeds = self._wants.get(shard, {}).values()
        for key in keys:
            modes = 0
            for wants in feeds:
                want = wants.get(key)
                modes |= want.modes if want else 0
            self._set_leg(key, shard, lowest(modes), change)
        return change

    def _set_leg(self, key: bytes, shard: int, level: int, change: Change) -> None:
        legs = self._legs.get(key)
        if legs is None:
            legs = self._legs[key] = {}
            self._note(key)
        before = legs.pop(shard, 0)
        if level:
            legs[shard] = level
        elif not legs:
            del self._legs[key]
            self._forget(key)
        if level and (not before or level < before):
            change.opened.append(key)
        elif before and not level:
            change.closed.append(key)
        elif level != before:
            change.narrowed.append(key)

    def _note(self, key: bytes) -> None:
        """A key has its first leg."""
        self._own += topics.is_own(key)
        shared = topics.plain(key)
        if shared is not key:
            self.scopes.setdefault(shared, {})[key] = None

    def _forget(self, key: bytes) -> None:
        """A key has no leg any more."""
        self._own -= topics.is_own(key)
        shared = topics.plain(key)
        if shared is not key:
            del self.scopes[shared][key]
            if not self.scopes[shared]:
                del self.scopes[shared]
