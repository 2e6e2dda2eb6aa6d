"""`hub stop`: only ever the process that holds the lock."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import stop
from cli.stop import holder
from hub.core.errors import NotRunning
from hub.core.names import LOCK

HOLD = """
import fcntl, os, signal, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.truncate(0)
file.write(sys.argv[2] or str(os.getpid()))
file.flush()
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def hold(runtime_dir: Path) -> Iterator[Any]:
    """Starts a process that holds the lock, as a supervisor does."""
    made: list[subprocess.Popen[bytes]] = []

    def start(pid: str = "", how: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(runtime_dir / LOCK), pid, how], stdout=subprocess.PIPE
        )
        made.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def test_it_ends_the_holder_and_waits_until_it_is_gone(
    hub: Any, hold: Any, runtime_dir: Path
) -> None:
    process = hold()
    assert holder(runtime_dir) == process.pid
    assert f"pid {process.pid}" in hub("stop", "--runtime-dir", runtime_dir).stdout
    assert holder(runtime_dir) is None
    assert process.wait(5) == -signal.SIGTERM


def test_without_a_hub_it_says_so(hub: Any, runtime_dir: Path) -> None:
    assert "no hub runs" in hub("stop", "--runtime-dir", runtime_dir, rc=69).stderr


def test_a_pid_in_a_lock_that_nobody_holds_is_left_alone(hub: Any, runtime_dir: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (runtime_dir / LOCK).write_text(str(bystander.pid))
        hub("stop", "--runtime-dir", runtime_dir, rc=69)
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel does not tell")
def test_a_pid_that_is_not_the_holder_s_is_left_alone(
    hub: Any, hold: Any, runtime_dir: Path
) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        process = hold(pid=str(bystander.pid))
        assert "try again" in hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr
        assert bystander.poll() is None
        assert process.poll() is None
        bystander.kill()


def test_a_lock_without_a_pid_is_one_of_a_hub_just_starting(hub: Any, runtime_dir: Path) -> None:
    with (runtime_dir / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "just starting" in hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr


def test_one_that_does_not_leave_is_named(
    hub: Any, hold: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "_PATIENCE_S", 0.3)
    process = hold(how="deaf")
    stderr = hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr
    assert f"kill -KILL {process.pid}" in stderr
    assert process.poll() is None


def test_a_hub_that_took_over_meanwhile_is_left_alone(
    hold: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = hold()
    monkeypatch.setattr(stop, "holder", lambda _: process.pid + 1)
    with pytest.raises(NotRunning):
        stop._terminate(runtime_dir, process.pid)
    time.sleep(0)
    assert process.poll() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_someone_else_s_lock_is_told(hub: Any, runtime_dir: Path) -> None:
    (runtime_dir / LOCK).touch(mode=0)
    assert "as the user" in hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr
