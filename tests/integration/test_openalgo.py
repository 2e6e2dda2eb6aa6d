"""A hub beside a checkout of OpenAlgo: its keys, its adapters, two users, and what goes wrong.

The checkout is the miniature of tests/openalgo, whose adapters misbehave when they are told to.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from typing import Any

import psutil
import pytest
from argon2 import PasswordHasher

from tests.integration.harness import WITHIN_S, Hub, Message, Publisher, eventually, until
from tests.openalgo import Checkout

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class House:
    """A hub, the checkout it serves, and what its adapters were called for."""

    def __init__(self, **flags: Any) -> None:
        self.hub = Hub({"hub.shards": 2, "hub.feeds": ["openalgo"]})
        self.checkout = Checkout(self.hub.dir)
        self.hub.flags |= {
            "openalgo.path": str(self.checkout.root),
            "openalgo.python": sys.executable,
            "openalgo.linger_s": 0.5,
            "upstream.linger_s": 0.2,
            "upstream.answer_s": WITHIN_S,
            "hub.log_level": "info",
            **{name.replace("__", "."): value for name, value in flags.items()},
        }
        self.user("anita", "angel")
        self.user("ravi", "flattrade")
        self.user("zoe", "zerodha")

    def user(self, name: str, broker: str, token: str = "first token") -> None:
        """A user with an API key, logged in at a broker."""
        self.hub.keys[name] = f"the key of {name}"
        pepper = self.checkout.environment()["API_KEY_PEPPER"]
        self.checkout.key(name, CHEAP.hash(self.hub.keys[name] + pepper))
        self.checkout.login(name, broker, token)

    def calls(self, call: str, user: str = "") -> list[dict[str, Any]]:
        """The calls the adapters got, in their order."""
        return [one for one in self.checkout.calls(call) if not user or one["user"] == user]

    def worker(self) -> psutil.Process:
        """The process of the adapters."""
        (found,) = psutil.Process(self.hub.children["feed-openalgo"].pid).children()
        return found

    async def problem(self, text: str) -> None:
        """Wait until the feed's row says this."""
        await self.hub.figures_when(
            lambda rows: text in rows["feed-openalgo"]["problem"], f"problem {text}"
        )


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house() -> Iterator[MakeHouse]:
    """Makes houses whose hub is started; stopped in the end, with nothing left."""
    made: list[House] = []

    def make(*, start: bool = True, **flags: Any) -> House:
        house = House(**flags)
        made.append(house)
        if start:
            house.hub.start()
        return house

    try:
        yield make
        for house in made:
            if house.hub.first.get("ws") and house.hub.code is None:
                assert house.hub.stop() == 0, house.hub.log()
    finally:
        for house in made:
            house.hub.discard()


def ticks(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.get("type") == "market_data"]


def is_another(symbol: str, before: Message, tick: Message) -> bool:
    """Whether this is a tick of a symbol that another adapter has made than the one before."""
    return tick.get("symbol") == symbol and tick["data"]["adapter"] != before["data"]["adapter"]


async def refused(house: House, user: str) -> Message:
    """The error that an authenticate of this user is answered with."""
    async with house.hub.client("") as client:
        return await client.ask({"action": "auth", "api_key": house.hub.keys[user]})


def test_two_users_two_brokers_and_one_symbol_do_not_mix(make_house: MakeHouse) -> None:
    house = make_house()

    async def main() -> None:
        async with house.hub.client("anita") as anita, house.hub.client("zoe") as zoe:
            for client in (anita, zoe):
                await client.subscribe("RELIANCE", mode=2)
            for client, user, broker in ((anita, "anita", "angel"), (zoe, "zoe", "zerodha")):
                for _ in range(20):
                    tick = await client.tick()
                    assert (tick["data"]["user"], tick["broker"]) == (user, broker)
                numbers = [tick["data"]["n"] for tick in ticks(client.seen)]
                assert numbers == sorted(set(numbers))
            assert {call["user"] for call in house.calls("subscribe")} == {"anita", "zoe"}
            publisher = Publisher(house.hub.bus)  # the bus has no origin: it is everybody's
            with closing(publisher):
                for client in (anita, zoe):
                    async with asyncio.timeout(WITHIN_S):
                        while (await client.tick())["data"].get("from") != "the bus":
                            publisher.send("NSE_RELIANCE_QUOTE", {"from": "the bus"})

    asyncio.run(main())


def test_isolation_by_user_parts_two_users_of_one_broker(make_house: MakeHouse) -> None:
    house = make_house(start=False, upstream__isolate="user")
    house.user("zoe", "angel")
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as anita, house.hub.client("zoe") as zoe:
            await anita.subscribe("INFY")
            await zoe.subscribe("INFY")
            assert {(await anita.tick())["data"]["user"] for _ in range(10)} == {"anita"}
            assert {(await zoe.tick())["data"]["user"] for _ in range(10)} == {"zoe"}

    asyncio.run(main())


def test_users_of_one_broker_share_a_subscription_and_it_outlives_each_of_them(
    make_house: MakeHouse,
) -> None:
    house = make_house(start=False)
    house.user("zoe", "angel")
    house.hub.start()

    async def main() -> None:
        async with AsyncExitStack() as first:
            zoe = await first.enter_async_context(house.hub.client("zoe"))
            async with house.hub.client("anita") as anita:
                await zoe.subscribe("INFY")
                await anita.subscribe("INFY")
                assert (await anita.tick())["data"]["user"] == "zoe"
                assert len(house.calls("subscribe")) == 1
                await first.aclose()
                await until(lambda: house.calls("disconnect", "zoe"), "zoe's adapter has left")
                await anita.until(lambda tick: tick["data"]["user"] == "anita")

    asyncio.run(main())


def test_the_reply_tells_of_each_symbol_what_the_adapter_said(make_house: MakeHouse) -> None:
    house = make_house(start=False)
    house.checkout.mischief(subscribe={"depth": 20})
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as client:
            reply = await client.ask(
                {
                    "action": "subscribe",
                    "mode": "Depth",
                    "depth": 20,
                    "request_id": "r1",
                    "symbols": [
                        {"exchange": "NSE", "symbol": symbol} for symbol in ("M&M", "NOSUCH", "TCS")
                    ],
                }
            )
            good, bad = {"status": "success", "mode": "Depth", "depth": 20}, {"status": "error"}
            common = {"exchange": "NSE", "broker": "angel"}
            assert reply == {
                "type": "subscribe",
                "status": "partial",
                "subscriptions": [
                    {"symbol": "M&M"} | common | good,
                    {"symbol": "NOSUCH", "message": "no symbol NOSUCH"} | common | bad,
                    {"symbol": "TCS"} | common | good,
                ],
                "message": reply["message"],
                "broker": "angel",
                "request_id": "r1",
            }
            assert [call["symbol"] for call in house.calls("subscribe")] == ["M&M", "NOSUCH", "TCS"]

    asyncio.run(main())


def test_the_last_client_takes_the_login_with_it_and_flattrades_is_kept(
    make_house: MakeHouse,
) -> None:
    house = make_house()

    async def main() -> None:
        for user in ("anita", "ravi"):
            async with house.hub.client(user) as client:
                await client.subscribe("SBIN", "INFY", mode=3)
                await client.tick()
        await until(lambda: house.calls("disconnect", "anita"), "anita's adapter has left")
        await until(lambda: house.calls("unsubscribe_all", "ravi"), "ravi's has no symbols")
        async with house.hub.client("anita") as anita, house.hub.client("ravi") as ravi:
            await anita.subscribe("SBIN")
            await ravi.subscribe("SBIN")
            await ravi.tick()
        assert len(house.calls("connect", "anita")) == 2
        assert len(house.calls("connect", "ravi")) == 1
        assert not house.calls("disconnect", "ravi")

    asyncio.run(main())


def test_who_comes_back_in_time_finds_the_login(make_house: MakeHouse) -> None:
    house = make_house(openalgo__linger_s=60)

    async def main() -> None:
        for _ in range(3):
            async with house.hub.client("anita") as client:
                await client.subscribe("SBIN")
                await client.tick()
            await until(
                lambda: len(house.calls("unsubscribe")) == len(house.calls("subscribe")),
                "what was subscribed is released",
            )

    asyncio.run(main())
    assert len(house.calls("connect")) == 1


@pytest.mark.parametrize("victim", ["worker", "host"])
def test_a_process_that_is_killed_is_healed_and_clients_need_do_nothing(
    make_house: MakeHouse, victim: str
) -> None:
    house = make_house()

    async def main() -> None:
        async with house.hub.client("anita") as anita, house.hub.client("ravi") as ravi:
            before = {}
            for client in (anita, ravi):
                await client.subscribe("RELIANCE", "TCS", mode=2)
                before[client] = await client.tick()
            old = house.worker()
            if victim == "worker":
                old.kill()
            else:
                os.kill(house.hub.children["feed-openalgo"].pid, signal.SIGKILL)
            await until(lambda: len(house.calls("connect")) == 4, "both have connected again")
            await until(lambda: not old.is_running(), "the old worker is gone")
            for client in (anita, ravi):
                for symbol in ("RELIANCE", "TCS"):
                    await client.until(partial(is_another, symbol, before[client]))
        assert house.hub.children["shard-0"].restarts == 0

    asyncio.run(main())


def invalidate(house: House, user: str) -> None:
    """As OpenAlgo's pages do, from a PUB socket that has just connected."""
    publisher = Publisher(house.hub.bus)
    told = {"action": "invalidate", "user_id": user, "cache_type": "ALL"}

    before = int(asyncio.run(house.hub.figures()).get("router", {}).get("invalidations", 0))

    def arrived() -> bool:
        publisher.send(f"CACHE_INVALIDATE_ALL_{user}", told)
        router = asyncio.run(house.hub.figures()).get("router", {})
        return int(router.get("invalidations", 0)) > before

    try:
        eventually(arrived, "the invalidation has arrived")
    finally:
        publisher.close()


def test_a_new_token_is_taken_and_what_was_subscribed_goes_on(make_house: MakeHouse) -> None:
    house = make_house()

    async def main() -> None:
        async with house.hub.client("anita") as client:
            await client.subscribe("RELIANCE", mode=2)
            before = await client.tick()
            house.checkout.login("anita", "angel", "second token")
            await asyncio.to_thread(invalidate, house, "anita")
            await until(
                lambda: house.calls("initialize")[-1]["token"] == "second token", "it is taken"
            )
            await client.until(partial(is_another, "RELIANCE", before))

    asyncio.run(main())


def test_a_login_that_has_expired_tells_why_and_is_back_after_the_next_one(
    make_house: MakeHouse,
) -> None:
    house = make_house()

    async def main() -> None:
        async with house.hub.client("anita") as client:
            await client.subscribe("RELIANCE", mode=2)
            before = await client.tick()
            house.checkout.logout("anita")
            await asyncio.to_thread(invalidate, house, "anita")
            await house.problem("no token for anita")
            await client.send({"action": "subscribe", "symbol": "TCS", "exchange": "NSE"})
            error = await client.reply()
            assert error["code"] == "BROKER_ERROR"
            assert "no token for anita" in error["message"]
            assert (await client.ask({"action": "subscribe_orders"}))["status"] == "success"
            house.checkout.login("anita", "angel", "third token")
            await asyncio.to_thread(invalidate, house, "anita")
            while (await client.ask({"action": "get_broker_info"}))[
                "adapter_status"
            ] != "connected":
                pass
            await client.until(partial(is_another, "RELIANCE", before))
            await client.subscribe("TCS")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("call", "order", "code"),
    [
        ("initialize", {"error": "no credentials"}, "BROKER_CONNECTION_ERROR"),
        ("connect", {"error": "the market is closed"}, "BROKER_CONNECTION_ERROR"),
        ("connect", {"raise": "out of cheese"}, "BROKER_CONNECTION_ERROR"),
    ],
)
def test_why_a_login_fails_is_the_brokers_own_reason(
    make_house: MakeHouse, call: str, order: dict[str, str], code: str
) -> None:
    house = make_house(start=False)
    house.checkout.mischief(**{call: order})
    house.hub.start()
    error = asyncio.run(refused(house, "anita"))
    assert error == {"status": "error", "code": code, "message": next(iter(order.values()))}
    house.checkout.mischief()

    async def again() -> None:
        async with house.hub.client("anita") as client:
            await client.subscribe("RELIANCE")
            await client.tick()

    asyncio.run(again())


def test_an_adapter_that_hangs_is_named_and_stops_nobody_else(make_house: MakeHouse) -> None:
    house = make_house(start=False, openalgo__max_hang_s=1.0)
    house.checkout.mischief(anita__subscribe={"until": "let go"})
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as anita, house.hub.client("ravi") as ravi:
            await anita.send({"action": "subscribe", "symbol": "TCS", "exchange": "NSE"})
            await ravi.subscribe("TCS")
            for _ in range(5):
                await ravi.tick()
            await house.problem("angel/anita: hangs in subscribe")
            reply = await anita.reply()
            assert reply["status"] == "partial"
            assert "does not return from subscribe" in reply["subscriptions"][0]["message"]
            house.checkout.mischief()
            house.checkout.let_go("let go")
            await anita.subscribe("TCS")
            await anita.tick()

    asyncio.run(main())


def test_a_new_login_cures_an_adapter_that_hangs(make_house: MakeHouse) -> None:
    house = make_house(start=False, openalgo__max_hang_s=1.0)
    house.checkout.mischief(anita__subscribe={"until": "doomsday", "symbols": ["TCS"]})
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as anita:
            await anita.subscribe("RELIANCE")
            before = await anita.tick()
            await anita.send({"action": "subscribe", "symbol": "TCS", "exchange": "NSE"})
            await house.problem("angel/anita: hangs in subscribe")
            house.checkout.mischief()
            await asyncio.to_thread(invalidate, house, "anita")
            await anita.until(partial(is_another, "RELIANCE", before))
            await anita.subscribe("TCS")
            await anita.until(partial(is_another, "TCS", before))

    asyncio.run(main())


def test_a_client_that_was_let_in_while_its_login_hung_is_served_after_the_next(
    make_house: MakeHouse,
) -> None:
    house = make_house(start=False, openalgo__max_hang_s=1.0, upstream__login_s=0.3)
    house.checkout.mischief(anita__connect={"until": "doomsday"})
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as anita:
            await house.problem("angel/anita: hangs in connect")
            await anita.send({"action": "subscribe", "symbol": "TCS", "exchange": "NSE"})
            assert "does not return from connect" in (await anita.reply())["message"]
            house.checkout.mischief()
            await asyncio.to_thread(invalidate, house, "anita")
            while (await anita.ask({"action": "get_broker_info"}))["adapter_status"] != "connected":
                pass
            await anita.subscribe("TCS")
            await anita.tick()

    asyncio.run(main())


def test_a_client_whose_broker_takes_long_is_let_in_and_served_later(
    make_house: MakeHouse,
) -> None:
    house = make_house(start=False, upstream__login_s=0.3)
    house.checkout.mischief(anita__connect={"until": "connected"})
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as client:
            info = await client.ask({"action": "get_broker_info"})
            assert info["adapter_status"] == "disconnected"
            await client.send({"action": "subscribe", "symbol": "TCS", "exchange": "NSE"})
            house.checkout.let_go("connected")
            assert (await client.reply())["status"] == "success"
            await client.tick()

    asyncio.run(main())


def test_keys_are_those_of_openalgo_and_so_are_errors(make_house: MakeHouse) -> None:
    house = make_house(keys__cache_s=1)

    async def main() -> None:
        assert (await refused(house, "simon"))["code"] == "BROKER_ERROR", "a key of the hub's own"
        house.hub.keys["zoe"] = "not zoe's key"
        assert (await refused(house, "zoe"))["code"] == "AUTHENTICATION_ERROR"
        house.user("zoe", "zerodha")
        house.checkout.logout("zoe")
        async with asyncio.timeout(WITHIN_S):  # the rows are looked at once a second
            while (await refused(house, "zoe"))["code"] != "BROKER_ERROR":
                pass
        async with house.hub.client("anita") as client:
            pepper = house.checkout.environment()["API_KEY_PEPPER"]
            house.checkout.key("anita", CHEAP.hash("a new key" + pepper))
            assert await client.closed() == 1008
        assert (await refused(house, "anita"))["code"] == "AUTHENTICATION_ERROR"

    asyncio.run(main())
    log = house.hub.log()
    for secret in (*house.hub.keys.values(), "first token", "pepper-that"):
        assert secret not in log


def test_no_secret_stands_in_a_command_line_and_none_of_the_adapters_outlives_the_hub(
    make_house: MakeHouse,
) -> None:
    house = make_house()

    async def main() -> None:
        async with house.hub.client("anita") as client:
            await client.subscribe("TCS")

    asyncio.run(main())
    worker = house.worker()
    line = " ".join(worker.cmdline())
    environment = house.checkout.environment()
    assert environment["API_KEY_PEPPER"] not in line
    assert environment["BROKER_API_KEY"] not in line
    assert worker.environ()["LOG_LEVEL"] == "INFO", "as the hub logs, not as OpenAlgo does"
    os.kill(house.hub.children["feed-openalgo"].pid, signal.SIGKILL)
    eventually(lambda: not worker.is_running(), "the leash has ended")
    with suppress(psutil.NoSuchProcess):
        eventually(lambda: house.hub.is_ready() and bool(house.worker()), "there is another")
    last = house.worker()
    assert house.hub.stop() == 0
    eventually(lambda: not last.is_running(), "it has left with the hub")
    assert house.calls("disconnect", "anita")


def test_openalgos_health_page_finds_the_stats_file(make_house: MakeHouse) -> None:
    house = make_house(start=False)
    file = house.checkout.root / "log" / "ws_proxy_stats.json"
    file.parent.mkdir(exist_ok=True)
    house.hub.start()

    async def main() -> None:
        async with house.hub.client("anita") as anita, house.hub.client("zoe") as zoe:
            await anita.subscribe("RELIANCE", mode=1)
            await anita.subscribe("INFY", mode=3)
            await zoe.subscribe("INFY", mode=2)
            expected = {"total_connections": 2, "total_symbols": 3, "clients_connected": 2}
            await until(
                lambda: expected.items() <= read().items(), f"figures {expected}", 2 * WITHIN_S
            )
            assert sorted(read()["brokers"]) == ["angel", "zerodha"]

    def read() -> dict[str, Any]:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content

    asyncio.run(main())
