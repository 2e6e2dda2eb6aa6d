"""The search for the highest rate, on servers that are told what they can do."""

from __future__ import annotations

import msgspec
import pytest

from scripts.benchmark import limit
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result
from scripts.benchmark.usage import Usage

LOAD = Load(name="test", clients=4, symbols=1000, rate=100, seconds=1)


class Server:
    """Sustains so many ticks per second; above them it is slow, or loses some."""

    def __init__(self, most: int, *, loses: bool = False, clients_most: int = 10**9) -> None:
        self.most = most
        self.loses = loses
        self.clients_most = clients_most
        self.hiccups: set[int] = set()  # attempts that go wrong for no reason of the server's
        self.rates: list[int] = []
        self.others = 0.0  # CPU of other programs

    def __call__(self, rate: int) -> Result:
        self.rates.append(rate)
        over = rate > self.most or len(self.rates) in self.hiccups
        latency = Histogram()
        latency.add(8 * 10**6 if over and not self.loses else 10**6)
        load = msgspec.structs.replace(LOAD, rate=rate)
        lost = load.deliveries // 100 if over and self.loses else 0
        notes = ["clients 1 at 99 %: the limit"] if rate > self.clients_most else []
        usage = Usage(1.0, {"router": 50.0}, 0, 0, 80 + self.others, 2)
        return Result(
            load,
            load.deliveries - lost,
            0,
            0,
            0,
            latency,
            Histogram(),
            usage,
            {"publisher": 30.0},
            0,
            notes,
        )


@pytest.mark.parametrize("most", [150, 1234, 5000, 7_300, 33_333, 300_000])
@pytest.mark.parametrize("loses", [True, False])
def test_the_limit_is_found_from_below_and_closely(most: int, loses: bool) -> None:
    server = Server(most, loses=loses)
    found = limit.find(server)
    assert found.holds <= most < found.fails
    assert found.holds >= most * 0.9 - 200
    assert len(server.rates) < 30


def test_one_hiccup_is_no_limit() -> None:
    server = Server(20_000)
    server.hiccups = {2}
    assert limit.find(server).holds >= 18_000
    assert server.rates[:3] == [5000, 10_000, 10_000]


def test_on_a_busy_machine_a_rate_is_tried_three_times_and_the_limit_is_no_last_word() -> None:
    server = Server(20_000)
    server.others = 60.0
    server.hiccups = {2, 3}
    found = limit.find(server)
    assert server.rates[:4] == [5000, 10_000, 10_000, 10_000]
    assert found.holds >= 18_000
    assert found.noisy
    assert limit.sentence(LOAD, found).endswith("it may be able to do more.")
    assert not limit.find(Server(20_000)).noisy


def test_where_the_benchmark_is_the_limit_the_search_ends() -> None:
    found = limit.find(Server(10**9, clients_most=50_000))
    assert found.holds == 40_000
    said = limit.sentence(LOAD, found)
    assert "at least 40,000 ticks/s (160,000 frames/s)" in said
    assert "clients 1 at 99 %" in said


def test_what_has_no_limit_that_can_be_reached_is_said_to_be_at_least_so_fast() -> None:
    found = limit.find(Server(10**9))
    assert (found.holds, found.fails) == (640_000, 0)
    assert "at least 640,000 ticks/s" in limit.sentence(LOAD, found)


def test_the_sentence_names_what_happens_above() -> None:
    said = limit.sentence(LOAD, limit.find(Server(30_000)))
    assert said.startswith("With 4 clients of 1,000 symbols each, expect this machine to sustain")
    assert "about 30,000 ticks/s (120,000 frames/s)" in said
    assert "clients on it take 30 % of a core" in said
    assert said.endswith("the slowest 1 % took more than 8.0 ms.")
    assert "1.00% of the ticks were lost" in limit.sentence(
        LOAD, limit.find(Server(30_000, loses=True))
    )


def test_a_machine_that_sustains_nothing_is_told_so() -> None:
    found = limit.find(Server(0))
    assert (found.holds, found.best) == (0, None)
    assert "too busy to say" in limit.sentence(LOAD, found)


def test_json_holds_the_same() -> None:
    value = limit.as_json(limit.find(Server(30_000)))
    assert 28_000 <= value["ticks_per_s"] <= 30_000 < value["fails_at"]
    assert value["p99_ms"] == pytest.approx(1, rel=0.001)
    assert value["cpu_total"] == 50.0
