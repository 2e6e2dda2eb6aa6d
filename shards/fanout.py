"""Ticks in, frames out: the hot path of a shard.

1. A tick becomes one frame per tag and spelling, and is put down once per audience.
2. A client gets at most one frame of a tick, tagged with its highest mode not above the tick's.
3. Between two flushes nobody joins or leaves: whatever changes the index flushes first.
4. A malformed payload is dropped and counted; it disturbs nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

from hub.core import frames, topics
from hub.core.errors import Malformed
from hub.core.index import Audience, Index, Variant
from hub.core.latest import Latest, Line, Route
from hub.core.model import Mode, highest_up_to


class Receiver(Hashable, Protocol):
    """What the fan-out needs of a session."""

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        """Take whole frames; `lines` are where they came from, for a session that is behind."""


R = TypeVar("R", bound=Receiver)
_HEADERS = frames.HEADERS
_CACHED = len(frames.HEADERS)


class Fanout(Generic[R]):
    """Turns ticks into frames for audiences and hands them over at each flush.

    `admits` tells whether a key concerns this shard at all; beyond `most_lines` topics the older
    half of those that nobody holds is forgotten.
    """

    def __init__(
        self,
        index: Index[R],
        latest: Latest,
        admits: Callable[[bytes], bool],
        most_lines: int = 1_000_000,
    ) -> None:
        self._index = index
        self._latest = latest
        self._admits = admits
        self._most_lines = self._crowded_at = most_lines
        self._dirty: list[Audience[R]] = []
        self._expected: dict[tuple[bytes, int], None] = {}
        self.seq = 0
        self.reserved = 0
        self.delivered = 0
        self.malformed = 0
        self.forgotten = 0

    def __repr__(self) -> str:
        return f"<Fanout {self.taken} ticks in, {self.delivered} frames out>"

    @property
    def taken(self) -> int:
        """How many ticks have come in."""
        return self.seq - self.reserved

    def offer(self, pairs: Sequence[bytes]) -> None:
        """Take ticks `[topic, json, ...]` in their order."""
        lines = self._latest.lines
        dirty = self._dirty
        clean = frames.clean
        parts = iter(pairs)
        seq = self.seq
        for topic, raw in zip(parts, parts, strict=True):
            line = lines.get(topic) or self._admit(topic)
            if line is None:
                continue
            try:
                payload = clean(raw)
            except Malformed:
                self.malformed += 1
                continue
            seq += 1
            line.seq = seq
            line.payload = payload
            routes = line.routes
            if routes is None:
                routes = self._resolve(line)
            for head, tail, audiences in routes:
                size = len(head) + len(payload) + len(tail)
                header = _HEADERS[size] if size < _CACHED else frames.header(size)
                frame = b"".join((header, head, payload, tail))
                for audience in audiences:
                    if not audience.frames:
                        dirty.append(audience)
                    audience.frames.append(frame)
                    audience.lines.append(line)
        self.seq = seq

    def reserve(self) -> int:
        """Keep places in the order of arrival for values that a home will tell of before now."""
        place = self.seq + 1
        self.seq += len(Mode)
        self.reserved += len(Mode)
        return place

    def remember(self, pairs: Sequence[bytes], places: Mapping[bytes, int]) -> None:
        """Take last values of these keys; they are not news to anyone, and older than all that
        came since their key's place was reserved. Of a key they are in order."""
        parts = iter(pairs)
        taken: Counter[bytes] = Counter()
        for topic, payload in zip(parts, parts, strict=True):
            line = self._latest.lines.get(topic) or self._admit(topic)
            if line is None or line.key not in places:
                continue
            if line.payload is None or line.seq < places[line.key]:
                line.seq = places[line.key] + taken[line.key]
                line.payload = payload
                taken[line.key] += 1

    def expect(self, key: bytes, mode: int) -> None:
        """Somebody has begun to hold this key: there is something to `prepare`."""
        self._expected[key, mode] = None

    @property
    def unprepared(self) -> bool:
        """Whether there is something to `prepare`."""
        return bool(self._expected)

    def prepare(self, most: int) -> None:
        """Make the way of up to `most` topics ready, while there is time: the first tick of each
        costs as much as ten later ones, and at the opening bell they all come at once."""
        for place in list(islice(self._expected, most)):
            del self._expected[place]
            key, mode = place
            if key in self._index:
                line = self._line(key, mode)
                if line.routes is None:
                    self._resolve(line)

    @property
    def pending(self) -> bool:
        """Whether frames wait for the next flush."""
        return bool(self._dirty)

    def flush(self) -> None:
        """Hand over what is pending: the same bytes to all members of an audience, and to each
        session all of its audiences' at once."""
        dirty = self._dirty
        if not dirty:
            return
        self._dirty = []
        if len(dirty) == 1:
            self._flush_one(dirty[0])
        else:
            self._flush_many(dirty)

    def _flush_one(self, audience: Audience[R]) -> None:
        data, lines = self._take(audience)
        for member in audience.members:
            member.deliver(data, lines)

    def _flush_many(self, dirty: list[Audience[R]]) -> None:
        waiting: dict[R, tuple[list[bytes], list[Line]]] = defaultdict(lambda: ([], []))
        for audience in dirty:
            data, lines = self._take(audience)
            for member in audience.members:
                parts, all_lines = waiting[member]
                parts.append(data)
                all_lines += lines
        for member, (parts, lines) in waiting.items():
            member.deliver(b"".join(parts), lines)

    def _take(self, audience: Audience[R]) -> tuple[bytes, list[Line]]:
        waiting, lines = audience.frames, audience.lines
        audience.frames, audience.lines = [], []
        self.delivered += len(waiting) * len(audience.members)
        return b"".join(waiting), lines

    def _admit(self, topic: bytes) -> Line | None:
        """A topic that is new here: its line, None when it does not concern this shard."""
        try:
            key, mode = topics.parse(topic)
        except Malformed:
            self.malformed += 1
            return None
        return self._line(key, mode) if self._admits(key) else None

    def _line(self, key: bytes, mode: int) -> Line:
        """A topic's line; a new one may have to find room first. When most are held, and there is
        little to forget, it is not looked for again at once."""
        lines = self._latest.lines
        if len(lines) >= self._crowded_at:
            self.forgotten += self._latest.shrink(self._index.__contains__)
            self._crowded_at = max(self._most_lines, len(lines) + len(lines) // 8)
        return self._latest.line(key, mode)

    def _resolve(self, line: Line) -> tuple[Route, ...]:
        """The frames a line's ticks become, and the audiences of each."""
        by_frame: dict[tuple[bytes, bytes], tuple[Audience[R], ...]] = {}
        for variant, audience in self._index.audiences(line.key).items():
            tag = highest_up_to(variant.modes, line.mode)
            if tag:
                around = frames.market_data(variant, tag)
                by_frame[around] = (*by_frame.get(around, ()), audience)
        line.routes = tuple([(*around, found) for around, found in by_frame.items()])
        return line.routes


def frame(line: Line, variant: Variant) -> bytes | None:
    """A line's newest value as the frame for one way of holding its key; None if that way gets
    no such ticks, or nothing is known."""
    tag = highest_up_to(variant.modes, line.mode)
    if not tag or line.payload is None:
        return None
    head, tail = frames.market_data(variant, tag)
    return frames.tick(head, line.payload, tail)
