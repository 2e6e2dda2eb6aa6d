"""`hub tail` against a small WebSocket server."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from hub.client import retry
from hub.core.names import DEMO_KEY
from hub.core.settings import Websocket
from hub.runtime.tls import identity
from tests.tls import Pair, issue, trusted

ROOT = Path(__file__).parents[2]
KEY = "hub_00000000_secret"


def tick(symbol: str, ltp: float) -> str:
    return json.dumps({"type": "market_data", "exchange": "NSE", "symbol": symbol, "mode": 2,
                       "data": {"ltp": ltp, "close": 100.0, "volume": 5}})  # fmt: skip


class FakeHub:
    """Speaks the client protocol; `play` runs after each subscribe. Keeps what it was told."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.unknown: set[str] = set()
        self.play: Callable[[ServerConnection, int], None] = lambda *_: None
        self.connections = 0
        self.server: Server = serve(self._talk, "127.0.0.1", 0, ssl=tls)
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def _talk(self, client: ServerConnection) -> None:
        self.connections += 1
        number = self.connections
        for text in client:
            message = json.loads(text)
            self.told.append(message)
            if message["action"] == "authenticate":
                self._greet(client, message["api_key"])
            else:
                rows = [one | self._verdict(one["symbol"]) for one in message["symbols"]]
                client.send(json.dumps({"type": "subscribe", "subscriptions": rows}))
                self.play(client, number)

    def _verdict(self, symbol: str) -> dict[str, str]:
        if symbol in self.unknown:
            return {"status": "error", "message": "unknown"}
        return {"status": "success"}

    @staticmethod
    def _greet(client: ServerConnection, key: str) -> None:
        if key == KEY:
            client.send('{"type": "auth", "status": "success"}')
        else:
            client.send('{"status": "error", "code": "AUTHENTICATION_ERROR", "message": "no"}')

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("HUB_API_KEY", KEY)
    monkeypatch.setattr(retry.Backoff.__init__, "__defaults__", (0.02, 0.02))
    made = FakeHub()
    yield made
    made.close()


def ticks(*prices: float) -> Callable[[ServerConnection, int], None]:
    def play(client: ServerConnection, _: int) -> None:
        for price in prices:
            client.send(tick("SBIN", price))

    return play


def test_it_logs_in_subscribes_and_prints_a_line_per_tick(hub: Any, fake: FakeHub) -> None:
    fake.play = ticks(101.0, 102.0, 103.0)
    text = hub("tail", "NSE:SBIN", "--url", fake.url, "--count", 2, "--mode", "depth").stdout
    rows = [line.split()[1:] for line in text.splitlines()]
    assert rows == [
        ["NSE:SBIN", "101.00", "+1.00", "+1.00", "%", "5"],
        ["NSE:SBIN", "102.00", "+2.00", "+2.00", "%", "5"],
    ]
    assert fake.told[0] == {"action": "authenticate", "api_key": KEY, "batch": True}
    assert fake.told[1]["symbols"] == [{"exchange": "NSE", "symbol": "SBIN"}]
    assert fake.told[1]["mode"] == "Depth"


def test_json_is_the_hub_s_own_message(hub: Any, fake: FakeHub) -> None:
    fake.play = ticks(101.0)
    text = hub("tail", "NSE:SBIN", "--url", fake.url, "--count", 1, "--json").stdout
    assert json.loads(text) == json.loads(tick("SBIN", 101.0))


def test_a_symbol_that_fails_is_told_and_the_others_go_on(hub: Any, fake: FakeHub) -> None:
    fake.unknown = {"NIX"}
    fake.play = ticks(101.0)
    result = hub("tail", "NSE:SBIN,NSE:NIX", "--url", fake.url, "--count", 1)
    assert result.stderr == "NSE:NIX: unknown\n"


def test_when_all_symbols_fail_it_ends(hub: Any, fake: FakeHub) -> None:
    fake.unknown = {"NIX"}
    stderr = hub("tail", "NSE:NIX", "--url", fake.url, rc=1).stderr
    assert "NSE:NIX: unknown" in stderr
    assert "none of these symbols" in stderr


def test_it_comes_back_when_the_hub_went_away(hub: Any, fake: FakeHub) -> None:
    def play(client: ServerConnection, number: int) -> None:
        client.send(tick("SBIN", 100.0 + number))
        if number < 3:
            client.close(1012, "the server is restarting; connect again")

    fake.play = play
    result = hub("tail", "NSE:SBIN", "--url", fake.url, "--count", 3)
    assert [line.split()[2] for line in result.stdout.splitlines()] == [
        "101.00", "102.00", "103.00",
    ]  # fmt: skip
    away = "the hub is away (closed: 1012 the server is restarting; connect again)"
    assert result.stderr.count(away) == 2


def test_a_wrong_key_is_told_once(hub: Any, fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_API_KEY", "wrong")
    result = hub("tail", "NSE:SBIN", "--url", fake.url, rc=1)
    assert "the hub refuses: no (AUTHENTICATION_ERROR)" in result.stderr
    assert "wrong" not in result.output
    assert fake.connections == 1


def test_when_no_hub_answers_it_says_how_to_start_one(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
    stderr = hub("tail", "NSE:SBIN", "--url", url, rc=69).stderr
    assert "connection refused" in stderr
    assert "hub start" in stderr
    assert "not a WebSocket address" in hub("tail", "NSE:A", "--url", "x", rc=1).stderr


def test_the_address_is_the_running_hub_s(
    hub: Any, fake: FakeHub, answer: Any, runtime_dir: Path
) -> None:
    fake.play = ticks(101.0)
    answer(status=[{"t": "status", "hub": {"url": fake.url}}])
    hub("tail", "NSE:SBIN", "--runtime-dir", runtime_dir, "--count", 1)
    assert fake.connections == 1


def test_without_a_running_hub_the_address_is_the_settings(
    hub: Any, fake: FakeHub, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.play = ticks(101.0)
    monkeypatch.setenv("HUB_WEBSOCKET_PORT", fake.url.rpartition(":")[2])
    hub("tail", "NSE:SBIN", "--runtime-dir", runtime_dir, "--count", 1)
    assert fake.connections == 1


def test_where_the_key_comes_from(
    hub: Any, fake: FakeHub, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named, else the environment, else the demo's."""
    fake.play = ticks(101.0)
    args = ("tail", "NSE:SBIN", "--url", fake.url, "--count", 1, "--runtime-dir", runtime_dir)
    (runtime_dir / "named").write_text("from-file\n")
    (runtime_dir / DEMO_KEY).write_text("from-demo\n")
    monkeypatch.setenv("HUB_API_KEY", "from-env")
    hub(*args, "--key-file", runtime_dir / "named", rc=1)
    hub(*args, rc=1)
    monkeypatch.delenv("HUB_API_KEY")
    hub(*args, rc=1)
    assert [told["api_key"] for told in fake.told] == ["from-file", "from-env", "from-demo"]


def test_without_a_key_it_says_where_to_put_one(hub: Any, runtime_dir: Path) -> None:
    stderr = hub("tail", "NSE:SBIN", "--runtime-dir", runtime_dir, rc=2).stderr
    assert "HUB_API_KEY" in stderr
    (runtime_dir / "empty").touch()
    args = ("tail", "NSE:SBIN", "--key-file", runtime_dir / "empty")
    assert "holds no API key" in hub(*args, rc=2).stderr


def test_symbols_without_an_exchange_are_wrong_usage(hub: Any) -> None:
    assert "EXCHANGE:SYMBOL" in hub("tail", "SBIN", rc=2).stderr


def test_symbols_may_stand_in_several_words_and_in_a_file(
    hub: Any, fake: FakeHub, tmp_path: Path
) -> None:
    fake.play = ticks(101.0)
    (tmp_path / "list").write_text("# mine\nNSE:A NSE:B,NSE:C # three\n\nNSE:SBIN\n")
    hub("tail", f"@{tmp_path / 'list'}", "NSE:D,NSE:A", "--url", fake.url, "--count", 1)
    assert [one["symbol"] for one in fake.told[1]["symbols"]] == ["A", "B", "C", "SBIN", "D"]
    assert "No such file" in hub("tail", "@nowhere", rc=2).stderr
    (tmp_path / "list").write_bytes(b"\xff")
    assert "not UTF-8" in hub("tail", f"@{tmp_path / 'list'}", rc=2).stderr


BOOK = {"buy": [{"price": 99.5, "quantity": 40, "orders": 2}, {"price": 99.0, "quantity": 10}],
        "sell": [{"price": 100.5, "quantity": 20}]}  # fmt: skip


def book(client: ServerConnection, _: int) -> None:
    message = json.loads(tick("SBIN", 100.0))
    message["data"]["depth"] = BOOK
    client.send(json.dumps(message))


def test_depth_asks_for_so_many_levels_and_without_a_terminal_it_is_lines(
    hub: Any, fake: FakeHub
) -> None:
    fake.play = book
    args = ("tail", "NSE:SBIN", "--url", fake.url, "--count", 1, "--depth")
    assert "40 @ 99.50 | 100.50 @ 20" in hub(*args, "--levels", 20).stdout
    assert fake.told[1]["mode"] == "Depth"
    assert fake.told[1]["depth"] == 20
    assert "one symbol" in hub("tail", "NSE:A,NSE:B", "--depth", rc=2).stderr


def on_a_terminal(*args: str, **more: str) -> str:
    """What `hub` writes to a terminal of 100 columns, with its colours."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    environment = os.environ | {"HUB_API_KEY": KEY, "TERM": "xterm-256color"} | more
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *args], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=ROOT, env=environment,
    ) as process:  # fmt: skip
        os.close(theirs)
        read = b""
        with suppress(OSError):  # that is how a terminal ends
            while chunk := os.read(ours, 1 << 16):
                read += chunk
        os.close(ours)
        assert process.wait(20) == 0, read
    return read.decode()


def test_on_a_terminal_prices_that_rise_are_green_and_no_color_is_none(
    fake: FakeHub,
) -> None:
    fake.play = ticks(101.0, 102.0, 101.5)
    args = ("tail", "NSE:SBIN", "--url", fake.url, "--count", "3")
    first, second, third = on_a_terminal(*args).splitlines()
    assert "\x1b[1m      101.00" in first
    assert "\x1b[1;32m      102.00" in second
    assert "\x1b[1;31m      101.50" in third
    assert "\x1b[1;32m" not in on_a_terminal(*args, NO_COLOR="1")


def test_on_a_terminal_a_book_is_a_ladder(fake: FakeHub) -> None:
    fake.play = book
    text = on_a_terminal("tail", "NSE:SBIN", "--url", fake.url, "--count", "1", "--depth")
    rows = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()
    (best,) = [row for row in rows if "99.50" in row]
    assert re.search(r"█+ +2 +40 +99\.50 +100\.50 +20 +█+", best)
    assert any("50 bid" in row and "20 asked" in row for row in rows)


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeHub, Pair]]:
    """A hub with TLS, and its certificate."""
    monkeypatch.setenv("HUB_API_KEY", KEY)
    pair = issue(tmp_path)
    shown = identity(Websocket(tls_cert=str(pair.cert), tls_key=str(pair.key)))
    assert shown is not None
    made = FakeHub(shown.context)
    made.play = ticks(101.0)
    yield made, pair
    made.close()


def test_over_tls_it_trusts_whom_this_machine_trusts_or_the_file_it_is_given(
    hub: Any, secure: tuple[FakeHub, Pair], tmp_path: Path
) -> None:
    fake, pair = secure
    command = ("tail", "NSE:SBIN", "--url", fake.url, "--count", 1)
    for ca in (trusted(tmp_path), pair.cert):
        assert "101.00" in hub(*command, "--ca", ca).stdout
    told = hub(*command, rc=1).stderr
    assert "is not trusted: unable to get local issuer certificate; give --ca FILE if" in told
    other = issue(tmp_path, "other.example", file="other").cert
    assert "is not trusted" in hub(*command, "--ca", other, rc=1).stderr


def test_over_tls_it_trusts_the_certificate_of_the_hub_that_runs_here(
    hub: Any, secure: tuple[FakeHub, Pair], answer: Any, runtime_dir: Path, tmp_path: Path
) -> None:
    fake, pair = secure
    command = ("tail", "NSE:SBIN", "--count", 1, "--runtime-dir", runtime_dir)
    says = {"url": fake.url, "tls_cert": str(pair.cert)}
    answer(status=[{"t": "status", "hub": says}] * 4)
    assert "101.00" in hub(*command).stdout
    says["tls_cert"] = str(issue(tmp_path, "hub.example", file="other").cert)
    assert "is not trusted" in hub(*command, rc=1).stderr
