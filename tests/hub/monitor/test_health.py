"""How a process is, by its row."""

from __future__ import annotations

from typing import Any

import pytest

from hub.monitor import health
from hub.monitor.health import BAD, OK, WARN, Finding


def judged(*, router: bool = True, **row: Any) -> list[tuple[str, str]]:
    given = {"name": "shard-2", "role": "shard", "state": "ready"} | row
    return [(found.level, found.text) for found in health.judge(given, router=router)]


def test_of_one_that_does_well_there_is_nothing_to_say() -> None:
    assert judged(cpu_percent=79.9, lag_ms=49.9, behind=0, stale=0, dropped_s=0.0, problem="") == []
    assert judged(cpu_percent=None, lag_ms=None) == []
    assert health.level([]) == OK


@pytest.mark.parametrize(
    ("row", "level", "text"),
    [
        ({"state": "silent"}, BAD, "shard-2 says nothing"),
        ({"state": "starting"}, WARN, "shard-2 is starting"),
        ({"state": "leaving"}, WARN, "shard-2 is leaving"),
        ({"state": "waiting"}, WARN, "shard-2 is waiting"),
        ({"state": "backoff", "last_code": -9}, BAD, "shard-2 was killed (signal 9) (backoff)"),
        ({"state": "failed", "last_code": 78}, BAD, "shard-2 ended with code 78 (failed)"),
        ({"state": "backoff", "last_code": 0}, WARN, "shard-2 has left (backoff)"),
        ({"state": "failed", "last_code": 0}, BAD, "shard-2 has left (failed)"),
        ({"state": "gone"}, BAD, "shard-2 is not there (gone)"),
        ({"cpu_percent": 80.0}, WARN, "shard-2 uses 80 % of a core"),
        ({"cpu_percent": 95.0}, BAD, "shard-2 uses 95 % of a core"),
        ({"lag_ms": 50.0}, WARN, "shard-2 kept a timer waiting for 50 ms"),
        ({"lag_ms": 250.0}, BAD, "shard-2 kept a timer waiting for 250 ms"),
        ({"dropped_s": 0.5}, WARN, "shard-2 drops ticks, 0.5 a second"),
        ({"feed_state": "connecting"}, WARN, "shard-2 is connecting"),
        ({"feed_state": "disconnected"}, BAD, "shard-2 is disconnected"),
        ({"problem": "no login"}, WARN, "shard-2: no login"),
        ({"stale": 1200}, WARN, "shard-2 has 1,200 stale topics"),
        ({"behind": 1}, WARN, "1 client is behind on shard-2"),
        ({"behind": 3}, WARN, "3 clients are behind on shard-2"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(row: dict[str, Any], level: str, text: str) -> None:
    assert judged(**row) == [(level, text)]


UPLINK: dict[str, Any] = {"name": "uplink", "role": "uplink", "nats_connected": True}


@pytest.mark.parametrize(
    ("row", "level", "text"),
    [
        ({"nats_connected": False}, BAD,
         "uplink: NATS is away; other machines get nothing from here, and keep what they have"),
        ({"nats_dropped_s": 2.5}, WARN,
         "uplink: NATS takes too little; 2.5 messages a second are not sent"),
        ({"nats_slow_s": 0.5}, WARN, "uplink is too slow for NATS, which leaves messages out"),
        ({"holes_s": 0.5}, WARN,
         "uplink misses messages of other machines, and asks for the values"),
        ({"nats_pending_bytes": 9 << 20}, WARN, "uplink has 9 MiB waiting for NATS"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_way_to_others(row: dict[str, Any], level: str, text: str) -> None:
    assert judged(**UPLINK | row) == [(level, text)]
    away = judged(**UPLINK | row | {"nats_connected": False})
    assert len(away) == 1, "what follows from it is not told"
    assert judged(**UPLINK, nats_pending_bytes=1 << 20, nats_slow_s=0.0) == []


def test_without_the_router_nobody_is_blamed_for_silence_but_it() -> None:
    """All heartbeats pass through it; no client is disconnected when it dies."""
    row = {"state": "silent"}
    assert judged(router=False, **row) == [(WARN, "shard-2 cannot be heard without the router")]
    found = judged(router=False, name="router", role="router", **row)
    assert found == [(BAD, "router says nothing")]


def test_of_one_that_is_not_there_its_last_figures_say_nothing() -> None:
    assert len(judged(state="silent", cpu_percent=100.0, lag_ms=900.0, behind=5)) == 1


def test_the_worst_comes_first_and_is_the_level_of_all() -> None:
    found = judged(cpu_percent=85.0, lag_ms=300.0, behind=1)
    assert [level for level, _ in found] == [BAD, WARN, WARN]
    assert health.level(Finding(*one) for one in found) == BAD
    assert health.level([Finding(OK), Finding(WARN)]) == WARN


def test_a_crash_is_worth_a_look_for_a_while_after_it_is_over() -> None:
    """It was away for less than a second, and would never be seen otherwise."""
    told = judged(deaths=1, last_code=-9, uptime_s=3.0)
    assert told == [(WARN, "shard-2 was killed (signal 9), and is back")]
    assert judged(deaths=1, last_code=-9, uptime_s=health.NEWS_S) == []
    assert judged(last_code=-9, uptime_s=3.0) == [], "it was told to leave, or that is long ago"
