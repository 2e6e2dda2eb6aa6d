"""Every tick to everyone who holds it, once and in order, whatever the others do."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from hub.auth.keystore import KeyStore
from tests.integration.conftest import MakeHub, on_both_wires
from tests.integration.harness import (
    Client,
    Hub,
    Message,
    Publisher,
    fresh,
    numbers,
    small_socket,
    ticks_of,
    together,
)
from tests.integration.scenes import until_conflated

LABELS = {1: "LTP", 2: "QUOTE", 3: "DEPTH"}


async def on_every_shard(stack: AsyncExitStack, hub: Hub, **options: Any) -> list[Client]:
    """Clients that are known to be spread over all shards: placing is tested below."""
    return [await stack.enter_async_context(hub.client(**options)) for _ in range(8)]


# Exactly once, in order.


@on_both_wires("hub")
def test_every_tick_reaches_every_subscriber_exactly_once_and_in_order(hub: Hub) -> None:
    symbols = fresh(count=200)
    rounds = 40
    draw = random.Random(4)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            clients = await on_every_shard(stack, hub, snapshot=False)
            publisher = await stack.enter_async_context(hub.publisher())
            held: dict[Client, dict[str, int]] = {}
            for client in clients:
                mine = draw.sample(symbols, draw.randint(50, 200))
                held[client] = {symbol: draw.choice([1, 2, 3]) for symbol in mine}
                for mode in (1, 2, 3):
                    of_mode = [symbol for symbol, its in held[client].items() if its == mode]
                    await client.subscribe(*of_mode, mode=mode)
            expected: dict[tuple[str, int], list[int]] = defaultdict(list)
            for n in range(rounds):
                for symbol in symbols:
                    mode = draw.choice([1, 2, 3])
                    publisher.send(f"NSE_{symbol}_{LABELS[mode]}", {"n": n, "mode": mode})
                    expected[symbol, mode].append(n)
                await asyncio.sleep(0)
            got = await together(client.catch_up(publisher) for client in clients)
            for client, messages in zip(clients, got, strict=True):
                assert {tick["symbol"] for tick in messages} == set(held[client])
                by_topic: dict[tuple[str, int], list[int]] = defaultdict(list)
                for tick in messages:
                    assert tick["mode"] == held[client][tick["symbol"]]
                    by_topic[tick["symbol"], tick["data"]["mode"]].append(tick["data"]["n"])
                assert by_topic == {
                    (symbol, mode): ns
                    for (symbol, mode), ns in expected.items()
                    if held[client].get(symbol, 4) <= mode
                }

    asyncio.run(main())


@on_both_wires("hub")
def test_ticks_of_all_modes_of_a_symbol_keep_their_order(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            clients = await on_every_shard(stack, hub, snapshot=False)
            publisher = await stack.enter_async_context(hub.publisher())
            for n, client in enumerate(clients):
                await client.subscribe(symbol, mode=1)
                if n % 2:
                    await client.subscribe(symbol, mode=3)
            for n in range(600):
                publisher.send(f"NSE_{symbol}_{LABELS[n % 3 + 1]}", {"n": n})
            for k, client in enumerate(clients):
                ticks = ticks_of(await client.catch_up(publisher), symbol)
                assert [tick["data"]["n"] for tick in ticks] == list(range(600))
                tags = [tick["mode"] for tick in ticks]
                assert tags == ([1, 1, 3] if k % 2 else [1, 1, 1]) * 200

    asyncio.run(main())


@on_both_wires("hub")
def test_who_comes_and_goes_costs_those_who_stay_nothing(hub: Hub) -> None:
    """Interest changes all the time while ticks fall: legs open and close around the one held."""

    async def main() -> None:
        (symbol,) = fresh()
        count = 3000

        async def come_and_go() -> None:
            for _ in range(15):
                async with hub.client() as client:
                    await client.subscribe(symbol, mode=1)
                    first = (await client.tick())["data"]["n"]
                    got = [(await client.tick())["data"]["n"] for _ in range(20)]
                    assert got == list(range(first + 1, first + 21))
                    await client.ask({"action": "unsubscribe_all"})

        async def publish(publisher: Publisher) -> None:
            n = 0
            while not done.is_set() or n < count:
                publisher.send(f"NSE_{symbol}_QUOTE", {"n": n})
                n += 1
                await asyncio.sleep(0.001)
            total.append(n)

        done, total = asyncio.Event(), list[int]()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            steady = await on_every_shard(stack, hub, snapshot=False)
            for client in steady[:4]:
                await client.subscribe(symbol, mode=2)
            publishing = asyncio.create_task(publish(publisher))
            reading = [asyncio.create_task(read_on(client)) for client in steady[:4]]
            await together(come_and_go() for _ in range(6))
            done.set()
            await publishing
            for client, task in zip(steady[:4], reading, strict=True):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await client.catch_up(publisher)
                assert numbers(client.seen, symbol) == list(range(total[0]))

    asyncio.run(main())


# Order updates.


@on_both_wires("hub")
def test_order_updates_reach_exactly_their_users_followers_in_order(hub: Hub) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            followers = {
                user: [await stack.enter_async_context(hub.client(user)) for _ in range(4)]
                for user in ("anita", "ravi_k sharma")
            }
            outsider = await stack.enter_async_context(hub.client("anita"))
            for clients in followers.values():
                for client in clients:
                    await client.ask({"action": "subscribe_orders"})
            for n in range(300):
                user = ("anita", "ravi_k sharma", "nobody")[n % 3]
                publisher.send(f"ZERODHA_{user}_orders", update(user, n))
                if n % 10 == 0:
                    publisher.send("ANALYZE_anita_orders", {"type": "order_update", "n": n})
                    publisher.send("deltaexchange_orders", {"user": "anita", "n": n})
            for user, clients in followers.items():
                mine = range(("anita", "ravi_k sharma").index(user), 300, 3)
                for client in clients:
                    assert await client.catch_up(publisher) == [update(user, n) for n in mine]
            assert await outsider.catch_up(publisher) == []

    asyncio.run(main())


def test_an_order_update_is_passed_on_byte_for_byte(hub: Hub) -> None:
    payload = b'{"type":"order_update",  "user_id": "anita", "price": 1.50, "x": "\\u20b9"}'

    async def main() -> None:
        async with hub.publisher() as publisher, hub.client() as client:
            await client.ask({"action": "subscribe_orders"})
            publisher.send_raw(b"ANALYZE_someone_else_orders", payload)
            async with asyncio.timeout(5):
                assert await client.socket.recv() == payload.decode()

    asyncio.run(main())


def test_order_updates_end_with_unsubscribe_orders_and_only_with_that(hub: Hub) -> None:
    async def main() -> None:
        async with hub.publisher() as publisher, hub.client() as client:
            got = []
            for request in ("subscribe_orders", "subscribe_orders", "unsubscribe_all",
                            "unsubscribe_orders", "subscribe_orders"):  # fmt: skip
                await client.ask({"action": request})
                publisher.send("X_anita_orders", update("anita", 1))
                got.append(len(await client.catch_up(publisher)))
                await client.ask({"action": "unsubscribe_all"})
            assert got == [1, 1, 1, 0, 1]

    asyncio.run(main())


def test_who_becomes_another_user_gets_no_order_updates_of_the_one_he_was(hub: Hub) -> None:
    async def main() -> None:
        async with hub.publisher() as publisher, hub.client("anita") as client:
            await client.ask({"action": "subscribe_orders"})
            await client.ask({"action": "authenticate", "api_key": hub.keys["ravi_k sharma"]})
            await client.ask({"action": "subscribe_orders"})
            publisher.send("X_orders", update("anita", 1))
            publisher.send("X_orders", update("ravi_k sharma", 2))
            assert await client.catch_up(publisher) == [update("ravi_k sharma", 2)]

    asyncio.run(main())


@on_both_wires("hub")
def test_an_order_update_right_after_the_reply_is_not_missed(hub: Hub) -> None:
    async def main() -> None:
        async with hub.publisher() as publisher:
            for n in range(20):
                async with hub.client("ravi_k sharma") as client:
                    await client.ask({"action": "subscribe_orders"})
                    publisher.send("X_orders", update("ravi_k sharma", n))
                    assert await client.next(5) == update("ravi_k sharma", n)

    asyncio.run(main())


# First values.


@on_both_wires("hub")
def test_a_snapshot_comes_right_after_the_reply_wherever_the_client_is(hub: Hub) -> None:
    async def main() -> None:
        symbols = fresh(count=20)
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            first = await stack.enter_async_context(hub.client())
            await first.subscribe(*symbols, mode=2)
            for n in range(5):
                for symbol in symbols:
                    publisher.send(f"NSE_{symbol}_QUOTE", {"n": n})
            await first.catch_up(publisher)
            for client in await on_every_shard(stack, hub):
                await client.subscribe(*symbols, mode=1)
                shown = [await client.tick() for _ in symbols]
                assert {tick["symbol"] for tick in shown} == set(symbols)
                assert all(tick["data"] == {"n": 4} and tick["mode"] == 1 for tick in shown)
                assert await client.catch_up(publisher) == [], "each is shown once"

    asyncio.run(main())


def test_there_is_no_snapshot_for_who_does_not_want_it(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            first = await stack.enter_async_context(hub.client())
            await first.subscribe(symbol)
            publisher.send(f"NSE_{symbol}_LTP", {"n": 1})
            await first.tick()
            for client in await on_every_shard(stack, hub, snapshot=False):
                await client.subscribe(symbol)
                assert await client.catch_up(publisher) == [], "off since authenticate"
            for client in await on_every_shard(stack, hub):
                await client.subscribe(symbol, snapshot=False)
                assert await client.catch_up(publisher) == [], "off in this subscribe"
            for client in await on_every_shard(stack, hub, snapshot=False):
                await client.subscribe(symbol, snapshot=True)
                assert (await client.tick())["data"] == {"n": 1}, "on again"
                assert await client.catch_up(publisher) == []

    asyncio.run(main())


@on_both_wires("hub")
def test_a_snapshot_is_what_a_holder_of_that_mode_was_sent_last(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            first = await stack.enter_async_context(hub.client())
            await first.subscribe(symbol, mode=1)
            for n, mode in enumerate((3, 2, 1)):
                publisher.send(f"NSE_{symbol}_{LABELS[mode]}", {"n": n})
            await first.catch_up(publisher)
            for mode, n in ((1, 2), (2, 1), (3, 0)):
                for client in await on_every_shard(stack, hub):
                    await client.subscribe(symbol, mode=mode)
                    tick = await client.tick()
                    assert (tick["data"]["n"], tick["mode"]) == (n, mode)
                    assert await client.catch_up(publisher) == []

    asyncio.run(main())


@on_both_wires("hub")
def test_no_client_is_ever_shown_an_older_value_after_a_newer_one(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()

        async def publish(publisher: Publisher) -> None:
            for n in range(1_000_000):
                publisher.send(f"NSE_{symbol}_{LABELS[n % 3 + 1]}", {"n": n})
                await asyncio.sleep(0.002)

        async def look() -> None:
            for _ in range(12):
                async with hub.client() as client:
                    before = numbers(watcher.seen, symbol)[-1]
                    await client.subscribe(symbol, mode=1)
                    first = await client.tick()
                    assert first["data"]["n"] >= before - 250, "shards may be a moment apart"
                    for _ in range(10):
                        await client.tick()
                    await client.subscribe(symbol, mode=2)
                    for _ in range(5):
                        await client.tick()
                    await client.subscribe(symbol, mode=3)
                    for _ in range(5):
                        await client.tick()
                    got = [(tick["data"]["n"], tick["mode"]) for tick in client.seen[1:]
                           if tick["type"] == "market_data"]  # fmt: skip
                    assert got == sorted(set(got)), "a new mode may show the newest once more"

        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            watcher = await stack.enter_async_context(hub.client())
            await watcher.subscribe(symbol, mode=1)
            publishing = asyncio.create_task(publish(publisher))
            await watcher.tick()
            watching = asyncio.create_task(read_on(watcher))
            await together(look() for _ in range(8))
            for task in (publishing, watching):
                task.cancel()
            await asyncio.gather(publishing, watching, return_exceptions=True)

    asyncio.run(main())


# Many at once.


def test_a_thousand_pipelined_subscribes_are_all_answered_in_order(hub: Hub) -> None:
    symbols = fresh(count=1000)

    async def main() -> None:
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            for n, symbol in enumerate(symbols):
                one = {"symbol": symbol, "exchange": "NSE", "request_id": n}
                await client.send({"action": "subscribe", "mode": 1, **one})
            for n, symbol in enumerate(symbols):
                reply = await client.next()
                assert reply["request_id"] == n
                assert [row["symbol"] for row in reply["subscriptions"]] == [symbol]
                assert reply["status"] == "success"
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": 1})
            assert len(await client.catch_up(publisher)) == len(symbols)

    asyncio.run(main())


def test_ten_thousand_symbols_go_into_one_message(hub: Hub) -> None:
    symbols = fresh(count=10_000)

    async def main() -> None:
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            reply = await client.subscribe(*symbols)
            assert [row["symbol"] for row in reply["subscriptions"]] == symbols
            assert all(row["status"] == "success" for row in reply["subscriptions"])
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": 1})
            got = await client.catch_up(publisher)
            assert sorted(tick["symbol"] for tick in got) == sorted(symbols)

    asyncio.run(main())


def test_a_hundred_thousand_symbols_are_too_large_a_message_and_harm_nobody(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            others = await on_every_shard(stack, hub, snapshot=False)
            for other in others:
                await other.subscribe(symbol)
            async with hub.client() as client:
                wanted = [{"symbol": f"S{n}", "exchange": "NSE"} for n in range(100_000)]
                with suppress(ConnectionClosed):  # the hub does not wait for the end of it
                    await client.send({"action": "subscribe", "symbols": wanted, "mode": 1})
                for n in range(100):
                    publisher.send(f"NSE_{symbol}_LTP", {"n": n})
                assert await client.closed() == 1009
            for other in others:
                assert numbers(await other.catch_up(publisher), symbol) == list(range(100))

    asyncio.run(main())


def test_beyond_the_limit_of_symbols_each_one_is_refused(make_hub: MakeHub) -> None:
    hub = make_hub({"websocket.max_symbols": 10, "hub.shards": 1, "hub.feeds": ["bus"]})

    async def main() -> None:
        symbols = fresh(count=12)
        async with hub.client() as client:
            wanted = [{"symbol": symbol, "exchange": "NSE"} for symbol in symbols]
            reply = await client.ask({"action": "subscribe", "symbols": wanted, "mode": 1})
            assert reply["status"] == "partial"
            states = [row["status"] for row in reply["subscriptions"]]
            assert states == ["success"] * 10 + ["error"] * 2
            await client.ask({"action": "unsubscribe", "symbols": wanted[:2], "mode": 1})
            await client.subscribe(*symbols[10:])

    asyncio.run(main())


# Spreading connections.


def test_packed_a_shard_is_full_before_the_next_gets_anybody(make_hub: MakeHub) -> None:
    """They cost nothing when they come: what bounds them is how many they are."""
    settings = {"websocket.spread": "packed", "websocket.pack_clients": 3, "hub.shards": 3}
    hub = make_hub(settings | {"websocket.pack_share": 1.0})

    async def main() -> None:
        await hub.all_serve()
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(hub.client())
            await hub.figures_when(
                lambda f: [f[f"shard-{n}"]["clients"] for n in range(3)] == [3, 2, 0], "packed"
            )

    asyncio.run(main())


def test_connections_are_spread_evenly_over_the_shards(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["bus"]})

    def clients(figures: dict[str, Message]) -> list[int]:
        return [figures[f"shard-{n}"]["clients"] for n in range(4)]

    async def main() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(40):
                await stack.enter_async_context(hub.client())
            figures = await hub.figures_when(lambda f: sum(clients(f)) == 40, "40 clients")
            assert max(clients(figures)) - min(clients(figures)) <= 1, "one by one"
        await hub.figures_when(lambda f: sum(clients(f)) == 0, "all have left")
        async with AsyncExitStack() as stack:
            await together(stack.enter_async_context(hub.client()) for _ in range(400))
            figures = await hub.figures_when(lambda f: sum(clients(f)) == 400, "400 clients")
            # Who is kept because a way is full is spread by the kernel, evenly too: only a herd,
            # all of which run to the same shard, leaves these bounds.
            assert all(50 <= count <= 150 for count in clients(figures)), "all at once"

    asyncio.run(main())


# Slow readers.


@on_both_wires("make_hub")
def test_who_stops_reading_costs_nobody_a_tick_and_gets_the_newest_values_when_back(
    make_hub: MakeHub,
) -> None:
    hub = make_hub({"websocket.outbox_bytes": 65536, "hub.shards": 1, "hub.feeds": ["bus"]})
    symbols = fresh(count=20)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            healthy = await stack.enter_async_context(hub.client(snapshot=False))
            slow = await stack.enter_async_context(
                hub.client(snapshot=False, sock=small_socket(hub.url), max_queue=1)
            )
            for client in (healthy, slow):
                await client.subscribe(*symbols)
            reading = asyncio.create_task(read_on(healthy))
            await hub.figures_when(lambda f: f["shard-0"]["clients"] == 2, "both are there")
            rounds = await until_conflated(hub, publisher, symbols, 500)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await healthy.catch_up(publisher)
            for symbol in symbols:
                assert numbers(healthy.seen, symbol) == list(range(rounds))
            await slow.catch_up(publisher)
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


def test_who_reads_nothing_for_too_long_is_closed_with_1013(make_hub: MakeHub) -> None:
    hub = make_hub({
        "websocket.outbox_bytes": 16384, "websocket.stall_s": 1.0,
        "hub.shards": 1, "hub.feeds": ["bus"],
    })  # fmt: skip

    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            sock = small_socket(hub.url)
            stuck = await stack.enter_async_context(hub.client(sock=sock, max_queue=1))
            stack.callback(stuck.socket.transport.abort)
            await stuck.subscribe(symbol)
            for n in range(4000):
                publisher.send(f"NSE_{symbol}_LTP", {"n": n, "ballast": "x" * 2000})
            await hub.figures_when(lambda f: f["shard-0"]["stalled"] == 1, "it is given up")
            await hub.figures_when(lambda f: f["shard-0"]["clients"] == 0, "it is gone")

    asyncio.run(main())


@on_both_wires("make_hub")
def test_order_updates_are_all_kept_for_who_is_behind(make_hub: MakeHub) -> None:
    hub = make_hub({"websocket.outbox_bytes": 16384, "hub.shards": 1, "hub.feeds": ["bus"]})

    async def main() -> None:
        (symbol,) = fresh()
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            slow = await stack.enter_async_context(
                hub.client(snapshot=False, sock=small_socket(hub.url), max_queue=1)
            )
            await slow.subscribe(symbol)
            await slow.ask({"action": "subscribe_orders"})
            sent = 0
            await hub.figures_when(lambda f: f["shard-0"]["clients"] > 0, "it is there")
            while (await hub.figures())["shard-0"].get("conflated", 0) < 100:
                for _ in range(500):
                    publisher.send(f"NSE_{symbol}_LTP", {"n": sent, "ballast": "x" * 2000})
                    if sent % 10 == 0:
                        publisher.send("X_orders", update("anita", sent))
                    sent += 1
                await asyncio.sleep(0.01)
            await slow.catch_up(publisher)
            orders = [m["n"] for m in slow.seen if m.get("type") == "order_update"]
            assert orders == list(range(0, sent, 10))
            assert numbers(slow.seen, symbol)[-1] == sent - 1
            assert len(numbers(slow.seen, symbol)) < sent, "ticks were conflated meanwhile"

    asyncio.run(main())


def test_a_revoked_key_ends_its_sessions_and_nobody_elses(make_hub: MakeHub) -> None:
    hub = make_hub({"keys.cache_s": 1.0, "hub.shards": 2, "hub.feeds": ["bus"]})

    async def main() -> None:
        async with hub.client("anita") as revoked, hub.client("simon") as stays:
            KeyStore(hub.dir / "keys.json").revoke("anita")
            assert await revoked.closed() == 1008
            assert (await stays.ask({"action": "ping"}))["type"] == "pong"
            async with hub.client(user="") as again:
                request = {"action": "authenticate", "api_key": hub.keys["anita"]}
                assert (await again.ask(request))["code"] == "AUTHENTICATION_ERROR"
            assert hub.keys["anita"] not in hub.log(), "a key never reaches the log"
            assert hub.keys["anita"].split("_")[1] in hub.log(), "its id does"

    asyncio.run(main())


# What is asked of feeds.


def test_a_feed_is_left_a_while_after_the_last_client_left_it(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["sim"], "hub.shards": 2, "upstream.linger_s": 2.0})

    def upstream(figures: dict[str, Message]) -> int:
        return int(figures["feed-sim"]["symbols"])

    async def main() -> None:
        async with hub.client("simon") as one, hub.client("simon") as two:
            await one.subscribe("RELIANCE", "INFY", mode=1)
            await two.subscribe("RELIANCE", mode=3)
            await hub.figures_when(lambda f: upstream(f) == 2, "both are subscribed upstream")
            await one.ask({"action": "unsubscribe_all"})
            await hub.figures_when(lambda f: upstream(f) == 1, "what two holds stays")
            assert len([await two.tick() for _ in range(5)]) == 5
            left_s = time.monotonic()
            await two.ask({"action": "unsubscribe_all"})
            await hub.figures_when(lambda f: upstream(f) == 0, "nothing is subscribed")
            assert time.monotonic() - left_s >= 2.0

    asyncio.run(main())


def test_a_clients_end_releases_what_it_held(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["sim"], "hub.shards": 2, "upstream.linger_s": 0.0})

    async def main() -> None:
        async with hub.client("simon") as client:
            await client.subscribe("RELIANCE", "INFY", mode=1)
            await hub.figures_when(lambda f: f["feed-sim"]["symbols"] == 2, "both are held")
            client.socket.transport.abort()
        await hub.figures_when(lambda f: f["feed-sim"]["symbols"] == 0, "nothing is held")
        assert all(f["symbols"] == 0 for n, f in (await hub.figures()).items() if "shard" in n)

    asyncio.run(main())


@pytest.mark.parametrize(("symbol", "mode"), [("TCS", 1), ("SBIN", 2), ("WIPRO", 3)])
def test_the_simulators_ticks_come_in_the_mode_asked_for(hub: Hub, symbol: str, mode: int) -> None:
    async def main() -> None:
        async with hub.client("simon") as client:  # a symbol each: the one before may linger
            await client.subscribe(symbol, mode=mode)
            tick = await client.tick()
            assert (tick["symbol"], tick["mode"], tick["broker"]) == (symbol, mode, "sim")
            assert tick["data"]["ltp"] > 0
            assert ("depth" in tick["data"]) == (mode == 3)

    asyncio.run(main())


def update(user: str, n: int) -> Message:
    """An order update as Flask publishes it, as far as it matters here."""
    return {"type": "order_update", "user_id": user, "n": n, "order_status": "complete"}


async def read_on(client: Client) -> None:
    """Read until cancelled, or until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            await client.next(3600)
