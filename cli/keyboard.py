"""Keys as they are pressed, for commands that show something live."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Self

ESCAPE, ENTER, BACKSPACE = "\x1b", "\n", "\x7f"
_SAME = {"\r": ENTER, "\b": BACKSPACE}


class Keyboard:
    """Reads stdin key by key while it is a terminal; a context manager that puts everything back.
    Without a terminal no key is ever pressed."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._before: list[object] | None = None

    def __repr__(self) -> str:
        return f"<Keyboard {'on' if self._before is not None else 'off'}>"

    def __enter__(self) -> Self:
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]  # as it was got
            self._before = None

    def pressed(self, within_s: float) -> Iterator[str]:
        """The keys that are pressed within so long; it ends with the first of them and those that
        came with it. An arrow or another special key counts as none."""
        watched = [self._fd] if self._before is not None else []
        ready, _, _ = select.select(watched, [], [], within_s)
        if not ready:
            return
        typed = os.read(self._fd, 1024).decode(errors="ignore")
        if typed.startswith("\x1b["):
            return
        for key in typed:
            yield _SAME.get(key, key)
