"""The feed and the life of its worker: the real one of the miniature, and some that will not do.

A worker that will not do is a shell script in the place of the checkout's Python.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hub.core import topics
from hub.core.errors import ConfigError
from hub.core.model import Identity, Result, Want
from hub.core.settings import Hub, OpenAlgo, Settings
from hub.feeds import openalgo
from hub.feeds.base import FeedState
from hub.feeds.openalgo import OpenAlgoFeed
from tests.openalgo import Checkout

ANITA = Identity("anita", "angel")
LOGIN = Want(topics.login(*ANITA), 1, 5, "angel", "anita")
PATIENCE_S = 30.0


class Sink:
    """Keeps what the feed answers."""

    def __init__(self) -> None:
        self.answers: list[Result] = []

    def publish(self, pairs: Sequence[bytes]) -> None:
        raise AssertionError(f"the worker publishes itself: {pairs}")

    def answer(self, results: Sequence[Result]) -> None:
        self.answers += results


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hub", dir="/tmp") as folder:
        yield Path(folder)


class Bench:
    """A feed on the bench: its checkout, its sink."""

    def __init__(self, checkout: Checkout, runtime_dir: Path, python: str) -> None:
        self.checkout = checkout
        self.sink = Sink()
        self.feed = OpenAlgoFeed(
            Settings(
                hub=Hub(feeds=["openalgo"], runtime_dir=str(runtime_dir)),
                openalgo=OpenAlgo(path=str(checkout.root), python=python),
            )
        )

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
                await asyncio.sleep(0.01)

    def answered(self, key: bytes) -> Result | None:
        """The last answer for a key."""
        return next((one for one in reversed(self.sink.answers) if one.key == key), None)


def python(folder: Path, text: str) -> str:
    """A script in the place of a Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_checkout_it_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="--openalgo"):
        OpenAlgoFeed(Settings())


def test_a_worker_that_is_killed_is_started_again_and_told_everything(
    checkout: Checkout, runtime_dir: Path
) -> None:
    checkout.login(*ANITA)
    bench = Bench(checkout, runtime_dir, sys.executable)
    (runtime_dir / "openalgo-9").touch()
    feed = bench.feed

    async def main() -> None:
        await feed.start(bench.sink)
        feed.apply([LOGIN])
        await bench.until(lambda: bench.answered(LOGIN.key))
        answer = bench.answered(LOGIN.key)
        assert answer
        assert not answer.error
        assert feed.health().state is FeedState.CONNECTED
        assert feed.health().brokers == ("angel",)
        before = feed._pid
        os.kill(before, signal.SIGKILL)
        await bench.until(lambda: feed._pid not in {0, before} and feed.health().brokers)
        assert len(checkout.calls("connect")) == 2
        assert len(left()) == 1
        await feed.stop()
        assert feed._pid == 0
        assert left() == []

    def left() -> list[Path]:
        return list(runtime_dir.glob("openalgo-*"))

    asyncio.run(main())


def test_who_waits_for_a_worker_that_ends_again_and_again_is_told_so(
    checkout: Checkout, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openalgo, "_BEARABLE_S", 0.15)
    bench = Bench(checkout, runtime_dir, python(tmp_path, "exit 3"))
    feed = bench.feed

    async def main() -> None:
        await feed.start(bench.sink)
        feed.apply([LOGIN])
        assert feed.health().state is FeedState.CONNECTING
        await bench.until(lambda: bench.answered(LOGIN.key))
        answer = bench.answered(LOGIN.key)
        assert answer
        assert "ended with 3" in answer.error
        assert "ended with 3" in feed.health().problem
        await bench.until(lambda: feed._pause_s > 0.4)  # each wait is twice the one before
        await feed.stop()

    asyncio.run(main())


def test_the_problem_names_who_hangs_before_others_and_not_too_many(
    checkout: Checkout, runtime_dir: Path
) -> None:
    checkout.mischief(anita__connect={"until": "morning"}, connect={"error": "no"})
    bench = Bench(checkout, runtime_dir, sys.executable)
    (runtime_dir / "openalgo-9").touch()
    feed = bench.feed
    feed._max_hang_s = 0.5
    users = ["bala", "chitra", "dev", "anita"]

    async def main() -> None:
        await feed.start(bench.sink)
        for user in users:
            checkout.login(user, "angel")
        feed.apply([Want(topics.login(user, "angel"), 1, 5, "angel", user) for user in users])
        await bench.until(lambda: "more" in feed.health().problem)
        assert feed.health().problem.startswith("angel/anita: hangs in connect since ")
        assert feed.health().problem.endswith("; angel/bala: no; angel/chitra: no; and 1 more")
        checkout.let_go("morning")
        await feed.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "problem"),
    [("exit 78", "cannot run OpenAlgo's adapters; see the log"), ("kill -9 $$", "ended with -9")],
)
def test_the_problem_says_how_a_worker_ended(
    checkout: Checkout, runtime_dir: Path, tmp_path: Path, script: str, problem: str
) -> None:
    bench = Bench(checkout, runtime_dir, python(tmp_path, script))

    async def main() -> None:
        await bench.feed.start(bench.sink)
        await bench.until(lambda: problem in bench.feed.health().problem)
        await bench.feed.stop()

    asyncio.run(main())


def test_a_python_that_is_gone_is_looked_for_again(
    checkout: Checkout, runtime_dir: Path, tmp_path: Path
) -> None:
    file = python(tmp_path, "exit 3")
    bench = Bench(checkout, runtime_dir, file)
    Path(file).unlink()

    async def main() -> None:
        await bench.feed.start(bench.sink)
        assert f"{file} cannot be run: No such file" in bench.feed.health().problem
        python(tmp_path, "exit 4")
        await bench.until(lambda: "ended with 4" in bench.feed.health().problem)
        await bench.feed.stop()

    asyncio.run(main())


def test_a_worker_that_does_not_leave_is_killed(
    checkout: Checkout, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openalgo, "_STOP_S", 0.2)
    bench = Bench(checkout, runtime_dir, python(tmp_path, f"echo > {tmp_path}/up; exec sleep 60"))

    async def main() -> None:
        await bench.feed.start(bench.sink)
        await bench.until((tmp_path / "up").exists)
        pid = bench.feed._pid
        await bench.feed.stop()
        await bench.until(bench.feed._processes.ended)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_what_workers_count_is_added_up_over_their_lives(
    checkout: Checkout, runtime_dir: Path, tmp_path: Path
) -> None:
    bench = Bench(checkout, runtime_dir, python(tmp_path, "exec sleep 60"))
    feed = bench.feed

    def said(ticks: int, conflated: int, dropped: int) -> None:
        counts = {"ticks": ticks, "conflated": conflated, "dropped": dropped}
        feed._take_health({"t": "health", "accounts": {}, **counts})

    def counted() -> tuple[int, int, int]:
        health = feed.health()
        return (health.ticks, health.conflated, health.dropped)

    async def main() -> None:
        said(1, 2, 3)
        assert counted() == (1, 2, 3)
        feed._close()
        assert counted() == (1, 2, 3)
        said(10, 20, 30)
        said(20, 30, 40)
        assert counted() == (21, 32, 43)
        feed._close()
        feed._close()
        assert counted() == (21, 32, 43)

    asyncio.run(main())


def test_what_the_worker_says_that_makes_no_sense_changes_nothing(
    checkout: Checkout, runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(checkout, runtime_dir, python(tmp_path, "exec sleep 60"))
    feed = bench.feed

    async def main() -> None:
        await feed.start(bench.sink)
        for frame in (b"", b"\xc1", b"\x01", b"\x81\xa1t\xa4moon", b"\x81\xa1t\xa7account"):
            feed._take([frame])
        assert caplog.text.count("cannot be used") == 1
        assert feed.health().state is FeedState.CONNECTING
        feed._processes.signal("openalgo", signal.SIGKILL)
        await feed.stop()

    asyncio.run(main())
