"""A real nats-server for tests: on loopback, at a port of its own, ended by its process id."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("nats-server")
_READY_S = 20.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class NatsServer:
    """One server, by a configuration file in `folder`; `more` is added to that file.

    It keeps its port, so it can be killed and started again. With `jetstream` it has one, in
    `folder`.
    """

    def __init__(
        self, folder: Path, more: str = "", *, jetstream: bool = False, name: str = "one"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._config = folder / f"{name}.conf"
        kept = f'jetstream {{ store_dir: "{folder / name}" }}\n' if jetstream else ""
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nserver_name: "{name}"\n{kept}{more}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<NatsServer {self.url} {'up' if self._process else 'down'}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", self._config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ready(self) -> None:
        """Wait until it greets."""
        until_s = time.monotonic() + _READY_S
        while time.monotonic() < until_s:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1) as greeted,
            ):
                if greeted.recv(5) == b"INFO ":
                    return
            time.sleep(0.02)
        raise TimeoutError(self.log.read_text())

    def start(self) -> None:
        """Start it, and wait until it greets."""
        self.launch()
        self.ready()

    def send(self, number: signal.Signals) -> None:
        """A signal, such as SIGSTOP: then nothing comes from it, and no connection ends."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def server(folder: Path, more: str = "", *, jetstream: bool = False) -> Iterator[NatsServer]:
    """One that is up, and does not outlive the block."""
    one = NatsServer(folder, more, jetstream=jetstream)
    try:
        one.start()
        yield one
    finally:
        one.kill()


@contextmanager
def cluster(folder: Path, count: int = 3, *, jetstream: bool = False) -> Iterator[list[NatsServer]]:
    """A cluster that is up, and does not outlive the block."""
    ports = [free_port() for _ in range(count)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        NatsServer(
            folder,
            f'cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}',
            jetstream=jetstream,
            name=f"node{number}",
        )
        for number, port in enumerate(ports)
    ]
    with ExitStack() as stack:
        for one in servers:
            stack.callback(one.kill)
            one.launch()
        for one in servers:
            one.ready()
        yield servers
