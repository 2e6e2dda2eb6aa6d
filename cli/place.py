"""Which hub is meant: the one of a runtime directory, of a checkout of OpenAlgo, or that runs."""

from __future__ import annotations

import os
from pathlib import Path

from cli.monitor import listening
from cli.options import find_file, whole
from hub.core.errors import ConfigError, NotRunning
from hub.core.settings import Settings
from hub.core.supervision import hub_leave_s
from hub.openalgo import settings
from hub.runtime import lock, paths

_PATIENCE_S = 30.0
_MORE_S = 3.0
"""What the supervisor takes when its last process has left."""


def usual_dir(config_file: Path | None, openalgo: Path | None = None) -> Path:
    """The runtime directory that these name. It takes no .env, so a broken one hides no hub."""
    return paths.runtime_dir(unread(config_file, openalgo))


def hub_dir(
    runtime_dir: Path | None, config_file: Path | None, openalgo: Path | None = None
) -> Path:
    """The runtime directory of the hub that is meant; naming it needs no settings.

    When nothing names one and none runs at the usual place, the only one that runs for a checkout
    of OpenAlgo is meant. Raises NotRunning when there are several.
    """
    if runtime_dir:
        return runtime_dir
    said = unread(config_file, openalgo)
    usual = paths.runtime_dir(said)
    if said.hub.runtime_dir or said.openalgo.path or runs(usual):
        return usual
    running = [path for path in paths.instances() if runs(path)]
    if len(running) > 1:
        places = ", ".join(map(str, running))
        raise NotRunning(f"several hubs run here; name one of these by --runtime-dir: {places}")
    return running[0] if running else usual


def patience(config_file: Path | None, openalgo: Path | None = None) -> float:
    """How long a hub may take to stop, in seconds, by its settings as far as they can be read: 30,
    or longer where they let its processes take longer."""
    try:
        settings_ = unread(config_file, openalgo)
    except ConfigError:
        settings_ = Settings()
    return max(_PATIENCE_S, hub_leave_s(settings_) + _MORE_S)


def unread(config_file: Path | None, openalgo: Path | None) -> Settings:
    """The settings that these name, without what a checkout's .env says. Raises ConfigError."""
    flags = {"openalgo.path": whole(openalgo)}
    return settings.load_unread(config_file or find_file(), os.environ, flags)


def runs(runtime_dir: Path) -> bool:
    """Whether a hub has this directory, if only for a moment without a router."""
    try:
        return lock.holder(runtime_dir) is not None or listening(runtime_dir)
    except (OSError, NotRunning):
        return True  # something is there that this user may not look at; others have words for it
