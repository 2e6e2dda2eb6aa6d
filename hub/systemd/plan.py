"""What a hub of its own needs under systemd, by what is asked for and what is there already.

1. The settings file says how many shards and which feeds there are; it is the operator's, and only
   what the units depend on is changed in it.
2. What is not asked for stays as it is: shards, feeds, the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hub.core import config
from hub.core.errors import ConfigError
from hub.core.names import OPENALGO
from hub.core.settings import Settings
from hub.feeds import catalogue
from hub.systemd import settings as edits
from hub.systemd import units
from hub.systemd.files import Change, changes, read
from hub.systemd.units import SETTINGS, SYSTEM, Units

MARK = "# Written by `hub systemd install`; `hub systemd uninstall` takes it away."
NAME, USER = "hub", "shardhub"
"""What the names of the first hub of a machine begin with, and whom it runs as."""

_BY_HAND = "Description=Shardhub: "
"""How a line begins that each unit of systemd/ has, if somebody has copied it from there."""


class Wish(NamedTuple):
    """What is asked for; None and empty stand for what is there, or the default. `nats` are
    settings by their whole names."""

    shards: int | None = None
    feeds: tuple[str, ...] = ()
    user: str | None = None
    name: str = NAME
    nats: Mapping[str, Any] = {}


class Plan(NamedTuple):
    """The units, and the text of the settings file."""

    units: Units
    settings: str

    @property
    def settings_path(self) -> Path:
        """Where the settings file is, below the root of the file system."""
        return self.units.settings.relative_to("/")


def make(wish: Wish, repository: Path, system: Path, touched: tuple[Path, ...] = ()) -> Plan:
    """The plan for what is below `system`, the root of the file system. `touched` are files that
    the hub runs outside of its repository. Raises ConfigError, StartError."""
    path = SETTINGS / f"{wish.name}.toml"
    before = read(system / path)
    settings = _settings(wish, None if before is None else system / path)
    directory = directory_of(wish.name)
    values: dict[str, dict[str, object]] = {
        "hub": {
            "shards": settings.hub.shards,
            "feeds": settings.hub.feeds,
            "runtime_dir": f"/run/{directory}",
        },
        "keys": {"file": settings.keys.file or f"/var/lib/{directory}/keys.json"},
        "nats": {
            path.partition(".")[2]: value for path, value in wish.nats.items() if value is not None
        },
    }
    text, by_hand = edits.changed(before, values)
    problems = [
        f"{system / path}: say {line} there, for the units depend on it" for line in by_hand
    ]
    problems += units.unnameable((repository,))
    if problems:
        raise ConfigError(problems)
    made = Units(
        name=wish.name,
        directory=directory,
        user=wish.user or _user(wish.name, system) or USER,
        settings=Path("/") / path,
        repository=repository,
        shards=settings.hub.shards,
        feeds=tuple(settings.hub.feeds),
        uplink=settings.nats.publish,
        page="docs/operations.md",
        touched=(*touched, Path(str(values["keys"]["file"])), *settings.nats.files),
    )
    return Plan(made, text)


def directory_of(name: str) -> str:
    """The runtime and state directories of the hub of this name, below /run and /var/lib."""
    return USER if name == NAME else name


def due(plan: Plan, templates: Mapping[str, str], system: Path) -> list[Change]:
    """What is to be written. Raises StartError."""
    wanted: dict[Path, str | None] = dict.fromkeys(units.paths(plan.units.name))
    wanted |= units.files(plan.units, templates, MARK)
    path = system / plan.settings_path
    edit = Change(path, read(path), plan.settings)
    return [
        *changes(wanted, system, MARK, _BY_HAND),
        *([edit] if edit.before != edit.after else []),
    ]


def gone(name: str, system: Path) -> list[Change]:
    """What is to be removed so that the units of this hub are gone. Raises StartError."""
    return changes(dict.fromkeys(units.paths(name)), system, MARK, _BY_HAND)


def instances(name: str, system: Path) -> list[str]:
    """The units of the processes that are installed: those that the target wants, and those that
    somebody has enabled by hand. Raises StartError."""
    target = system / SYSTEM / f"{name}.target"
    found = units.wanted_by(read(target) or "")
    links = target.with_name(f"{target.name}.wants")
    by_hand = [path.name for path in links.iterdir()] if links.is_dir() else []
    return list(dict.fromkeys([*found, *sorted(by_hand)]))


def _settings(wish: Wish, file: Path | None) -> Settings:
    flags = {"hub.shards": wish.shards, "hub.feeds": list(wish.feeds) or None, **wish.nats}
    settings = config.load(file, {}, flags)
    if settings.openalgo.path or OPENALGO in settings.hub.feeds:
        place = settings.openalgo.path or "PATH"
        raise ConfigError(
            [f"a hub for OpenAlgo is installed by `hub openalgo install {place}`, as its user"]
        )
    catalogue.check(settings)
    return settings


def _user(name: str, system: Path) -> str:
    """Whom the hub runs as that is installed; empty when there is none."""
    found = re.search(
        r"^User=(\S+)$", read(system / SYSTEM / f"{name}-router.service") or "", re.MULTILINE
    )
    return found[1] if found else ""
