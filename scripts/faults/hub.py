"""The handle on a hub that is under fault, and on the publisher beside it.

1. Whatever is started here is ended here, by its pid, however the run ends.
2. Who is asked waits for a condition, with a deadline; nothing sleeps for a time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from hub.core.errors import HubError
from hub.runtime.control import ask

_LOOK_S = 0.02
_LEAVE_S = 10.0


class Late(HubError):
    """What was waited for did not come in time."""


async def eventually(condition: Callable[[], Any], within_s: float, what: str) -> float:
    """Wait until it holds; how many seconds that took. Raises Late with `what`."""
    start_s = time.monotonic()
    while not condition():
        if time.monotonic() - start_s > within_s:
            raise Late(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(_LOOK_S)
    return time.monotonic() - start_s


class Child:
    """A process of ours: stdin is its leash, each line of stdout an event for `hear`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: dict[str, dict[str, Any]] = {}
        self._reader = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, log: Path, module: str, *arguments: str) -> Child:
        """Start a module of this package."""
        clean = {name: value for name, value in os.environ.items() if name[:4] != "HUB_"}
        pipe = asyncio.subprocess.PIPE
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"scripts.faults.{module}", *arguments),
                stdin=pipe,
                stdout=pipe,
                stderr=stderr,
                env=clean,
                start_new_session=True,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it lives."""
        return self._process.returncode

    def tell(self, word: str) -> None:
        """Say a word to it."""
        assert self._process.stdin is not None
        with suppress(OSError, RuntimeError):  # uvloop's word for a pipe that is closed
            self._process.stdin.write(word.encode() + b"\n")

    async def event(self, name: str, within_s: float) -> dict[str, Any]:
        """What it said last under this name, waited for. Raises HubError."""
        await eventually(
            lambda: name in self.said or self._reader.done(), within_s, f"{name!r} of {self.pid}"
        )
        if name not in self.said:
            raise HubError(f"process {self.pid} ended before it said {name!r}")
        return self.said[name]

    async def close(self) -> None:
        """End it: by its leash if it follows, by force if not."""
        assert self._process.stdin is not None
        self.tell("end")
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _LEAVE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = msgspec.json.decode(line)
            self.said[event["event"]] = event


class Process(NamedTuple):
    """A child of the hub as its supervisor reports it."""

    state: str
    pid: int
    restarts: int


class Hub:
    """One hub in a directory of its own; `users` have their broker."""

    def __init__(self, folder: Path, users: Mapping[str, str], flags: Mapping[str, object]) -> None:
        self.runtime_dir = folder / "run"
        self.log = folder / "log"
        self._users = users
        self._flags = flags
        self.ever: set[int] = set()
        self.failed: set[str] = set()
        self.child: Child
        self.port = 0
        self.bus = 0
        self.keys: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Hub {self.runtime_dir} {self.processes()}>"

    async def start(self, within_s: float = 40.0) -> None:
        """Start it and wait until all of it is ready."""
        self.runtime_dir.mkdir(mode=0o700)
        users, flags = (msgspec.json.encode(one).decode() for one in (self._users, self._flags))
        self.child = await Child.start(self.log, "server", str(self.runtime_dir), users, flags)
        ports = await self.child.event("ports", within_s)
        self.port, self.bus, self.keys = ports["ws"], ports["bus"], ports["keys"]
        self.ever.add(self.child.pid)
        await eventually(self.all_ready, within_s, "the hub is ready")

    def processes(self) -> dict[str, Process]:
        """Its children by name, as the supervisor sees them now."""
        rows = self.child.said.get("children", {"rows": {}})["rows"]
        found = {name: Process(*row) for name, row in rows.items()}
        self.ever |= {one.pid for one in found.values() if one.pid}
        self.failed |= {name for name, one in found.items() if one.state == "failed"}
        return found

    def all_ready(self) -> bool:
        """Whether each of its processes is."""
        found = self.processes()
        return bool(found) and all(one.state == "ready" for one in found.values())

    def signal(self, name: str, number: signal.Signals) -> Process:
        """Send a signal to one of them; what it was."""
        victim = self.processes()[name]
        if victim.pid:
            with suppress(ProcessLookupError):
                os.kill(victim.pid, number)
        return victim

    def is_back(self, name: str, victim: Process) -> bool:
        """Whether another, ready process is in its place."""
        now = self.processes()[name]
        return now.state == "ready" and now.pid != victim.pid

    async def answers(self, who: str = "monitor") -> bool:
        """Whether the monitor answers a question now."""
        try:
            await ask(self.runtime_dir, who, {"t": "status"}, timeout_s=1.0)
        except HubError:
            return False
        return True

    def shards_by_port(self) -> dict[int, str]:
        """Which shard serves the client with this port of its own."""
        found = {}
        for name, one in self.processes().items():
            if name.startswith("shard-") and one.pid:
                with suppress(psutil.Error):
                    for link in psutil.Process(one.pid).net_connections("tcp4"):
                        if link.laddr.port == self.port and len(link.raddr) > 1:
                            found[link.raddr[1]] = name
        return found

    def memory(self) -> dict[str, int]:
        """The resident bytes of each process."""
        found = {}
        for name, one in self.processes().items() | {
            ("supervisor", Process("", self.child.pid, 0))
        }:
            with suppress(psutil.Error):
                found[name] = psutil.Process(one.pid).memory_info().rss
        return found

    def left(self) -> list[psutil.Process]:
        """Which of all processes that it ever had still run."""
        self.processes()
        return survivors(self.ever, self.runtime_dir)

    async def discard(self) -> None:
        """End it, by force where need be."""
        for process in self.left():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        await self.child.close()
        with suppress(Late):
            await eventually(lambda: not self.left(), _LEAVE_S, "all have gone")
        for process in self.left():
            with suppress(psutil.Error):
                process.kill()


def survivors(pids: Iterable[int], runtime_dir: Path) -> list[psutil.Process]:
    """Which of these processes of a hub still run; not somebody else's that got an old pid."""
    found = []
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, str(runtime_dir)):
                found.append(process)
    return found


def _belongs(process: psutil.Process, runtime_dir: str) -> bool:
    return process.environ().get("HUB_RUNTIME_DIR") == runtime_dir or any(
        runtime_dir in word for word in process.cmdline()
    )
