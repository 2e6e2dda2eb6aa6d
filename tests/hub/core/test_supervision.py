"""What the supervisor does next, for any clock."""

from __future__ import annotations

import sys

import pytest

from hub.core import supervision
from hub.core.settings import Hub, Nats, Settings, Websocket
from hub.core.supervision import (
    FAILED_AFTER,
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    READY_S,
    STABLE_S,
    WATCHDOG_S,
    Child,
    Do,
    State,
    plan,
    plan_leaving,
)

READY = {"READY": "1"}


def PATIENCE(_: str) -> float:  # noqa: N802  # stands for a constant
    return 5.0


def children(*stages: int) -> list[Child]:
    return [Child(f"child-{number}", stage) for number, stage in enumerate(stages)]


def names(actions: list[supervision.Action]) -> list[tuple[str, str]]:
    return [(what.value, child.name) for what, child in actions]


def bring_up(child: Child, now_s: float = 0.0, pid: int = 7) -> Child:
    supervision.started(child, pid, now_s)
    supervision.notified(child, READY, now_s)
    return child


def die_young(child: Child, now_s: float) -> float:
    """Start and die at once; the back-off that follows."""
    supervision.started(child, 7, now_s)
    supervision.ended(child, 1, now_s)
    return child.backoff_s


def test_a_hub_is_a_router_its_feeds_its_shards_and_a_monitor() -> None:
    wanted = supervision.wanted(Settings(hub=Hub(shards=2, feeds=["bus", "sim"])))
    assert [(child.name, child.stage) for child in wanted] == [
        ("router", 0),
        ("feed-bus", 1),
        ("feed-sim", 1),
        ("shard-0", 2),
        ("shard-1", 2),
        ("monitor", 3),
    ]


def test_a_hub_that_publishes_has_an_uplink_and_perhaps_no_shards() -> None:
    ingest = Settings(hub=Hub(shards=0, feeds=["sim"]), nats=Nats(publish=True))
    assert [child.name for child in supervision.wanted(ingest)] == [
        "router", "feed-sim", "uplink", "monitor",
    ]  # fmt: skip
    both = Settings(hub=Hub(shards=1, feeds=["sim"]), nats=Nats(publish=True))
    stages = [(child.name, child.stage) for child in supervision.wanted(both)]
    assert stages[2:4] == [("shard-0", 2), ("uplink", 2)]


def test_nobody_is_alive_who_has_not_been_started_so_a_hub_can_stop_while_it_starts() -> None:
    kids = supervision.wanted(Settings(hub=Hub(shards=1, feeds=["sim"])))
    assert not any(child.alive for child in kids)
    assert plan_leaving(kids, 1.0, PATIENCE) == []


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("router", ["hub.router"]),
        ("monitor", ["hub.monitor"]),
        ("feed-sim", ["hub.feeds.host", "sim"]),
        ("feed-my-broker", ["hub.feeds.host", "my-broker"]),
        ("shard-12", ["shards.shard", "12"]),
        ("uplink", ["shards.uplink"]),
    ],
)
def test_every_process_has_its_command_line(name: str, rest: list[str]) -> None:
    assert supervision.command(name) == [sys.executable, "-m", *rest]


def test_rule_1_a_stage_waits_until_all_before_it_have_been_ready_once() -> None:
    first, second, third = kids = children(0, 0, 1)
    assert names(plan(kids, 0.0)) == [("start", "child-0"), ("start", "child-1")]
    bring_up(first)
    supervision.started(second, 8, 0.0)
    assert plan(kids, 1.0) == []
    supervision.notified(second, READY, 1.0)
    assert plan(kids, 1.0) == [(Do.START, third)]


def test_rule_1_who_has_been_ready_once_holds_up_nobody_any_more() -> None:
    first, second = kids = children(0, 1)
    bring_up(first)
    bring_up(second)
    supervision.ended(first, 1, 1.0)
    supervision.ended(second, 1, 1.0)
    assert names(plan(kids, 1.0 + FIRST_BACKOFF_S)) == [("start", "child-0"), ("start", "child-1")]


def test_rule_2_a_process_that_ends_is_started_after_its_back_off() -> None:
    (child,) = children(0)
    bring_up(child)
    supervision.ended(child, -9, 100.0)
    assert (child.state, child.pid, child.last_code) == (State.BACKOFF, 0, -9)
    assert plan([child], 100.0 + FIRST_BACKOFF_S / 2) == []
    assert plan([child], 100.0 + FIRST_BACKOFF_S + 1e-9) == [(Do.START, child)]
    supervision.started(child, 8, 101.0)
    assert child.restarts == 1


def test_rule_2_the_back_off_doubles_up_to_the_longest() -> None:
    (child,) = children(0)
    backoffs = [die_young(child, float(number)) for number in range(15)]
    assert backoffs[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert backoffs == sorted(backoffs)
    assert backoffs[-1] == LONGEST_BACKOFF_S


def test_rule_2_a_stable_life_resets_it() -> None:
    (child,) = children(0)
    for number in range(8):
        die_young(child, float(number))
    bring_up(child, 100.0)
    supervision.ended(child, 1, 100.0 + STABLE_S)
    assert (child.state, child.backoff_s, child.young_deaths) == (State.BACKOFF, 0.1, 0)


def test_rule_2_a_short_life_does_not() -> None:
    (child,) = children(0)
    for number in range(8):
        die_young(child, float(number))
    before = child.backoff_s
    bring_up(child, 100.0)
    supervision.ended(child, 1, 100.0 + STABLE_S - 0.1)
    assert child.backoff_s > before
    assert child.state is State.FAILED


def test_rule_3_who_keeps_dying_young_has_failed_and_is_still_tried() -> None:
    (child,) = children(0)
    for number in range(FAILED_AFTER):
        assert child.state is not State.FAILED
        die_young(child, float(number))
    assert child.state is State.FAILED
    assert plan([child], child.since_s + child.backoff_s + 1e-9) == [(Do.START, child)]
    assert plan([child], child.since_s + child.backoff_s * 0.9) == []


def test_rule_3_the_rest_goes_on() -> None:
    first, second = kids = children(0, 1)
    for child in kids:
        bring_up(child)
    for number in range(FAILED_AFTER):
        die_young(first, float(number))
    assert plan(kids, float(FAILED_AFTER - 1)) == []
    assert second.state is State.READY


@pytest.mark.parametrize("code", [73, 78])
def test_rule_3_who_cannot_start_has_failed_at_once(code: int) -> None:
    (child,) = children(0)
    supervision.started(child, 7, 0.0)
    supervision.ended(child, code, 0.1)
    assert child.state is State.FAILED
    assert supervision.hopeless([child]) is child


def test_a_process_that_was_ready_once_is_not_hopeless() -> None:
    (child,) = children(0)
    bring_up(child)
    supervision.ended(child, 78, 1.0)
    assert child.state is State.FAILED
    assert supervision.hopeless([child]) is None


def test_rule_4_who_is_not_ready_in_time_is_killed_once() -> None:
    (child,) = children(0)
    supervision.started(child, 7, 0.0)
    assert plan([child], READY_S) == []
    assert plan([child], READY_S + 0.1) == [(Do.KILL, child)]
    child.killed = True
    assert plan([child], READY_S + 0.2) == []
    supervision.ended(child, -9, READY_S + 0.3)
    supervision.started(child, 8, READY_S + 9)
    assert not child.killed


def test_rule_4_who_no_longer_feeds_the_watchdog_is_killed() -> None:
    child = bring_up(children(0)[0])
    assert plan([child], WATCHDOG_S) == []
    supervision.notified(child, {"WATCHDOG": "1"}, WATCHDOG_S)
    assert plan([child], 2 * WATCHDOG_S) == []
    assert plan([child], 2 * WATCHDOG_S + 0.1) == [(Do.KILL, child)]


def test_only_ready_makes_ready_and_only_while_starting() -> None:
    (child,) = children(0)
    supervision.started(child, 7, 0.0)
    supervision.notified(child, {"WATCHDOG": "1", "STATUS": "READY=1"}, 1.0)
    assert child.state is State.STARTING
    child.state = State.LEAVING
    supervision.notified(child, READY, 2.0)
    assert child.state is State.LEAVING
    assert not child.was_ready


@pytest.mark.parametrize("state", [state for state in State if state is not State.STARTING])
def test_a_repeated_ready_changes_no_state_and_feeds_the_watchdog(state: State) -> None:
    """READY=1 may be lost where the queue is full, so children repeat it all their life."""
    (child,) = children(0)
    supervision.started(child, 7, 0.0)
    child.state = state
    supervision.notified(child, READY | {"WATCHDOG": "1"}, 2.0)
    assert (child.state, child.fed_s, child.was_ready) == (state, 2.0, False)


def test_who_cannot_be_started_has_died_young() -> None:
    child = bring_up(children(0)[0])
    supervision.ended(child, 1, 1000.0)
    for number in range(FAILED_AFTER):
        assert child.state is State.BACKOFF
        supervision.not_started(child, 1001.0 + number)
    assert (child.state, child.pid, child.restarts) == (State.FAILED, 0, 0)
    assert plan([child], child.since_s + child.backoff_s + 0.01) == [(Do.START, child)]


def leave(actions: list[supervision.Action], now_s: float) -> None:
    """Do as the supervisor does with a TERMINATE, and let them end."""
    for what, child in actions:
        assert what is Do.TERMINATE
        child.state, child.since_s = State.LEAVING, now_s


def test_shards_and_monitor_leave_first_then_feeds_then_the_router() -> None:
    kids = supervision.wanted(Settings(hub=Hub(shards=1, feeds=["sim"])))
    for number, child in enumerate(kids):
        bring_up(child, pid=number + 1)
    for expected in (["shard-0", "monitor"], ["feed-sim"], ["router"]):
        actions = plan_leaving(kids, 10.0, PATIENCE)
        assert [child.name for _, child in actions] == expected
        leave(actions, 10.0)
        assert plan_leaving(kids, 14.0, PATIENCE) == []
        for _, child in actions:
            supervision.ended(child, 0, 14.0)
            assert child.state is State.GONE
    assert plan_leaving(kids, 20.0, PATIENCE) == []


def test_rule_2_one_that_was_told_to_leave_is_back_at_once_and_has_not_died_young() -> None:
    """A rolling restart twice over would look like a crash loop."""
    child = Child("shard-0", 2)
    die_young(child, 1.0)
    die_young(child, 2.0)
    for number in range(2 * FAILED_AFTER):
        bring_up(child, 3.0 + number)
        supervision.ended(child, 0, 3.5 + number)
        assert (child.state, child.backoff_s) == (State.BACKOFF, FIRST_BACKOFF_S)
        assert child.young_deaths == 2
        assert plan([child], 3.5 + number) == []
        assert names(plan([child], 3.51 + number + FIRST_BACKOFF_S)) == [("start", "shard-0")]
    assert die_young(child, 50.0) == 4 * FIRST_BACKOFF_S, "the back-off goes on where it was"


@pytest.mark.parametrize("lived_s", [0.1, STABLE_S + 1], ids=["at once", "after a while"])
@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("ready_once", [False, True])
def test_rule_2_one_that_ends_before_it_is_ready_has_died_young_whatever_its_code(
    code: int, ready_once: bool, lived_s: float
) -> None:
    """It would be started again for ever, and nobody would be told."""
    child = Child("shard-0", 2)
    if ready_once:
        supervision.ended(bring_up(child, 0.0), 0, 100.0)
    now_s = 200.0
    for number in range(1, FAILED_AFTER + 1):
        supervision.started(child, 7, now_s)
        supervision.ended(child, code, now_s + lived_s, ("no",))
        assert (child.young_deaths, child.last_lines) == (number, ("no",))
        assert supervision.crashed(child, now_s + lived_s)
        now_s += 100.0
    assert child.state is State.FAILED
    assert supervision.hopeless([child]) is (None if ready_once else child)


def test_a_crash_is_news_until_the_process_is_back_for_a_minute() -> None:
    child = bring_up(Child("shard-0", 2), 100.0)
    assert not supervision.crashed(child, 100.0)
    supervision.ended(child, 1, 200.0, ("this", "that"))
    assert child.last_lines == ("this", "that")
    assert supervision.crashed(child, 200.0)
    assert supervision.crashed(child, 900.0), "it is not back"
    supervision.started(child, 8, 1000.0)
    assert supervision.crashed(child, 1000.0), "it is starting"
    supervision.notified(child, READY, 1001.0)
    assert supervision.crashed(child, 1059.0)
    assert not supervision.crashed(child, 1060.0)


def test_who_was_told_to_leave_has_not_crashed_and_neither_has_who_leaves() -> None:
    child = bring_up(Child("shard-0", 2), 100.0)
    supervision.ended(child, 0, 200.0, ("gone",))
    assert not supervision.crashed(child, 200.0)
    bring_up(child, 201.0)
    supervision.ended(child, -9, 202.0)
    bring_up(child, 203.0)
    child.state = State.LEAVING
    assert not supervision.crashed(child, 204.0)
    supervision.ended(child, -9, 205.0)
    assert not supervision.crashed(child, 206.0)


def test_a_shard_has_the_time_its_clients_are_sent_away_in_besides() -> None:
    settings = Settings(hub=Hub(stop_s=2.0), websocket=Websocket(drain_s=30.0))
    three = ("shard-3", "feed-bus", "router")
    assert {name: supervision.leave_s(name, settings) for name in three} == {
        "shard-3": 32.0,
        "feed-bus": 2.0,
        "router": 2.0,
    }
    assert [supervision.patience_s(name, settings) for name in three] == [33.0, 3.0, 3.0]
    assert supervision.hub_leave_s(settings) == 33.0 + 3.0 + 3.0
    kids = [bring_up(Child("shard-0", 2), pid=1), bring_up(Child("monitor", 3), pid=2)]
    patience = {"shard-0": 32.0, "monitor": 2.0}
    leave(plan_leaving(kids, 10.0, patience.__getitem__), 10.0)
    assert plan_leaving(kids, 13.0, patience.__getitem__) == [(Do.KILL, kids[1])]
    kids[1].killed = True
    assert plan_leaving(kids, 41.9, patience.__getitem__) == []
    assert plan_leaving(kids, 42.1, patience.__getitem__) == [(Do.KILL, kids[0])]


def test_rule_4_who_does_not_leave_is_killed_and_nobody_is_passed_over() -> None:
    kids = supervision.wanted(Settings(hub=Hub(shards=2, feeds=["sim"])))
    for number, child in enumerate(kids):
        bring_up(child, pid=number + 1)
    leave(plan_leaving(kids, 10.0, PATIENCE), 10.0)
    stuck = next(child for child in kids if child.name == "shard-1")
    for child in kids:
        if child.stage >= 2 and child is not stuck:
            supervision.ended(child, 0, 11.0)
    assert plan_leaving(kids, 15.1, PATIENCE) == [(Do.KILL, stuck)]
    stuck.killed = True
    assert plan_leaving(kids, 16.0, PATIENCE) == []


def test_who_is_gone_or_leaving_is_not_started_again() -> None:
    (child,) = children(0)
    bring_up(child)
    child.state = State.LEAVING
    assert plan([child], 1e6) == []
    supervision.ended(child, 0, 1.0)
    assert plan([child], 1e6) == []
