"""Reading what comes, in batches, at the pace of a window.

1. A pump reads at most `BATCH` messages of an inlet, and not much longer than `LONGEST_READ_S`,
   before it lets the loop breathe: once in a turn of it, as long as there is more.
2. A fault in what a pump calls is told, counted and costs that call: the pump reads on.
3. While the window is wide the inlets are not watched but read at its pace: one wake-up per window
   instead of one per message. Several windows in which nothing came end that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from hub.core.window import Window
from hub.runtime.log import Seldom
from hub.runtime.pace import Pace

BATCH = 2000
LONGEST_READ_S = 0.05
_RECHECK_S = 1.0
_IDLE_WINDOWS = 8


class Inlet(Protocol):
    """Something messages come in by."""

    def read(self) -> int:
        """Hand over what is there, a batch at most; how many messages, `BATCH` when there may be
        more."""

    def watch(self, wake: Callable[[], None] | None) -> None:
        """Call `wake` whenever there may be something to read; None: not any more."""

    def readable(self) -> bool:
        """Whether something is there that nobody was woken for."""

    def close(self) -> None:
        """Read no more."""


class Pump:
    """Reads inlets; `done` runs once after each batch."""

    def __init__(self, done: Callable[[], None], window: Window) -> None:
        self._done = done
        self._window = window
        self._inlets: list[Inlet] = []
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(self._beat)
        self._width_ms = 0.0
        self._idle = 0
        self._again = False
        self._recheck: asyncio.TimerHandle | None = None
        self._closed = False
        self._seldom = Seldom()
        self.faults = 0

    def __repr__(self) -> str:
        return f"<Pump of {len(self._inlets)}, {'paced' if self._width_ms else 'watching'}>"

    def add(self, inlet: Inlet) -> None:
        """Read this inlet too."""
        self._inlets.append(inlet)
        if not self._width_ms:
            inlet.watch(self._run)
        if self._recheck is None:
            self._recheck = self._loop.call_later(_RECHECK_S, self._look_again)
        self._loop.call_soon(self._run)

    def poke(self) -> None:
        """One of the inlets' sockets was written to: look whether that made it readable."""
        if not self._width_ms and any(inlet.readable() for inlet in self._inlets):
            self._go_on()

    @property
    def more(self) -> bool:
        """Whether something was left when it was read last."""
        return self._again

    def exhaust(self) -> None:
        """Read all that is there, however long it takes, or until something goes wrong."""
        faults = self.faults
        while not self._closed and self._drain() >= BATCH and self.faults == faults:
            pass

    def close(self) -> None:
        """Read no more and close the inlets."""
        if self._closed:
            return
        if self._recheck is not None:
            self._recheck.cancel()
        self._pace.close()
        self._closed = True
        for inlet in self._inlets:
            inlet.watch(None)
            inlet.close()

    def guarded(self, call: Callable[[], int | None]) -> int:
        """What a call returns. After a fault the rest is still there: as much as a batch."""
        try:
            return call() or 0
        except Exception as error:  # noqa: BLE001  # whatever it is, the next message must be read
            return self._fault(error)

    def _run(self) -> None:
        """An inlet may be readable. When more is to be read as soon as others had their turn, this
        is not the time."""
        if self._width_ms or self._closed or self._again:
            return
        count = self._drain()
        if self._closed:
            return
        if count >= BATCH:
            self._go_on()
        elif count and self._window.width_ms:
            self._watch(None)
            self._set_pace(self._window.width_ms)

    def _beat(self) -> None:
        """A window has passed. Several empty ones end the pacing."""
        if self._closed:
            return
        count, width_ms = self._drain(), self._window.width_ms
        if self._closed:
            return
        self._idle = 0 if count else self._idle + 1
        if count >= BATCH:
            self._go_on()
        elif not width_ms or self._idle >= _IDLE_WINDOWS:
            self._set_pace(0.0)
            self._watch(self._run)
            self._loop.call_soon(self._run)
        elif width_ms != self._width_ms:
            self._set_pace(width_ms)

    def _go_on(self) -> None:
        """There may be more: read it as soon as the loop has done what else is due."""
        if not self._again:
            self._again = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._again = False
        (self._beat if self._width_ms else self._run)()

    def _set_pace(self, width_ms: float) -> None:
        self._width_ms, self._idle = width_ms, 0
        self._pace.set(width_ms)

    def _drain(self) -> int:
        """Read what is there, a batch of each inlet at most; how much it was."""
        count = 0
        for inlet in self._inlets:
            try:
                count += inlet.read()
            except Exception as error:  # noqa: BLE001  # as in `guarded`
                count += self._fault(error)
        if count:
            try:
                self._done()
            except Exception as error:  # noqa: BLE001  # as in `guarded`
                self._fault(error)
        if self._window.longest_ms:
            self._window.took(count, time.monotonic())
        return count

    def _fault(self, error: Exception) -> int:
        self.faults += 1
        self._seldom.warning("fault", "a message was lost: %r", error, error=error)
        return BATCH

    def _watch(self, wake: Callable[[], None] | None) -> None:
        for inlet in self._inlets:
            inlet.watch(wake)

    def _look_again(self) -> None:
        self._recheck = self._loop.call_later(_RECHECK_S, self._look_again)
        self._run()
