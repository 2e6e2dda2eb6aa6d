"""What a client of OpenAlgo's proxy is answered and sent, row by row: tests/vectors/contract.json.

The rows are written from the contract, not from what the hub says. One hub serves the miniature
checkout for all of them.

`replies`: who is connected, what was asked before, a request (text as it is; an array is several,
sent at once) and the replies to it. `deliveries`: what a client has said, what is published, and
what of it the client is sent. Replies are compared as JSON text, so names, order and types count;
`*` stands for a text for people, and for the server's time. `$anita` is that user's API key and
`$anita!` one that is nearly it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import WITHIN_S, Client, Message, Publisher, together
from tests.integration.test_openalgo import CHEAP, House
from tests.integration.test_protocol import masked, with_keys

TABLE: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "contract.json").read_text(encoding="utf-8")
)
GRACE_S = 3
ENVIRONMENT = {
    "VALID_BROKERS": " angel, zerodha,,fyers ",
    "WS_AUTH_GRACE_SECONDS": str(GRACE_S),
    "MAX_SYMBOLS_PER_WEBSOCKET": "5",
    "MAX_WEBSOCKET_CONNECTIONS": "2",
}
SYMBOLS = {
    "NSE": ("BAJAJ-AUTO", "RELIANCE:50", "QUIET", "FENCE", *(f"C{n}" for n in range(1, 14))),
    "NSE_INDEX": ("NIFTY 50",),
    "MCX_INDEX": ("GOLD",),
    "GLOBAL_INDEX": ("US30",),
    "CRYPTO": ("SOL_INR", "BTCUSD.P"),
}
MISCHIEF: dict[str, dict[str, Any]] = {
    "connie__connect": {"error": "the market is closed"},
    "iris__initialize": {"error": "there are no credentials"},
    "tara__connect": {"error": "401 unauthorized", "times": 1},
    "dora__subscribe": {"depth": 20},
}

_fences = itertools.count(1)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A hub and a checkout with users of all kinds; in the end it closes with 1012."""
    house = House(upstream__isolate="user")
    try:
        furnish(house)
        house.hub.start()
        yield house
        assert asyncio.run(close_codes_of_the_end(house)) == [1012, 1012], house.hub.log()
    finally:
        house.hub.discard()


@pytest.fixture(scope="module")
def publisher(house: House) -> Iterator[Publisher]:
    """A publisher whose messages arrive."""
    publisher = Publisher(house.hub.bus)

    async def arrive() -> None:
        async with connected(house, "anita") as client:
            await follow_fences(client)
            async with asyncio.timeout(WITHIN_S):
                while not await passes_fence(client, publisher, within_s=0.1):
                    pass

    try:
        asyncio.run(arrive())
        yield publisher
    finally:
        publisher.close()


@pytest.mark.parametrize("row", TABLE["replies"], ids=lambda row: row["name"])
def test_a_request_gets_its_replies_and_no_other(house: House, row: dict[str, Any]) -> None:
    async def main() -> None:
        async with connected(house, row["as"]) as client:
            for request in row["prepare"]:
                await client.ask(with_keys(request, house.hub))
            several = isinstance(row["request"], list)
            for request in row["request"] if several else [row["request"]]:
                await client.send(with_keys(request, house.hub))
            for expected in row["expect"]:
                assert json.dumps(masked(await client.reply())) == json.dumps(expected)
            await nothing_follows(client)

    asyncio.run(main())


def test_a_request_may_come_as_a_binary_frame(house: House) -> None:
    async def main() -> None:
        async with connected(house, "") as client:
            await client.socket.send(json.dumps(key_of(house, "anita")).encode())
            assert (await client.reply())["user_id"] == "anita"
            for data, code in ((b"{", "INVALID_JSON"), (b"\xff{}", "SERVER_ERROR")):
                await client.socket.send(data)
                assert (await client.reply())["code"] == code
            await nothing_follows(client)

    asyncio.run(main())


def test_a_connect_that_fails_for_a_stale_token_is_tried_once_more(house: House) -> None:
    async def main() -> None:
        async with connected(house, "tara"):
            pass

    asyncio.run(main())
    assert len(house.calls("connect", "tara")) == 2


@pytest.mark.parametrize("row", TABLE["deliveries"], ids=lambda row: row["name"])
def test_a_client_is_sent_its_part_of_what_is_published(
    house: House, publisher: Publisher, row: dict[str, Any]
) -> None:
    async def main() -> None:
        async with connected(house, row["as"]) as client:
            for request in row["says"]:
                await client.ask(with_keys(request, house.hub))
            if row["as"]:
                await follow_fences(client)
            for topic, data in row["bus"]:
                if isinstance(data, str):
                    publisher.send_raw(topic.encode(), data.encode())
                else:
                    publisher.send(topic, data)
            async with asyncio.timeout(WITHIN_S):
                while len(published(client)) < len(row["expect"]):
                    await client.next()
                while row["as"] and not await passes_fence(client, publisher):
                    pass
            await nothing_follows(client)
            assert json.dumps(published(client)) == json.dumps(row["expect"])

    asyncio.run(main())


def test_an_adapters_tick_is_tagged_and_passed_on_as_it_is(house: House) -> None:
    async def main() -> None:
        async with connected(house, "zoe") as client:
            await client.subscribe("RELIANCE", mode=2, snapshot=False)
            tick = await client.tick()
            data = tick["data"]
            assert list(data) == ["symbol", "exchange", "n", "thread", "ltp", "user", "adapter"]
            assert (data["symbol"], data["exchange"], data["user"]) == ("RELIANCE", "NSE", "zoe")
            assert json.dumps(tick) == json.dumps({
                "type": "market_data", "symbol": "RELIANCE", "exchange": "NSE", "mode": 2,
                "data": data, "broker": "zerodha",
            })  # fmt: skip

    asyncio.run(main())


def test_who_does_not_authenticate_in_time_is_closed_with_4401(house: House) -> None:
    """In time is from connect, whatever is said meanwhile; a valid key counts, broker or not."""

    async def closes(request: Message | None) -> int:
        async with connected(house, "") as client:
            if request:
                await client.ask(request)
            return await client.closed()

    async def stays(user: str) -> str:
        async with connected(house, "") as client:
            await client.ask(key_of(house, user))
            await closes(None)
            return str((await client.ask({"action": "ping"}))["type"])

    async def main() -> None:
        since_s = time.monotonic()
        wrong = {"action": "auth", "api_key": "wrong"}
        cases = [closes(None), closes({"action": "ping"}), closes(wrong)]
        found = await together([*cases, stays("anita"), stays("noah")])
        assert found == [4401, 4401, 4401, "pong", "pong"]
        assert time.monotonic() - since_s >= GRACE_S - 0.1

    asyncio.run(main())


def test_a_message_of_more_than_1_mib_is_closed_with_1009(house: House) -> None:
    async def main() -> None:
        async with connected(house, "anita") as client:
            empty = json.dumps({"action": "ping", "pad": ""})
            pad = "x" * ((1 << 20) - len(empty))
            await client.send({"action": "ping", "pad": pad})
            assert (await client.reply())["type"] == "pong"
            await client.send({"action": "ping", "pad": pad + "x"})
            assert await client.closed() == 1009

    asyncio.run(main())


# Below: details.


def furnish(house: House) -> None:
    """The users, symbols and settings that the rows speak of."""
    for user, broker in {
        "una_k sharma": "zerodha",
        "carl": "dhan_sandbox",
        "dora": "shoonya",
        "tara": "fyers",
        "connie": "angel",
        "iris": "angel",
        "nora": "nosuchbroker",
        "rhea": "angel",
    }.items():
        house.user(user, broker)
    house.checkout.logout("rhea")
    house.hub.keys["noah"] = "the key of noah"
    pepper = house.checkout.environment()["API_KEY_PEPPER"]
    house.checkout.key("noah", CHEAP.hash(house.hub.keys["noah"] + pepper))
    for exchange, symbols in SYMBOLS.items():
        house.checkout.symbols(symbols, exchange)
    house.checkout.mischief(**MISCHIEF)
    file = house.checkout.root / ".env"
    changed = "".join(f"{name} = '{value}'\n" for name, value in ENVIRONMENT.items())
    kept = [
        line
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.partition("=")[0].strip() not in ENVIRONMENT
    ]
    file.write_text("".join(kept) + changed, encoding="utf-8")


def key_of(house: House, user: str) -> Message:
    """An authenticate as this user."""
    return {"action": "authenticate", "api_key": house.hub.keys[user]}


@asynccontextmanager
async def connected(house: House, user: str) -> AsyncIterator[Client]:
    """A client that has authenticated, unless `user` is empty."""
    async with house.hub.client(user) as client:
        yield client


async def nothing_follows(client: Client) -> None:
    """No further reply comes before a pong that is asked for now."""
    await client.send({"action": "ping", "_pingId": "the end"})
    reply = await client.reply()
    assert reply.get("_pingId") == "the end", reply


async def follow_fences(client: Client) -> None:
    """From now on fences reach this client."""
    await client.subscribe("FENCE", snapshot=False)


async def passes_fence(client: Client, publisher: Publisher, within_s: float = WITHIN_S) -> bool:
    """Publish a fence; whether it has come, and with it all that was published before."""
    fence = {"fence": next(_fences)}
    publisher.send("NSE_FENCE_LTP", fence)
    try:
        async with asyncio.timeout(within_s):
            while (await client.next()).get("data") != fence:
                pass
    except TimeoutError:
        return False
    return True


def published(client: Client) -> list[Message]:
    """What a client has seen of what was published on the bus: no replies, no fences, and none
    of the adapters' own ticks."""
    return [
        message
        for message in client.seen
        if message.get("type") == "order_update"
        or (
            message.get("type") == "market_data"
            and message["symbol"] != "FENCE"
            and "adapter" not in message["data"]
        )
    ]


async def close_codes_of_the_end(house: House) -> list[int]:
    """Stop the hub; how it closes who has authenticated and who has not."""
    async with connected(house, "anita") as known, connected(house, "") as unknown:
        stopped = asyncio.create_task(asyncio.to_thread(house.hub.stop))
        codes = await together([known.closed(), unknown.closed()])
        assert await stopped == 0, house.hub.log()
        return codes
