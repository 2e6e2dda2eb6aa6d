"""The state of the hub's processes while it starts and stops, on stderr.

On a terminal one line that changes, else one line per process that is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from rich.status import Status

from cli.terminal import console
from hub.core.supervision import Child, State


class Progress:
    """Takes the supervisor's reports. `ready` is called once, when all are ready the first time.

    Use as a context: the changing line is gone at its end.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._console = console(err=True)
        self._status: Status | None = None
        self._told: set[str] = set()
        self.was_ready = False

    def __repr__(self) -> str:
        return f"<Progress {len(self._told)} told, {'ready' if self.was_ready else 'starting'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._show("")

    def report(self, children: Sequence[Child]) -> None:
        """The state of some child has changed."""
        self._tell(children)
        if not self.was_ready and all(child.state is State.READY for child in children):
            self.was_ready = True
            self._show("")
            self._ready()
        else:
            self._show(summary(children, starting=not self.was_ready))

    def _tell(self, children: Sequence[Child]) -> None:
        """Without a terminal: a line for each process when it is ready the first time."""
        for child in children:
            if child.state is State.READY and child.name not in self._told:
                self._told.add(child.name)
                if not self._console.is_terminal:
                    self._console.print(f"{child.name} is ready (pid {child.pid})")

    def _show(self, text: str) -> None:
        """Let the changing line say this; an empty text takes it away."""
        if not self._console.is_terminal:
            return
        if not text:
            if self._status is not None:
                self._status.stop()
                self._status = None
        elif self._status is None:
            self._status = self._console.status(text, spinner_style="cyan")
            self._status.start()
        else:
            self._status.update(text)


def summary(children: Sequence[Child], *, starting: bool) -> str:
    """What is going on, in a line; empty when nothing is that the log would not say."""
    leaving = [child.name for child in children if child.state is State.LEAVING]
    if leaving:
        return f"stopping: {', '.join(leaving)}"
    if not starting:
        return ""
    ready = sum(child.state is State.READY for child in children)
    waiting = [child.name for child in children if child.state is not State.READY]
    return f"starting: {ready} of {len(children)} ready, waiting for {', '.join(waiting)}"
