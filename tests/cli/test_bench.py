"""`hub bench`, in a clone and in an installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import bench

ROOT = Path(__file__).parents[2]


def test_in_a_clone_it_is_the_script_with_all_that_was_typed(tmp_path: Path) -> None:
    script = tmp_path / "bench"
    script.write_text('#!/bin/sh\nprintf "<%s>" "$@"\nexit 3\n')
    script.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from cli import bench; from cli.main import main\n"
        "bench._SCRIPT = Path(sys.argv.pop(1)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, script, "bench", "1x5000", "--set", "a.b=c d", "-s", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "<1x5000><--set><a.b=c d><-s><--json>"
    assert done.returncode == 3


def test_this_clone_has_the_script() -> None:
    assert bench._SCRIPT == ROOT / "scripts" / "bench"
    assert bench._SCRIPT.exists()


def test_an_installation_says_how_to_get_it(
    hub: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "_SCRIPT", tmp_path / "none")
    said = hub("bench", "--quick", rc=1).stderr
    assert said.startswith("Error: the benchmark is not installed: clone the repository")
    assert said.count("\n") == 1
