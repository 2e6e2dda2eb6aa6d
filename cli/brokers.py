"""The options of brokers that the hub reaches by itself: `--angel-url` and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.options import whole
from hub.brokers.catalogue import NAMES
from hub.core.settings import Account

_WORDS = [field.name for field in msgspec.structs.fields(Account)]


def broker_options(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each setting of each broker. They are many and seldom needed, so the help
    tells of them in one line."""
    return reduce(lambda made, option: option(made), _options(), function)


def _options() -> Iterator[Callable[..., Any]]:
    for broker in NAMES:
        for word in _WORDS:
            many = word == "credentials"
            name = f"--{broker}-{word.replace('_', '-')}"
            kind = int if word == "sockets" else str
            yield click.option(name, f"{broker}_{word}", type=kind, multiple=many, hidden=True)


def broker_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as settings; None is not given."""
    flags: dict[str, Any] = {}
    for broker in NAMES:
        for word in _WORDS:
            value = given.get(f"{broker}_{word}")
            if isinstance(value, tuple):
                value = [place if ":" in place else whole(Path(place)) for place in value] or None
            flags[f"{broker}.{word}"] = value
    return flags
