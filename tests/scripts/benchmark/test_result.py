"""What is made of results: ratios, sums over rounds, and whether they count."""

from __future__ import annotations

import pytest

from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result, limits, ratio, together
from scripts.benchmark.usage import Usage

LOAD = Load(name="test", clients=2, symbols=10, rate=100, seconds=10, warm_s=1)


def result(
    *, ms: int = 1, cpu: float = 10.0, delivered: int = 2000, notes: tuple[str, ...] = ()
) -> Result:
    """A run of 10 s in which every tick took so long."""
    latency = Histogram()
    for _ in range(delivered):
        latency.add(ms * 10**6)
    usage = Usage(10.0, {"router": cpu / 2, "shard-0": cpu / 2}, 100.0, 5_000_000, cpu + 20, 2)
    readers = {"clients 1": 3.0, "publisher": 2.0}
    return Result(
        LOAD, delivered, 200, 0, 0, latency, Histogram(), usage, readers, 1100, list(notes)
    )


def test_cost_is_told_by_frame_and_by_tick() -> None:
    one = result(cpu=10)
    assert one.us == pytest.approx(1e6)
    assert one.us_per_frame == pytest.approx(500)
    assert one.us_per_tick == pytest.approx(1000)
    assert one.bytes_per_s == pytest.approx(100)
    assert one.others == pytest.approx(15)
    assert one.early_ratio == 1


def test_rounds_are_added_up() -> None:
    both = together([result(ms=1, cpu=10), result(ms=3, cpu=30, delivered=1000, notes=("x",))])
    assert (both.rounds, both.delivered, both.ratio) == (2, 3000, 0.75)
    assert both.server.total == pytest.approx(20)
    assert both.us_per_frame == pytest.approx(4e6 / 3000)
    assert both.latency.percentile_ns(99) == pytest.approx(3e6, rel=0.001)
    assert both.latency.percentile_ns(50) == pytest.approx(1e6, rel=0.001)
    assert both.notes == ["x"]


def test_one_round_is_itself() -> None:
    one = result()
    assert together([one]).us_per_frame == one.us_per_frame
    assert together([one]).counts == one.counts == "yes"


@pytest.mark.parametrize(
    ("one", "sound", "counts"),
    [
        (result(), True, "yes"),
        (result(delivered=1999), False, "yes"),
        (result(delivered=1999, notes=("publisher at 99 %: the limit",)), True, "no"),
        (result(ms=101), True, "behind"),
        (result()._replace(duplicates=1), False, "yes"),
        (result()._replace(disordered=1), False, "yes"),
        (result()._replace(server=result().server._replace(machine=70.0)), True, "noisy"),
        (result(cpu=175), True, "full"),
    ],
)
def test_what_is_lost_counts_unless_it_was_not_the_server(
    one: Result, sound: bool, counts: str
) -> None:
    assert (one.sound, one.counts) == (sound, counts)


def test_whatever_is_busy_all_the_time_is_the_limit() -> None:
    assert limits({"clients 1": 90.0, "publisher": 20.0}, 1.0, 5) == []
    assert limits({"clients 1": 95.0}, 1.0, 5) == ["clients 1 at 95 %: the limit"]
    assert limits({}, 1.1, 500) == ["published 10 % too slowly"]
    (note,) = limits({"publisher": 10.0}, 1.1, 500)
    assert note.startswith("published 10 % too slowly: not busy, but held up")
    assert limits({}, 1.0, 500) == ["published up to 500 ms late"]


def test_nothing_is_no_multiple() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) == 0
