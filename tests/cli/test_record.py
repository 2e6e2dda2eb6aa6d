"""`hub record` against a hub that is not one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from websockets.asyncio.server import ServerConnection

from cli import record
from hub.recording import read, write
from tests.hub.client.kit import KEY, Fake, fake, tick

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A hub in a thread, which says a few ticks after each subscribe."""
    monkeypatch.setenv("HUB_API_KEY", KEY)
    made: list[Fake] = []
    started, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        async with fake() as one:
            one.play = play
            made.append(one)
            started.set()
            await ended.wait()

    async def play(one: Fake, client: ServerConnection) -> None:
        if one.told[-1]["action"] == "subscribe":
            await one.say([tick("A", 1.0), tick("B", 2.0, mode=3, skipped=4)], client)
            await one.say(tick("A", 3.0), client)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)
    yield made[0]
    loops[0].call_soon_threadsafe(ended.set)
    thread.join()


def rows(path: Path) -> list[tuple[str, Any]]:
    return [
        (row.topic, json.loads(bytes(row.data))) for chunk in read.chunks(path) for row in chunk
    ]


ALL = [("NSE_A_QUOTE", {"ltp": 1.0}), ("NSE_B_DEPTH", {"ltp": 2.0}), ("NSE_A_QUOTE", {"ltp": 3.0})]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst", ".parquet"])
def test_ticks_are_written_with_their_time_topic_and_data(
    hub: Any, server: Fake, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"a{ending}"
    args = ("record", "NSE:A", "NSE:B", "--url", server.url, "--out", out, "--count", 3)
    stderr = hub(*args, "--levels", 20).stderr
    assert f"{out}: 3 ticks (4 left out: they were not read in time) of 2 symbols" in stderr
    assert rows(out) == ALL
    (first, *_), *_ = read.chunks(out)
    assert (first.exchange, first.symbol) == ("NSE", "A")
    assert first.time_ns > 1.7e18
    wish = server.asked("subscribe")[0]
    assert (wish["mode"], wish["depth"]) == ("Depth", 20)
    assert server.told[0]["conflation_info"] is True


def test_it_ends_when_its_time_is_over(hub: Any, server: Fake, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    hub("record", "NSE:A", "--url", server.url, "--out", out, "--for", "0.5s")
    assert rows(out) == ALL


def test_nothing_is_overwritten_and_nothing_is_made_for_symbols_that_there_are_not(
    hub: Any, server: Fake, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    args = ("record", "NSE:A", "--url", server.url, "--count", 3, "--out")
    server.unknown = {"A"}
    assert "NSE:A: there is no A" in hub(*args, out, rc=1).stderr
    assert not out.exists()
    server.unknown = set()
    out.write_text("mine")
    assert "--force" in hub(*args, out, rc=73).stderr
    assert out.read_text() == "mine"
    hub(*args, out, "--force")
    assert rows(out) == ALL
    assert ".parquet" in hub(*args, tmp_path / "a.csv", rc=1).stderr


def test_without_pyarrow_it_says_what_to_type(
    hub: Any, server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    args = ("record", "NSE:A", "--url", server.url, "--count", 3, "--out", tmp_path / "a.parquet")
    assert "pip install pyarrow" in hub(*args, rc=73).stderr


def test_a_disk_that_is_full_is_told(
    hub: Any, server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record, "FLUSH_S", 0.05)
    monkeypatch.setattr(write.Lines, "flush", full)
    args = ("record", "NSE:A", "--url", server.url, "--out", tmp_path / "a.jsonl", "--for", "20s")
    assert "a.jsonl cannot be written: No space left on device" in hub(*args, rc=1).stderr


def test_a_disk_that_is_full_at_the_very_end_is_told(
    hub: Any, server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = write.Lines.close

    def full(lines: write.Lines) -> None:
        close(lines)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.Lines, "close", full)
    args = ("record", "NSE:A", "--url", server.url, "--out", tmp_path / "a.jsonl", "--for", "0.1s")
    assert "a.jsonl cannot be written: No space left on device" in hub(*args, rc=1).stderr


@pytest.mark.parametrize("text", ["", "10", "m", "10x", "5m 3s", "-5s", "1h5"])
def test_times_that_are_none(hub: Any, text: str) -> None:
    stderr = hub("record", "NSE:A", "--out", "a.jsonl", "--for", text, rc=2).stderr
    assert "is no time such as 90s, 10m or 1h30m" in stderr


@contextlib.contextmanager
def recording(server: Fake, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder in a process of its own."""
    command = [sys.executable, "-m", "cli", "record", "NSE:A", "--url", server.url]
    with subprocess.Popen(
        [*command, "--out", str(out)], cwd=ROOT, stderr=subprocess.PIPE,
        env=os.environ | {"HUB_API_KEY": KEY},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], Any]) -> None:
    ticking = threading.Event()
    for _ in range(1500):
        with contextlib.suppress(Exception):
            if condition():
                return
        ticking.wait(0.01)
    pytest.fail("never")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_the_file_is_whole(
    server: Fake, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "a.jsonl.zst"
    with recording(server, out) as process:
        wait_for(lambda: len(rows(out)) == 3)
        process.send_signal(number)
        _, stderr = process.communicate()
        assert process.returncode == 0
    assert re.search(rb"a\.jsonl\.zst: 3 ticks .* of 2 symbols in \ds, \d+ bytes", stderr)
    assert zstandard.ZstdDecompressor().stream_reader(out.read_bytes()).readall().count(b"\n") == 3


def test_who_is_killed_leaves_what_was_flushed(server: Fake, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl.zst"
    with recording(server, out) as process:
        wait_for(lambda: rows(out))
        process.kill()
    assert rows(out) == ALL


def test_on_a_terminal_it_says_how_far_it_is(server: Fake, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cli", "record", "NSE:A", "--url", server.url,
               "--out", str(tmp_path / "a.jsonl"), "--for", "1.6s"]  # fmt: skip
    environment = os.environ | {"HUB_API_KEY": KEY, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        command, cwd=ROOT, stderr=theirs, stdin=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # that is how a terminal ends
            while chunk := os.read(ours, 1 << 16):
                said += chunk
        os.close(ours)
        assert process.wait(20) == 0
        assert b" a second: 3 ticks" in said
