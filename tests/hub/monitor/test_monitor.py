"""The monitor, measuring real processes; heartbeats by hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.core.config import Hub, Settings
from hub.monitor.monitor import Monitor


@pytest.fixture
def monitor() -> Iterator[Any]:
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield Monitor("monitor", Settings(hub=Hub(runtime_dir=str(path))))
    shutil.rmtree(path)


def beat(monitor: Any, name: str, pid: int) -> None:
    monitor._take_beat({"t": "beat", "from": name, "pid": pid, "figures": {}})


def test_of_a_process_that_was_started_again_only_the_new_one_is_kept(monitor: Any) -> None:
    beat(monitor, "router", os.getpid())
    beat(monitor, "shard-0", os.getppid())
    assert monitor._measure_all().keys() == {"router", "shard-0"}
    assert monitor._processes.keys() == {os.getpid(), os.getppid()}
    beat(monitor, "shard-0", os.getpid())
    assert monitor._measure_all().keys() == {"router", "shard-0"}
    assert monitor._processes.keys() == {os.getpid()}


def test_a_process_that_is_gone_has_no_figures(monitor: Any) -> None:
    beat(monitor, "shard-0", 2**22 + 1)
    assert monitor._measure_all() == {}
    assert monitor._processes == {}
