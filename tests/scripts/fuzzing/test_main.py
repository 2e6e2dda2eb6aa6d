"""The command line of the fuzzing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.fuzzing import __main__ as module
from scripts.fuzzing.hunt import Outcome
from scripts.fuzzing.targets import TARGETS


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(module.main, arguments)


@pytest.fixture
def hunts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, int, int]]:
    """Stands for hunts: `json` finds something."""
    made: list[tuple[str, Path, int, int]] = []

    def hunt(name: str, seeds: Any, corpus: Path, seconds: int, seed: int) -> Outcome:
        assert seeds == TARGETS[name].seeds
        made.append((name, corpus, seconds, seed))
        return Outcome(name, 1, 1, 1, 1, b"\x07" if name == "json" else None, "it broke")

    monkeypatch.setattr(module, "hunt", hunt)
    monkeypatch.setattr(module, "find_spec", lambda _: True)
    return made


def test_the_targets_are_listed_without_atheris() -> None:
    found = invoke("--list")
    assert found.exit_code == 0
    assert [line.split()[0] for line in found.output.splitlines()] == [*TARGETS]


def test_all_targets_are_tried_in_turn_and_what_was_found_is_shown_last(hunts: Any) -> None:
    found = invoke("--seconds", "3", "--seed", "9")
    assert found.exit_code == 1
    assert [name for name, *_ in hunts] == [*TARGETS]
    assert {tuple(rest) for _, _, *rest in hunts} == {(3, 9)}
    lines = found.output.splitlines()
    assert [line.split()[0] for line in lines[: len(TARGETS)]] == [*TARGETS]
    assert lines[-1] == '    ("json", "07"),'


def test_a_target_that_holds_is_no_failure_and_its_corpus_may_be_kept(
    hunts: Any, tmp_path: Path
) -> None:
    found = invoke("zmtp", "--corpus", str(tmp_path))
    assert found.exit_code == 0
    assert hunts == [("zmtp", tmp_path / "zmtp", 30, 1)]


def test_without_atheris_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    found = invoke("zmtp")
    assert found.exit_code == 78
    assert "scripts/fuzz installs it" in found.output


def test_a_target_nobody_knows_is_an_error() -> None:
    assert invoke("nonsense").exit_code == 2
