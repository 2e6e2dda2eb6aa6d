"""The settings of a hub that may serve a checkout of OpenAlgo.

1. Sources in order of weakness: the defaults, the checkout's .env, the TOML file, the environment,
   flags. Where the checkout is comes from the last three.
2. Only who starts a process reads the checkout. Its children get all settings by their environment
   and load them with `hub.core.config.load`, so an .env changed meanwhile does not reach them.
3. Settings are shown and handed on, so no secret is one: whoever needs it reads the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.core import config
from hub.core.config import Given
from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.openalgo.checkout import Checkout, settings_of

_FEED = "openalgo"
_ANSWER_S = 60.0
"""What adapters may take to answer a subscribe: they ask their brokers symbol by symbol."""


def load(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from all sources; `openalgo.path` is the checkout's real place in them.

    Raises ConfigError with the problems of the checkout and of all sources.
    """
    placed, problems = _placed(file, environ, flags)
    weakest: dict[str, Given] = {}
    if placed.get("openalgo.path"):
        weakest["hub.feeds"] = Given("openalgo.path", [_FEED])
        weakest["upstream.answer_s"] = Given("openalgo.path", _ANSWER_S)
        try:
            weakest |= settings_of(Checkout.read(Path(placed["openalgo.path"])))
        except ConfigError as error:
            problems += error.problems
    return _loaded(file, environ, placed, weakest, problems)


def load_unread(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings without what the checkout says: enough to find the hub, whatever its state."""
    placed, problems = _placed(file, environ, flags)
    return _loaded(file, environ, placed, {}, problems)


def _placed(
    file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    """The flags with the whole paths of checkout and Python, where named, and what is wrong."""
    placed: dict[str, Any] = dict(flags or {})
    problems: list[str] = []
    for setting in ("openalgo.path", "openalgo.python"):
        given = config.said(setting, file, environ, flags)
        if not given:
            continue
        path = os.path.expanduser(given)  # noqa: PTH111  # Path.expanduser raises for no home
        if not os.path.isabs(path):  # noqa: PTH117
            problems.append(f"{setting} = {given!r}: is relative; write the whole path")
            placed[setting] = None
        elif setting == "openalgo.path":
            placed[setting] = os.path.realpath(path)
        else:
            placed[setting] = path  # a link stays one: it is what makes a virtual environment
    return placed, problems


def _loaded(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    weakest: Mapping[str, Given],
    problems: list[str],
) -> Settings:
    try:
        settings = config.load(file, environ, flags, weakest)
    except ConfigError as error:
        problems = [*problems, *error.problems]
    if problems:
        raise ConfigError(problems)
    return settings
