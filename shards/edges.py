"""The edges of an uplink: who they are, what each wants, and what follows for the router. Pure.

1. An edge has a number while its lease lasts: for what is sent it is what a shard is to a router.
2. Its word about a feed is the truth; all edges together are one claimant at this machine's feeds.
3. Every claim is answered once, as a feed's host answers a shard's (hub/core/claims).
4. A feed that is gone has nothing of any edge: they are told by its not being announced, or by its
   next `life`, and say what they want when it is back.
5. No two leases are the same, not even of two lives of this process: who has one of an earlier
   life is not taken for another edge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hub.core import topics
from hub.core.claims import Answer, Claims, Work
from hub.core.cluster import LEASE_S
from hub.core.hot import Audience, Line
from hub.core.index import Variant
from hub.core.interest import InterestTable
from hub.core.liveness import Awake
from hub.core.model import MODES, Mode, Result, Want
from hub.core.wants import Wants

_ALL = sum(mode.bit for mode in Mode)
Told = dict[int, list[Result]]
"""Results by the number of the edge."""


class Edge:
    """A machine that takes feeds from here. To Snapshots it is a client: `show` takes the keys of
    which something is known now that was waited for."""

    form = 0

    def __init__(
        self, name: str, number: int, lease: int, show: Callable[[Edge, list[bytes]], None]
    ) -> None:
        self.name = name
        self.number = number
        self.lease = lease
        self.heard_s = 0.0
        self.telling: dict[str, set[bytes]] = {}  # what it has told so far of all that it wants
        self._show = show

    def __repr__(self) -> str:
        return f"<Edge {self.number} {self.name} lease {self.lease}>"

    def deliver_batch(self, _: bytes, __: Sequence[bytes], lines: Sequence[Line]) -> None:
        """See `shards.fanout.Receiver`."""
        self._show(self, list(dict.fromkeys(line.key for line in lines)))

    def owes(self, _: Line) -> bool:
        """Nothing is kept here for an edge."""
        return False

    def owing(self) -> Iterable[Line]:
        """Nothing is."""
        return ()

    def keep(self, line: Line, as_it_was: Line) -> None:
        """Nothing is."""


class Change(NamedTuple):
    """What follows from an edge's word: keys whose routes are no longer right, keys whose ticks it
    is sent from here on, and answers for edges that wait."""

    changed: list[bytes]
    opened: list[bytes]
    told: Told


class Edges:
    """All edges. What is wanted of this machine's feeds for them is put into `wants` by feed.
    `epoch` is greater than in any earlier life, by more than it had leases."""

    def __init__(
        self,
        wants: Callable[[str], Wants],
        show: Callable[[Edge, list[bytes]], None],
        epoch: int = 0,
    ) -> None:
        self.interest = InterestTable()
        self._wants = wants
        self._show = show
        self._claims: dict[str, Claims] = defaultdict(lambda: Claims(0.0))
        self._edges: dict[str, Edge] = {}
        self._numbers: dict[int, Edge] = {}
        self._leases: dict[int, Edge] = {}
        self._leased = epoch
        self._lives: Counter[str] = Counter()
        self._clock = Awake()

    def __repr__(self) -> str:
        return f"<Edges {' '.join(self._edges) or 'none'}>"

    def __len__(self) -> int:
        return len(self._edges)

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges.values())

    def __contains__(self, edge: object) -> bool:
        """Whether this edge's lease lasts."""
        return isinstance(edge, Edge) and self._leases.get(edge.lease) is edge

    def numbered(self, number: int) -> Edge:
        """The edge with this number. Raises KeyError."""
        return self._numbers[number]

    def held(self, edge: Edge) -> Iterable[bytes]:
        """The keys that an edge wants."""
        return self.interest.keys(edge.number)

    def hello(self, name: str, now_s: float) -> tuple[Edge, list[bytes]]:
        """An edge begins anew; what it wanted before is wanted no more: keys whose routes are no
        longer right."""
        before = self._edges.get(name)
        changed = self.drop(before) if before else []
        number = next(
            number for number in range(len(self._numbers) + 1) if number not in self._numbers
        )
        self._leased += 1
        edge = Edge(name, number, self._leased, self._show)
        edge.heard_s = self._clock.look(now_s)
        self._edges[name] = self._numbers[number] = self._leases[edge.lease] = edge
        return edge, changed

    def renew(self, lease: int, now_s: float) -> Edge | None:
        """An edge has spoken; None when this lease is nobody's."""
        edge = self._leases.get(lease)
        if edge is not None:
            edge.heard_s = self._clock.look(now_s)
        return edge

    def silent(self, now_s: float) -> list[Edge]:
        """Those whose lease has ended. Ask once a beat."""
        if self._clock.pause(now_s).read_first:
            return []
        awake_s = self._clock.look(now_s)
        return [edge for edge in self if awake_s - edge.heard_s > LEASE_S]

    def excuse(self, now_s: float) -> None:
        """It is we who hear nobody now."""
        awake_s = self._clock.look(now_s)
        for edge in self:
            edge.heard_s = awake_s

    def life(self, feed: str) -> int:
        """How often a feed was gone."""
        return self._lives[feed]

    def left_s(self, edge: Edge, now_s: float) -> float:
        """How long an edge's lease lasts without a beat."""
        return max(0.0, LEASE_S - (self._clock.look(now_s) - edge.heard_s))

    def tell(
        self,
        edge: Edge,
        feed: str,
        wants: Sequence[Want],
        *,
        first: bool = False,
        last: bool = False,
        now_s: float,
    ) -> Change:
        """An edge's word about a feed: news, or a part of all that it wants (cluster.Interest)."""
        if first:
            edge.telling[feed] = set()
        if feed in edge.telling:
            edge.telling[feed].update(want.key for want in wants)
        if last:
            wants = [*wants, *self._untold(edge, feed)]
        claims = self._claims[feed]
        work = claims.apply(edge.number, wants, replace=False, now=now_s)
        change = self.interest.apply(edge.number, feed, wants, replace=False)
        self._ask(feed, claims, work, now_s)
        return Change(change.keys, change.opened, _by_edge(work.answers))

    def _untold(self, edge: Edge, feed: str) -> Iterator[Want]:
        """What an edge has wanted, and was in no part of all that it wants."""
        if feed not in edge.telling:
            return
        told = edge.telling.pop(feed)
        for number, held in self.interest.of_feed(feed):
            if number == edge.number:
                yield from (Want(want.key, 0) for want in held if want.key not in told)

    def settle(self, feed: str, results: Iterable[Result]) -> Change:
        """A feed of this machine has answered. Of logins that are up all edges are told, as shards
        are: to some it was refused before."""
        answers: list[Answer] = []
        changed: list[bytes] = []
        if feed in self._claims:
            claims, wants = self._claims[feed], self._wants(feed)
            for result in results:
                wants.settle(result)
                found = claims.settle(result)
                answers += found
                if result.error:
                    changed += self._refused(feed, claims, found)
                    _set(wants, Want(result.key, claims.asked(result.key)))
                if result.key.startswith(topics.LOGIN) and not result.error:
                    answers += [Answer(edge.number, result) for edge in self]
        return Change(changed, [], _by_edge(answers))

    def _refused(self, feed: str, claims: Claims, answers: Iterable[Answer]) -> list[bytes]:
        """What is refused, or lost, is wanted no more: who still wants it asks again."""
        changed: list[bytes] = []
        for number, result in answers:
            if result.error:
                key = result.key
                left = [Want(key, claims.claimants(key).get(number, 0) & claims.asked(key))]
                claims.apply(number, left, replace=False, now=0.0)
                changed += self.interest.apply(number, feed, left, replace=False).keys
        return changed

    def drop(self, edge: Edge) -> list[bytes]:
        """An edge is gone: keys whose routes are no longer right."""
        del self._edges[edge.name], self._numbers[edge.number], self._leases[edge.lease]
        for feed, claims in self._claims.items():
            claims.drop({edge.number}, 0.0)
            self._ask(feed, claims, Work([], [], []), 0.0)
        return self.interest.drop(edge.number).keys

    def feed_gone(self, feed: str) -> list[bytes]:
        """A feed of this machine is gone: keys whose routes are no longer right."""
        changed: list[bytes] = []
        self._lives[feed] += 1
        if feed in self._claims:
            for edge in self:
                edge.telling.pop(feed, None)
                change = self.interest.apply(edge.number, feed, (), replace=True)
                changed += change.keys
            claims = self._claims.pop(feed)
            claims.drop(claims.shards(), 0.0)
            for want in claims.due(0.0):
                _set(self._wants(feed), want)
            self._wants(feed).doubt()
        return changed

    def keys(self, feed: str) -> int:
        """How many keys of a feed edges want."""
        return len(self._claims[feed]) if feed in self._claims else 0

    def _ask(self, feed: str, claims: Claims, work: Work, now_s: float) -> None:
        wants = self._wants(feed)
        for want in (*work.asks, *claims.due(now_s)):
            _set(wants, want)
        claims.take_released()


def _set(wants: Wants, want: Want) -> None:
    """Let exactly these modes be wanted, as deep at least."""
    before = wants.modes(want.key)
    for mode in MODES:
        if want.modes & mode.bit:
            wants.add(want.key, mode, depth=want.depth, exchange=want.exchange, symbol=want.symbol)
        if before & mode.bit:
            wants.remove(want.key, mode)


def _by_edge(answers: Iterable[Answer]) -> Told:
    told: Told = defaultdict(list)
    for number, result in answers:
        told[number].append(result)
    return told


class Holders:
    """Who holds a key, as Snapshots asks it (hub/core/index.Index)."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges

    def __contains__(self, key: bytes, /) -> bool:
        return key in self._edges.interest

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._edges.interest)

    def audiences(self, key: bytes) -> Mapping[Variant, Audience[Edge]]:
        """The edges of a key, by the modes they are sent."""
        found: dict[Variant, Audience[Edge]] = {}
        for number, level in self._edges.interest.legs(key).items():
            audience = found.setdefault(_variant(level), Audience(0, ()))
            audience.members = (*audience.members, self._edges.numbered(number))
        return found

    def held(self, edge: Edge) -> _Held:
        """What an edge holds."""
        return _Held(self._edges.interest, edge.number)

    def holders(self) -> Iterable[Edge]:
        """Nobody who could be owed anything."""
        return ()


class _Held:
    def __init__(self, interest: InterestTable, number: int) -> None:
        self._interest = interest
        self._number = number

    def get(self, key: bytes) -> Variant | None:
        """How the edge holds a key."""
        level = self._interest.legs(key).get(self._number)
        return None if level is None else _variant(level)


def _variant(level: int) -> Variant:
    return Variant(_ALL & -(1 << (level - 1)), "", "", "")
