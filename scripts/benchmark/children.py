"""The parent's side: starts the benchmark's processes, hears them, and ends what it started."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from hub.core.errors import HubError

_LOOK_S = 0.1
_LEAVE_S = 10.0
_LAST_LINES = 8


class Child:
    """One process of the benchmark; stdin is its leash, stdout what it says, stderr goes to `log`.

    `beat` is called about ten times a second while something is waited for. `under` is a program
    that runs it, `environ` what its environment holds besides ours.
    """

    def __init__(
        self,
        log: Path,
        beat: Callable[[], None],
        module: str,
        *arguments: str,
        under: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = module.rpartition(".")[2]
        self._log = log
        self._beat = beat
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        clean = {name: value for name, value in os.environ.items() if name[:4] != "HUB_"}
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(  # the command is our own
                [*under, sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=clean | dict(environ or {}),
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def __repr__(self) -> str:
        return f"<Child {self.name} pid {self.pid}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, word: str) -> None:
        """Say a word to it."""
        with suppress(BrokenPipeError):
            stdin = _there(self._process.stdin)
            stdin.write(word.encode() + b"\n")
            stdin.flush()

    def wait(self, event: str, timeout_s: float) -> dict[str, Any]:
        """Its next event of this name; others before it are passed over.

        Raises HubError when it ends instead, or says nothing for too long.
        """
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            with suppress(queue.Empty):
                said = self._events.get(timeout=_LOOK_S)
                if said["event"] == event:
                    return said
                if said["event"] == "":
                    raise HubError(f"the {self.name} process ended before {event!r}{self._tail()}")
            self._beat()
        raise HubError(
            f"the {self.name} process did not say {event!r} within {timeout_s:g} s{self._tail()}"
        )

    def close(self) -> None:
        """End it: by its leash if it follows, by force if not."""
        self.tell("end")
        with suppress(BrokenPipeError):
            _there(self._process.stdin).close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        with _there(self._process.stdout) as stdout:
            for line in stdout:
                self._events.put(msgspec.json.decode(line))
        self._events.put({"event": ""})

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "".join(f"\n    {line}" for line in lines)


class Family:
    """The children of one run, all of which end when it does."""

    def __init__(self, log: Path, beat: Callable[[], None]) -> None:
        self._log = log
        self._beat = beat
        self._children: list[Child] = []

    def start(self, module: str, *arguments: str) -> Child:
        """Start one more."""
        child = Child(self._log, self._beat, f"scripts.benchmark.{module}", *arguments)
        self._children.append(child)
        return child

    def close(self) -> None:
        """End all, the youngest first."""
        while self._children:
            self._children.pop().close()


@contextmanager
def family(log: Path, beat: Callable[[], None]) -> Iterator[Family]:
    """Children that do not outlive the block."""
    made = Family(log, beat)
    try:
        yield made
    finally:
        made.close()


def _there(pipe: Any) -> Any:
    if pipe is None:
        raise HubError("a child without pipes")
    return pipe
