"""First values: what a client is shown of a symbol it has just begun to hold.

1. A value is shown once, right after the reply, or as soon as the home has sent it.
2. A tick that was faster takes its place: a client never gets an old value after a newer one.
3. What the shard knew before a leg opened is shown to nobody who comes, and void when the home
   has answered, who knows better. Until then it is what those who are behind are owed.
4. Openings are numbered by the shard's own words to the router. An answer counts for the opening
   it was asked for, and for no other; while a later one is under way, it counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hub.core import topics
from hub.core.index import Index
from hub.core.latest import Latest, Line
from hub.core.model import Mode, lowest
from shards.fanout import Fanout, frame
from shards.tickets import Client

FRESH_S = 60.0
"""Age up to which a value that came unasked counts as live."""


class _Awaiting(NamedTuple):
    """A client that is owed a first value: the lowest mode it waits in, the modes it held before,
    and the last tick it cannot have been sent."""

    client: Client
    mode: Mode
    held: int
    seq: int


class _Opening(NamedTuple):
    """A leg that is opening: the number of the word that opens it (the first that may, until the
    router has said which), whether the router has said so, and the place in the order of arrival
    where it did: what a home tells is from before."""

    number: int
    open: bool
    place: int = 0


class Snapshots:
    """Which keys are opening, and who waits for a first value of them."""

    def __init__(
        self,
        index: Index[Client],
        latest: Latest,
        fanout: Fanout[Client],
        is_home: Callable[[bytes], bool],
    ) -> None:
        self._index = index
        self._latest = latest
        self._fanout = fanout
        self._is_home = is_home
        self._opening: dict[bytes, _Opening] = {}
        self._awaiting: dict[bytes, dict[Client, _Awaiting]] = {}

    def __repr__(self) -> str:
        return f"<Snapshots {len(self._opening)} opening, {len(self._awaiting)} awaited>"

    def opening(self, key: bytes, number: int) -> None:
        """The router is told to open a leg for this key, in the shard's `number`th word."""
        self._opening[key] = _Opening(number, open=False)

    def ended(self, key: bytes) -> None:
        """Nobody here wants this key any more."""
        self._opening.pop(key, None)
        self._awaiting.pop(key, None)

    def left(self, client: Client, key: bytes, modes: int = 0) -> None:
        """A client holds this key only in these modes any more. It goes on waiting in the lowest
        of them that it waits in, unless it has been sent a tick meanwhile."""
        waiting = self._awaiting.get(key, {})
        one = waiting.pop(client, None)
        awaited = modes & ~one.held if one else 0
        if one and awaited and self._waits(key, one):
            waiting[client] = one._replace(mode=Mode(lowest(awaited)))
        elif one and not waiting:
            del self._awaiting[key]

    def opened(self, keys: Iterable[bytes], number: int) -> None:
        """The legs of these keys begin here in the stream. What was known before counts no more
        for those who come, except at home, which has seen every tick."""
        begun = _Opening(number, open=True, place=self._fanout.reserve())
        for key in keys:
            expected = self._opening.get(key)
            if expected is None or expected.number <= number:
                self._opening[key] = begun

    def reset(self) -> None:
        """Ticks may have been missed: nothing that was known counts any more, and no answer that
        is still under way will come."""
        self._opening.clear()
        self.forget({line.key for line in self._latest.lines.values()})

    def forget(self, keys: Iterable[bytes]) -> None:
        """What is known of these keys is void; who has been sent some of it waits no longer."""
        for key in keys:
            if not self._latest.of(key):
                continue
            if key in self._awaiting:
                self._awaiting[key] = self._still_waiting(key, self._awaiting[key])
            self._latest.forget(key)
            self._tidy(key)

    def first(self, client: Client, key: bytes, mode: Mode, held: int) -> Line | None:
        """The line to show a client that begins to hold a key and already `held` some modes of
        it; None when nothing is known, or when it has to wait."""
        opening = self._opening.get(key)
        if opening is None or (opening.open and not self._is_home(key)):
            line = self._latest.snapshot(key, mode, held)
            if line is not None and (opening is None or line.seq >= opening.place):
                return line
        if opening is not None:
            self._wait(client, key, mode, held)
        return None

    def query(self, live: Sequence[bytes], other: Sequence[bytes], now_s: float) -> list[bytes]:
        """The last values of these keys as pairs, for the shard that asks their home. Of `other`
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
                if line.payload is not None:
                    pairs += (topics.of(key, line.mode), line.payload)
        return pairs

    def values(self, pairs: Sequence[bytes], keys: Sequence[bytes], number: int) -> None:
        """A home has answered for these keys and this opening: show those who wait what is news
        to them."""
        self._fanout.flush()
        settled: dict[bytes, int] = {}
        for key in keys:
            opening = self._opening.get(key)
            if opening is not None and opening.open and opening.number == number:
                settled[key] = opening.place
        if not settled:
            return
        owed = [(key, waiting) for key in settled for waiting in self._settle(key)]
        if len(settled) < len(keys):
            pairs = topics.select(pairs, settled.__contains__)
        self._fanout.remember(pairs, settled)
        for key, place in settled.items():
            if not self._is_home(key):
                self._latest.outdate(key, place)
        for key, (client, mode, held, _) in owed:
            variant = self._index.held(client).get(key)
            line = self._latest.snapshot(key, mode, held)
            if variant is not None and variant.modes & mode.bit and line is not None:
                shown = frame(line, variant)
                if shown is not None:
                    client.deliver(shown, [line])

    def _tidy(self, key: bytes) -> None:
        """Keep no line that knows nothing, unless somebody here waits for its ticks."""
        if key not in self._index:
            self._latest.tidy(key)

    def _settle(self, key: bytes) -> list[_Awaiting]:
        """The key is open: those who wait for it and have been sent no tick since."""
        self._opening.pop(key, None)
        return list(self._still_waiting(key, self._awaiting.pop(key, {})).values())

    def _still_waiting(
        self, key: bytes, waiting: dict[Client, _Awaiting]
    ) -> dict[Client, _Awaiting]:
        """Those who have been sent no tick of the key since they began to wait."""
        return {client: one for client, one in waiting.items() if self._waits(key, one)}

    def _wait(self, client: Client, key: bytes, mode: Mode, held: int) -> None:
        """A client waits for a first value; one that waits already does so in another mode too."""
        waiting = self._awaiting.setdefault(key, {})
        before = waiting.get(client)
        if before is not None and self._waits(key, before):
            waiting[client] = before._replace(mode=min(before.mode, mode))
        else:
            waiting[client] = _Awaiting(client, mode, held, self._fanout.seq)

    def _waits(self, key: bytes, one: _Awaiting) -> bool:
        """Whether a client has been sent no tick of the key since it began to wait."""
        newest = self._latest.newest(key, one.mode)
        return newest is None or newest.seq <= one.seq
