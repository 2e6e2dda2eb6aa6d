"""The figures for Prometheus, as it would read them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hub.core.histogram import Histogram
from hub.monitor import metrics
from hub.monitor.latencies import Latencies
from hub.monitor.metrics import FIGURES

LABELS = {"role", "shard", "feed"}
SIM = {"name": "sim", "state": "connected", "ticks": 5, "last_tick_s": 0.25}


def row(name: str, **figures: Any) -> dict[str, Any]:
    return {"name": name, "role": name.partition("-")[0], "state": "ready"} | figures


def kept(*us: float, names: tuple[str, ...] = ("shard-2",), hop: str = "total") -> Latencies:
    counted = Histogram()
    for one in us:
        counted.add(one)
    found = Latencies()
    for name in names:
        found.heard(name, 7, {"latency": {hop: counted.encode()}}, 100.0)
    return found


def read(
    *rows: dict[str, Any], feeds: tuple[dict[str, Any], ...] = (), latencies: Any = None
) -> dict[str, Metric]:
    text = metrics.text("1.2", rows, feeds, latencies or Latencies()).decode()
    return {metric.name: metric for metric in text_string_to_metric_families(text)}


def samples(metric: Metric) -> dict[tuple[str, ...], float]:
    """The values, by those labels that say anything, in the order of their names."""
    return {
        tuple(value for _, value in sorted(one.labels.items()) if value): one.value
        for one in metric.samples
    }


def test_the_version_is_told_and_who_is_there() -> None:
    found = read(row("router"), row("shard-10", state="silent"), row("feed-sim", state="backoff"))
    assert samples(found["shardhub_info"]) == {("1.2",): 1.0}
    assert samples(found["shardhub_up"]) == {
        ("router",): 1.0,
        ("shard", "10"): 0.0,
        ("sim", "feed"): 0.0,
    }


def test_labels_are_role_shard_and_feed_and_nothing_that_others_make_up() -> None:
    """A client's name or a symbol as a label would make as many series as there are of them."""
    full = {figure.source: 5 for figure in FIGURES}
    made_up = {"user": "alice", "problem": "no login", "stale_first": ["NSE:X"]}
    rows = [row(name, **full, **made_up) for name in ("router", "shard-0", "feed-sim", "monitor")]
    found = read(*rows, row("cli-4711"), row("x"), feeds=(SIM,), latencies=kept(5))
    for name, metric in found.items():
        for sample in metric.samples:
            extra = sample.labels.keys() - LABELS
            assert extra <= {"version", "hop", "le"}, name
            assert sample.labels.get("role", "router") in {"router", "shard", "feed", "monitor"}
            assert sample.labels.get("shard", "") in {"", "0", "2"}
            assert sample.labels.get("feed", "") in {"", "sim"}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_figure_is_told_of_its_roles_in_base_units(figure: metrics.Figure) -> None:
    rows = [row(name, **{figure.source: 1500}) for name in ("supervisor", "router", "feed-sim")]
    rows += [row(name, **{figure.source: 1500}) for name in ("shard-0", "uplink", "monitor")]
    metric = read(*rows)[f"shardhub_{figure.name}"]
    assert metric.type == ("counter" if figure.counter else "gauge")
    assert {sample.labels["role"] for sample in metric.samples} == {*figure.roles}
    assert {sample.value for sample in metric.samples} == {1500 / figure.per}


def test_of_one_that_is_not_ready_nothing_is_told_but_that_and_its_restarts() -> None:
    """Its last figures stand still: a counter would seem to, and a gauge to be true."""
    full = {figure.source: 5 for figure in FIGURES}
    for state in ("silent", "backoff", "starting", "leaving"):
        found = read(row("shard-2", state=state, **full), latencies=kept(5))
        told = {name for name, metric in found.items() if metric.samples}
        assert told == {"shardhub_info", "shardhub_up", "shardhub_restarts"}


def test_what_is_not_known_is_not_told() -> None:
    found = read(row("router", **{"in": None}), row("shard-0"))
    assert not found["shardhub_ticks_received"].samples
    assert not found["shardhub_clients"].samples


def test_feeds_tell_whether_they_are_connected_what_they_brought_and_how_long_ago() -> None:
    away = {"name": "bus", "state": "away", "ticks": 9, "last_tick_s": 5.0}
    found = read(feeds=(SIM, away))
    assert samples(found["shardhub_feed_connected"]) == {("sim",): 1.0, ("bus",): 0.0}
    assert samples(found["shardhub_feed_ticks"]) == {("sim",): 5.0}
    assert samples(found["shardhub_feed_last_tick_seconds"]) == {("sim",): 0.25}


def test_latencies_are_histograms_in_seconds_that_can_be_added_up() -> None:
    rows = [row("shard-2"), row("shard-3"), row("router")]
    found = read(*rows, latencies=kept(5, 100, 5000, 1e9, names=("shard-2", "shard-3", "router")))
    metric = found["shardhub_tick_hop_seconds"]
    assert metric.type == "histogram"
    mine = [one for one in metric.samples if one.labels["shard"] == "2"]
    (total_s,) = [one.value for one in mine if one.name.endswith("_sum")]
    (count,) = [one.value for one in mine if one.name.endswith("_count")]
    assert total_s == pytest.approx(1000.005105)
    assert count == 4
    buckets = {one.labels["le"]: one.value for one in mine if one.name.endswith("_bucket")}
    assert [*buckets.values()] == sorted(buckets.values())
    bounds = {float(bound): bound for bound in buckets}
    assert buckets[bounds[8e-6]] == 1
    assert buckets[bounds[128e-6]] == 2
    assert buckets[bounds[0.008192]] == 3
    assert (buckets[bounds[33.554432]], buckets["+Inf"]) == (3, 4)
    others = [one for one in metric.samples if one.labels["shard"] == "3"]
    assert [one.labels.get("le") for one in others] == [one.labels.get("le") for one in mine]
    assert {(one.labels["role"], one.labels["hop"]) for one in metric.samples} == {
        ("shard", "total"),
        ("router", "total"),
    }


def test_names_are_no_two_times_there() -> None:
    names = [figure.name for figure in FIGURES]
    assert len(names) == len({*names})


def test_what_went_to_nats_and_came_from_it_is_told_by_direction() -> None:
    there = row("uplink", nats_in_msgs=3, nats_out_msgs=40, nats_out_bytes=900, edges=2,
                nats_connected=False, nats_rtt_ms=1.5)  # fmt: skip
    feed = row("feed-nats", nats_in_msgs=7, nats_connected=True, nats_rtt_ms=None, holes=4)
    found = read(there, feed, row("uplink", state="silent", nats_in_msgs=9), row("shard-0"))
    assert samples(found["shardhub_nats_messages"]) == {
        ("in", "uplink"): 3.0, ("out", "uplink"): 40.0, ("in", "nats", "feed"): 7.0,
    }  # fmt: skip
    assert samples(found["shardhub_nats_bytes"]) == {("out", "uplink"): 900.0}
    assert samples(found["shardhub_nats_connected"]) == {("uplink",): 0.0, ("nats", "feed"): 1.0}
    assert samples(found["shardhub_nats_rtt_seconds"]) == {("uplink",): 0.0015}
    assert samples(found["shardhub_nats_edges"]) == {("uplink",): 2.0}
    assert samples(found["shardhub_nats_holes"]) == {("nats", "feed"): 4.0}
