"""How clients are sent away: with what they are owed, and not all in the same millisecond."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import WITHIN_S, Client, Hub, Message, fresh, small_socket, until
from tests.integration.scenes import Reader, audience, order_update, scene

GONE = (1012, "the server is restarting; connect again")


def word(client: Client) -> tuple[int | None, str | None]:
    """With which code and reason a client was closed."""
    return client.socket.close_code, client.socket.close_reason


def test_hub_stop_sends_200_clients_away_one_after_another(make_hub: MakeHub) -> None:
    """Those whose turn has not come are served on."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(hub, stack, 200)
        stopped = asyncio.create_task(asyncio.to_thread(hub.stop))
        await until(lambda: any(reader.closed for reader in readers), "the first one goes")
        staying = [reader for reader in readers if not reader.closed]
        before = beacon.sent
        assert staying, "not all at once"
        await until(
            lambda: any(reader.numbers(symbol)[-1] > before for reader in staying),
            "one whose turn has not come gets ticks",
        )
        assert not all(reader.closed for reader in staying)
        await until(lambda: all(reader.closed for reader in readers), "all go")
        assert {word(reader.client) for reader in readers} == {GONE}
        assert await stopped == 0
        await beacon.stop()
        for reader in readers:
            numbers = reader.numbers(symbol)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "all until then"

    # 50 on each shard: a twentieth of drain_s
    scene(play, make_hub({"hub.feeds": ["bus"], "websocket.drain_s": 60.0}))


def test_one_that_is_behind_gets_newest_values_and_all_order_updates_before_it_goes(
    make_hub: MakeHub,
) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbols = fresh(count=20)
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(
            hub.client(snapshot=False, sock=small_socket(hub.url), max_queue=1)
        )
        await client.subscribe(*symbols)
        await client.ask({"action": "subscribe_orders"})
        for n in range(100):
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": n, "ballast": "x" * 10_000})
        await hub.figures_when(lambda f: f["shard-0"]["behind"] == 1, "it is behind")
        probe = await stack.enter_async_context(hub.client())
        await probe.ask({"action": "subscribe_orders"})
        for n in range(500):
            publisher.send("X_orders", order_update(n))
        await probe.until(lambda message: message.get("n") == 499)
        stopped = asyncio.create_task(asyncio.to_thread(hub.stop))
        assert await probe.closed() == GONE[0]
        reader = Reader(client)
        await until(lambda: reader.closed, "it is sent away, too")
        assert word(client) == GONE
        updates = [m["n"] for m in client.seen if m.get("type") == "order_update"]
        assert updates == list(range(500)), "each once, in order"
        for symbol in symbols:
            numbers = reader.numbers(symbol)
            assert numbers == sorted(set(numbers)), "never an old one after a newer one"
            assert numbers[-1] == 99, "the last value published is the last one delivered"
            assert len(numbers) < 100, "it was behind"
        assert await stopped == 0

    flags = {"hub.feeds": ["bus"], "hub.shards": 1, "websocket.outbox_bytes": 65536}
    scene(play, make_hub(flags | {"hub.stop_s": 4 * WITHIN_S}))


def test_a_shard_that_drains_for_longer_than_the_router_waits_serves_until_the_end(
    make_hub: MakeHub,
) -> None:
    """Silence of 3 s means that a process is gone; it says so itself that it is leaving."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(hub, stack, 20)
        victim = hub.children["shard-0"]
        os.kill(victim.pid, signal.SIGTERM)
        await until(lambda: any(reader.closed for reader in readers), "the first one goes")
        await hub.figures_when(lambda f: f["shard-0"]["state"] == "leaving", "it says so")
        await until(lambda: hub.is_back("shard-0", victim), "it is back", 2 * WITHIN_S)
        assert sum(reader.closed for reader in readers) == 10, "those of the other are undisturbed"
        await beacon.stop()
        for reader in readers:
            numbers = reader.numbers(symbol)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            if reader.closed:
                assert word(reader.client) == GONE
        lengths = sorted(reader.numbers(symbol)[-1] for reader in readers if reader.closed)
        assert all(one < other for one, other in itertools.pairwise(lengths)), "each at its turn"

    # 10 on each shard: a hundredth of drain_s is 3 s, and the last leaves after 2.7 s
    flags = {"hub.feeds": ["bus"], "hub.shards": 2, "websocket.drain_s": 300.0}
    scene(play, make_hub(flags))


@pytest.mark.parametrize("how", ["killed", "killed while nobody reads the log"])
def test_clients_are_told_though_the_supervisor_was_killed(make_hub: MakeHub, how: str) -> None:
    """What its children log goes to nobody then."""
    flags: dict[str, Any] = {"hub.feeds": ["bus"], "hub.shards": 2}
    hub = make_hub(flags | ({"hub.log_level": "debug"} if how != "killed" else {}))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(hub.client()) for _ in range(8)]
            refused: Message = {"action": "authenticate", "api_key": "wrong"}
            os.kill(hub.pid, signal.SIGKILL)
            for client in clients:  # each is a line in the log of a shard that is on its way out
                await client.send(refused)
            for client in clients:
                await client.closed()
            assert {word(client) for client in clients} == {GONE}
            await until(lambda: not hub.left(), "all of them are gone")

    asyncio.run(main())
