"""What came on one connection, held against what it was promised. Pure; times in ns of one clock.

1. Each topic counts its own sequence. On one connection, since its subscribe, it only grows.
2. Between two numbers that came, none is missing; what is, is a gap, for the ledger to judge. A
   loose client may be behind: it is spared ticks, and its gaps count for nothing.
3. From the reply to a subscribe on every tick comes: the time it was published at tells it.
4. The last value published is the last delivered.
5. Order updates are strict for everyone, loose clients too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

ORDERS = "@orders:"
"""What the topics of order updates begin with."""

_MOST_TOLD = 40


class Broken(NamedTuple):
    """A promise that was not kept: which, to whom, and what happened."""

    promise: str
    who: str
    what: str
    at_ns: int = 0
    nearby: str = ""


class Gap(NamedTuple):
    """Ticks of a topic that a client was not sent: those between two that came. `after` is -1 when
    the first of them came too late after the subscribe, whose reply came at `after_ns`."""

    account: Account
    topic: str
    after: int
    after_ns: int
    before: int
    before_ns: int
    missing: int
    since_ns: int  # when the reply to its subscribe came

    def times(self) -> Iterable[int]:
        """When the missing ones were published, evenly between what came."""
        step = (self.before_ns - self.after_ns) / (self.missing + 1)
        return (self.after_ns + round(step * number) for number in range(1, self.missing + 1))


class _Topic:
    __slots__ = ("count", "floor", "sent_ns", "seq", "since_ns")

    def __init__(self, since_ns: int, floor: int) -> None:
        self.seq = -1
        self.sent_ns = 0
        self.since_ns = since_ns
        self.floor = floor  # what came under an earlier subscribe of the same connection
        self.count = 0


class Account:
    """One connection: what it holds and what came. `loose` is one that may be behind."""

    def __init__(self, who: str, period_ns: int, *, loose: bool = False, user: str = "") -> None:
        self.who = who
        self.user = user
        self.begun_ns = 0
        self.loose = loose
        self.shard = ""  # which shard serves it, when that is known
        self.received = 0
        self.skipped = 0  # ticks a loose client was spared
        self.broken: list[Broken] = []
        self.gaps: list[Gap] = []
        self._period_ns = period_ns
        self._old_ns = 0
        self._old: dict[str, int] = {}
        self._topics: dict[str, _Topic] = {}
        self._floors: dict[str, int] = {}

    def __repr__(self) -> str:
        return (
            f"<Account {self.who} on {self.shard or '?'}: {self.received} of {len(self._topics)}>"
        )

    def subscribed(self, topic: str, now_ns: int) -> None:
        """The reply has come: from here on it holds this topic."""
        if topic not in self._topics:
            self._topics[topic] = _Topic(now_ns, self._floors.get(topic, -1))

    def unsubscribed(self, topic: str) -> None:
        """The reply has come: it holds it no more."""
        held = self._topics.pop(topic, None)
        if held is not None:
            self._floors[topic] = max(held.seq, held.floor)

    def take(self, topic: str, seq: int, sent_ns: int, now_ns: int) -> None:
        """A tick, or an order update, has come."""
        held = self._topics.get(topic)
        if held is None:
            self._break("order", f"{topic} {seq} came, which it does not hold", now_ns)
            return
        self.received += 1
        held.count += 1
        last = held.seq
        if seq == last + 1 and last >= 0:
            pass
        elif last < 0:
            self._take_first(topic, held, seq, sent_ns, now_ns)
        elif seq > last:
            missing = seq - last - 1
            since_ns = held.since_ns
            self._miss(Gap(self, topic, last, held.sent_ns, seq, sent_ns, missing, since_ns))
        else:
            what = "came twice" if seq == last else f"came after {last}"
            self._break("order", f"{topic} {seq} {what}", now_ns)
            return
        held.seq = seq
        held.sent_ns = sent_ns
        if sent_ns < self._old_ns:
            self._old[topic] = self._old.get(topic, 0) + 1

    def count_old(self, since_ns: int) -> None:
        """From here on count what was published before that moment."""
        self._old_ns = since_ns
        self._old.clear()

    @property
    def old(self) -> int:
        """How many such ticks came beyond the newest of each topic."""
        return sum(count - 1 for count in self._old.values())

    def take_any(self, topic: str, now_ns: int) -> None:
        """A tick of a feed that numbers none has come: it counts, and its time is now."""
        held = self._topics.get(topic)
        if held is None:
            self._break("order", f"{topic} came, which it does not hold", now_ns)
            return
        self.received += 1
        held.count += 1
        held.sent_ns = now_ns

    def oldest_ns(self) -> int:
        """When the oldest of its topics' last ticks was published; 0 while one has none."""
        return min((held.sent_ns for name, held in self._ticking()), default=0)

    def first_ns(self) -> int:
        """When the newest of all that came was published."""
        return max((held.sent_ns for name, held in self._ticking()), default=0)

    def counts(self) -> dict[str, int]:
        """How often each topic came."""
        return {name: held.count for name, held in self._ticking()}

    def check_last(self, last: Mapping[str, int], now_ns: int) -> None:
        """Nothing comes any more: what came last must be what was published last."""
        wrong = [
            (name, held.seq, last[name])
            for name, held in self._topics.items()
            if name in last and held.seq != last[name] and not (held.seq < 0 and last[name] < 0)
        ]
        for name, seq, expected in wrong[:3]:
            more = f"; {len(wrong)} topics in all" if len(wrong) > 1 else ""
            what = f"{name}: the last value is {expected}, the last that came {seq}{more}"
            self._break("last value", what, now_ns)

    def missing_last(self, last: Mapping[str, int]) -> int:
        """How many of its topics have not yet got their last value."""
        return sum(name in last and held.seq < last[name] for name, held in self._topics.items())

    def _ticking(self) -> Iterable[tuple[str, _Topic]]:
        return ((n, held) for n, held in self._topics.items() if not n.startswith(ORDERS))

    def _take_first(self, topic: str, held: _Topic, seq: int, sent_ns: int, now_ns: int) -> None:
        """The first since the subscribe: a snapshot, or the tick that comes next."""
        if seq < held.floor:
            what = f"{topic} {seq} came after {held.floor}, across an unsubscribe"
            self._break("order", what, now_ns)
        late = (sent_ns - held.since_ns - self._period_ns // 2) // self._period_ns
        if late >= 1 and not topic.startswith(ORDERS):
            missing = min(late, seq)
            if missing:
                since_ns = held.since_ns
                self._miss(Gap(self, topic, -1, since_ns, seq, sent_ns, missing, since_ns))

    def _miss(self, gap: Gap) -> None:
        if self.loose and not gap.topic.startswith(ORDERS):
            self.skipped += gap.missing
        else:
            self.gaps.append(gap)

    def _break(self, promise: str, what: str, at_ns: int) -> None:
        if len(self.broken) < _MOST_TOLD:
            self.broken.append(Broken(promise, self.who, what, at_ns))
