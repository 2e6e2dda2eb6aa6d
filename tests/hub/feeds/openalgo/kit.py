"""The worker as its parent meets it: a real process, both sockets, the miniature checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import zmq

from hub.core import codec
from tests.openalgo import Checkout

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / "hub" / "feeds" / "openalgo" / "worker.py"
PATIENCE_S = 45.0
LTP, QUOTE, DEPTH = 1, 2, 4

Message = dict[str, Any]


def want(symbol: str, modes: int = LTP, depth: int = 5) -> list[Any]:
    return [f"NSE_{symbol}".encode(), modes, depth, "NSE", symbol]


class Parent:
    """Starts a worker, keeps what it says; `ticks` has (topic, json) in their order."""

    def __init__(self, checkout: Checkout, folder: Path, **variables: str) -> None:
        self.checkout = checkout
        self.messages: list[Message] = []
        self.ticks: list[tuple[bytes, bytes]] = []
        self._context = zmq.Context()
        self._control = self._context.socket(zmq.PAIR)
        self._ingest = self._context.socket(zmq.PULL)
        self._control.bind(f"ipc://{folder}/control")
        self._ingest.bind(f"ipc://{folder}/ingest")
        self._log = (folder / "log").open("w+b")
        environment = {"PATH": os.environ["PATH"], **checkout.environment(), **variables}
        self.process = subprocess.Popen(
            [
                *(sys.executable, PROGRAM, "--root", checkout.root),
                *("--control", f"ipc://{folder}/control", "--ingest", f"ipc://{folder}/ingest"),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env=environment, cwd="/",
        )  # fmt: skip

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._control.close(0)
        self._ingest.close(0)
        self._context.term()
        self._log.close()

    def send(self, kind: str, /, **fields: Any) -> None:
        self._control.send(msgpack.packb({"t": kind, **fields}))

    def raw(self, frame: bytes) -> None:
        self._control.send(frame)

    def on(
        self,
        user: str,
        broker: str = "angel",
        prefix: bytes = b"",
        name: str = "",
        *,
        anew: bool = False,
    ) -> None:
        fields = {"user": user, "broker": broker, "prefix": prefix, "anew": anew}
        self.send("account", account=name or user, on=True, **fields)

    def off(self, name: str) -> None:
        fields = {"user": name, "broker": "", "prefix": b"", "anew": False}
        self.send("account", account=name, on=False, **fields)

    def want(self, name: str, *wants: list[Any]) -> None:
        self.send("want", account=name, wants=list(wants))

    def up(self, user: str, broker: str = "angel", prefix: bytes = b"") -> None:
        """Log a user in, and wait until the account is there."""
        self.checkout.login(user, broker)
        self.on(user, broker, prefix)
        assert self.state(user)["state"] == "up", self.log()

    def until(self, done: Callable[[], Any]) -> Any:
        """Take in what comes until this is true; what it returned then."""
        end = time.monotonic() + PATIENCE_S
        while not (value := done()):
            assert time.monotonic() < end, f"it did not come; {self.messages[-9:]}\n{self.log()}"
            self._take()
        return value

    def next(self, kind: str, accept: Callable[[Message], Any] = lambda _: True) -> Message:
        """The first message of this kind that has not been fetched; it is taken out."""
        message: Message = self.until(
            lambda: next((m for m in self.messages if m["t"] == kind and accept(m)), None)
        )
        self.messages.remove(message)
        return message

    def state(self, name: str) -> Message:
        return self.next("account", lambda message: message["account"] == name)

    def results(self, name: str, count: int) -> list[tuple[bytes, int, str, int]]:
        """So many result rows of an account, in their order."""
        rows: list[Any] = []
        while len(rows) < count:
            rows += self.next("results", lambda message: message["account"] == name)["results"]
        return [tuple(row) for row in rows]

    def health(self, accept: Callable[[Message], Any] = lambda _: True) -> Message:
        """A row of health that is like this, from now on."""
        self.messages = [message for message in self.messages if message["t"] != "health"]
        return self.next("health", accept)

    def account(self, name: str, accept: Callable[[Message], Any] = lambda _: True) -> Message:
        """What health says of an account, once it is like this."""
        row: Message = self.health(
            lambda message: name in message["accounts"] and accept(message["accounts"][name])
        )["accounts"][name]
        return row

    def topics(self) -> set[bytes]:
        return {topic for topic, _ in self.ticks}

    def tick(self, topic: bytes) -> dict[str, Any]:
        """The data of a tick of this topic that is still to come."""
        self.ticks.clear()
        found: bytes = self.until(lambda: next((j for t, j in self.ticks if t == topic), None))
        data: dict[str, Any] = json.loads(found)
        return data

    def called(self, *names: str, **facts: Any) -> list[dict[str, Any]]:
        """The calls adapters got so far that have these facts."""
        calls = self.checkout.calls(*names)
        return [call for call in calls if facts.items() <= call.items()]

    def wait_called(self, name: str, **facts: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.until(lambda: self.called(name, **facts))
        return found

    def end(self) -> int:
        """Wait for the process; its exit code."""
        self.until(lambda: self.process.poll() is not None)
        while self._take():
            pass
        return self.process.returncode

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def _take(self) -> bool:
        """Take in what is there, waiting a moment for it."""
        poller = zmq.Poller()
        poller.register(self._control, zmq.POLLIN)
        poller.register(self._ingest, zmq.POLLIN)
        ready = dict(poller.poll(50))
        if self._control in ready:
            self.messages.append(codec.decode(self._control.recv()))
        if self._ingest in ready:
            parts = codec.unpack(self._ingest.recv())
            self.ticks += zip(parts[::2], parts[1::2], strict=True)
        return bool(ready)


@contextmanager
def start(checkout: Checkout, **variables: str) -> Iterator[Parent]:
    """A worker of this checkout, with these settings besides its .env."""
    folder = Path(tempfile.mkdtemp(prefix="hub-"))  # short: a socket's path has 107 bytes
    parent = Parent(checkout, folder, **variables)
    try:
        parent.next("ready")
        yield parent
    finally:
        parent.close()
        shutil.rmtree(folder)
