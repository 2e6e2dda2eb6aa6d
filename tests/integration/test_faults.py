"""What happens when a part of the hub is killed, and what a hub refuses to do.

Bounds are generous: what counts is that things come back by themselves, and what nobody notices.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from tests.integration.conftest import MakeHub, on_both_wires
from tests.integration.harness import (
    WITHIN_S,
    Hub,
    Message,
    fresh,
    numbers,
    small_socket,
    ticks_of,
    until,
)
from tests.integration.scenes import Beacon, Reader, audience, order_update, scene

BACK_S = 15.0
"""How long a killed process may take until it is ready again, on a machine that is busy."""


@on_both_wires("make_hub")
def test_a_killed_shard_costs_the_clients_of_the_others_nothing(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(hub, stack, 12)
        victim = hub.kill("shard-2")
        await until(lambda: hub.is_back("shard-2", victim), "the shard is back", BACK_S)
        await hub.all_serve()
        lost = [reader for reader in readers if reader.closed]
        assert len(lost) == 3, "its own clients, and nobody else's"
        again = [await stack.enter_async_context(hub.client(snapshot=False)) for _ in range(3)]
        for client in again:
            await client.subscribe(symbol)
            first = (await client.tick())["data"]["n"]
            got = [(await client.tick())["data"]["n"] for _ in range(20)]
            assert got == list(range(first + 1, first + 21)), "a new one gets ticks as ever"
        figures = await hub.figures_when(lambda f: f["shard-2"]["clients"] == 3, "on that shard")
        assert figures["shard-2"]["restarts"] == 1
        await beacon.stop()
        for reader in readers:
            if reader not in lost:
                await reader.stop()
                await reader.client.catch_up(beacon.publisher)
                assert reader.numbers(symbol) == list(range(beacon.sent))

    scene(play, make_hub({"hub.feeds": ["bus"]}))


@on_both_wires("make_hub")
def test_a_router_that_was_paused_blames_nobody_and_loses_nothing(make_hub: MakeHub) -> None:
    """It found everybody silent then, closed all legs, and 872 ticks and 45 order updates that
    waited on the bus went nowhere."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(hub.client(snapshot=False))
        await client.subscribe(symbol)
        await client.ask({"action": "subscribe_orders"})
        pid = hub.children["router"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for number in range(450):  # 4.5 s, which is the fault itself
                publisher.send(f"NSE_{symbol}_LTP", {"n": number})
                if number % 10 == 0:
                    publisher.send("X_orders", order_update(number))
                await asyncio.sleep(0.01)
        finally:
            os.kill(pid, signal.SIGCONT)
        await client.catch_up(publisher)
        assert numbers(client.seen, symbol) == list(range(450))
        orders = [m["n"] for m in client.seen if m.get("type") == "order_update"]
        assert orders == list(range(0, 450, 10))
        figures = await hub.figures_when(lambda f: "router" in f, "the router is heard again")
        assert figures["router"]["conflated"] == 0
        assert "is gone" not in hub.log()

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


@on_both_wires("make_hub")
def test_order_updates_wait_for_a_shard_that_was_stopped(make_hub: MakeHub) -> None:
    """It was taken for gone after 3 s, and 23 of 50 updates never reached its clients, who had
    noticed nothing."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(hub.client(snapshot=False))
        await client.ask({"action": "subscribe_orders"})
        await asyncio.sleep(5.5)  # the router's first seconds, in which it keeps all, are over
        pid = hub.children["shard-0"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for number in range(120):
                publisher.send("X_orders", order_update(number))
                await asyncio.sleep(0.05)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert "shard-0 is gone" in hub.log()
        for number in range(120, 140):
            publisher.send("X_orders", order_update(number))
            await asyncio.sleep(0.05)
        await client.catch_up(publisher)
        assert [m["n"] for m in client.seen if m.get("type") == "order_update"] == [*range(140)]
        figures = await hub.figures_when(lambda f: "router" in f, "the router is heard")
        assert figures["router"]["orders_unclaimed"] == 0

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 1}))


@on_both_wires("make_hub")
def test_order_updates_that_a_new_router_takes_in_reach_their_followers(make_hub: MakeHub) -> None:
    """After a kill 305 came in and 288 went out, uncounted: nobody had told his interest yet."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(hub.client(snapshot=False))
        await client.ask({"action": "subscribe_orders"})
        victim = hub.kill("router")
        number = 0
        while not hub.is_back("router", victim) or len(client.seen) < 20:
            for _ in range(5):
                publisher.send("X_orders", order_update(number))
                number += 1
            with suppress(TimeoutError):
                while True:
                    await client.next(0.01)
        await client.catch_up(publisher)
        got = [m["n"] for m in client.seen if m.get("type") == "order_update"]
        assert got == list(range(got[0], number)), "from the first that it took in, each once"

        def all_told(figures: dict[str, Message]) -> bool:
            return bool(figures["router"].get("orders", 0) == len(got))

        figures = await hub.figures_when(all_told, "each that came in has gone out")
        assert figures["router"]["orders_unclaimed"] == 0

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


@on_both_wires("make_hub")
def test_first_values_survive_the_death_of_a_shard_they_do_not_live_on(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbols = fresh(count=40)
        publisher = await stack.enter_async_context(hub.publisher())
        holders = [await stack.enter_async_context(hub.client()) for _ in range(2)]
        for holder in holders:
            await holder.subscribe(*symbols, mode=1)
        for symbol in symbols:
            publisher.send(f"NSE_{symbol}_LTP", {"n": 1})
        for holder in holders:
            await holder.catch_up(publisher)
        victim = hub.kill("shard-1")
        await until(lambda: hub.is_back("shard-1", victim), "the shard is back", BACK_S)
        for _ in range(2):
            client = await stack.enter_async_context(hub.client())
            await client.subscribe(*symbols, mode=1)
            shown = [await client.tick() for _ in range(5)] + await client.catch_up(publisher)
            assert len(shown) <= len(symbols), "no value twice"

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 2}))


@on_both_wires("make_hub")
def test_a_killed_router_disconnects_nobody_and_ticks_resume(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        followed = {"type": "order_update", "user_id": "anita", "n": 1}
        publisher = await stack.enter_async_context(hub.publisher())
        clients = [await stack.enter_async_context(hub.client(snapshot=False)) for _ in range(8)]
        simulated = await stack.enter_async_context(hub.client("simon"))
        for client in clients:
            await client.subscribe(symbol)
            await client.ask({"action": "subscribe_orders"})
        await simulated.subscribe("RELIANCE")
        readers = [Reader(client) for client in (*clients, simulated)]
        beacon = Beacon(publisher, symbol)
        await until(lambda: all(reader.numbers(symbol) for reader in readers[:-1]), "ticks come")
        victim = hub.kill("router")
        during = readers[0].client
        await during.send({"action": "ping", "_pingId": "alone"})
        await until(lambda: any(m.get("_pingId") == "alone" for m in during.seen), "shards answer")
        await until(lambda: hub.is_back("router", victim), "the router is back", BACK_S)
        sent, simulated_before = beacon.sent, len(simulated.seen)
        await until(
            lambda: all(reader.numbers(symbol)[-1] > sent for reader in readers[:-1]),
            "ticks resume on every shard",
        )
        await until(lambda: len(simulated.seen) > simulated_before, "the feed's resume too")
        await beacon.stop()
        publisher.send("X_orders", followed)
        await until(lambda: all(followed in c.seen for c in clients), "order updates come again")
        for reader in readers[:-1]:
            assert not reader.closed
            await reader.stop()
            got = reader.numbers(symbol)
            assert got == sorted(set(got)), "none twice, none out of order"
        late = await stack.enter_async_context(hub.client())
        await late.subscribe(symbol, snapshot=False)
        publisher.send(f"NSE_{symbol}_LTP", {"n": -1})
        assert len(await late.catch_up(publisher)) == 1, "a new subscribe is served as ever"
        await readers[-1].stop()

    scene(play, make_hub())


def test_a_killed_feed_is_asked_again_by_itself(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        clients = [await stack.enter_async_context(hub.client("simon")) for _ in range(4)]
        for client in clients:
            await client.subscribe("RELIANCE", "INFY", mode=2)
        readers = [Reader(client) for client in clients]
        await until(lambda: all(len(c.seen) > 10 for c in clients), "ticks come")
        victim = hub.kill("feed-sim")
        await until(lambda: hub.is_back("feed-sim", victim), "the feed is back", BACK_S)
        before = [len(client.seen) for client in clients]

        def again() -> bool:
            return all(
                ticks_of(client.seen[count:], symbol)
                for client, count in zip(clients, before, strict=True)
                for symbol in ("RELIANCE", "INFY")
            )

        await until(again, "ticks of all symbols resume")
        assert not any(reader.closed for reader in readers)
        for reader in readers:
            await reader.stop()
        assert (await clients[0].ask({"action": "get_broker_info"}))[
            "adapter_status"
        ] == "connected"
        await clients[0].subscribe("TCS", mode=1)
        await clients[0].until(lambda m: m.get("symbol") == "TCS")

    scene(play, make_hub({"hub.feeds": ["sim"], "hub.shards": 2}))


def test_a_subscribe_while_its_feed_is_down_is_answered_all_the_same(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        client = await stack.enter_async_context(hub.client("simon"))
        victim = hub.children["feed-sim"]
        os.kill(victim.pid, signal.SIGSTOP)
        wanted = [{"symbol": "RELIANCE", "exchange": "NSE"}]
        reply = await client.ask({"action": "subscribe", "symbols": wanted, "request_id": 1})
        assert (reply["status"], reply["request_id"]) == ("partial", 1)
        assert reply["subscriptions"][0]["status"] == "error"
        assert (await client.ask({"action": "ping"}))["type"] == "pong"
        os.kill(victim.pid, signal.SIGCONT)
        await client.subscribe("RELIANCE", mode=1)
        await client.tick()
        hub.kill("feed-sim")
        await client.subscribe("INFY", mode=1)
        await client.until(lambda m: m.get("symbol") == "INFY" and m.get("type") == "market_data")

    scene(play, make_hub({"hub.feeds": ["sim"], "hub.shards": 1, "upstream.answer_s": 1.0}))


def test_nobody_notices_the_death_of_the_monitor(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(hub.client(snapshot=False))
        await client.subscribe(symbol)
        reader, beacon = Reader(client), Beacon(publisher, symbol)
        await until(lambda: reader.numbers(symbol), "ticks come")
        others = {name: child for name, child in hub.children.items() if name != "monitor"}
        victim = hub.kill("monitor")
        await until(lambda: hub.is_back("monitor", victim), "the monitor is back", BACK_S)
        await hub.figures_when(lambda f: f["shard-0"]["clients"] == 1, "it knows everything again")
        await beacon.stop()
        await reader.stop()
        await client.catch_up(publisher)
        assert reader.numbers(symbol) == list(range(beacon.sent))
        assert {name: hub.children[name] for name in others} == others

    scene(play, make_hub({"hub.feeds": ["bus"], "hub.shards": 1}))


def test_nothing_outlives_a_killed_supervisor(make_hub: MakeHub) -> None:
    hub = make_hub()

    async def main() -> None:
        async with hub.client() as client:
            assert len(hub.left()) == 9, "supervisor, router, monitor, two feeds, four shards"
            os.kill(hub.pid, signal.SIGKILL)
            assert await client.closed() == 1012, "clients are told"
            await until(lambda: not hub.left(), "all of them are gone")

    asyncio.run(main())
    again = Hub(hub.flags | {"websocket.port": hub.first["ws"]})
    try:
        again.start()
        assert again.stop() == 0
    finally:
        again.discard()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL])
def test_who_comes_while_a_shard_stands_still_or_goes_is_served_by_another(
    make_hub: MakeHub, number: signal.Signals
) -> None:
    """The kernel still leads a quarter of all clients to its door, and it has the fewest: 14 of 40
    hung at a stopped one, 9 of 20 were lost by one that drained."""

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        before = [await stack.enter_async_context(hub.client("simon")) for _ in range(8)]
        victim = hub.children["shard-1"].pid
        os.kill(victim, number)
        if number is not signal.SIGSTOP:
            await until(lambda: any(one.socket.close_code for one in before), "it goes")
        try:
            new = [stack.enter_async_context(hub.client("simon")) for _ in range(40)]
            for client in await asyncio.gather(*new):
                assert (await client.ask({"action": "ping"}))["type"] == "pong"
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

    scene(play, make_hub({"hub.feeds": ["sim"]}))


def test_a_shard_that_is_stuck_does_not_hold_up_the_end(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["bus"], "hub.shards": 2, "hub.stop_s": 1.0})
    os.kill(hub.children["shard-0"].pid, signal.SIGSTOP)
    os.kill(hub.children["monitor"].pid, signal.SIGSTOP)
    assert hub.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_good_time(make_hub: MakeHub, number: signal.Signals) -> None:
    """Whoever held up the others would have `stop_s` for it, longer than the test waits."""
    hub = make_hub({"hub.stop_s": 4 * WITHIN_S})

    async def main() -> None:
        async with hub.publisher() as publisher, hub.client() as client:
            (symbol,) = fresh()
            await client.subscribe(symbol)
            reader, beacon = Reader(client), Beacon(publisher, symbol)
            await until(lambda: reader.numbers(symbol), "ticks come")
            code = await asyncio.to_thread(hub.stop, number)
            assert code == 0, hub.log()
            assert client.socket.close_code == 1012
            await beacon.stop()

    asyncio.run(main())
    assert "Traceback" not in hub.log()


def test_clients_that_do_not_read_do_not_hold_up_the_end(make_hub: MakeHub) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(
            hub.client(snapshot=False, sock=small_socket(hub.url), max_queue=1)
        )
        await client.subscribe(symbol)
        mute = stack.enter_context(small_socket(hub.url))
        for n in range(1000):
            publisher.send(f"NSE_{symbol}_LTP", {"n": n, "ballast": "x" * 10_000})
        await hub.figures_when(lambda f: f["shard-0"]["behind"] == 1, "it is behind")
        assert await asyncio.to_thread(hub.stop) == 0, "well before stop_s is over"
        assert mute.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert mute.recv(1) == b""

    flags = {"hub.feeds": ["bus"], "hub.shards": 1, "websocket.outbox_bytes": 65536}
    scene(play, make_hub(flags | {"hub.stop_s": 4 * WITHIN_S}))


def test_a_second_hub_on_the_same_directory_is_refused(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["bus"], "hub.shards": 1})
    said = refused({"hub.runtime_dir": str(hub.runtime_dir)})
    assert f"pid {hub.pid}" in said["text"]
    assert str(hub.runtime_dir) in said["text"]

    async def main() -> None:
        async with hub.client() as client:
            assert (await client.ask({"action": "ping"}))["type"] == "pong"

    asyncio.run(main())


@pytest.mark.parametrize("what", ["websocket", "bus"])
def test_a_port_in_use_is_named_with_who_has_it(make_hub: MakeHub, what: str) -> None:
    hub = make_hub({"hub.feeds": ["bus"], "hub.shards": 1})
    port = hub.first["ws" if what == "websocket" else "bus"]
    said = refused({f"{what}.port": port})
    assert f"{what}.port" in said["text"]
    assert str(port) in said["text"]
    assert "pid " in said["text"]
    assert hub.is_ready(), "the hub that has it lives on"


def test_a_port_that_a_stranger_listens_on_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert str(port) in refused({"websocket.port": port})["text"]


def refused(flags: dict[str, Any]) -> Message:
    """What a hub says that does not start with these flags."""
    hub = Hub(flags)
    try:
        hub.spawn()
        said = hub.first
        if "ws" in said:
            hub.stop()
        assert said.get("error") == "StartError", said
        assert hub.wait() == 73
        return said
    finally:
        hub.discard()
