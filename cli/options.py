"""What the commands share: their options, and where the settings come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.openalgo import settings

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_MACHINE = Path("/etc/shardhub/hub.toml")

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="HUB_CONFIG",
    metavar="FILE",
    help="Settings to read. Default: $HUB_CONFIG, else ~/.config/shardhub/hub.toml, else "
    "/etc/shardhub/hub.toml, whichever exists first.",
)

runtime_option = click.option(
    "--runtime-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the hub has its sockets and locks. Default: as the settings say.",
)

openalgo_option = click.option(
    "--openalgo",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The hub that serves the checkout of OpenAlgo in this folder.  "
    "[default: $HUB_OPENALGO_PATH, else as the settings say]",
)

python_option = click.option(
    "--openalgo-python",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Python that OpenAlgo runs with.  [default: the one of the checkout's .venv]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def lines(title: str, *rest: str) -> str:
    """A paragraph of help whose lines stay as they are, such as examples."""
    return "\n".join(["\b", title, *(f"  {line}" for line in rest)]) + "\n\n"


def seconds(_: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A time such as 90s, 10m, 2h or 1h30m, in seconds. Raises BadParameter."""
    if value is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", value)
    if not parts or "".join(map("".join, parts)) != value:
        raise click.BadParameter(f"{value!r} is no time such as 90s, 10m or 1h30m", param=param)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def find_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The settings file that is used when none is named, None when there is none."""
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME", "/"), ".config")
    return next((path for path in (base / "shardhub/hub.toml", _MACHINE) if path.is_file()), None)


def load_settings(config_file: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from the checkout of OpenAlgo, if the others name one, the file (the one that
    is found if None), the environment and flags.
    """
    return settings.load(config_file or find_file(), os.environ, flags)


def whole(path: Path | None) -> str | None:
    """A path from the command line as a setting; None is not given. Raises ConfigError."""
    try:
        return str(path.absolute()) if path else None
    except FileNotFoundError:
        problem = f"{path}: the folder you are in is gone; go to another, or write the whole path"
        raise ConfigError([problem]) from None
