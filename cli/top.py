"""`hub top`: processes, symbols and clients, live."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.live import Live

from cli import topview
from cli.keyboard import Keyboard
from cli.monitor import ask_monitor
from cli.options import config_option, json_option, lines, openalgo_option, runtime_option
from cli.place import hub_dir
from cli.terminal import console, show, waiting
from cli.topview import SORTS, VIEWS, State
from hub.core.errors import NoAnswer, NotRunning

_COUNTED_S = 2.2
_BLINK_S = 0.1


@click.command(
    epilog=lines(
        "Keys:",
        "p s c     processes, symbols, clients; Tab goes through them",
        "o r       another order; the reverse",
        "/         filter by a part of the name; Esc takes it away",
        "space     hold still, and go on",
        "q         quit",
    )
    + lines(
        "Examples:",
        "hub top                              live",
        "hub top --view clients --sort out    who is sent most",
        "hub top --once | head -20            a snapshot, as without a terminal",
        "hub top --json | jq '.hottest[0]'",
    )
)
@click.option(
    "--view", type=click.Choice(VIEWS), default=VIEWS[0], show_default=True, help="What to show."
)
@click.option("--sort", metavar="COLUMN", help="Order by this column, highest first.")
@click.option("--filter", "wanted", default="", metavar="TEXT", help="Only names with this in it.")
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 60),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print once and end.")
@json_option
@config_option
@openalgo_option
@runtime_option
def top(
    *,
    view: str,
    sort: str | None,
    wanted: str,
    interval: float,
    once: bool,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Show processes, symbols and clients, live.

    Which symbols tick most, and which clients are slow, is counted only while somebody looks: the
    first figures of both come after two seconds.
    """
    if sort is not None and sort not in SORTS[view]:
        raise click.BadParameter(f"one of {', '.join(SORTS[view])}", param_hint="--sort")
    directory = hub_dir(runtime_dir, config_file, openalgo)
    state = State(view, sort or SORTS[view][0], wanted)
    if as_json or once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        board = _counted(directory)
        if as_json:
            click.echo(json.dumps(board, indent=2))
        else:
            show(topview.picture(board, state, console().width, 0))
        return
    _live(directory, state, interval)


def _ask(directory: Path) -> dict[str, Any]:
    board: dict[str, Any] = ask_monitor(directory, {"t": "board"})["board"]
    return board


def _counted(directory: Path) -> dict[str, Any]:
    """The board with what is counted only while somebody looks."""
    with waiting("counting for two seconds ..."):
        _ask(directory)
        time.sleep(_COUNTED_S)
        return _ask(directory)


def _live(directory: Path, state: State, interval_s: float) -> None:
    screen = console()
    board = _ask(directory)
    with (
        Keyboard() as keyboard,
        Live(console=screen, screen=True, auto_refresh=False, transient=True) as live,
    ):
        next_s = time.monotonic() + interval_s
        while not state.over:
            live.update(topview.picture(board, state, screen.width, screen.height), refresh=True)
            while (now_s := time.monotonic()) < next_s and not _typed(keyboard, state):
                pass
            if now_s >= next_s:
                board = board if state.held else _again(directory, board, state)
                next_s = time.monotonic() + interval_s


def _typed(keyboard: Keyboard, state: State) -> bool:
    """Wait for keys a little; whether something is to be shown anew at once."""
    keys: Sequence[str] = [*keyboard.pressed(_BLINK_S)]
    for key in keys:
        state.press(key)
    return bool(keys)


def _again(directory: Path, board: dict[str, Any], state: State) -> dict[str, Any]:
    """The next board; while the monitor is away the one before, and a word about it."""
    try:
        found = _ask(directory)
    except (NoAnswer, NotRunning) as error:
        state.problem = str(error)
        return board
    state.problem = ""
    return found
