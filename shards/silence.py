"""What a shard hears nothing of: looked for now and then, at no cost for a tick. Pure.

1. A topic, a key in a mode, has ticked when its newest value came since the last look, by the order
   of arrival. First values are no ticks.
2. It is quiet when it has not ticked for longer than `stale_s`, and than `_USUAL` times the pause
   that is usual for it. A pause is known when it has ticked twice.
3. A pause that is far longer than usual, as a night is, counts as a little longer.
4. Each feed is told what has changed of its keys; everything, when it or the router is new.
5. Whether quiet means anything is not for a shard to say: the feed's host knows the market
   (hub/core/stale.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from itertools import islice
from typing import Any, Generic, NamedTuple

from hub.core.hot import Line
from hub.core.index import Index
from hub.core.latest import Latest
from hub.core.model import MODES, Mode, Quiet
from shards.fanout import Fanout, R
from shards.slices import Work, pieces

_USUAL = 10
"""Pauses of the usual length without a tick after which a topic is quiet."""

_LOOKS = 6
"""Looks in `stale_s`: what ticks all the time is seen to tick at each. It did so half the time
between two looks ago; ten times that is less than `stale_s`."""
_MOST_TOLD = 500
"""Keys told in one message."""

_WEIGHT = 1 / 8
"""What the last pause counts for in the usual one."""

_LONGEST = 4
"""Usual pauses as which a longer one counts at the most."""


class _Topic:
    """One topic: its last value seen, when it last ticked, the pause that is usual, and how long
    it may be silent. The pause is 0 until it is known, and below that before the first tick."""

    __slots__ = ("mode", "patience_s", "seq", "ticked_s", "usual_s")

    def __init__(self, mode: Mode, seq: int, now_s: float, patience_s: float) -> None:
        self.mode = mode
        self.seq = seq
        self.ticked_s = now_s
        self.usual_s = -1.0
        self.patience_s = patience_s

    def moved(self, lines: Sequence[Line]) -> int:
        """The place of a value that is newer than the last one seen, 0 when there is none."""
        mode, seq = self.mode, self.seq
        for line in lines:
            if line.seq > seq and line.mode >= mode and line.payload is not None:
                seq = line.seq
        if seq == self.seq:
            return 0
        self.seq = seq
        return seq


_NONE: tuple[int, tuple[_Topic, ...]] = (0, ())


class Told(NamedTuple):
    """What one feed is told; with `replace` it is all that is quiet of its keys."""

    feed: str
    rows: list[Quiet]
    replace: bool


class Silence(Generic[R]):
    """The silence of the keys that are held, looked for every `every_s`; never, when that is 0.
    Time is that in which this process was awake."""

    def __init__(self, index: Index[R], latest: Latest, fanout: Fanout[R], stale_s: float) -> None:
        self._index = index
        self._latest = latest
        self._remembered: dict[bytes, int] = {}
        fanout.remembered = self._remembered if stale_s else None
        self._stale_s = stale_s
        self.every_s = stale_s / _LOOKS
        self._topics: dict[bytes, tuple[int, tuple[_Topic, ...]]] = {}
        self._quiet: dict[str, dict[bytes, Quiet]] = defaultdict(dict)
        self._changed: dict[str, dict[bytes, None]] = defaultdict(dict)
        self._anew: dict[str, None] = {}
        self._looking = False

    def __repr__(self) -> str:
        quiet = sum(map(len, self._quiet.values()))
        return f"<Silence {len(self._topics)} keys, {quiet} quiet>"

    def look(self, now_s: float) -> Work:
        """Look at all that is held, unless that is being done."""
        if self._looking:
            return
        self._looking = True
        try:
            for piece in pieces(list(self._index)):
                for key in piece:
                    self._look_at(key, now_s)
                yield len(piece)
            yield from self._forget_ended()
        finally:
            self._looking = False

    def reset(self, feeds: Iterable[str]) -> None:
        """Ticks may have been missed: count anew, and tell these feeds so."""
        self._topics.clear()
        self._quiet.clear()
        self._changed.clear()
        self._anew = dict.fromkeys(feeds)

    def gone(self, feed: str) -> None:
        """A feed has gone; the next of its name knows nothing."""
        self._anew[feed] = None

    def untold(self, there: Container[str]) -> bool:
        """Whether there is something to tell a feed that is there."""
        return any(feed in there for feed in self._anew) or any(
            keys and feed in there for feed, keys in self._changed.items()
        )

    def tell(self, there: Container[str]) -> list[Told]:
        """What feeds that are there have to know, not more at once than is good for the loop."""
        replaced = [feed for feed in self._anew if feed in there]
        for feed in replaced:
            del self._anew[feed]
            self._changed[feed] = dict.fromkeys(self._quiet[feed])
        found = []
        for feed, changed in self._changed.items():
            if feed in there and (changed or feed in replaced):
                keys = list(islice(changed, _MOST_TOLD))
                quiet = self._quiet[feed]
                rows = [quiet.get(key) or Quiet(key, 0, 0.0) for key in keys]
                for key in keys:
                    del changed[key]
                found.append(Told(feed, rows, feed in replaced))
        return found

    def _forget_ended(self) -> Work:
        """Forget what is held no more."""
        known: dict[bytes, Any]
        for known in (self._remembered, self._topics):
            for piece in pieces(list(known)):
                for key in piece:
                    if key not in self._index:
                        known.pop(key, None)
                yield len(piece)
        for feed, quiet in list(self._quiet.items()):
            for piece in pieces(list(quiet)):
                for key in piece:
                    if not self._holds(feed, key):
                        self._set(feed, Quiet(key, 0, 0.0))
                yield len(piece)

    def _look_at(self, key: bytes, now_s: float) -> None:
        """Look at one key, in the modes in which it is held."""
        held, variants = 0, self._index.audiences(key)
        for variant in variants:
            held |= variant.modes
        known, topics = self._topics.get(key, _NONE)
        if known != held:
            topics = self._begun(topics, key, held, now_s)
            self._topics[key] = held, topics
        no_tick = self._remembered.pop(key, 0) if self._remembered else 0
        lines, quiet, after_s = self._latest.of(key), 0, 0.0
        for topic in topics:
            if topic.moved(lines) > no_tick:
                self._ticked(topic, now_s)
            if now_s - topic.ticked_s > topic.patience_s:
                quiet, after_s = quiet | topic.mode.bit, max(after_s, topic.patience_s)
        for variant in variants:
            if quiet or key in self._quiet[variant.feed]:
                self._set_of(variant.feed, key, quiet, after_s)

    def _begun(
        self, topics: Iterable[_Topic], key: bytes, held: int, now_s: float
    ) -> tuple[_Topic, ...]:
        """The topics of a key that is held in other modes than before, or is new here."""
        known = {topic.mode: topic for topic in topics}
        for mode in MODES:
            if held & mode.bit and mode not in known:
                newest = self._latest.newest(key, mode)
                seq = newest.seq if newest else 0
                known[mode] = _Topic(mode, seq, now_s, self._stale_s)
        return tuple(known[mode] for mode in MODES if held & mode.bit)

    def _ticked(self, topic: _Topic, now_s: float) -> None:
        """A topic has ticked since the last look."""
        half_s = self.every_s / 2
        pause_s, topic.ticked_s = max(half_s, now_s - topic.ticked_s - half_s), now_s
        if topic.usual_s < 0:
            topic.usual_s = 0.0
        elif not topic.usual_s:
            topic.usual_s = min(pause_s, _USUAL * self._stale_s)
        else:
            counted_s = min(pause_s, max(_LONGEST * topic.usual_s, self._stale_s))
            topic.usual_s += _WEIGHT * (counted_s - topic.usual_s)
        topic.patience_s = max(self._stale_s, _USUAL * topic.usual_s)

    def _set_of(self, feed: str, key: bytes, quiet: int, after_s: float) -> None:
        """Some modes of a key are quiet: those count that are held of this feed."""
        held = 0
        for variant in self._index.audiences(key):
            held |= variant.modes if variant.feed == feed else 0
        self._set(feed, Quiet(key, quiet & held, after_s))

    def _set(self, feed: str, row: Quiet) -> None:
        """What is quiet of a key of a feed; it is told when that is news."""
        known = self._quiet[feed]
        if known.get(row.key, Quiet(row.key, 0, 0.0)).modes == row.modes:
            return
        if row.modes:
            known[row.key] = row
        else:
            del known[row.key]
        self._changed[feed][row.key] = None

    def _holds(self, feed: str, key: bytes) -> bool:
        return any(variant.feed == feed for variant in self._index.audiences(key))
