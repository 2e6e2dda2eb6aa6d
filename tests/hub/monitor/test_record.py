"""What the monitor answers, from what it heard and measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.liveness import MISSED_S
from hub.monitor.record import Record


def figures(cpu_s: float = 1.0, age_s: float = 10.0) -> dict[str, Any]:
    return {"cpu_s": cpu_s, "rss": 1, "threads": 2, "age_s": age_s}


def heard(
    record: Record, name: str = "shard-0", pid: Any = 7, now_s: Any = 100.0, **beat: Any
) -> None:
    record.heard(name, pid, beat, now_s)


def test_whoever_was_heard_is_measured_under_its_newest_pid() -> None:
    record = Record()
    heard(record, pid=7)
    heard(record, "router", pid=8)
    heard(record, pid=9)
    assert record.pids() == {"shard-0": 9, "router": 8}


def test_a_snapshot_holds_what_was_measured_beside_what_was_heard() -> None:
    record = Record()
    heard(record, clients=3, queues={"a": 1})
    record.take({"shard-0": figures(cpu_s=2.5)}, 100.0)
    _, after = record.usage(1)
    assert after == {
        "at_s": 100.0,
        "processes": {"shard-0": {"clients": 3, "pid": 7, **figures(cpu_s=2.5)}},
    }


def test_figures_of_nats_stand_beside_all_others_with_how_long_it_has_been_away() -> None:
    record = Record()

    def row(now_s: float) -> dict[str, Any]:
        return record.status(now_s, 0.0)[0]

    nats = {"connected": True, "dropped": 3}
    heard(record, "uplink", nats=nats)
    assert (row(100.0)["nats_connected"], row(100.0)["nats_dropped"]) == (True, 3)
    assert not {"nats", "nats_away_s"} & row(100.0).keys()
    record.take({"uplink": figures()}, 100.0)
    assert record.usage(1)[1]["processes"]["uplink"]["nats_dropped"] == 3
    for now_s in (101.0, 102.0):
        heard(record, "uplink", now_s=now_s, nats=nats | {"connected": False})
    assert row(102.5)["nats_away_s"] == 1.5
    heard(record, "uplink", now_s=103.0, nats=nats)
    heard(record, "uplink", now_s=109.0, nats=nats | {"connected": False})
    assert row(109.5)["nats_away_s"] == 0.5


def test_without_a_sample_usage_is_empty() -> None:
    empty = {"at_s": 0.0, "processes": {}}
    assert Record().usage(2) == (empty, empty)


def test_the_first_sample_counts_from_the_birth_of_the_oldest_process() -> None:
    record = Record()
    heard(record)
    heard(record, "router")
    record.take({"shard-0": figures(2.0, age_s=4.0), "router": figures(1.0, age_s=5.0)}, 100.0)
    before, after = record.usage(2)
    assert before == {"at_s": 95.0, "processes": {}}
    assert after["at_s"] == 100.0


@given(st.integers(1, 20), st.integers(1, 25))
def test_usage_goes_back_as_far_as_asked_or_as_there_is(samples: int, over_s: int) -> None:
    record = Record()
    for second in range(samples):
        heard(record)
        record.take({"shard-0": figures(age_s=second + 3.0)}, 100.0 + second)
    before, after = record.usage(over_s)
    assert after["at_s"] == 99.0 + samples
    if samples == 1:
        assert before["at_s"] == 97.0
    else:
        assert after["at_s"] - before["at_s"] == min(over_s, samples - 1)


def test_a_clock_that_jitters_does_not_cost_a_second() -> None:
    record = Record()
    heard(record)
    for at_s in (100.0, 101.02, 102.0, 102.98):
        record.take({"shard-0": figures()}, at_s)
    before, after = record.usage(1)
    assert (before["at_s"], after["at_s"]) == (102.0, 102.98)


def test_ten_minutes_are_kept_and_no_more() -> None:
    record = Record()
    heard(record)
    for second in range(1000):
        record.take({"shard-0": figures()}, float(second))
    before, after = record.usage(1e9)
    assert after["at_s"] - before["at_s"] == 600


def counted(count: int) -> dict[str, Any]:
    return {"in": count}  # a word of Python's


def row(record: Record, name: str = "shard-0", now_s: float = 100.0) -> dict[str, Any]:
    (found,) = [row for row in record.status(now_s, 5000.0) if row["name"] == name]
    return found


def test_rates_are_over_two_seconds() -> None:
    record = Record()
    for second, count in enumerate((0, 100, 300, 700)):
        heard(record, now_s=100.0 + second, **counted(count), out=2 * count)
        record.take({"shard-0": figures()}, 100.0 + second)
    found = row(record, now_s=103.0)
    assert (found["in_s"], found["out_s"]) == (300.0, 600.0)
    assert "in" not in found
    assert "out" not in found


def test_right_after_the_start_rates_are_since_birth() -> None:
    record = Record()
    heard(record, **counted(50))
    record.take({"shard-0": figures(age_s=5.0)}, 100.0)
    assert row(record)["in_s"] == pytest.approx(10.0)


def test_a_process_that_was_restarted_begins_at_zero() -> None:
    record = Record()
    for second, (pid, count) in enumerate(((7, 5000), (7, 6000), (8, 40))):
        heard(record, pid=pid, now_s=100.0 + second, **counted(count))
        record.take({"shard-0": figures(age_s=0.5)}, 100.0 + second)
    assert row(record, now_s=102.0)["in_s"] == 20.0


def test_a_process_that_could_not_be_measured_has_no_rate() -> None:
    record = Record()
    heard(record, "router", **counted(5))
    heard(record, **counted(5))
    record.take({"router": figures()}, 100.0)
    assert row(record)["in_s"] == 0.0


def test_a_row_tells_who_it_is_and_how_it_is() -> None:
    record = Record()
    heard(record, clients=3, started_s=4990.0, lag_ms=0.5)
    found = row(record, now_s=101.0)
    assert found == {
        "name": "shard-0",
        "role": "shard",
        "pid": 7,
        "state": "ready",
        "uptime_s": 10.0,
        "restarts": 0,
        "beat_age_s": 1.0,
        "clients": 3,
        "lag_ms": 0.5,
    }


def test_who_has_missed_its_beats_is_silent() -> None:
    record = Record()
    heard(record)
    assert row(record, now_s=100.0 + MISSED_S)["state"] == "ready"
    assert row(record, now_s=100.1 + MISSED_S)["state"] == "silent"


def children(**states: tuple[str, int]) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {"state": state, "pid": pid, "restarts": 2, "last_code": 1}
        for name, (state, pid) in states.items()
    }


def test_what_the_supervisor_says_counts_more_than_silence() -> None:
    record = Record()
    told = children(shard_0=("backoff", 0), shard_1=("ready", 9), router=("starting", 4))
    heard(record, "supervisor", pid=1, children=told)
    heard(record, "shard-0", now_s=50.0)
    found = {row["name"]: row for row in record.status(100.1 + MISSED_S, 5000.0)}
    assert found["shard-0"]["state"] == "backoff"
    assert (found["shard-0"]["pid"], found["shard-0"]["restarts"]) == (7, 2)
    assert (found["shard-1"]["state"], found["shard-1"]["pid"]) == ("silent", 9)
    assert found["shard-1"]["beat_age_s"] is None
    assert found["router"]["state"] == "starting"
    assert "children" not in found["supervisor"]


def test_one_that_is_ready_has_some_time_until_it_is_heard() -> None:
    """A monitor that had just started called all silent whom it had not heard yet."""
    record = Record()
    heard(record, "supervisor", pid=1, children=children(shard_0=("ready", 9)))
    assert states(record)["shard-0"] == "ready"
    heard(record, "supervisor", pid=1, now_s=103.0, children=children(shard_0=("ready", 9)))
    assert row(record, now_s=100.1 + MISSED_S)["state"] == "silent"
    heard(record, "supervisor", pid=1, now_s=105.0, children=children(shard_0=("ready", 10)))
    assert row(record, now_s=105.0 + MISSED_S)["state"] == "ready"
    assert row(record, now_s=105.1 + MISSED_S)["state"] == "silent"


def test_nobody_is_silent_as_soon_as_the_router_is_back() -> None:
    """Their heartbeats had no way while it was away."""
    record = Record()
    heard(record)
    heard(record, "router", pid=8)
    heard(record, "router", pid=8, now_s=101.0)
    away = states(record, now_s=101.1 + MISSED_S)
    assert away == {"router": "silent", "shard-0": "silent"}
    for back_s, pid in ((110.0, 8), (112.0, 9)):  # it stood still, or was another one
        heard(record, "router", pid=pid, now_s=back_s)
        assert states(record, now_s=back_s) == {"router": "ready", "shard-0": "ready"}
    for second in range(4):
        heard(record, "router", pid=9, now_s=113.0 + second)
    assert states(record, now_s=112.1 + MISSED_S) == {"router": "ready", "shard-0": "silent"}


def test_figures_go_with_the_process_that_told_them() -> None:
    """The clients of a shard that had been killed were counted until the next one was heard."""
    record = Record()
    heard(record, pid=7, clients=250, started_s=1.0)
    for state, pid in (("backoff", 0), ("starting", 8), ("ready", 8)):
        heard(record, "supervisor", pid=1, children=children(shard_0=(state, pid)))
        found = row(record)
        assert found["state"] == state
        assert "clients" not in found
        assert (found["uptime_s"], found["beat_age_s"]) == (0.0, None)
    heard(record, pid=8, clients=2)
    assert row(record)["clients"] == 2


def test_one_that_is_wanted_is_missed_without_a_supervisor() -> None:
    """Under systemd nobody tells of a unit that was never started."""
    record = Record(["router", "shard-0", "shard-1"])
    heard(record)
    assert states(record) == {"router": "waiting", "shard-0": "ready", "shard-1": "waiting"}
    heard(record, now_s=100.1 + MISSED_S)
    now = {found["name"]: found for found in record.status(100.1 + MISSED_S, 5000.0)}
    assert {name: found["state"] for name, found in now.items()} == {
        "router": "silent", "shard-0": "ready", "shard-1": "silent",
    }  # fmt: skip
    assert (now["shard-1"]["pid"], now["shard-1"]["uptime_s"]) == (0, 0.0)


def test_how_a_process_ended_is_told_with_its_last_lines() -> None:
    record = Record()
    told = children(shard_0=("failed", 0), shard_1=("ready", 9))
    told["shard-0"] |= {"deaths": 5, "last_lines": ["this", "that"]}
    heard(record, "supervisor", pid=1, children=told)
    failed, ready = (found for found in record.status(100.0, 5000.0) if found["role"] == "shard")
    assert (failed["last_code"], failed["deaths"]) == (1, 5)
    assert failed["last_lines"] == ["this", "that"]
    assert "last_lines" not in ready


def test_one_that_is_told_to_leave_says_so_itself_until_another_is_in_its_place() -> None:
    """Its supervisor does not know: somebody else may have told it, and systemd is silent."""
    record = Record()
    heard(record, "shard-0", leaving=True)
    assert row(record)["state"] == "leaving"
    assert "leaving" not in row(record)
    assert row(record, now_s=100.1 + MISSED_S)["state"] == "silent"
    heard(record, "supervisor", pid=1, children=children(shard_0=("ready", 7)))
    assert states(record)["shard-0"] == "leaving"
    heard(record, "supervisor", pid=1, children=children(shard_0=("ready", 8)))
    assert states(record)["shard-0"] == "ready"


def states(record: Record, now_s: float = 100.0) -> dict[str, str]:
    return {found["name"]: found["state"] for found in record.status(now_s, 5000.0)}


def test_rows_stand_in_the_order_of_the_roles_and_of_their_numbers() -> None:
    record = Record()
    for name in ("monitor", "shard-10", "shard-2", "feed-sim", "feed-bus", "router", "supervisor"):
        heard(record, name)
    assert [found["name"] for found in record.status(100.0, 5000.0)] == [
        "supervisor", "router", "feed-bus", "feed-sim", "shard-2", "shard-10", "monitor",
    ]  # fmt: skip


def test_a_clock_that_was_set_back_gives_no_negative_uptime() -> None:
    record = Record()
    heard(record, started_s=9999.0)
    assert row(record)["uptime_s"] == 0.0


# Guests: feeds that another feed's host has in its process.


def names(record: Record, now_s: float) -> dict[str, str]:
    return {row["name"]: row["state"] for row in record.status(now_s, 0.0)}


def test_a_guest_is_a_row_and_not_measured_twice() -> None:
    record = Record()
    heard(record, "feed-nats", pid=7)
    heard(record, "feed-sim@desk1", pid=7, guest="feed-nats", brokers=["sim"])
    assert record.pids() == {"feed-nats": 7}
    assert names(record, 100.0) == {"feed-nats": "ready", "feed-sim@desk1": "ready"}
    assert record.brokers()["sim@desk1"] == ["sim"]


def test_a_guest_that_has_left_is_no_row_and_a_host_that_is_silent_is_one() -> None:
    record = Record()
    heard(record, "router", now_s=100.0)
    heard(record, "feed-nats", now_s=100.0)
    heard(record, "feed-sim@desk1", guest="feed-nats", now_s=100.0)
    late_s = 100.0 + MISSED_S + 1
    heard(record, "router", now_s=late_s)
    assert names(record, late_s)["feed-sim@desk1"] == "ready", "all are, the router is just back"
    for second in range(5):
        heard(record, "router", now_s=late_s + second)
    late_s += MISSED_S + 1
    assert names(record, late_s) == {"router": "ready", "feed-nats": "silent"}
    heard(record, "feed-sim@desk1", guest="feed-nats", now_s=late_s)
    assert names(record, late_s)["feed-sim@desk1"] == "ready"
