"""The client protocol and the bus as OpenAlgo's clients and publishers know them.

The tables are in tests/vectors: requests with the replies they get, modes as clients write them,
topics as the bus carries them. Replies are compared as JSON text, so names, order and types count.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.conftest import MakeHub
from tests.integration.harness import (
    Client,
    Hub,
    Message,
    fresh,
    numbers,
    small_socket,
    ticks_of,
    together,
    until,
)

VECTORS = Path(__file__).parents[1] / "vectors"


def table(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


CONVERSATIONS: list[dict[str, Any]] = table("conversations.json")
MODES: list[tuple[Any, str | None]] = table("modes.json")
TOPICS: list[tuple[str, str, str, int]] = table("topics.json")


# Requests and replies.


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda row: row["what"])
def test_a_request_gets_the_reply_of_the_contract(hub: Hub, conversation: dict[str, Any]) -> None:
    async def main() -> None:
        async with hub.client(conversation["user"]) as client:
            for request, expected in conversation["say"]:
                reply = await client.ask(with_keys(request, hub))
                assert json.dumps(masked(reply)) == json.dumps(expected)

    asyncio.run(main())


def test_requests_may_come_as_binary_frames_and_are_answered_as_text(hub: Hub) -> None:
    async def main() -> None:
        for conversation in CONVERSATIONS[:40]:
            async with hub.client(conversation["user"]) as client:
                for request, expected in conversation["say"]:
                    text = (
                        request if isinstance(request, str) else json.dumps(with_keys(request, hub))
                    )
                    await client.socket.send(text.encode())
                    assert json.dumps(masked(await client.reply())) == json.dumps(expected)
        async with hub.client("") as client:
            await client.socket.send(b"\xff{}")
            assert (await client.next())["code"] == "SERVER_ERROR"

    asyncio.run(main())


def test_modes_are_read_as_the_contract_writes_them(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client() as client:
            for n, (mode, label) in enumerate(MODES):
                one = {"symbol": f"MODE{n}", "exchange": "NSE"}
                reply = await client.ask({"action": "subscribe", "symbols": [one], "mode": mode})
                gone = await client.ask({"action": "unsubscribe", **one, "mode": mode})
                each = await client.ask(
                    {"action": "unsubscribe", "symbols": [one | {"mode": mode}]}
                )
                if label is None:
                    assert reply["code"] == gone["code"] == "INVALID_MODE", mode
                    assert each["status"] == "error", mode
                else:
                    assert reply["subscriptions"][0]["mode"] == label
                    assert gone["status"] == each["status"] == "success", mode

    asyncio.run(main())


def test_the_pong_tells_the_servers_time_in_milliseconds(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client("") as client:
            before_ms = time.time_ns() // 1_000_000
            pong = await client.ask({"action": "ping"})
            assert before_ms <= pong["server_timestamp"] <= time.time_ns() // 1_000_000

    asyncio.run(main())


def test_a_user_whose_broker_no_feed_serves_gets_a_broker_error(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.feeds": ["sim"], "hub.shards": 1})

    async def main() -> None:
        async with hub.client("") as client:
            key = {"action": "authenticate", "api_key": hub.keys["anita"]}
            assert (await client.ask(key))["code"] == "BROKER_ERROR"
            one = {"symbols": [{"symbol": "RELIANCE", "exchange": "NSE"}]}
            for action in ("subscribe", "unsubscribe", "unsubscribe_all", "get_broker_info"):
                assert (await client.ask({"action": action} | one))["code"] == "BROKER_ERROR"
            reply = await client.ask({"action": "subscribe", "mode": "x"} | one)
            assert reply["code"] == "INVALID_MODE"
            assert (await client.ask({"action": "subscribe_orders"}))["status"] == "success"
            other = {"action": "authenticate", "api_key": hub.keys["simon"]}
            assert (await client.ask(other))["broker"] == "sim"
            assert (await client.ask({"action": "subscribe"} | one))["status"] == "success"

    asyncio.run(main())


def test_a_subscribe_right_behind_authenticate_waits_for_it(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with hub.client("") as client:
            await client.send({"action": "authenticate", "api_key": hub.keys["anita"]})
            one = {"symbol": symbol, "exchange": "NSE"}
            await client.send({"action": "subscribe", **one, "mode": 1})
            await client.send({"action": "ping"})
            await client.send({"action": "unsubscribe", **one, "mode": 1})
            await client.send({"action": "nonsense"})
            replies = [await client.next() for _ in range(5)]
            kinds = [reply.get("type") or reply["code"] for reply in replies]
            assert kinds == ["auth", "subscribe", "pong", "unsubscribe", "INVALID_ACTION"]
            assert replies[1]["subscriptions"][0]["status"] == "success"

    asyncio.run(main())


def test_an_error_does_not_overtake_the_replies_before_it(hub: Hub) -> None:
    async def main() -> None:
        for _ in range(10):
            one, two = ({"symbol": symbol, "exchange": "NSE"} for symbol in fresh(count=2))
            async with hub.client() as client:
                await client.send({"action": "subscribe", "symbols": [one]})
                await client.send({"action": "subscribe", "symbols": [one], "mode": 9})
                await client.send({"action": "subscribe"})
                await client.send({"action": "subscribe", "symbols": [two]})
                await client.send("not JSON")
                replies = [await client.next() for _ in range(5)]
                kinds = [reply.get("type") or reply["code"] for reply in replies]
                assert kinds == [
                    "subscribe", "INVALID_MODE", "INVALID_PARAMETERS", "subscribe", "INVALID_JSON",
                ]  # fmt: skip

    asyncio.run(main())


def test_a_message_that_fails_half_way_leaves_what_came_before_it_in_peace(hub: Hub) -> None:
    async def main() -> None:
        held, symbol = fresh(count=2)
        async with hub.client() as client, hub.publisher() as publisher:
            await client.subscribe(held)
            bad = {"action": "subscribe", "symbols": [{"symbol": symbol, "exchange": "NSE"}, "x"]}
            assert (await client.ask(bad))["code"] == "SERVER_ERROR"
            publisher.send(f"NSE_{held}_LTP", {"ltp": 1})
            assert len(ticks_of(await client.catch_up(publisher), held)) == 1

    asyncio.run(main())


# Ticks.


@pytest.mark.parametrize("row", TOPICS, ids=lambda row: row[0])
def test_a_topic_reaches_who_holds_its_exchange_and_symbol(
    hub: Hub, row: tuple[str, str, str, int]
) -> None:
    topic, exchange, symbol, mode = row

    async def main() -> None:
        async with hub.client() as client, hub.publisher() as publisher:
            await client.subscribe(symbol, exchange=exchange, mode=mode, snapshot=False)
            data = {"ltp": 1.5, "symbol": "other", "exchange": "other", "mode": 9}
            publisher.send(topic, data)
            (tick,) = await client.catch_up(publisher)
            assert json.dumps(tick) == json.dumps({
                "type": "market_data", "symbol": symbol, "exchange": exchange,
                "mode": mode, "data": data, "broker": "zerodha",
            })  # fmt: skip

    asyncio.run(main())


@pytest.mark.parametrize("tick_mode", [1, 2, 3])
def test_a_tick_is_tagged_with_the_highest_mode_held_that_is_not_above_it(
    hub: Hub, tick_mode: int
) -> None:
    label = ("LTP", "QUOTE", "DEPTH")[tick_mode - 1]

    async def main() -> None:
        (symbol,) = fresh()
        holders = [[mode for mode in (1, 2, 3) if bits & 1 << (mode - 1)] for bits in range(8)]
        clients = [hub.client(snapshot=False) for _ in holders]
        async with hub.publisher() as publisher:
            opened = [await client.__aenter__() for client in clients]
            for client, modes in zip(opened, holders, strict=True):
                for mode in modes:
                    await client.subscribe(symbol, mode=mode)
            data = {"ltp": 1, "depth": {"buy": [{"price": 1, "quantity": 2, "orders": 3}]}}
            publisher.send(f"NSE_{symbol}_{label}", data)
            for client, modes in zip(opened, holders, strict=True):
                tags = [mode for mode in modes if mode <= tick_mode]
                ticks = await client.catch_up(publisher)
                assert [tick["mode"] for tick in ticks] == ([max(tags)] if tags else []), modes
                assert all(tick["data"] == data for tick in ticks)
            for one in clients:
                await one.__aexit__(None, None, None)

    asyncio.run(main())


def test_ticks_end_with_the_unsubscribe_of_their_mode(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            tags = []
            await client.subscribe(symbol, mode=1)
            await client.subscribe(symbol, mode=3)
            for mode in (None, 3, 1):
                if mode:
                    one = {"symbol": symbol, "exchange": "NSE", "mode": mode}
                    await client.ask({"action": "unsubscribe", "symbols": [one]})
                publisher.send(f"NSE_{symbol}_DEPTH", {"ltp": 1})
                tags.append([tick["mode"] for tick in await client.catch_up(publisher)])
            assert tags == [[3], [1], []]

    asyncio.run(main())


def test_an_array_unsubscribe_without_any_mode_ends_ltp_and_depth_too(hub: Hub) -> None:
    async def main() -> None:
        symbol, other = fresh(count=2)
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            await client.subscribe(symbol, mode="LTP")
            await client.subscribe(other, mode="Depth")
            both = [{"symbol": name, "exchange": "NSE"} for name in (symbol, other)]
            await client.ask({"action": "unsubscribe", "symbols": both})
            publisher.send(f"NSE_{symbol}_LTP", {"ltp": 1})
            publisher.send(f"NSE_{other}_DEPTH", {"ltp": 1})
            assert await client.catch_up(publisher) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "payload",
    [
        b'{"ltp": 1.0, "ltt": 1700000000000, "a": [1, {"b": null}], "t": "\\u20b9"}',
        b'{"ltp":1e2,  "big": 123456789012345678901234567890 , "exact": 0.1000}',
        b"{}",
        b'{"ltp": 1, "ltp": 2}',
        '{"name": "₹"}'.encode(),
        json.dumps({"depth": {"buy": [{"price": n} for n in range(5000)]}}).encode(),
    ],
)
def test_data_is_passed_on_byte_for_byte(hub: Hub, payload: bytes) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            await client.subscribe(symbol)
            publisher.send_raw(f"NSE_{symbol}_LTP".encode(), payload)
            text = await client.socket.recv()
            assert text == (
                f'{{"type": "market_data", "symbol": "{symbol}", "exchange": "NSE", "mode": 1, '
                f'"data": {payload.decode()}, "broker": "zerodha"}}'
            )

    asyncio.run(main())


def test_nan_and_infinities_become_null(hub: Hub) -> None:
    async def main() -> None:
        (symbol,) = fresh()
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            await client.subscribe(symbol)
            data = {"ltp": float("nan"), "a": [float("inf"), -float("inf")], "NaN": "NaN"}
            publisher.send(f"NSE_{symbol}_LTP", data)
            assert (await client.tick())["data"] == {"ltp": None, "a": [None, None], "NaN": "NaN"}

    asyncio.run(main())


def test_malformed_bus_messages_disturb_nothing(hub: Hub) -> None:
    async def main() -> None:
        symbol, other = fresh(count=2)
        topic = f"NSE_{symbol}_LTP".encode()
        wrong: list[tuple[bytes, ...]] = [
            (topic,),
            (topic, b'{"ltp": 1}', b"x"),
            (b"", b""),
            (b"", b"{}"),
            (b"NSE_\xff\xfe_LTP", b'{"ltp": 1}'),
            (topic, b""),
            (topic, b"not JSON"),
            (topic, b'{"ltp": 1'),
            (topic, b'{"ltp": 1} {}'),
            (topic, b'[{"ltp": 1}]'),
            (topic, b"null"),
            (topic, b'"text"'),
            (topic, b'{"ltp": "\xff"}'),
            (topic, b"[" * 100_000),
            (topic, b'{"a":' * 100_000),
            (topic, b"{" + b" " * (2 << 20) + b"}"),
            (f"NSE_{symbol}_FULL".encode(), b'{"ltp": 1}'),
            (f"NSE_{symbol}".encode(), b'{"ltp": 1}'),
            (symbol.encode(), b'{"ltp": 1}'),
            (b"_LTP", b'{"ltp": 1}'),
            (b"NSE__LTP", b'{"ltp": 1}'),
            (b"__LTP", b'{"ltp": 1}'),
            (b"DEBUG_MARKET_DATA", b'{"ltp": 1}'),
            (b"@orders:anita", b'{"user_id": "anita"}'),
            (b"@orders:anita_LTP", b'{"user_id": "anita"}'),
            (b"X_positions", b"x"),
            (b"X_margins", b"x"),
            (b"X_orders", b"x"),
            (b"X_orders", b'["user_id"]'),
            (b"X_orders", b'{"user_id": 7}'),
            (b"CACHE_INVALIDATE_ALL_anita", b"x"),
            (b"N" * 100_000 + b"_X_LTP", b'{"ltp": 1}'),
        ]
        async with hub.client(snapshot=False) as client, hub.publisher() as publisher:
            await client.subscribe(symbol, other)
            await client.ask({"action": "subscribe_orders"})
            for n, parts in enumerate(wrong):
                publisher.send_raw(*parts)
                publisher.send(f"NSE_{other}_LTP", {"n": n})
            got = await client.catch_up(publisher)
            assert numbers(got, other) == list(range(len(wrong)))
            assert len(got) == len(wrong), [m for m in got if m.get("symbol") != other]

    asyncio.run(main())


def test_keys_are_checked_again_after_the_bus_says_so(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client() as client, hub.publisher() as publisher:
            (symbol,) = fresh()
            await client.subscribe(symbol)
            publisher.send("CACHE_INVALIDATE_ALL_anita", {"action": "invalidate"})
            publisher.send(f"NSE_{symbol}_LTP", {"ltp": 1})
            assert len(ticks_of(await client.catch_up(publisher), symbol)) == 1
            reply = await client.ask({"action": "authenticate", "api_key": hub.keys["anita"]})
            assert reply["status"] == "success"

    asyncio.run(main())


# The socket.


@pytest.mark.parametrize("path", ["", "/", "/ws", "/ws/", "/a/b?api_key=x&y", "/?", "/%20"])
def test_any_path_and_query_will_do(hub: Hub, path: str) -> None:
    async def main() -> None:
        async with connect(hub.url + path) as ws:
            await ws.send('{"action": "ping"}')
            assert json.loads(await ws.recv())["type"] == "pong"

    asyncio.run(main())


def test_pages_of_this_machine_may_come_and_no_subprotocol_will_do(hub: Hub) -> None:
    async def main() -> None:
        async with connect(hub.url, origin="http://localhost:5000") as ws:  # type: ignore[arg-type]  # a NewType of str
            assert ws.subprotocol is None
        with pytest.raises(InvalidStatus, match="403"):
            await connect(hub.url, origin="https://elsewhere.example")  # type: ignore[arg-type]  # a NewType of str

    asyncio.run(main())


def test_compression_is_offered_in_vain(hub: Hub) -> None:
    async def main() -> None:
        async with connect(hub.url, compression="deflate") as ws:
            assert ws.request is not None
            assert ws.response is not None
            assert "permessage-deflate" in ws.request.headers["Sec-WebSocket-Extensions"]
            assert "Sec-WebSocket-Extensions" not in ws.response.headers
            await ws.send('{"action": "ping"}')
            assert json.loads(await ws.recv())["type"] == "pong"

    asyncio.run(main())


def test_plain_http_is_told_to_upgrade(hub: Hub) -> None:
    with small_socket(hub.url) as sock:
        sock.settimeout(5)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 426 ")


def test_an_upgrade_to_something_else_is_refused(hub: Hub) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus):
            async with connect(hub.url, additional_headers={"Upgrade": "h2c"}):
                pass

    asyncio.run(main())


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n",
        b"x" * 100_000,
    ],
)
def test_who_connects_and_goes_does_no_harm(hub: Hub, words: bytes) -> None:
    async def main() -> None:
        async with hub.client() as client:
            for _ in range(20):
                with small_socket(hub.url) as sock:
                    try:
                        sock.sendall(words)
                    except OSError:
                        continue  # the hub may well hang up first
            assert (await client.ask({"action": "ping"}))["type"] == "pong"
            async with hub.client() as other:
                assert (await other.ask({"action": "ping"}))["type"] == "pong"

    asyncio.run(main())


def test_a_message_of_1_mib_is_taken_and_a_larger_one_closes_with_1009(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client() as client, hub.client() as other:
            frame = {"action": "ping", "pad": ""}
            room = (1 << 20) - len(json.dumps(frame))
            assert (await client.ask(frame | {"pad": "x" * room}))["type"] == "pong"
            await client.send(frame | {"pad": "x" * (room + 1)})
            assert await client.closed() == 1009
            assert (await other.ask({"action": "ping"}))["type"] == "pong"

    asyncio.run(main())


def test_a_message_may_come_in_fragments(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client("") as client:
            await client.socket.send(['{"action"', ": ", '"ping", "_pingId": "é', '"}'])
            assert (await client.next())["_pingId"] == "é"
            await client.socket.send([b'{"action": "pi', b'ng"}'])
            assert (await client.next())["type"] == "pong"

    asyncio.run(main())


def test_protocol_pings_are_answered(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client("") as client:
            async with asyncio.timeout(5):
                await (await client.socket.ping(b"hello"))

    asyncio.run(main())


def test_a_close_is_answered_with_the_same_code(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client() as client:
            await client.socket.close(1000, "Paused")
            assert client.socket.close_code == 1000

    asyncio.run(main())


def test_who_does_not_authenticate_in_time_is_closed_with_4401(make_hub: MakeHub) -> None:
    hub = make_hub({"websocket.auth_window_s": 1.0, "hub.shards": 1, "hub.feeds": ["bus"]})

    async def closes(*messages: object) -> int:
        async with hub.client("") as client:
            for message in messages:
                await client.ask(message)
            return await client.closed()

    async def main() -> None:
        async with hub.client() as known, hub.client("") as refreshed:
            started_s = time.monotonic()
            ping, wrong = {"action": "ping"}, {"action": "authenticate", "api_key": "wrong"}
            silent = small_socket(hub.url)
            codes = await together([closes(), closes(ping, ping), closes(wrong)])
            assert codes == [4401, 4401, 4401]
            assert time.monotonic() - started_s >= 0.9
            with silent:
                silent.settimeout(5)
                assert await asyncio.to_thread(hung_up, silent), "who does not shake hands goes too"
            assert (await known.ask(ping))["type"] == "pong"
            assert await refreshed.closed() == 4401

    asyncio.run(main())


def test_shutdown_closes_with_1012(make_hub: MakeHub) -> None:
    hub = make_hub({"hub.shards": 2, "hub.feeds": ["bus"]})

    async def main() -> None:
        async with hub.client() as one, hub.client() as two, hub.client("") as nobody:
            clients: list[Client] = [one, two, nobody]
            stopped = asyncio.create_task(asyncio.to_thread(hub.stop))
            assert await together(client.closed() for client in clients) == [1012, 1012, 1012]
            assert await stopped == 0

    asyncio.run(main())


def test_the_broker_is_connected_while_its_feed_is_there(hub: Hub) -> None:
    async def main() -> None:
        async with hub.client() as client:
            seen: list[Message] = []

            async def look() -> None:
                seen.append(await client.ask({"action": "get_broker_info"}))

            await look()
            await until(lambda: seen[-1]["adapter_status"] == "connected", "bus is connected")

    asyncio.run(main())


def with_keys(request: Any, hub: Hub) -> Any:
    """A request with `$user` replaced by that user's key, and `$user!` by one that is near it."""
    if not isinstance(request, dict):
        return request
    filled = dict(request)
    for name in ("api_key", "apikey"):
        value = filled.get(name)
        if isinstance(value, str) and value.startswith("$"):
            wrong = value.endswith("!")
            filled[name] = hub.keys[value.strip("$!")] + ("x" if wrong else "")
    return filled


def masked(reply: Any) -> Any:
    """A reply with `*` for what the contract leaves open: texts for people, and the time."""
    if isinstance(reply, list):
        return [masked(item) for item in reply]
    if not isinstance(reply, dict):
        return reply
    return {name: "*" if _is_open(name, value) else masked(value) for name, value in reply.items()}


def _is_open(name: str, value: Any) -> bool:
    if name == "message":
        return isinstance(value, str) and bool(value)
    return name == "server_timestamp" and isinstance(value, int)


def hung_up(sock: socket.socket) -> bool:
    """Whether the hub ends a connection, as its client sees it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
