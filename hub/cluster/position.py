"""How far account events are followed, in a file: a process that was killed goes on where it was.

The file lives as long as the runtime directory. One that nobody has kept alive for a minute is of
no use: what came since is too old for clients that have come since.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from hub.core.orders import AWAY_S

_SIZE = 128


class Position:
    """The number of the newest event that was handed over, and when its stream was made."""

    def __init__(self, path: Path | None) -> None:
        self.created = ""
        self.number = 0
        self.known = False
        self.outdated = False
        """Whether there was one that is of no use any more."""
        self._fd = -1
        if path is not None:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._read()

    def __repr__(self) -> str:
        return f"<Position {self.number if self.known else 'unknown'}>"

    def set(self, created: str, number: int) -> None:
        """So far it is now."""
        self.created, self.number, self.known = created, number, True
        if self._fd >= 0:
            with suppress(OSError):  # it is there for the case that more fails
                os.pwrite(self._fd, json.dumps([created, number]).encode().ljust(_SIZE), 0)

    def keep(self) -> None:
        """Whoever follows is alive: to be called once a second."""
        if self._fd >= 0:
            with suppress(OSError):
                os.utime(self._fd)

    def close(self) -> None:
        """Write no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        data, found = os.pread(self._fd, _SIZE, 0), os.fstat(self._fd)
        if not data:
            return
        self.outdated = time.time() - found.st_mtime > AWAY_S
        try:
            created, number = json.loads(data)
            self.created, self.number = str(created), int(number)
            self.known = not self.outdated
        except (ValueError, TypeError):
            self.outdated = True
