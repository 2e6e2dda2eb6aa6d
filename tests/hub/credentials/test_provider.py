"""An account's credentials are read anew, what is missing is told, and logins are kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.brokers.base import Broker, Field, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.core.settings import Account, Keys, OpenAlgo, Settings
from hub.credentials.provider import Found, Provider, code_of, providers
from hub.runtime import http
from tests.hub.credentials.kit import HERE, IN_BROWSER, SECRET, broker
from tests.hub.credentials.test_openalgo import Checkout

ADDRESS = "http://127.0.0.1:1"


class Home:
    """A folder with a credentials file, and the provider that reads it."""

    def __init__(self, folder: Path, made: Broker, content: str = "API_KEY=k\nPIN=1") -> None:
        self.file = folder / "angel.env"
        self.session = folder / "angel.env.session"
        self.write(content)
        settings = Settings(angel=Account(credentials=[str(self.file)], api_url=ADDRESS))
        (self.provider,) = providers(made, settings, {})
        self.now = 1000.0
        self.provider._clock = lambda: self.now

    def write(self, content: str) -> None:
        self.file.write_text(content)
        self.file.chmod(0o600)

    def get(self) -> dict[str, str]:
        return asyncio.run(self.provider.get("start"))

    def changed(self) -> bool:
        return asyncio.run(self.provider.changed())

    def login(self, answer: str = "") -> Any:
        return asyncio.run(self.provider.login(answer))


Answer = Callable[[Request], Reply]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Every request of a login; each PIN but 0 gets the token `t<number>`."""
    seen: list[Request] = []

    async def fetch(request: Request, timeout_s: float) -> Reply:
        assert timeout_s > 0
        seen.append(request)
        if b'"pin": "0"' in request.body:
            return Reply(403, {}, b"")
        return Reply(200, {}, b'{"token": "t%d"}' % len(seen))

    monkeypatch.setattr(http, "fetch", fetch)
    return seen


def test_what_is_not_there_is_told_with_the_place_and_the_way(tmp_path: Path) -> None:
    home = Home(tmp_path, broker())
    with pytest.raises(BrokerError) as raised:
        home.get()
    assert raised.value.fault is Fault.AUTH
    assert str(raised.value) == (
        f"{home.file} has no ACCESS_TOKEN; type `hub login angel`, as docs/feeds/angel.md tells"
    )
    home.write("PIN=sesame")
    with pytest.raises(BrokerError, match="has no API_KEY and ACCESS_TOKEN; add what") as raised:
        home.get()
    assert SECRET not in str(raised.value)
    home.file.unlink()
    with pytest.raises(
        BrokerError, match=r"angel\.env is not there; it has to say API_KEY, as docs"
    ):
        home.get()


def test_where_a_login_brings_all_that_is_needed_it_is_what_the_login_needs(tmp_path: Path) -> None:
    fields = (Field("pin", "the PIN", needed=False), Field("access_token", "of today", kept=True))
    home = Home(tmp_path, broker(fields=fields))
    home.file.unlink(missing_ok=True)
    with pytest.raises(BrokerError, match="is not there; it has to say PIN, as docs/feeds/angel"):
        home.get()


def test_only_fields_of_the_broker_are_handed_on(tmp_path: Path) -> None:
    home = Home(tmp_path, broker(), "API_KEY=k\nACCESS_TOKEN=t\nOTHER=x")
    assert home.get() == {"api_key": "k", "access_token": "t"}


def test_a_login_is_kept_and_laid_over(tmp_path: Path, asked: list[Request]) -> None:
    home = Home(tmp_path, broker())
    assert home.provider.logs_in
    session = home.login()
    assert session.made == 1000.0
    assert asked[0].url == f"{ADDRESS}/login?pin={SECRET}"
    assert asked[0].body == b'{"pin": "1", "code": "", "at": 1000.0}'
    assert home.session.stat().st_mode & 0o777 == 0o600
    assert home.get()["access_token"] == "t1"
    home.login()
    assert home.get()["access_token"] == "t2"


def test_a_token_that_somebody_puts_in_is_newer_than_a_session(
    tmp_path: Path, asked: list[Request]
) -> None:
    home = Home(tmp_path, broker(), "API_KEY=k\nPIN=1\nACCESS_TOKEN=old")
    home.login()
    assert home.get()["access_token"] == "t1"
    home.write("API_KEY=k\nPIN=1\nACCESS_TOKEN=new")
    assert home.get()["access_token"] == "new"
    assert asked


def test_changes_are_noticed_once_they_are_there(tmp_path: Path, asked: list[Request]) -> None:
    home = Home(tmp_path, broker())
    for change in (
        lambda: home.write("API_KEY=other\nPIN=1"),
        home.login,
        home.file.unlink,
        lambda: home.write("API_KEY=k\nPIN=1\nACCESS_TOKEN=t"),
        lambda: home.file.chmod(0o644),
        lambda: home.file.chmod(0o600),
    ):
        with contextlib.suppress(BrokerError):
            home.get()
        assert not home.changed()
        change()
        assert home.changed()
        assert home.changed(), "until they are asked for"
    assert len(asked) == 1


def test_a_refused_login_is_not_tried_again_with_the_same(
    tmp_path: Path, asked: list[Request]
) -> None:
    home = Home(tmp_path, broker(), "API_KEY=k\nPIN=0")
    for _ in range(3):
        with pytest.raises(BrokerError, match="refuses the PIN") as raised:
            home.login()
        assert raised.value.fault is Fault.AUTH
    assert len(asked) == 1
    home.now += 601
    with pytest.raises(BrokerError):
        home.login()
    assert len(asked) == 2
    home.write("API_KEY=k\nPIN=1")
    home.login()
    assert len(asked) == 3


def test_a_login_in_a_browser_wants_the_address_that_it_led_to(
    tmp_path: Path, asked: list[Request]
) -> None:
    home = Home(tmp_path, broker(IN_BROWSER))
    assert not home.provider.logs_in
    assert asyncio.run(home.provider.visit()) == f"{ADDRESS}/ask?key=k"
    with pytest.raises(BrokerError, match="in a browser; type `hub login angel`"):
        home.login()
    with pytest.raises(BrokerError, match="there is no request_code in that address"):
        home.login("https://127.0.0.1/?error=no")
    assert not asked
    home.login("https://127.0.0.1/?a=b&request_code=c%2Fd")
    assert b'"code": "c/d"' in asked[0].body


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (" abc ", "abc"),
        ("http://x/?request_code=a%20b&x=1", "a b"),
        ("app://x#request_code=abc", "abc"),
    ],
)
def test_the_code_is_found_wherever_it_stands(answer: str, code: str) -> None:
    assert code_of(IN_BROWSER, answer) == code
    assert code_of(HERE, answer) == answer.strip()


def test_a_broker_without_a_login_says_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path, broker(None))
    assert not home.provider.logs_in
    for ask in (home.provider.visit, home.provider.login):
        with pytest.raises(BrokerError, match=r"no login that the hub could do; make a token as"):
            asyncio.run(ask())


def test_nobody_logs_in_where_openalgo_does(tmp_path: Path, asked: list[Request]) -> None:
    checkout = Checkout(tmp_path, "BROKER_API_KEY=k")
    checkout.login("alice", "angel", "")
    settings = Settings(
        angel=Account(credentials=["openalgo:alice"]), openalgo=OpenAlgo(path=str(tmp_path)),
        keys=Keys(file=str(tmp_path / "keys.json")),
    )  # fmt: skip
    (one,) = providers(broker(), settings, {})
    assert not one.logs_in
    with pytest.raises(BrokerError, match="openalgo:alice has no ACCESS_TOKEN; log in at OpenAlgo"):
        asyncio.run(one.get())
    with pytest.raises(BrokerError, match="OpenAlgo logs in to Angel One for openalgo:alice; log"):
        asyncio.run(one.login())
    assert not asked
    checkout.login("alice", "angel", "t1")
    assert asyncio.run(one.get()) == {"api_key": "k", "access_token": "t1"}


def test_a_login_that_lacks_what_it_needs_asks_nobody(tmp_path: Path, asked: list[Request]) -> None:
    home = Home(tmp_path, broker(), "API_KEY=k")
    with pytest.raises(BrokerError, match="has no PIN, which a login needs; add what"):
        home.login()
    assert not asked


def test_a_session_that_others_can_read_is_refused(tmp_path: Path, asked: list[Request]) -> None:
    home = Home(tmp_path, broker())
    home.login()
    home.session.chmod(0o644)
    with pytest.raises(BrokerError, match="session is open to other users; type `chmod 600"):
        home.get()
    assert asked


def test_sessions_stand_beside_files_and_else_where_files_would(tmp_path: Path) -> None:
    given = [str(tmp_path / "a.env"), "command:pass show angel", "env:"]
    settings = Settings(
        angel=Account(credentials=given), keys=Keys(file=str(tmp_path / "keys.json"))
    )
    found = providers(broker(), settings, {})
    paths = [one._sessions.path for one in found]
    assert paths[0] == tmp_path / "a.env.session"
    assert {path.parent for path in paths} == {tmp_path}
    assert len(set(paths)) == 3
    assert "show" not in repr(found[1])


def test_addresses_are_the_settings_or_the_brokers_own(tmp_path: Path) -> None:
    (one,) = providers(broker(IN_BROWSER), Settings(), {"ANGEL_API_KEY": "k", "ANGEL_PIN": "1"})
    assert isinstance(one, Provider)
    assert asyncio.run(one.visit()) == "https://a.invalid/ask?key=k"


def test_what_is_found_is_shown_by_its_names() -> None:
    assert repr(Found({"api_key": "sesame"}, None, ())) == "<Found api_key>"
