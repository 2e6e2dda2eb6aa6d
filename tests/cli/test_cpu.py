"""`hub cpu` against a fake monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import cpu
from hub.monitor import usage
from tests.cli.board import board


def figures(pid: int, cpu_s: float, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid, "cpu_s": cpu_s, "rss": 40 << 20, "threads": 4, "switches_voluntary": 100,
        "switches_involuntary": 10, "lag_ms": 0.3,
    } | more  # fmt: skip


def sample(router_s: float = 0.25, shard_s: float = 0.9, at_s: float = 100.0) -> dict[str, Any]:
    return {
        "t": "usage",
        "before": {
            "at_s": at_s - 1,
            "processes": {"router": figures(1, 5.0), "shard-0": figures(2, 7.0, out=0)},
        },
        "after": {
            "at_s": at_s,
            "processes": {
                "router": figures(1, 5.0 + router_s),
                "shard-0": figures(2, 7.0 + shard_s, out=1000),
            },
        },
    }


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("cli.cpu.time.sleep", slept.append)
    return slept


def test_one_report_needs_no_waiting(
    hub: Any, answer: Any, runtime_dir: Path, naps: list[float]
) -> None:
    fake = answer(usage=[sample()])
    text = hub("cpu", "--runtime-dir", runtime_dir, "--interval", "5").stdout
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["router"][:3] == ["router", "1", "25.0"]
    assert rows["shard-0"][:3] == ["shard-0", "2", "90.0"]
    assert rows["shard-0"][4:6] == ["78", "%"]
    assert rows["total"][1:2] == ["115.0"]
    assert "█" in text
    assert fake.asked == [{"t": "usage", "over_s": 5.0, "to": "monitor"}]
    assert naps == []


def test_further_reports_wait_between(
    hub: Any, answer: Any, runtime_dir: Path, naps: list[float]
) -> None:
    fake = answer(usage=[sample()])
    text = hub("cpu", "--runtime-dir", runtime_dir, "--count", 3, "--interval", "2").stdout
    assert text.count("total") == 3
    assert naps == [2.0, 2.0]
    assert len(fake.asked) == 3


def test_json_is_one_object_a_line(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(usage=[sample(at_s=100.0), sample(at_s=101.0)])
    lines = hub("cpu", "--runtime-dir", runtime_dir, "--count", "2", "--json").stdout.splitlines()
    first, second = map(json.loads, lines)
    assert (first["at_s"], second["at_s"]) == (100.0, 101.0)
    assert first["interval_s"] == 1.0
    assert [row["process"] for row in first["processes"]] == ["router", "shard-0"]
    assert first["processes"][0]["cpu_percent"] == 25.0
    assert first["processes"][0]["in_s"] is None
    assert first["processes"][1]["out_s"] == 1000.0
    assert first["total"]["cpu_percent"] == 115.0


def test_the_help_documents_every_json_field(hub: Any) -> None:
    text = hub("cpu", "--help").stdout
    for field in (*usage.Row._fields, "at_s", "interval_s", "processes", "total"):
        assert field in text


def test_max_cpu_names_who_exceeds_it_with_3(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(usage=[sample(shard_s=0.95), sample(shard_s=0.1)])
    args = ("cpu", "--runtime-dir", runtime_dir, "--count", "2", "--max-cpu")
    result = hub(*args, "80", rc=3)
    assert result.stderr == "shard-0 used 95.0 % CPU, more than 80 %\n"


def test_max_cpu_that_nobody_exceeds_is_0(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(usage=[sample(shard_s=0.79)])
    assert hub("cpu", "--runtime-dir", runtime_dir, "--max-cpu", "80").stderr == ""


def test_watch_ends_well_with_ctrl_c(
    hub: Any, answer: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def nap(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.cpu.time.sleep", nap)
    answer(usage=[sample()])
    assert hub("cpu", "--runtime-dir", runtime_dir, "--watch").stdout.count("total") == 3
    slept.clear()
    hub("cpu", "--runtime-dir", runtime_dir, "--watch", "--max-cpu", "50", rc=3)


def test_ctrl_c_without_watch_is_130(
    hub: Any, answer: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.cpu.time.sleep", interrupt)
    answer(usage=[sample()])
    hub("cpu", "--runtime-dir", runtime_dir, "--count", "2", rc=130)


@pytest.mark.parametrize("args", [("--interval", "0.1"), ("--count", "0"), ("--max-cpu", "-1")])
def test_nonsense_is_wrong_usage(hub: Any, args: tuple[str, ...]) -> None:
    hub("cpu", *args, rc=2)


def test_no_hub_is_69(hub: Any, runtime_dir: Path) -> None:
    assert "no hub runs" in hub("cpu", "--runtime-dir", runtime_dir, rc=69).stderr


def test_the_table_fits_100_columns_on_a_busy_day() -> None:
    busy = figures(4194304, 2e4, rss=1234 << 20, threads=24, lag_ms=123.4, switches_voluntary=12345,
                   switches_involuntary=1234, **{"in": 123456, "out": 98765432})  # fmt: skip
    rows = usage.report(
        {"at_s": 0.0, "processes": {}},
        {"at_s": 1.0, "processes": {"supervisor": figures(1, 0.1), "shard-10": busy}},
    )
    console = Console(width=100, record=True)
    console.print(cpu.picture(cpu.Sample(1.0, 1.0, rows), 100))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100


def test_who_makes_a_shard_busy_is_looked_for_when_one_is(
    hub: Any, answer: Any, runtime_dir: Path, naps: list[float]
) -> None:
    busy = sample()
    busy["before"]["processes"]["shard-1"] = figures(3, 1.0)
    busy["after"]["processes"]["shard-1"] = figures(3, 1.1)
    found = board()
    found["processes"][1]["busiest"] = {"clients": 2, "share": 0.9}
    answer(usage=[busy], board=[{"t": "board", "board": board()}, {"t": "board", "board": found}])
    text = hub("cpu", "--runtime-dir", runtime_dir).stdout
    assert "→ shard 0 is 80 % above the mean: 2 clients hold 90 % of its deliveries" in text
    assert len(naps) == 1
