"""`hub latency` against a fake router and monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.board import board

TRACED = {
    "t": "traced",
    "shard": "shard-1",
    "topic": b"NSE_A_LTP",
    "received_ns": 5,
    "took_us": {"source": 900.0, "routed": 40.0, "taken": 200.0, "framed": 9.0, "written": 51.0,
                "total": 300.0},
}  # fmt: skip


def test_all_ticks_of_late_by_hop(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(board=[{"t": "board", "board": board()}])
    text = hub("latency", "--runtime-dir", runtime_dir).stdout
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["total"][1:3] == ["400", "us"]
    assert rows["routed"][1:3] == ["50", "us"]
    assert "shard-0" not in text
    text = hub("latency", "--shards", "--runtime-dir", runtime_dir).stdout
    assert text.index("shard-0") < text.index("shard-1")


def test_json_has_all_shards(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(board=[{"t": "board", "board": board()}])
    found = json.loads(hub("latency", "--json", "--runtime-dir", runtime_dir).stdout)
    assert found["latency"]["total"]["p50_us"] == 400.0
    assert found["shards"]["shard-1"]["total"]["p99_us"] == 1800.0


def test_without_ticks_it_says_what_that_means(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(board=[{"t": "board", "board": board(latency={})}])
    text = hub("latency", "--runtime-dir", runtime_dir).stdout
    assert "no tick was timed" in text
    assert "flow.sample_ms" in text


def test_a_symbol_is_followed_tick_by_tick(hub: Any, answer: Any, runtime_dir: Path) -> None:
    fake = answer(trace=[TRACED])
    text = hub("latency", "--symbol", "NSE:A", "--count", 1, "--runtime-dir", runtime_dir).stdout
    line = text.splitlines()[0].split()
    assert line[1:5] == ["LTP", "shard-1", "300", "us"]
    assert "taken 200 us" in text
    assert text.splitlines()[-1].startswith("total")
    assert fake.asked[0]["keys"] == [b"NSE_A"]


def test_a_symbol_as_json_is_an_object_a_tick(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(trace=[TRACED])
    args = ("latency", "--symbol", "NSE:A", "--count", "1", "--json", "--runtime-dir", runtime_dir)
    (line,) = hub(*args).stdout.splitlines()
    found = json.loads(line)
    assert (found["symbol"], found["mode"], found["total"]) == ("NSE:A", "LTP", 300.0)


def test_a_symbol_without_ticks_ends_with_what_to_do(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    args = ("latency", "--symbol", "NSE:A", "--for", "0.3s", "--runtime-dir", runtime_dir)
    fake = answer(trace=[{"t": "tracing", "legs": 0}])
    assert "`hub tail NSE:A` does" in hub(*args, rc=1).stderr
    fake.close()
    answer(trace=[{"t": "tracing", "legs": 2}])
    assert "is its market open?" in hub(*args, rc=1).stderr


def test_wrong_usage_is_told(hub: Any, runtime_dir: Path) -> None:
    assert "--symbol" in hub("latency", "--for", "5s", rc=2).stderr
    assert "EXCHANGE:SYMBOL" in hub("latency", "--symbol", "NSE:A,NSE:B", rc=2).stderr
    args = ("latency", "--symbol", "NSE:A", "--runtime-dir", runtime_dir)
    assert "hub start" in hub(*args, rc=69).stderr
