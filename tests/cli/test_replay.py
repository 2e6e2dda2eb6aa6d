"""`hub replay`: what it says of a recording, and which way it plays it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from cli import replay
from hub.core.settings import Settings
from hub.recording.read import scan
from tests.hub.recording.kit import recording, row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return recording(tmp_path / "day.jsonl", row(0, "A"), row(30, "B", "LTP"), row(60, "A"))


class Bus:
    """A SUB socket, as the router has one, that keeps what comes."""

    def __init__(self) -> None:
        self.got: list[list[bytes]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sock = self._context.socket(zmq.SUB)
        self._sock.setsockopt(zmq.SUBSCRIBE, b"")
        self.address = f"tcp://127.0.0.1:{self._sock.bind_to_random_port('tcp://127.0.0.1')}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set() or self._sock.poll(50):
            if self._sock.poll(20):
                self.got.append(self._sock.recv_multipart())

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._sock.close()
        self._context.term()


@pytest.fixture
def bus(answer: Any) -> Iterator[Bus]:
    """The bus of a hub that runs at the runtime directory."""
    made = Bus()
    answer(status=[{"t": "status", "hub": {"url": "ws://x", "bus": made.address}}])
    yield made
    made.close()


def test_it_plays_on_the_bus_of_the_hub_that_runs(
    hub: Any, bus: Bus, path: Path, runtime_dir: Path
) -> None:
    args = ("replay", path, "--runtime-dir", runtime_dir, "--speed", 10_000)
    stderr = hub(*args).stderr
    told = "day.jsonl: 3 ticks of 2 symbols, 2025-12-31 09:15:00 to 09:16:00; at 10000 times the "
    assert stderr.splitlines() == [
        f"{told}speed it takes 0s",
        f"playing on {bus.address}; Ctrl-C ends it",
        "the recording is over",
    ]
    hub(*args, "--from", "09:15:45")
    bus.close()
    bus.close = lambda: None  # type: ignore[method-assign]  # it is closed
    assert bus.got == [
        [b"NSE_A_QUOTE", b'{"ltp":0,"n":1.50}'],
        [b"NSE_B_LTP", b'{"ltp":300,"n":1.50}'],
        [b"NSE_A_QUOTE", b'{"ltp":600,"n":1.50}'],
        [b"NSE_A_QUOTE", b'{"ltp":600,"n":1.50}'],
    ]


def test_without_a_hub_it_starts_one_for_it(
    hub: Any, path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Settings, dict[str, Any]]] = []

    def run_hub(settings: Settings, **more: Any) -> int:
        started.append((settings, more))
        return 0

    monkeypatch.setattr(replay, "run_hub", run_hub)
    hub("replay", path, "--runtime-dir", runtime_dir, "--speed", 2.5, "--loop", "--no-gaps",
        "--from", "09:20", "--shards", 2, "--port", 1234)  # fmt: skip
    ((settings, more),) = started
    assert settings.hub.feeds == ["replay"]
    assert settings.upstream.linger_s == 0, "who tries again, begins again"
    assert settings.hub.shards == 2
    assert settings.websocket.port == 1234
    assert settings.replay.file == str(path)
    assert (settings.replay.speed, settings.replay.loop) == (2.5, True)
    assert (settings.replay.gaps, settings.replay.begin) == (False, "09:20")
    assert more == {
        "demo": True,
        "config_options": "",
        "least": "",
        "symbols": [("NSE", "A"), ("NSE", "B")],
    }


def test_what_cannot_be_played_is_told(hub: Any, path: Path, tmp_path: Path) -> None:
    assert "there is no file" in hub("replay", tmp_path / "none.jsonl", rc=78).stderr
    assert "no time of day" in hub("replay", path, "--from", "noon", rc=78).stderr
    assert "0.01<=x<=10000" in hub("replay", path, "--speed", 0, rc=2).stderr
    path.write_text("nonsense")
    assert "is no row of a recording" in hub("replay", path, rc=1).stderr


def test_a_recording_of_several_days_says_so(tmp_path: Path) -> None:
    path = recording(tmp_path / "two.jsonl", row(0), row(86400))
    text = replay.told(path, scan(path), Settings())
    assert text == (
        "two.jsonl: 2 ticks of 1 symbol, 2025-12-31 09:15:00 to 2026-01-01 09:15:00; at 1 times "
        "the speed it takes 1d00h"
    )
