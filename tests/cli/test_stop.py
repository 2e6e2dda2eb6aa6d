"""`hub stop`: only ever the process that holds the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import stop
from cli.stop import holder
from hub.core.names import LOCK
from hub.runtime import lock

HOLD = """
import signal, sys
from pathlib import Path
from hub.runtime.lock import Lock
lock = Lock(Path(sys.argv[1]))
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(runtime_dir: Path) -> Iterator[Any]:
    """Starts a process that holds the lock, as a supervisor does."""
    made: list[subprocess.Popen[bytes]] = []

    def start(how: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(runtime_dir), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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


def test_one_that_is_stopped_leaves_too(hub: Any, hold: Any, runtime_dir: Path) -> None:
    """After Ctrl-Z, SIGTERM alone would wait for `fg`, and `hub stop` would give up."""
    process = hold()
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    hub("stop", "--runtime-dir", runtime_dir)
    assert process.wait(5) == -signal.SIGTERM


def test_a_pid_that_passed_to_another_process_is_left_alone(
    hub: Any, hold: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder has left between the look at the lock and the hold of its process."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        answers = iter([bystander.pid, None])
        monkeypatch.setattr(lock, "holder", lambda _: next(answers))
        stderr = hub("stop", "--runtime-dir", runtime_dir, rc=69).stderr
        assert f"has just left (pid {bystander.pid})" in stderr
        assert bystander.poll() is None
        bystander.kill()


def test_one_that_is_gone_before_it_is_held_has_left(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    monkeypatch.setattr(lock, "holder", lambda _: process.pid)
    assert "has just left" in hub("stop", "--runtime-dir", runtime_dir, rc=69).stderr


def test_one_in_another_container_is_told(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "holder", lambda _: 0)
    assert "another container" in hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr


def test_one_that_does_not_leave_is_named(
    hub: Any, hold: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "patience", lambda *_: 0.3)
    process = hold(how="deaf")
    stderr = hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr
    assert f"kill -KILL {process.pid}" in stderr
    assert process.poll() is None


def test_a_hub_that_took_over_meanwhile_is_left_alone(
    hub: Any, hold: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = hold()
    answers = iter([process.pid, process.pid + 1])
    monkeypatch.setattr(lock, "holder", lambda _: next(answers))
    assert "has just left" in hub("stop", "--runtime-dir", runtime_dir, rc=69).stderr
    assert process.poll() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_someone_else_s_lock_is_told(hub: Any, runtime_dir: Path) -> None:
    (runtime_dir / LOCK).touch(mode=0)
    assert "as the user" in hub("stop", "--runtime-dir", runtime_dir, rc=1).stderr
