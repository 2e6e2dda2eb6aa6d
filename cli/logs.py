"""`hub logs`: what the processes of a hub have logged, from its log file or from the journal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from cli import complete
from cli.options import (
    config_option,
    json_option,
    lines,
    openalgo_option,
    runtime_option,
)
from cli.place import hub_dir, unread
from hub.core.errors import NotRunning, StartError
from hub.core.logline import LEVELS, LogLine, Reader, as_severe
from hub.runtime.logfile import log_path, older
from hub.systemd.journal import command, units_of

_LINES = 100
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ROLE = re.compile(r"supervisor|router|monitor|uplink|shard(-\d+)?|feed(-\S+)?")
_STYLES = {"debug": "blue", "info": "green", "warning": "yellow", "error": "red"}
_AGAIN_S = 0.25


class Wanted(NamedTuple):
    """Which lines are shown; empty is all."""

    roles: tuple[str, ...] = ()
    level: str = ""
    since: str = ""

    def takes(self, line: LogLine) -> bool:
        """Whether this is one of them."""
        return (
            (not self.roles or any(_is_of(line.role, role) for role in self.roles))
            and (not self.level or as_severe(line.level, self.level))
            and line.at >= self.since
        )


def _is_of(role: str, wanted: str) -> bool:
    """Whether it is that role, or one of that kind: `shard` is every shard."""
    return role == wanted or role.startswith(f"{wanted}-")


def _roles(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _ROLE.fullmatch(value):
            raise click.BadParameter(
                f"{value!r} is none; there are supervisor, router, monitor, uplink, shard, "
                "shard-0, feed, feed-bus and so on"
            )
    return values


def _since(_: click.Context, __: click.Parameter, value: str | None) -> str:
    return moment(value, datetime.now()) if value else ""  # noqa: DTZ005  # the log's own: local


def moment(text: str, now: datetime) -> str:
    """A time as the log has it, of `10m` (ago), `09:15` (today) or `2026-11-26 09:15`. Raises
    click.BadParameter."""
    try:
        if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text):
            return _text(now - timedelta(seconds=float(ago[1]) * _UNITS_S[ago[2]]))
        if re.fullmatch(r"\d?\d:\d\d(:\d\d)?", text):
            text = f"{now:%Y-%m-%d} {text:0>5}"
        return _text(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time; say 10m, 2h, 09:15 or '2026-11-26 09:15'"
        ) from None


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


@click.command(
    epilog=lines(
        "Examples:",
        "hub logs",
        "hub logs -f router shard-2",
        "hub logs --since 10m --level warning",
        "hub logs feed --since 09:15 --json",
    )
)
@click.argument("roles", nargs=-1, metavar="[ROLE]...", callback=_roles,
                shell_complete=complete.processes_and_supervisor)  # fmt: skip
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--since", metavar="TIME", callback=_since,
    help="No older lines: 10m, 2h, 1d (ago), 09:15 (today), '2026-11-26 09:15'.",
)  # fmt: skip
@click.option(
    "--level", type=click.Choice(LEVELS[:-1]), default=None, help="Only from this level on."
)
@click.option(
    "--lines", "-n", "count", type=click.IntRange(0), metavar="N",
    help="The last N of these lines.  [default: 100; all with --since]",
)  # fmt: skip
@json_option
@config_option
@openalgo_option
@runtime_option
def logs(
    *,
    roles: tuple[str, ...],
    follow: bool,
    since: str,
    level: str | None,
    count: int | None,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Show what the processes of a hub have logged; all of them, or each ROLE.

    A ROLE is supervisor, router, monitor, uplink, shard-0, feed-bus, or shard and feed for all of
    those.
    Under systemd this asks the journal, which root and the groups adm and systemd-journal may read.
    """
    place = hub_dir(runtime_dir, config_file, openalgo)
    count = count if count is not None or since else _LINES
    if units := units_of(place):
        _become(command(units, roles, follow=follow, since=since, level=level or "", lines=count,
                        as_json=as_json))  # fmt: skip
    path = log_path(unread(config_file, openalgo), place)
    if path is None:
        raise StartError(f'the hub at {place} keeps no log: hub.log_file is "none"')
    wanted = Wanted(roles, level or "", since)
    try:
        if not older(path):
            raise NotRunning(f"no hub has kept a log at {path}; `hub start` does")
        found, position = last(path, wanted, count)
        more = filter(wanted.takes, following(path, position)) if follow else ()
        for line in chain(found, more):
            click.echo(picture(line, as_json=as_json))
        if not found:
            click.echo(f"Nothing of that kind is in {path}.", err=True)
    except PermissionError as error:
        raise StartError(f"{error.filename}: you may not read it; type this with sudo") from None


def last(path: Path, wanted: Wanted, count: int | None) -> tuple[list[LogLine], tuple[int, int]]:
    """The last `count` lines that are wanted (None: all), and up to where they go in the file: its
    inode and the byte."""
    found: list[LogLine] = []
    position = (0, 0)
    for file in older(path):
        data = file.read_bytes()
        if file == path:
            position = (file.stat().st_ino, data.rfind(b"\n") + 1)
        found = [*filter(wanted.takes, read(data.decode(errors="replace").split("\n"))), *found]
        if count is not None and len(found) >= count:
            found = found[len(found) - count :]
            break
    return found, position


def read(texts: Iterable[str]) -> Iterator[LogLine]:
    """The lines of a log file."""
    reader = Reader()
    return (line for text in texts if (line := reader.kept(text)) is not None)


def following(path: Path, position: tuple[int, int]) -> Iterator[LogLine]:
    """The lines that come to a log file from there on, through its changes, for ever."""
    reader, (inode, at) = Reader(), position
    while True:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            now = os.fstat(file.fileno())
            if now.st_ino != inode:
                yield from filter(None, map(reader.kept, _missed(path, inode, at)))
                inode, at = now.st_ino, 0
            file.seek(at)
            *whole, _ = file.read().split(b"\n")
            at += sum(len(line) + 1 for line in whole)
            texts = (line.decode(errors="replace") for line in whole)
            yield from filter(None, map(reader.kept, texts))
        time.sleep(_AGAIN_S)


def _missed(path: Path, inode: int, at: int) -> list[str]:
    """What had come, until the file of today was made, to the one in which we were."""
    found: list[str] = []
    for file in older(path)[1:]:
        data = file.read_bytes()
        if file.stat().st_ino == inode:
            return data[at:].decode(errors="replace").split("\n") + found
        found = data.decode(errors="replace").split("\n") + found
    return found


def picture(line: LogLine, *, as_json: bool = False) -> str:
    """A line for the terminal, which has colours, or for a script."""
    if as_json:
        return json.dumps(line._asdict(), ensure_ascii=False)
    style = _STYLES.get(line.level, "red")
    level = "" if line.more else line.level.upper()
    return " ".join(
        [
            click.style(line.at, dim=True),
            click.style(f"{level:<7}", fg=style),
            click.style(f"{line.role:<10}", fg="cyan"),
            click.style(line.text, fg=style) if line.level not in {"debug", "info"} else line.text,
        ]
    )


def _become(argv: list[str]) -> NoReturn:
    """The journal's own command, which knows what this user may read."""
    try:
        os.execvp(argv[0], argv)  # noqa: S606  # a shell has no part in it
    except OSError as error:
        raise StartError(f"{argv[0]} cannot be run: {error.strerror}") from None
