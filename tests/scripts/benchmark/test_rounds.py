"""Who runs when, with runs that take no time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.core.errors import HubError
from scripts.benchmark import contenders, rounds, run
from scripts.benchmark.contenders import Contender
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.result import Result
from scripts.benchmark.usage import Usage

ONE = Load(name="one", clients=1, symbols=1, rate=10)
OTHER = Load(name="other", clients=2, symbols=1, rate=10)
FIELD = [contenders.hub("hub", {}), contenders.PEERS["loop"]()]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Load, contender and rate of each run; those above 9000 ticks/s lose everything."""
    seen: list[tuple[str, str, int]] = []

    def measure(load: Load, contender: Contender, beat: Callable[[], None]) -> Result:
        beat()
        seen.append((load.name, contender.name, load.rate))
        delivered = load.deliveries if load.rate <= 9000 else 0
        usage = Usage(1.0, {"a": 1.0}, 0, 0, 1, 2)
        return Result(load, delivered, 0, 0, 0, Histogram(), Histogram(), usage, {}, 0, [])

    monkeypatch.setattr(run, "measure", measure)
    return seen


def test_contenders_take_turns_load_by_load(ran: list[tuple[str, str, int]]) -> None:
    rows = rounds.run([ONE, OTHER], FIELD, 2)
    turn = ["hub", "loop", "hub", "loop"]
    assert [name for name, _, _ in ran] == ["one"] * 4 + ["other"] * 4
    assert [who for _, who, _ in ran] == turn * 2
    assert [row.load for row in rows] == [ONE, OTHER]
    assert [{who: len(done) for who, done in row.rounds.items()} for row in rows] == [
        {"hub": 2, "loop": 2}
    ] * 2
    assert rows[0].hubs == ["hub"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the second run of a peer fail, and every run of the hub `broken`."""
    peers = iter([False, True, False])
    measure = run.measure

    def fail(load: Load, contender: Contender, beat: Callable[[], None]) -> Result:
        if contender.name == "broken" or (not contender.is_hub and next(peers)):
            raise HubError("out of [order]")
        return measure(load, contender, beat)

    monkeypatch.setattr(run, "measure", fail)


@pytest.mark.usefixtures("ran", "failing")
def test_a_peer_that_fails_is_passed_over_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    rows = rounds.run([ONE], FIELD, 2)
    assert {who: len(done) for who, done in rows[0].rounds.items()} == {"hub": 2, "loop": 1}
    assert "one: without loop: out of [order]" in capsys.readouterr().err


@pytest.mark.usefixtures("ran", "failing")
def test_a_hub_that_fails_ends_it() -> None:
    with pytest.raises(HubError, match="out of"):
        rounds.run([ONE], [contenders.hub("broken", {}), *FIELD], 1)


def test_the_limit_of_each_is_searched_and_every_attempt_told(
    ran: list[tuple[str, str, int]],
) -> None:
    told: list[str] = []
    found = rounds.find_limits(ONE, FIELD, told.append)
    assert [one.who for one in found] == ["hub", "loop"]
    assert all(8000 <= one.limit.holds <= 9000 for one in found)
    assert len(told) == len(ran)
    assert told[0].endswith("holds")
    assert "10,000 ticks/s, 0.00% delivered" in told[1]
    assert "100.00% of the ticks were lost" in found[0].says


def test_nothing_is_told_to_nobody(ran: list[tuple[str, str, int]]) -> None:
    assert rounds.find_limits(ONE, FIELD[:1], None)[0].limit.fails
    assert ran
