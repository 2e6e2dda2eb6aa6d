"""One target in its process, with something else in the place of atheris."""

from __future__ import annotations

import contextlib
import logging
import runpy
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from scripts.fuzzing.targets import TARGETS


def test_it_hands_the_target_to_atheris(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    atheris: Any = ModuleType("atheris")
    followed: list[str] = []

    @contextlib.contextmanager
    def instrument_imports(include: list[str]) -> Iterator[None]:
        followed.extend(include)
        yield

    atheris.instrument_imports = instrument_imports
    atheris.Setup = lambda arguments, run: told.append((arguments[1:], run))
    atheris.Fuzz = lambda: told.append("fuzz")
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    monkeypatch.setattr(logging, "disable", lambda: None)
    monkeypatch.setattr(sys, "argv", ["child", "topic", "corpus", "-seed=1"])
    runpy.run_module("scripts.fuzzing.child", run_name="__main__", alter_sys=False)
    assert set(followed) == {"hub", "shards", "websockets"}
    (arguments, run), end = told
    assert (arguments, end) == (["corpus", "-seed=1"], "fuzz")
    assert run is TARGETS["topic"].run
