"""What processes use, between two readings."""

from __future__ import annotations

import os
import time

import pytest

import hub
from scripts.benchmark import usage
from scripts.benchmark.usage import Reading, Usage


def test_usage_is_what_was_added_from_one_reading_to_the_next() -> None:
    before = Reading(10.0, {"a": 1.0}, {"a": 100}, {"a": 1}, 50.0)
    after = Reading(12.0, {"a": 1.5, "b": 0.2}, {"a": 300}, {"a": 7, "b": 3}, 53.0)
    found = usage.between(before, after)
    assert found.cpu == pytest.approx({"a": 25.0, "b": 10.0})
    assert found.total == pytest.approx(35)
    assert found.machine == pytest.approx(150)
    assert (found.switches, found.rss_bytes, found.seconds) == (100, 10, 2.0)


def test_a_longer_stretch_weighs_more() -> None:
    both = usage.together([Usage(1, {"a": 10.0}, 4, 5, 40, 2), Usage(3, {"a": 50.0}, 8, 3, 80, 2)])
    assert both == Usage(4, {"a": 40.0}, 7, 5, 70, 2)


def test_work_is_seen_and_who_is_gone_is_nothing() -> None:
    before = usage.read({"me": os.getpid(), "gone": 2**22 + 1})
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    after = usage.read({"me": os.getpid()})
    assert before.cpu_s.keys() == {"me"}
    assert after.cpu_s["me"] - before.cpu_s["me"] >= 0.01
    assert after.rss_bytes["me"] > 0


def test_the_machine_line_names_who_is_compared() -> None:
    line = usage.machine(["nats-server 2", "", "gcc 12"])
    assert ", nats-server 2, gcc 12, " in line
    assert f" shardhub {hub.__version__}" in line
