"""The monitor, measuring real processes; heartbeats by hand."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.core.codec import Message
from hub.core.config import Hub, OpenAlgo, Settings
from hub.monitor.monitor import Monitor
from hub.runtime.control import Switch
from tests.openalgo import Checkout


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


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is a file, or a log
            await asyncio.sleep(0.001)


def beside(monitor: Any, checkout: Path) -> None:
    """Put the monitor beside a checkout of OpenAlgo."""
    openalgo = OpenAlgo(path=str(checkout))
    monitor.settings = msgspec.structs.replace(monitor.settings, openalgo=openalgo)


def test_a_checkout_says_where_its_stats_file_is(monitor: Any, tmp_path: Path) -> None:
    assert monitor._stats_file() is None
    checkout = Checkout(tmp_path).root
    beside(monitor, checkout)
    assert monitor._stats_file() == checkout / "log" / "ws_proxy_stats.json"


def test_a_checkout_that_is_gone_costs_the_stats_file_alone(
    monitor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside(monitor, tmp_path / "gone")
    assert monitor._stats_file() is None
    assert "Health page gets no figures" in caplog.text


def test_the_stats_file_is_written_again_and_again_whatever_fails_meanwhile(
    monitor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log" / "ws_proxy_stats.json"
    monkeypatch.setattr("hub.monitor.stats.EVERY_S", 0.001)
    figures = {"clients": 4}
    monitor._take_beat({"t": "beat", "from": "shard-0", "pid": os.getpid(), "figures": figures})

    async def main() -> None:
        writing = asyncio.create_task(monitor._write_stats(file))
        await until(lambda: "gets no figures" in caplog.text)
        file.parent.mkdir()
        await until(file.exists)
        assert json.loads(file.read_text())["clients_connected"] == 4
        assert not writing.done()
        writing.cancel()

    asyncio.run(main())
    assert caplog.text.count("gets no figures") == 1
