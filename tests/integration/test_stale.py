"""What is stale is seen: in `hub status`, by clients that ask, while its market is open."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import ROOT, Client, Hub, Message, fresh

_LATER = ("thu", "fri", "sat", "sun", "mon", "tue", "wed")[datetime.now(UTC).weekday()]
FLAGS = {
    "hub.feeds": ["bus"],
    "hub.shards": 2,
    "upstream.stale_s": 1.0,
    "market.sessions": ["NSE always", f"BSE {_LATER} 10:00-11:00"],
    "market.calendar": "",
}
"""NSE is open, and BSE is not for three days to come."""
ASKS: Message = {"stale_info": True}
QUOTE = 2


def played(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @functools.wraps(test)
    def play(*args: Any, **more: Any) -> None:
        async def main() -> None:
            await test(*args, **more)

        asyncio.run(main())

    return play


@pytest.fixture(scope="module")
def stale_hub() -> Iterator[Hub]:
    """A hub for the tests of this module that break nothing."""
    hub = Hub(FLAGS)
    try:
        yield hub.start()
        assert hub.stop() == 0, hub.log()
    finally:
        hub.discard()


async def stale_at(hub: Hub, count: int) -> Message:
    """The figures of the feed as soon as so many of its topics are stale."""
    figures = await hub.figures_when(
        lambda figures: figures["feed-bus"]["stale"] == count, f"{count} stale"
    )
    return figures["feed-bus"]


def told(symbol: str, *, stale: bool, exchange: str = "NSE", broker: str = "zerodha") -> Message:
    return {
        "type": "stale",
        "symbol": symbol,
        "exchange": exchange,
        "mode": QUOTE,
        "stale": stale,
        "broker": broker,
    }


async def next_notice(client: Client) -> Message:
    return await client.until(lambda message: message.get("type") == "stale")


def notices(client: Client) -> list[Message]:
    """All it was told of what is stale."""
    return [message for message in client.seen if message.get("type") == "stale"]


def status(hub: Hub, *more: str) -> str:
    """What `hub status` shows."""
    return subprocess.run(
        [sys.executable, "-m", "cli", "status", "--runtime-dir", str(hub.runtime_dir), *more],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@played
async def test_what_stops_is_stale_for_all_who_ask_and_fresh_when_it_ticks_again(
    stale_hub: Hub,
) -> None:
    """Two shards have clients for it, and it is one topic all the same."""
    hub, (symbol,) = stale_hub, fresh()
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(hub.publisher())
        askers = [await stack.enter_async_context(hub.client(form=ASKS)) for _ in range(4)]
        other = await stack.enter_async_context(hub.client())
        for client in (*askers, other):
            await client.subscribe(symbol, mode="Quote")
        await hub.figures_when(
            lambda figures: all(figures[f"shard-{n}"]["symbols"] == 1 for n in range(2)),
            "both shards hold it",
        )
        for number in range(3):
            publisher.send(f"NSE_{symbol}_QUOTE", {"n": number})
        for client in askers:
            assert await next_notice(client) == told(symbol, stale=True)
        figures = await stale_at(hub, 1)
        assert figures["stale_first"] == [f"NSE_{symbol}"]
        rows = {row["name"]: row for row in json.loads(status(hub, "--json"))["processes"]}
        assert rows["feed-bus"]["stale"] == 1
        assert rows["feed-bus"]["stale_first"] == [f"NSE_{symbol}"]
        text = status(hub)
        assert "1 stale" in text
        assert f"feed-bus: 1 topic has no ticks though its market is open: NSE_{symbol}" in text
        publisher.send(f"NSE_{symbol}_QUOTE", {"n": 3})
        for client in askers:
            assert await next_notice(client) == told(symbol, stale=False)
            assert [one["stale"] for one in notices(client)] == [True, False]
        assert (await stale_at(hub, 0))["stale_first"] == []
        await other.catch_up(publisher)
        assert not notices(other), "nobody else gets anything new"


@played
async def test_nothing_is_stale_while_its_market_is_closed(stale_hub: Hub) -> None:
    """The topic of the open market shows that there was time enough, twice."""
    hub, (symbol,) = stale_hub, fresh()
    async with hub.client(form=ASKS) as client, hub.publisher() as publisher:
        await client.subscribe(symbol, exchange="BSE", mode="Quote")
        await client.subscribe(symbol, exchange="GLOBAL", mode="Quote")
        await client.subscribe(symbol, exchange="NSE", mode="Quote")
        for exchange in ("BSE", "GLOBAL", "NSE"):
            publisher.send(f"{exchange}_{symbol}_QUOTE", {"n": 0})
        assert await next_notice(client) == told(symbol, stale=True)
        publisher.send(f"NSE_{symbol}_QUOTE", {"n": 1})
        assert await next_notice(client) == told(symbol, stale=False)
        assert await next_notice(client) == told(symbol, stale=True)
        figures = await stale_at(hub, 1)
        assert figures["stale_first"] == [f"NSE_{symbol}"]
        await client.catch_up(publisher)
        assert all(one["exchange"] == "NSE" for one in notices(client))


@pytest.mark.parametrize(
    "form", [{}, {"batch": True}, {"batch": True, "encoding": "msgpack"}], ids=str
)
@played
async def test_who_subscribes_what_is_stale_is_told_right_after_the_reply_and_the_first_value(
    stale_hub: Hub, form: Message
) -> None:
    """By the shard that knows it and by the other one, in their form and never in a batch."""
    hub, (symbol, never) = stale_hub, fresh(count=2)
    form = {"batch": False, "encoding": "json"} | form if form else form
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(hub.publisher())
        first = await stack.enter_async_context(hub.client())
        await first.subscribe(symbol, never, mode="Quote")
        publisher.send(f"NSE_{symbol}_QUOTE", {"n": 0})
        await stale_at(hub, 2)
        for _ in range(2):
            late = await stack.enter_async_context(hub.client(form=ASKS | form))
            reply = await late.ask(
                {
                    "action": "subscribe",
                    "symbols": [{"symbol": one, "exchange": "NSE"} for one in (symbol, never)],
                    "mode": "Quote",
                }
            )
            assert reply["type"] == "subscribe"
            found = {json.dumps(await next_notice(late)) for _ in range(2)}
            assert found == {json.dumps(told(one, stale=True)) for one in (symbol, never)}
            assert await late.ask({"action": "unsubscribe_all"})
            await late.subscribe(symbol, mode="Quote")
            assert await next_notice(late) == told(symbol, stale=True), "it forgot with the symbol"


@played
async def test_what_a_killed_shard_had_quiet_is_counted_no_more(make_hub: MakeHub) -> None:
    hub = make_hub(FLAGS)
    symbols = fresh(count=2)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(hub.client()) for _ in symbols]
        for client, symbol in zip(clients, symbols, strict=True):
            await client.subscribe(symbol, mode="Quote")
        await stale_at(hub, 2)
        victim = hub.kill("shard-0")
        await stale_at(hub, 1)
        await hub.figures_when(
            lambda figures: hub.is_back("shard-0", victim) and figures["shard-0"]["clients"] == 0,
            "the shard is back",
        )
        assert (await stale_at(hub, 1))["stale_first"][0].removeprefix("NSE_") in symbols


@played
async def test_a_new_feed_host_is_told_what_is_quiet_and_clients_notice_nothing(
    make_hub: MakeHub,
) -> None:
    hub = make_hub(FLAGS)
    (symbol,) = fresh()
    async with hub.client(form=ASKS) as client, hub.publisher() as publisher:
        await client.subscribe(symbol, mode="Quote")
        assert await next_notice(client) == told(symbol, stale=True)
        killed_s = time.monotonic()
        hub.kill("feed-bus")
        await hub.figures_when(
            lambda figures: (
                figures["feed-bus"]["uptime_s"] < time.monotonic() - killed_s
                and figures["feed-bus"]["stale"] == 1
            ),
            "the new one knows",
        )
        publisher.send(f"NSE_{symbol}_QUOTE", {"n": 1})
        assert await next_notice(client) == told(symbol, stale=False)


@played
async def test_with_a_new_router_it_goes_on(make_hub: MakeHub) -> None:
    """All is counted anew, as ticks may have been missed; that may take less than its client would
    notice."""
    hub = make_hub(FLAGS)
    (symbol,) = fresh()
    async with hub.client(form=ASKS) as client:
        await client.subscribe(symbol, mode="Quote")
        assert await next_notice(client) == told(symbol, stale=True)
        victim = hub.kill("router")
        await hub.figures_when(lambda _: hub.is_back("router", victim), "it is back")
        async with hub.publisher() as publisher:
            publisher.send(f"NSE_{symbol}_QUOTE", {"n": 1})
            assert await next_notice(client) == told(symbol, stale=False)
            assert await next_notice(client) == told(symbol, stale=True)


@played
async def test_nobody_is_told_anything_when_it_is_turned_off(make_hub: MakeHub) -> None:
    hub = make_hub(FLAGS | {"upstream.stale_s": 0.0})
    (symbol,) = fresh()
    async with hub.client(form=ASKS) as client, hub.publisher() as publisher:
        await client.subscribe(symbol, mode="Quote")
        for _ in range(3):
            assert (await stale_at(hub, 0))["stale_first"] == []
        await client.catch_up(publisher)
        assert not notices(client)
