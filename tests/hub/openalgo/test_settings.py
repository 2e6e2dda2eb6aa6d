"""The checkout's .env among the sources of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hub.core import config
from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.openalgo import settings
from hub.runtime.paths import runtime_dir
from tests.hub.openalgo.kit import PEPPER, SALT, make_checkout

ENV = "WEBSOCKET_PORT=1001\nZMQ_PORT=1002\nWS_PING_INTERVAL=33\nWS_PING_TIMEOUT=34\n"


def problems(
    file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        settings.load(file, environ, flags)
    return caught.value.problems


def toml(directory: Path, text: str) -> Path:
    file = directory / "hub.toml"
    file.write_text(text)
    return file


def test_without_a_checkout_it_is_as_ever(tmp_path: Path) -> None:
    file = toml(tmp_path, "[hub]\nshards = 2\n")
    assert settings.load(None, {}) == Settings()
    assert settings.load(file, {"HUB_STOP_S": "3"}) == config.load(file, {"HUB_STOP_S": "3"})
    assert settings.load(None, {"HUB_OPENALGO_PATH": ""}) == Settings()


def test_each_source_beats_the_weaker_ones(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa", ENV)
    file = toml(
        tmp_path,
        f'[openalgo]\npath = "{root}"\n[bus]\nport = 2002\n'
        "[websocket]\nping_interval_s = 2\nping_timeout_s = 2\n",
    )
    environ = {"HUB_WEBSOCKET_PING_INTERVAL_S": "3", "HUB_WEBSOCKET_PING_TIMEOUT_S": "3"}
    found = settings.load(file, environ, {"websocket.ping_timeout_s": 4, "hub.shards": None})
    assert found.websocket.max_requests == 1024, "the default"
    assert found.websocket.port == 1001, "the .env"
    assert found.bus.port == 2002, "the file"
    assert found.websocket.ping_interval_s == 3, "the environment"
    assert found.websocket.ping_timeout_s == 4, "the flag"


@pytest.mark.parametrize("source", ["file", "environment", "flag"])
def test_the_checkout_is_named_by_any_of_the_three(tmp_path: Path, source: str) -> None:
    root = make_checkout(tmp_path / "oa", ENV)
    weaker = make_checkout(tmp_path / "weaker", "WEBSOCKET_PORT=1\n")
    named: dict[str, Path] = dict.fromkeys(["file", "environment", "flag"], weaker)
    named[source] = root
    rank = list(named).index(source)
    file = toml(tmp_path, f'[openalgo]\npath = "{named["file"]}"\n')
    environ = {"HUB_OPENALGO_PATH": str(named["environment"])} if rank > 0 else {}
    flags = {"openalgo.path": str(named["flag"]) if rank > 1 else None}
    found = settings.load(file, environ, flags)
    assert (found.openalgo.path, found.websocket.port) == (str(root), 1001)


def test_its_feed_is_openalgo_unless_one_is_named(tmp_path: Path) -> None:
    environ = {"HUB_OPENALGO_PATH": str(make_checkout(tmp_path / "oa"))}
    assert settings.load(None, environ).hub.feeds == ["openalgo"]
    file = toml(tmp_path, '[hub]\nfeeds = ["bus"]\n')
    assert settings.load(file, environ).hub.feeds == ["bus"]
    assert settings.load(None, environ | {"HUB_FEEDS": "sim"}).hub.feeds == ["sim"]
    assert settings.load(None, environ, {"hub.feeds": ["a"]}).hub.feeds == ["a"]
    assert settings.load(None, environ, {"hub.feeds": None}).hub.feeds == ["openalgo"]


def test_a_child_has_what_its_parent_decided_whatever_the_env_says_by_then(
    tmp_path: Path,
) -> None:
    root = make_checkout(tmp_path / "oa", ENV)
    flags = {"openalgo.path": str(root), "bus.port": 0, "hub.shards": 4}
    parent = settings.load(None, {}, flags)
    (root / ".env").write_text("WEBSOCKET_PORT=9\nZMQ_PORT=9\nVALID_BROKERS=late\n")
    environ = config.environment(parent)
    assert config.load(None, environ) == parent, "as the roles load it"
    assert settings.load(None, environ) == parent, "as commands below them do"
    (root / ".env").unlink()
    assert config.load(None, environ) == parent


def test_no_secret_is_a_setting(tmp_path: Path) -> None:
    text = "DATABASE_URL='postgresql://u:geheim@h/db'\nBROKER_API_SECRET='broker-secret'\n"
    root = make_checkout(tmp_path / "oa", text + ENV)
    found = settings.load(None, {"HUB_OPENALGO_PATH": str(root)})
    shown = f"{found!r} {config.environment(found)} {config.as_toml(found)}"
    assert "1001" in shown
    for secret in (PEPPER, SALT, "geheim", "broker-secret"):
        assert secret not in shown


def test_no_problem_tells_a_secret(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa", "ZMQ_PORT=x\n")
    (root / "websocket_proxy").rmdir()
    told = "\n".join(problems(None, {"HUB_OPENALGO_PATH": str(root)}))
    assert "ZMQ_PORT" in told
    assert PEPPER not in told
    assert SALT not in told


def test_the_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    environ = {"HUB_OPENALGO_PATH": str(make_checkout(tmp_path / "oa", "ZMQ_PORT=x\n"))}
    file = toml(tmp_path, "[hub]\nshards = -1\n")
    found = problems(file, environ | {"HUB_BUS_QUEUE": "0"}, {"websocket.port": -1})
    parts = (".env: ZMQ_PORT", "hub.shards", "$HUB_BUS_QUEUE", "flag: websocket.port")
    for problem, part in zip(found, parts, strict=True):
        assert part in problem
    bounds = make_checkout(tmp_path / "bounds", "ZMQ_PORT=70000\n")
    found = problems(file, {"HUB_OPENALGO_PATH": str(bounds)})
    assert [problem.partition(" = ")[0] for problem in found] == [
        f"{bounds / '.env'}: ZMQ_PORT: bus.port",
        f"{file}: hub.shards",
    ]


def test_a_checkout_that_is_gone_is_told(tmp_path: Path) -> None:
    (problem,) = problems(None, {"HUB_OPENALGO_PATH": str(tmp_path / "gone")})
    assert problem.startswith(f"{tmp_path / 'gone'}: cannot be read")


@pytest.mark.parametrize("setting", ["path", "python"])
def test_a_path_is_whole_or_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    root = make_checkout(tmp_path / "oa", ENV)
    file = toml(tmp_path, f'[openalgo]\n{setting} = "oa"\n')
    assert problems(file, {}) == (f"openalgo.{setting} = 'oa': is relative; write the whole path",)
    file = toml(tmp_path, f'[openalgo]\n{setting} = "~/oa"\n')
    assert getattr(settings.load(file, {}).openalgo, setting) == str(root)


def test_a_link_to_a_checkout_is_followed_one_to_a_python_is_not(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "v2", ENV)
    link = tmp_path / "current"
    link.symlink_to(root)
    flags = {"openalgo.path": str(link), "openalgo.python": str(link)}
    found = settings.load(None, {}, flags)
    assert (found.openalgo.path, found.openalgo.python) == (str(root), str(link))


def test_a_hub_is_found_whatever_the_state_of_its_env(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa", ENV)
    flags = {"openalgo.path": str(root)}
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    place = runtime_dir(settings.load(None, {}, flags), environ)
    (root / ".env").write_text("ZMQ_PORT=x\n")
    assert problems(None, {}, flags)
    assert runtime_dir(settings.load_unread(None, {}, flags), environ) == place
    with pytest.raises(ConfigError, match="relative"):
        settings.load_unread(None, {"HUB_OPENALGO_PATH": "oa"})


def test_instances_run_side_by_side(tmp_path: Path) -> None:
    found = []
    for n in range(3):
        text = f"WEBSOCKET_PORT='{8765 + n}'\nZMQ_PORT='{5555 + n}'\n"
        root = make_checkout(tmp_path / f"openalgo{n + 1}", text)
        found.append(settings.load(None, {}, {"openalgo.path": str(root)}))
    assert [one.websocket.port for one in found] == [8765, 8766, 8767]
    assert [one.bus.port for one in found] == [5555, 5556, 5557]
    assert len({runtime_dir(one, {}) for one in found}) == 3
