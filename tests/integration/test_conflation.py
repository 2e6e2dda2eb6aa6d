"""What is left out is told, the newest arrives, and a rate is kept."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import Client, Hub, fresh, numbers, small_socket, ticks_of
from tests.integration.scenes import until_conflated

FORMS: list[dict[str, Any]] = [{}, {"batch": True, "encoding": "msgpack"}]


def skipped(client: Client, symbol: str) -> int:
    """How many ticks of a symbol it was told that it was spared."""
    return sum(tick.get("skipped", 0) for tick in ticks_of(client.seen, symbol))


@pytest.mark.parametrize("form", FORMS, ids=["plain", "batches of msgpack"])
def test_what_a_slow_client_got_and_was_told_as_skipped_is_all_that_was_published(
    make_hub: MakeHub, form: dict[str, Any]
) -> None:
    hub = make_hub({"websocket.outbox_bytes": 65536, "hub.shards": 1, "hub.feeds": ["bus"]})
    symbols = fresh(count=20)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            slow, unasked = [
                await stack.enter_async_context(
                    hub.client(form=form | options, sock=small_socket(hub.url), max_queue=1)
                )
                for options in ({"conflation_info": True}, {})
            ]
            for client in (slow, unasked):
                await client.subscribe(*symbols)
            await hub.figures_when(lambda f: f["shard-0"]["clients"] == 2, "both are there")
            rounds = await until_conflated(hub, publisher, symbols, 2000, some_seldom=True)
            await hub.figures_when(lambda f: f["shard-0"]["behind"] == 2, "both are behind")
            for client in (slow, unasked):
                await client.catch_up(publisher)
            for number, symbol in enumerate(symbols):
                published = range(0, rounds, number + 1)
                got = numbers(slow.seen, symbol)
                assert len(got) + skipped(slow, symbol) == len(published)
                assert got[-1] == published[-1], "the value published last is the last one read"
                assert got == sorted(set(got)), "never an old value after a newer one"
                assert numbers(unasked.seen, symbol)[-1] == published[-1]
            assert sum(skipped(slow, symbol) for symbol in symbols) > 0
            assert all("skipped" not in message for message in unasked.seen)

    asyncio.run(main())


@pytest.mark.parametrize("form", FORMS, ids=["plain", "batches of msgpack"])
def test_a_rate_is_kept_the_newest_arrives_and_nobody_else_notices(
    hub: Hub, form: dict[str, Any]
) -> None:
    rate = 8

    async def main() -> None:
        paced, own, free = fresh(count=3)
        turn = (free, paced, own, free)
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            all_of_it = await stack.enter_async_context(hub.client())
            gentle = await stack.enter_async_context(
                hub.client(form=form | {"conflation_info": True, "max_rate": rate})
            )
            partly = await stack.enter_async_context(hub.client(form=form))
            await all_of_it.subscribe(paced, own, free)
            await gentle.subscribe(paced)
            await partly.subscribe(own, max_rate=rate, conflation_info=True)
            await partly.subscribe(free)
            begun_s, count = time.monotonic(), 0
            while time.monotonic() < begun_s + 1.5:
                for symbol in turn:
                    publisher.send(f"NSE_{symbol}_LTP", {"n": count})
                    count += 1
                await asyncio.sleep(0.005)
            for client, symbol in ((gentle, paced), (partly, own)):
                last = values_published(count, symbol, turn)[-1]
                while not numbers(client.seen, symbol) or numbers(client.seen, symbol)[-1] < last:
                    await client.next()
            took_s = time.monotonic() - begun_s
            for client in (all_of_it, partly):
                await client.catch_up(publisher)
            for client, symbol in ((gentle, paced), (partly, own)):
                published = values_published(count, symbol, turn)
                got = numbers(client.seen, symbol)
                assert len(got) <= 1 + took_s * rate
                assert len(got) >= 2, "the first at once, the last at the end"
                assert got[-1] == published[-1]
                assert got == sorted(set(got)), "never an old value after a newer one"
                assert len(got) + skipped(client, symbol) == len(published)
                assert numbers(all_of_it.seen, symbol) == published
            published = values_published(count, free, turn)
            assert numbers(partly.seen, free) == numbers(all_of_it.seen, free) == published

    asyncio.run(main())


def values_published(count: int, symbol: str, turn: tuple[str, ...]) -> list[int]:
    """The numbers that went to a symbol, when symbols took turns."""
    return [n for n in range(count) if turn[n % len(turn)] == symbol]


def test_first_values_and_order_updates_wait_for_no_rate(hub: Hub) -> None:
    async def main() -> None:
        symbols = fresh(count=50)
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            first = await stack.enter_async_context(hub.client())
            await first.subscribe(*symbols, mode=2)
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_QUOTE", {"n": 1})
            await first.catch_up(publisher)
            client = await stack.enter_async_context(hub.client(form={"max_rate": 0.1}))
            await client.ask({"action": "subscribe_orders"})
            for mode in (1, 2):
                await client.subscribe(*symbols, mode=mode)
                shown = [await client.tick() for _ in symbols]
                assert {tick["symbol"] for tick in shown} == set(symbols)
                assert {tick["mode"] for tick in shown} == {mode}
            for n in range(20):
                publisher.send(
                    "X_anita_orders", {"type": "order_update", "user_id": "anita", "n": n}
                )
            assert [(await client.next())["n"] for _ in range(20)] == list(range(20))

    asyncio.run(main())
