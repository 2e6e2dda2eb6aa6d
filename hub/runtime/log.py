"""Logging: one line per message on stderr, `time level role text`, never a secret."""

from __future__ import annotations

import logging
import sys
import time

log = logging.getLogger("hub")


class Seldom:
    """Lets a message through once a minute per source, and tells how many it held back."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._last: dict[str, tuple[float, int]] = {}

    def warning(self, source: str, text: str, *args: object) -> None:
        """Log a warning unless this source had one within the minute."""
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
        log.warning(text, *args)


def setup(role: str, level: str) -> None:
    """Send this process's messages to stderr under its role's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s %(levelname)-7s {role:<10} %(message)s", "%H:%M:%S")
    )
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False
