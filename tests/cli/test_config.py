"""`hub config`: everything comes from the definitions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.options import find_file
from hub.core.config import definitions, load
from hub.core.settings import Settings
from tests.hub.openalgo.kit import make_checkout
from tests.tls import issue


def test_doc_has_every_setting(hub: Any) -> None:
    text = " ".join(hub("config", "doc").stdout.split())
    for definition in definitions():
        assert f"{definition.name} = " in text
        assert definition.variable in text
        assert definition.text in text


def test_markdown_has_a_row_for_every_setting(hub: Any) -> None:
    text = hub("config", "doc", "--markdown").stdout
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(definitions()))
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert text.count("## `[") == len(Settings.__struct_fields__)


def test_default_is_a_file_that_says_what_is_the_case_anyway(hub: Any, home: Path) -> None:
    text = hub("config", "default").stdout
    assert tomllib.loads(text)["hub"]["shards"] == 4
    file = home / "all.toml"
    file.write_text(text)
    assert load(file, {}) == Settings()


def test_check_says_which_file_is_used(hub: Any, home: Path) -> None:
    assert "defaults" in hub("config", "check").stdout
    found = home / ".config/shardhub/hub.toml"
    found.parent.mkdir(parents=True)
    found.write_text("[hub]\nshards = 2\n")
    assert hub("config", "check").stdout == f"OK: {found}\n"
    other = home / "other.toml"
    other.write_text("")
    assert hub("config", "check", other).stdout == f"OK: {other}\n"
    assert hub("config", "check", "--config", other).stdout == f"OK: {other}\n"


def test_hub_config_names_the_file(hub: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(home / "missing.toml"))
    assert "missing.toml" in hub("config", "check", rc=78).stderr


def test_check_reports_all_problems_at_once(
    hub: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_BUS_PORT", "many")
    file = home / "bad.toml"
    file.write_text("[hub]\nshard = 2\nshards = 0\n")
    stderr = hub("config", "check", file, rc=78).stderr
    assert "did you mean hub.shards?" in stderr
    assert "hub.shards = 0" in stderr
    assert "$HUB_BUS_PORT" in stderr


def test_check_reads_the_checkout_too(hub: Any, home: Path) -> None:
    file = home / "hub.toml"
    root = make_checkout(home / "oa", "WEBSOCKET_PORT=70000\n")
    file.write_text(f'[hub]\nfeeds = ["bus"]\n[openalgo]\npath = "{root}"\n')
    assert (
        ".env: WEBSOCKET_PORT: websocket.port = 70000" in hub("config", "check", file, rc=78).stderr
    )
    (root / ".env").write_text("WEBSOCKET_PORT=1001\n")
    assert hub("config", "check", file).stdout == f"OK: {file}\n"


def test_the_user_s_file_comes_first(home: Path) -> None:
    assert find_file({"HOME": str(home)}) is None
    for base in (".config", "xdg"):
        (home / base / "shardhub").mkdir(parents=True)
        (home / base / "shardhub/hub.toml").touch()
    mine = home / ".config/shardhub/hub.toml"
    assert find_file({"HOME": str(home)}) == mine
    assert find_file({"HOME": str(home), "XDG_CONFIG_HOME": "relative"}) == mine
    other = home / "xdg"
    assert find_file({"HOME": str(home), "XDG_CONFIG_HOME": str(other)}) == (
        other / "shardhub/hub.toml"
    )


def test_check_looks_at_the_certificate_and_its_key(hub: Any, home: Path) -> None:
    file = home / "hub.toml"
    cert, key = issue(home)
    file.write_text(f'[websocket]\ntls_cert = "{cert}"\ntls_key = "{key}"\n')
    assert hub("config", "check", file).stdout == f"OK: {file}\n"
    key.chmod(0o604)
    told = hub("config", "check", file)
    assert told.stdout == f"OK: {file}\n"
    assert "mode 0604" in told.stderr
    key.unlink()
    assert f"{key} is not there" in hub("config", "check", file, rc=78).stderr


def test_check_tells_of_files_for_nats_that_are_missing(hub: Any, home: Path) -> None:
    file, secret = home / "hub.toml", home / "edge.creds"
    file.write_text(f'[nats]\ncreds_file = "{secret}"\ntls_ca = "{home / "ca.pem"}"\n')
    told = hub("config", "check", file, rc=78).stderr
    assert f"nats.creds_file: {secret} is not there" in told
    assert f"nats.tls_ca: {home / 'ca.pem'}: no certificate can be read from it" in told
