"""The page, in a real browser: what a person sees of a made-up hub."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from hub.core.settings import Page as PageSettings
from hub.core.settings import Settings
from hub.monitor.web import Web
from tests.browser import Browser, Page, needs_chromium
from tests.hub.monitor.made_up import MadeUp

pytestmark = needs_chromium

ROW = "document.querySelector('tr[data-name=\"{}\"]')"
EVIL = "<img src=x onerror=\"document.title='hacked'\">"


class Served:
    """A made-up hub whose page is served by a thread, and may be stopped and started."""

    def __init__(self, token: str = "") -> None:
        self.board = MadeUp(3)
        self.token = token
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def start(self) -> Served:
        began = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(began)))
        self._thread.start()
        assert began.wait(20)
        return self

    async def _serve(self, began: threading.Event) -> None:
        page = PageSettings(port=self.port)
        settings = msgspec.structs.replace(Settings(), page=page)
        self._web, self._loop = Web(settings, self.board, self.token), asyncio.get_running_loop()
        running = asyncio.create_task(self._web.run())
        while not self._web.port:  # noqa: ASYNC110  # it has no event: a test alone waits for it
            await asyncio.sleep(0.01)
        began.set()
        await running

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._web.stop(), self._loop).result(20)
        self._thread.join(20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    chromium.close_all()


@pytest.fixture
def own() -> Iterator[Served]:
    served = Served().start()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def calm() -> Iterator[Served]:
    served = Served().start()
    yield served
    served.stop()


@pytest.fixture
def served(calm: Served) -> Served:
    """One for all tests that do not stop it, as it was at first."""
    calm.board.alter, calm.board.gone, calm.board.calm = {}, set(), False
    calm.board.shards, calm.board.nats = 3, ""
    calm.board.watched.clear()
    return calm


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    page = browser.open(served.url)
    page.until("document.querySelector('#processes tbody tr')")
    yield page
    assert page.complaints == []
    assert {urlsplit(url).netloc for url in page.requests} == {f"127.0.0.1:{served.port}"}


def see(page: Page, selector: str, text: str) -> None:
    """Wait until a person reads this there."""
    shown = f"(one => one.innerText ?? one.textContent)(document.querySelector({selector!r}))"
    page.until(f"{shown}.includes({text!r})")


def test_every_part_shows_what_the_board_says(page: Page, served: Served) -> None:
    board = served.board.board()
    totals: dict[str, Any] = board["totals"] | {"clients": 1234, "behind": 7, "symbols": 99}
    served.board.alter = {"totals": totals}
    see(page, "[data-title=Clients]", "1,234")
    see(page, "[data-title=Clients]", "7 behind")
    see(page, "[data-title=Symbols]", "99")
    see(page, "[data-id=clients]", "1,234 clients")
    assert "2 h 17 min" in page.text("tr[data-name=router]")
    assert "NSE:YESBANK" in page.text("#feeds [data-name=openalgo]")
    assert "343 of 3,000 symbols" in page.text("#feeds [data-name=openalgo]")
    assert "NFO:NIFTY25JAN24000CE" in page.text("#hottest")
    assert "218 pending" in page.text("#slowest")
    assert "was killed (signal 9)" in page.text("#events")
    assert page.text("#latency").count("ms") + page.text("#latency").count("µs") == 13
    assert page.run("document.querySelectorAll('.edges > g').length") == 2 + 3 + 3
    assert page.run("document.querySelectorAll('.spark').length") > 20


def test_it_follows_a_process_that_dies_and_comes_back(page: Page, served: Served) -> None:
    page.until("document.title.startsWith('WARN: 1 client')")
    served.board.gone = {"shard-1"}
    page.until("document.title.startsWith('BAD: shard-1 is away')")
    see(page, "#level", "Something is wrong")
    see(page, "#reasons", "shard-1 is away")
    see(page, "tr[data-name=shard-1]", "backoff")
    page.until("document.querySelector('[data-id=shard-1]').dataset.level === 'bad'")
    served.board.gone, served.board.calm = set(), True
    page.until("document.title.startsWith('OK')")
    page.until("document.querySelector('[data-id=shard-1]').dataset.level === 'ok'")
    assert page.run("document.querySelector('#reasons').hidden")
    assert "No client is slow." in page.text("#slowest")


def test_it_shows_what_comes_from_outside_as_text(page: Page, served: Served) -> None:
    board = served.board.board()
    served.board.alter = {
        "reasons": [EVIL], "version": EVIL,
        "hottest": [{"key": EVIL, "mode": EVIL, "rate": 1.0}],
        "slowest": [one | {"user": EVIL, "client": EVIL} for one in board["slowest"]],
        "feeds": [board["feeds"][1] | {"name": EVIL, "problem": EVIL, "stale_first": [EVIL]}],
        "events": [{"at": 1.0, "level": EVIL, "who": EVIL, "text": EVIL}],
        "processes": [*board["processes"], board["processes"][-1] | {"name": EVIL, "state": EVIL}],
    }  # fmt: skip
    for part in ("#reasons", "#version", "#hottest", "#slowest", "#feeds", "#events", "#processes"):
        see(page, part, EVIL)
    assert page.run("document.querySelectorAll('main img').length") == 0
    assert "hacked" not in page.run("document.title").split("<")[0]


def test_where_nats_connects_machines_they_are_in_the_picture(page: Page, served: Served) -> None:
    node = ".node[data-id={}]"
    assert page.run("document.querySelector('[data-id=uplink]')") is None
    served.board.nats = "ingest"
    see(page, node.format("edges"), "NATS nats-1:4222")
    see(page, node.format("edges"), "3 edges")
    see(page, "#where", "ingest by nats://nats-1")
    page.until("document.querySelector('[data-id=edges]').dataset.level === 'ok'")
    rows = served.board.board()["processes"]
    served.board.alter = {"processes": [row | {"nats_connected": False} for row in rows]}
    see(page, node.format("edges"), "NATS is away")
    page.until("document.querySelector('[data-id=edges]').dataset.level === 'bad'")
    served.board.alter, served.board.shards = {}, 0
    page.until("!document.querySelector('[data-id=clients]')")
    served.board.nats = "edge"
    see(page, node.format("feed-nats"), "2 machines")


def test_it_survives_the_monitor_s_restart(browser: Browser, own: Served) -> None:
    served = own
    page = browser.open(served.url)
    page.until("document.title.startsWith('WARN')")
    page.run("document.querySelector('#symbol').focus()")
    page.write("NSE:INFY")
    page.press("Enter")
    see(page, "#ticker", "NSE:INFY")
    page.run("window.mine = true")
    served.stop()
    page.until("document.title.startsWith('No connection')")
    see(page, "#lost", "Trying again")
    assert page.run("document.body.classList.contains('stale')")
    assert "shard-2" in page.text("#processes"), "the last figures stay"
    served.board.watched.clear()
    page.run("document.querySelector('#heard').textContent = ''")
    served.start()
    page.until("document.title.startsWith('WARN')")
    assert page.run("document.querySelector('#lost').hidden")
    assert not page.run("document.body.classList.contains('stale')")
    see(page, "#heard", "tick at")
    assert served.board.watched == [("NSE:INFY", "ltp")]
    assert page.run("window.mine"), "the same page goes on"


def test_another_build_of_the_page_is_loaded_anew(
    browser: Browser, own: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = own
    page = browser.open(served.url)
    page.until("document.title.startsWith('WARN')")
    page.run("window.mine = true")
    served.stop()
    monkeypatch.setattr("hub.__version__", "99.0.0")
    served.start()
    page.until("window.mine === undefined && document.title.startsWith('WARN')")


def test_a_symbol_is_watched_with_its_depth(page: Page, served: Served) -> None:
    page.run("document.querySelector('#symbol').focus()")
    page.write("NSE:RELIANCE")
    page.press("Enter")
    see(page, "#ticker h3", "NSE:RELIANCE")
    assert page.run("document.querySelector('.ladder').hidden")
    page.run("document.querySelector('[value=depth]').click()")
    page.until("document.querySelectorAll('.ladder tbody tr').length === 5")
    see(page, "#ticker .day", "48,12,345")
    page.until("document.querySelector('.last').dataset.way")
    assert served.board.watched == [("NSE:RELIANCE", "ltp"), ("NSE:RELIANCE", "depth")]
    page.run("document.querySelector('#hottest button:nth-child(2)').click()")
    see(page, "#ticker h3", "NSE:HDFCBANK")
    assert page.run("document.querySelector('#ask').elements.mode.value") == "quote"


def test_a_symbol_that_makes_no_sense_is_answered_kindly(page: Page) -> None:
    page.run("document.querySelector('#symbol').focus()")
    page.write("RELIANCE")
    page.press("Enter")
    see(page, "#ticker", "such as NSE:RELIANCE")


def test_it_fits_every_screen_with_few_shards_and_many(page: Page, served: Served) -> None:
    for shards in (1, 8, 24):
        served.board.shards = shards
        for width in (360, 820, 1181, 1440):
            page.resize(width, 800)
            page.until(f"document.querySelectorAll('.nodes > g').length === {shards + 4}")
            page.until(f"document.querySelector('.picture svg').width.baseVal.value <= {width}")
            assert page.run("document.documentElement.scrollWidth") == width
            assert page.run(OUTSIDE) == 0


OUTSIDE = """[...document.querySelectorAll('.node .box, .card > *')].filter((part) => {
  const whole = part.ownerSVGElement ?? part.parentElement;
  const a = part.getBoundingClientRect(), b = whole.getBoundingClientRect();
  return a.left < b.left || a.right > b.right || a.bottom > b.bottom + 1;
}).length"""


def test_light_and_dark_are_the_system_s_until_somebody_chooses(
    browser: Browser, served: Served
) -> None:
    page = browser.open(served.url, dark=True)
    page.until("document.querySelector('#processes tbody tr')")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    page.run("document.querySelector('#theme').click()")
    assert page.run("document.documentElement.dataset.theme") == "light"
    page.go(served.url)
    page.until("document.querySelector('#processes tbody tr')")
    assert page.run("document.documentElement.dataset.theme") == "light"


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_is_readable(browser: Browser, served: Served, dark: bool) -> None:
    """WCAG AA: 4.5 to 1, of text against what stands behind it."""
    page = browser.open(served.url, dark=dark)
    page.until("document.querySelectorAll('#events li').length")
    page.until("getComputedStyle(document.querySelector('main')).opacity === '1'")
    assert page.run(CONTRAST) == []


CONTRAST = """(() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (let n = node; n; n = n.parentElement) {
    const c = rgb(getComputedStyle(n).backgroundColor); if (c.length < 4 || c[3] === 1) return c; }
    return [255, 255, 255]; };
  const bad = new Set();
  for (const node of document.querySelectorAll('body *')) {
    if (node.closest('svg') || node.closest('.hidden, .skip')) continue;
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || !node.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return [...bad];
})()"""


def test_a_token_opens_it_by_the_form_or_the_address(browser: Browser) -> None:
    token = "a-token-of-some-length"
    served = Served(token).start()
    try:
        page = browser.open(served.url)
        page.until("document.activeElement.id === 'token'")
        page.write("not the one, but long")
        page.press("Enter")
        see(page, ".why", "That is not the token.")
        page.until("document.activeElement.id === 'token'")
        page.write(token)
        page.press("Enter")
        page.until("document.title.startsWith('WARN')")
        assert "token" not in page.run("document.cookie + location.href")
        other = browser.open(f"{served.url}#token={token}")
        other.until("document.title.startsWith('WARN')")
        assert other.run("location.hash") == ""
        other.run("history.length")
        assert token not in "".join(page.requests + other.requests)
    finally:
        served.stop()


def test_a_cookie_that_ends_leads_back_to_the_form(browser: Browser) -> None:
    served = Served("a-token-of-some-length").start()
    page = browser.open(f"{served.url}#token={served.token}")
    page.until("document.title.startsWith('WARN')")
    served.stop()
    served.token = "another-token-of-some-length"
    served.start()
    try:
        page.until("document.querySelector('#login')")
    finally:
        served.stop()
