"""`hub systemd install`: from what is asked for to units that run."""

from __future__ import annotations

import pwd
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from cli import complete
from cli.machines import creds_problems, machine_options, nats_flags, with_others
from cli.options import lines
from cli.terminal import show_long
from cli.units import (
    PROGRAM,
    REPOSITORY,
    Systemctl,
    consent,
    dry_run_option,
    name_option,
    refusal,
    root_option,
    see_that_this_is_root,
    show_changes,
    shut_out,
    states,
    yes_option,
)
from hub.core.errors import StartError
from hub.core.hot import COMPILED
from hub.runtime.process import said_by
from hub.systemd import plan as plans
from hub.systemd import units
from hub.systemd.files import apply, templates
from hub.systemd.plan import Plan, Wish

_BOOTED = Path("run/systemd/system")
"""It is there while systemd runs the machine (sd_booted(3))."""
_PATIENCE_S = 30.0
_ALL_IN_ONE = units.SYSTEM / "hub.service"


_WISHES = (
    click.option(
        "--shards",
        type=click.IntRange(0, 64),
        metavar="N",
        help="Shard processes.  [default: as the settings file says, else 4]",
    ),
    click.option(
        "--feed",
        "feeds",
        multiple=True,
        metavar="NAME",
        shell_complete=complete.feeds,
        help="Feed to run; repeatable.  [default: as the settings file says, else bus]",
    ),
    click.option(
        "--user",
        metavar="NAME",
        help="Whom it runs as; made if need be.  [default: as it is installed, else shardhub]",
    ),
    name_option,
    machine_options,
)


def wish_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say what is installed."""
    return reduce(lambda made, option: option(made), reversed(_WISHES), function)


@click.command(
    epilog=lines(
        "Examples:",
        "hub systemd install --dry-run",
        "sudo hub systemd install --shards 4",
        "sudo hub systemd install --shards 8 --feed bus --feed sim --user trader --yes",
        "sudo hub systemd install --shards 0 --feed bus --publish nats://nats-1",
        "sudo hub systemd install --shards 8 --bus nats://nats-1",
    )
)
@wish_options
@click.option("--no-start", is_flag=True, help="Write and enable it, and start nothing.")
@dry_run_option
@yes_option
@root_option
def install(*, no_start: bool, dry_run: bool, yes: bool, system: Path, **wish: Any) -> None:
    """Write the units of a hub, enable and start them.

    All that would be written is shown as a diff first. Typed again, with another number of shards
    or after an update of the hub, it changes what is there; shards that are too many go.
    """
    plan = plan_of(wish_of(wish), system)
    what = plans.due(plan, templates(REPOSITORY), system)
    show_changes(what)
    if dry_run:
        return
    real = system == Path("/")
    _see_that_it_can_be(plan, wish, system)
    useradd = _useradd(plan.units.user) if real else []
    if what or useradd:
        consent(what, yes=yes, besides=[shlex.join(useradd)] if useradd else [])
    before = plans.instances(plan.units.name, system)
    if useradd:
        _run(useradd)
    apply(what)
    control = Systemctl(real=real)
    _let_it_count(plan, control, before, changed=bool(what), start=not no_start)
    if real and not no_start:
        _see_that_it_runs(plan, control)
    show_long(Text("\n".join(_done(plan, started=real and not no_start))))


def wish_of(given: Mapping[str, Any]) -> Wish:
    """What these options ask for."""
    feeds = tuple(with_others(given["feeds"], given["bus"]))
    return Wish(given["shards"], feeds, given["user"], given["name"], nats_flags(given))


def plan_of(wish: Wish, system: Path) -> Plan:
    """What is to be. Raises ConfigError, StartError."""
    return plans.make(wish, REPOSITORY, system, (Path(sys.executable).resolve(),))


def _see_that_it_can_be(plan: Plan, wish: Mapping[str, Any], system: Path) -> None:
    """Raises StartError with all that is in the way."""
    problems: list[str] = []
    if system == Path("/"):
        if not (system / _BOOTED).is_dir():
            raise StartError(
                "systemd does not run this machine; `hub start` keeps a hub running without it, "
                "and --dry-run shows the units"
            )
        see_that_this_is_root(["install", *_typed(wish)])
        problems += shut_out(plan.units.user, (PROGRAM, Path(sys.executable)))
        problems += creds_problems(plan.units.user, wish.get("nats_creds"))
    if plan.units.name == plans.NAME and (system / _ALL_IN_ONE).exists():
        problems.append(
            f"/{_ALL_IN_ONE} is there, all of the hub in one unit, and it is one or the other; "
            f"type: sudo systemctl disable --now hub.service && sudo rm /{_ALL_IN_ONE}"
        )
    if problems:
        raise refusal(problems)
    if not COMPILED:
        click.echo(
            "The tick path is not compiled, which costs up to half more CPU, and the hub's user "
            f"may not compile it; type: sudo apt install gcc python3-dev && sudo {PROGRAM} "
            "--version",
            err=True,
        )


def _typed(wish: Mapping[str, Any]) -> list[str]:
    """The options as they were typed."""
    found = []
    for name, value in wish.items():
        option = "--feed" if name == "feeds" else f"--{name.replace('_', '-')}"
        many = value if isinstance(value, list | tuple) else [value]
        usual = name == "name" and value == plans.NAME
        found += [word for one in many if one is not None and not usual for word in (option, one)]
    return [*map(str, found)]


def _useradd(user: str) -> list[str]:
    """The command that makes this user; empty when there is one."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        home = f"/var/lib/{user}"
        return ["useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin", user]
    return []


def _let_it_count(
    plan: Plan, control: Systemctl, before: Sequence[str], *, changed: bool, start: bool
) -> None:
    """Have systemd read the units, and run what they say and nothing else."""
    target = plan.units.target
    surplus = [one for one in before if one not in plan.units.instances]
    control("daemon-reload")
    if surplus:
        control("disable", "--now", *surplus)
    control("enable", target)
    if not start:
        return
    if before and changed:  # not the target: nobody would wait for what that stops
        control("stop", *units.patterns(plan.units.name))
    control("start", target)


def _see_that_it_runs(plan: Plan, control: Systemctl) -> None:
    """Raises StartError when a unit is not active."""
    for unit in states(control, plan.units.instances):
        if not unit.active:
            code = f" with code {unit.code}" if unit.code else ""
            raise StartError(
                f"{unit.unit} is not up ({unit.state}{code}); see `journalctl -n 20 -u {unit.unit}`"
            )


def _done(plan: Plan, *, started: bool) -> list[str]:
    """What to type then."""
    made = plan.units
    config = "" if made.name == plans.NAME else f" --config {made.settings}"
    rows = [] if started else [("start it", f"sudo systemctl start {made.target}")]
    if not (shutil.which("hub") or made.name != plans.NAME):
        rows.append(("have `hub` found", f"sudo ln -s {PROGRAM} /usr/local/bin/hub"))
    rows += [
        ("see how it is", f"sudo {PROGRAM} status{config}"),
        ("read what it says", f"sudo {PROGRAM} logs -f{config}"),
    ]
    if made.shards:
        rows += [
            ("add an API key", f"sudo -u {made.user} {PROGRAM} keys add algo{config}"),
            ("restart one shard", f"sudo systemctl restart {made.name}-shard@0"),
        ]
    rows += [
        ("change settings", f"sudoedit {made.settings}"),
        ("let them count", f"sudo systemctl restart {made.target}"),
    ]
    width = max(len(what) for what, _ in rows)
    return [f"\nDone. {len(made.instances)} units run as {made.user} with the machine." if started
            else "\nDone.", *(f"  {what:<{width}}  {how}" for what, how in rows)]  # fmt: skip


def _run(command: Sequence[str]) -> None:
    """Run a command of this machine. Raises StartError."""
    try:
        said_by(command, _PATIENCE_S)
    except StartError as error:
        raise StartError(f"`{shlex.join(command)}`: {error}") from None
