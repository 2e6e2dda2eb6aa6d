"""Many clients that do not read: what a shard keeps for all of them together is bounded."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.integration.conftest import MakeHub
from tests.integration.crowd import Crowd, asks, need_descriptors, play, until
from tests.integration.harness import Hub, Publisher, fresh

FROZEN = 40
WELL = 3
SYMBOLS = 2
TICK_BYTES = 3000
BOUND_BYTES = 8 << 20
ROUNDS = 1200
"""Makes 7 MB for each client: the kernel takes some 4 MB, and `websocket.outbox_bytes` is 4 MB."""


async def watched(hub: Hub, seen: list[int]) -> None:
    """Note what is unsent, beat by beat."""
    while True:
        with suppress(KeyError):
            seen.append((await hub.figures())["shard-0"]["unsent_bytes"])
        await asyncio.sleep(0.3)


async def publish(publisher: Publisher, symbols: list[str]) -> None:
    for number in range(ROUNDS):
        for symbol in symbols:
            data = {"n": number, "pad": "x" * TICK_BYTES}
            publisher.send(f"NSE_{symbol}_LTP", data)
        await asyncio.sleep(0.004)


async def many_are_frozen(hub: Hub) -> None:
    symbols = fresh(count=SYMBOLS)
    async with hub.publisher() as publisher, Crowd(hub) as clients:
        well = await clients.all_come(WELL, asks(hub, *symbols), keeps=True)
        frozen = await clients.all_come(FROZEN, asks(hub, *symbols), receive_bytes=4096)
        everybody = [*well, *frozen]
        await until(lambda: all(len(one.replies) == 2 for one in everybody), "all are served")
        for one in frozen:
            one.freeze()
        seen: list[int] = []
        watching = asyncio.create_task(watched(hub, seen))
        await publish(publisher, symbols)
        await until(lambda: all(one.ticks == ROUNDS * SYMBOLS for one in well), "all ticks come")
        await hub.figures_when(lambda f: f["shard-0"]["behind"] == FROZEN, "they are behind")
        await until(lambda: seen[-1], "it is told what is unsent")
        watching.cancel()
        print(f"unsent: {max(seen)} of {BOUND_BYTES} bytes")
        assert BOUND_BYTES // 8 < max(seen) <= BOUND_BYTES
        for one in well:
            assert not one.ended
            for symbol in symbols:
                assert one.numbers(symbol) == list(range(ROUNDS)), "each once, in order"
        assert not any(one.ended for one in frozen)


def test_what_all_who_do_not_read_are_owed_stays_below_the_bound_of_their_shard(
    make_hub: MakeHub,
) -> None:
    need_descriptors(1000)
    flags = {"hub.feeds": ["bus"], "hub.shards": 1, "websocket.shard_outbox_bytes": BOUND_BYTES}
    hub = make_hub(flags)
    play(lambda: many_are_frozen(hub))
