"""Where the page's token comes from, and how a visitor proves to know it."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from hub.core.errors import ConfigError, KeyStoreError
from hub.core.settings import Page, Settings
from hub.monitor.token import COOKIE_S, VARIABLE, Gate, is_loopback, make_token, token_of

TOKEN = "a-token-of-some-length"


def with_page(**given: object) -> Settings:
    return msgspec.structs.replace(Settings(), page=msgspec.convert(given, Page))


def test_on_loopback_there_need_be_none() -> None:
    assert token_of(Settings(), {}) == ""
    assert token_of(with_page(host="::1"), {}) == ""
    assert token_of(with_page(host="localhost"), {}) == ""
    assert token_of(with_page(host="0.0.0.0", enabled=False), {}) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "hub.example.com"])
def test_where_others_look_there_must_be_one(host: str) -> None:
    with pytest.raises(ConfigError, match=r"page.host is .*hub start --token auto"):
        token_of(with_page(host=host), {})
    assert token_of(with_page(host=host), {VARIABLE: TOKEN}) == TOKEN
    assert not is_loopback(host)


def test_it_comes_from_the_environment_or_a_file_of_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    settings = with_page(token_file=str(file))
    assert token_of(settings, {}) == TOKEN
    assert token_of(settings, {VARIABLE: "another-of-some-length"}) == "another-of-some-length"
    file.chmod(0o644)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        token_of(settings, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such file"), ("", "empty"), ("short", "16"), ("of two\nlines " * 3, "16")],
)
def test_one_that_cannot_be_used_is_told_and_not_shown(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match=said) as refused:
        token_of(with_page(token_file=str(file)), {})
    assert str(file) in str(refused.value)
    assert not content or content.strip() not in str(refused.value)


def test_the_hub_s_own_is_made_once(tmp_path: Path) -> None:
    file = make_token(tmp_path)
    first = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert make_token(tmp_path).read_text() == first
    assert token_of(with_page(host="0.0.0.0", token_file=str(file)), {}) == first.strip()


def test_a_gate_knows_its_token_alone() -> None:
    gate = Gate(TOKEN)
    assert not gate.is_open
    assert gate.knows(TOKEN)
    assert gate.knows(f" {TOKEN}\n"), "as it is pasted"
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü\udcff"):
        assert not gate.knows(wrong)
    assert Gate("").is_open
    assert TOKEN not in repr(gate)


def test_a_cookie_is_good_for_a_week_and_for_one_token() -> None:
    gate = Gate(TOKEN)
    cookie = gate.cookie(1000.0)
    assert TOKEN not in cookie
    assert gate.honours(cookie, 1000.0 + COOKIE_S - 1)
    assert not gate.honours(cookie, 1000.0 + COOKIE_S)
    assert not Gate(TOKEN + "x").honours(cookie, 1000.0)
    until, _, mac = cookie.partition(".")
    for forged in (f"{int(until) + 9}.{mac}", f"{until}.{mac[:-1]}0x", until, f".{mac}", "", "a.b"):
        assert not gate.honours(forged, 1000.0)


def test_whoever_is_wrong_too_often_waits_and_nobody_else() -> None:
    gate = Gate(TOKEN)
    for _ in range(5):
        assert gate.wait_s("10.0.0.9", 0.0) == 0
        gate.failed("10.0.0.9", 0.0)
    wait_s = gate.wait_s("10.0.0.9", 0.0)
    assert 0 < wait_s <= 12
    assert gate.wait_s("10.0.0.8", 0.0) == 0
    assert gate.wait_s("10.0.0.9", wait_s) == 0
    gate.failed("10.0.0.9", wait_s)
    assert gate.wait_s("10.0.0.9", wait_s) > 0
    assert gate.wait_s("10.0.0.9", 1000.0) == 0


def test_of_addresses_that_were_wrong_only_so_many_are_kept() -> None:
    gate = Gate(TOKEN)
    for number in range(5000):
        gate.failed(str(number), 0.0)
    assert len(gate._tries) == 1024
