"""The command line of the benchmark, without running a load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from click.testing import CliRunner

from scripts.benchmark import contenders
from scripts.benchmark.__main__ import main
from scripts.benchmark.contenders import Contender
from scripts.benchmark.loads import LOADS, Load
from scripts.benchmark.result import Row


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


def test_ticks_one_by_one_are_a_load_of_their_own() -> None:
    (line,) = listed("50x1000", "--single")
    assert line.startswith("50x1000-single ")
    assert line.endswith("one by one")
    (line,) = listed("10x5000-single", "--bursts")
    assert line.startswith("10x5000 ")


def test_variants_are_hubs_with_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[str], int]] = []

    def run(chosen: Sequence[Load], field: Sequence[Contender], rounds: int) -> list[Row]:
        seen.extend((one.name, [hub.name for hub in field], rounds) for one in chosen)
        return []

    made: dict[str, Mapping[str, object]] = {}
    make = contenders.hub

    def hub(
        name: str,
        flags: Mapping[str, object],
        outlet: str = "bus",
        speech: str = "hub",
        disturbers: int = 0,
    ) -> Contender:
        made[f"{name}, {outlet}, {speech}"] = flags
        contender = make(name, flags, outlet, speech, disturbers)
        assert contender.disturbers == (3 if name == "hub disturbed" else 0)
        return contender

    monkeypatch.setattr("scripts.benchmark.rounds.run", run)
    monkeypatch.setattr(contenders, "hub", hub)
    variant = "b:flow.window_ms=0,hub.feeds=bus,sim,hub.shards=3"
    arguments = "1x5000 --no-peer --rounds 3 --set flow.window_ms=1 --ingest"
    arguments += " --form both --form plain --form batch --form both --disturbed 3 --hub-variant"
    result = CliRunner().invoke(main, [*arguments.split(), variant])
    assert result.exit_code == 0, result.output
    names = ["hub", "hub b", "hub ingest", "hub batch", "hub both", "hub disturbed"]
    assert seen == [("1x5000", names, 3)]
    assert made == {
        "hub, bus, hub": {"flow.window_ms": "1"},
        "hub b, bus, hub": {"flow.window_ms": "0", "hub.feeds": "bus,sim", "hub.shards": "3"},
        "hub ingest, ingest, hub": {"flow.window_ms": "1"},
        "hub batch, bus, hub batch": {"flow.window_ms": "1"},
        "hub both, bus, hub both": {"flow.window_ms": "1"},
        "hub disturbed, bus, hub": {"flow.window_ms": "1"},
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["9x9"], "9x9"),
        (["--payload", "10"], "payload"),
        (["-s", "flow.window_ms", "1x5000"], "SECTION.NAME=VALUE"),
        (["--hub-variant", "flow.window_ms=1", "1x5000"], "NAME:SECTION.NAME=VALUE"),
        (["--find-limit", "1x5000"], "rates of its own"),
        (["--find-limit", "--rate", "100"], "rates of its own"),
        (["--find-limit", "--disturbed", "2"], "rates of its own"),
        (["--form", "xml", "1x5000"], "xml"),
        (["--peers", "rabbits", "1x5000"], "there is no peer 'rabbits'"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output
