"""Logging: one line per message on stderr, `time level role text`, never a secret.

For the journal it has a priority in place of the time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hub.core.logline import PRIORITIES

log = logging.getLogger("hub")

Keep = Callable[[str, str], None]
"""Gets the name of a process and a line that it has logged."""
STREAM = "JOURNAL_STREAM"
"""What systemd sets in the environment of whom it connects to the journal."""
_LEAST = max(PRIORITIES.values())


class Seldom:
    """Lets a message through once a minute per source, and tells how many it held back."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._last: dict[str, tuple[float, int]] = {}

    def warning(
        self, source: str, text: str, *args: object, error: BaseException | None = None
    ) -> None:
        """Log a warning unless this source had one within the minute; with the traceback of
        `error`, if there is one."""
        now = time.monotonic()
        at, held = self._last.get(source, (-self._every_s, 0))
        if now - at < self._every_s:
            self._last[source] = (at, held + 1)
            return
        if len(self._last) > 1000:
            self._last.clear()
        self._last[source] = (now, 0)
        if held:
            text = f"{text} ({held} more like it held back)"
        log.warning(text, *args, exc_info=error)


class _OneLine(logging.Formatter):
    """What others send may stand in a message, so it is shown and not obeyed: no line feed, escape
    or other control character forges a line of the log. Tracebacks keep their lines, indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        record.message = shown(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's own name
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {shown(line)}" for line in lines)


def shown(text: str) -> str:
    """A line as it may be shown: nothing in it is obeyed by a terminal, or begins another line."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class _ForJournal(_OneLine):
    """Lines that tell the journal how severe they are (sd-daemon(3)); it has the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(record.levelname.lower(), _LEAST)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Kept(logging.Handler):
    """Gives each line of a message to whoever keeps it."""

    def __init__(self, role: str, keep: Keep) -> None:
        super().__init__()
        self._role, self._keep = role, keep

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._keep(self._role, line)


def to_journal(fd: int = 2, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written there goes to the journal: systemd names the device and the inode of
    what it has opened for it, and others who have inherited that name have not got it there."""
    with contextlib.suppress(OSError):
        return environ.get(STREAM) == stream_name(fd)
    return False


def stream_name(fd: int) -> str:
    """What $JOURNAL_STREAM is for a file (systemd.exec(5))."""
    found = os.fstat(fd)
    return f"{found.st_dev}:{found.st_ino}"


def setup(
    role: str,
    level: str,
    shown_level: str = "",
    keep: Keep | None = None,
) -> None:
    """Send this process's messages to stderr under its role's name; there only those from
    `shown_level` on, if it is given. `keep` gets the lines of all."""
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel((shown_level or level).upper())
    text = f"%(levelname)-7s {role:<10} %(message)s"
    lines = _OneLine(f"%(asctime)s {text}", "%H:%M:%S")
    stderr.setFormatter(_ForJournal(text) if to_journal() else lines)
    handlers: list[logging.Handler] = [stderr]
    if keep is not None:
        handlers.append(_Kept(role, keep))
        handlers[-1].setFormatter(lines)
    log.handlers[:] = handlers
    log.setLevel(level.upper())
    log.propagate = False
