"""What `hub systemd` and `hub openalgo install` share: the diff that is shown, the question whether
to write, and systemctl.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.text import Text

from cli.terminal import show_long, waiting
from hub.core.errors import StartError
from hub.runtime.paths import shut
from hub.runtime.process import said_by
from hub.systemd import plan as plans
from hub.systemd import state, units
from hub.systemd.files import Change

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = REPOSITORY / "scripts" / "hub"

_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_SYSTEMCTL_S = 120.0

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be written, and write nothing."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
root_option = click.option(
    "--root",
    "system",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    metavar="DIR",
    help="Write below this folder and leave systemd alone, as for an image.  [default: /]",
)


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not units.plain(value) or set("/@.:,+") & set(value):
        raise click.BadParameter("it may have letters, digits, - and _")
    return value


name_option = click.option(
    "--name",
    default=plans.NAME,
    metavar="NAME",
    callback=_name,
    help="What the names of units and files begin with, for a second hub.  [default: hub]",
)


class Systemctl:
    """systemd, if it is this machine's files that are changed."""

    def __init__(self, *, real: bool) -> None:
        self._real = real

    def __call__(self, *words: str) -> str:
        """Run one command of it; what it prints. Raises StartError."""
        if not self._real:
            return ""
        command = f"systemctl {shlex.join(words)}"
        try:
            with waiting(command):
                return said_by(["systemctl", *words], _SYSTEMCTL_S)
        except StartError as error:
            raise StartError(f"`{command}`: {error}") from None


def show_changes(what: Sequence[Change]) -> None:
    """What would be written, as a diff."""
    show_long(Text("\n").join(_diff(what)) if what else Text("Nothing is to be changed."))


def consent(what: Sequence[Change], *, yes: bool, besides: Sequence[str] = ()) -> None:
    """Ask whether to write these files and to do what is said besides. Raises StartError, or
    click.Abort for a no."""
    if yes:
        return
    written = [str(change.path) for change in what if change.after is not None]
    removed = [str(change.path) for change in what if change.after is None]
    titles = (("To be written:", written), ("To be removed:", removed), ("To be done:", besides))
    for title, rows in titles:
        if rows:
            show_long(Text("\n".join(["", title, *(f"  {row}" for row in rows)])))
    if not sys.stdin.isatty():
        raise StartError("nothing is written without a terminal to ask at; add --yes")
    click.confirm("\nDo it?", abort=True)


def refusal(problems: Sequence[str]) -> StartError:
    """The error that says why nothing is written."""
    return StartError("\n".join(["nothing is written:", *(f"  - {one}" for one in problems)]))


def shut_out(user: str, files: Sequence[Path]) -> Iterator[str]:
    """Why this user could not run or read these files."""
    for file in files:
        if folder := shut(file, user):
            yield (
                f"{user} may not enter {folder}, where {file} is or leads to; have it "
                "where that user may go, such as /opt, or made with /usr/bin/python3"
            )


def states(control: Systemctl, instances: Sequence[str]) -> list[state.UnitState]:
    """How these units are, as far as systemd may be asked. Raises StartError."""
    if not instances:
        return []
    return state.read(control("show", f"--property={','.join(state.PROPERTIES)}", *instances))


def see_that_this_is_root(typed: Sequence[str]) -> None:
    """Raises StartError that names the command with sudo."""
    if os.geteuid() != 0:
        command = shlex.join(["sudo", program(), "systemd", *typed])
        raise StartError(f"nothing is written, for that takes root; type: {command}")


def program() -> str:
    """What a person types to run a command of the hub."""
    return os.environ.get("HUB_PROGRAM", "hub")


def _diff(what: Sequence[Change]) -> Iterator[Text]:
    for change in what:
        for line in change.diff():
            yield Text(line, _STYLES.get(line[:1], ""))
