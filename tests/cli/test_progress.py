"""What is said while a hub starts and stops."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from cli import progress
from cli.progress import Progress, summary
from hub.core.supervision import Child, State


def children(*states: State) -> list[Child]:
    return [Child(f"shard-{n}", 0, state, pid=100 + n) for n, state in enumerate(states)]


def test_the_summary_counts_and_names_who_is_waited_for() -> None:
    some = children(State.READY, State.STARTING, State.WAITING)
    text = summary(some, starting=True)
    assert text == "starting: 1 of 3 ready, waiting for shard-1, shard-2"


def test_the_summary_names_who_is_leaving() -> None:
    some = children(State.LEAVING, State.GONE)
    assert summary(some, starting=False) == "stopping: shard-0"
    assert summary(children(State.READY, State.BACKOFF), starting=False) == ""


def report(monkeypatch: pytest.MonkeyPatch, *steps: Sequence[Child], tty: bool) -> tuple[str, int]:
    """What is printed, and how often `ready` was called."""
    out, called = io.StringIO(), []
    screen = Console(file=out, width=100, force_terminal=tty)
    monkeypatch.setattr(progress, "console", lambda *, err: screen)
    with Progress(lambda: called.append(1)) as shown:
        for step in steps:
            shown.report(step)
    return out.getvalue(), len(called)


STEPS = (
    children(State.STARTING, State.WAITING),
    children(State.READY, State.STARTING),
    children(State.READY, State.READY),
    children(State.BACKOFF, State.READY),
    children(State.READY, State.READY),
)


def test_without_a_terminal_each_process_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text, ready = report(monkeypatch, *STEPS, tty=False)
    assert text == "shard-0 is ready (pid 100)\nshard-1 is ready (pid 101)\n"
    assert ready == 1


def test_on_a_terminal_a_line_changes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    text, ready = report(monkeypatch, *STEPS, tty=True)
    assert "starting: 1 of 2 ready, waiting for shard-1" in text
    assert "is ready (pid" not in text
    assert text.endswith("\x1b[2K")
    assert ready == 1
