"""`python -m hub.instruments BROKER`: one update in a process of its own, so that a feed host,
whose loop is busy with ticks, neither waits for it nor shares its memory with it.

Settings come from the file that $HUB_CONFIG names and from the environment, in which a supervisor's
children have all of them. Prints how far it is, each time a JSON list as
hub/instruments/update.Progress has it, and at its end the number of instruments. What went wrong is
a sentence on stderr; then it exits with 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hub.brokers import catalogue
from hub.core import config
from hub.core.errors import HubError
from hub.instruments.store import path_of
from hub.instruments.update import Progress, update, where_of

_EVERY_S = 0.2


class _Printer:
    """Prints a few of the reports a second, and of each source the first."""

    def __init__(self) -> None:
        self._next = 0.0
        self._source = ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next or progress.source != self._source:
            self._next, self._source = now + _EVERY_S, progress.source
            _say(json.dumps(progress))


def main(arguments: Sequence[str]) -> int:
    """Do it; the exit code."""
    try:
        (name,) = arguments
        file = os.environ.get("HUB_CONFIG")
        where = where_of(name, config.load(Path(file) if file else None, os.environ))
        count = asyncio.run(update(catalogue.get(name), where, path_of(name), _Printer()))
    except HubError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    _say(str(count))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
