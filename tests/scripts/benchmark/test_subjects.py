"""The benchmark of NATS's subjects, as far as it needs no server: who wants what, and its sums."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from scripts.benchmark.histogram import Histogram
from scripts.benchmark.subjects import SYMBOLS, Plan, audiences, row, table, wants


def plan(want: str = "half", way: str = "sets") -> Plan:
    return Plan(way, 3, want, 5000, 2.0)


@pytest.mark.parametrize(("want", "count"), [("all", SYMBOLS), ("half", 500), ("20", 20)])
def test_each_edge_wants_so_many_and_not_the_same(want: str, count: int) -> None:
    found = wants(plan(want))
    assert [len(one) for one in found] == [count] * 3
    assert found == wants(plan(want))
    assert len(set(found)) == (1 if want == "all" else 3)


def test_an_audience_is_who_wants_it() -> None:
    wanted = wants(plan())
    for symbol, edges in enumerate(audiences(plan())):
        assert set(edges) == {edge for edge in range(3) if symbol in wanted[edge]}


def edge(ticks: int, late_ms: int) -> dict[str, object]:
    latency = Histogram()
    for _ in range(ticks):
        latency.add(late_ms * 1_000_000)
    figures = {"cpu_s": 0.5, "ticks": ticks, "in_order": True, "wire_bytes": ticks * 330}
    return figures | {"latency": latency.as_json()}


def test_the_sums() -> None:
    publisher = {"cpu_s": 0.1, "ticks": 1000, "wanted": [400, 300], "wire_bytes": 340_000}
    made = row(plan(), publisher, [edge(399, 1), edge(300, 2)], 0.07)
    assert made["publisher_us"] == 100.0
    assert made["edge_us"] == round(1e6 / 699, 2)
    assert made["server_us"] == round(0.07e6 / 699, 2)
    assert made["cores"] == round(1.17 / 2, 3)
    assert made["delivered"] == round(699 / 700, 5)
    assert made["p50_ms"] == pytest.approx(1, rel=0.05)
    assert made["p99_ms"] == pytest.approx(2, rel=0.05)
    assert (made["sent_bytes"], made["read_bytes"]) == (340, 330)


def test_the_table_has_a_line_for_each_and_names_a_load_once() -> None:
    publisher = {"cpu_s": 0.1, "ticks": 0, "wanted": [0], "wire_bytes": 0}
    nothing = row(plan(way="nothing"), publisher, [edge(0, 0)], 0.0)
    some = row(plan(), publisher | {"ticks": 9, "wanted": [9]}, [edge(9, 1)], 0.01)
    console = Console(file=io.StringIO(), width=120)
    console.print(table([some, nothing]))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert text.count("5000, 3, half") == 1
    assert "100.0%" in text
    assert text.splitlines()[-1].split() == ["nothing", *"---", "0.3", *"----", "-", "-"]
