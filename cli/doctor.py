"""`hub doctor`: what is in the way of a hub on this machine, or of a better one."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from cli import checks, findings, hubchecks
from cli.checks import Finding, Port, State
from cli.machine import look
from cli.options import (
    config_option,
    find_file,
    json_option,
    lines,
    load_settings,
    openalgo_option,
    runtime_option,
    whole,
)
from cli.place import hub_dir, runs
from cli.status import ask_status
from cli.terminal import show_long, waiting
from hub.core import config
from hub.core.errors import ConfigError, HubError
from hub.core.names import SHARD
from hub.core.settings import Settings
from hub.openalgo import survey
from hub.openalgo.checkout import Checkout
from hub.openalgo.ports import Kind, holder
from hub.openalgo.service import services
from hub.runtime.logfile import log_path

_STATES = {
    survey.State.FINE: State.OK,
    survey.State.LOOK: State.WARN,
    survey.State.BAD: State.BAD,
}


@click.command(epilog=lines("Examples:", "hub doctor", "sudo hub doctor", "hub doctor --json"))
@json_option
@config_option
@openalgo_option
@runtime_option
def doctor(
    *, as_json: bool, config_file: Path | None, openalgo: Path | None, runtime_dir: Path | None
) -> None:
    """Check this machine and this hub, and say what to type where something can be mended.

    No hub need run; of one that does more is looked at. Nothing is changed. The exit code is 1 when
    something is in the way of a hub.
    """
    with waiting("looking"):
        found = list(_examine(config_file, openalgo, runtime_dir))
    number = {state: sum(one.state is state for one in found) for state in State}
    if as_json:
        counts = {state.value: count for state, count in number.items()}
        click.echo(json.dumps({"findings": [one._asdict() for one in found], **counts}, indent=2))
    else:
        last = (
            f"{number[State.OK]} fine, {number[State.WARN]} to look at, "
            f"{number[State.BAD]} in the way of a hub"
        )
        show_long(findings.picture([(*one,) for one in found], last))
    if number[State.BAD]:
        raise click.exceptions.Exit(1)


def _examine(
    config_file: Path | None, openalgo: Path | None, runtime_dir: Path | None
) -> Iterator[Finding]:
    file = config_file or find_file()
    program = shlex.quote(os.environ.get("HUB_PROGRAM", "hub"))
    try:
        settings = load_settings(file, {"openalgo.path": whole(openalgo)})
        yield from hubchecks.settings_problems((), file)
        yield from hubchecks.feeds(settings)
    except ConfigError as error:
        yield from hubchecks.settings_problems(error.problems, file)
        settings = Settings()
    place, running = _place(config_file, openalgo, runtime_dir, settings)
    pid = 0
    if running and (os.access(place, os.X_OK) or not place.exists()):
        answer = _ask(place)
        yield from hubchecks.live(answer, place, program)
        pid = _a_pid(answer)
    yield from hubchecks.directory(place, running=running)
    yield from hubchecks.strays(place, running=running)
    if settings.hub.shards:
        yield hubchecks.keys(settings, place)
    yield from checks.ports(list(_ports(settings, place)))
    yield from hubchecks.software()
    yield from hubchecks.units(Path("/"), program)
    yield from _machine(settings, look(log_path(settings, place), pid), running=running)
    yield from _openalgo(settings)


def _machine(settings: Settings, machine: checks.Machine, *, running: bool) -> Iterator[Finding]:
    yield checks.descriptors(machine, settings)
    yield from checks.kernel(machine)
    yield from checks.clock(machine)
    yield from checks.cpu(machine, settings)
    yield checks.memory(machine, settings, running=running)
    yield from checks.disk(machine)


def _place(
    config_file: Path | None, openalgo: Path | None, runtime_dir: Path | None, settings: Settings
) -> tuple[Path, bool]:
    """The runtime directory of the hub that is meant, and whether it runs."""
    try:
        place = hub_dir(runtime_dir, config_file, openalgo)
    except ConfigError:
        place = hub_dir(Path(settings.hub.runtime_dir) if settings.hub.runtime_dir else None, None)
    return place, runs(place)


def _ask(place: Path) -> dict[str, Any] | HubError:
    try:
        return ask_status(place)
    except HubError as error:
        return error


def _a_pid(answer: dict[str, Any] | HubError) -> int:
    """A shard's, whose limits count; 0 when none is known."""
    if isinstance(answer, HubError):
        return 0
    shards = [one for one in answer["processes"] if str(one.get("name")).startswith(SHARD)]
    return next((int(one["pid"]) for one in shards if one.get("pid")), 0)


def _ports(settings: Settings, place: Path) -> Iterator[Port]:
    """Each port of the settings, with who listens there."""
    checkout = Path(settings.openalgo.path or os.devnull)
    for definition in config.definitions():
        unused = definition.section == "websocket" and not settings.hub.shards
        if definition.name != "port" or unused:
            continue
        section = getattr(settings, definition.section)
        found = holder(section.port, checkout) if section.port else None
        port = Port(definition.path, section.host, section.port)
        if found is None:
            yield port
            continue
        ours = None
        if found.kind is Kind.HUB and found.runtime_dir is not None:
            ours = found.runtime_dir == str(place)
        elif found.kind in {Kind.OTHER, Kind.OPENALGO}:
            ours = False
        who = f"{found.name or 'a process'}, pid {found.pid}"
        if found.kind is Kind.HUB and not ours:
            who = f"another hub, at {found.runtime_dir or 'a place that cannot be seen'} ({who})"
        yield port._replace(holder=who, ours=ours, pid=found.pid)


def _openalgo(settings: Settings) -> Iterator[Finding]:
    """What `hub openalgo check` says of the checkout, if there is one."""
    if not settings.openalgo.path:
        return
    with suppress(ConfigError):  # told already
        checkout = Checkout.read(Path(settings.openalgo.path))
        scene = survey.Scene(checkout, settings, services(checkout.root), "hub openalgo install")
        for what, state, found, advice in survey.survey(scene):
            if what not in survey.PORTS:
                yield Finding(f"OpenAlgo: {what}", _STATES[state], found, advice)
