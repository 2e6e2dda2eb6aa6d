"""A work in a process of its own, by the same Python: what would hold a loop for seconds."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence

from hub.core.errors import HubError
from hub.runtime.role import LEASH

_MOST_BYTES = 65_536
_TIES = {LEASH, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
"""What in the environment ties this process to its parent."""


async def work(arguments: Sequence[str], within_s: float, line: Callable[[bytes], None]) -> None:
    """Run Python with these arguments, in this process's environment; `line` gets what it prints.

    Raises HubError with the last thing that it says on stderr when it fails or takes longer. It is
    killed then, and when whoever waits for it is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
        env={name: value for name, value in os.environ.items() if name not in _TIES},
    )  # fmt: skip
    assert process.stdout is not None  # noqa: S101  # it was asked for
    assert process.stderr is not None  # noqa: S101
    try:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as tasks:
            said = tasks.create_task(_end_of(process.stderr))
            async for printed in process.stdout:
                line(printed)
            code = await process.wait()
    except TimeoutError:
        raise HubError(f"it was not done after {within_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # it is not over before its pipes are empty
    if code:
        told = said.result().decode(errors="replace").strip()
        raise HubError(told.rpartition("\n")[2] or f"it ended with status {code}")


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    """The last of what comes there; all of it is taken, or who writes would wait."""
    last = b""
    while part := await stream.read(_MOST_BYTES):
        last = (last + part)[-_MOST_BYTES:]
    return last
