"""Batches and msgpack, through a hub's own doors: every client is told the same."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import Hub, Message, fresh, numbers, small_socket, ticks_of, together
from tests.integration.scenes import until_conflated

BATCH: Message = {"batch": True}
BOTH: Message = {"batch": True, "encoding": "msgpack"}
FORMS: list[Message] = [{}, BATCH, {"encoding": "msgpack"}, BOTH]


def test_clients_of_every_form_are_told_the_same(hub: Hub) -> None:
    symbols = fresh(count=5)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            clients = [
                await stack.enter_async_context(hub.client(snapshot=False, form=form))
                for form in FORMS * 2
            ]
            for client in clients:
                await client.subscribe(*symbols, mode=1)
                await client.subscribe(symbols[0], mode=3)
                assert (await client.ask({"action": "subscribe_orders"}))["status"] == "success"
            for n in range(400):
                data = {"n": n, "price": n / 8, "name": "₹", "none": float("nan"), "rows": [[n]]}
                publisher.send(f"NSE_{symbols[n % 5]}_{('LTP', 'DEPTH')[n % 2]}", data)
                if n % 100 == 0:
                    update = {"type": "order_update", "user_id": "anita", "n": n}
                    publisher.send("ANALYZE_anita_orders", update)
            told = await together(client.catch_up(publisher) for client in clients)
            plain = told[0]
            assert len(ticks_of(plain, symbols[0])) == 80
            for client, found in zip(clients, told, strict=True):
                for symbol in symbols:
                    assert ticks_of(found, symbol) == ticks_of(plain, symbol)
                updates = [one["n"] for one in found if one["type"] == "order_update"]
                assert updates == [0, 100, 200, 300]
                assert bool(client.batches) == ("batch" in client.form)
                assert not client.batches or max(client.batches) > 1

    asyncio.run(main())


@pytest.mark.parametrize("form", [BATCH, BOTH], ids=str)
def test_first_values_follow_the_reply_in_batches(hub: Hub, form: Message) -> None:
    symbols = fresh(count=300)

    async def main() -> None:
        async with hub.publisher() as publisher, hub.client() as holder:
            await holder.subscribe(*symbols)
            for n, symbol in enumerate(symbols):
                publisher.send(f"NSE_{symbol}_LTP", {"n": n})
            assert len(await holder.catch_up(publisher)) == 300
            async with hub.client(form=form) as client:
                await client.subscribe(*symbols)
                for _ in symbols:
                    await client.tick()
                found = {one["symbol"]: one["data"]["n"] for one in client.seen[2:]}
                assert found == {symbol: n for n, symbol in enumerate(symbols)}
                assert len(client.batches) < 30

    asyncio.run(main())


@pytest.mark.parametrize("form", [BATCH, BOTH], ids=str)
def test_who_stops_reading_gets_the_newest_values_in_batches_when_back(
    make_hub: MakeHub, form: Message
) -> None:
    hub = make_hub({"websocket.outbox_bytes": 65536, "hub.shards": 1, "hub.feeds": ["bus"]})
    symbols = fresh(count=20)

    async def main() -> None:
        async with hub.publisher() as publisher, AsyncExitStack() as stack:
            sock = small_socket(hub.url)
            slow = await stack.enter_async_context(
                hub.client(snapshot=False, form=form, sock=sock, max_queue=1)
            )
            await slow.subscribe(*symbols)
            assert (await slow.ask({"action": "subscribe_orders"}))["status"] == "success"
            await hub.figures_when(lambda f: f["shard-0"]["clients"] == 1, "it is there")
            rounds = await until_conflated(hub, publisher, symbols, 500)
            update = {"type": "order_update", "user_id": "anita", "n": 1}
            publisher.send("ANALYZE_anita_orders", update)
            found = await slow.catch_up(publisher)
            assert [one["n"] for one in found if one["type"] == "order_update"] == [1]
            for symbol in symbols:
                got = numbers(slow.seen, symbol)
                assert got[-1] == rounds - 1, "the value published last is the last one read"
                assert got == sorted(set(got)), "never an old value after a newer one"
                assert len(got) < rounds, "some were left out"
            await hub.figures_when(lambda f: f["shard-0"]["behind"] == 0, "it is in step again")
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": rounds})
            assert len(await slow.catch_up(publisher)) == len(symbols), "and gets every tick"

    asyncio.run(main())


def test_a_form_that_is_none_or_another_is_refused_and_nothing_is_lost(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        auth = {"action": "authenticate", "api_key": hub.keys["anita"]}
        async with hub.publisher() as publisher, hub.client("", max_size=None) as client:
            for wrong in ({"batch": 1}, {"encoding": "xml"}):
                assert (await client.ask(auth | wrong))["code"] == "INVALID_PARAMETERS"
            assert (await client.ask(auth))["status"] == "success"
            await client.subscribe(symbol, snapshot=False)
            assert (await client.ask(auth | BOTH))["code"] == "INVALID_PARAMETERS"
            publisher.send(f"NSE_{symbol}_LTP", {"n": 1})
            assert [one["data"]["n"] for one in await client.catch_up(publisher)] == [1]

    asyncio.run(main())
