"""A connection fed with a server's bytes: what comes goes to the account at its place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec
import pytest

from scripts.faults.account import ORDERS, Account
from scripts.faults.connection import Connection, Said

SYMBOL = {"exchange": "NSE", "symbol": "A"}
SHAKEN = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = True

    abort = close


def play(work: Callable[[Connection, Wire], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        connection = Connection(Account("a#1", 200, user="anita"), lambda *_: None)
        wire = Wire()
        connection.connection_made(cast("asyncio.Transport", wire))
        await work(connection, wire)
        connection.connection_lost(None)

    asyncio.run(main())


def frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([kind, size]) if size < 126 else bytes([kind, 126]) + size.to_bytes(2, "big")
    return head + payload


def text(value: object) -> bytes:
    return frame(0x81, json.dumps(value).encode())


def binary(value: object) -> bytes:
    return frame(0x82, msgspec.msgpack.encode(value))


def tick(seq: int) -> dict[str, Any]:
    return {"type": "market_data", **SYMBOL, "mode": 2, "data": {"seq": seq, "sent_ns": seq * 200}}


def reply(kind: str, rows: str, status: str = "success") -> dict[str, Any]:
    return {"type": kind, "status": status, rows: [{**SYMBOL, "status": status}]}


@pytest.mark.parametrize("form", [text, binary])
def test_a_subscribe_counts_from_its_reply_within_one_chunk(
    form: Callable[[object], bytes],
) -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        connection.data_received(SHAKEN + form(reply("subscribe", "subscriptions")) + form(tick(3)))
        connection.data_received(form([tick(4), tick(5)]) + form(tick(6))[:9])
        connection.data_received(form(tick(6))[9:])
        account = connection.account
        assert not account.broken
        assert account.received == 4
        account.check_last({"NSE:A": 6}, 0)
        assert not account.broken
        assert connection.first_tick_ns

    play(work)


def test_what_comes_before_the_reply_or_after_the_end_breaks_the_order() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        connection.data_received(SHAKEN + text(tick(1)) + text(reply("subscribe", "subscriptions")))
        connection.data_received(text(tick(2)) + text(reply("unsubscribe", "successful")))
        assert len(connection.account.broken) == 1
        connection.data_received(text(tick(3)))
        assert len(connection.account.broken) == 2

    play(work)


def test_a_row_that_failed_is_not_held() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        failed = reply("subscribe", "subscriptions", "error")
        connection.data_received(SHAKEN + text(failed) + text(tick(1)))
        assert connection.account.broken

    play(work)


def test_order_updates_are_counted_for_their_user() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        done = {"type": "subscribe_orders", "status": "success"}
        updates = [{"type": "order_update", "user_id": "anita", "seq": n} for n in (7, 8, 10)]
        connection.data_received(SHAKEN + text(done) + b"".join(map(text, updates)))
        (gap,) = connection.account.gaps
        assert (gap.topic, gap.missing) == (f"{ORDERS}anita", 1)

    play(work)


def test_replies_go_to_who_asked_in_their_order() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        connection.data_received(SHAKEN)
        asked = [asyncio.create_task(connection.ask({"action": name})) for name in ("a", "b")]
        await asyncio.sleep(0)
        connection.data_received(text({"type": "auth", "status": "success"}))
        connection.data_received(text({"type": "error", "status": "error", "message": "no"}))
        assert [one.status for one in await asyncio.gather(*asked)] == ["success", "error"]
        lost: asyncio.Task[Said] = asyncio.create_task(connection.ask({"action": "c"}))
        await asyncio.sleep(0)
        connection.connection_lost(None)
        with pytest.raises(ConnectionError):
            await lost

    play(work)


def test_a_close_is_kept_with_its_reason_and_a_ping_is_answered() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        connection.data_received(SHAKEN)
        before = len(wire.written)
        connection.data_received(frame(0x89, b"hi"))
        assert wire.written[before:] == b"\x8a\x82\0\0\0\0hi"
        connection.data_received(frame(0x88, (1012).to_bytes(2, "big") + b"restart"))
        assert (connection.code, connection.reason) == (1012, "restart")
        assert wire.ended

    play(work)


def test_a_handshake_that_is_refused_is_told() -> None:
    async def work(connection: Connection, wire: Wire) -> None:
        connection.data_received(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        assert "503" in connection.refused
        assert wire.ended
        assert not connection.opened.done()

    play(work)
