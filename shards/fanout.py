"""Ticks in, frames out: the hot path of a shard.

1. A tick becomes one frame per tag and spelling, and is put down once per audience.
2. A client gets at most one frame of a tick, tagged with its highest mode not above the tick's.
3. Between two flushes nobody joins or leaves: whatever changes the index flushes first.
4. The loops over ticks are in hub/core/hot.py. What they meet first, they ask of this file.
5. Plain text is what nearly everybody is sent: other forms (core/forms) are no part of its loop.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from hub.core import forms, topics
from hub.core.errors import Malformed
from hub.core.hot import Audience, Line, fan, flush
from hub.core.index import Index, Variant
from hub.core.latest import Latest, Route
from hub.core.model import Mode, highest_up_to


class Receiver(Hashable, Protocol):
    """What the fan-out needs of a session, which is a `Sink`."""

    fd: int

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        """Take whole frames; `lines` are where their ticks came from, for a session that is
        behind."""

    def deliver_batch(self, batch: bytes, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        """The same for a session that is sent batches; `pieces` are the ticks of it one by one."""

    def unsent(self, data: bytes, sent: int) -> None:
        """The socket took only so many bytes of this, if any."""


R = TypeVar("R", bound=Receiver)


class Fanout(Generic[R]):
    """Turns ticks into frames for audiences and hands them over at each flush.

    Beyond `most_lines` topics the older half of those that nobody holds is forgotten. Who looks for
    ticks gives a map of its own for `remembered`, and takes out what it finds there: keys that are
    held and got a value that was no tick, with the last place of such a one.
    """

    def __init__(
        self,
        index: Index[R],
        latest: Latest,
        most_lines: int = 1_000_000,
    ) -> None:
        self._index = index
        self._latest = latest
        self._most_lines = self._crowded_at = most_lines
        self._dirty: list[Audience[R]] = []
        self._batches: list[Audience[R]] = []
        self._expected: dict[tuple[bytes, int], None] = {}
        self.remembered: dict[bytes, int] | None = None
        self.seq = 0
        self.observed = False  # whether somebody is to see what is offered, as a sample is in it
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

    def offer(self, pairs: list[bytes]) -> None:
        """Take ticks `[topic, json, ...]` in their order."""
        lines = self._latest.lines
        admit, resolve, formed = self._admit, self._resolve, self._offer_formed
        self.seq = fan(pairs, lines, admit, resolve, formed, self._dirty, self.seq)

    def keep(self, pairs: list[bytes], now_s: float) -> None:
        """The same for ticks that nobody here asked for; they came at this time."""
        self.offer(pairs)
        lines = self._latest.lines
        for topic in pairs[::2]:
            line = lines.get(topic)
            if line is not None:
                line.seen_s = now_s

    def reserve(self) -> int:
        """Keep places in the order of arrival for values that a keeper will tell of before now."""
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
                if self.remembered is not None and line.key in self._index:
                    self.remembered[line.key] = places[line.key] + len(Mode) - 1

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
        for _ in range(min(most, len(self._expected))):
            (key, mode), _ = self._expected.popitem()
            if key in self._index:
                line = self._line(key, mode)
                if line.routes is None:
                    self._resolve(line)

    @property
    def pending(self) -> bool:
        """Whether frames wait for the next flush."""
        return bool(self._dirty or self._batches)

    def flush(self) -> None:
        """Hand over what is pending: the same bytes to all members of an audience, and to each
        session all of its audiences' at once."""
        if self._batches:
            self._flush_batches()
        if self._dirty:
            dirty, self._dirty = self._dirty, []
            self.delivered += flush(dirty)

    def _take_pieces(self, audience: Audience[R]) -> tuple[list[bytes], list[Line]]:
        waiting, lines = audience.frames, audience.lines
        audience.frames, audience.lines = [], []
        self.delivered += len(waiting) * len(audience.members)
        return waiting, lines

    def _offer_formed(self, line: Line) -> None:
        """Put a line's tick down for those that asked for another form."""
        failed = False
        for head, tail, form, audiences in line.formed:
            try:
                piece = forms.piece(line, head, tail, form)
            except Malformed:
                failed = True
                continue
            dirty = self._batches if form & forms.BATCH else self._dirty
            for audience in audiences:
                if not audience.frames:
                    dirty.append(audience)
                audience.frames.append(piece)
                audience.lines.append(line)
        self.malformed += failed

    def _flush_batches(self) -> None:
        """The same in batches, one for all of a session's audiences."""
        dirty, self._batches = self._batches, []
        if len(dirty) > 1:
            self._flush_many_batches(dirty)
            return
        pieces, lines = self._take_pieces(dirty[0])
        batch = forms.joined(pieces, dirty[0].form)
        for member in dirty[0].members:
            member.deliver_batch(batch, pieces, lines)

    def _flush_many_batches(self, dirty: list[Audience[R]]) -> None:
        """Sessions that belong to the same audiences are handed the same."""
        waiting = {audience: self._take_pieces(audience) for audience in dirty}
        found: dict[R, list[Audience[R]]] = defaultdict(list)
        for audience in dirty:
            for member in audience.members:
                found[member].append(audience)
        made: dict[tuple[Audience[R], ...], tuple[bytes, list[bytes], list[Line]]] = {}
        for member, audiences in found.items():
            batch = made.get(tuple(audiences))
            if batch is None:
                pieces = [piece for audience in audiences for piece in waiting[audience][0]]
                lines = [line for audience in audiences for line in waiting[audience][1]]
                batch = forms.joined(pieces, audiences[0].form), pieces, lines
                made[tuple(audiences)] = batch
            member.deliver_batch(*batch)

    def _admit(self, topic: bytes) -> Line | None:
        """A topic that is new here: its line, None when it is none."""
        if topic == topics.SAMPLE:
            self.observed = True
            return None
        try:
            key, mode = topics.parse(topic)
        except Malformed:
            self.malformed += 1
            return None
        return self._line(key, mode)

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
        by_frame: dict[tuple[bytes, bytes, int], tuple[Audience[R], ...]] = {}
        for variant, audience in self._index.audiences(line.key).items():
            tag = highest_up_to(variant.modes, line.mode)
            if tag:
                around = (*forms.around(variant, tag), variant.form)
                by_frame[around] = (*by_frame.get(around, ()), audience)
        line.formed = tuple([(*around, found) for around, found in by_frame.items() if around[2]])
        line.routes = tuple(
            [
                (head, tail, found)
                for (head, tail, form), found in by_frame.items()
                if form == forms.PLAIN
            ]
        )
        return line.routes


def frame(line: Line, variant: Variant, skipped: int = 0) -> bytes | None:
    """A line's newest value as the frame, or piece of a batch, for one way of holding its key;
    None if that way gets no such ticks, or nothing is known. It tells of skipped ticks if there
    are any."""
    tag = highest_up_to(variant.modes, line.mode)
    if not tag or line.payload is None:
        return None
    try:
        return forms.piece(line, *forms.around(variant, tag, skipped), variant.form)
    except Malformed:
        return None
