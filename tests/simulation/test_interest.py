"""Many random histories of the interest protocol, with crashes of every process, end in order."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from hub.core.model import Mode
from hub.core.placement import home
from tests.simulation.world import INSTRUMENTS, SHARDS, World, live

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


def test_what_the_router_kept_for_a_home_that_was_away_is_void_once_another_was_keeper(
    tmp_path: Path,
) -> None:
    """The client had been sent the next one elsewhere, and was shown the one before it again."""
    tmp_path.chmod(0o700)

    async def main() -> None:
        world = World(0, tmp_path)
        world.rest()
        key = INSTRUMENTS[0].key
        away = home(key, SHARDS)
        world._silence(away)
        world.publish(INSTRUMENTS[0], Mode.QUOTE, b"")
        world.settle()
        client = world._join((away + 1) % SHARDS, "sim")
        world.clients.append(client)
        world._ask(client, [INSTRUMENTS[0]], Mode.QUOTE, snapshot=True)
        world.settle()
        world.publish(INSTRUMENTS[0], Mode.QUOTE, b"")
        world.settle()
        assert [number for _, number in client.got] == [world.number]
        world.drop(client)
        world.settle()
        world.links[f"shard-{away}"].stopped = False
        world.settle()
        world._ask(client, [INSTRUMENTS[0]], Mode.QUOTE, snapshot=True)
        world.settle()
        assert [number for _, number in client.got] == [world.number], "and nothing older"

    with patch("shards.slices._PIECE", 1):
        asyncio.run(main())
