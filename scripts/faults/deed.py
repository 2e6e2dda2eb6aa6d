"""One fault as it is done: what is waited for after it, and which times are taken.

1. A fault that may cost ticks opens a window before it is done, and closes it `MARGIN_S` after all
   is well again; a window is only as wide as docs/architecture.md says ticks may be lost.
2. What is not well again in `BOUND_S`, five times what a quiet machine shows, breaks a promise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from scripts.faults.hub import eventually
from scripts.faults.ledger import Window
from scripts.faults.plan import Fault
from scripts.faults.scene import Scene

BOUND_S = 10.0
MARGIN_S = 0.5
_UNDER_WAY_NS = 250_000_000  # what was published so shortly before is in the buffers of the victim
_clock_ns = time.monotonic_ns


class Deed:
    """One fault as it is done to a scene; `figures` holds the times taken, in seconds mostly."""

    def __init__(self, scene: Scene, fault: Fault) -> None:
        self.scene = scene
        self.fault = fault
        self.begin_ns = _clock_ns()
        self.figures: dict[str, float] = {}
        self.notes: list[str] = []
        self.windows: list[Window] = []

    def __repr__(self) -> str:
        return f"<Deed {self.fault}>"

    async def run(self, way: Callable[[Deed], Awaitable[None]]) -> None:
        """Do it this way, and wait until all is well again. Raises Late when it is not."""
        try:
            await way(self)
        finally:
            if self.windows:
                await asyncio.sleep(MARGIN_S)
            for window in self.windows:
                window.end_ns = _clock_ns()

    def window(self, scope: str = "", *, orders: bool = False) -> None:
        """From here on ticks may be missing, of one shard's clients or of all."""
        begin_ns = _clock_ns() - _UNDER_WAY_NS
        opened = Window(str(self.fault), scope, begin_ns, orders=orders)
        self.windows.append(self.scene.ledger.open(opened))

    def took(self, name: str, since_ns: int) -> None:
        """Take a time."""
        self.figures[name] = (_clock_ns() - since_ns) / 1e9

    async def until(
        self, name: str, condition: Callable[[], Any], within_s: float = BOUND_S
    ) -> None:
        """Wait for something and take the time since the fault began."""
        await eventually(condition, within_s, f"{name} after {self.fault}")
        self.took(name, self.begin_ns)
