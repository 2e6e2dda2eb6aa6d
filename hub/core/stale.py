"""What is stale of one feed: shards say what is quiet, the market says whether that means anything.
Pure.

1. A topic is quiet when a shard that claims it says so; a shard that is gone, or claims it no more,
   counts no more. However many shards say so, it is one topic.
2. A quiet topic is stale when its exchange is in session, and has been for as long as its shard
   waits for it. Outside of a session nothing is stale.
3. After a pause of one's own nothing new is stale for as long: who was paused as well speaks first.
4. Shards are told the state of each key, and only of keys that they claim; a difference alone.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from typing import NamedTuple

from hub.core.market import Market
from hub.core.model import Quiet, Stale

_MOST_TOLD = 500
"""Keys told in one message."""

_SPARE = 100
"""Times of keys that wait no more, beyond which they are thrown out."""


class Verdict(NamedTuple):
    """What one shard is told; with `replace` it is all that is stale of its keys."""

    shard: int
    rows: list[Stale]
    replace: bool


class _Exchange:
    """The quiet keys of one exchange: those that are stale, with their modes; those that wait until
    it has been in session for so many seconds; and those to look at again. A night's may be tens of
    thousands, so they are kept by the time they wait for as well."""

    def __init__(self) -> None:
        self.stale: dict[bytes, int] = {}
        self.touched: dict[bytes, None] = {}
        self._waiting: dict[bytes, float] = {}
        self._times: list[tuple[float, bytes]] = []  # a heap, with some that wait no more

    @property
    def waits(self) -> bool:
        """Whether some key waits."""
        return bool(self._waiting)

    def wait(self, key: bytes, after_s: float) -> None:
        """This key waits until then; infinity for one that does not wait."""
        if after_s == math.inf:
            self._waiting.pop(key, None)
        elif self._waiting.get(key) != after_s:
            self._waiting[key] = after_s
            heapq.heappush(self._times, (after_s, key))
            if len(self._times) > 2 * len(self._waiting) + _SPARE:
                self._times = [(until_s, one) for one, until_s in self._waiting.items()]
                heapq.heapify(self._times)

    def due(self, session_s: float) -> Iterable[bytes]:
        """The keys that have waited for long enough; they wait no more."""
        while self._times and self._times[0][0] <= session_s:
            after_s, key = heapq.heappop(self._times)
            if self._waiting.get(key) == after_s:
                del self._waiting[key]
                yield key


class Staleness:
    """The quiet and the stale keys of a feed; `count` is how many topics are stale.

    `claimants` gives the shards that claim a key, with the modes of each (core/claims).
    """

    def __init__(self, market: Market, claimants: Callable[[bytes], Mapping[int, int]]) -> None:
        self._market = market
        self._claimants = claimants
        self._quiet: dict[bytes, dict[int, Quiet]] = defaultdict(dict)
        self._of_shard: dict[int, dict[bytes, None]] = defaultdict(dict)
        self._exchanges: dict[str, _Exchange] = defaultdict(_Exchange)
        self._untold: dict[bytes, None] = {}
        self._told: dict[int, dict[bytes, int]] = defaultdict(dict)
        self._anew: dict[int, None] = {}
        self.count = 0

    def __repr__(self) -> str:
        return f"<Staleness {self.count} topics stale, {len(self._quiet)} keys quiet>"

    def first(self, most: int) -> list[bytes]:
        """Up to `most` of the keys that are stale, by exchange, longest first."""
        every = chain.from_iterable(one.stale for one in self._exchanges.values())
        return list(islice(every, most))

    def take(self, shard: int, rows: Iterable[Quiet], *, replace: bool) -> None:
        """A shard's word; with `replace` it is all that is quiet there, and the shard knows nothing
        of what is stale."""
        if replace:
            for key in list(self._of_shard[shard]):
                self._set(shard, Quiet(key, 0, 0.0))
            self._told.pop(shard, None)
            self._anew[shard] = None
        for row in rows:
            self._set(shard, row)

    def claimed(self, shard: int, keys: Iterable[bytes], *, replace: bool) -> None:
        """A shard claims these keys in other modes than before; with `replace` no others."""
        more = [*self._of_shard[shard], *self._told[shard]] if replace else []
        for key in [*keys, *more]:
            if key in self._quiet or key in self._told[shard]:
                self._touch(key)

    def judge(self, now_s: float, calm_s: float, *, all_: bool = True) -> None:
        """Look again at what may have changed: all, or what was just told alone. `now_s` is the
        clock on the wall, in seconds since the epoch; for `calm_s` this process was not paused."""
        for name, exchange in self._exchanges.items():
            if not (exchange.touched or (all_ and (exchange.waits or exchange.stale))):
                continue
            open_s, suspects = self._market.open_s(name, now_s), exchange.touched
            if all_ and open_s is None:
                suspects = suspects | dict.fromkeys(exchange.stale)
            elif all_ and open_s is not None:
                suspects = suspects | dict.fromkeys(exchange.due(min(open_s, calm_s)))
            self._untold |= exchange.touched
            exchange.touched = {}
            for key in suspects:
                self._judge(key, exchange, open_s, calm_s)

    def tell(self) -> list[Verdict]:
        """What the shards have to know now."""
        found: list[Verdict] = []
        rows: dict[int, list[Stale]] = defaultdict(list)
        for key in self._untold:
            claimants = self._claimants(key)
            stale = self._modes(key)
            for shard in {*claimants, *(one for one, told in self._told.items() if key in told)}:
                modes = stale if shard in claimants else 0
                if shard not in self._anew and modes != self._told[shard].get(key, 0):
                    self._tell_one(shard, Stale(key, modes), rows)
        self._untold.clear()
        for shard in self._anew:
            for key in chain.from_iterable(one.stale for one in self._exchanges.values()):
                if shard in self._claimants(key):
                    self._tell_one(shard, Stale(key, self._modes(key)), rows)
            found += _messages(shard, rows.pop(shard, []), replace=True)
        self._anew.clear()
        for shard, told in rows.items():
            found += _messages(shard, told, replace=False)
        return found

    def _set(self, shard: int, row: Quiet) -> None:
        """What one shard says of one key."""
        if row.modes:
            if not self._market.exchange(row.key):
                return
            self._quiet[row.key][shard] = row
            self._of_shard[shard][row.key] = None
        elif row.key in self._of_shard[shard]:
            del self._of_shard[shard][row.key], self._quiet[row.key][shard]
            if not self._quiet[row.key]:
                del self._quiet[row.key]
        self._touch(row.key)

    def _touch(self, key: bytes) -> None:
        self._exchanges[self._market.exchange(key)].touched[key] = None

    def _judge(self, key: bytes, exchange: _Exchange, open_s: float | None, calm_s: float) -> None:
        """Whether a key is stale, and in which modes; what is so already stays so while it is
        quiet and its market in session."""
        before, stale, after_s = exchange.stale.get(key, 0), 0, math.inf
        session_s = -1.0 if open_s is None else min(open_s, calm_s)
        claimants = self._claimants(key)
        for shard, row in self._quiet.get(key, {}).items():
            modes = row.modes & claimants.get(shard, 0)
            if row.after_s <= session_s:
                stale |= modes
            else:
                stale |= modes & before if open_s is not None else 0
                after_s = min(after_s, row.after_s)
        if stale != before:
            self.count += stale.bit_count() - before.bit_count()
            self._untold[key] = None
        if stale:
            exchange.stale[key] = stale
        elif before:
            del exchange.stale[key]
        exchange.wait(key, after_s)

    def _modes(self, key: bytes) -> int:
        exchange = self._exchanges.get(self._market.exchange(key))
        return exchange.stale.get(key, 0) if exchange else 0

    def _tell_one(self, shard: int, row: Stale, rows: dict[int, list[Stale]]) -> None:
        if row.modes:
            self._told[shard][row.key] = row.modes
        else:
            self._told[shard].pop(row.key, None)
        rows[shard].append(row)


def _messages(shard: int, rows: list[Stale], *, replace: bool) -> Iterable[Verdict]:
    for start in range(0, len(rows) or int(replace), _MOST_TOLD):
        yield Verdict(shard, rows[start : start + _MOST_TOLD], replace and not start)
