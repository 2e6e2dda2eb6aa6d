"""NATS nodes and hubs as processes of this machine, each hub with a directory and ports of its own.

Whatever is started here is ended here, by its pid.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from hub.core.config import env_name
from hub.core.errors import HubError, StartError
from hub.runtime.control import ask

_READY_S = 40.0
_LEAVE_S = 15.0


class Process:
    """A program that can be killed, with all that it started, and started again."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Process {self.name} {'up' if self._process else 'down'}>"

    @property
    def runs(self) -> bool:
        """Whether it has been started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends it
            )

    def kill(self) -> None:
        """What happens to a machine that loses its power."""
        for one in self._family():
            with suppress(psutil.Error):
                one.kill()
        self._reap()

    def stop(self) -> None:
        """Have it leave; kill it when it does not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_S)
        self.kill()

    def _family(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with suppress(psutil.Error):
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._process = None


class Machine(Process):
    """A hub; `flags` are `section.name` with values, as in a settings file."""

    def __init__(self, name: str, folder: Path, flags: Mapping[str, str]) -> None:
        self.runtime_dir = folder / name
        own = {**flags} | {
            "hub.runtime_dir": str(self.runtime_dir),
            "nats.name": name,
            "page.enabled": "false",
        }
        environ = {key: value for key, value in os.environ.items() if not key.startswith("HUB_")}
        environ |= {env_name(*path.split(".")): value for path, value in own.items()}
        command = [sys.executable, "-m", "cli", "start"]
        super().__init__(name, command, folder / f"{name}.log", environ)

    async def ready(self) -> None:
        """Wait until all of it is, some 40 s at most. Raises StartError with the end of its log."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                while self.runs:
                    if await self._is_ready():
                        return
                    await asyncio.sleep(0.1)
        end = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
        raise StartError(f"{self.name} does not get ready:\n{end}")

    async def row(self, process: str) -> dict[str, Any]:
        """What is known of one of its processes."""
        return next(row for row in await self._rows() if row["name"] == process)

    async def _is_ready(self) -> bool:
        rows = await self._rows()
        return bool(rows) and all(row["state"] == "ready" for row in rows)

    async def _rows(self) -> list[dict[str, Any]]:
        with suppress(HubError):
            answer = await ask(self.runtime_dir, "monitor", {"t": "status"}, 1.0)
            return list(answer["processes"])
        return []


class Node(Process):
    """A NATS node, to which clients come at `port`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, port: int) -> None:
        super().__init__(name, command, log, os.environ)
        self.port = port


def nodes(program: Path, folder: Path, ports: Sequence[int]) -> list[Node]:
    """As many NATS nodes as there are pairs of ports: for clients, and for each other."""
    clients, routes = ports[::2], ports[1::2]
    others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    made = []
    for number, (port, route) in enumerate(zip(clients, routes, strict=True), 1):
        name = f"nats-{number}"
        config = folder / f"{name}.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\nserver_name: "{name}"\n'
            f'jetstream {{ store_dir: "{folder / name}" }}\n'
            f'cluster {{ name: demo, listen: "127.0.0.1:{route}", routes: [{others}] }}\n'
        )
        log = folder / f"{name}.log"
        made.append(Node(name, [str(program), "-c", str(config)], log, port))
    return made
