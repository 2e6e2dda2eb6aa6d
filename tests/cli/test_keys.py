"""`hub keys` with a home of its own."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from hub.auth.keystore import KeyStore

KEY = re.compile(r"hub_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


def store(home: Path) -> KeyStore:
    return KeyStore(home / ".config/shardhub/keys.json")


def test_a_key_is_shown_once_with_its_defaults(hub: Any, home: Path) -> None:
    text = hub("keys", "add", "algo").stdout
    assert KEY.search(text)
    assert "cannot be shown again" in text
    (record,) = store(home).list()
    assert (record.name, record.user, record.broker) == ("algo", "algo", "bus")
    assert abs(record.created - time.time()) < 60
    assert KEY.search(hub("keys", "list").output) is None


def test_quiet_prints_the_key_and_nothing_else(hub: Any) -> None:
    assert KEY.fullmatch(hub("keys", "add", "algo", "--quiet").stdout.strip())


def test_user_and_broker_are_as_given(hub: Any, home: Path) -> None:
    hub("keys", "add", "charts", "--user", "alice", "--broker", "zerodha")
    assert store(home).list()[0][2:4] == ("alice", "zerodha")


def test_the_broker_is_the_first_feed_and_the_file_the_settings_one(hub: Any, home: Path) -> None:
    file = home / "hub.toml"
    file.write_text(f'[hub]\nfeeds = ["sim", "bus"]\n[keys]\nfile = "{home}/mine/keys.json"\n')
    hub("keys", "add", "algo", "--config", file)
    assert KeyStore(home / "mine/keys.json").list()[0].broker == "sim"
    assert store(home).list() == []


def test_the_list_has_names_and_nothing_secret(hub: Any) -> None:
    hub("keys", "add", "algo", "--user", "alice")
    row = hub("keys", "list").stdout.splitlines()[-1].split()
    assert row[0] == "algo"
    assert row[2:4] == ["alice", "bus"]
    (found,) = json.loads(hub("keys", "list", "--json").stdout)
    assert found.keys() == {"id", "name", "user", "broker", "created"}


def test_an_empty_list_says_how_to_add(hub: Any) -> None:
    assert "hub keys add" in hub("keys", "list").stdout
    assert json.loads(hub("keys", "list", "--json").stdout) == []


def test_a_revoked_key_is_gone(hub: Any, home: Path) -> None:
    hub("keys", "add", "algo")
    assert "algo" in hub("keys", "revoke", "algo").stdout
    assert store(home).list() == []


@pytest.mark.parametrize(("cache_s", "told"), [("", "10 s"), ("2.5", "2.5 s"), ("0", "1 s")])
def test_revoke_says_within_how_many_seconds_its_clients_are_gone(
    hub: Any, monkeypatch: pytest.MonkeyPatch, cache_s: str, told: str
) -> None:
    """Who revokes a key that leaked must know how long it is still of use."""
    if cache_s:
        monkeypatch.setenv("HUB_KEYS_CACHE_S", cache_s)
    hub("keys", "add", "algo")
    said = hub("keys", "revoke", "algo").stdout
    assert f"are disconnected within {told}." in said


def test_errors_are_sentences_with_74(hub: Any, home: Path) -> None:
    hub("keys", "add", "algo")
    assert "already" in hub("keys", "add", "algo", rc=74).stderr
    assert "did you mean 'algo'" in hub("keys", "revoke", "algos", rc=74).stderr
    store(home).path.chmod(0o644)
    assert "chmod 600" in hub("keys", "list", rc=74).stderr
