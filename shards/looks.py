"""Which clients are slow, and which cost most, while somebody looks. `now_s` is an argument.

How often each topic ticks is counted for that, which costs a little for every tick: so it is done
only while looks come.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.heat import Heat
from hub.core.index import Index
from hub.core.model import highest_up_to
from shards.outbox import Outbox

MOST = 20
"""Clients that are told of."""

BUSIEST = 3
"""Of those that are sent most so many are told of, however well they are."""


class Wire(Protocol):
    """What is told of its connection."""

    began_s: float
    session: Any

    @property
    def peer(self) -> str:
        """Address and port."""

    def unsent_bytes(self) -> int:
        """How much waits for the kernel."""


class Looks:
    """What a look tells. Ticks are counted by `heat`, while that is on."""

    def __init__(self, index: Index[Any]) -> None:
        self.heat = Heat()
        self._index = index

    def __repr__(self) -> str:
        return f"<Looks {self.heat!r}>"

    def look(self, connections: Iterable[Wire], now_s: float) -> list[dict[str, Any]]:
        """The clients that are behind, then those that were conflated most, then those that are
        sent most; and the few that are sent most in any case. What they are sent is known from the
        second look on."""
        counts, elapsed_s = self.heat.take(now_s)
        sent = self._sent(counts)
        total = sum(sent.values())
        here = [one for one in connections if one.session is not None]
        worst = heapq.nsmallest(MOST, here, key=lambda one: _worst_first(one, sent))
        busiest = heapq.nlargest(BUSIEST, here, key=lambda one: sent[one.session])
        chosen = {id(one): one for one in (*worst, *busiest)}
        return [
            _row(one, sent[one.session], elapsed_s, total, self._index, now_s)
            for one in chosen.values()
        ]

    def _sent(self, counts: Counter[bytes]) -> Counter[Any]:
        """Ticks by session, as they follow from what is held, whether sent or spared."""
        by_audience: Counter[Any] = Counter()
        for topic, count in counts.items():
            try:
                key, mode = topics.parse(topic)
            except Malformed:
                continue
            for variant, audience in self._index.audiences(key).items():
                if highest_up_to(variant.modes, mode):
                    by_audience[audience] += count
        sent: Counter[Any] = Counter()
        for audience, count in by_audience.items():
            for member in audience.members:
                sent[member] += count
        return sent


def _row(
    one: Wire, sent: int, elapsed_s: float, total: int, index: Index[Any], now_s: float
) -> dict[str, Any]:
    outbox: Outbox = one.session.outbox
    return {
        "client": one.peer,
        "user": one.session.user,
        "symbols": len(index.held(one.session)),
        "behind": outbox.behind,
        "behind_s": max(0.0, now_s - one.session.behind_since_s) if outbox.behind else 0.0,
        "pending": len(outbox),
        "unsent_bytes": one.unsent_bytes(),
        "conflated": outbox.conflated,
        "out_s": sent / elapsed_s if elapsed_s > 0 else 0.0,
        "share": sent / total if total else 0.0,
        "age_s": max(0.0, now_s - one.began_s),
    }


def _worst_first(one: Wire, sent: Counter[Any]) -> tuple[bool, int, int, int]:
    outbox: Outbox = one.session.outbox
    return not outbox.behind, -outbox.conflated, -one.unsent_bytes(), -sent[one.session]
