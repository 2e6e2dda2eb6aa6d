"""What a child says of its target, and what is made of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.fuzzing.hunt import Outcome, figures, hunt, last_lines

SAID = """INFO: Running with entropic power schedule (0xFF, 100).
#2	INITED cov: 12 ft: 12 corp: 1/1b exec/s: 0 rss: 50Mb
#2048	pulse  cov: 345 ft: 512 corp: 30/900b lim: 21 exec/s: 1024 rss: 60Mb
Done 9000 runs in 2 second(s)
stat::number_of_executed_units: 9000
stat::average_exec_per_sec:     4500
"""
BROKEN = """#7	NEW cov: 13 ft: 12 corp: 1/1b exec/s: 0 rss: 50Mb

 === Uncaught Python exception: ===
KeyError: 'a'
Traceback (most recent call last):
  File "parsers.py", line 1, in read
KeyError: 'a'

==12== ERROR: libFuzzer: fuzz target exited
stat::number_of_executed_units: 7
"""


def test_figures_are_the_last_that_were_said() -> None:
    assert figures(SAID) == (9000, 4500, 345)
    assert figures(BROKEN) == (7, 0, 13)
    assert figures("") == (0, 0, 0)


def test_what_went_wrong_is_the_traceback_or_the_last_lines() -> None:
    assert last_lines(BROKEN).splitlines()[1:3] == [
        "KeyError: 'a'",
        "Traceback (most recent call last):",
    ]
    assert "ERROR" not in last_lines(BROKEN)
    assert last_lines(SAID).endswith("stat::average_exec_per_sec:     4500")


def test_an_outcome_is_a_line_and_what_was_found_can_be_pasted() -> None:
    good = Outcome("zmtp", 9000, 4500, 345, 30)
    assert good.line().split() == [
        "zmtp", "9,000", "inputs", "4,500/s", "345", "places", "30", "kept", "ok",
    ]  # fmt: skip
    bad = Outcome("json", 7, 0, 13, 1, b"\x00\xff", "KeyError: 'a'")
    assert bad.line().endswith("FAILED")
    assert '    ("json", "00ff"),' in bad.report().splitlines()
    assert "KeyError: 'a'" in bad.report()


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stands for a child: what it says, its exit code, and the files it leaves."""

    def stand(said: str, code: int = 0, **files: bytes) -> list[list[str]]:
        started: list[list[str]] = []

        def run(command: list[str], **options: Any) -> Any:
            started.append(command)
            assert options["env"]["SHARDHUB_PURE"] == "1"
            (prefix,) = [word for word in command if word.startswith("-artifact_prefix=")]
            for name, data in files.items():
                Path(prefix.partition("=")[2], name.replace("_", "-")).write_bytes(data)
            return subprocess.CompletedProcess(command, code, said.encode())

        monkeypatch.setattr(subprocess, "run", run)
        return started

    return stand


def test_a_hunt_that_finds_nothing(child: Any, tmp_path: Path) -> None:
    started = child(SAID)
    outcome = hunt("zmtp", [b"a", b"b"], tmp_path / "zmtp", 5, 7)
    assert outcome == Outcome("zmtp", 9000, 4500, 345, 2)
    ((_, _, module_name, name, corpus, *options),) = started
    assert (module_name, name, corpus) == (
        "scripts.fuzzing.child", "zmtp", str(tmp_path / "zmtp"),
    )  # fmt: skip
    assert {"-max_total_time=5", "-seed=7"} <= set(options)


def test_a_hunt_that_finds_something(child: Any, tmp_path: Path) -> None:
    child(BROKEN, 77, crash_1=b"\x01\x02")
    outcome = hunt("zmtp", [b"a"], tmp_path / "zmtp", 5, 7)
    assert outcome.found == b"\x01\x02"
    assert "KeyError" in outcome.said
    child(SAID)
    assert hunt("zmtp", [], tmp_path / "zmtp", 5, 7).found is None, "that was found before"


def test_a_child_that_cannot_begin_or_does_not_end_is_told(
    child: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child("no module named atheris", 1)
    with pytest.raises(RuntimeError, match="ended with 1:\nno module"):
        hunt("zmtp", [], tmp_path / "zmtp", 5, 7)

    def run(command: list[str], *, timeout: float, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match="did not end within"):
        hunt("zmtp", [], tmp_path / "zmtp", 5, 7)
