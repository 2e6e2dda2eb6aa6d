"""A short work in a process of its own, by the same Python: what would hold a loop for seconds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from hub.runtime.role import LEASH

_LONGEST_S = 600.0
_MOST_BYTES = 65_536
_TIES = {LEASH, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}


class Child:
    """Python with these arguments. It has this process's environment, but for what ties that to
    its parent."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments

    def __repr__(self) -> str:
        return f"<Child {' '.join(self._arguments)}>"

    async def run(self, within_s: float = _LONGEST_S) -> tuple[int, str]:
        """Its exit code, and the end of what it has said on stderr. It is killed when it takes
        longer, and when whoever waits for it is cancelled."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in _TIES},
        )  # fmt: skip
        try:
            async with asyncio.timeout(within_s):
                _, said = await process.communicate()
        except TimeoutError:
            return 1, f"it was not done after {within_s:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, said[-_MOST_BYTES:].decode(errors="replace")
