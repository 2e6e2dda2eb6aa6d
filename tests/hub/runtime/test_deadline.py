from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hub.runtime.deadline import Deadline, boottime_s

ROOT = Path(__file__).parents[3]
ENDS = """
import time
from hub.runtime.deadline import Deadline, boottime_s
deadline = Deadline()
deadline.set(boottime_s() + {seconds})
print("set", flush=True)
{then}
print("done", flush=True)
"""


def program(seconds: float, then: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDS.format(seconds=seconds, then=then)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "set\n"
    return process


@pytest.mark.parametrize(
    ("seconds", "then"),
    [
        (0.1, "time.sleep(20)"),
        (0.1, "while True: pass"),
        (-5, "time.sleep(20)"),
        (20, "deadline.set(boottime_s() + 0.1); time.sleep(20)"),
    ],
    ids=["waiting", "busy", "in the past", "set anew"],
)
def test_it_ends_the_process_whatever_it_does(seconds: float, then: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDS.format(seconds=seconds, then=then)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    said, _ = process.communicate(timeout=15)
    assert "done" not in said
    assert process.returncode == -signal.SIGKILL


def test_a_process_that_was_stopped_is_ended_all_the_same() -> None:
    process = program(0.3, "time.sleep(20)")
    os.kill(process.pid, signal.SIGSTOP)
    process.communicate(timeout=15)
    assert process.returncode == -signal.SIGKILL


def test_one_that_is_cleared_or_put_off_ends_nobody() -> None:
    process = program(5, "deadline.set(boottime_s() + 0.1); deadline.clear(); time.sleep(0.2)")
    said, _ = process.communicate(timeout=15)
    assert said == "done\n"
    assert process.returncode == 0


def test_all_processes_share_the_clock() -> None:
    code = "from hub.runtime.deadline import boottime_s; print(boottime_s())"
    before = boottime_s()
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    assert before < float(said) < boottime_s()


def test_two_know_nothing_of_each_other() -> None:
    one, other = Deadline(), Deadline()
    one.set(boottime_s() + 30)
    other.clear()
    one.clear()
