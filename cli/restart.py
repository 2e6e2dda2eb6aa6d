"""`hub restart`: processes of a running hub, one after another, each waited for.

Whoever keeps the hub running, its supervisor or systemd, starts again what has left; so this needs
neither root nor the names of units.

1. Which process it is, the monitor says. It is held by a pidfd, and told to leave only when the
   monitor has heard of it once more since (cli/hold).
2. The next one's turn comes when the one before is ready under another pid, and all shards are.
3. When one does not come back, it ends there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from cli import complete
from cli.hold import has_left, held, terminate
from cli.options import config_option, json_option, lines, openalgo_option, runtime_option
from cli.place import hub_dir, patience
from cli.status import ask_status
from cli.terminal import waiting
from hub.core.errors import HubError, NoAnswer, NotRunning
from hub.runtime.log import shown

_BACK_S = 30.0
"""How long a process may take until it is ready again, some crashes on the way included."""

_HEARD_S = 5.0
"""How long the monitor may hear nothing of one that lives."""

_LOOK_S = 0.1
_NEWS_S = 3.0
"""What the monitor says may be a few beats old."""

Row = Mapping[str, Any]


class Scene(NamedTuple):
    """The hub as its monitor knows it: how many shards it has, and each process by name."""

    shards: int
    rows: Mapping[str, Row]

    def away(self, besides: Sequence[str] = ()) -> list[str]:
        """The shards, and others, that are not ready just now."""
        names = [*self.shard_names(), *besides]
        return [name for name in names if not _serves(self.rows.get(name, {}))]

    def shard_names(self) -> list[str]:
        """All there should be."""
        return [f"shard-{number}" for number in range(self.shards)]


class Restarted(NamedTuple):
    """A process that is back."""

    name: str
    pid: int
    was_pid: int
    took_s: float


class NotBack(HubError):
    """A process has not come back; `last_lines` are those of its log."""

    def __init__(self, text: str, last_lines: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.last_lines = list(last_lines)


@click.command(
    epilog=lines(
        "Examples:",
        "hub restart --rolling             all shards, after an update for example",
        "hub restart shard-2",
        "hub restart router feed-bus monitor",
    )
)
@click.argument("names", nargs=-1, metavar="[PROCESS]...", shell_complete=complete.processes)
@click.option("--rolling", is_flag=True, help="All shards, never more than one away.")
@json_option
@config_option
@openalgo_option
@runtime_option
def restart(
    *,
    names: tuple[str, ...],
    rolling: bool,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Restart processes of a running hub, one after another.

    PROCESS is a name that `hub status` shows. Each is told to leave, which sends its clients to the
    other shards (close code 1012), and is waited for until it is ready again. What the
    settings say is read anew under systemd only; under `hub start` processes keep the settings it
    was started with.
    """
    _check(names, rolling=rolling)
    directory = hub_dir(runtime_dir, config_file, openalgo)

    def look() -> Scene:
        answer = ask_status(directory)
        rows = {str(row.get("name")): row for row in answer["processes"]}
        return Scene(int(answer["hub"].get("shards", 0)), rows)

    left = _chosen(_settled(look, names), names)
    leave_s = patience(config_file, openalgo)
    done: list[Restarted] = []
    while left:
        try:
            done.append(_restart(left[0], left[1:2], look, leave_s))
        except HubError as error:
            _give_up(error, done, left, as_json=as_json)
        left.pop(0)
        if not as_json:
            click.echo(_told(done[-1]))
    if as_json:
        click.echo(_as_json(done, None, []))


def _check(names: Sequence[str], *, rolling: bool) -> None:
    """Raises UsageError for what no hub could do."""
    if bool(names) == rolling:
        raise click.UsageError(
            "Name the processes to restart, as in `hub restart shard-2`, or type "
            "`hub restart --rolling` for all shards."
        )
    if "supervisor" in names:
        raise click.UsageError(
            "The supervisor is restarted with all of the hub: type `hub stop`, then "
            "`hub start`; under systemd `systemctl restart hub.service`."
        )


def _settled(look: Callable[[], Scene], names: Sequence[str]) -> Scene:
    """The hub, as soon as what is to be restarted is ready: these, or all shards. As it is after a
    while if that is not so: a new monitor has not heard of everybody yet."""
    deadline_s = time.monotonic() + _NEWS_S
    while time.monotonic() < deadline_s:
        scene = look()
        if all(_serves(scene.rows.get(name, {})) for name in names or scene.shard_names()):
            return scene
        time.sleep(_LOOK_S)
    return look()


def _chosen(scene: Scene, names: Sequence[str]) -> list[str]:
    """Which processes to restart; all shards when none is named. Raises UsageError, HubError."""
    for name in names:
        if name not in scene.rows:
            there = ", ".join(other for other in scene.rows if other != "supervisor")
            raise click.UsageError(f"There is no process {name!r} here, only {there}.")
    if names:
        return list(dict.fromkeys(names))
    if not scene.shards:
        raise click.UsageError(
            "This hub has no shards; name a process, as in `hub restart router`."
        )
    away = scene.away()
    if away:
        raise HubError(
            f"{', '.join(away)} not ready: with another one two would be away; nothing was "
            "restarted; see `hub status`"
        )
    return scene.shard_names()


def _restart(
    name: str, then: Sequence[str], look: Callable[[], Scene], leave_s: float
) -> Restarted:
    """Restart one process, and wait until those of `then` may be restarted. Raises HubError."""
    row = look().rows.get(name, {})
    if row.get("state") != "ready" or not row.get("pid"):
        raise HubError(
            f"{name} is not ready ({row.get('state', 'unknown')}); whoever keeps the hub running "
            "starts it again; see `hub status`"
        )
    pid, began_s = int(row["pid"]), time.monotonic()
    gone = HubError(f"{name} has just left by itself (pid {pid}); look at `hub status`")
    still = partial(_heard_again, name, pid, look)
    with waiting(f"{name} is leaving (pid {pid})"), held(pid, still, gone) as fd:
        terminate(fd, pid)
        if not has_left(fd, leave_s):
            raise NotBack(f"{name} has not left within {leave_s:g} s (pid {pid})")
    with waiting(f"{name} is starting"):
        new_pid = _back(name, pid, look, then)
    return Restarted(name, new_pid, pid, time.monotonic() - began_s)


def _heard_again(name: str, pid: int, look: Callable[[], Scene]) -> bool:
    """Whether this process has said since now that it is the one. Raises HubError when it says
    nothing."""
    began_s = asked_s = time.monotonic()
    while asked_s - began_s < _HEARD_S:
        row = look().rows.get(name, {})
        if row.get("pid") != pid:
            return False
        age_s = row.get("beat_age_s")
        if age_s is not None and age_s < asked_s - began_s:
            return True
        time.sleep(_LOOK_S)
        asked_s = time.monotonic()
    raise HubError(
        f"{name} does not answer (pid {pid}); whoever keeps the hub running ends it within 30 s "
        "and starts it again"
    )


def _back(name: str, old_pid: int, look: Callable[[], Scene], then: Sequence[str]) -> int:
    """Wait until the process is ready under another pid, and all shards are and those of `then`;
    that pid. For a while nobody may be there to be asked. Raises NotBack."""
    row: Row = {}
    away: list[str] = []
    deadline_s = time.monotonic() + _BACK_S
    while time.monotonic() < deadline_s:
        try:
            scene = look()
        except (NotRunning, NoAnswer):
            pass
        else:
            row, away = scene.rows.get(name, {}), scene.away(then)
            if row.get("pid") != old_pid and _serves(row) and not away:
                return int(row["pid"])
        time.sleep(_LOOK_S)
    if row.get("pid") != old_pid and _serves(row):
        raise NotBack(f"{name} is back, but not ready after {_BACK_S:g} s: {', '.join(away)}")
    state = row.get("state", "unknown")
    raise NotBack(
        f"{name} has not come back within {_BACK_S:g} s ({state})", row.get("last_lines") or ()
    )


def _serves(row: Row) -> bool:
    """Whether it is ready; a shard counts its clients from when it lets them in."""
    return row.get("state") == "ready" and (row.get("role") != "shard" or "clients" in row)


def _give_up(
    error: HubError, done: Sequence[Restarted], left: Sequence[str], *, as_json: bool
) -> None:
    """Say what went wrong, and what has not been restarted."""
    last_lines = [shown(str(line)) for line in getattr(error, "last_lines", ())]
    if as_json:
        failed = {"name": left[0], "why": str(error), "last_lines": last_lines}
        click.echo(_as_json(done, failed, left[1:]))
        raise click.exceptions.Exit(1)
    said = [str(error)]
    if last_lines:
        said += ["last lines of its log:", *(f"    {line}" for line in last_lines)]
    if left[1:]:
        said.append(f"not restarted: {', '.join(left[1:])}")
    raise HubError("\n".join(said))


def _told(one: Restarted) -> str:
    return f"{one.name} is back (pid {one.pid}, was {one.was_pid}) after {one.took_s:.1f} s"


def _as_json(done: Sequence[Restarted], failed: dict[str, Any] | None, left: Sequence[str]) -> str:
    rows = [one._asdict() | {"took_s": round(one.took_s, 3)} for one in done]
    return json.dumps({"restarted": rows, "failed": failed, "not_restarted": list(left)}, indent=2)
