"""What a command prints is read, and nothing of it is left; errors tell nothing of it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import psutil
import pytest

from hub.core.errors import HubError
from hub.runtime.command import output


def run(code: str, *arguments: str, timeout_s: float = 20.0, most_bytes: int = 1 << 20) -> bytes:
    words = [sys.executable, "-c", code, *arguments]
    return asyncio.run(output(words, timeout_s, most_bytes))


def test_it_gets_its_arguments_as_they_are_and_no_input() -> None:
    code = "import sys; print(sys.argv[1:], repr(sys.stdin.read()))"
    assert run(code, "a b", "$HOME") == b"['a b', '$HOME'] ''\n"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("print('sesame'); raise SystemExit(3)", "ended with status 3; run it in a terminal"),
        ("import os; os.kill(os.getpid(), 15)", "ended by SIGTERM"),
        ("import time; print('sesame', flush=True); time.sleep(60)", "longer than 0.7 s"),
        ("while True: print('sesame' * 1000)", "more than 1048576 bytes"),
    ],
)
def test_failures_are_told_without_what_it_says(code: str, sentence: str) -> None:
    with pytest.raises(HubError, match=sentence) as raised:
        run(code, "sesame", timeout_s=0.7 if "sleep" in code else 20)
    assert "sesame" not in str(raised.value)


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="'no one' cannot be run: No such file"):
        asyncio.run(output([f"{tmp_path}/no one", "sesame"], 5))


def test_nothing_of_its_group_is_left(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " stdout=subprocess.DEVNULL)\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
    )
    run(code, str(told))
    pid, until = int(told.read_text()), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.01)
