"""The command line of the benchmark, without running a load."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scripts.benchmark.__main__ import main
from scripts.benchmark.loads import LOADS


def listed(*arguments: str) -> list[str]:
    result = CliRunner().invoke(main, ["--list", *arguments])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_all_loads_are_listed() -> None:
    assert [line.split()[0] for line in listed()] == [load.name for load in LOADS]


def test_loads_are_chosen_by_name_and_changed() -> None:
    (line,) = listed("50x1000", "--shards", "2", "--quick")
    assert line.startswith("50x1000 ")
    assert line.endswith("2 shards, 3 s")


@pytest.mark.parametrize("name", [["10x5000"], []])
def test_another_form_has_another_name(name: list[str]) -> None:
    (line,) = listed(*name, "--clients", "7", "--payload", "500")
    assert line.startswith("7x5000 ")
    assert "of 500 bytes, 35,000 frames/s" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["9x9"], "9x9"),
        (["--payload", "10"], "payload"),
        (["-s", "flow.window_ms", "1x5000"], "SECTION.NAME=VALUE"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output
