"""The stats file: what OpenAlgo's Health page reads of the process that serves its clients.

OpenAlgo takes it for its own proxy's, so it has the form that one writes: contract 6.4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EVERY_S = 10.0
"""Time between two writes; OpenAlgo believes a file for a minute."""

_MODE = 0o644
_HOW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
"""A link put there would make this overwrite, and open to all, what it leads to."""


def stats(processes: Iterable[dict[str, Any]], now_epoch_s: float) -> dict[str, Any]:
    """The content of the file, from the rows of `hub status`: broker connections, topics that are
    asked of brokers, clients, and the broker of each user that is logged in.
    """
    beats = [process for process in processes if process["state"] == "ready"]
    feeds = [beat for beat in beats if beat["role"] == "feed"]
    return {
        "timestamp": now_epoch_s,
        "total_connections": sum(feed.get("connections", 0) for feed in feeds),
        "total_symbols": sum(feed.get("topics", 0) for feed in feeds),
        "clients_connected": sum(beat.get("clients", 0) for beat in beats),
        "brokers": [broker for feed in feeds for broker in feed.get("brokers", ())],
    }


def write(file: Path, content: dict[str, Any]) -> None:
    """Put it in the place of the file before, whole at every moment, for all users to read.

    Raises OSError: the folder is OpenAlgo's and is not made here.
    """
    new = file.with_name(f"{file.name}.tmp")
    with open(os.open(new, _HOW, _MODE), "w") as out:  # noqa: PTH123
        os.fchmod(out.fileno(), _MODE)  # whatever the umask says
        json.dump(content, out)
    new.replace(file)
