"""Instructions against the record."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.benchmark import gate
from scripts.benchmark.callgrind import Profile
from scripts.benchmark.gate import Figure, Record, Share

RECORD = Record("a Python", {"router": Figure(1000, {"f": 600, "g": 400})})


def profile(**own: int) -> Profile:
    costs = Counter(own)
    return Profile(costs.total(), costs, costs, Counter(dict.fromkeys(own, 300)))


@pytest.mark.parametrize(
    ("burst", "expected"), [(900, []), (1100, []), (1101, ["router"]), (5000, ["router"])]
)
def test_more_than_a_tenth_above_the_record_fails(burst: int, expected: list[str]) -> None:
    assert gate.failed({"router": Figure(burst)}, RECORD) == expected


def test_what_is_not_on_record_cannot_fail() -> None:
    assert gate.failed({"shard": Figure(10**9)}, RECORD) == []
    assert gate.failed({"router": Figure(10**9)}, Record()) == []


def test_a_figure_is_per_burst_and_knows_the_functions_that_count() -> None:
    found = gate.figure(profile(large=99_800, edge=300, small=299), bursts=100)
    assert found == Figure(1004, {"large": 998})
    assert gate.figure(profile(large=997, edge=3), 1).functions == {"large": 997, "edge": 3}


def test_the_table_says_per_tick_per_delivery_and_how_much_has_changed() -> None:
    now = {"router": Figure(1250), "shard": Figure(600)}
    shares = {"router": Share(10, 40), "shard": Share(10, 30)}
    head, *rows = gate.table(now, RECORD, shares)
    assert head.split() == ["instructions", "per", "tick", "per", "delivery", "recorded"]
    assert [row.split() for row in rows] == [
        ["router", "125", "31", "100", "+25.0%"],
        ["shard", "60", "20"],
    ]


def test_what_has_grown_stands_in_the_order_of_how_much() -> None:
    now = Figure(1700, {"f": 500, "g": 900, "new": 300})
    assert [line.split() for line in gate.grown(now, RECORD.figures["router"])] == [
        ["+500", "(was", "400)", "g"],
        ["+300", "(was", "0)", "new"],
    ]


def test_the_top_is_per_burst() -> None:
    _, *rows = gate.top(profile(f=500, g=200, h=1), 100, 2)
    assert [row.split() for row in rows] == [["5", "5", "3.00", "f"], ["2", "2", "3.00", "g"]]


def test_calls_that_come_with_every_burst_are_shown() -> None:
    counts = {"f": 200, "once": 1, "a": 100, "b": 100}
    assert [row.split() for row in gate.called(counts, 100, 3)] == [
        ["2.00", "f"],
        ["1.00", "a"],
        ["1.00", "b"],
    ]
