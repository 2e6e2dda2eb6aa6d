"""Results as tables and as JSON."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from scripts.benchmark import report
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result, Row
from scripts.benchmark.usage import Usage

LOAD = Load(name="9x9", clients=2, symbols=10, rate=100, seconds=10, warm_s=1)


def result(ms: int, cpu: dict[str, float], *notes: str) -> Result:
    latency, warm_up = Histogram(), Histogram()
    latency.add(ms * 10**6)
    warm_up.add(7 * ms * 10**6)
    usage = Usage(10.0, cpu, 100.0, 5_000_000, 50, 2)
    readers = {"clients 1": 3.0, "publisher": 2.0}
    return Result(LOAD, 2000, 200, 0, 0, latency, warm_up, usage, readers, 1100, list(notes))


HUB = {"router": 5.0, "shard-0": 10.0, "shard-1": 5.0, "feed-bus": 1.0, "supervisor": 1.0}
ROW = Row(
    LOAD,
    {
        "hub": [result(4, HUB), result(4, HUB, "publisher at 95 %: the limit")],
        "hub w0": [result(2, HUB)],
        "nats": [result(1, {"nats": 11.0})],
        "slow": [result(500, {"slow": 100.0})],
    },
    ["hub", "hub w0"],
)


def printed() -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    report.show(console, "a machine", [ROW])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_each_hub_is_compared_with_each_that_is_none() -> None:
    ratios = [cells(line) for line in printed() if "│" in line][-2:]
    assert ratios == [
        ["9x9", "hub", "2", "4", "0.22", "0.008"],
        ["9x9", "hub w0", "2", "2", "0.22", "0.004"],
    ]


def test_shards_are_added_up() -> None:
    assert report.by_role(ROW.results["hub"])["shard"] == 15
    lines = [cells(line) for line in printed()]
    assert ["9x9", "hub w0", "5.0", "15.0", "1.0", "0.0", "1.0"] in lines


def test_the_warm_up_stands_apart() -> None:
    (line,) = [cells(line) for line in printed() if "nats" in line and "100.0000%" in line]
    assert line[3:9] == ["1", "1", "1", "1", "7", "7"]


def test_what_does_not_count_is_said_at_the_end() -> None:
    lines = printed()
    assert lines[0] == "a machine"
    assert lines[-1].startswith("9x9, slow, round 1: did not keep up")
    assert lines[-2] == "9x9, hub, round 2: does not count: publisher at 95 %: the limit"


def test_the_other_hubs_are_compared_with_the_first() -> None:
    (line,) = [cells(line) for line in printed() if cells(line)[-1] == "0.5"]
    assert line == ["9x9", "hub w0", "1", "0.5", "0.5", "0.5"]
    assert report.variants(ROW._replace(hubs=["hub"])) == {}


def test_json_holds_the_same() -> None:
    value = msgspec.json.decode(msgspec.json.encode(report.as_json("a machine", [ROW])))
    (row,) = value["loads"]
    assert row["ratios"]["hub"]["nats"] == pytest.approx({"cpu": 2.0, "p99": 4.0}, rel=0.001)
    assert row["results"]["nats"]["warm_up"]["p50"] == pytest.approx(7, rel=0.001)
    assert row["variants"]["hub w0"]["p99"] == pytest.approx(0.5, rel=0.001)
    assert len(row["results"]["hub"]["rounds"]) == 2
    assert row["results"]["hub"]["rounds"][1]["counts"] == "no"
