"""A command of somebody else's, run for what it prints.

Neither its arguments nor what it prints gets into an error: both may be secret.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from hub.core.errors import HubError

_READ_BYTES = 65_536
_CLOSE_S = 1.0


async def output(command: Sequence[str], timeout_s: float, most_bytes: int = 1 << 20) -> bytes:
    """What the command prints. It is run without a shell and without input, in a group of its own,
    of which nothing is left when it is done, takes longer or is given up.

    Raises HubError when it cannot be run, fails, takes longer or prints more than `most_bytes`.
    """
    name = Path(command[0]).name
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name is none"
        raise HubError(f"the command {shlex.quote(name)} cannot be run: {why}") from None
    try:
        async with asyncio.timeout(timeout_s):
            printed = await _read(process, name, most_bytes)
            status = await process.wait()
    except TimeoutError:
        raise HubError(
            f"the command {shlex.quote(name)} took longer than {timeout_s:g} s and was ended; "
            "see that it asks for nothing"
        ) from None
    finally:
        await _end(process)
    if status:
        how = f"with status {status}" if status > 0 else f"by {signal.Signals(-status).name}"
        raise HubError(
            f"the command {shlex.quote(name)} ended {how}; run it in a terminal to see why"
        )
    return printed


async def _read(process: Process, name: str, most_bytes: int) -> bytes:
    printed = bytearray()
    while part := await _stdout(process).read(_READ_BYTES):
        printed += part
        if len(printed) > most_bytes:
            raise HubError(
                f"the command {shlex.quote(name)} printed more than {most_bytes} bytes and was "
                "ended; it must print the credentials alone"
            )
    return bytes(printed)


async def _end(process: Process) -> None:
    """End what is left of its group; wait for the command itself, and for the end of its pipe."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with suppress(TimeoutError):  # somebody who has left the group may hold it
        async with asyncio.timeout(_CLOSE_S):
            while await _stdout(process).read(_READ_BYTES):
                pass


def _stdout(process: Process) -> asyncio.StreamReader:
    return cast("asyncio.StreamReader", process.stdout)  # it was asked for
