"""Brokers' clients without what they connect by: their parsers are all that is wanted of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest


@contextmanager
def client(module: str, *transport: str) -> Iterator[Any]:
    """That module of a broker's client; modules of those names are empty while it is imported.

    Skips the test when the client is not installed. Nothing of it is left behind.
    """
    package = module.split(".", maxsplit=1)[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: it is in requirements-oracle.lock")
    before = dict(sys.modules)
    sys.modules.update({name: _Empty(name) for name in transport})
    try:
        yield importlib.import_module(module)
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


class _Empty(ModuleType):
    """A module that has whatever is looked for: a class under a name like one, else anything."""

    __path__: list[str] = []  # noqa: RUF012 # a package, for what is imported from below it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else MagicMock()
