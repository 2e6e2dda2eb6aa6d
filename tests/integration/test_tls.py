"""A hub with TLS on its port and a Unix socket beside it: by either way clients get the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidMessage

from tests.integration.harness import (
    ROOT,
    WITHIN_S,
    Hub,
    Publisher,
    eventually,
    fresh,
    numbers,
    small_socket,
    together,
    until,
)
from tests.integration.scenes import Beacon, Reader, scene
from tests.tls import client_context, issue

FORMS: list[dict[str, Any]] = [{}, {"batch": True, "encoding": "msgpack"}]
ALERT = 0x15
"""How an alert of TLS begins."""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """Two shards; who reads slowly is soon behind."""
    hub = Hub()
    pair = issue(hub.dir)
    hub.flags |= {
        "hub.shards": 2,
        "websocket.tls_cert": str(pair.cert),
        "websocket.tls_key": str(pair.key),
        "websocket.unix": str(hub.dir / "hub.sock"),
        "websocket.outbox_bytes": 65536,
        "websocket.stall_s": 5,
    }
    try:
        yield hub.start()
        assert hub.stop() == 0, hub.log()
        assert not [*hub.dir.glob("hub.sock*")], "the Unix socket is gone with it"
    finally:
        hub.discard()


def by_unix(hub: Hub) -> dict[str, Any]:
    return {"unix": True, "path": hub.flags["websocket.unix"]}


def said_by(hub: Hub, words: bytes, *, unix: bool = False) -> bytes:
    """All that is answered to these bytes, by who comes without TLS."""
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    with sock:
        sock.settimeout(WITHIN_S)
        port = hub.first["ws"]
        sock.connect(hub.flags["websocket.unix"] if unix else ("127.0.0.1", port))
        sock.sendall(words)
        return b"".join(iter(lambda: sock.recv(4096), b""))


def names_shown(hub: Hub) -> set[str]:
    """The names in the certificates that some who come now are shown."""
    context = client_context()
    context.check_hostname = False
    found = set()
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", hub.first["ws"]), WITHIN_S) as sock:  # noqa: SIM117  # the one is in the other
            with context.wrap_socket(sock) as secure:
                names: Any = (secure.getpeercert() or {})["subjectAltName"]
                found.add(names[0][1])
    return found


def test_whoever_comes_by_tls_or_the_unix_socket_gets_every_tick_once_and_in_order(
    hub: Hub,
) -> None:
    symbols = fresh(count=10)

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        publisher = await stack.enter_async_context(hub.publisher())
        await hub.all_serve()
        clients = [
            await stack.enter_async_context(hub.client(snapshot=False, form=form, **way))
            for form in FORMS
            for way in ({}, {}, by_unix(hub), by_unix(hub))
        ]
        for client in clients:
            await client.subscribe(*symbols)
        readers = [Reader(client) for client in clients]
        for n in range(300):
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": n})
            await asyncio.sleep(0.001)  # a Unix socket holds little
        await together(reader.stop() for reader in readers)
        await together(client.catch_up(publisher) for client in clients)
        for client in clients:
            for symbol in symbols:
                assert numbers(client.seen, symbol) == list(range(300))
        await hub.figures_when(
            lambda f: min(f[f"shard-{shard}"]["clients"] for shard in range(2)) >= 3, "spread"
        )

    scene(play, hub)


async def publish_until_conflated(hub: Hub, publisher: Publisher, symbols: list[str]) -> int:
    """Rounds of large ticks until somebody has been spared many; how many rounds."""
    rounds = 0

    async def conflated() -> int:
        figures = await hub.figures()
        return sum(figures[f"shard-{shard}"].get("conflated", 0) for shard in range(2))

    while await conflated() < 500:
        for _ in range(20):
            for symbol in symbols:
                publisher.send(f"NSE_{symbol}_LTP", {"n": rounds, "ballast": "x" * 5000})
            rounds += 1
            await asyncio.sleep(0.01)
    return rounds


def test_one_that_is_slow_over_tls_ends_with_the_newest_and_one_that_is_stuck_is_closed(
    hub: Hub,
) -> None:
    symbols = fresh(count=20)

    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        publisher = await stack.enter_async_context(hub.publisher())
        await hub.all_serve()
        healthy = await stack.enter_async_context(hub.client(snapshot=False))
        slow, stuck = [
            await stack.enter_async_context(
                hub.client(snapshot=False, sock=small_socket(hub.url), max_queue=1)
            )
            for _ in range(2)
        ]
        stack.callback(stuck.socket.transport.abort)
        for client in (healthy, slow, stuck):
            await client.subscribe(*symbols)
        reading = Reader(healthy)
        rounds = await publish_until_conflated(hub, publisher, symbols)
        await slow.catch_up(publisher)
        for symbol in symbols:
            got = numbers(slow.seen, symbol)
            assert got[-1] == rounds - 1, "the value published last is the last one read"
            assert got == sorted(set(got)), "never an old value after a newer one"
        await reading.stop()
        await healthy.catch_up(publisher)
        for symbol in symbols:
            assert numbers(healthy.seen, symbol) == list(range(rounds))
        await hub.figures_when(
            lambda f: sum(f[f"shard-{shard}"]["stalled"] for shard in range(2)) == 1,
            "the one that takes nothing is given up",
        )

    scene(play, hub)


def test_who_speaks_what_is_not_spoken_there_is_told_so(hub: Hub) -> None:
    plain = said_by(hub, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert plain.startswith(b"HTTP/1.1 400 ")
    assert b"wss://, with TLS" in plain
    hello = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    told = said_by(hub, hello.read(), unix=True)
    assert b"ws://, without TLS" in told
    assert said_by(hub, b"\x16\x03\x01\x00\x05nonsense")[0] == ALERT


def test_hub_tail_finds_it_and_trusts_its_certificate(hub: Hub) -> None:
    environment = os.environ | {"HUB_API_KEY": hub.keys["simon"]}
    command = [sys.executable, "-m", "cli", "tail", "NSE:RELIANCE", "--count", "1", "--json"]
    command += ["--runtime-dir", str(hub.runtime_dir)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["symbol"] == "RELIANCE"


def test_a_renewed_certificate_is_shown_after_a_hang_up_and_nobody_is_disconnected(
    hub: Hub,
) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        publisher = await stack.enter_async_context(hub.publisher())
        client = await stack.enter_async_context(hub.client(snapshot=False))
        await client.subscribe(symbol)
        reader, beacon = Reader(client), Beacon(publisher, symbol)
        assert await asyncio.to_thread(names_shown, hub) == {"localhost"}
        Path(hub.flags["websocket.tls_key"]).write_text("half of a ke")  # noqa: ASYNC240  # it is short
        os.kill(hub.pid, signal.SIGHUP)
        stays = "the certificate from before stays in use"
        await until(lambda: hub.log().count(stays) == 2, "both shards say what is wrong")
        assert await asyncio.to_thread(names_shown, hub) == {"localhost"}
        issue(hub.dir, "renewed.example", "127.0.0.1")
        read_before = hub.log().count("clients are shown the certificate of ")
        os.kill(hub.pid, signal.SIGHUP)
        await until(
            lambda: hub.log().count("clients are shown the certificate of ") == read_before + 2,
            "both have read it",
        )
        assert await asyncio.to_thread(names_shown, hub) == {"renewed.example"}
        seen = len(reader.numbers(symbol))
        await until(lambda: len(reader.numbers(symbol)) > seen, "ticks come")
        await beacon.stop()
        await reader.stop()
        found = reader.numbers(symbol)
        assert found == list(range(found[0], found[-1] + 1)), "none was missed"

    scene(play, hub)


def test_when_the_shard_behind_the_unix_socket_stands_still_or_dies_it_leads_to_another(
    hub: Hub,
) -> None:
    path = Path(hub.flags["websocket.unix"])

    def connects() -> bool:
        async def main() -> None:
            async with hub.client(**by_unix(hub)) as client:
                await client.ask({"action": "ping"})

        try:
            asyncio.run(main())
        except (OSError, InvalidMessage):
            return False
        return True

    def behind() -> str:
        return path.readlink().name

    still = behind()
    victim = hub.children[f"shard-{still[-1]}"]
    os.kill(victim.pid, signal.SIGSTOP)
    eventually(lambda: behind() != still, "it leads to another")
    assert connects()
    os.kill(victim.pid, signal.SIGCONT)
    shard = f"shard-{behind()[-1]}"
    victim = hub.kill(shard)
    eventually(connects, "who comes is served")
    eventually(lambda: hub.is_back(shard, victim), "it is back")
    assert connects()
