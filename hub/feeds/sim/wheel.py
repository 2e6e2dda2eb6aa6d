"""The turn of the simulator's symbols: who ticks when. Pure; `now` is in seconds.

A symbol has a fixed place in the turn, so that the ticks of all are spread evenly over time. A
process that cannot keep up leaves whole rounds out, the same for every symbol; it never builds a
backlog.
"""

from __future__ import annotations

from hub.core import topics
from hub.core.model import Mode
from hub.feeds.sim.market import Walk
from hub.feeds.sim.universe import Listing

BATCH = 500
"""Symbols that tick in one call of the loop; then others have their turn."""

_FIRSTS = BATCH // 5
_BREATH_S = 0.01
_SLOT_S = 0.01
_MAX_SLOTS = 1000
_SLACK_S = 1.0
_EARLY_S = 0.001
_RECENT_S = 10.0
_HIGHEST_FIRST = [[mode for mode in reversed(Mode) if modes & mode.bit] for modes in range(8)]


class Stream:
    """One subscribed instrument: its walk, and the topics wanted of it, highest mode first.

    The walk is made at the first tick, for a subscribe must be quick; it outlives the
    subscription, so that volume goes on where it stood.
    """

    __slots__ = ("_listing", "_seed", "_topics", "_walk", "modes", "place")

    def __init__(self, place: int, listing: Listing, seed: int) -> None:
        self.place = place
        self.modes = 0
        self._listing = listing
        self._seed = seed
        self._topics: list[tuple[Mode, bytes]] = []
        self._walk: Walk | None = None

    def __repr__(self) -> str:
        return f"<Stream {':'.join(self._listing.instrument)} modes {self.modes}>"

    def want(self, key: bytes, modes: int) -> bool:
        """Take what is wanted from now on; true when that has a mode it had not before."""
        more = modes & ~self.modes
        self.modes = modes
        self._topics = [(mode, topics.of(key, mode)) for mode in _HIGHEST_FIRST[modes & 7]]
        return bool(more)

    def tick(self, now_ms: int, pairs: list[bytes]) -> None:
        """One trade, appended to `pairs` as topic and JSON for each mode wanted."""
        walk = self._walk
        if walk is None:
            walk = self._walk = Walk(self._listing, self._seed)
        walk.step()
        for mode, topic in self._topics:
            pairs.append(topic)
            pairs.append(walk.payload(mode, now_ms))


class Wheel:
    """Whose turn it is: a round of slots, each stream in one of them. Pure; times in seconds of
    any clock that does not go back.

    `skipped` counts the rounds left out since it last fell behind.
    """

    def __init__(self, rate: float) -> None:
        period = 1 / rate
        self._count = min(_MAX_SLOTS, max(1, round(period / _SLOT_S)))
        self._width = period / self._count
        self._slack = max(self._count, round(_SLACK_S / self._width))
        self._recent = max(_RECENT_S, 2 * period)
        self._slots: list[dict[int, Stream]] = [{} for _ in range(self._count)]
        self._size = 0
        self._next = 0
        self._firsts: list[Stream] = []
        self._rest: list[Stream] = []
        self._now = 0.0
        self._skipped_at = float("-inf")
        self.skipped = 0

    def __repr__(self) -> str:
        return f"<Wheel {self._size} streams in {self._count} slots, {self.skipped} skipped>"

    def __len__(self) -> int:
        return self._size

    def add(self, stream: Stream, now: float) -> None:
        """Give a stream its place in the round, and a first turn at once."""
        if not self._size:
            self._next = self._slot_at(now) + 1
        slot = self._slots[stream.place % self._count]
        self._size += stream.place not in slot
        slot[stream.place] = stream
        self._firsts.append(stream)

    def remove(self, stream: Stream) -> None:
        """Take a stream out; without effect when it is not in."""
        found = self._slots[stream.place % self._count].pop(stream.place, None)
        self._size -= found is not None
        if not self._size:
            self._firsts.clear()
            self._rest.clear()

    def due(self, now: float) -> list[Stream]:
        """The next streams whose turn it is, at most BATCH; call again when `next_due` says so.

        First turns are up to a fifth of a batch, and by themselves come no faster than 10,000 a
        second, so that a large subscribe does not put the others, and its own answers, behind.
        """
        self._now = now
        while len(self._rest) < BATCH and (more := self._next_slot(self._slot_at(now))):
            self._rest[:0] = more
        batch = _cut(self._rest, BATCH - min(len(self._firsts), _FIRSTS))
        batch += _cut(self._firsts, _FIRSTS)
        return [stream for stream in batch if stream.modes]

    def next_due(self) -> float | None:
        """When to call `due` again: in the past for at once, None for not at all."""
        if self._rest:
            return float("-inf")
        if not self._size:
            return None
        number = self._next
        while not self._slots[number % self._count]:
            number += 1
        due = number * self._width
        return min(due, self._now + _BREATH_S) if self._firsts else due

    def problem(self) -> str:
        """A sentence when rounds were left out lately."""
        if not self._size or self._now - self._skipped_at > self._recent:
            return ""
        rate = 1 / (self._width * self._count)
        return (
            f"cannot keep up: {self.skipped} rounds left out lately; {self._size} symbols at "
            f"{rate:g}/s are {self._size * rate:,.0f} updates a second"
        )

    def _slot_at(self, now: float) -> int:
        """The number of the slot due at `now`; a timer that is a little early is on time."""
        return int((now + _EARLY_S) / self._width)

    def _next_slot(self, current: int) -> list[Stream]:
        """The streams of the first slot up to `current` that has any."""
        while self._size and self._next <= current:
            if slot := self._slots[self._next % self._count]:
                self._skip(current - self._next)
                self._next += 1
                return list(slot.values())
            self._next += 1
        return []

    def _skip(self, behind: int) -> None:
        """Leave out the whole rounds in `behind` slots, when that is more than the slack."""
        if behind <= self._slack:
            return
        if self._now - self._skipped_at > self._recent:
            self.skipped = 0
        self._skipped_at = self._now
        self.skipped += behind // self._count
        self._next += behind // self._count * self._count


def _cut(streams: list[Stream], most: int) -> list[Stream]:
    """Take up to `most` off the end."""
    at = max(0, len(streams) - most)
    cut = streams[at:]
    del streams[at:]
    return cut
