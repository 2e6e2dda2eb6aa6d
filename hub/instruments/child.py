"""An update in a process of its own: so that a feed host, whose loop is busy with ticks, neither
waits for it nor shares its memory with it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from hub.instruments.update import Progress, Tell
from hub.runtime import command

TIMEOUT_S = 1200.0
"""What an update may take, all its files together."""


async def update(broker: str, where: str, path: Path, tell: Tell) -> int:
    """As hub/instruments/update.update, of the broker of that name, in a child process."""
    count = 0

    def line(said: bytes) -> None:
        nonlocal count
        message = msgspec.json.decode(said, type=int | list[str | int])
        if isinstance(message, int):
            count = message
        else:
            tell(msgspec.convert(message, Progress))

    await command.follow(
        [sys.executable, "-m", "hub.instruments", broker, str(path), where], TIMEOUT_S, line
    )
    return count
