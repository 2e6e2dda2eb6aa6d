from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hub.core

SOURCE = Path(hub.core.__file__).with_name("_hot.pyx")


def compiled() -> ModuleType | None:
    """The compiled twin, when it is there and of the source beside it."""
    try:
        found = import_module("hub.core._hot")
    except ImportError:
        return None
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    return found if getattr(found, "SOURCE", "") == digest else None


@pytest.fixture(scope="session", params=["_pure", "_hot"])
def twin(request: pytest.FixtureRequest) -> Any:
    """Each of the two modules that hub.core.hot may stand for."""
    found = import_module("hub.core._pure") if request.param == "_pure" else compiled()
    return found or pytest.skip("_hot is not compiled here")


@pytest.fixture(scope="session")
def twins() -> tuple[Any, Any]:
    """Both of them."""
    found = compiled() or pytest.skip("_hot is not compiled here")
    return import_module("hub.core._pure"), found
