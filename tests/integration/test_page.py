"""The page of a real hub, in a real browser: it shows what is the case, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import Browser, Page, needs_chromium
from tests.integration.harness import Hub, eventually, fresh

pytestmark = [
    pytest.mark.parametrize(
        "hub", [{"hub.shards": 2, "page.enabled": True, "page.port": 0}], indirect=True
    )
]


def url(hub: Hub, path: str = "/") -> str:
    return f"http://127.0.0.1:{hub.first['page']}{path}"


def asked(hub: Hub, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url(hub, path), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    chromium.close_all()


def names(hub: Hub) -> set[str]:
    """Who stands in the status."""
    processes = json.loads(asked(hub, "/status.json")[1])["processes"]
    return {process["name"] for process in processes}


def test_health_readiness_status_and_metrics_are_served_beside_the_page(hub: Hub) -> None:
    eventually(lambda: asked(hub, "/readyz")[0] == 200, "the hub is ready")
    assert asked(hub, "/healthz")[0] == 200
    assert asked(hub, "/status.json")[0] == 200
    wanted = {"supervisor", "router", "feed-bus", "feed-sim", "shard-1", "monitor"}
    eventually(lambda: wanted <= names(hub), "the monitor has heard of all")
    assert asked(hub, "/metrics")[1].startswith("# HELP ")


@needs_chromium
def test_the_page_shows_what_clients_make_true(hub: Hub, browser: Browser) -> None:
    async def main() -> None:
        page = await asyncio.to_thread(browser.open, url(hub))
        async with hub.client() as client, hub.client("ravi_k sharma"), hub.publisher() as bus:
            (symbol,) = fresh("SEEN")
            await client.subscribe(symbol)
            for number in range(3):
                bus.send(f"NSE_{symbol}_LTP", {"ltp": 100 + number, "n": number})
            await asyncio.to_thread(page.until, TILE.format("Clients", "2"))
            await asyncio.to_thread(page.until, TILE.format("Symbols", "1"))
        await asyncio.to_thread(page.until, TILE.format("Clients", "0"))
        clean(page, hub)

    asyncio.run(main())


@needs_chromium
def test_the_page_follows_a_shard_that_is_killed_and_its_recovery(
    hub: Hub, browser: Browser
) -> None:
    page = browser.open(url(hub))
    page.until("document.title.startsWith('OK')")
    victim = hub.kill("shard-1")
    page.until("/^(BAD|WARN): shard-1/.test(document.title)")
    page.until("document.querySelector('#events').innerText.includes('shard-1')")
    eventually(lambda: hub.is_back("shard-1", victim), "shard-1 is back")
    page.until("document.title.startsWith('OK')")
    page.until("document.querySelector('tr[data-name=shard-1]').innerText.includes('restarted')")
    clean(page, hub)


@needs_chromium
def test_the_page_survives_the_monitor_that_serves_it(hub: Hub, browser: Browser) -> None:
    page = browser.open(url(hub))
    page.until("document.title.startsWith('OK')")
    page.run("window.mine = true")
    victim = hub.kill("monitor")
    page.until("document.title.startsWith('No connection')")
    eventually(lambda: hub.is_back("monitor", victim), "the monitor is back")
    page.until("document.title.startsWith('OK')")
    assert page.run("window.mine"), "the same page goes on"
    assert not page.run("document.body.classList.contains('stale')")


@needs_chromium
def test_the_page_shows_the_ticks_of_a_symbol_that_is_typed(hub: Hub, browser: Browser) -> None:
    async def main() -> None:
        page = await asyncio.to_thread(browser.open, url(hub))
        await asyncio.to_thread(type_in, page, "NSE:RELIANCE")
        await asyncio.to_thread(page.until, "document.querySelector('.last').dataset.way")
        assert await asyncio.to_thread(page.text, "#ticker h3") == "NSE:RELIANCE"
        await asyncio.to_thread(type_in, page, "NSE:NOSUCH")
        said = "document.querySelector('#ticker').innerText.includes('not one of the simulator')"
        await asyncio.to_thread(page.until, said)
        clean(page, hub)

    asyncio.run(main())


def type_in(page: Page, symbol: str) -> None:
    page.run("document.querySelector('#symbol').select()")
    page.write(symbol)
    page.press("Enter")


TILE = "document.querySelector('[data-title={}] b').innerText === '{}'"


def clean(page: Page, hub: Hub) -> None:
    """Nothing was complained of, and nobody else was asked."""
    assert page.complaints == []
    assert all(f"//127.0.0.1:{hub.first['page']}/" in request for request in page.requests)
