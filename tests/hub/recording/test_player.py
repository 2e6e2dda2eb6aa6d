"""A recording is played: all of it, in its order, when it is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.core.errors import Malformed
from hub.recording import player, read
from hub.recording.pace import Pace
from hub.recording.player import Player
from hub.recording.rows import Row
from tests.hub.recording.kit import BEGIN_NS, recording, row

INDIA = ZoneInfo("Asia/Kolkata")


class Stage:
    """Keeps what is published, with the time of the loop's clock."""

    def __init__(self, enough: int = 0) -> None:
        self.batches: list[tuple[float, list[int]]] = []
        self._enough = enough

    @property
    def numbers(self) -> list[int]:
        return [number for _, batch in self.batches for number in batch]

    async def publish(self, rows: Sequence[Row]) -> None:
        now_s = asyncio.get_running_loop().time()
        self.batches.append((now_s, [(one.time_ns - BEGIN_NS) // 10**9 for one in rows]))
        if self._enough and len(self.numbers) >= self._enough:
            raise asyncio.CancelledError


def play(path: Path, pace: Pace, enough: int = 0) -> tuple[Stage, Player]:
    stage, made = Stage(enough), Player(path, pace)
    try:
        asyncio.run(made.play(stage.publish))
    except asyncio.CancelledError:
        assert enough
    return stage, made


def test_all_of_it_is_played_in_its_order_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "CHUNK_ROWS", 7)
    monkeypatch.setattr(player, "BATCH", 3)
    path = recording(tmp_path / "a.jsonl", *(row(n) for n in range(100)))
    stage, made = play(path, Pace(speed=10_000))
    assert stage.numbers == [*range(100)]
    assert made.played == 100
    assert max(len(batch) for _, batch in stage.batches) <= 3


def test_nothing_comes_before_it_is_due(tmp_path: Path) -> None:
    times = (0, 1, 1, 3, 4)
    path = recording(tmp_path / "a.jsonl", *(row(at) for at in times))
    stage, _ = play(path, Pace(speed=20))
    assert [batch for _, batch in stage.batches][:2] == [[0], [1, 1]]
    begin_s = stage.batches[0][0]
    for now_s, batch in stage.batches:
        assert now_s - begin_s >= batch[0] / 20 - 0.002


def test_it_begins_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "CHUNK_ROWS", 2)
    path = recording(tmp_path / "a.jsonl", *(row(10 * n) for n in range(8)))
    stage, _ = play(path, Pace(10_000, begin=time(9, 15, 45), zone=INDIA))
    assert stage.numbers == [50, 60, 70]
    with pytest.raises(Malformed, match="has no ticks from 15:30:00 on"):
        play(path, Pace(10_000, begin=time(15, 30), zone=INDIA, loop=True))


def test_it_goes_round_until_it_is_stopped(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", row(0), row(1))
    stage, _ = play(path, Pace(10_000, loop=True), enough=7)
    assert stage.numbers[:6] == [0, 1] * 3


def test_who_is_late_leaves_nothing_out_and_says_so(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", *(row(n) for n in range(5)))
    made, problems = Player(path, Pace(speed=10_000)), list[str]()

    async def slow(_: Sequence[Row]) -> None:
        problems.append(made.problem)
        await asyncio.sleep(0.4)

    asyncio.run(made.play(slow))
    assert made.played == 5
    assert problems[0] == ""
    made.late_s = 2.0
    assert made.problem == "cannot keep up: 2 s behind at 10000 times the speed"


def test_it_may_be_cancelled_while_more_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads cannot be: it is waited for, and then what it read from is closed."""
    reading, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow(_: Path) -> Iterator[list[Row]]:
        try:
            reading.set()
            go_on.wait(10)
            yield [row(0)]
        finally:
            closed.set()

    monkeypatch.setattr(read, "chunks", slow)

    async def main() -> None:
        playing = asyncio.create_task(Player(tmp_path / "a.jsonl", Pace()).play(Stage().publish))
        await asyncio.to_thread(reading.wait, 10)
        playing.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await playing
        assert closed.is_set()

    asyncio.run(main())
