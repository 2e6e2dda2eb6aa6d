"""The monitor, measuring real processes; heartbeats by hand."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.core.codec import Message
from hub.core.config import Hub, Settings
from hub.monitor.monitor import Monitor
from hub.runtime.control import Switch


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


def test_a_monitor_of_another_version_leaves_and_says_why(monitor: Any) -> None:
    """It went on saying hello, and the log went on saying why not."""
    assert monitor._failure is None
    asyncio.run(refuse(monitor))
    assert "version 99" in str(monitor._failure)


async def refuse(monitor: Any) -> None:
    def take(sender: str, message: Message) -> None:
        switch.send(sender, {"t": "refused", "why": "the router speaks version 99"})

    switch = Switch(monitor.runtime_dir, take)
    switch.start()
    await monitor.start()
    async with asyncio.timeout(10):
        await monitor._leave.wait()
    await monitor.drain()
    switch.close()
