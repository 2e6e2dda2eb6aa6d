"""`hub router`, `hub shard N`, `hub feed NAME`, `hub uplink`, `hub monitor`: for systemd's units.

The process becomes the role (execve), so that the pid systemd knows stays the one that serves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from cli.options import config_option, load_settings
from hub.core.config import environment
from hub.core.errors import ConfigError
from hub.core.names import FEED, SHARD, UPLINK
from hub.core.settings import Settings
from hub.core.supervision import command, wanted

_Command = TypeVar("_Command", bound=Callable[..., None])


def _hidden(function: _Command) -> click.Command:
    return click.command(hidden=True)(config_option(function))


@_hidden
def router(*, config_file: Path | None) -> None:
    """Become the router. systemd's hub-router.service runs this."""
    _become("router", load_settings(config_file))


@_hidden
@click.argument("number", type=click.IntRange(0))
def shard(*, number: int, config_file: Path | None) -> None:
    """Become shard NUMBER. systemd's hub-shard@.service runs this."""
    _become(f"{SHARD}{number}", load_settings(config_file))


@_hidden
@click.argument("name")
def feed(*, name: str, config_file: Path | None) -> None:
    """Become the host of feed NAME. systemd's hub-feed@.service runs this."""
    _become(f"{FEED}{name}", load_settings(config_file))


@_hidden
def uplink(*, config_file: Path | None) -> None:
    """Become the uplink to other machines. systemd's hub-uplink.service runs this."""
    _become(UPLINK, load_settings(config_file))


@_hidden
def monitor(*, config_file: Path | None) -> None:
    """Become the monitor. systemd's hub-monitor.service runs this."""
    _become("monitor", load_settings(config_file))


def _become(name: str, settings: Settings) -> NoReturn:
    """Raises ConfigError when the settings know no process of that name."""
    names = [child.name for child in wanted(settings)]
    if name not in names:
        raise ConfigError([f"these settings know no {name}, only {', '.join(names)}"])
    argv = command(name)
    os.execvpe(argv[0], argv, os.environ | environment(settings))  # noqa: S606  # a shell has no part in it
