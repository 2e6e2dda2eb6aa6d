"""The hidden commands become the role's process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hub.core.config import load
from tests.hub.openalgo.kit import PEPPER, make_checkout


class Became(Exception):  # it is no error here
    """What execvpe was called with."""


@pytest.fixture(autouse=True)
def exec_(monkeypatch: pytest.MonkeyPatch) -> None:
    def become(file: str, argv: list[str], env: dict[str, str]) -> None:
        raise Became(file, argv, env)

    monkeypatch.setattr(os, "execvpe", become)


def became(hub: Any, *args: str | Path) -> tuple[str, list[str], dict[str, str]]:
    from click.testing import CliRunner

    from cli.main import main

    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert isinstance(result.exception, Became), result.output
    file, argv, env = result.exception.args
    return file, argv, env


@pytest.mark.parametrize(
    ("args", "module"),
    [
        (("router",), ["hub.router"]),
        (("shard", "3"), ["shards.shard", "3"]),
        (("feed", "bus"), ["hub.feeds.host", "bus"]),
        (("monitor",), ["hub.monitor"]),
    ],
)
def test_the_process_becomes_the_role(hub: Any, args: tuple[str, ...], module: list[str]) -> None:
    file, argv, _ = became(hub, *args)
    assert file == sys.executable
    assert argv == [sys.executable, "-m", *module]


def test_it_loads_the_same_settings_from_its_environment(
    hub: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "hub.toml"
    file.write_text('[hub]\nshards = 8\nfeeds = ["sim", "bus"]\n[websocket]\nport = 9000\n')
    monkeypatch.setenv("HUB_WEBSOCKET_PORT", "9001")
    monkeypatch.setenv("NOTIFY_SOCKET", "@systemd")
    _, _, env = became(hub, "shard", "7", "--config", file)
    assert load(None, env) == load(file)
    assert load(None, env).websocket.port == 9001
    assert env["NOTIFY_SOCKET"] == "@systemd"


def test_its_settings_come_from_the_checkout_that_the_file_names_too(
    hub: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(home / "oa", "WEBSOCKET_PORT=1001\nZMQ_PORT=1002\n")
    file = home / "hub.toml"
    file.write_text(f'[openalgo]\npath = "{root}"\n[bus]\nport = 2002\n')
    for args in (("router",), ("shard", "0"), ("feed", "openalgo"), ("monitor",)):
        _, _, env = became(hub, *args, "--config", file)
        found = load(None, env)
        assert (found.websocket.port, found.bus.port) == (1001, 2002)
        assert PEPPER not in str(env)


@pytest.mark.parametrize("args", [("shard", "4"), ("feed", "zerodha")])
def test_a_process_that_the_settings_do_not_know_is_78(hub: Any, args: tuple[str, ...]) -> None:
    assert "these settings know no" in hub(*args, rc=78).stderr


def test_only_a_hub_that_publishes_has_an_uplink(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "these settings know no uplink" in hub("uplink", rc=78).stderr
    monkeypatch.setenv("HUB_NATS_PUBLISH", "true")
    monkeypatch.setenv("HUB_NATS_SERVERS", "nats://127.0.0.1:4222")
    _, argv, env = became(hub, "uplink")
    assert argv == [sys.executable, "-m", "shards.uplink"]
    assert load(None, env).nats.publish


def test_a_shard_has_a_number(hub: Any) -> None:
    hub("shard", "two", rc=2)
    hub("shard", rc=2)
