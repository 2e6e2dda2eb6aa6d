"""Which hub a command means."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cli.place import hub_dir, patience
from hub.core.errors import NotRunning, StartError
from hub.core.names import CONTROL
from tests.hub.openalgo.kit import make_checkout


@pytest.fixture
def session(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    return runtime_dir


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run_at(directory: Path, stack: ExitStack) -> Path:
    """A hub, as far as one sees it from outside: its router's control socket is open."""
    directory.mkdir(mode=0o700, exist_ok=True)
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(str(directory / CONTROL))
    sock.listen()
    return directory


def test_the_one_that_is_named_is_meant(session: Path, home: Path, stack: ExitStack) -> None:
    roots = [make_checkout(home / f"openalgo{n}") for n in (1, 2)]
    first, second = (hub_dir(None, None, root) for root in roots)
    assert first != second
    assert first.parent == second.parent == session
    run_at(second, stack)
    run_at(session / "shardhub", stack)
    assert hub_dir(None, None, roots[0]) == first, "not another one because that runs"
    assert hub_dir(Path("/run/mine"), None, roots[0]) == Path("/run/mine")
    file = home / "hub.toml"
    file.write_text(f'[openalgo]\npath = "{roots[1]}"\n')
    assert hub_dir(None, file) == second
    assert hub_dir(None, file, roots[0]) == first
    file.write_text('[hub]\nruntime_dir = "/run/file"\n')
    assert hub_dir(None, file) == Path("/run/file")


def test_the_environment_names_one(
    session: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(home / "oa")
    monkeypatch.setenv("HUB_OPENALGO_PATH", str(root))
    assert hub_dir(None, None) == hub_dir(None, None, root)


def test_a_relative_path_is_one_from_here(
    session: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(home / "oa")
    monkeypatch.chdir(home)
    assert hub_dir(None, None, Path("oa")) == hub_dir(None, None, root)


def test_an_env_that_is_broken_hides_no_hub(session: Path, home: Path) -> None:
    root = make_checkout(home / "oa")
    before = hub_dir(None, None, root)
    (root / ".env").unlink()
    assert hub_dir(None, None, root) == before


def test_without_a_name_the_only_one_that_runs_is_meant(session: Path, stack: ExitStack) -> None:
    usual = session / "shardhub"
    assert hub_dir(None, None) == usual
    (session / "shardhub-00000000").mkdir(mode=0o700)
    assert hub_dir(None, None) == usual, "that one has left"
    only = run_at(session / "shardhub-00000001", stack)
    assert hub_dir(None, None) == only
    other = run_at(session / "shardhub-00000002", stack)
    with pytest.raises(NotRunning) as caught:
        hub_dir(None, None)
    assert str(caught.value).endswith(f"by --runtime-dir: {only}, {other}")
    run_at(usual, stack)
    assert hub_dir(None, None) == usual


def test_a_hub_without_a_router_for_a_moment_is_still_the_one(
    session: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hub stop` must not stop another one meanwhile."""
    usual = session / "shardhub"
    usual.mkdir(mode=0o700)
    run_at(session / "shardhub-00000001", stack)
    monkeypatch.setattr("cli.place.lock.holder", lambda path: 7 if path == usual else None)
    assert hub_dir(None, None) == usual

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cli.place.lock.holder", refuse)
    assert hub_dir(None, None) == usual


@pytest.mark.parametrize("command", ["status", "stop", "cpu"])
def test_commands_look_for_the_hub_of_a_checkout(
    hub: Any, session: Path, home: Path, command: str
) -> None:
    root = make_checkout(home / "oa")
    stderr = hub(command, "--openalgo", root, rc=69).stderr
    assert f"no hub runs at {hub_dir(None, None, root)}" in stderr
    assert f"no hub runs at {session / 'shardhub'}" in hub(command, rc=69).stderr


def test_tail_falls_back_to_the_port_of_the_checkout(
    hub: Any, session: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_API_KEY", "key")
    tried = []

    def connect(url: str, *_: object, **__: object) -> None:
        tried.append(url)
        raise StartError("enough")

    monkeypatch.setattr("hub.client.connect", connect)
    root = make_checkout(home / "oa", "WEBSOCKET_PORT=1001\n")
    hub("tail", "NSE:SBIN", "--openalgo", root, rc=73)
    assert tried == ["ws://127.0.0.1:1001"]
    assert os.environ["XDG_RUNTIME_DIR"] == str(session)


def test_a_hub_is_given_the_time_to_stop_that_its_settings_allow(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    assert patience(None) == 30.0
    file.write_text("[hub]\nstop_s = 20\n[websocket]\ndrain_s = 100\n")
    assert patience(file) == 3 * 20 + 100 + 3 * 2
    file.write_text("what is this")
    assert patience(file) == 30.0, "a broken file hides no hub"
