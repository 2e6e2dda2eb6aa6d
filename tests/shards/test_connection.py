"""A client's socket: handshake, messages, closing, and clients that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame

from hub.core.model import Mode
from shards import connection as module
from shards.connection import Connection
from tests.shards import house as house_module
from tests.shards.frames import BINARY, CLOSE, CONT, HANDSHAKE, PING, PONG, TEXT, frame
from tests.shards.house import House, Raw, house, live, until
from tests.shards.kit import instruments, remains, subscription, tick

KEYS = instruments(0, 1, 20)
AUTH = b'{"action": "auth", "api_key": "alice"}'
PING_1 = b'{"action": "ping", "_pingId": 1}'


@pytest.fixture(params=["asyncio", "uvloop", "tls"])
def uv(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether uvloop is the loop; with it all is the same over TLS."""
    monkeypatch.setattr(house_module, "SECURE", request.param == "tls")
    return bool(request.param != "asyncio")


async def ask(raw: Raw, request: bytes) -> Any:
    """What comes next when this is asked."""
    raw.send(TEXT, request)
    return json.loads((await raw.receive())[1])


async def subscribed(raw: Raw, mode: int = 2) -> None:
    """Authenticate and hold all keys."""
    raw.send(TEXT, AUTH)
    raw.send(TEXT, json.dumps(subscription(mode, *KEYS)).encode())
    for kind in ("auth", "subscribe"):
        assert json.loads((await raw.receive())[1])["type"] == kind


@contextlib.asynccontextmanager
async def slow_reader(**limits: int) -> AsyncIterator[tuple[House, Raw]]:
    """A house, and a client that holds all keys and soon is behind when it does not read."""
    async with house(websocket={"outbox_bytes": 8192} | limits) as one:
        raw = await one.raw(receive_bytes=4096)
        await subscribed(raw)
        yield one, raw


def offer(one: House, value: int, size: int = 0) -> None:
    """A tick of every key."""
    for key in KEYS:
        one.desk.fanout.offer(tick(key, Mode.QUOTE, [value, "x" * size]))
    one.desk.fanout.flush()


async def fall_behind(one: House) -> int:
    """Ticks until the client, which does not read, is behind; the last value."""
    value = 0
    while not one.session().outbox.behind:
        value += 1
        offer(one, value, 2000)
        await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("path", ["/", "/ws?token=1", "/any/path/at/all"])
def test_any_path_is_welcome(path: str, uv: bool) -> None:
    async def main() -> None:
        async with house() as one, one.client(path) as client:
            await client.send(PING_1.decode())
            assert json.loads(await client.recv())["_pingId"] == 1

    live(main, uv=uv)


def test_a_plain_get_is_told_to_upgrade(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            said = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            assert (await answered(one, said)).startswith(b"HTTP/1.1 426 ")
            await one.empty()

    live(main, uv=uv)


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHo"])
def test_a_probe_that_comes_and_goes_is_harmless(words: bytes, uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            _, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writer.write(words)
            writer.close()
            await writer.wait_closed()
            await until(lambda: one.gateway.accepted == 1)
            await one.empty()
            async with one.client() as client:
                await client.send(PING_1.decode())
                await client.recv()

    live(main, uv=uv)


def test_what_comes_in_one_breath_with_the_handshake_is_read(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.open()
            await raw.shake_hands(frame(TEXT, PING_1))
            assert json.loads((await raw.receive())[1])["_pingId"] == 1
            await raw.close()

    live(main, uv=uv)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (frame(PING, b"hello"), (PONG, b"hello")),
        (frame(CLOSE, b"\x03\xe8bye"), (CLOSE, b"\x03\xe8bye")),
        (frame(3, b""), (CLOSE, b"\x03\xeainvalid opcode")),
    ],
)
def test_what_comes_in_one_breath_with_the_handshake_is_answered_behind_it(
    said: bytes, answer: tuple[int, bytes], uv: bool
) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.open()
            assert (await raw.shake_hands(said)).startswith("HTTP/1.1 101 ")
            assert await raw.receive() == answer
            await raw.close()

    live(main, uv=uv)


async def answered(one: House, said: bytes) -> bytes:
    """All that is answered to these bytes until the end."""
    raw = await one.open()
    raw.writer.write(said)
    data = await asyncio.wait_for(raw.reader.read(), 20)
    await raw.close()
    return data


@pytest.mark.parametrize(
    "said",
    [b"hello\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"],
)
def test_what_is_no_handshake_is_told_so_at_once(said: bytes, uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            head, _, body = (await answered(one, said)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"\r\nContent-Length: %d\r\n" % len(body) in head
            assert (b"wss://, with TLS" if one.tls else b"ws://, without TLS") in body
            await one.empty()

    live(main, uv=uv)


@pytest.mark.parametrize("version", ["8", "14", "13, 8", "x"])
def test_another_version_is_told_which_is_spoken(version: str, uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            said = HANDSHAKE.replace(b"Version: 13", b"Version: " + version.encode())
            head = await answered(one, said)
            assert head.startswith(b"HTTP/1.1 426 ")
            assert b"\r\nSec-WebSocket-Version: 13\r\n" in head
            await one.empty()

    live(main, uv=uv)


def test_nothing_is_kept_of_a_handshake_or_of_a_message_that_was_read(uv: bool) -> None:
    """The WebSocket layer keeps the request's headers, cookies and all, and its last frame."""

    async def main() -> None:
        async with house() as one:
            raw = await one.open()
            await raw.shake_hands(headers="Cookie: a=b\r\n")
            raw.send(TEXT, json.dumps({"action": "ping", "pad": "x" * 10_000}).encode())
            await raw.receive()
            there = gc.get_objects()
            assert not [found for found in there if type(found) is Headers and "Cookie" in found]
            frames = [found for found in there if type(found) is Frame]
            assert frames
            assert max(len(found.data) for found in frames) < 10_000
            await raw.close()

    live(main, uv=uv)


def test_text_binary_and_fragmented_messages_are_read_alike(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            raw.send(TEXT, PING_1)
            raw.send(BINARY, PING_1)
            for kind in (TEXT, BINARY):
                raw.send(kind, PING_1[:5], fin=False)
                raw.send(PING, b"between")
                raw.send(CONT, b"", fin=False)
                raw.send(CONT, PING_1[5:])
            found = [await raw.receive() for _ in range(6)]
            assert sorted(opcode for opcode, _ in found) == [TEXT] * 4 + [PONG] * 2
            assert all(json.loads(data)["_pingId"] == 1 for code, data in found if code == TEXT)
            await raw.close()

    live(main, uv=uv)


def test_a_character_cut_by_fragments_is_whole(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            text = '{"action": "ping", "_pingId": "₹"}'.encode()
            cut = text.index("₹".encode()) + 1
            raw.send(TEXT, text[:cut], fin=False)
            raw.send(CONT, text[cut:])
            assert json.loads((await raw.receive())[1])["_pingId"] == "₹"
            await raw.close()

    live(main, uv=uv)


def test_a_ping_is_answered_with_what_it_carries(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            raw.send(PING, b"hello")
            assert await raw.receive() == (PONG, b"hello")
            await raw.close()

    live(main, uv=uv)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([frame(TEXT, b'"\xff"')], 1007),
        ([frame(TEXT, b'"\xe2', fin=False), frame(CONT, b'"')], 1007),
        ([frame(TEXT, b"x" * 1025)], 1009),
        ([frame(TEXT, b"x" * 1000, fin=False), frame(CONT, b"x" * 100)], 1009),
        ([frame(CONT, b"x")], 1002),
        ([b"\x81\x01x"], 1002),  # without a mask
    ],
)
def test_what_breaks_the_rules_is_closed_with_its_code(
    sent: list[bytes], code: int, uv: bool
) -> None:
    async def main() -> None:
        async with house(websocket={"max_message_bytes": 1024}) as one:
            raw = await one.raw()
            raw.writer.write(b"".join(sent))
            assert await raw.code() == code
            await raw.ended()
            assert one.gateway.guests.figures(0)["too_large"] == (code == 1009)
            await raw.close()
            await one.empty()

    live(main, uv=uv)


def test_invalid_utf8_in_a_binary_message_is_an_answer_not_the_end(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            raw.send(BINARY, b'"\xff"')
            raw.send(TEXT, PING_1)
            assert json.loads((await raw.receive())[1])["code"] == "SERVER_ERROR"
            assert json.loads((await raw.receive())[1])["_pingId"] == 1
            await raw.close()

    live(main, uv=uv)


def test_a_close_is_answered_and_leaves_nothing(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await subscribed(raw)
            raw.send(CLOSE, (1000).to_bytes(2, "big"))
            assert await raw.code() == 1000
            await raw.ended()
            await raw.close()
            await one.empty()
            await until(lambda: not remains(one.desk))

    live(main, uv=uv)


@pytest.mark.parametrize("abrupt", [False, True])
def test_gone_in_the_middle_of_authentication_leaves_nothing(abrupt: bool, uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            one.may_answer.clear()
            raw = await one.raw()
            raw.send(TEXT, AUTH)
            raw.send(TEXT, json.dumps(subscription(1, *KEYS)).encode())
            await until(lambda: one.connection()._work)
            if abrupt:
                raw.writer.transport.abort()
            await raw.close()
            await one.empty()
            one.may_answer.set()
            await until(lambda: not remains(one.desk))

    live(main, uv=uv)


def test_more_requests_than_may_wait_are_answered_in_order(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"max_requests": 16}) as one:
            one.may_answer.clear()
            raw = await one.raw()
            raw.send(TEXT, AUTH)
            for number in range(3000):
                raw.send(TEXT, b'{"action": "ping", "_pingId": %d}' % number)
            await until(lambda: "requests" in one.connection()._reasons)
            assert one.gateway.guests.figures(0)["paced"] == 1
            one.may_answer.set()
            await raw.receive()
            found = [json.loads((await raw.receive())[1])["_pingId"] for _ in range(3000)]
            assert found == list(range(3000))
            await raw.close()

    live(main, uv=uv)


# Deadlines.


def test_whoever_does_not_authenticate_in_time_is_closed_with_4401(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"auth_window_s": 60}) as one, one.client() as client:
            await client.send(PING_1.decode())
            await client.recv()
            one.tended(61)
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4401
            assert one.gateway.guests.figures(0)["auth_timeouts"] == 1

    live(main, uv=uv)


def test_whoever_does_not_finish_the_handshake_in_time_is_cut_off(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"auth_window_s": 60}) as one:
            raw = await one.open()
            raw.writer.write(b"GET / HTTP/1.1\r\n")
            await until(lambda: len(one.gateway))
            one.tended(61)
            await raw.ended()
            raw.writer.close()
            await one.empty()

    live(main, uv=uv)


def test_whoever_is_known_may_stay(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"auth_window_s": 60}) as one:
            client = await one.known()
            one.tended(61)
            await client.send(PING_1.decode())
            assert json.loads(await client.recv())["_pingId"] == 1
            await client.close()

    live(main, uv=uv)


def test_whoever_ignores_a_close_is_cut_off_though_it_keeps_talking(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            one.connection().close(4401, "auth timeout")
            async with asyncio.timeout(10):
                while len(one.gateway):
                    raw.send(PING)
                    await asyncio.sleep(0.01)
            await raw.close()

    live(main, uv=uv)


def test_a_ping_without_a_pong_closes_with_1011(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await ask(raw, AUTH)
            connection, now_s = one.connection(), one.gateway.now_s()
            assert connection.due_s > now_s
            connection.tend(now_s + 21)
            assert (await raw.receive())[0] == PING
            raw.send(PONG)
            await until(lambda: not connection._pinged_s)
            connection.tend(now_s + 45)
            assert (await raw.receive())[0] == PING
            assert connection.due_s == pytest.approx(now_s + 65), "it is looked at in time"
            connection.tend(now_s + 64)
            raw.send(PING, b"still here")
            assert await raw.receive() == (PONG, b"still here")
            connection.tend(now_s + 66)
            assert await raw.code() == 1011
            await raw.close()

    live(main, uv=uv)


# A client that says too much.


async def flood(raw: Raw, what: bytes) -> None:
    """Say this without end; ends when the socket does."""
    with contextlib.suppress(ConnectionError):
        while True:
            raw.writer.write(what * 1000)
            await raw.writer.drain()


FLOODS = [frame(TEXT, b"x"), frame(PING, b""), frame(TEXT, b"", fin=False) + frame(CONT, b"")]


@pytest.mark.parametrize("what", FLOODS, ids=["messages", "pings", "fragments"])
def test_a_stranger_that_floods_is_not_read_and_has_to_go(
    what: bytes, uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.2 MB/s of one-byte messages made the others wait 141 ms for each answer."""
    monkeypatch.setattr(module, "_ABUSE_S", 0.3)
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)
    read = count_frames(monkeypatch)

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            talking = asyncio.ensure_future(flood(raw, what))
            assert await raw.code() == 1008
            strange = read()
            await raw.ended()
            counts = one.gateway.guests.figures(0)
            assert counts["flooded"] == 1
            assert counts["held_back"] > 1
            await talking
            await raw.close()
            assert strange < 1000, "what it may say in so short a time"

    live(main, uv=uv)


def count_frames(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many frames were read, of all clients."""
    found = [0]
    feed = Connection._feed

    def counted(self: Connection, data: bytes) -> int:
        number = feed(self, data)
        found[0] += number
        return number

    monkeypatch.setattr(Connection, "_feed", counted)
    return lambda: found[0]


def test_others_have_their_turn_while_one_says_much(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one client has sent at once is read in parts: 64 frames, then the others."""
    turns: list[int] = []
    read = Connection._read

    def counted(self: Connection) -> None:
        before = frames()
        read(self)
        turns.append(frames() - before)

    frames = count_frames(monkeypatch)
    monkeypatch.setattr(Connection, "_read", counted)

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await ask(raw, AUTH)
            raw.writer.write(frame(PING, b"") * 5000)
            for _ in range(5000):
                assert await raw.receive() == (PONG, b"")
            await raw.close()

    live(main, uv=uv)
    assert max(turns) <= 64 + 512 // 6
    assert sum(turns) >= 5000


def test_a_thousand_subscribes_right_behind_an_authenticate_are_not_held_back(uv: bool) -> None:
    """SDKs do this. Strict is the door only until the key is known."""

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            raw.send(TEXT, AUTH)
            for number in range(1000):
                raw.send(
                    TEXT, b'{"action": "subscribe", "symbol": "S%d", "exchange": "NSE"}' % number
                )
            kinds = [json.loads((await raw.receive())[1])["type"] for _ in range(1001)]
            assert kinds == ["auth"] + ["subscribe"] * 1000
            bucket = one.connection()._bucket
            assert bucket.dry_for_s(asyncio.get_running_loop().time()) == 0
            await raw.close()

    live(main, uv=uv)


def test_who_waits_for_its_key_to_be_checked_is_no_flood(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ABUSE_S", 0.0)

    async def main() -> None:
        async with house() as one:
            one.may_answer.clear()
            raw = await one.raw()
            raw.send(TEXT, AUTH)
            for _ in range(200):
                raw.send(TEXT, PING_1)
            loop, door = asyncio.get_running_loop(), one.connection()
            await until(lambda: door._bucket.dry_for_s(loop.time()) > 0)
            assert not door._reading, "TCP holds it back"
            door._hold_back(0.01)
            one.may_answer.set()
            for _ in range(201):
                assert (await raw.receive())[0] == TEXT
            await raw.close()

    live(main, uv=uv)


def test_a_message_in_fragments_without_end_is_closed_with_1008(uv: bool) -> None:
    """Empty fragments make a message no larger, so its size bounds nothing."""

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await ask(raw, AUTH)
            assert one.gateway.guests.figures(0)["fragments"] == 0
            raw.send(TEXT, b"", fin=False)
            for _ in range(1022):
                raw.send(CONT, b"", fin=False)
            raw.send(CONT, PING_1)
            assert json.loads((await raw.receive())[1])["_pingId"] == 1
            raw.send(TEXT, b"", fin=False)
            for _ in range(1023):
                raw.send(CONT, b"", fin=False)
            assert await raw.code() == 1008
            assert one.gateway.guests.figures(0)["fragments"] == 1
            await raw.close()

    live(main, uv=uv)


def test_a_client_that_is_not_read_is_not_blamed_for_its_pong(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await ask(raw, AUTH)
            door, now_s = one.connection(), one.gateway.now_s()
            door.tend(now_s + 21)
            assert (await raw.receive())[0] == PING
            door.hold(reading=False)
            raw.send(PONG)
            door.tend(now_s + 100)
            assert door._open
            door.hold(reading=True)
            await until(lambda: not door._pinged_s)
            await raw.close()

    live(main, uv=uv)


# Who may come in.


async def knock(one: House, *headers: str) -> tuple[str, Raw]:
    """The head of the response to a handshake with more headers."""
    raw = await one.open()
    return await raw.shake_hands(headers="".join(f"{header}\r\n" for header in headers)), raw


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:3000", 101), ("https://my.example", 101), ("https://evil.example", 403)],
)
def test_a_page_of_another_origin_is_refused_at_the_handshake(
    origin: str, status: int, uv: bool
) -> None:
    """A browser lets any page connect to this machine's ports; the origin tells which page."""

    async def main() -> None:
        async with house(websocket={"origins": ["https://my.example"]}) as one:
            head, raw = await knock(one, f"Origin: {origin}")
            assert head.startswith(f"HTTP/1.1 {status} ")
            assert one.gateway.guests.turned_away == (status == 403)
            await raw.close()
            await one.empty()

    live(main, uv=uv)


@pytest.mark.parametrize("name", ["Origin", "Host"])
def test_two_of_what_says_who_comes_are_a_bad_request(name: str, uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            head, raw = await knock(one, f"{name}: localhost", f"{name}: localhost")
            assert head.startswith("HTTP/1.1 400 ")
            await raw.ended()
            await raw.close()
            await one.empty()

    live(main, uv=uv)


@pytest.mark.parametrize(
    "limit", ["max_connections", "max_unauthenticated", "max_address_connections"]
)
def test_one_too_many_is_answered_with_503(limit: str, uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={limit: 1}) as one:
            first = await one.raw()
            head, second = await knock(one)
            assert head.startswith("HTTP/1.1 503 ")
            assert "\r\nRetry-After: 1\r\n" in head
            await second.ended()
            await second.close()
            await until(lambda: len(one.gateway) == 1)
            idle = await one.open()
            await until(lambda: len(one.gateway) == 2)
            one.tended(3)
            await idle.ended()
            await idle.close()
            await until(lambda: len(one.gateway) == 1)
            first.send(TEXT, PING_1)
            await first.receive()
            await first.close()
            await one.empty()
            head, third = await knock(one)
            assert head.startswith("HTTP/1.1 101 ")
            await third.close()

    live(main, uv=uv)


def test_who_has_authenticated_is_no_stranger_any_more(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"max_unauthenticated": 1}) as one:
            clients = [await one.known() for _ in range(3)]
            for client in clients:
                await client.close()

    live(main, uv=uv)


# Through a proxy.

PROXY = {"trusted_proxies": ["127.0.0.1"]}
FROM_7, FROM_8 = (f"X-Forwarded-For: 203.0.113.1, 192.0.2.{number}" for number in (7, 8))


@pytest.mark.parametrize("limit", ["max_unauthenticated", "max_address_connections"])
def test_through_a_trusted_proxy_each_has_the_limits_of_its_own_address(
    limit: str, uv: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with house(websocket=PROXY | {limit: 1}) as one:
            waiting = [await one.open() for _ in "ab"]
            head, first = await knock(one, FROM_7)
            assert head.startswith("HTTP/1.1 101 ")
            head, second = await knock(one, FROM_7)
            assert head.startswith("HTTP/1.1 503 ")
            head, other = await knock(one, FROM_8)
            assert head.startswith("HTTP/1.1 101 ")
            assert one.gateway.guests.counted()["connections"] == 2
            named = {connection.peer for connection in one.gateway.connections}
            assert {"192.0.2.7", "192.0.2.8"} <= named, "without a port: that was the proxy's"
            for _ in range(2):  # the proxy itself, to see whether the hub is there
                head, raw = await knock(one)
                assert head.startswith("HTTP/1.1 101 ")
                waiting.append(raw)
            await first.close()
            await until(lambda: len(one.gateway) == 5)
            head, third = await knock(one, FROM_7)
            assert head.startswith("HTTP/1.1 101 ")
            for raw in (*waiting, second, other, third):
                await raw.close()
            await one.empty()
            assert set(one.gateway.guests.counted().values()) == {0}

    with caplog.at_level("WARNING", "hub"):
        live(main, uv=uv)
    (record,) = caplog.records
    assert record.message.startswith("192.0.2.7 was turned away: ")
    assert f"(websocket.{limit})" in record.message


def test_whom_a_stranger_names_does_not_count(uv: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with house(websocket={"trusted_proxies": ["192.0.2.0/24"]}) as one:
            head, raw = await knock(one, FROM_7)
            assert head.startswith("HTTP/1.1 101 ")
            assert one.connection().address == "127.0.0.1"
            raw.send(TEXT, AUTH.replace(b"alice", b"mallory"))
            assert json.loads((await raw.receive())[1])["status"] == "error"
            await raw.close()

    with caplog.at_level("WARNING", "hub"):
        live(main, uv=uv)
    assert [record.message for record in caplog.records] == [
        "an API key of 127.0.0.1 was refused: no id"
    ]


def test_a_refused_key_is_named_by_the_address_behind_the_proxy(
    uv: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with house(websocket=PROXY) as one:
            _, raw = await knock(one, FROM_7)
            raw.send(TEXT, AUTH.replace(b"alice", b"mallory"))
            assert json.loads((await raw.receive())[1])["status"] == "error"
            await raw.close()

    with caplog.at_level("WARNING", "hub"):
        live(main, uv=uv)
    assert [record.message for record in caplog.records] == [
        "an API key of 192.0.2.7 was refused: no id"
    ]


def test_a_full_hub_is_full_for_a_proxy_too(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket=PROXY | {"max_connections": 1}) as one:
            _, first = await knock(one, FROM_7)
            head, second = await knock(one, FROM_8)
            assert head.startswith("HTTP/1.1 503 ")
            for raw in (first, second):
                await raw.close()

    live(main, uv=uv)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://hub.example", 101), ("https://evil.example", 403)],
)
def test_behind_a_proxy_that_keeps_the_host_its_own_pages_may_connect(
    origin: str, status: int, uv: bool
) -> None:
    async def main() -> None:
        async with house(websocket=PROXY) as one:
            raw = await one.open()
            raw.writer.write(HANDSHAKE.replace(b"Host: x", b"Host: hub.example")[:-2])
            raw.writer.write(f"Origin: {origin}\r\n\r\n".encode())
            head = await raw.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            await raw.close()

    live(main, uv=uv)


# A client that does not read.


def test_it_falls_behind_is_conflated_and_ends_with_the_newest_values(uv: bool) -> None:
    async def main() -> None:
        async with slow_reader() as (one, raw):
            last = await fall_behind(one)
            for _ in range(50):
                last += 1
                offer(one, last, 2000)
            session = one.session()
            assert one.gateway.behind() == 1
            assert one.gateway.conflated() > 0
            assert len(session.outbox) <= len(KEYS)
            newest = await self_check(raw, last)
            assert set(newest.values()) == {last}
            await until(lambda: not session.outbox.behind)
            assert one.gateway.behind() == 0
            offer(one, last + 1)
            assert set((await self_check(raw, last + 1)).values()) == {last + 1}
            assert (await ask(raw, PING_1))["type"] == "pong"
            await raw.close()

    live(main, uv=uv)


async def self_check(raw: Raw, last: int) -> dict[str, int]:
    """Read until every key has shown the last value; never an old one after a newer one."""
    seen: dict[str, int] = {}
    while len(seen) < len(KEYS) or min(seen.values()) < last:
        found: dict[str, Any] = json.loads((await raw.receive())[1])
        value = found["data"]["ltp"][0]
        assert value > seen.get(found["symbol"], 0)
        seen[found["symbol"]] = value
    return seen


def test_one_that_does_not_read_does_not_hold_up_the_others(uv: bool) -> None:
    async def main() -> None:
        async with slow_reader() as (one, slow):
            last = await fall_behind(one)
            quick = await one.raw()
            await subscribed(quick)
            for _ in KEYS:
                await quick.receive()  # first values
            for value in range(last + 1, last + 20):
                offer(one, value)
                found = [json.loads((await quick.receive())[1]) for _ in KEYS]
                assert [tick_["data"]["ltp"][0] for tick_ in found] == [value] * len(KEYS)
            await slow.close()
            await quick.close()

    live(main, uv=uv)


def test_one_that_makes_no_progress_is_closed_and_counted(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.1)

    async def main() -> None:
        async with slow_reader() as (one, raw):
            await fall_behind(one)
            connection, now_s = one.connection(), one.gateway.now_s()
            assert connection.due_s <= now_s, "it is looked at at once"
            connection.tend(now_s + 29)
            assert one.gateway.stalled == 0
            connection.tend(now_s + 31)
            assert one.gateway.stalled == 1
            await one.empty()
            await raw.close()
            await until(lambda: not remains(one.desk))

    live(main, uv=uv)


def test_order_updates_nobody_reads_end_in_a_close_though_more_come(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)

    async def main() -> None:
        async with slow_reader(max_order_updates=3) as (one, raw):
            await ask(raw, b'{"action": "subscribe_orders"}')
            await fall_behind(one)
            async with asyncio.timeout(10):
                while len(one.gateway):
                    one.desk.accounts.offer([b"@orders:alice", b'{"user_id": "alice"}'])
                    await asyncio.sleep(0.01)
            await raw.close()

    live(main, uv=uv)


# Rule 4: a client that is sent away.

GONE = (1012, "the server is restarting; connect again")


async def last_words(raw: Raw) -> list[dict[str, Any]]:
    """What a client is sent before it is sent away, which it must be, with code and reason."""
    found: list[dict[str, Any]] = []
    while True:
        opcode, payload = await raw.receive()
        if opcode == CLOSE:
            assert (int.from_bytes(payload[:2], "big"), payload[2:].decode()) == GONE
            raw.send(CLOSE, payload[:2])
            return found
        found.append(json.loads(payload))


def test_rule_4_one_that_keeps_up_hears_it_at_once_behind_its_last_tick(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await subscribed(raw)
            offer(one, 1)
            one.connection().part(*GONE)
            offer(one, 2)
            assert [found["data"]["ltp"][0] for found in await last_words(raw)] == [1] * len(KEYS)
            await one.empty()
            await raw.close()

    live(main, uv=uv)


def test_rule_4_one_that_is_behind_gets_newest_values_and_all_order_updates_first(
    uv: bool,
) -> None:
    async def main() -> None:
        async with slow_reader() as (one, raw):
            await ask(raw, b'{"action": "subscribe_orders"}')
            last = await fall_behind(one) + 1
            offer(one, last, 2000)
            for number in range(100):
                update = json.dumps({"type": "order_update", "user_id": "alice", "n": number})
                one.desk.accounts.offer([b"@orders:alice", update.encode()])
            one.connection().part(*GONE)
            one.connection().part(*GONE)  # by a deadline, say; the first word counts
            assert one.session().outbox.behind, "it has read nothing yet"
            found = await last_words(raw)
            assert [f["n"] for f in found if f["type"] == "order_update"] == list(range(100))
            values: dict[str, int] = {}
            for tick_ in (f for f in found if f["type"] == "market_data"):
                assert tick_["data"]["ltp"][0] > values.get(tick_["symbol"], 0)
                values[tick_["symbol"]] = tick_["data"]["ltp"][0]
            assert values == dict.fromkeys((key.symbol for key in KEYS), last)
            await one.empty()
            await raw.close()

    live(main, uv=uv)


def test_rule_4_ticks_that_go_on_do_not_keep_one_that_is_behind_here(uv: bool) -> None:
    """What is owed would never end, and a drain with it."""

    async def main() -> None:
        async with slow_reader() as (one, raw):
            await fall_behind(one)
            one.connection().part(*GONE)
            owed = len(one.session().outbox)
            for value in range(1000, 1100):
                offer(one, value, 2000)
            assert len(one.session().outbox) == owed
            await last_words(raw)
            await one.empty()
            await raw.close()

    live(main, uv=uv)


def test_rule_4_one_that_takes_nothing_is_cut(uv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.1)

    async def main() -> None:
        async with slow_reader() as (one, raw):
            await fall_behind(one)
            one.connection().part(*GONE)
            await one.empty()
            await raw.close()
            await until(lambda: not remains(one.desk))

    live(main, uv=uv)


@pytest.mark.parametrize("paid", [False, True], ids=["", "right after it was paid"])
def test_rule_4_one_that_reads_slowly_is_not_cut(
    uv: bool, monkeypatch: pytest.MonkeyPatch, paid: bool
) -> None:
    """Time counted from the last payment, so that one that read well was cut right after one."""
    monkeypatch.setattr(module, "_CLOSE_S", 1000.0)

    async def main() -> None:
        async with slow_reader(outbox_bytes=65536) as (one, raw):
            last = await fall_behind(one)
            door = one.connection()
            door.part(*GONE)
            for _ in range(3):
                before = door._untaken()
                while door._untaken() >= before:  # a part of it, in the kernel's time
                    await raw.receive()
                    await asyncio.sleep(0)
                if paid:
                    door._blocked = False  # as when there is room again
                    door.pay()
                door._cut()  # as the timer does after _CLOSE_S
            found = await last_words(raw)
            assert found[-1]["data"]["ltp"][0] == last
            await one.empty()
            await raw.close()

    live(main, uv=uv)


def test_rule_4_a_reply_that_is_being_made_is_sent_first_with_the_ticks_it_holds_back() -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await subscribed(raw)
            session = one.session()
            session.withhold()
            offer(one, 1)
            one.connection().part(*GONE)
            raw.send(TEXT, b'{"action": "dance"}')
            kinds = [found.get("type") or found["status"] for found in await last_words(raw)]
            assert kinds == ["error", *["market_data"] * len(KEYS)]
            await one.empty()
            await raw.close()

    live(main)


def test_rule_4_one_that_is_sent_away_and_goes_by_itself_leaves_nothing(uv: bool) -> None:
    async def main() -> None:
        async with slow_reader() as (one, raw):
            await fall_behind(one)
            one.connection().part(*GONE)
            await raw.close()
            await one.empty()
            await until(lambda: not remains(one.desk))

    live(main, uv=uv)


def test_rule_4_one_that_is_being_closed_already_keeps_its_code(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            one.connection().close(1008, "the API key was revoked")
            one.connection().part(*GONE)
            assert await raw.code() == 1008
            raw.send(CLOSE, (1008).to_bytes(2, "big"))
            await one.empty()
            await raw.close()

    live(main, uv=uv)


# A client with a rate.


async def paced(one: House, rate: float) -> Raw:
    """A client with this rate that holds one key."""
    raw = await one.raw()
    hello = {"action": "auth", "api_key": "alice", "max_rate": rate}
    for request in (hello, subscription(2, KEYS[0])):
        await ask(raw, json.dumps(request).encode())
    return raw


def offer_one(one: House, *values: int) -> None:
    """Ticks of that key, one by one."""
    for value in values:
        one.desk.fanout.offer(tick(KEYS[0], Mode.QUOTE, value))
        one.desk.fanout.flush()


def test_a_client_with_a_rate_is_sent_by_itself_what_falls_due(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await paced(one, 20)
            begun_s = time.monotonic()
            offer_one(one, 1, 2, 3)
            values = [json.loads((await raw.receive())[1])["data"]["ltp"] for _ in range(2)]
            assert values == [1, 3]
            assert time.monotonic() - begun_s >= 1 / 20, "not before its interval is over"
            await raw.close()

    live(main, uv=uv)


def test_a_client_with_a_rate_that_leaves_is_woken_no_more(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            raw = await paced(one, 0.1)
            offer_one(one, 1, 2)
            alarm = one.connection()._alarm
            assert alarm is not None
            assert not alarm.cancelled()
            one.connection().wake(9.0)
            assert alarm.cancelled(), "there is one at a time"
            alarm = one.connection()._alarm
            assert alarm is not None
            await raw.close()
            await one.empty()
            assert alarm.cancelled()

    live(main, uv=uv)
