"""`hub top` against a fake monitor."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.board import board


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("cli.top.time.sleep", slept.append)
    return slept


def test_without_a_terminal_it_counts_for_a_while_and_prints_once(
    hub: Any, answer: Any, runtime_dir: Path, naps: list[float]
) -> None:
    fake = answer(board=[{"t": "board", "board": board(version="0")},
                         {"t": "board", "board": board()}])  # fmt: skip
    text = hub("top", "--runtime-dir", runtime_dir).stdout
    assert "Shardhub 9.9" in text
    assert "[q]uit" not in text
    assert len(naps) == 1
    assert [one["t"] for one in fake.asked] == ["board", "board"]


def test_json_is_the_board(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(board=[{"t": "board", "board": board()}])
    assert json.loads(hub("top", "--json", "--runtime-dir", runtime_dir).stdout) == board()


def test_an_order_is_one_of_the_view(hub: Any, runtime_dir: Path) -> None:
    text = hub("top", "--view", "clients", "--sort", "cpu", "--runtime-dir", runtime_dir, rc=2)
    assert "pending" in text.stderr


def test_without_a_hub_it_says_so(hub: Any, runtime_dir: Path) -> None:
    assert "hub start" in hub("top", "--runtime-dir", runtime_dir, rc=69).stderr


def test_on_a_terminal_it_obeys_keys_and_puts_the_terminal_back(
    answer: Any, runtime_dir: Path
) -> None:
    fake = answer(board=[{"t": "board", "board": board()}])
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "cli", "top", "--interval", "60", "--runtime-dir", str(runtime_dir)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=Path(__file__).parents[2],
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""

    def until(what: bytes) -> None:
        nonlocal seen
        while what not in seen:
            seen += os.read(ours, 65536)

    try:
        until(b"[q]uit")
        assert b"shard-1" in seen
        for key in (b"s", b"p", b"s", b"c"):
            os.write(ours, key)
        until(b"10.0.0.1:5")
        os.write(ours, b"q")
        deadline_s = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < deadline_s:
            seen += os.read(ours, 65536)
    except OSError:
        pass  # it has left, and with it the terminal
    finally:
        child.kill() if child.poll() is None else None
        child.wait()
        os.close(ours)
    assert child.returncode == 0
    assert b"\x1b[?1049l" in seen, "the screen from before is shown again"
    assert len(fake.asked) == 1, "keys show what is known: nobody is asked anew for them"
