"""TLS on a client's socket. That all else is as without it, the tests of the connection say, which
run over TLS, too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import ssl
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.core.model import Mode
from tests import tls
from tests.shards import house as house_module
from tests.shards.frames import TEXT
from tests.shards.house import House, Raw, house, live, room, server_context, until
from tests.shards.kit import instruments, subscription, tick

KEYS = instruments(0, 1, 3)
AUTH = b'{"action": "auth", "api_key": "alice"}'
PING_1 = b'{"action": "ping", "_pingId": 1}'
_CLEAR = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def secure_house(**websocket: Any) -> AsyncIterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house_module, "SECURE", True)
        async with house(websocket=websocket) as one:
            yield one


async def clear(one: House) -> Raw:
    """A client that has not said a word of TLS."""
    return Raw(*await asyncio.open_connection("127.0.0.1", one.port))


async def holds(raw: Raw) -> None:
    raw.send(TEXT, AUTH)
    raw.send(TEXT, json.dumps(subscription(2, *KEYS)).encode())
    for kind in ("auth", "subscribe"):
        assert json.loads((await raw.receive())[1])["type"] == kind


def offer(one: House, value: int) -> None:
    for key in KEYS:
        one.desk.fanout.offer(tick(key, Mode.QUOTE, value))
    one.desk.fanout.flush()


@pytest.fixture(params=["asyncio", "uvloop"])
def uv(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "uvloop")


@pytest.mark.parametrize("secure", [False, True])
def test_rule_3_ticks_go_to_a_descriptor_only_without_tls(*, secure: bool, uv: bool) -> None:
    async def main() -> None:
        async with secure_house() if secure else house() as one:
            raw = await one.raw()
            await holds(raw)
            for value in range(1, 6):
                offer(one, value)
                for _ in KEYS:
                    assert json.loads((await raw.receive())[1])["data"]["ltp"] == value
                assert (one.session().fd == -1) is secure
            await raw.close()

    live(main, uv=uv)


def test_rule_1_who_has_not_shaken_hands_counts_and_has_so_much_time(uv: bool) -> None:
    async def main() -> None:
        async with secure_house(max_unauthenticated=2, auth_window_s=60) as one:
            silent = await clear(one)
            half = await clear(one)
            half.writer.write(b"\x16\x03\x01\x02\x00")
            await until(lambda: len(one.gateway) == 2)
            assert one.gateway.guests.counted()["strangers"] == 2
            third = await one.open()
            head = await third.shake_hands()
            assert head.startswith("HTTP/1.1 503 ")
            await third.close()
            one.tended(61)
            for raw in (silent, half):
                await raw.ended()
                await raw.close()
            await one.empty()
            assert set(one.gateway.guests.counted().values()) == {0}

    live(main, uv=uv)


def test_rule_4_who_speaks_plain_is_told_the_scheme_and_counted(
    uv: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with secure_house() as one:
            raw = await clear(one)
            raw.writer.write(_CLEAR)
            told = await raw.reader.read()
            assert told.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"wss://, with TLS" in told
            await raw.close()
            await one.empty()
            assert one.gateway.guests.figures(0)["tls"] == 1

    with caplog.at_level(logging.WARNING, "hub"):
        live(main, uv=uv)
    assert [record.message for record in caplog.records] == [
        "TLS with 127.0.0.1 failed: it does not speak TLS"
    ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_rule_4_tls_before_1_2_is_not_enough(version: ssl.TLSVersion, uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            assert one.tls is not None
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                one.tls.minimum_version = ssl.TLSVersion.TLSv1
                one.tls.maximum_version = version
            one.tls.set_ciphers("DEFAULT@SECLEVEL=0")
            if version is ssl.TLSVersion.TLSv1_2:
                raw = await one.raw()
                await raw.close()
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await one.open()
            await one.empty()
            assert one.gateway.guests.figures(0)["tls"] == (version < ssl.TLSVersion.TLSv1_2)

    live(main, uv=uv)


@pytest.mark.parametrize("said", [b"\x16", b"\x16\x03\x01" + b"\xff" * 3000, b"\x16" * 70_000])
def test_rule_4_a_handshake_of_nonsense_ends(said: bytes, uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            raw = await clear(one)
            raw.writer.write(said)
            raw.writer.write_eof()
            await raw.ended()
            await raw.close()
            await one.empty()
            raw = await one.raw()
            await raw.close()

    live(main, uv=uv)


def test_what_comes_garbled_after_the_handshake_ends_that_client_alone(uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            other = await one.raw()
            raw = await one.raw()
            record = b"\x17\x03\x03\x00\x20" + b"x" * 32
            os.write(raw.writer.get_extra_info("socket").fileno(), record)  # past its own TLS
            with contextlib.suppress(ssl.SSLError):
                await raw.ended()
            raw.writer.transport.abort()
            await until(lambda: len(one.gateway) == 1)
            other.send(TEXT, PING_1)
            assert json.loads((await other.receive())[1])["_pingId"] == 1
            await other.close()

    live(main, uv=uv)


def test_rule_3_nothing_is_said_in_the_clear_when_the_shard_leaves(uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            silent = await clear(one)
            await until(lambda: len(one.gateway) == 1)
            one.connection().part(1012, "gone")
            assert await asyncio.wait_for(silent.reader.read(), 20) == b""
            await silent.close()

    live(main, uv=uv)


def test_what_is_written_before_the_handshake_follows_it(uv: bool) -> None:
    """A hub that is full says so to who asks; that it says it at all is known before."""

    async def main() -> None:
        async with secure_house() as one:
            wire = await clear(one)
            await until(lambda: len(one.gateway) == 1)
            one.connection()._transport.write(b"early")
            up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = tls.client_context().wrap_bio(down, up, server_hostname="localhost")
            said = b""
            while not said:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                    said = client.read()
                    continue
                wire.writer.write(up.read())
                down.write(await wire.reader.read(1 << 16))
            assert said == b"early"
            await wire.close()

    live(main, uv=uv)


def test_who_says_goodbye_is_answered_and_gone(uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            raw = await one.raw()
            raw.writer.close()
            await one.empty()
            await raw.writer.wait_closed()

    live(main, uv=uv)


def test_a_new_certificate_is_for_who_comes_from_now_on(uv: bool) -> None:
    async def main() -> None:
        async with secure_house() as one:
            assert one.tls is not None
            one.tls.check_hostname = False
            first = await one.raw()
            with room() as folder:
                one.gateway.secure(server_context(folder, "renewed.example"))
            second = await one.raw()
            names = [
                raw.writer.get_extra_info("peercert")["subjectAltName"] for raw in (first, second)
            ]
            assert names[0] != names[1] == (("DNS", "renewed.example"),)
            for raw in (first, second):
                raw.send(TEXT, PING_1)
                assert json.loads((await raw.receive())[1])["_pingId"] == 1
                await raw.close()

    live(main, uv=uv)


@pytest.mark.parametrize("greeted", [False, True])
def test_when_it_ends_all_of_it_is_freed_without_a_garbage_collection(
    uv: bool, *, greeted: bool
) -> None:
    """What is kept until then is never freed, in a process that has lived a while."""

    async def main() -> None:
        async with secure_house() as one:
            raw = await one.raw() if greeted else await clear(one)
            await until(lambda: len(one.gateway) == 1)
            gone = weakref.ref(one.connection())
            gc.disable()
            try:
                await raw.close()
                await one.empty()
                await until(lambda: gone() is None)
            finally:
                gc.enable()

    live(main, uv=uv)
