"""Which shards a topic goes to, and what is pending for them.

1. A tick goes once to every shard with a leg whose lowest mode is not above the tick's.
2. A key's ticks all reach its keeper, and its heir (keepers.py): on the leg when there is one,
   whatever the leg's mode, so that they come in order; else on the slow way.
3. All topics of a key take the same group to a shard, so their order per key survives batching.
4. A change of interest invalidates the resolution, never the data: flush first, then change.
5. The bus has no origin: its ticks count for whoever wants their key, in whatever scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.hot import Group, route
from hub.core.interest import InterestTable
from hub.core.model import Mode, Want

_SUFFIXES = {mode: f"_{mode.name}".encode() for mode in Mode}
_FEW_GROUPS = 4096
"""Groups that are kept without asking whether a route still leads to them."""


Route = tuple[Group, ...]
"""Where a topic goes: one group for each lowest mode among the legs, and the slow ones of those who
keep the key without a leg."""


class AllTicks(Protocol):
    """Who is sent all ticks of a key, whatever it wants of them (hub/core/keepers.Keepers)."""

    def all_ticks(self, key: bytes) -> Sequence[int]:
        """The shards."""


class Routing:
    """Topics resolved to groups, and the ticks that wait for the next flush.

    `fast` are the groups in which ticks wait for shards that want them, `slow` those of shards that
    only keep them: `hot.take` makes batches of them.
    """

    def __init__(
        self, shards: int, interest: InterestTable, keepers: AllTicks, max_topics: int = 1_000_000
    ) -> None:
        self._interest = interest
        self._keepers = keepers
        self._max_topics = max_topics
        self._routes: dict[bytes, Route] = {}
        self._copies: dict[bytes, tuple[bytes, ...]] = {}
        self._expected: dict[tuple[bytes, Mode], None] = {}
        self._groups: dict[tuple[int, ...], Group] = {}
        self._most_groups = _FEW_GROUPS
        self._scoped = False  # whether some topic was in a scope, and may be known by it
        self.fast: list[Group] = []
        self.slow: list[Group] = []
        self.malformed = 0
        self._slow_groups = [Group((shard,), self.slow) for shard in range(shards)]

    def __repr__(self) -> str:
        return f"<Routing {len(self._routes)} topics in {len(self._groups)} groups>"

    def __len__(self) -> int:
        return len(self._routes)

    def offer(self, pairs: list[bytes], *, checked: bool = False) -> list[tuple[bytes, bytes]]:
        """Take ticks `[topic, json, ...]` in their order; returns the pairs that are none. Those
        whose JSON is no object are dropped and counted, unless it was `checked` before."""
        strays: list[tuple[bytes, bytes]] = []
        self.malformed += route(pairs, self._routes, self._resolve, strays, checked=checked)
        return strays

    def offer_shared(self, pairs: list[bytes]) -> list[tuple[bytes, bytes]]:
        """The same for ticks of the bus, which count in every scope in which their key is wanted;
        nothing is to be done for that while there are none."""
        strays: list[tuple[bytes, bytes]] = []
        resolve = self._resolve_shared
        if self._interest.scopes or self._scoped:
            pairs, strays = self._spread(pairs)
            resolve = self._resolve
        self.malformed += route(pairs, self._routes, resolve, strays)
        return strays

    def follow(self, topic: bytes, name: bytes, payload: bytes) -> bool:
        """Put a pair that is no tick behind the tick of a topic that waits for the next flush, for
        all who are sent that; whether there was one."""
        found = False
        for copy in self._copies.get(topic, (topic,)):
            for group in self._routes.get(copy, ()):
                if group.dirty is self.fast and group.pairs:
                    group.pairs += (name, payload)
                    found = True
        return found

    def invalidate(self, keys: Iterable[bytes]) -> None:
        """Interest in these keys, or who keeps them, has changed. Nothing may be pending: `flush`
        first."""
        for key in keys:
            shared = topics.plain(key)
            for mode, suffix in _SUFFIXES.items():
                if self._routes.pop(key + suffix, None) is not None:
                    self._expected[key, mode] = None
                if shared is not key:
                    self._copies.pop(shared + suffix, None)
        if len(self._groups) > self._most_groups:
            self._tidy()

    def expect(self, wants: Iterable[Want]) -> None:
        """Ticks of what is wanted will come: there is something to `prepare`."""
        for want in wants:
            if not topics.is_own(want.key):
                for mode, suffix in _SUFFIXES.items():
                    if want.modes & mode.bit and want.key + suffix not in self._routes:
                        self._expected[want.key, mode] = None

    @property
    def unprepared(self) -> bool:
        """Whether there is something to `prepare`."""
        return bool(self._expected)

    def prepare(self, most: int) -> None:
        """Resolve up to `most` topics that are wanted, while there is time: at the opening bell
        all their first ticks come at once."""
        for _ in range(min(most, len(self._expected))):
            (key, mode), _ = self._expected.popitem()
            topic = key + _SUFFIXES[mode]
            if topic not in self._routes and self._interest.legs(key):
                self._keep(topic, self._route(key, mode))

    def _spread(self, pairs: Sequence[bytes]) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
        """Each tick once more for every scope in which its key is wanted; and the pairs that are
        no ticks, or pretend to have an origin."""
        spread: list[bytes] = []
        strays: list[tuple[bytes, bytes]] = []
        copies = self._copies
        parts = iter(pairs)
        for topic, payload in zip(parts, parts, strict=True):
            found = copies.get(topic) or self._find_copies(topic)
            if not found:
                strays.append((topic, payload))
            for copy in found:
                spread += (copy, payload)
        return spread, strays

    def _find_copies(self, topic: bytes) -> tuple[bytes, ...]:
        """What a topic of the bus counts for: itself, and the same in each scope."""
        try:
            key, mode = topics.parse(topic)
        except Malformed:
            return ()
        if topics.plain(key) is not key:
            return ()
        found = (topic, *[topics.of(scoped, mode) for scoped in self._interest.scoped(key)])
        if topic == topics.of(key, mode):  # other spellings are not known when interest changes
            if len(self._copies) >= self._max_topics:
                self._copies.clear()
            self._copies[topic] = found
        return found

    def _tidy(self) -> None:
        """Forget groups to which no route leads. Nothing may be pending. It is done again when
        there are twice as many, so a change costs no more for it on the whole."""
        used = {group for groups in self._routes.values() for group in groups}
        self._groups = {shards: group for shards, group in self._groups.items() if group in used}
        self._most_groups = max(_FEW_GROUPS, 2 * len(self._groups))

    def _resolve(self, topic: bytes) -> tuple[bytes, Route]:
        """The canonical topic and its route. Raises Malformed."""
        key, mode = topics.parse(topic)
        canonical = topics.of(key, mode)
        found = self._routes.get(canonical)
        if found is None:
            found = self._keep(canonical, self._route(key, mode))
        return canonical, found

    def _resolve_shared(self, topic: bytes) -> tuple[bytes, Route]:
        """The same of the bus, which has no origin. Raises Malformed."""
        if topics.scope_of(topic):
            raise Malformed(f"topic {topic[:80]!r} pretends to have an origin")
        return self._resolve(topic)

    def _keep(self, topic: bytes, route: Route) -> Route:
        self._scoped = self._scoped or bool(topics.scope_of(topic))
        if len(self._routes) >= self._max_topics:
            self._routes.clear()
        self._routes[topic] = route
        return route

    def _route(self, key: bytes, mode: int) -> Route:
        by_lowest: dict[int, list[int]] = {}
        legs, keeping = self._interest.legs(key), self._keepers.all_ticks(key)
        for shard, lowest in legs.items():
            if shard in keeping:
                by_lowest.setdefault(Mode.LTP, []).append(shard)
            elif lowest <= mode:
                by_lowest.setdefault(lowest, []).append(shard)
        groups = []
        for shards in by_lowest.values():
            shards.sort()
            groups.append(self._group(tuple(shards)))
        groups += [self._slow_groups[shard] for shard in keeping if shard not in legs]
        return tuple(groups)

    def _group(self, shards: tuple[int, ...]) -> Group:
        group = self._groups.get(shards)
        if group is None:
            group = self._groups[shards] = Group(shards, self.fast)
        return group
