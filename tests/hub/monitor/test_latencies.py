"""Latencies of the last seconds, from histograms that grow as long as their processes live."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core.histogram import Histogram, bound_us
from hub.core.journey import HOPS
from hub.monitor import latencies
from hub.monitor.latencies import OVER_S, Latencies


def grown(*us: float) -> Histogram:
    found = Histogram()
    for one in us:
        found.add(one)
    return found


def beat(kept: Latencies, now_s: float, *total: float, name: str = "shard-0", pid: int = 7) -> None:
    """A heartbeat of a process that has counted these so far."""
    kept.heard(name, pid, {"latency": {"total": grown(*total).encode()}}, now_s)


def recent(kept: Latencies, now_s: float, name: str = "shard-0") -> int:
    """How many of the last seconds there are."""
    found = kept.window(name, now_s).get("total")
    return found.count if found else 0


def test_what_is_recent_is_the_newest_less_what_was_there_before() -> None:
    kept = Latencies()
    beat(kept, 100.0, 5)
    beat(kept, 101.0, 5, 900, 900)
    (found,) = kept.window("shard-0", 101.5).values()
    assert found.count == 2
    assert found.quantile(0.5) == pytest.approx(900, rel=0.2)
    assert kept.total("shard-0")["total"].count == 3


def test_after_the_last_seconds_it_is_recent_no_more() -> None:
    kept = Latencies()
    for second in range(30):
        beat(kept, 100.0 + second, *[5.0] * second)
    assert recent(kept, 129.0) == OVER_S
    assert len(kept._heard["shard-0"]) == OVER_S + 1


def test_who_has_fallen_silent_has_nothing_recent_and_keeps_its_total() -> None:
    kept = Latencies()
    beat(kept, 100.0)
    beat(kept, 101.0, 5)
    assert recent(kept, 100.9 + OVER_S) == 1
    assert kept.window("shard-0", 101.0 + OVER_S) == {}
    assert kept.total("shard-0")["total"].count == 1


def test_a_monitor_that_has_just_started_does_not_call_recent_what_was_counted_before() -> None:
    """It told the latencies of the process's whole life as those of the last seconds."""
    kept = Latencies()
    beat(kept, 100.0, *[5.0] * 1000)
    assert kept.window("shard-0", 100.0) == {}
    beat(kept, 101.0, *[5.0] * 1001)
    assert recent(kept, 101.0) == 1


def test_the_first_that_a_process_counts_is_recent() -> None:
    kept = Latencies()
    kept.heard("shard-0", 7, {"latency": {}}, 100.0)
    beat(kept, 101.0, 5, 5)
    assert recent(kept, 101.0) == 2


def test_a_process_that_was_started_again_has_counted_nothing_before() -> None:
    """Killed and restarted between two beats it may even have counted more than the one before."""
    kept = Latencies()
    beat(kept, 100.0, 5)
    beat(kept, 101.0, 5, 5)
    beat(kept, 102.0, 5, 5, 5, pid=8)
    assert recent(kept, 102.0) == 3
    assert kept.total("shard-0")["total"].count == 3
    beat(kept, 103.0, 5, 5, 5, 5, pid=8)
    assert recent(kept, 103.0) == 4


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"latency": None},
        {"latency": 5},
        {"latency": [1]},
        {"latency": {"total": 5}},
        {"latency": {"total": [0.0, 9999, 1]}},
        {"latency": {"total": ["x"]}},
    ],
)
def test_a_beat_without_readable_histograms_changes_nothing(figures: dict[str, Any]) -> None:
    kept = Latencies()
    beat(kept, 100.0)
    beat(kept, 101.0, 5)
    kept.heard("shard-0", 7, figures, 102.0)
    kept.heard("feed-sim", 9, figures, 102.0)
    assert recent(kept, 102.0) == 1
    assert kept.names() == ["shard-0"]
    assert kept.window("feed-sim", 102.0) == kept.total("feed-sim") == {}


def test_hops_that_are_not_known_are_left_out() -> None:
    kept = Latencies()
    told = {"total": grown(1).encode(), "made up": grown(1).encode()}
    kept.heard("shard-0", 7, {"latency": told}, 100.0)
    assert kept.total("shard-0").keys() == {"total"}


def test_processes_are_added_up_hop_by_hop_and_stay_as_they_are() -> None:
    one, other = {"taken": grown(5), "total": grown(9)}, {"total": grown(9, 70)}
    found = latencies.merged([one, other])
    assert {hop: found[hop].count for hop in found} == {"taken": 1, "total": 3}
    assert found["total"].sum_us == 88
    assert one["total"].count == 1


def test_quantiles_are_told_in_the_order_of_the_way_and_of_empty_hops_nothing() -> None:
    hops = {hop: grown(*[5.0] * 98, 300, 70_000) for hop in reversed(HOPS)} | {"taken": grown()}
    found = latencies.told(hops)
    assert [*found] == [hop for hop in HOPS if hop != "taken"]
    assert found["total"]["count"] == 100
    bounds = [bound_us(bucket) for bucket in range(90)]
    for name, us in (("p50_us", 5), ("p99_us", 300), ("p999_us", 70_000)):
        assert found["total"][name] == min(bound for bound in bounds if bound >= us)
