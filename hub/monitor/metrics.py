"""The hub's figures for Prometheus, from what the monitor knows. Pure.

1. Labels are `role`, `shard` and `feed`, `hop` of a latency, `direction`, and `account` of a native
   feed: nothing that clients or publishers can make up.
2. Counters begin anew when their process does, as Prometheus expects; of one that is not there
   nothing is told but `shardhub_up` 0, how often it was restarted, and of a feed that it is not
   connected.
3. Latencies are histograms with the same bounds everywhere, so they can be added up.

docs/operations.md lists the names; docs/grafana.json and docs/alerts.yml use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from hub.monitor.latencies import Hops, Latencies

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LABELS = ("role", "shard", "feed")
_OCTAVES = range(3, 26)
"""The bounds of latency: 8 us, 16 us, ... 33.6 s."""

_US = 1e6
_MS = 1e3
_ALL = ("supervisor", "router", "feed", "shard", "uplink", "monitor")
_NATS = ("uplink", "feed")

Row = Mapping[str, Any]


class Figure(NamedTuple):
    """One metric: where it comes from in a row, of which roles, and by what it is divided."""

    name: str
    text: str
    source: str
    roles: tuple[str, ...]
    counter: bool = False
    per: float = 1.0


_RESTARTS = Figure("restarts", "How often the supervisor has started it again; not under systemd.",
                   "restarts", _ALL, counter=True)  # fmt: skip

FIGURES = (
    Figure("cpu_seconds", "CPU time, user and system.", "cpu_s", _ALL, counter=True),
    Figure("memory_bytes", "Resident memory.", "rss", _ALL),
    Figure("threads", "Threads.", "threads", _ALL),
    Figure("start_time_seconds", "When the process began, in seconds since the epoch; what changes "
           "was started again.", "started_s", _ALL),
    _RESTARTS,
    Figure("loop_lag_seconds", "Longest wait of a timer in the last second.", "lag_ms",
           ("router", "feed", "shard", "uplink", "monitor"), per=_MS),
    Figure("ticks_received", "Ticks into the router.", "in", ("router",), counter=True),
    Figure("bus_messages", "Messages of the bus, ticks and others.", "bus", ("router",),
           counter=True),
    Figure("messages_sent", "Messages from the router to shards.", "out", ("router",),
           counter=True),
    Figure("shard_ticks_received", "Ticks into a shard.", "in", ("shard",), counter=True),
    Figure("ticks_delivered", "Ticks to clients; one to three clients counts three times.", "out",
           ("shard",), counter=True),
    Figure("clients", "Connections of clients.", "clients", ("shard",)),
    Figure("clients_accepted", "Connections taken up.", "accepted", ("shard",), counter=True),
    Figure("clients_behind", "Clients that are behind, and conflated.", "behind", ("shard",)),
    Figure("clients_stalled", "Clients closed as they took nothing.", "stalled", ("shard",),
           counter=True),
    Figure("clients_turned_away", "Connections turned away at a limit.", "turned_away",
           ("shard",), counter=True),
    Figure("api_keys_refused", "API keys that were refused.", "refused_keys", ("shard",),
           counter=True),
    Figure("unsent_bytes", "Bytes on their way to clients.", "unsent_bytes", ("shard",)),
    Figure("symbols", "Keys that are wanted, or of a feed subscribed upstream.",
           "symbols", ("router", "shard", "feed", "uplink")),
    Figure("topics", "Topics that are known.", "topics", ("router", "shard")),
    Figure("conflated", "Ticks spared, as a newer one of their topic came first.", "conflated",
           ("router", "shard", "feed"), counter=True),
    Figure("dropped", "Ticks and order updates dropped.", "dropped", ("feed",), counter=True),
    Figure("malformed", "Messages that cannot be read, and were dropped.", "malformed",
           ("router", "shard", "feed", "uplink"), counter=True),
    Figure("pauses", "Pauses of the process.", "pauses", ("shard",), counter=True),
    Figure("faults", "Messages lost to a fault of the hub.", "faults",
           ("router", "shard", "uplink"), counter=True),
    Figure("orders", "Order updates taken.", "orders", ("router",), counter=True),
    Figure("feed_symbols_limit", "Symbols a feed may have upstream; 0 is no limit.", "limit",
           ("feed",)),
    Figure("feed_stale_topics", "Topics without ticks though their market is open.", "stale",
           ("feed",)),
    Figure("nats_connected", "Whether NATS is there.", "nats_connected", _NATS),
    Figure("nats_reconnects", "Connections to NATS after the first.", "nats_reconnects", _NATS,
           counter=True),
    Figure("nats_rtt_seconds", "Time of the last ping to NATS.", "nats_rtt_ms", _NATS, per=_MS),
    Figure("nats_pending_bytes", "Bytes that wait for NATS to take them.", "nats_pending_bytes",
           _NATS),
    Figure("nats_dropped", "Messages not sent, as NATS was away or took too little.",
           "nats_dropped", _NATS, counter=True),
    Figure("nats_slow", "Times that NATS, or the process itself, left messages out as it was slow.",
           "nats_slow", _NATS, counter=True),
    Figure("nats_edges", "Machines that take feeds from here.", "edges", ("uplink",)),
    Figure("nats_resent", "Values sent to edges that had begun to want them, or had missed them.",
           "resent", ("uplink",), counter=True),
    Figure("nats_machines", "Machines whose feeds are here.", "machines", ("feed",)),
    Figure("nats_holes", "Gaps in what other machines have sent.", "holes", ("feed",),
           counter=True),
    Figure("nats_resyncs", "Times that all values were asked for anew.", "resyncs", ("feed",),
           counter=True),
)  # fmt: skip
OF_ACCOUNTS = (
    Figure("account_up", "Whether a broker account is connected.", "up", ("feed",)),
    Figure("account_sockets", "Connections of an account.", "sockets", ("feed",)),
    Figure("account_symbols", "Symbols that an account is asked for.", "symbols", ("feed",)),
    Figure("account_symbols_limit", "Symbols that it takes; 0 is no limit.", "limit", ("feed",)),
    Figure("account_reconnects", "Connections after the first.", "reconnects", ("feed",),
           counter=True),
    Figure("account_last_tick_seconds", "Time since its last tick.", "tick_age_s", ("feed",)),
    Figure("account_credentials_expire_seconds", "When its credentials expire, in seconds since "
           "the epoch.", "expires", ("feed",)),
)  # fmt: skip
"""Of each account of a native feed; its label is its name in the hub, such as `angel 2`."""

WAYS = {"nats_messages": ("msgs", "Messages of NATS."), "nats_bytes": ("bytes", "Bytes of NATS.")}
"""What is counted in and out."""


class _Figures(Collector):
    def __init__(
        self, version: str, rows: Iterable[Row], feeds: Iterable[Row], latencies: Latencies
    ) -> None:
        self._version = version
        self._rows = [row for row in rows if row["role"] in _ALL]
        self._feeds = [*feeds]
        self._latencies = latencies

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("shardhub_info", "The hub's version.", labels=("version",))
        info.add_metric((self._version,), 1)
        yield info
        yield self._up()
        for figure in FIGURES:
            yield self._family(figure)
        for name, (source, text) in WAYS.items():
            yield self._ways(name, source, text)
        for figure in OF_ACCOUNTS:
            yield self._of_accounts(figure)
        yield self._connected()
        yield self._ticks()
        yield self._ages()
        yield self._hops()

    def _up(self) -> Metric:
        up = GaugeMetricFamily("shardhub_up", "Whether a process is ready.", labels=_LABELS)
        for row in self._rows:
            up.add_metric(_labels(row), row["state"] == "ready")
        return up

    def _family(self, figure: Figure) -> Metric:
        make = CounterMetricFamily if figure.counter else GaugeMetricFamily
        family = make(f"shardhub_{figure.name}", figure.text, labels=_LABELS)
        for row in self._rows:
            value = row.get(figure.source)
            there = row["state"] == "ready" or figure is _RESTARTS
            if there and row["role"] in figure.roles and isinstance(value, int | float):
                family.add_metric(_labels(row), value / figure.per)
        return family

    def _ways(self, name: str, source: str, text: str) -> Metric:
        labels = (*_LABELS, "direction")
        family = CounterMetricFamily(f"shardhub_{name}", text, labels=labels)
        for row in self._rows:
            for way in ("in", "out"):
                value = row.get(f"nats_{way}_{source}")
                if row["state"] == "ready" and value is not None:
                    family.add_metric((*_labels(row), way), value)
        return family

    def _of_accounts(self, figure: Figure) -> Metric:
        make = CounterMetricFamily if figure.counter else GaugeMetricFamily
        family = make(f"shardhub_{figure.name}", figure.text, labels=("feed", "account"))
        for row in self._rows:
            if row["state"] != "ready":
                continue
            for account in row.get("accounts") or ():
                value = {**account, "up": account["state"] == "up"}.get(figure.source)
                if isinstance(value, int | float):
                    family.add_metric((_labels(row)[2], account["account"]), value)
        return family

    def _connected(self) -> Metric:
        text = "Whether a feed is connected to its source."
        family = GaugeMetricFamily("shardhub_feed_connected", text, labels=("feed",))
        for feed in self._feeds:
            family.add_metric((feed["name"],), feed["state"] == "connected")
        return family

    def _ticks(self) -> Metric:
        text = "Ticks a feed has brought; of the bus all its messages."
        family = CounterMetricFamily("shardhub_feed_ticks", text, labels=("feed",))
        for feed in self._feeds:
            if feed["state"] != "away":
                family.add_metric((feed["name"],), feed["ticks"])
        return family

    def _ages(self) -> Metric:
        text = "Time since a feed's last tick; nothing while that is not known."
        family = GaugeMetricFamily("shardhub_feed_last_tick_seconds", text, labels=("feed",))
        for feed in self._feeds:
            if feed["state"] != "away" and feed["last_tick_s"] is not None:
                family.add_metric((feed["name"],), feed["last_tick_s"])
        return family

    def _hops(self) -> Metric:
        text = (
            "Time of some ticks from hop to hop; `total` is from the router's reading to the last "
            "client's socket."
        )
        family = HistogramMetricFamily(
            "shardhub_tick_hop_seconds", text, labels=("role", "shard", "hop")
        )
        for row in self._rows:
            if row["state"] != "ready":
                continue
            role, shard, _ = _labels(row)
            for hop, buckets, sum_s in _buckets(self._latencies.total(row["name"])):
                family.add_metric((role, shard, hop), buckets, sum_s)
        return family


def text(version: str, rows: Iterable[Row], feeds: Iterable[Row], latencies: Latencies) -> bytes:
    """Everything, in Prometheus's text format; of CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(version, rows, feeds, latencies))
    return generate_latest(registry)


def _labels(row: Row) -> tuple[str, str, str]:
    role, _, rest = row["name"].partition("-")
    return role, rest if role == "shard" else "", rest if role == "feed" else ""


def _buckets(hops: Hops) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
    for hop, histogram in hops.items():
        counts = zip(_OCTAVES, histogram.up_to(_OCTAVES), strict=True)
        buckets = [(repr(2**octave / _US), float(count)) for octave, count in counts]
        yield hop, [*buckets, ("+Inf", float(histogram.count))], histogram.sum_us / _US
