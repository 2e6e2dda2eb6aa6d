"""The benchmark from end to end, on a load that any machine bears: everything comes, once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark import mqtt, nats

ROOT = Path(__file__).parents[2]
SMALL = ["--clients", "3", "--symbols", "20", "--rate", "200", "--seconds", "1", "--warm", "1"]


def measured(*arguments: str) -> dict[str, Any]:
    """The results of one load, by contender."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmark", *SMALL, "--shards", "2", "--json", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    (load,) = json.loads(done.stdout)["loads"]
    results: dict[str, Any] = load["results"]
    return results


def whole(result: dict[str, Any]) -> bool:
    """Whether all ticks of window and warm-up came, each once and in order, and cost something."""
    counts = (result["delivered"], result["duplicates"], result["disordered"])
    early = result["warm_up"]["delivered_ratio"]
    rounds = len(result["rounds"])
    return counts == (600 * rounds, 0, 0) and early == 1 and result["cpu_total"] > 0


def test_a_hub_gets_its_ticks_by_the_bus_and_in_batches_in_turn() -> None:
    results = measured("--no-peer", "--ingest", "--rounds", "2")
    assert list(results) == ["hub", "hub ingest"]
    assert all(whole(result) for result in results.values()), results
    assert [len(result["rounds"]) for result in results.values()] == [2, 2]


def test_clients_of_every_form_get_all_ticks() -> None:
    results = measured("--no-peer", "--form", "batch", "--form", "msgpack", "--form", "both")
    assert list(results) == ["hub", "hub batch", "hub msgpack", "hub both"]
    assert all(whole(result) for result in results.values()), results
    assert all(result["latency_ms"]["samples"] == 600 for result in results.values())
    assert results["hub msgpack"]["bytes_per_s"] < results["hub"]["bytes_per_s"]


def test_clients_that_take_nothing_disturb_nobody() -> None:
    results = measured("--no-peer", "--disturbed", "2")
    assert list(results) == ["hub", "hub disturbed"]
    assert all(whole(result) for result in results.values()), results
    assert "disturbers" in results["hub disturbed"]["cpu_around"]


def test_peers_that_are_always_there() -> None:
    results = measured("--peers", "loop,broadcast", "--single")
    assert list(results) == ["hub", "loop", "broadcast"]
    assert all(whole(result) for result in results.values()), results


@pytest.mark.parametrize(
    ("peer", "there"),
    [
        ("nats", nats.binary()),
        ("mosquitto", mqtt.binary()),
        ("c-loop", shutil.which("gcc") or shutil.which("cc")),
    ],
)
def test_peers_that_may_be_there(peer: str, there: object) -> None:
    if not there:
        pytest.skip(f"{peer} cannot be had here")
    results = measured("--peers", peer)
    assert list(results) == ["hub", peer]
    assert whole(results[peer]), results[peer]
