"""The examples of docs/examples, as a reader of the documents runs them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser import Browser, Page, needs_chromium
from tests.integration.conftest import MakeHub
from tests.integration.harness import Hub, eventually

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
SYMBOLS = "NSE:RELIANCE,NSE_INDEX:NIFTY"


@contextlib.contextmanager
def running(command: list[str], key: str) -> Iterator[Iterator[str]]:
    """The lines that a program prints, until the test is done with it."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env=os.environ | {"HUB_API_KEY": key, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        watchdog = threading.Timer(40, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            yield iter(process.stdout)
        finally:
            watchdog.cancel()
            process.kill()


def node() -> list[str]:
    """Node, with the flag that its version wants to have a WebSocket."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no node here")
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    major = int(version.stdout.strip("v\n").split(".")[0])
    if major < 20:
        pytest.skip(f"node {major} has no WebSocket")
    return [program, *(["--experimental-websocket"] if major < 22 else [])]


def program(name: str) -> list[str]:
    start = node() if name.endswith(".mjs") else [sys.executable]
    return [*start, str(EXAMPLES / name)]


@pytest.mark.parametrize("name", ["client.py", "client.mjs"])
def test_the_client_prints_ticks_and_comes_back_when_its_shard_was_killed(
    make_hub: MakeHub, name: str
) -> None:
    hub = make_hub({"hub.feeds": ["sim"], "hub.shards": 1})
    with running([*program(name), SYMBOLS, hub.url], hub.keys["simon"]) as lines:
        text = [next(line for line in lines if f" {symbol} " in line)
                for symbol in ("RELIANCE", "NIFTY")]  # fmt: skip
        assert re.match(r"NSE RELIANCE \d+(\.\d+)?\b", text[0])
        assert re.match(r"NSE_INDEX NIFTY \d+(\.\d+)?\b", text[1])
        victim = hub.kill("shard-0")
        for line in lines:
            if "closed" in line or "lost" in line:
                break
        assert next(line for line in lines if line.startswith("NSE RELIANCE"))
        eventually(lambda: hub.is_back("shard-0", victim), "the shard is back")


def test_the_lines_of_the_operations_page_print_ticks(hub: Hub, tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(
        r"```python\n(import asyncio\n\nimport hub\.client\n.*?)```", page, re.DOTALL
    )
    assert "YOUR_API_KEY" in text
    file = tmp_path / "pasted.py"
    text = text.replace("YOUR_API_KEY", hub.keys["simon"]).replace("ws://127.0.0.1:8765", hub.url)
    file.write_text(text.replace("tick.depth)", "tick.depth, flush=True)"), encoding="utf-8")
    with running([sys.executable, str(file)], "") as lines:
        assert re.match(r"(RELIANCE|NIFTY) [\d.]+ Depth\(buy=\(Level\(price=", next(lines))


@pytest.mark.parametrize("name", ["client.py", "client.mjs"])
def test_the_client_says_what_is_wrong(hub: Hub, name: str) -> None:
    with running([*program(name), "NSE:NOSUCH,NSE:TCS", hub.url], hub.keys["simon"]) as lines:
        assert any("is not one of the simulator's" in line for line in lines)
    with running([*program(name), SYMBOLS, hub.url], "wrong") as lines:
        assert any("the API key is not valid" in line for line in lines)


def test_the_node_example_is_twenty_lines_or_so() -> None:
    text = (EXAMPLES / "client.mjs").read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line and not line.startswith("//")]
    assert len(code) <= 24
    assert "require" not in text
    assert "import" not in text


@pytest.fixture
def page_url() -> Iterator[str]:
    """Where the page is, as its own first lines say to serve it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=EXAMPLES)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()
        thread.join()


def connect(page: Page, hub: Hub, key: str, symbols: str) -> None:
    """Type all that into the form."""
    page.until("document.getElementById('url').value")
    for name, value in (("url", hub.url), ("symbols", symbols), ("key", key)):
        page.run(f"document.getElementById('{name}').select()")
        page.write(value)
    page.press("Enter")


@needs_chromium
def test_the_page_shows_prices_and_a_book_and_comes_back(
    make_hub: MakeHub, page_url: str, tmp_path: Path
) -> None:
    hub = make_hub({"hub.shards": 1})
    with Browser() as browser:
        page = browser.open(page_url, width=400)
        connect(page, hub, hub.keys["simon"], "NSE:RELIANCE NSE_INDEX:NIFTY, NSE:NOSUCH")
        page.until("document.querySelectorAll('.price span')[1].textContent > '0'")
        assert page.text("#state") == "live"
        assert "is not one of the simulator's" in page.text("td.error")
        assert page.run("document.documentElement.scrollWidth") <= 400, "it fits a phone"
        page.run("document.querySelector('tr.row').click()")
        page.until("document.querySelectorAll('.level').length === 10")
        page.until("document.querySelector('.rose, .fell') !== null")
        hub.kill("shard-0")
        page.until("document.getElementById('state').textContent.includes('again in')")
        page.until("document.getElementById('state').textContent === 'live'")
        page.run("window.before = document.querySelector('.price span').textContent")
        page.until("document.querySelector('.price span').textContent !== window.before")
        assert {url.split("/")[2] for url in page.requests if "://" in url} <= {
            page_url.split("/")[2], hub.url.split("/")[2],
        }, "it needs nothing else"  # fmt: skip
        page.picture(tmp_path / "page.png")


@needs_chromium
def test_the_page_says_what_is_wrong_with_a_key(hub: Hub, page_url: str) -> None:
    with Browser() as browser:
        page = browser.open(page_url)
        connect(page, hub, "wrong", SYMBOLS)
        page.until("document.getElementById('state').textContent === 'the API key is not valid'")
        assert "wrong" not in page.run("location.href")
