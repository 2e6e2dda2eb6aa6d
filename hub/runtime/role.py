"""What every process of the hub has in common: a loop, a leash, signals, readiness, heartbeats.

1. The child's stdin is a leash: when it ends, the parent is gone, and so is the child soon after.
2. Heartbeats and the watchdog are fed from the role's own loop, so a stuck loop falls silent.
3. SIGTERM and SIGINT drain: nothing new in, what is pending out, then leave. SIGHUP ends nobody:
   it has files read anew.
4. What runs in the background lives until all who are served have been seen off; when it fails,
   the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from hub.core.errors import FAULT, HubError, StartError
from hub.core.settings import Settings
from hub.core.supervision import leave_s
from hub.runtime.links import finish
from hub.runtime.log import log, setup
from hub.runtime.notify import leaving, notify
from hub.runtime.paths import make_runtime_dir

LEASH = "HUB_LEASH"
"""Set to 1 in the environment of a child whose stdin is its parent's leash."""

_LAG_S = 0.25
_LAGS = 6
"""How many measurements count: those since the last beat, or one more."""
_WATCHDOG_S = 5.0


class Role:
    """A process of the hub. Subclasses open their doors in `start` and close them in `drain`."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.runtime_dir: Path = make_runtime_dir(settings)
        self.started_s = time.time()
        self._lags_s = deque([0.0], _LAGS)
        self._leave = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Open everything; returns when the role can serve."""
        raise NotImplementedError

    async def see_off(self) -> None:
        """Take nothing new in and send away whoever is served here, while all else goes on."""

    async def drain(self) -> None:
        """Take nothing new in, send what is pending, close."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin to leave."""
        self._leave.set()

    def reload(self) -> None:
        """SIGHUP: read anew what may have changed while this process runs."""

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the process lives; when it fails, so does the process."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def refused(self, why: str) -> None:
        """The router will have nothing to do with this process: leave, and say why."""
        self.fail(StartError(why))

    def fail(self, error: BaseException) -> None:
        """Leave because of an error."""
        self._failure = self._failure or error
        self.stop()

    async def until(self, event: asyncio.Event, within_s: float) -> None:
        """Wait for an event, for so long at most, or until this process is told to leave."""
        waits = [asyncio.create_task(one.wait()) for one in (event, self._leave)]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def leave_s(self) -> float:
        """The longest time this process may take to leave."""
        return leave_s(self.name, self.settings)

    def lag_s(self) -> float:
        """The longest time the loop kept a timer waiting in the last second or a bit more."""
        return max(self._lags_s)

    def common_figures(self) -> dict[str, Any]:
        """What each role's heartbeat says beside its own figures."""
        state = {"leaving": True} if self._leave.is_set() else {}
        return {
            "started_s": self.started_s,
            "lag_ms": round(self.lag_s() * 1000, 3),
            "tasks": len(asyncio.all_tasks(self._loop)) if self._loop else 0,
        } | state

    async def live(self) -> None:
        """From start to leave."""
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        if os.environ.get(LEASH) == "1":
            _hold_leash(loop, self.stop, self.leave_s())
        await self.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        notify("READY=1", f"STATUS={self.name} is ready")
        log.info("ready")
        self.background(self._pulse())
        await self._leave.wait()
        notify(*leaving(self.leave_s()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.part(), self.leave_s())
        log.info("gone")
        if self._failure is not None:
            raise self._failure

    async def part(self) -> None:
        """Leave."""
        try:
            await self.see_off()
        except Exception as error:  # noqa: BLE001  # told at the end: the router hears a goodbye
            self.fail(error)
        for task in list(self._tasks):
            task.cancel()
        await self.drain()

    async def _pulse(self) -> None:
        """Feed the watchdog, and measure how late this loop is."""
        fed_s = 0.0
        while True:
            before = time.monotonic()
            await asyncio.sleep(_LAG_S)
            now = time.monotonic()
            self._lags_s.append(max(0.0, now - before - _LAG_S))
            if now - fed_s >= _WATCHDOG_S:
                again = [] if self._leave.is_set() else ["READY=1"]
                notify("WATCHDOG=1", *again)  # again: a full socket drops what comes
                fed_s = now


def run(name: str, settings: Settings, make: Any) -> None:
    """Run the role that `make(name, settings)` gives until it leaves; exits with its code."""
    setup(name, settings.hub.log_level)

    async def main() -> None:
        await make(name, settings).live()

    try:
        uvloop.run(main())
    except HubError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001  # whatever it is, it is told, and the process starts anew
        log.exception("%s ends: this is a fault of the hub itself", name)
        sys.exit(FAULT)
    finally:
        finish()


def _hold_leash(loop: asyncio.AbstractEventLoop, stop: Any, patience_s: float) -> None:
    """Leave when stdin ends; by force when the loop does not follow within `patience_s`."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)
        time.sleep(patience_s + 1)
        os._exit(1)

    threading.Thread(target=watch, name="leash", daemon=True).start()
