"""How long ticks have taken of late, by process and hop, from what heartbeats carry. Pure.

1. A histogram grows as long as its process lives; what is recent is the newest less an older one.
2. Of a process that was met when it had already counted, nothing is recent before its second beat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hub.core.errors import Malformed
from hub.core.histogram import Histogram
from hub.core.journey import HOPS

OVER_S = 10
"""What `window` looks back on."""

Hops = dict[str, Histogram]


class _Heard(NamedTuple):
    pid: int
    at_s: float
    hops: Hops


class Latencies:
    """The histograms of each process, as they were in the last seconds."""

    def __init__(self) -> None:
        self._heard: dict[str, deque[_Heard]] = {}

    def __repr__(self) -> str:
        return f"<Latencies of {len(self._heard)} processes>"

    def heard(self, name: str, pid: int, figures: Mapping[str, Any], now_s: float) -> None:
        """A heartbeat has come. One without readable histograms changes nothing."""
        told = figures.get("latency")
        if not isinstance(told, dict):
            return
        try:
            hops = {hop: Histogram.decode(told[hop]) for hop in HOPS if hop in told}
        except Malformed:
            return
        kept = self._heard.setdefault(name, deque())
        if kept and kept[-1].pid != pid:
            kept.clear()
            kept.append(_Heard(pid, now_s, {}))  # a new process has counted nothing before
        kept.append(_Heard(pid, now_s, hops))
        while len(kept) > 2 and kept[1].at_s <= now_s - OVER_S:
            kept.popleft()

    def total(self, name: str) -> Hops:
        """All that a process has counted since it began."""
        kept = self._heard.get(name)
        return kept[-1].hops if kept else {}

    def window(self, name: str, now_s: float) -> Hops:
        """What a process has counted in the last seconds; nothing when it fell silent before."""
        kept = self._heard.get(name)
        if not kept or len(kept) == 1 or kept[-1].at_s <= now_s - OVER_S:
            return {}
        first, last = kept[0].hops, kept[-1].hops
        return {hop: last[hop].since(first.get(hop, Histogram())) for hop in last}

    def names(self) -> list[str]:
        """The processes that count."""
        return [*self._heard]


def merged(many: Iterable[Hops]) -> Hops:
    """The histograms of several processes as one."""
    found: Hops = {}
    for hops in many:
        for hop, histogram in hops.items():
            found.setdefault(hop, Histogram()).merge(histogram)
    return found


def told(hops: Hops) -> dict[str, dict[str, float]]:
    """Count and quantiles of each hop that has any, in the order of the way."""
    return {
        hop: {
            "count": hops[hop].count,
            "p50_us": hops[hop].quantile(0.5) or 0.0,
            "p99_us": hops[hop].quantile(0.99) or 0.0,
            "p999_us": hops[hop].quantile(0.999) or 0.0,
        }
        for hop in HOPS
        if hop in hops and hops[hop].count
    }
