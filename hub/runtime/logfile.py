"""The log file of a hub: what its processes say, kept beside what is shown, in bounds.

1. Nobody but its owner may read it, and its older files.
2. It has MOST_BYTES at most, and so has each of OLDER files before it, `.1` the newest of them.
3. A disk that is full or gone stops no hub: what cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from hub.core.errors import StartError
from hub.core.logline import Reader
from hub.core.names import LOG
from hub.core.settings import Settings
from hub.runtime.log import shown

NONE = "none"
MOST_BYTES = 10 << 20
OLDER = 2


def log_path(settings: Settings, runtime_dir: Path) -> Path | None:
    """Where the log file of a hub with these settings is; None when none is kept."""
    named = settings.hub.log_file
    if named == NONE:
        return None
    return Path(named).expanduser() if named else runtime_dir / LOG


def older(path: Path) -> list[Path]:
    """A log file and those before it, as far as they are there, the newest first."""
    paths = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, OLDER + 1))]
    return [one for one in paths if one.exists()]


class LogFile:
    """Open for as long as the hub runs. Raises StartError when it cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = Reader()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _Private(path, maxBytes=MOST_BYTES, backupCount=OLDER, encoding="utf-8")
        except OSError as error:
            raise StartError(
                f"hub.log_file: {path} cannot be written: {error.strerror}; name another, or "
                f'"{NONE}"'
            ) from None

    def __repr__(self) -> str:
        return f"<LogFile {self.path}>"

    def keep(self, role: str, line: str) -> None:
        """Keep a line that a process has written."""
        at = time.strftime("%Y-%m-%d %H:%M:%S")
        text = str(self._reader.said(at, role, shown(line)))
        self._file.emit(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        """Keep no more. What cannot be written then is left out, too."""
        with contextlib.suppress(OSError):
            self._file.close()


class _Private(RotatingFileHandler):
    """Opens files for their owner alone, and leaves out what cannot be written."""

    def _open(self) -> TextIOWrapper:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(fd, 0o600)
        return os.fdopen(fd, "a", encoding="utf-8", errors="replace")

    def handleError(self, record: Any) -> None:  # noqa: N802  # logging's own name
        """Rule 3."""
