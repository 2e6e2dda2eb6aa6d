"""`hub openalgo install`: the systemd units of a hub beside OpenAlgo's service, and back again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from cli.machines import creds_problems, ingest_options, nats_flags
from cli.options import find_file, lines, python_option, whole
from cli.terminal import show_long
from cli.units import (
    PROGRAM,
    REPOSITORY,
    Systemctl,
    consent,
    dry_run_option,
    refusal,
    root_option,
    show_changes,
    shut_out,
    yes_option,
)
from hub.auth.database import Database
from hub.core.errors import ConfigError
from hub.core.settings import Nats
from hub.openalgo import settings as sources
from hub.openalgo import units
from hub.openalgo.checkout import Checkout, interpreter
from hub.openalgo.service import Service, services
from hub.openalgo.survey import PORTS, Scene, State, survey
from hub.systemd.files import Change, apply, changes, templates


@click.command(
    epilog=lines(
        "Examples:",
        "hub openalgo install /opt/openalgo --dry-run",
        "sudo hub openalgo install /opt/openalgo --shards 4",
        "sudo hub openalgo install /opt/openalgo --shards 0 --publish nats://nats-1",
        "sudo hub openalgo install /opt/openalgo --undo",
    )
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--shards", type=click.IntRange(0), metavar="N", help="Shard processes.")
@python_option
@click.option("--service", metavar="NAME", help="OpenAlgo's service.  [default: found by PATH]")
@ingest_options
@click.option("--undo", is_flag=True, help="Stop that hub and take all of it away again.")
@click.option("--start", is_flag=True, help="Also restart OpenAlgo and start the hub.")
@dry_run_option
@yes_option
@root_option
def install(
    *,
    path: Path,
    shards: int | None,
    openalgo_python: Path | None,
    service: str | None,
    undo: bool,
    start: bool,
    dry_run: bool,
    yes: bool,
    system: Path,
    **nats: Any,
) -> None:
    """Run a hub beside the systemd service of the OpenAlgo in PATH, instead of its own proxy.

    Shows the units, the settings and the drop-in for OpenAlgo's service as a diff, and asks before
    it writes them. Nothing of OpenAlgo's is changed, and --undo takes all of it away again.
    """
    if undo and service:  # OpenAlgo's own unit may be gone
        found = Service(service.removesuffix(".service"), "", "", {})
    else:
        found = _service(Path(whole(path) or "/"), service, system)
    wanted: dict[Path, str | None] = dict.fromkeys(units.paths(found.name))
    plan = None
    if not undo:
        flags = {"hub.shards": shards} | nats_flags(nats)
        plan = _plan(path, found, openalgo_python, flags)
        wanted |= units.files(plan, templates(REPOSITORY))
    what = changes(wanted, system, units.MARK)
    show_changes(what)
    if dry_run or not (what or start):
        return
    if what:
        consent(what, yes=yes)
    again = (system / units.target_path(found.name)).exists()
    control = Systemctl(real=system == Path("/"))
    if plan is None:
        _take_away(what, found, control, there=again, start=start)
        told = _undone(found, start=start)
    else:
        _put(what, found, control, start=start)
        told = _done(plan, start=start, again=again)
    show_long(Text("\n".join(told)))


def _put(what: Sequence[Change], found: Service, control: Systemctl, *, start: bool) -> None:
    apply(what)
    control("daemon-reload")
    if not start:
        return
    if not found.standalone:
        control("restart", found.name)
    control("enable", f"{found.name}-hub.target")
    control("stop", f"{found.name}-hub*")  # not the target: nobody would wait for what that stops
    control("start", f"{found.name}-hub.target")


def _take_away(
    what: Sequence[Change], found: Service, control: Systemctl, *, there: bool, start: bool
) -> None:
    if there:
        control("stop", f"{found.name}-hub*")
        control("disable", f"{found.name}-hub.target")
    apply(what)
    control("daemon-reload")
    if start:
        control("restart", found.name)


def _service(path: Path, name: str | None, system: Path) -> Service:
    """OpenAlgo's service. Raises ConfigError when it is not certain which that is."""
    found = services(path, system)
    if name:
        found = [one for one in found if one.name == name.removesuffix(".service")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.name for one in found)
        raise ConfigError([f"several services run {path}: {names}; name one by --service"])
    which = f"no systemd service {name} has" if name else "no systemd service has"
    problem = f"{which} {path} as its WorkingDirectory, so there is none to install "
    raise ConfigError([f"{problem}beside; without one, see docs/openalgo.md"])


def _plan(
    path: Path, service: Service, python: Path | None, flags: Mapping[str, Any]
) -> units.Plan:
    """Raises ConfigError or StartError with all that is in the way."""
    where = {"openalgo.path": whole(path), "openalgo.python": whole(python)}
    settings = sources.load(find_file(), os.environ, {**where, **flags})
    checkout = Checkout.read(path)
    bad = [
        f"{finding.what}: {finding.found}; {finding.advice}"
        for finding in survey(Scene(checkout, settings, [service], ""))
        if finding.state is State.BAD and finding.what not in PORTS
    ]
    if bad:
        raise refusal(bad)
    openalgo = interpreter(checkout.root, settings.openalgo.python)
    own = Path(sys.executable)
    plan = units.Plan(
        service,
        checkout.root,
        openalgo,
        settings.hub.shards,
        REPOSITORY,
        touched=(own.resolve(), openalgo.resolve(), *settings.nats.files),
        writable=checkout.elsewhere(Database(checkout.database_url, checkout.root).file),
        nats=_set(settings.nats),
    )
    problems = units.problems(plan)
    user, creds = service.user or "root", settings.nats.creds_file
    problems += shut_out(user, (PROGRAM, own, openalgo))
    problems += creds_problems(user, Path(creds) if creds else None)
    if problems:
        raise refusal(problems)
    return plan


def _set(nats: Nats) -> dict[str, Any]:
    """What is set of this section; nothing where nothing is published."""
    usual = Nats()
    names = [field.name for field in msgspec.structs.fields(Nats)] if nats.publish else []
    found = {name: getattr(nats, name) for name in names}
    return {name: value for name, value in found.items() if value != getattr(usual, name)}


def _done(plan: units.Plan, *, start: bool, again: bool) -> list[str]:
    """What to type then. `again`: the hub was installed before."""
    program, place = f"sudo {PROGRAM}", shlex.quote(str(plan.checkout))
    user = plan.service.user or "root"
    lines = ["\nDone."]
    if not start and again:
        lines += [
            "To let it count, which leaves clients without ticks for some seconds:",
            f"  sudo systemctl stop '{plan.name}*'",
            f"  sudo systemctl start {plan.target}",
        ]
    elif not start:
        lines += [
            "To change over, which leaves clients without ticks for some seconds:",
            f"  sudo systemctl restart {plan.service.name}",
            f"  sudo systemctl enable --now {plan.target}",
        ]
    return [
        *lines,
        "To see how it is:",
        f"  sudo -u {user} HUB_CONFIG=/{plan.settings} {PROGRAM} status",
        f"  journalctl -f -u '{plan.name}*'",
        "To go back to OpenAlgo's own proxy:",
        f"  {program} openalgo install {place} --undo",
        f"  sudo systemctl restart {plan.service.name}",
    ]


def _undone(service: Service, *, start: bool) -> list[str]:
    if start:
        return [f"\nTaken away. {service.name} was restarted and has its own proxy again."]
    return [
        "\nTaken away. OpenAlgo starts its own proxy again when it is restarted:",
        f"  sudo systemctl restart {service.name}",
    ]
