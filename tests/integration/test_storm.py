"""Thousands of clients lose their connection and come back in the same moment.

5,000 by default; `HUB_STORM=500` in the environment makes the storm smaller, where descriptors or
patience are short.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.crowd import Crowd, asks, need_descriptors, play, until
from tests.integration.harness import Hub, fresh
from tests.integration.scenes import Beacon

CLIENTS = int(os.environ.get("HUB_STORM", "5000"))
HEALTHY = 8
BACK_S = 40.0
"""How long it may take until all have ticks again, on a machine that is busy."""


async def a_storm(hub: Hub) -> None:
    """The hub's only clients but some lose their connection, some of them with their shard."""
    steady, wide = fresh(count=2)
    async with hub.publisher() as publisher, Crowd(hub) as clients:
        await hub.all_serve()
        healthy = await clients.all_come(HEALTHY, asks(hub, steady), keeps=True)
        await until(lambda: all(len(one.replies) == 2 for one in healthy), "they are served")
        crowd = await clients.all_come(CLIENTS, asks(hub, wide))
        await until(lambda: all(len(one.replies) == 2 for one in crowd), "all are served", BACK_S)
        fast = Beacon(publisher, steady, every_s=0.01)
        slow = Beacon(publisher, wide, every_s=1.0)  # thousands hold it
        await until(lambda: all(one.ticks for one in (*crowd, *healthy)), "all have ticks")
        before = await pauses(hub)

        victim = hub.kill("shard-2")
        for guest in crowd:
            guest.vanish()
        crowd = await clients.all_come(CLIENTS, asks(hub, wide))
        await until(lambda: all(one.ticks for one in crowd), "all have ticks again", BACK_S)
        await until(lambda: hub.is_back("shard-2", victim), "the shard is back")
        assert all(len(one.replies) == 2 for one in crowd)

        await fast.stop()
        await slow.stop()
        well, last = [one for one in healthy if not one.ended], fast.sent - 1
        assert len(well) == HEALTHY * 3 // 4, "those of the killed shard, and nobody else"
        await until(lambda: all(one.numbers(steady)[-1] == last for one in well), "the last")
        came = [one.numbers(steady) for one in well]
        assert all(numbers == sorted(set(numbers)) for numbers in came), "each once, in order"
        if await pauses(hub) == before:  # who was given no CPU for a second owes the newest alone
            assert all(len(numbers) == fast.sent for numbers in came), "each tick"
        there = CLIENTS + len(well)
        figures = await hub.figures_when(
            lambda found: sum(found[f"shard-{n}"]["clients"] for n in range(4)) == there,
            "nobody is counted who is gone",
        )
        shards = [figures[f"shard-{number}"] for number in range(4)]
        assert sum(shard["lost"] + shard["refused"] for shard in shards) == 0
        assert CLIENTS < 2000 or any(shard["accepts_paused"] for shard in shards)


async def pauses(hub: Hub) -> list[int]:
    """How often each shard that lives on was paused, by what it says from now on."""
    began_s, lived_on = time.monotonic(), [f"shard-{number}" for number in (0, 1, 3)]
    figures = await hub.figures_when(
        lambda found: all(
            found[name]["beat_age_s"] + 1 < time.monotonic() - began_s for name in lived_on
        ),
        "the shards say how they are",
    )
    return [figures[name]["pauses"] for name in lived_on]


@pytest.mark.timeout(120)
def test_a_storm_of_clients_costs_those_who_are_connected_no_tick(make_hub: MakeHub) -> None:
    need_descriptors(2 * CLIENTS + 500)
    hub = make_hub({"hub.feeds": ["bus"]})
    play(lambda: a_storm(hub))
