"""`hub openalgo`: what a checkout of OpenAlgo is like, and a hub installed beside its service."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import click

from cli.findings import picture
from cli.install import install
from cli.options import config_option, find_file, json_option, lines, python_option, whole
from cli.terminal import show_long
from hub.core.errors import ConfigError
from hub.openalgo import settings as sources
from hub.openalgo.checkout import Checkout
from hub.openalgo.ports import Holder, Kind, holder, user_name
from hub.openalgo.service import services
from hub.openalgo.survey import Finding, Scene, State, survey

_MEND = "mend what has a ✗, from the top, and look again"


@click.group(
    epilog=lines(
        "Examples:",
        "hub openalgo check /opt/openalgo",
        "sudo hub openalgo install /opt/openalgo --shards 4",
    )
)
def openalgo() -> None:
    """Check a checkout of OpenAlgo, and install a hub beside it."""


@openalgo.command(
    epilog=lines("Examples:", "hub openalgo check /opt/openalgo", "hub openalgo check . --json")
)
@click.argument("path", type=click.Path(path_type=Path))
@python_option
@json_option
@config_option
def check(
    *, path: Path, openalgo_python: Path | None, as_json: bool, config_file: Path | None
) -> None:
    """Say line by line what is found in PATH, and what to do next.

    Nothing is changed. The exit code is 1 when something is in the way of a hub.
    """
    findings, then = _look(path, openalgo_python, config_file)
    if as_json:
        rows = [finding._asdict() for finding in findings]
        click.echo(json.dumps({"findings": rows, "next": then}, indent=2))
    else:
        show_long(picture([(*finding,) for finding in findings], f"Next: {then}"))
    if then == _MEND:
        raise click.exceptions.Exit(1)


openalgo.add_command(install)


def _look(path: Path, python: Path | None, config_file: Path | None) -> tuple[list[Finding], str]:
    """All that can be found, and what comes next; of a folder that is no checkout, why."""
    try:
        flags = {"openalgo.path": whole(path), "openalgo.python": whole(python)}
        checkout = Checkout.read(path)
        settings = sources.load(config_file or find_file(), os.environ, flags)
    except ConfigError as error:
        findings = [Finding("settings", State.BAD, *p.split("; ", 1)) for p in error.problems]
        return findings, _MEND
    options = f" --openalgo-python {shlex.quote(str(python.absolute()))}" if python else ""
    options += f" --shards {os.cpu_count() or 1}"
    program = shlex.quote(os.environ.get("HUB_PROGRAM", "hub"))
    place = shlex.quote(str(checkout.root))
    install = f"sudo {program} openalgo install {place}{options}"
    scene = Scene(checkout, settings, services(checkout.root), install)
    findings = list(survey(scene))
    if any(finding.state is State.BAD for finding in findings):
        return findings, _MEND
    running = holder(settings.websocket.port, checkout.root)
    if running is not None and running.kind is Kind.HUB:
        return findings, f"a hub is there; see {_status(program, running, place)}"
    if any(not service.standalone for service in scene.services):
        return findings, install
    return findings, f"{program} start --openalgo {place}{options}"


def _status(program: str, running: Holder, place: str) -> str:
    """How to look at the hub that runs, whoever started it."""
    other = f"sudo -u {running.user} " * (running.user != user_name(os.geteuid()))
    where = running.runtime_dir
    option = f"--runtime-dir {shlex.quote(where)}" if where else f"--openalgo {place}"
    return f"{other}{program} status {option}"
