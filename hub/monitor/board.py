"""All that is known of the hub, as the page, `/status.json` and `hub top` show it. Pure.

docs/operations.md describes the fields. Once a second `take` adds to the histories and looks what
has happened; `board` puts the newest together, at any time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.liveness import BEAT_S
from hub.monitor import health, latencies, metrics, usage
from hub.monitor.events import Events
from hub.monitor.health import Finding
from hub.monitor.latencies import Latencies
from hub.monitor.record import Figures, Record

SECONDS = 120
"""How long the histories are."""

MOST = 20
"""Topics and clients that are told of."""

_PATIENCE_S = 4.0
"""What was told on a look counts for so long."""

_SERIES = (
    "cpu_percent",
    "rss",
    "in_s",
    "out_s",
    "p50_us",
    "p99_us",
    "conflated_s",
    "clients",
    "symbols",
)
_COUNTERS = {
    "bus_s": "bus",
    "conflated_s": "conflated",
    "dropped_s": "dropped",
    "holes_s": "holes",
    "nats_dropped_s": "nats_dropped",
    "nats_slow_s": "nats_slow",
}
_PLAIN = ("cpu_s", "in", "out", "started_s")
"""What rows do not tell as it is, but as rates and ages."""

_SERVING = frozenset({"ready", "leaving"})

_OVER_S = 2.0
_BUS = "feed-bus"
_FEW = 3


class Board:
    """What the monitor knows, put together. `facts` are the hub's own: url, bus, shards, feeds."""

    def __init__(self, record: Record, version: str, facts: Mapping[str, Any]) -> None:
        self.latencies = Latencies()
        self.events = Events()
        self._record = record
        self._version = version
        self._facts = dict(facts)
        self._series: dict[str, deque[dict[str, float | None]]] = {}
        self._looked: dict[str, tuple[float, Sequence[Figures]]] = {}
        self._ticked: dict[str, tuple[float, float | None]] = {}

    def __repr__(self) -> str:
        return f"<Board of {len(self._series)} processes, {self.events!r}>"

    def looked(
        self,
        name: str,
        hottest: Sequence[tuple[bytes, float]],
        slowest: Sequence[Figures],
        now_s: float,
    ) -> None:
        """A process has answered a look."""
        if hottest:
            self._looked["hottest"] = now_s, _hot(hottest)
        if name.startswith("shard-"):
            shard = int(name.removeprefix("shard-"))
            self._looked[name] = now_s, [{"shard": shard} | one for one in slowest]

    def take(self, now_s: float, epoch_s: float) -> None:
        """A second has passed."""
        rows = self.rows(now_s, epoch_s)
        self.events.look(rows, now_s, epoch_s)
        for row in rows:
            series = self._series.setdefault(row["name"], deque(maxlen=SECONDS))
            total = row["latency"].get("total", {})
            series.append({one: row.get(one, total.get(one)) for one in _SERIES})
            if row["role"] == "feed":
                self._tick(row, now_s)

    def history(self) -> dict[str, Any]:
        """The last two minutes of each process, oldest first; None where nothing is known."""
        return {
            "every_s": BEAT_S,
            "series": {
                name: {one: [second[one] for second in series] for one in _SERIES}
                for name, series in self._series.items()
            },
        }

    def rows(self, now_s: float, epoch_s: float) -> list[Figures]:
        """The rows of `hub status`, with what each process costs, how late it is, and its level."""
        before, after = self._record.usage(_OVER_S)
        costs = {row.process: row for row in usage.report(before, after)}
        elapsed_s = after["at_s"] - before["at_s"]
        rows = self._record.status(now_s, epoch_s)
        router = _of("router", rows, "state") == "ready"
        for row in rows:
            name = row["name"]
            if cost := costs.get(name):
                row |= {
                    "cpu_percent": cost.cpu_percent,
                    "rss": cost.rss_bytes,
                    "threads": cost.threads,
                }
            if figures := after["processes"].get(name):
                start = before["processes"].get(name)
                for rate, counter in _COUNTERS.items():
                    if counter in figures:
                        row[rate] = usage.per_second(counter, start, figures, elapsed_s)
            row["latency"] = latencies.told(self.latencies.window(name, now_s))
            row["busiest"] = self._busiest(name, now_s)
            findings = health.judge(row, router=router)
            row["level"] = health.level(findings)
            row["findings"] = findings
        return rows

    def board(self, now_s: float, epoch_s: float) -> Figures:
        """Everything."""
        rows = self.rows(now_s, epoch_s)
        findings = [finding for row in rows for finding in row.pop("findings")]
        return {
            "at": epoch_s,
            "version": self._version,
            "hub": self._facts | {"window_ms": _of("router", rows, "window_ms") or 0.0},
            "level": health.level(findings) if rows else health.BAD,
            "reasons": _reasons(findings) if rows else ["nothing is known yet"],
            "totals": _totals(rows),
            "latency": latencies.told(self._shards_latency(now_s)),
            "processes": rows,
            "feeds": [self._feed(row, rows, now_s) for row in rows if row["role"] == "feed"],
            "hottest": self._newest("hottest", now_s)[:MOST],
            "slowest": self._slowest(rows, now_s),
            "events": [*self.events],
        }

    def metrics(self, now_s: float, epoch_s: float) -> bytes:
        """The figures for Prometheus. Feeds are told of once their ticks are known: a counter that
        began with 0 when this monitor did would seem to jump."""
        rows = self.rows(now_s, epoch_s)
        feeds = [self._feed(row, rows, now_s) for row in rows if row["name"] in self._ticked]
        _, after = self._record.usage(_OVER_S)
        for row in rows:
            row |= {one: after["processes"].get(row["name"], {}).get(one) for one in _PLAIN}
            if "last_code" not in row:  # no supervisor tells of it
                del row["restarts"]
        return metrics.text(self._version, rows, feeds, self.latencies)

    def _shards_latency(self, now_s: float) -> latencies.Hops:
        shards = [name for name in self.latencies.names() if name.startswith("shard-")]
        return latencies.merged(self.latencies.window(name, now_s) for name in shards)

    def _newest(self, name: str, now_s: float) -> Sequence[Figures]:
        at_s, found = self._looked.get(name, (0.0, []))
        return found if now_s - at_s < _PATIENCE_S else []

    def _slowest(self, rows: Iterable[Figures], now_s: float) -> list[Figures]:
        found = [
            one
            for row in rows
            if row["role"] == "shard" and row["state"] == "ready"
            for one in self._newest(row["name"], now_s)
        ]
        found.sort(key=_worst_first)
        return found[:MOST]

    def _busiest(self, shard: str, now_s: float) -> Figures:
        """Which part of a shard's deliveries goes to the few clients that are sent most."""
        shares = sorted((one["share"] for one in self._newest(shard, now_s)), reverse=True)
        few = [share for share in shares[:_FEW] if share > 0]
        return {"clients": len(few), "share": sum(few)}

    def _tick(self, row: Figures, now_s: float) -> None:
        """Note when a feed's counter of ticks has moved last. When that was before this monitor
        met it is not known; a process that was started again has counted from zero."""
        ticks = self._ticks(row)
        if ticks is None:
            return
        before, at_s = self._ticked.get(row["name"], (ticks, None))
        self._ticked[row["name"]] = ticks, now_s if ticks not in {0, before} else at_s

    def _ticks(self, row: Figures) -> float | None:
        """How many ticks a feed has brought, None when it is not there; those of the bus are
        counted by the router."""
        name, counter = ("router", "bus") if row["name"] == _BUS else (row["name"], "out")
        _, after = self._record.usage(_OVER_S)
        ticks: float | None = after["processes"].get(name, {}).get(counter)
        return ticks

    def _feed(self, row: Figures, rows: Iterable[Figures], now_s: float) -> Figures:
        ticks, at_s = self._ticked.get(row["name"], (0, None))
        there = row["state"] == "ready"
        rate = _of("router", rows, "bus_s") if row["name"] == _BUS else row.get("out_s")
        return {
            "name": row["name"].removeprefix("feed-"),
            "state": row.get("feed_state", "connecting") if there else "away",
            "problem": row.get("problem", ""),
            "subscribed": row.get("symbols", 0),
            "limit": row.get("limit", 0),
            "ticks": ticks,
            "in_s": rate or 0.0,
            "last_tick_s": None if at_s is None else now_s - at_s,
            "stale": row.get("stale", 0),
            "stale_first": row.get("stale_first", []),
            "level": row["level"],
        }


def _hot(hottest: Iterable[tuple[bytes, float]]) -> list[Figures]:
    """Topics as people know them: without the origin, and those of several origins as one."""
    rates: Counter[tuple[str, str]] = Counter()
    for topic, rate in hottest:
        try:
            key, mode = topics.parse(topic)
            named = topics.plain(key).decode(errors="replace"), mode.name
        except Malformed:
            named = topic.decode(errors="replace"), ""
        rates[named] += rate  # type: ignore[assignment]  # a Counter counts halves as well
    return [{"key": key, "mode": mode, "rate": rate} for (key, mode), rate in rates.most_common()]


def _totals(rows: Sequence[Figures]) -> Figures:
    rows = [row for row in rows if row["state"] in _SERVING]
    shards = [row for row in rows if row["role"] == "shard"]
    return {
        "in_s": _of("router", rows, "in_s") or 0.0,
        "out_s": _sum(shards, "out_s"),
        "clients": _sum(shards, "clients"),
        "symbols": _of("router", rows, "symbols") or 0,
        "cpu_percent": _sum(rows, "cpu_percent"),
        "rss": _sum(rows, "rss"),
        "behind": _sum(shards, "behind"),
        "conflated_s": _sum(rows, "conflated_s"),
        "dropped": _sum(rows, "dropped"),
    }


def _sum(rows: Iterable[Figures], name: str) -> Any:
    return sum(row.get(name) or 0 for row in rows)


def _of(process: str, rows: Iterable[Figures], name: str) -> Any:
    return next((row.get(name) for row in rows if row["name"] == process), None)


def _reasons(findings: Iterable[Finding]) -> list[str]:
    worst_first = sorted(findings, key=lambda finding: finding.level != health.BAD)
    return [finding.text for finding in worst_first]


def _worst_first(client: Figures) -> tuple[bool, float, float, float]:
    return (
        not client["behind"],
        -client["conflated"],
        -client["unsent_bytes"],
        -client["out_s"],
    )
