"""The time that ticks take, of some of them: where each was when. Pure; `now_ns` is an argument.

1. The router chooses a tick every now and then, and all of those that somebody asked to trace.
   Behind it, in the same batch, goes a sample: the topic `topics.SAMPLE` with what is known so far.
2. So a sample takes the same way as its tick, and waits where that waits; it is nobody's tick, and
   counts as none.
3. The shard takes the sample out, notes when the tick's frames were made and when they were
   written, and counts how long each hop took.
4. All clocks are CLOCK_MONOTONIC of one machine; only the publisher's own is another one.

The hops, in their order:

    source   the time that stands in the tick  -> read by the router (not in `total`)
    routed   read by the router                -> written to the shard
    taken    written to the shard              -> read by the shard
    framed   read by the shard                 -> its frames are made
    written  its frames are made               -> written to the last client's socket that takes it
    total    read by the router                -> written
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.histogram import Histogram

HOPS = ("source", "routed", "taken", "framed", "written", "total")
_AGAIN = 10
"""Where nobody was sent what was chosen the next try comes so many times sooner."""

_MOST_TRACES = 100
_TRACES_NS = 10_000_000
"""Of traced keys at most this many ticks wait for a flush, and one in so long each."""

_MS = 1000
_MS_NS = 1_000_000
_LEAST_MS, _MOST_MS = 10**12, 10**13
"""Times in the ticks count when they are in ms since the epoch (2001 to 2286): those in seconds
tell too little."""


class Chosen(NamedTuple):
    """A tick whose way is timed, and who asked for it, if anybody."""

    topic: bytes
    received_ns: int
    asker: str = ""


class Sampler:
    """The router's part: which ticks are timed, one every so many ms; with 0 those alone that
    somebody asks for."""

    def __init__(self, every_ms: float) -> None:
        self.due_ns = 0 if every_ms else sys.maxsize
        self._every_ns = int(every_ms * _MS_NS)
        self.chosen: list[Chosen] = []
        self.routed = Histogram()
        self._turn = 0
        self._traces: dict[bytes, dict[str, int]] = {}
        self._traced_ns: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"<Sampler {len(self.chosen)} chosen, {len(self._traces)} keys traced>"

    @property
    def tracing(self) -> bool:
        """Whether somebody has asked for a key."""
        return bool(self._traces)

    def choose(self, pairs: Sequence[bytes], received_ns: int) -> None:
        """One of these ticks, another place in each batch."""
        ticks = len(pairs) // 2
        if ticks:
            self._turn += 1
            self.chosen.append(Chosen(pairs[2 * (self._turn % ticks)], received_ns))

    def trace(self, key: bytes, asker: str, until_ns: int) -> None:
        """Somebody wants to see the ticks of this key."""
        self._traces.setdefault(key, {})[asker] = until_ns

    def look(self, ticks: Iterable[bytes], now_ns: int) -> None:
        """Of these topics, choose those that somebody asked for."""
        for topic in ticks:
            key = topics.plain(topic.rpartition(b"_")[0])
            if key not in self._traces or len(self.chosen) >= _MOST_TRACES:
                continue
            if now_ns - self._traced_ns.get(topic, -_TRACES_NS) < _TRACES_NS:
                continue
            self._traced_ns[topic] = now_ns
            self.chosen += [
                Chosen(topic, now_ns, asker)
                for asker, until_ns in self._traces[key].items()
                if until_ns >= now_ns
            ]

    def place(self, follow: Callable[[bytes, bytes], bool], now_ns: int) -> None:
        """The ticks are about to be written: put samples behind those that were chosen, of those
        that nobody asked for one. `follow` puts a payload behind the tick of a topic, and says
        whether there was one."""
        chosen = [*self.chosen]
        self.chosen.clear()
        for one in chosen:
            if not one.asker and now_ns < self.due_ns:
                continue
            if follow(one.topic, sample(one, now_ns)) and not one.asker:
                self.due_ns = now_ns + self._every_ns
                self.routed.add((now_ns - one.received_ns) / _MS)
        if now_ns >= self.due_ns:  # nobody is sent any of them: no more looks for a while
            self.due_ns = now_ns + self._every_ns // _AGAIN

    def tend(self, now_ns: int) -> None:
        """Forget who asked and has seen enough."""
        for key, askers in list(self._traces.items()):
            for asker in [asker for asker, until_ns in askers.items() if until_ns < now_ns]:
                del askers[asker]
            if not askers:
                del self._traces[key]
        if not self._traces:
            self._traced_ns.clear()


def sample(chosen: Chosen, routed_ns: int) -> bytes:
    """The payload of a sample."""
    return msgspec.msgpack.encode((*chosen, routed_ns))


class _Published(msgspec.Struct):
    """What is read of a tick that is timed."""

    timestamp: msgspec.Raw = msgspec.Raw(b"")


class Journey(NamedTuple):
    """Where one tick was when, in ns; `source_us` is how old it was when it came, if it says so."""

    topic: bytes
    asker: str
    received_ns: int
    routed_ns: int
    taken_ns: int
    framed_ns: int
    source_us: float | None

    def hops(self, written_ns: int) -> dict[str, float]:
        """How long each hop took, in us."""
        times = (self.received_ns, self.routed_ns, self.taken_ns, self.framed_ns, written_ns)
        took = [(after - before) / _MS for before, after in pairwise(times)]
        found = dict(zip(HOPS[1:-1], took, strict=True))
        found[HOPS[-1]] = (written_ns - self.received_ns) / _MS
        return found if self.source_us is None else {HOPS[0]: self.source_us} | found


def journey(
    pairs: Sequence[bytes], at: int, *, taken_ns: int, framed_ns: int, epoch_ns: int
) -> Journey:
    """Read the sample that stands at this place among pairs; its tick is the last of its topic
    before it. `epoch_ns` is the time since the epoch now. Raises Malformed."""
    try:
        topic, received_ns, asker, routed_ns = _sample.decode(pairs[at + 1])
    except msgspec.MsgspecError as error:
        raise Malformed(f"a sample: {error}") from None
    source_us = None
    for place in range(at - 2, -1, -2):
        if pairs[place] == topic:
            received_epoch_ns = epoch_ns - (framed_ns - received_ns)
            source_us = age_us(pairs[place + 1], received_epoch_ns)
            break
    return Journey(topic, asker, received_ns, routed_ns, taken_ns, framed_ns, source_us)


_sample = msgspec.msgpack.Decoder(tuple[bytes, int, str, int])
_published = msgspec.json.Decoder(_Published)


def age_us(payload: bytes, epoch_ns: int) -> float | None:
    """How old a tick is by the `timestamp` that its publisher has put in it, in ms since the epoch;
    None when there is none, or one that tells less."""
    try:
        told = msgspec.json.decode(_published.decode(payload).timestamp, type=float, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not (math.isfinite(told) and _LEAST_MS <= told < _MOST_MS):
        return None
    return max(0.0, epoch_ns / _MS - told * _MS)


class Latency:
    """The shard's part: how long each hop has taken, since the process began."""

    def __init__(self) -> None:
        self.hops = {hop: Histogram() for hop in HOPS}

    def __repr__(self) -> str:
        return f"<Latency of {self.hops['total'].count} ticks>"

    def add(self, took_us: dict[str, float]) -> None:
        """One tick's journey is over."""
        for hop, us in took_us.items():
            self.hops[hop].add(us)

    def figures(self) -> dict[str, list[float]]:
        """As a heartbeat carries it."""
        return {hop: histogram.encode() for hop, histogram in self.hops.items()}
