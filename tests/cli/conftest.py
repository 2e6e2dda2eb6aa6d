"""What the tests of the command line share: a home, a runner, and a monitor that is not one."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgpack
import pytest
import zmq
from click.testing import CliRunner, Result

from cli.main import main
from hub.core import config
from hub.core.names import CONTROL


class Hub(Protocol):
    """Runs one command."""

    def __call__(self, *args: str | Path, rc: int = 0) -> Result: ...


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without settings and an environment without the hub's variables."""
    for definition in config.definitions():
        monkeypatch.delenv(definition.variable, raising=False)
    for name in ("HUB_CONFIG", "HUB_API_KEY", "XDG_CONFIG_HOME",
                 "CONFIGURATION_DIRECTORY", "RUNTIME_DIRECTORY", "COLUMNS"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with tempfile.TemporaryDirectory(prefix="hub") as session:  # where no other hub runs
        monkeypatch.setenv("XDG_RUNTIME_DIR", session)
        yield tmp_path


@pytest.fixture
def hub() -> Hub:
    """Runs a command in this process; `rc` is the exit code it must have."""

    def run(*args: str | Path, rc: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="hub")
        print(result.output)
        assert result.exit_code == rc, result.exception
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A runtime directory with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="hub") as path:
        yield Path(path)


class FakeRouter:
    """Answers control messages by type, in place of router and monitor; keeps what was asked."""

    def __init__(self, runtime_dir: Path, answers: dict[str, list[dict[str, Any]]]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = answers
        self._context = zmq.Context()
        self._sock = self._context.socket(zmq.ROUTER)
        self._sock.bind(f"ipc://{runtime_dir / CONTROL}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            if self._sock.poll(20):
                who, frame = self._sock.recv_multipart()
                message = msgpack.unpackb(frame)
                self.asked.append(message)
                left = self._answers.get(message["t"], [])
                if left:
                    answer = left.pop(0) if len(left) > 1 else left[0]
                    self._sock.send_multipart([who, msgpack.packb(answer | {"from": "monitor"})])

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._sock.close(0)
        self._context.term()


class Answer(Protocol):
    """Puts a fake monitor into the runtime directory; several answers come in turn."""

    def __call__(self, **answers: list[dict[str, Any]]) -> FakeRouter: ...


@pytest.fixture
def answer(runtime_dir: Path) -> Iterator[Answer]:
    """Makes a fake monitor, which ends with the test."""
    made: list[FakeRouter] = []

    def make(**answers: list[dict[str, Any]]) -> FakeRouter:
        made.append(FakeRouter(runtime_dir, answers))
        return made[-1]

    yield make
    for fake in made:
        fake.close()
