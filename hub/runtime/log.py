"""Logging: one line per message on stderr, `time level role text`, never a secret."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

log = logging.getLogger("hub")


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


def setup(role: str, level: str) -> None:
    """Send this process's messages to stderr under its role's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _OneLine(f"%(asctime)s %(levelname)-7s {role:<10} %(message)s", "%H:%M:%S")
    )
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False
