"""`hub login` with a broker of the tests' own that answers, or refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from hub.brokers import catalogue
from hub.brokers.base import Login, Reply, Request
from hub.runtime import http
from tests.hub.credentials.kit import HERE, IN_BROWSER, SECRET, broker


class Broker:
    """The broker that `hub login` finds: how it logs in, and what was asked of it."""

    login: Login | None = HERE

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def fetch(self, request: Request, _: float) -> Reply:
        self.asked.append(request.body)
        refused = b'"pin": "0"' in request.body
        return Reply(403 if refused else 200, {}, b'{"token": "sesame-today"}')


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> Broker:
    one = Broker()
    monkeypatch.setattr(catalogue, "get", lambda name: broker(one.login, name=name))
    monkeypatch.setattr(http, "fetch", one.fetch)
    for field in ("API_KEY", "PIN", "ACCESS_TOKEN", "EXPIRES"):
        monkeypatch.delenv(f"ANGEL_{field}", raising=False)
    return one


def lay(home: Path, content: str = "API_KEY=sesame-key\nPIN=1") -> Path:
    file = home / ".config/shardhub/angel.env"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(0o600)
    return file


def test_a_login_without_a_browser_is_done_at_once(hub: Any, home: Path) -> None:
    file = lay(home)
    text = hub("login", "angel").output
    assert text == f"Logged in to Angel One ({file}).\n"
    assert file.with_name("angel.env.session").stat().st_mode & 0o777 == 0o600
    assert SECRET not in hub("login", "angel", "--json").output


def test_when_it_expires_is_told(hub: Any, home: Path) -> None:
    lay(home, "API_KEY=k\nPIN=1\nEXPIRES=2000000000")
    assert " until 2033-05-1" in hub("login", "angel").stdout
    assert json.loads(hub("login", "angel", "--json").stdout)["expires"] == 2e9


def test_a_browser_is_sent_and_its_address_asked_for(home: Path, at: Broker) -> None:
    at.login = IN_BROWSER
    lay(home)
    answer = "https://127.0.0.1/?request_code=c1&state=x\n"
    result = CliRunner().invoke(main, ["login", "angel"], input=answer)
    assert result.exit_code == 0
    assert "https://a.invalid/ask?key=sesame-key\n" in result.stdout
    assert "Copy its address as a whole" in result.stderr
    assert "Logged in to Angel One" in result.stdout
    assert b'"code": "c1"' in at.asked[0]
    result = CliRunner().invoke(main, ["login", "angel"], input="\n")
    assert result.exit_code == 1
    assert "nobody was logged in" in result.stderr
    assert len(at.asked) == 1


def test_a_code_that_is_there_already_is_used(hub: Any, home: Path, at: Broker) -> None:
    at.login = IN_BROWSER
    lay(home)
    assert "Open this" not in hub("login", "angel", "--code", "c2").output
    assert b'"code": "c2"' in at.asked[0]


def test_a_broker_that_refuses_or_cannot_is_told(hub: Any, home: Path, at: Broker) -> None:
    lay(home, "API_KEY=sesame-key\nPIN=0")
    assert "Angel One refuses the PIN" in hub("login", "angel", rc=1).stderr
    at.login = None
    refused = hub("login", "angel", rc=1).stderr
    assert "has no login that the hub could do" in refused
    assert "docs/feeds/angel.md" in refused


def test_accounts_are_told_apart_by_their_number(hub: Any, home: Path, at: Broker) -> None:
    one, two = (lay(home, f"API_KEY=k\nPIN={pin}").rename(home / f"{pin}.env") for pin in (1, 2))
    config = home / "hub.toml"
    config.write_text(f'[angel]\ncredentials = ["{one}", "{two}"]\n')
    assert str(two) in hub("login", "angel", "--account", "2", "--config", config).stdout
    assert b'"pin": "2"' in at.asked[0]
    assert "names 2 accounts, so there is no 3" in hub(
        "login", "angel", "--account", "3", "--config", config, rc=2
    ).stderr  # fmt: skip
    first, second = json.loads(hub("login", "--config", config, "--json").stdout)
    assert (first["state"], first["account"], first["fields"]) == ("missing", 1, [])
    assert "type `hub login angel`" in first["problem"]
    assert (second["state"], second["problem"]) == ("ready", "")
    assert second["fields"] == ["access_token", "api_key", "pin"]
    assert isinstance(second["logged_in"], float)


def test_what_is_there_is_shown_without_a_secret(hub: Any, home: Path) -> None:
    config = home / "hub.toml"
    config.write_text('[hub]\nfeeds = ["angel"]\n')
    assert "missing" in hub("login", "--config", config).stdout
    lay(home, f"API_KEY={SECRET}\nACCESS_TOKEN={SECRET}\nEXPIRES=1000000000")
    text = hub("login", "--config", config).stdout
    row = text.splitlines()[-1].split()
    assert row[3:5] == ["expired", "2001-09-09"]
    assert SECRET not in text
    (told,) = json.loads(hub("login", "--config", config, "--json").stdout)
    assert (told["state"], told["expires"]) == ("expired", 1e9)
    assert SECRET not in str(told)


def test_brokers_are_shown_whose_feed_is_in_the_settings_or_whose_usual_file_is_there(
    hub: Any, home: Path, tmp_path: Path
) -> None:
    lay(home)
    assert [row["broker"] for row in json.loads(hub("login", "--json").stdout)] == ["angel"]
    config = tmp_path / "hub.toml"
    config.write_text('[hub]\nfeeds = ["zerodha-dhan"]\n')
    shown = json.loads(hub("login", "--json", "--config", config).stdout)
    assert [row["broker"] for row in shown] == ["angel", "zerodha", "dhan"]


def test_nothing_to_show_says_what_to_type(hub: Any) -> None:
    assert "hub login BROKER" in hub("login").stdout
    assert json.loads(hub("login", "--json").stdout) == []
