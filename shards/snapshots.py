"""First values: what a client is shown of a symbol it has just begun to hold.

1. A value is shown once, right after the reply, or as soon as the key's keeper has sent it.
2. A tick that was faster takes its place: a client never gets an old value after a newer one.
3. What the shard knew before a key opened is shown to nobody who comes, and void when the keeper
   has answered, who knows better. Until then it is what those who are behind are owed.
4. The shard's own words to the router are numbered. A leg is open when the router says so for the
   word that opens it, or for a later one; until then who comes waits, whatever is known.
5. An opening is settled by the answer to its own question and by no other. What is known follows
   the stream alone: an answer is taken for a key that nobody here wants yet, or any more.
6. At a new stay all that is known is doubtful: ticks may have been missed. Nobody else is told it.
   Who holds a key is shown what its keeper answers, if that is news to him, as if he came new.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from hub.core import forms, topics
from hub.core.hot import Audience, Line
from hub.core.index import Variant
from hub.core.latest import Latest
from hub.core.model import Mode, lowest
from shards.fanout import Fanout, frame

FRESH_S = 60.0
"""Age up to which a value that came unasked counts as live."""


class Waiter(Hashable, Protocol):
    """What is needed of a client; `form` is how its messages are written (core/forms)."""

    form: int

    def deliver_batch(self, batch: bytes, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        """Take values: as one batch, one by one, and where they came from."""

    def owes(self, line: Line) -> bool:
        """Whether a tick of this line has come that the client could not be sent yet."""

    def owing(self) -> Iterable[Line]:
        """The lines of which ticks have come that the client could not be sent yet."""

    def keep(self, line: Line, as_it_was: Line) -> None:
        """The value of a line that is owed is about to be void: pay it all the same."""


C = TypeVar("C", bound=Waiter)


class _Held(Protocol):
    """What a client holds."""

    def get(self, key: bytes, /) -> Variant | None:
        """How it holds a key."""


class Holders(Protocol[C]):
    """Who holds which key: what is needed of hub/core/index.Index."""

    def __contains__(self, key: bytes, /) -> bool: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def audiences(self, key: bytes) -> Mapping[Variant, Audience[C]]:
        """The clients of a key, by how they hold it."""

    def held(self, session: C, /) -> _Held:
        """What a client holds."""

    def holders(self) -> Iterable[C]:
        """Those who may be owed something."""


class _Awaiting(NamedTuple, Generic[C]):
    """A client that is owed a first value: the lowest mode it waits in, the modes it held before,
    and the last tick it cannot have been sent. One that had the key in an earlier stay has the
    newest value of that already."""

    client: C
    mode: Mode
    held: int
    seq: int
    had: tuple[Line, bytes | None] | None = None


class _Opening(NamedTuple):
    """A key whose ticks begin: the question to its keeper, and the place in the order of arrival
    where they did; what the keeper tells is from before."""

    question: int
    place: int


class Snapshots(Generic[C]):
    """Which keys are opening, and who waits for a first value of them."""

    def __init__(
        self,
        index: Holders[C],
        latest: Latest,
        fanout: Fanout[Any],
    ) -> None:
        self._index = index
        self._latest = latest
        self._fanout = fanout
        self._told: dict[bytes, int] = {}  # words that open legs, of which nothing was heard yet
        self._opening: dict[bytes, _Opening] = {}
        self._awaiting: dict[bytes, dict[C, _Awaiting[C]]] = {}
        self._doubtful: dict[bytes, int] = {}  # keys, and the last tick of an earlier stay

    def __repr__(self) -> str:
        opening = len(self._told.keys() | self._opening.keys())
        return f"<Snapshots {opening} opening, {len(self._awaiting)} awaited>"

    @property
    def doubtful(self) -> bool:
        """Whether something of an earlier stay has not been asked about yet, or not answered."""
        return bool(self._doubtful)

    def opening(self, key: bytes, number: int) -> None:
        """The router is told to open a leg for this key, in the shard's `number`th word."""
        self._told[key] = number

    def ended(self, key: bytes) -> None:
        """Nobody here wants this key any more. What is known of it is kept until the router says
        that it is not needed."""
        self._told.pop(key, None)
        self._awaiting.pop(key, None)
        self._doubtful.pop(key, None)
        self._latest.tidy(key)

    def left(self, client: C, key: bytes, modes: int = 0) -> None:
        """A client holds this key only in these modes any more. It goes on waiting in the lowest
        of them that it waits in, unless it has been sent a tick meanwhile."""
        waiting = self._awaiting.get(key, {})
        one = waiting.pop(client, None)
        awaited = modes & ~one.held if one else 0
        if one and awaited and self._waits(key, one):
            waiting[client] = one._replace(mode=Mode(lowest(awaited)))
        elif one and not waiting:
            del self._awaiting[key]

    def opened(self, keys: Iterable[bytes], number: int, question: int) -> None:
        """The ticks of these keys begin here in the stream, by the shard's `number`th word; their
        keeper is asked what was before."""
        begun = _Opening(question, self._fanout.reserve())
        for key in keys:
            self._opening[key] = begun
            if self._told.get(key, number + 1) <= number:
                del self._told[key]

    def closed(self, keys: Sequence[bytes]) -> None:
        """The ticks of these keys end here in the stream: others know better from now on."""
        for key in keys:
            self._opening.pop(key, None)
            self._doubtful.pop(key, None)
        self.forget(keys)

    def reset(self) -> None:
        """Ticks may have been missed: nothing that was known counts any more, and no answer that
        is still under way will come. What is held here will be asked about anew."""
        self._told.clear()
        self._opening.clear()
        known = {line.key for line in self._latest.lines.values()}
        self.forget(key for key in known if key not in self._index)
        for key in self._index:
            self._doubt(key)

    def forget(self, keys: Iterable[bytes]) -> None:
        """What is known of these keys is void, but for those who are owed it; who has been sent
        some of it waits no longer."""
        void = dict.fromkeys(keys, math.inf)
        self._keep_owed(void)
        for key in void:
            if not self._latest.of(key):
                continue
            if key in self._awaiting:
                self._awaiting[key] = self._still_waiting(key, self._awaiting[key])
            self._latest.forget(key)
            self._tidy(key)

    def first(self, client: C, key: bytes, mode: Mode, held: int) -> Line | None:
        """The line to show a client that begins to hold a key and already `held` some modes of
        it; None when nothing is known, or when it has to wait."""
        if key not in self._told:
            opening = self._opening.get(key)
            line = self._latest.snapshot(key, mode, held)
            if opening is None or (line is not None and line.seq >= opening.place):
                return line
        self._wait(client, key, mode, held)
        return None

    def query(self, live: Sequence[bytes], other: Sequence[bytes], now_s: float) -> list[bytes]:
        """The last values of these keys as pairs, for a shard that asks their keeper. Of `other`
        keys, which were not live upstream, only what has just come counts, or is held here."""
        for key in other:
            if key in self._index:
                continue
            for line in self._latest.of(key):
                if now_s - line.seen_s > FRESH_S:
                    line.payload = None
            self._tidy(key)
        pairs: list[bytes] = []
        for key in (*live, *other):
            for line in sorted(self._latest.of(key), key=lambda line: line.seq):
                if line.payload is not None and line.seq > self._doubtful.get(key, -1):
                    pairs += (topics.of(key, line.mode), line.payload)
        return pairs

    def values(self, pairs: Sequence[bytes], keys: Sequence[bytes], question: int) -> None:
        """The keeper has answered this question about these keys: show those who wait what is news
        to them."""
        self._fanout.flush()
        places = self._settle(keys, question)
        if len(places) < len(keys):
            pairs = topics.select(pairs, places.__contains__)
        waiting = self._waiting(places)
        self._keep_owed(places)
        self._fanout.remember(pairs, places)
        for key, place in places.items():
            self._outdate(key, place)
        self._show(waiting)

    def own(self, keys: Sequence[bytes], question: int) -> None:
        """The shard is the keeper of these keys itself: what it knows is the answer."""
        self._fanout.flush()
        places = {key: self._doubtful.get(key, -1) + 1 for key in self._settle(keys, question)}
        waiting = self._waiting(places)
        self._keep_owed(places)
        for key, place in places.items():
            self._outdate(key, place)
        self._show(waiting)

    def _doubt(self, key: bytes) -> None:
        """Who holds a key waits for what its keeper will answer."""
        seq = self._doubtful[key] = self._fanout.seq
        waiting = self._awaiting.setdefault(key, {})
        for variant, audience in self._index.audiences(key).items():
            mode = Mode(lowest(variant.modes))
            newest = self._latest.newest(key, mode)
            had = (newest, newest.payload) if newest else None
            for client in audience.members:
                before = waiting.get(client)
                if before is not None and self._waits(key, before):
                    waiting[client] = before._replace(seq=seq)
                else:
                    waiting[client] = _Awaiting(client, mode, 0, seq, had)

    def _outdate(self, key: bytes, place: int) -> None:
        """What came before this place is void."""
        self._doubtful.pop(key, None)
        self._latest.outdate(key, place)
        self._tidy(key)

    def _keep_owed(self, places: Mapping[bytes, float]) -> None:
        """What came of these keys before their places is about to be void: for those who are owed
        it, it is the best there is. They hold its key, so that mostly there is nobody to look
        for: all that all clients are owed may be millions of lines."""
        void = {
            line
            for key, place in places.items()
            if key in self._index
            for line in self._latest.of(key)
            if line.payload is not None and line.seq < place
        }
        copies: dict[Line, Line] = {}
        for client in self._index.holders() if void else ():
            for line in client.owing():
                if line in void:
                    if line not in copies:
                        copies[line] = _copy(line)
                    client.keep(line, copies[line])

    def _tidy(self, key: bytes) -> None:
        """Keep no line that knows nothing, unless somebody here waits for its ticks."""
        if key not in self._index:
            self._latest.tidy(key)

    def _settle(self, keys: Sequence[bytes], question: int) -> dict[bytes, int]:
        """The keys that this question settles, with the places where they opened."""
        places = {}
        for key in keys:
            opening = self._opening.get(key)
            if opening is not None and opening.question == question:
                places[key] = opening.place
                del self._opening[key]
        return places

    def _waiting(self, keys: Iterable[bytes]) -> dict[bytes, dict[C, _Awaiting[C]]]:
        """Of keys that are settled: those who wait and have been sent no tick since."""
        return {
            key: self._still_waiting(key, self._awaiting.pop(key))
            for key in keys
            if key in self._awaiting
        }

    def _show(self, waiting: dict[bytes, dict[C, _Awaiting[C]]]) -> None:
        """Show what is known now to those who wait, to each all at once. Who waits for a leg that
        is yet to open goes on waiting: as if from now, since what has come to be known here was
        sent to nobody."""
        found: dict[C, tuple[list[bytes], list[Line]]] = {}
        for key, ones in waiting.items():
            for client, one in ones.items():
                if key in self._told:
                    later = one._replace(seq=self._fanout.seq)
                    self._awaiting.setdefault(key, {})[client] = later
                else:
                    self._find(key, one, found)
        for client, (values, lines) in found.items():
            client.deliver_batch(forms.joined(values, client.form), values, lines)

    def _find(
        self, key: bytes, one: _Awaiting[C], found: dict[C, tuple[list[bytes], list[Line]]]
    ) -> None:
        """Put what is known of a key, and news to one who waits, to what it is shown."""
        variant = self._index.held(one.client).get(key)
        line = self._latest.snapshot(key, one.mode, one.held)
        if line is None or (line, line.payload) == one.had or one.client.owes(line):
            return
        if variant is not None and variant.modes & one.mode.bit:
            shown = frame(line, variant)
            if shown is not None:
                values, lines = found.setdefault(one.client, ([], []))
                values.append(shown)
                lines.append(line)

    def _still_waiting(self, key: bytes, waiting: dict[C, _Awaiting[C]]) -> dict[C, _Awaiting[C]]:
        """Those who have been sent no tick of the key since they began to wait."""
        return {client: one for client, one in waiting.items() if self._waits(key, one)}

    def _wait(self, client: C, key: bytes, mode: Mode, held: int) -> None:
        """A client waits for a first value; one that waits already does so in another mode too."""
        waiting = self._awaiting.setdefault(key, {})
        before = waiting.get(client)
        if before is not None and self._waits(key, before):
            waiting[client] = before._replace(mode=min(before.mode, mode))
        else:
            waiting[client] = _Awaiting(client, mode, held, self._fanout.seq)

    def _waits(self, key: bytes, one: _Awaiting[C]) -> bool:
        """Whether a client has been sent no tick of the key since it began to wait."""
        newest = self._latest.newest(key, one.mode)
        return newest is None or newest.seq <= one.seq


def _copy(line: Line) -> Line:
    """What a line knows now."""
    copy = Line(line.key, line.mode)
    copy.payload, copy.seq = line.payload, line.seq
    return copy
