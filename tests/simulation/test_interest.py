"""Many random histories of the interest protocol, with crashes of every process, end in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.world import live

SEEDS = int(os.environ.get("HUB_SIMULATION_SEEDS", "240"))
CHUNK = 20
STEPS = 250


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_history_ends_with_each_tick_at_each_holder_exactly_once(
    first: int, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    for seed in range(first, first + CHUNK):
        try:
            live(seed, tmp_path, STEPS).check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
