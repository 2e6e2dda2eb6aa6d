"""Hubs for tests: one for each module, and as many of their own as tests ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Hub
from tests.integration.machines import Cluster, machines

HERE = Path(__file__).parent
MakeHub = Callable[..., Hub]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def on_both_wires(hub: str) -> pytest.MarkDecorator:
    """Run a test with the fixture `hub`, or what `make_hub` makes, on either wire."""
    wires = [{"flow.wire": wire} for wire in ("native", "libzmq")]
    return pytest.mark.parametrize(hub, wires, ids=["native", "libzmq"], indirect=True)


@pytest.fixture(scope="module")
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A hub of four shards with the feeds bus and sim, for all tests of a module."""
    hub = Hub(getattr(request, "param", {}))
    try:
        yield hub.start()
        assert hub.stop() == 0, hub.log()
    finally:
        hub.discard()


@pytest.fixture
def make_hub(request: pytest.FixtureRequest) -> Iterator[MakeHub]:
    """Makes hubs with flags of their own; those that still run are stopped in the end."""
    made: list[Hub] = []

    def make(
        flags: dict[str, Any] | None = None, *, start: bool = True, descriptors: int = 0
    ) -> Hub:
        hub = Hub(getattr(request, "param", {}) | (flags or {}), descriptors)
        made.append(hub)
        return hub.start() if start else hub

    try:
        yield make
        for hub in made:
            if hub.first.get("ws") and hub.code is None:
                assert hub.stop() == 0, hub.log()
    finally:
        for hub in made:
            hub.discard()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests of this module: an ingest, and two edges."""
    with machines(tmp_path_factory.mktemp("cluster")) as made:
        made.ingest("desk")
        made.edge("edge-1", 1)
        made.edge("edge-2", 2)
        made.follow()
        yield made
