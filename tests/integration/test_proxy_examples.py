"""The examples of reverse proxies in docs/examples: nginx as a real one before a real hub, Caddy's
file as Caddy reads it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from hub.core.settings import Websocket
from tests.integration.harness import (
    ROOT,
    WITHIN_S,
    Client,
    Hub,
    eventually,
    fresh,
    numbers,
    together,
    until,
)
from tests.integration.scenes import Reader
from tests.tls import client_context, issue

EXAMPLES = ROOT / "docs/examples"
NAME = "ticks.example.com"
PAGE = "hub.example.com"
CERTIFICATES = "/etc/letsencrypt/live"
TOKEN = "a token of some length"
NGINX, CADDY = shutil.which("nginx"), shutil.which("caddy")
MOST = 3
"""Connections of one address."""

_addresses = itertools.count(1)
_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/example.conf;
}}
"""
"""What the distribution's nginx.conf is: the example is a part of it."""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that believes a proxy on this machine, be it by TCP or by the Unix socket."""
    hub = Hub()
    token = hub.dir / "page.token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    hub.flags |= {
        "page.enabled": True,
        "page.port": 0,
        "page.token_file": str(token),
        "page.origins": [f"https://{PAGE}"],
        "hub.shards": 2,
        "hub.feeds": ["bus"],
        "websocket.unix": str(hub.dir / "hub.sock"),
        "websocket.trusted_proxies": ["127.0.0.1", "unix"],
        "websocket.max_address_connections": MOST,
        "websocket.ping_interval_s": 1,
    }
    try:
        yield hub.start()
        assert hub.stop() == 0, hub.log()
    finally:
        hub.discard()


class Proxy:
    """nginx with the example, before a hub; `unix` is whether it goes by the Unix socket."""

    def __init__(self, hub: Hub, folder: Path, *, unix: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        issue(folder, NAME, PAGE, file="cert")
        text = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
        if unix:
            text = swapped(text)
        for what, instead in {
            "    listen [::]:443 ssl;\n": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            f"{CERTIFICATES}/{NAME}/fullchain.pem": f"{folder}/cert.crt",
            f"{CERTIFICATES}/{NAME}/privkey.pem": f"{folder}/cert.key",
            f"{CERTIFICATES}/{PAGE}/fullchain.pem": f"{folder}/cert.crt",
            f"{CERTIFICATES}/{PAGE}/privkey.pem": f"{folder}/cert.key",
            "127.0.0.1:8766": f"127.0.0.1:{hub.first['page']}",
            "127.0.0.1:8765": f"127.0.0.1:{hub.first['ws']}",
            "/run/shardhub-web/hub.sock": str(hub.flags["websocket.unix"]),
        }.items():
            assert what in text, f"{what} is not in the example"
            text = text.replace(what, instead)
        (folder / "example.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=user))
        assert NGINX
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [NGINX, "-p", folder, "-c", folder / "nginx.conf"],
            stdin=subprocess.DEVNULL, stderr=self._log,
        )  # fmt: skip
        eventually(self._is_there, f"nginx is there: {(folder / 'log').read_text()}")

    def client(self, address: str, **options: Any) -> connect:
        """A client that comes from this address of this machine."""
        return connect(
            f"wss://{NAME}:{self.port}", host="127.0.0.1", local_addr=(address, 0),
            ssl=client_context(), **options,
        )  # fmt: skip

    async def known(self, hub: Hub, address: str) -> ClientConnection:
        """One that has authenticated."""
        client = await self.client(address)
        reply = await Client(client).ask({"action": "auth", "api_key": hub.keys["anita"]})
        assert reply["status"] == "success"
        return client

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WITHIN_S)
        self._log.close()

    def _is_there(self) -> bool:
        assert self._process.poll() is None
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


def fresh_address() -> str:
    """One that nobody has come from: the hub remembers who was wrong."""
    return f"127.0.8.{next(_addresses)}"


def swapped(text: str) -> str:
    """The example as it says what to do with the Unix socket: two other lines in place of one."""
    text = text.replace("    server 127.0.0.1:8765;\n", "", 1)
    text, count = re.subn(r"    # (server [^;]+;)\n", r"    \1\n", text)
    assert count == 2
    return text


@pytest.fixture(scope="module", params=["tcp", "unix"])
def nginx(
    request: pytest.FixtureRequest, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    if NGINX is None:
        pytest.skip("nginx is not on this machine (Debian: nginx-light)")
    folder = tmp_path_factory.mktemp(f"nginx-{request.param}")
    proxy = Proxy(hub, folder, unix=request.param == "unix")
    yield proxy
    proxy.stop()


def test_through_nginx_clients_get_every_tick_once_and_in_order(hub: Hub, nginx: Proxy) -> None:
    symbols = fresh(count=10)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(hub.publisher())
            clients = [Client(await nginx.known(hub, "127.0.0.2")) for _ in range(2)]
            for client in clients:
                stack.push_async_callback(client.socket.close)
                await client.subscribe(*symbols, snapshot=False)
            readers = [Reader(client) for client in clients]
            for n in range(300):
                for symbol in symbols:
                    publisher.send(f"NSE_{symbol}_LTP", {"n": n})
                await asyncio.sleep(0.001)
            await together(reader.stop() for reader in readers)
            await together(client.catch_up(publisher) for client in clients)
            for client in clients:
                for symbol in symbols:
                    assert numbers(client.seen, symbol) == list(range(300))

    asyncio.run(main())


def test_through_nginx_each_has_the_limit_of_its_own_address(hub: Hub, nginx: Proxy) -> None:
    async def main() -> None:
        full = [await nginx.client("127.0.0.3") for _ in range(MOST)]
        with pytest.raises(InvalidStatus, match="HTTP 503"):
            await nginx.client("127.0.0.3")
        full.append(await nginx.client("127.0.0.4"))
        for client in full:
            await client.close()

    asyncio.run(main())


def test_through_nginx_an_address_cannot_be_made_up(hub: Hub, nginx: Proxy) -> None:
    """A client's own X-Forwarded-For is worth nothing."""
    address = fresh_address()

    async def main() -> None:
        headers = {"X-Forwarded-For": "203.0.113.9"}
        async with nginx.client(address, additional_headers=headers) as client:
            reply = await Client(client).ask({"action": "auth", "api_key": "wrong"})
            assert reply["status"] == "error"
        await until(lambda: f"an API key of {address} was refused" in hub.log(), "it is logged")
        assert "203.0.113.9" not in hub.log()

    asyncio.run(main())


def test_through_nginx_pages_of_its_own_name_may_connect_and_others_may_not(
    hub: Hub, nginx: Proxy
) -> None:
    async def main() -> None:
        own: Any = f"https://{NAME}:{nginx.port}"
        async with nginx.client("127.0.0.6", origin=own):
            pass
        other: Any = "https://evil.example"
        with pytest.raises(InvalidStatus, match="HTTP 403"):
            await nginx.client("127.0.0.6", origin=other)

    asyncio.run(main())


def visit(nginx: Proxy, address: str, path: str, token: str) -> tuple[int, bytes]:
    """What the page's server answers to who comes from this address."""
    sock = socket.create_connection(("127.0.0.1", nginx.port), WITHIN_S, (address, 0))
    with client_context().wrap_socket(sock, server_hostname=PAGE) as secure:
        secure.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {PAGE}\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: secure.recv(4096), b""))
    return int(answer.split()[1]), answer


def test_through_nginx_the_page_asks_for_the_token_and_each_address_has_its_own_tries(
    hub: Hub, nginx: Proxy
) -> None:
    stranger, other = fresh_address(), fresh_address()
    tries = [visit(nginx, stranger, "/status.json", "wrong")[0] for _ in range(6)]
    assert tries == [401] * 5 + [429]
    status, answer = visit(nginx, other, "/status.json", TOKEN)
    assert status == 200
    assert b"shard-1" in answer

    async def main() -> None:
        live = connect(
            f"wss://{PAGE}:{nginx.port}/live", host="127.0.0.1", ssl=client_context(),
            additional_headers={"Authorization": f"Bearer {TOKEN}"},
            origin=f"https://{PAGE}",  # type: ignore[arg-type]  # an Origin is a str
        )  # fmt: skip
        async with live as page:
            assert await asyncio.wait_for(page.recv(), WITHIN_S)

    asyncio.run(main())


def test_nginx_waits_longer_than_the_hub_pings() -> None:
    text = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    waits = [float(found) for found in re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", text)]
    assert len(waits) == 4
    assert min(waits) > Websocket().ping_interval_s + Websocket().ping_timeout_s


@pytest.mark.skipif(CADDY is None, reason="caddy is not on this machine")
@pytest.mark.parametrize("unix", [False, True])
def test_caddy_takes_its_file(tmp_path: Path, *, unix: bool) -> None:
    text = (EXAMPLES / "Caddyfile").read_text(encoding="utf-8")
    lines = dict(re.findall(r"(# With websocket.unix: )?(reverse_proxy \S+ {)", text))
    instead, usual = lines["# With websocket.unix: "], lines[""]
    (tmp_path / "Caddyfile").write_text(text.replace(usual, instead) if unix else text)
    assert CADDY
    done = subprocess.run(
        [CADDY, "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"],
        env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Valid configuration" in done.stdout + done.stderr
    assert "not formatted" not in done.stderr
