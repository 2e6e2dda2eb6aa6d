"""`hub openalgo install`: the systemd units of a hub beside OpenAlgo's service, and back again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.text import Text

from cli.options import find_file, lines, python_option, whole
from cli.terminal import show_long
from hub.auth.database import Database
from hub.core.errors import ConfigError, StartError
from hub.openalgo import settings as sources
from hub.openalgo import units
from hub.openalgo.checkout import Checkout, interpreter
from hub.openalgo.install import Change, apply, changes
from hub.openalgo.service import Service, services
from hub.openalgo.survey import PORTS, Scene, State, survey
from hub.runtime.paths import shut
from hub.runtime.process import said_by

_REPOSITORY = Path(__file__).resolve().parent.parent
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_SYSTEMCTL_S = 120.0


@click.command(
    epilog=lines(
        "Examples:",
        "hub openalgo install /opt/openalgo --dry-run",
        "sudo hub openalgo install /opt/openalgo --shards 4",
        "sudo hub openalgo install /opt/openalgo --undo",
    )
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--shards", type=click.IntRange(1), metavar="N", help="Shard processes.")
@python_option
@click.option("--service", metavar="NAME", help="OpenAlgo's service.  [default: found by PATH]")
@click.option("--undo", is_flag=True, help="Stop that hub and take all of it away again.")
@click.option("--start", is_flag=True, help="Also restart OpenAlgo and start the hub.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--root",
    "system",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    metavar="DIR",
    help="Write below this folder and leave systemd alone, as for an image.  [default: /]",
)
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
) -> None:
    """Run a hub beside the systemd service of the OpenAlgo in PATH, instead of its own proxy.

    Shows the units, the settings and the drop-in for OpenAlgo's service as a diff, and asks before
    it writes them. Nothing of OpenAlgo's is changed, and --undo takes all of it away again.
    """
    if undo and service:  # OpenAlgo's own unit may be gone
        found = Service(service.removesuffix(".service"), "", "", {})
    else:
        found = _service(Path(whole(path) or "/"), service, system)
    if undo:
        plan = None
        wanted: dict[Path, str | None] = dict.fromkeys(units.paths(found.name))
    else:
        plan = _plan(path, found, openalgo_python, shards)
        wanted = dict(units.files(plan, _templates()))
    what = changes(wanted, system)
    show_long(Text("\n").join(_diff(what)) if what else Text("Nothing is to be changed."))
    if dry_run or not (what or start):
        return
    if what:
        _consent(what, yes=yes)
    again = (system / units.target_path(found.name)).exists()
    control = Systemctl(real=system == Path("/"))
    if plan is None:
        _take_away(what, found, control, there=again, start=start)
        told = _undone(found, start=start)
    else:
        _put(what, found, control, start=start)
        told = _done(plan, start=start, again=again)
    show_long(Text("\n".join(told)))


class Systemctl:
    """systemd, if it is this machine's files that are changed. Raises StartError."""

    def __init__(self, *, real: bool) -> None:
        self._real = real

    def __call__(self, *words: str) -> None:
        """Run one command of it."""
        if self._real:
            try:
                said_by(["systemctl", *words], _SYSTEMCTL_S)
            except StartError as error:
                raise StartError(f"`systemctl {shlex.join(words)}`: {error}") from None


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


def _plan(path: Path, service: Service, python: Path | None, shards: int | None) -> units.Plan:
    """Raises ConfigError or StartError with all that is in the way."""
    flags = {"openalgo.path": whole(path), "openalgo.python": whole(python)}
    settings = sources.load(find_file(), os.environ, flags)
    checkout = Checkout.read(path)
    bad = [
        f"{finding.what}: {finding.found}; {finding.advice}"
        for finding in survey(Scene(checkout, settings, [service], ""))
        if finding.state is State.BAD and finding.what not in PORTS
    ]
    if bad:
        raise _refusal(bad)
    openalgo = interpreter(checkout.root, settings.openalgo.python)
    own = Path(sys.executable)
    plan = units.Plan(
        service,
        checkout.root,
        openalgo,
        shards or settings.hub.shards,
        _REPOSITORY,
        touched=(own.resolve(), openalgo.resolve()),
        writable=checkout.elsewhere(Database(checkout.database_url, checkout.root).file),
    )
    problems = units.problems(plan)
    for file in (_REPOSITORY / "scripts" / "hub", own, openalgo):
        if folder := shut(file, service.user or "root"):
            problems.append(
                f"{service.user} may not enter {folder}, where {file} is or leads to; have it "
                "where that user may go, such as /opt, or made with /usr/bin/python3"
            )
    if problems:
        raise _refusal(problems)
    return plan


def _refusal(problems: Sequence[str]) -> StartError:
    return StartError("\n".join(["nothing is written:", *(f"  - {one}" for one in problems)]))


def _templates() -> dict[str, str]:
    folder = _REPOSITORY / "systemd"
    try:
        return {name: (folder / name).read_text(encoding="utf-8") for name in units.UNITS}
    except OSError as error:
        raise StartError(
            f"{folder}: {error.strerror}; run this from a clone of the hub's repository"
        ) from None


def _diff(what: Sequence[Change]) -> Iterator[Text]:
    for change in what:
        for line in change.diff():
            yield Text(line, _STYLES.get(line[:1], ""))


def _consent(what: Sequence[Change], *, yes: bool) -> None:
    if yes:
        return
    written = [str(change.path) for change in what if change.after is not None]
    removed = [str(change.path) for change in what if change.after is None]
    for title, paths in (("To be written:", written), ("To be removed:", removed)):
        if paths:
            show_long(Text("\n".join(["", title, *(f"  {path}" for path in paths)])))
    if not sys.stdin.isatty():
        raise StartError("nothing is written without a terminal to ask at; add --yes")
    click.confirm("\nDo it?", abort=True)


def _done(plan: units.Plan, *, start: bool, again: bool) -> list[str]:
    """What to type then. `again`: the hub was installed before."""
    program, place = f"sudo {_REPOSITORY}/scripts/hub", shlex.quote(str(plan.checkout))
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
        f"  sudo -u {user} HUB_CONFIG=/{plan.settings} {_REPOSITORY}/scripts/hub status",
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
