"""The report: recovery times by kind of fault, and a verdict that says how to see it again."""

from __future__ import annotations

import msgspec

from scripts.faults import report
from scripts.faults.account import Broken
from scripts.faults.outcome import Done, Order, Outcome
from scripts.faults.plan import Fault


def done(kind: str, target: str, **figures: float) -> Done:
    return Done(1.5, Fault(kind, target, 0.0, 1.0, 0), figures, ["3 clients"], "")


DONE = [
    done("kill", "shard-1", ready=1.0),
    done("kill", "shard-3", ready=2.0),
    done("kill", "feed-sim", ready=4.0),
    done("slow", "client 3"),
]


def outcome(*broken: Broken) -> Outcome:
    return Outcome(
        order=Order(seed=7, seconds=90.0),
        done=DONE,
        broken=list(broken),
        received=12,
        published=34,
        skipped=5,
        excused={"kill router": 6},
        before_reply=8,
        disconnected=2,
        retries={"subscribe: partial: away": 3},
        memory={"router": (1 << 20, 3 << 20, 2 << 20)},
        restarts={"router": 1},
        last={"nothing left": 0.5},
        held_up_s=0.0,
        p99_ms=3.5,
    )


def test_times_are_gathered_by_kind_of_fault_and_feeds_by_name() -> None:
    assert report.recoveries(DONE) == {
        ("kill feed-sim", "ready"): [4.0],
        ("kill shard", "ready"): [1.0, 2.0],
    }


def test_a_fault_is_a_line() -> None:
    line = report.line(DONE[0])
    assert "kill shard-1" in line
    assert "3 clients; ready 1.00" in line


def test_a_good_run_says_so() -> None:
    text = "\n".join(report.lines("a machine", outcome()))
    assert "All promises were kept through 4 faults. Seed 7." in text
    assert "6 ticks, kill router" in text
    assert "8 order updates published before the reply" in text
    assert "Asked again 3 times" in text
    assert "broken" not in text


def test_what_is_broken_is_told_once_for_each_client_and_how_to_repeat_it() -> None:
    gap = Broken("gap", "all-0#1 on shard-2", "NSE:C1: 3 missing", 5, "0.10 s after kill monitor")
    text = list(report.verdict(outcome(gap, gap, gap._replace(who="all-1#1"))))
    assert text[0] == "3 times a promise was broken:"
    assert "all-0#1 on shard-2: NSE:C1: 3 missing (0.10 s after kill monitor)" in text[1]
    assert text[1].endswith("; and 1 like it")
    assert "all-1#1" in text[2]
    assert text[3] == "To repeat the same faults: scripts/chaos --minutes 1.5 --seed 7"


def test_json_holds_the_same() -> None:
    told = report.as_json("a machine", outcome(Broken("gap", "a", "b")))
    value = msgspec.json.decode(msgspec.json.encode(told))
    assert value["order"]["seed"] == 7
    assert value["faults"][0] == {"at_s": 1.5, "fault": "kill shard-1", "ready": 1.0}
    assert value["recovery"][1]["median"] == 1.5
    assert value["memory_bytes"]["router"] == [1 << 20, 3 << 20, 2 << 20]
    assert value["broken"][0]["promise"] == "gap"
