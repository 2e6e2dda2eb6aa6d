"""The difference of two snapshots, by the rules of cli/usage.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.monitor import usage
from hub.monitor.usage import Row


def figures(pid: int = 7, cpu_s: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid, "cpu_s": cpu_s, "rss": 1 << 20, "threads": 2, "switches_voluntary": 0,
        "switches_involuntary": 0,
    } | more  # fmt: skip


def snapshot(at_s: float, **processes: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in processes.items()}
    return {"at_s": at_s, "processes": named}


def one(before: dict[str, Any], after: dict[str, Any]) -> Row:
    (row,) = usage.report(before, after)
    return row


def test_cpu_is_in_percent_of_one_core_over_the_interval() -> None:
    row = one(snapshot(10.0, router=figures(cpu_s=5.0)), snapshot(14.0, router=figures(cpu_s=6.0)))
    assert row.cpu_percent == pytest.approx(25.0)
    assert row.share_percent == pytest.approx(100.0)


def test_rates_are_per_second() -> None:
    counters = {"switches_voluntary": 10, "switches_involuntary": 4, "in": 100, "out": 50}
    later = {"switches_voluntary": 30, "switches_involuntary": 5, "in": 400, "out": 50}
    row = one(snapshot(0.0, router=figures(**counters)), snapshot(2.0, router=figures(**later)))
    assert (row.switches_voluntary_s, row.switches_involuntary_s) == (10.0, 0.5)
    assert (row.in_s, row.out_s) == (150.0, 0.0)


def test_rule_1_a_process_missing_before_was_at_zero() -> None:
    row = one(snapshot(0.0), snapshot(2.0, shard_0=figures(cpu_s=0.5, **{"in": 10})))
    assert row.cpu_percent == pytest.approx(25.0)
    assert row.in_s == pytest.approx(5.0)


def test_rule_1_another_pid_is_another_process() -> None:
    row = one(
        snapshot(0.0, shard_0=figures(pid=1, cpu_s=100.0)),
        snapshot(1.0, shard_0=figures(pid=2, cpu_s=0.25)),
    )
    assert row.cpu_percent == pytest.approx(25.0)


def test_rule_1_what_has_lived_longer_than_the_interval_spreads_over_its_life() -> None:
    row = one(snapshot(0.0), snapshot(1.0, router=figures(cpu_s=50.0, age_s=500.0)))
    assert row.cpu_percent == pytest.approx(10.0)


def test_rule_2_messages_in_are_the_router_s_and_out_the_shards() -> None:
    after = snapshot(
        1.0,
        router=figures(**{"in": 100, "out": 70}),
        feed_sim=figures(out=100),
        shard_0=figures(**{"in": 60, "out": 600}),
        shard_1=figures(**{"in": 40, "out": 400}),
    )
    total = usage.total(usage.report(snapshot(0.0), after))
    assert (total.in_s, total.out_s) == (100.0, 1000.0)


def test_what_does_not_apply_is_none() -> None:
    row = one(snapshot(0.0), snapshot(1.0, monitor=figures()))
    assert (row.in_s, row.out_s, row.lag_ms, row.clients, row.symbols) == (None,) * 5


def test_rows_follow_the_tick_s_way_and_numbers_count() -> None:
    names = ["monitor", "shard-10", "shard-2", "feed-bus", "router", "supervisor", "odd"]
    after = {"at_s": 1.0, "processes": {name: figures() for name in names}}
    order = [row.process for row in usage.report(snapshot(0.0), after)]
    assert order == ["supervisor", "router", "feed-bus", "shard-2", "shard-10", "monitor", "odd"]


def test_two_snapshots_of_one_moment_give_zeros() -> None:
    same = snapshot(3.0, router=figures(cpu_s=5.0, **{"in": 9}))
    row = one(same, same)
    assert (row.cpu_percent, row.share_percent, row.in_s) == (0.0, 0.0, 0.0)


def test_the_busiest_is_the_one_with_most_cpu() -> None:
    after = snapshot(1.0, router=figures(cpu_s=0.1), shard_0=figures(cpu_s=0.4))
    busiest = usage.busiest(usage.report(snapshot(0.0), after))
    assert busiest
    assert busiest.process == "shard-0"
    assert usage.busiest([]) is None


NAMES = st.sampled_from(["router", "monitor", "feed-sim", *(f"shard-{n}" for n in range(4))])
PROCESSES = st.dictionaries(
    NAMES,
    st.builds(
        figures,
        st.integers(1, 3),
        st.floats(0, 1e6),
        age_s=st.floats(0, 1e6),
        **{"in": st.integers(0, 10**9), "out": st.integers(0, 10**9)},
    ),
)


@given(PROCESSES, PROCESSES, st.floats(0, 600))
def test_no_rate_is_negative_and_the_parts_make_the_whole(
    before: dict[str, Any], after: dict[str, Any], interval_s: float
) -> None:
    rows = usage.report(
        {"at_s": 5.0, "processes": before}, {"at_s": 5.0 + interval_s, "processes": after}
    )
    total = usage.total(rows)
    assert {row.process for row in rows} == after.keys()
    for row in rows:
        assert row.cpu_percent >= 0
        assert (row.in_s or 0) >= 0
        assert (row.out_s or 0) >= 0
    assert total.cpu_percent == pytest.approx(sum(row.cpu_percent for row in rows))
    assert total.share_percent == pytest.approx(100 if total.cpu_percent else 0)
