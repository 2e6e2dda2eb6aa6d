"""The web server of the monitor, asked without a network and with one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

import hub
from hub.core.settings import Page, Settings
from hub.monitor import web as module
from hub.monitor.web import Files, Web
from tests.hub.monitor.asgi import ask
from tests.hub.monitor.made_up import MadeUp


def made(token: str = "", **page: Any) -> tuple[Web, MadeUp]:
    settings = msgspec.structs.replace(Settings(), page=Page(**({"port": 0} | page)))
    board = MadeUp()
    return Web(settings, board, token), board


def test_the_page_names_its_files_by_the_build_and_they_are_kept_for_ever() -> None:
    web, _ = made()
    page = ask(web.app)
    assert page.headers["content-type"].startswith("text/html")
    assert hub.__version__ in page.text
    names = re.findall(r'"(static/[^"]+)"', page.text)
    assert len(names) >= 3
    for name in names:
        found = ask(web.app, f"/{name}")
        assert found.status == 200
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    script = ask(web.app, f"/static/{Files().mark}/dom.js")
    assert script.headers["content-type"].startswith("text/javascript")


def test_files_of_another_build_are_not_kept() -> None:
    web, _ = made()
    assert ask(web.app, "/static/old/main.js").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2fweb.py", "__init__.py"])
def test_nothing_else_is_served(name: str) -> None:
    web, _ = made()
    assert ask(web.app, f"/static/{Files().mark}/{name}").status == 404


def test_scripts_name_only_files_that_are_there() -> None:
    files = Files()._files
    for name, content in files.items():
        if name.endswith(".js"):
            for other in re.findall(r'from "\./([\w.]+)"', content.decode()):
                assert other in files, f"{name} wants {other}"


def test_no_script_makes_markup_of_what_it_is_given() -> None:
    for name, content in Files()._files.items():
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in content.decode(), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", content.decode()), name


def test_whoever_needs_a_token_gets_the_form() -> None:
    web, _ = made("a-token-of-some-length")
    answer = ask(web.app)
    assert answer.status == 401
    assert 'action="login"' in answer.text
    assert 'id="main"' not in answer.text
    assert "not the token" in ask(web.app, "/?wrong").text
    assert "Wait a moment" in ask(web.app, "/?wait").text
    assert "<script>x" not in ask(web.app, "/?%3Cscript%3Ex").text
    given = {"authorization": "Bearer a-token-of-some-length"}
    assert 'id="main"' in ask(web.app, **given).text  # type: ignore[arg-type]  # one header


def test_figures_are_told_to_programs() -> None:
    web, board = made()
    status = ask(web.app, "/status.json")
    assert status.headers["content-type"] == "application/json"
    assert json.loads(status.text)["hub"] == board.board()["hub"]
    metrics = ask(web.app, "/metrics")
    assert (metrics.text, metrics.headers["content-type"]) == (
        "hub_up 1\n", "text/plain; version=0.0.4; charset=utf-8"
    )  # fmt: skip


def test_health_is_that_of_the_loop_and_readiness_that_of_the_hub() -> None:
    web, board = made("a-token-of-some-length")
    assert ask(web.app, "/healthz").status == 200
    ready = ask(web.app, "/readyz")
    assert (ready.status, json.loads(ready.text)) == (200, {"ready": True, "missing": []})
    board.gone = {"shard-1"}
    missing = ask(web.app, "/readyz")
    assert missing.status == 503
    assert json.loads(missing.text) == {"ready": False, "missing": ["shard-1 is away"]}
    assert ask(web.app, "/healthz").status == 200
    assert ask(web.app, "/healthz", method="POST").status == 405


def serving(web: Web, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test while it is served."""

    async def main() -> None:
        testing = asyncio.create_task(test())
        await asyncio.sleep(0)
        running = asyncio.create_task(web.run())
        async with asyncio.timeout(20):
            await testing
            await web.stop()
            await running

    asyncio.run(main())


async def port_of(web: Web) -> int:
    while not web.port:  # noqa: ASYNC110  # it has no event: a test alone waits for it
        await asyncio.sleep(0.01)
    return web.port


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_it_serves_takes_no_signals_and_sends_pages_away_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    web, _ = made()

    async def test() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        port = await port_of(web)
        assert b"200 OK" in await get(port, "/healthz")
        assert b"server:" not in await get(port, "/")
        async with connect(f"ws://127.0.0.1:{port}/live", proxy=None) as page:
            assert json.loads(await page.recv())["type"] == "history"
            assert json.loads(await page.recv())["type"] == "board"
            now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            assert now == before
            await web.stop()
            with contextlib.suppress(ConnectionClosedError):
                while True:
                    await page.recv()
            assert page.close_code == 1012
        assert len(web.pages) == 0

    serving(web, test)
    assert not warnings(caplog)


def test_a_port_that_is_taken_is_said_once_and_had_as_soon_as_it_is_free(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.01)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    web, _ = made(port=port)

    async def test() -> None:
        while not warnings(caplog):  # noqa: ASYNC110  # a log has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        taken.close()
        assert await port_of(web) == port
        assert b"200 OK" in await get(port, "/healthz")

    serving(web, test)
    (warning,) = warnings(caplog)
    assert f"cannot use 127.0.0.1:{port}: Address already in use" in warning
    assert "--page-port 0" in warning


def test_one_that_waits_for_its_port_leaves_when_told_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        web, _ = made(port=taken.getsockname()[1])

        async def test() -> None:
            await asyncio.sleep(0.05)

        serving(web, test)
