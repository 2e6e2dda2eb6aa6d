"""What the shell is told of values that can be known: processes, feeds, keys."""

from __future__ import annotations

from collections.abc import Iterable

import click

from cli.options import load_settings
from hub.brokers import catalogue as there_are
from hub.core.errors import HubError
from hub.core.supervision import wanted
from hub.feeds import catalogue


def processes(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The processes that the settings name."""
    return _those(begun, _processes(), context)


def processes_and_supervisor(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Whoever logs something."""
    return _those(begun, ["supervisor", *_processes()], context)


def feeds(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """The feeds that there are."""
    return _those(begun, catalogue.NAMES)


def brokers(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The brokers that the hub reaches by itself."""
    return _those(begun, there_are.NAMES, context)


def keys(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """The names of the API keys."""
    from cli.keys import store_of  # noqa: PLC0415  # it has these as its own completion

    try:
        return _those(begun, [record.name for record in store_of(load_settings(None)).list()])
    except HubError:
        return []


def _processes() -> list[str]:
    try:
        return [child.name for child in wanted(load_settings(None))]
    except HubError:
        return []


def _those(begun: str, names: Iterable[str], context: click.Context | None = None) -> list[str]:
    """Those that begin so, without what stands there already."""
    there = [] if context is None else context.params.values()
    typed = {word for words in there if isinstance(words, tuple) for word in words}
    return [name for name in names if name.startswith(begun) and name not in typed]
