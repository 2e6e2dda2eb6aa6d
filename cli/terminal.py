"""Where output goes: rich consoles on stdout and stderr that behave when they are piped."""

from __future__ import annotations

import contextlib
import errno
import os

from rich.console import Console, RenderableType

_PIPED_COLUMNS = 120


class _Console(Console):
    """A console that leaves a broken pipe to the command's own handling of it."""

    def on_broken_pipe(self) -> None:
        """Say so, instead of exiting with 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, err: bool = False) -> Console:
    """A console; without a terminal it is as wide as $COLUMNS says, else 120."""
    made = _Console(stderr=err, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_COLUMNS
    return made


def show(what: RenderableType, *, err: bool = False) -> None:
    """Print a table or a text."""
    console(err=err).print(what)


def show_long(what: RenderableType) -> None:
    """Print lines that someone will copy: never wrapped."""
    console().print(what, soft_wrap=True)


def waiting(text: str) -> contextlib.AbstractContextManager[object]:
    """On a terminal a line that says what is waited for, gone at the end."""
    screen = console(err=True)
    return screen.status(text) if screen.is_terminal else contextlib.nullcontext()
