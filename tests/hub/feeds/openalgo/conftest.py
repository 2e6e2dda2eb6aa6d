"""A miniature of a checkout for each test, and a worker in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.feeds.openalgo.kit import Parent, start
from tests.openalgo import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def worker(checkout: Checkout) -> Iterator[Parent]:
    with start(checkout) as parent:
        yield parent


@pytest.fixture
def single(checkout: Checkout) -> Iterator[Parent]:
    """A worker whose accounts have one adapter each, without a pool."""
    with start(checkout, ENABLE_CONNECTION_POOLING="false") as parent:
        yield parent
