"""The demo of several machines, as a person starts it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for those of sockets."""
    path = Path(tempfile.mkdtemp(prefix="hubdemo-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_it_kills_and_tells_what_clients_noticed_and_leaves_nothing(short: Path) -> None:
    command = [sys.executable, "-m", "scripts.cluster_demo", "--json", "--only", "uplink"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(short)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["fault"] == "the ingest's uplink is killed"
    assert result["gaps_s"].keys() == {"edge-1", "edge-2"}
    assert min(result["gaps_s"].values()) > 0.2, "ten ticks and more were missed"
    assert result["lost"] == 0
    assert "hub status --cluster --runtime-dir" in done.stderr, "what to look at"
    assert not [*short.iterdir()]
    assert not [one for one in psutil.process_iter() if str(short) in " ".join(_command(one))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
