"""From the adapters' many threads to the one thread that has the sockets.

1. What an adapter publishes is turned into bytes in the adapter's thread and never raises there.
2. The I/O thread is woken only when it sleeps.
3. What it has not fetched yet is bounded: beyond that the newest tick of each topic is kept.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from .worker_newest import ORDERS, Newest, Pair

PENDING_TICKS = 200_000
"""Ticks that may wait for the I/O thread as they came."""
_COMPLAINT_S = 60.0
_log = logging.getLogger("shardhub.openalgo")


class Door:
    """What waits for the I/O thread: ticks for the router, reports for the parent.

    `counts` has what was not passed on: for want of room ticks that were `conflated` and order
    updates that were `dropped`; `private` topics; `broken` ticks that are no JSON.
    """

    def __init__(self) -> None:
        self.ticks: list[Pair] = []
        self._late = Newest()  # what came when so many ticks waited
        self.reports: deque[dict[str, Any]] = deque()
        self.counts: Counter[str] = Counter()
        self._asleep = False
        self._lock = threading.Lock()
        self._complained: dict[str, float] = {}
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        waiting = f"{len(self.ticks) + len(self._late)} ticks, {len(self.reports)} reports"
        return f"<Door {waiting}; {counts or 'no loss'}>"

    def fileno(self) -> int:
        """What the I/O thread polls while it sleeps."""
        return self._inside.fileno()

    def tick(self, topic: bytes, text: bytes) -> None:
        """Pass a tick on. From any thread."""
        with self._lock:
            if len(self.ticks) < PENDING_TICKS:
                self.ticks.append((topic, text))
            elif cost := self._late.put(topic, text):
                self.counts[cost] += 1
        self.knock()

    def take(self) -> list[Pair]:
        """The ticks there are, in their order; they wait no more. For the I/O thread."""
        with self._lock:
            ticks, late = self.ticks, self._late
            self.ticks, self._late = [], Newest()
        return ticks + late.first(len(late))

    def report(self, message: dict[str, Any]) -> None:
        """Pass a message to the parent on. From any thread."""
        self.reports.append(message)
        self.knock()

    def knock(self) -> None:
        """Wake the I/O thread if it sleeps. Whoever puts something in does so before it looks."""
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(OSError):  # full: it is awake soon; closed: it has left
                self._outside.send(b"\0")

    def lie_down(self) -> bool:
        """The I/O thread means to sleep: whether it may. It says so before it looks."""
        self._asleep = True
        return not self.ticks and not self.reports

    def get_up(self) -> None:
        """The I/O thread is awake."""
        self._asleep = False
        with contextlib.suppress(BlockingIOError):
            self._inside.recv(4096)

    def close(self) -> None:
        """The I/O thread has left; what comes still is kept by nobody."""
        self._inside.close()
        self._outside.close()

    def count(self, name: str, complaint: str = "", n: int = 1) -> None:
        """Count ticks that are not passed on, and say so now and then. From any thread."""
        with self._lock:
            self.counts[name] += n
            now = time.monotonic()
            if not complaint or now - self._complained.get(name, -_COMPLAINT_S) < _COMPLAINT_S:
                return
            self._complained[name] = now
        _log.warning("%s (%d so far; said once a minute)", complaint, self.counts[name])


class Publisher:
    """What adapters take for their ZMQ publisher: it has the same names, and no socket.

    `prefix` stands before the topic of all market data; `ticks` tells whether any came.
    """

    def __init__(self, door: Door, prefix: bytes) -> None:
        self.prefix = prefix
        self.socket: Any = _Socket(self)
        self.context: Any = _Nothing()
        self.zmq_port = _bus_port()
        self.ticks = 0
        self._connected = True
        self._door = door
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Publisher {state}, prefix {self.prefix!r}>"

    def connect(self) -> int:
        """There is nothing to connect; the port adapters expect to be told."""
        return self.zmq_port

    def publish(self, topic: str, data: Any) -> None:
        """Take a tick. From any thread; never raises."""
        try:
            name, text = topic.encode(), json.dumps(data).encode()
        except Exception as error:  # noqa: BLE001  # an adapter's thread dies of nothing that is ours
            self._door.count("broken", f"a tick of {topic!r} is not passed on: {error}")
            return
        self.put(name, text)

    def put(self, topic: bytes, text: bytes) -> None:
        """Take a tick that is bytes already. From any thread."""
        if self._closed:
            return
        self.ticks += 1
        if topic.endswith((b"_positions", b"_margins")):
            self._door.count("private")
        elif topic.endswith(ORDERS):
            self._door.tick(topic, text)
        else:
            self._door.tick(self.prefix + topic, text)

    def close(self) -> None:
        """Take nothing any more, whoever still publishes."""
        self._closed = True

    def cleanup(self) -> None:
        """Adapters call this at their end; there is nothing to clean up."""


class _Nothing:
    """Stands where adapters expect a ZMQ context, which they may want to end."""

    closed = False

    def term(self, *_args: Any) -> None:
        """End nothing."""

    def setsockopt(self, *_args: Any) -> None:
        """Set nothing."""

    def close(self, *_args: Any, **_options: Any) -> None:
        """Close nothing."""


class _Socket(_Nothing):
    """Stands where adapters look for a PUB socket; whoever sends on it, publishes."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def send_multipart(self, frames: Sequence[Any], *_args: Any, **_options: Any) -> None:
        """Take a tick as two frames."""
        topic, text = frames
        self._publisher.put(bytes(topic), bytes(text))


def _bus_port() -> int:
    try:
        return int(os.environ.get("ZMQ_PORT", "5555"))
    except ValueError:
        return 5555
