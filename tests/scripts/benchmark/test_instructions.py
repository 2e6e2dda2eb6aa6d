"""The command line that counts instructions, without valgrind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from scripts.benchmark import instructions
from scripts.benchmark.callgrind import Profile
from scripts.benchmark.gate import Record
from scripts.benchmark.instructions import main


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty record, valgrind as good as installed, and counts of the test's own."""
    path = tmp_path / "record.json"
    path.write_text("{}")
    monkeypatch.setattr(instructions, "RECORD", path)
    monkeypatch.setattr("shutil.which", lambda _: "valgrind")
    count(monkeypatch, 1000)
    return path


def count(monkeypatch: pytest.MonkeyPatch, cost: int) -> None:
    def counted(_: object) -> Profile:
        own = Counter({"f": cost * instructions._COUNTED})
        return Profile(own.total(), own, own, Counter())

    monkeypatch.setattr(instructions, "_count", counted)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_without_valgrind_it_says_so_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert run() == (0, "valgrind is not installed here, so no instructions are counted.\n")


def test_what_is_recorded_is_what_is_compared_with(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--record", "shard")[0] == 0
    count(monkeypatch, 1090)
    assert run("shard")[0] == 0
    count(monkeypatch, 1200)
    code, said = run("shard")
    assert code == 1
    assert "+20.0%" in said
    assert "+200 (was 1,000) f" in said


def test_recording_one_scenario_keeps_the_others(record: Path) -> None:
    run("--record", "shard")
    run("--record", "router-bus")
    assert set(msgspec.json.decode(record.read_bytes(), type=Record).figures) == {
        "shard",
        "router-bus",
    }


def test_another_python_is_shown_and_not_judged(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--record", "shard")
    count(monkeypatch, 9000)
    monkeypatch.setattr(instructions, "_machine", lambda: "another Python")
    code, said = run("shard")
    assert code == 0
    assert "Not judged" in said
    assert "another Python" in said
    run("--record", "router-bus")
    assert list(msgspec.json.decode(record.read_bytes(), type=Record).figures) == ["router-bus"]


def test_without_the_compiled_twin_the_rest_is_counted(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = instructions._count

    def only_pure(scenario: instructions.Scenario) -> Profile:
        if not scenario.pure:
            raise instructions.NotCompiled
        return counted(scenario)

    monkeypatch.setattr(instructions, "_count", only_pure)
    code, said = run("shard", "shard-pure")
    assert code == 0
    assert "shard is not counted" in said
    assert "shard-pure  " in said


def test_the_record_of_the_repository_holds_all_scenarios() -> None:
    path = Path(instructions.__file__).with_name("instructions.json")
    found = msgspec.json.decode(path.read_bytes(), type=Record)
    assert found.holds_for
    assert set(found.figures) == set(instructions.SCENARIOS)
