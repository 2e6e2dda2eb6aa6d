"""`hub systemd`: the units of a hub are installed, shown, looked at and taken away again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from cli import render
from cli.options import json_option, lines
from cli.render import Column
from cli.systemd_install import install, plan_of, wish_of, wish_options
from cli.terminal import show, show_long
from cli.units import (
    REPOSITORY,
    Systemctl,
    consent,
    dry_run_option,
    name_option,
    program,
    root_option,
    see_that_this_is_root,
    show_changes,
    states,
    yes_option,
)
from hub.core.errors import NotRunning
from hub.systemd import plan as plans
from hub.systemd import units
from hub.systemd.files import apply, templates
from hub.systemd.plan import MARK
from hub.systemd.state import UnitState

_COLUMNS = (
    Column("unit", whole=True),
    Column("state"),
    Column("pid", right=True),
    Column("memory", right=True),
    Column("restarts", right=True),
    Column("since"),
)


@click.group(
    epilog=lines(
        "Examples:",
        "sudo hub systemd install --shards 4",
        "hub systemd show hub-shard@.service",
        "hub systemd status",
    )
)
def systemd() -> None:
    """Install a hub as systemd units, one for each process, and look at them.

    systemd starts it with the machine, starts again what ends or hangs, and keeps its log.
    """


systemd.add_command(install)


@systemd.command(
    "show",
    epilog=lines(
        "Examples:", "hub systemd show", "hub systemd show hub-shard@.service --user trader"
    ),
)
@click.argument("unit", required=False)
@wish_options
@root_option
def show_units(*, unit: str | None, system: Path, **wish: Any) -> None:
    """Print the units and the settings as `install` would write them; or one of them, UNIT."""
    plan = plan_of(wish_of(wish), system)
    made = units.files(plan.units, templates(REPOSITORY), MARK)
    made[plan.settings_path] = plan.settings
    found = {path: text for path, text in made.items() if unit in {None, path.name}}
    if not found:
        names = ", ".join(path.name for path in made)
        raise click.UsageError(f"There is no {unit!r}; there are {names}.")
    texts = [text if unit else f"# /{path}\n{text}" for path, text in found.items()]
    click.echo("\n".join(texts), nl=False)


@systemd.command(
    epilog=lines("Examples:", "hub systemd status", "hub systemd status --name second --json")
)
@name_option
@json_option
@root_option
def status(*, name: str, as_json: bool, system: Path) -> None:
    """Show how systemd says the units are.

    `hub status` is what the processes say of themselves. The exit code is 0 when all units are
    active, 1 when one is not, 69 when none are installed.
    """
    control = Systemctl(real=system == Path("/"))
    found = states(control, plans.instances(name, system))
    if as_json:
        click.echo(json.dumps([unit._asdict() for unit in found], indent=2))
    elif found:
        show(render.table(_COLUMNS, map(_row, found)))
    if not found:
        raise NotRunning(f"no units of a hub are installed; see `{program()} systemd install`")
    if not all(unit.active for unit in found):
        raise click.exceptions.Exit(1)


@systemd.command(
    epilog=lines("Examples:", "hub systemd uninstall --dry-run", "sudo hub systemd uninstall")
)
@name_option
@dry_run_option
@yes_option
@root_option
def uninstall(*, name: str, dry_run: bool, yes: bool, system: Path) -> None:
    """Stop a hub and take its units away.

    Its settings, its API keys and its user stay; what to type to have them gone, too, is said.
    """
    what = plans.gone(name, system)
    show_changes(what)
    if dry_run or not what:
        return
    real = system == Path("/")
    if real:
        see_that_this_is_root(["uninstall", *(["--name", name] if name != plans.NAME else [])])
    consent(what, yes=yes)
    control = Systemctl(real=real)
    installed = plans.instances(name, system)
    control("stop", *units.patterns(name), f"{name}.target")
    control("disable", *installed, f"{name}.target")
    apply(what)
    control("daemon-reload")
    place = plans.directory_of(name)
    show_long(
        Text(
            "\nTaken away. What stays, and what to type to have it gone, too:\n"
            f"  settings   sudo rm /{units.SETTINGS / name}.toml\n"
            f"  API keys   sudo rm -r /var/lib/{place}"
        )
    )


def _row(unit: UnitState) -> list[render.Cell]:
    style = "green" if unit.active else "bold red"
    return [
        unit.unit,
        Text(unit.state, style),
        render.figure(unit.pid or None),
        render.size(unit.memory_bytes),
        render.figure(unit.restarts),
        unit.since or render.ABSENT,
    ]
