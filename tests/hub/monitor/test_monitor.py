"""The monitor, measuring real processes; heartbeats by hand."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import hub
from hub.core import codec
from hub.core.codec import Message
from hub.core.settings import Hub, OpenAlgo, Page, Settings
from hub.monitor.monitor import Monitor
from hub.runtime.control import Switch
from tests.openalgo import Checkout


@pytest.fixture
def monitor() -> Iterator[Any]:
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    page = Page(enabled=False)
    yield Monitor("monitor", Settings(hub=Hub(runtime_dir=str(path)), page=page))
    shutil.rmtree(path)


def beat(monitor: Any, name: str, pid: int, **figures: Any) -> None:
    monitor._take_beat({"t": "beat", "from": name, "pid": pid, "figures": figures})


class Link:
    """Keeps what the monitor sends."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        """Send nothing."""
        self.sent.append(message)


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


def test_who_is_not_ready_is_missing_until_it_is_heard(monitor: Any) -> None:
    shards = [f"shard-{shard}" for shard in range(monitor.settings.hub.shards)]
    assert monitor.missing() == ["router", "feed-bus", *shards]
    for name in ("router", *shards):
        beat(monitor, name, os.getpid())
    assert monitor.missing() == ["feed-bus"]
    beat(monitor, "feed-bus", os.getpid(), leaving=True)
    assert monitor.missing() == ["feed-bus"]
    beat(monitor, "feed-bus", os.getpid())
    assert monitor.missing() == []


def test_what_it_knows_is_told_in_all_forms(monitor: Any) -> None:
    link = monitor._control = Link()
    histogram = {"total": [50.0, 10, 1]}
    beat(monitor, "router", os.getpid(), bus=5)
    beat(monitor, "shard-0", os.getpid(), clients=3, latency=histogram)
    monitor._record.take(monitor._measure_all(), time.monotonic())
    monitor._board.take(time.monotonic(), time.time())
    board = monitor.board()
    assert board["version"] == hub.__version__
    assert board["hub"]["shards"] == monitor.settings.hub.shards
    assert board["totals"]["clients"] == 3
    assert board["totals"]["rss"] > 1_000_000
    assert json.loads(json.dumps(board)) == board
    assert monitor.history()["series"]["shard-0"]["clients"] == [3]
    text, kind = monitor.metrics()
    assert b'shardhub_clients{feed="",role="shard",shard="0"} 3.0' in text
    assert b"shardhub_tick_hop_seconds_count" in text
    assert kind.startswith("text/plain")
    monitor._answer_board({"t": "board", "from": "cli-1"})
    (answer,) = link.sent
    assert (answer["t"], answer["to"]) == ("board", "cli-1")
    assert answer["board"].keys() == board.keys()
    assert codec.encode(answer)


def test_processes_are_looked_at_only_while_somebody_watches(monitor: Any) -> None:
    link = monitor._control = Link()
    monitor._look(time.monotonic())
    monitor.history()
    monitor.metrics()
    monitor._look(time.monotonic())
    assert link.sent == [], "neither Prometheus nor nobody needs to know who is slow"
    monitor.board()
    monitor._look(time.monotonic())
    shards = [f"shard-{shard}" for shard in range(monitor.settings.hub.shards)]
    assert link.sent == [{"t": "look", "to": name} for name in ("router", *shards)]
    link.sent.clear()
    monitor._look(time.monotonic() + 60)
    assert link.sent == []


def test_what_a_look_has_told_is_on_the_board(monitor: Any) -> None:
    told: Message = {
        "t": "looked",
        "from": "router",
        "hottest": [[b"NSE_X_LTP", 2.0]],
        "slowest": [],
    }
    monitor._take_looked(told)
    assert monitor.board()["hottest"] == [{"key": "NSE_X", "mode": "LTP", "rate": 2.0}]
    beat(monitor, "shard-1", os.getpid())
    slow = {"behind": True, "conflated": 1, "unsent_bytes": 5, "out_s": 0.5, "share": 0.1}
    told = {"t": "looked", "from": "shard-1", "hottest": [], "slowest": [slow]}
    monitor._take_looked(told)
    assert monitor.board()["slowest"] == [{"shard": 1} | slow]


def test_after_a_pause_of_its_own_it_reads_before_it_judges(
    monitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped for a while and continued, it told of everybody that he says nothing."""
    monitor._control = Link()
    clock = SimpleNamespace(now_s=100.0, time=time.time)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr("hub.monitor.monitor.BEAT_S", 0.001)
    monkeypatch.setattr("hub.monitor.monitor.time", clock)

    async def main() -> None:
        sampling = asyncio.create_task(monitor._sample())
        for name in ("router", "shard-0"):
            beat(monitor, name, os.getpid())
        await until(lambda: monitor._board.history()["series"].get("shard-0"))
        clock.now_s += 60.0
        await until(lambda: monitor._record._beats["monitor"][0] == clock.now_s)
        for name in ("router", "shard-0"):
            beat(monitor, name, os.getpid())
        taken = len(monitor._record._history)
        clock.now_s += 1.0
        await until(lambda: len(monitor._record._history) > taken)
        assert not sampling.done()
        sampling.cancel()

    asyncio.run(main())
    assert "says nothing" not in {event["text"] for event in monitor._board.events}


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is a file, or a log
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Page(port=8765), "its port 8765 is another's; set page.port"),
        (Page(port=5555), "its port 5555 is another's; set page.port"),
        (Page(port=0, host="0.0.0.0"), "hub start --token auto"),
        (Page(port=0, token_file="/nowhere/token"), "there is no such file"),
    ],
)
def test_whatever_is_wrong_with_the_page_costs_the_page_alone(
    monitor: Any, page: Page, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    monitor.settings = msgspec.structs.replace(monitor.settings, page=page)
    assert monitor._make_web() is None
    assert said in caplog.text


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


def test_a_fault_of_the_board_costs_a_second_of_the_histories(
    monitor: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(monitor._board, "take", broken)
    monitor._take_second(100.0)
    assert "the histories lack a second: ZeroDivisionError()" in caplog.text
