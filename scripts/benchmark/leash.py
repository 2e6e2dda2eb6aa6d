"""A child's side of the benchmark: it hears words on stdin and says what happens on stdout.

When stdin ends the parent is gone, and so is the child at once. No child outlives its alarm, if
it has one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import msgspec

_LONGEST_S = 900


def hold(
    forsaken: Callable[[], None] = lambda: os._exit(1), longest_s: int = _LONGEST_S
) -> set[str]:
    """Begin to listen; the set returned holds the words heard so far. Without an alarm when
    `longest_s` is 0."""
    heard: set[str] = set()
    signal.alarm(longest_s)

    def listen() -> None:
        for line in sys.stdin:
            heard.add(line.strip())
        forsaken()

    threading.Thread(target=listen, name="leash", daemon=True).start()
    return heard


def say(event: str, **figures: object) -> None:
    """Tell the parent."""
    sys.stdout.buffer.write(msgspec.json.encode({"event": event, **figures}) + b"\n")
    sys.stdout.buffer.flush()


def wait_for(word: str, heard: set[str]) -> None:
    """Return when the parent has said this word."""
    while word not in heard:
        time.sleep(0.01)
