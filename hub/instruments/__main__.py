"""`python -m hub.instruments BROKER PATH [WHERE]`: one update, for hub/instruments/child.py.

Prints how far it is, each time a JSON list as hub/instruments/update.Progress has it, and at its
end the number of instruments. What went wrong is a sentence on stderr; then it exits with 1.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hub.brokers import catalogue
from hub.core.errors import HubError
from hub.instruments.update import Progress, update

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
    broker, path, where = (*arguments, "")[:3]
    try:
        count = asyncio.run(update(catalogue.get(broker), where, Path(path), _Printer()))
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
