"""Thousands of clients lose their connection and come back in the same moment.

5,000 by default; `HUB_STORM=500` in the environment makes the storm smaller, where descriptors or
patience are short.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.crowd import Crowd, Guest, asks, need_descriptors, play, until
from tests.integration.harness import Hub, Publisher, fresh

CLIENTS = int(os.environ.get("HUB_STORM", "5000"))
HEALTHY = 8
BACK_S = 40.0
"""How long it may take until all have ticks again, on a machine that is busy."""


class Market:
    """Publishes numbers all the time: `steady` fast, `wide`, which thousands hold, slowly."""

    def __init__(self, publisher: Publisher, steady: str, wide: str) -> None:
        self.sent = 0
        self._names = steady, wide
        self._publisher = publisher
        self._task = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Publish no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _open(self) -> None:
        steady, wide = self._names
        while True:
            self._publisher.send(f"NSE_{steady}_LTP", {"n": self.sent})
            if self.sent % 100 == 0:
                self._publisher.send(f"NSE_{wide}_LTP", {"n": self.sent})
            self.sent += 1
            await asyncio.sleep(0.01)


def numbers(guest: Guest) -> list[int]:
    return [tick["data"]["n"] for tick in guest.kept]


async def a_storm(hub: Hub) -> None:
    """The hub's only clients but some lose their connection, some of them with their shard."""
    steady, wide = fresh(count=2)
    async with hub.publisher() as publisher, Crowd(hub) as clients:
        healthy = await clients.all_come(HEALTHY, asks(hub, steady), keeps=True)
        await until(lambda: all(len(one.replies) == 2 for one in healthy), "they are served")
        crowd = await clients.all_come(CLIENTS, asks(hub, wide))
        await until(lambda: all(len(one.replies) == 2 for one in crowd), "all are served", BACK_S)
        market = Market(publisher, steady, wide)
        await until(lambda: all(one.ticks for one in (*crowd, *healthy)), "all have ticks")

        victim = hub.kill("shard-2")
        for guest in crowd:
            guest.vanish()
        crowd = await clients.all_come(CLIENTS, asks(hub, wide))
        await until(lambda: all(one.ticks for one in crowd), "all have ticks again", BACK_S)
        await until(lambda: hub.is_back("shard-2", victim), "the shard is back")
        assert all(len(one.replies) == 2 for one in crowd)

        await market.close()
        well = [one for one in healthy if not one.ended]
        assert len(well) == HEALTHY * 3 // 4, "those of the killed shard, and nobody else"
        await until(lambda: all(one.ticks == market.sent for one in well), "the last one comes")
        for one in well:
            assert numbers(one) == list(range(market.sent)), "each tick once, in order"
        there = CLIENTS + len(well)
        figures = await hub.figures_when(
            lambda found: sum(found[f"shard-{n}"]["clients"] for n in range(4)) == there,
            "nobody is counted who is gone",
        )
        shards = [figures[f"shard-{number}"] for number in range(4)]
        assert sum(shard["lost"] + shard["refused"] for shard in shards) == 0
        assert CLIENTS < 2000 or any(shard["accepts_paused"] for shard in shards)


@pytest.mark.timeout(120)
def test_a_storm_of_clients_costs_those_who_are_connected_no_tick(make_hub: MakeHub) -> None:
    need_descriptors(2 * CLIENTS + 500)
    hub = make_hub({"hub.feeds": ["bus"]})
    play(lambda: a_storm(hub))
