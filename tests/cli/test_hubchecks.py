"""What `hub doctor` thinks of the hub itself."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import hub as package
from cli import hubchecks
from cli.checks import Finding, State
from cli.keys import store_of
from cli.units import REPOSITORY
from hub.core.errors import NoAnswer
from hub.core.settings import Hub, Keys, Settings
from hub.openalgo.ports import user_name
from hub.systemd import plan as plans
from hub.systemd.files import apply, templates


def one(found: Iterable[Finding]) -> Finding:
    (only,) = found
    return only


def test_each_problem_of_the_settings_is_told() -> None:
    problems = [*hubchecks.settings_problems(["one", "two"], None)]
    assert [(finding.state, finding.found) for finding in problems] == [
        (State.BAD, "one"), (State.BAD, "two"),
    ]  # fmt: skip
    fine = one(hubchecks.settings_problems([], Path("/etc/hub.toml")))
    assert (fine.state, fine.found) == (State.OK, "/etc/hub.toml")
    unknown = Settings(hub=Hub(feeds=["buss"]))
    assert "did you mean bus" in one(hubchecks.feeds(unknown)).found
    assert [*hubchecks.feeds(Settings())] == []


def test_without_keys_nobody_can_log_in(tmp_path: Path) -> None:
    settings = Settings(keys=Keys(file=str(tmp_path / "keys.json")))
    none = hubchecks.keys(settings, tmp_path / "run")
    assert (none.state, none.mend) == (State.WARN, "hub keys add algo")
    store_of(settings).add("algo", "algo", "bus", now=0)
    assert hubchecks.keys(settings, tmp_path / "run").state is State.OK
    (tmp_path / "keys.json").chmod(0o644)
    shut = hubchecks.keys(settings, tmp_path / "run")
    assert (shut.state, "chmod 600" in shut.mend) == (State.BAD, True)


def test_a_demo_has_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "demo.key").write_text("")
    settings = Settings(keys=Keys(file=str(tmp_path / "keys.json")))
    assert hubchecks.keys(settings, tmp_path).state is State.OK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_key_is_added_by_the_hubs_own_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 33, 33)
    settings = Settings(keys=Keys(file=str(tmp_path / "keys.json")))
    assert hubchecks.keys(settings, tmp_path).mend == f"sudo -u {user_name(33)} hub keys add algo"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_looks_at_another_users_keys_from_outside(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("")
    os.chown(file, 4711, 4711)
    settings = Settings(keys=Keys(file=str(file)))
    file.chmod(0o600)
    assert hubchecks.keys(settings, tmp_path / "run").state is State.OK
    file.chmod(0o640)
    assert hubchecks.keys(settings, tmp_path / "run").state is State.BAD


def test_of_another_users_hub_the_keys_are_looked_at_from_outside(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = runtime_dir / "keys.json"
    file.write_text("")
    file.chmod(0o600)
    settings = Settings(keys=Keys(file=str(file)))
    me = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: me + 1)
    theirs = hubchecks.keys(settings, runtime_dir)
    assert (theirs.state, theirs.found) == (State.OK, f"{file}, of {user_name(me)}")
    gone = runtime_dir / "gone"
    assert hubchecks.keys(settings, gone).state is State.BAD, "this user could not start a hub"


def test_a_directory_that_a_hub_can_use_is_ok(runtime_dir: Path) -> None:
    assert one(hubchecks.directory(runtime_dir / "none", running=False)).state is State.OK
    assert one(hubchecks.directory(runtime_dir, running=False)).state is State.OK
    assert one(hubchecks.directory(runtime_dir, running=True)).found == str(runtime_dir)


def test_a_directory_that_is_open_or_no_directory_is_in_the_way(runtime_dir: Path) -> None:
    runtime_dir.chmod(0o755)
    open_ = one(hubchecks.directory(runtime_dir, running=False))
    assert (open_.state, open_.mend) == (State.BAD, f"chmod 700 {runtime_dir}")
    file = runtime_dir / "file"
    file.write_text("")
    assert one(hubchecks.directory(file, running=False)).mend == f"sudo rm {file}"


def test_sockets_of_a_hub_that_was_killed_are_stale(runtime_dir: Path) -> None:
    """A hub that ends in order takes away where its children tell how they are."""
    for name in ("control", "notify"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(runtime_dir / name))
        (runtime_dir / "hub.log").write_text("")
        found = one(hubchecks.directory(runtime_dir, running=False))
        assert found.state is (State.OK if name == "control" else State.WARN)
    assert found.mend == f"rm {runtime_dir}/control {runtime_dir}/notify"
    subprocess.run(found.mend.split(), check=True)
    assert one(hubchecks.directory(runtime_dir, running=False)).state is State.OK


def test_processes_that_outlive_their_hub_are_told(runtime_dir: Path) -> None:
    """What stands for one is `python -m shards...`, which waits for its stdin to end."""
    (runtime_dir / "shards").mkdir()
    (runtime_dir / "shards/stray.py").write_text("input()")
    with subprocess.Popen(
        [sys.executable, "-m", "shards.stray"], cwd=runtime_dir, stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"HUB_RUNTIME_DIR": str(runtime_dir), "PYTHONPATH": str(runtime_dir)},
    ) as stray:  # fmt: skip
        found = one(hubchecks.strays(runtime_dir, running=False))
        assert (found.state, found.mend) == (State.BAD, f"kill {stray.pid}")
        assert [*hubchecks.strays(runtime_dir, running=True)] == []
        assert [*hubchecks.strays(runtime_dir / "other", running=False)] == []
        stray.communicate(b"\n")
    assert [*hubchecks.strays(runtime_dir, running=False)] == []


def test_packages_are_held_to_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    assert [*hubchecks.packages(lock)] == []
    version = importlib.metadata.version("click")
    lock.write_text(f"click=={version} \\\n    --hash=x\nnot-installed-at-all==1 \\\n")
    assert one(hubchecks.packages(lock)).found == "1, all as tested"
    lock.write_text("click==0.1 \\\n")
    other = one(hubchecks.packages(lock))
    assert (other.state, other.found) == (State.WARN, f"click {version} (tested: 0.1)")
    assert "--version" in other.mend


def test_software_says_which_python(monkeypatch: pytest.MonkeyPatch) -> None:
    python = next(finding for finding in hubchecks.software() if finding.what == "Python")
    assert python.state is State.OK
    monkeypatch.setattr(hubchecks, "_TESTED", ((2, 6), (2, 7)))
    python = next(finding for finding in hubchecks.software() if finding.what == "Python")
    assert (python.state, "2.6 to 2.7" in python.found) == (State.WARN, True)


def test_a_tick_path_that_is_not_compiled_is_told() -> None:
    assert hubchecks.compiled(pure=False, compiled_=True).state is State.OK
    assert "apt install gcc" in hubchecks.compiled(pure=False, compiled_=False).mend
    assert hubchecks.compiled(pure=True, compiled_=False).mend == "unset SHARDHUB_PURE"


def test_units_of_another_version_are_told(tmp_path: Path) -> None:
    assert [*hubchecks.units(tmp_path, "hub")] == []
    touched = (Path(sys.executable).resolve(),)
    plan = plans.make(plans.Wish(), REPOSITORY, tmp_path, touched)
    apply(plans.due(plan, templates(REPOSITORY), tmp_path))
    assert one(hubchecks.units(tmp_path, "hub")).state is State.OK
    unit = tmp_path / "etc/systemd/system/hub-router.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=60"))
    other = one(hubchecks.units(tmp_path, "hub"))
    assert (other.state, other.mend) == (State.WARN, "sudo hub systemd install")
    assert "hub-router.service" in other.found
    (tmp_path / "etc/shardhub/hub.toml").write_text("[hub]\nshard = 1\n")
    assert one(hubchecks.units(tmp_path, "hub")).state is State.BAD


def answer(**changed: Any) -> dict[str, Any]:
    processes = [{"name": "router", "state": "ready"}, {"name": "shard-0", "state": "ready"}]
    return {"version": package.__version__, "processes": processes} | changed


def test_a_hub_that_runs_says_how_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Path("/run/hub")
    assert one(hubchecks.live(answer(), at, "hub")).state is State.OK
    waiting = answer(processes=[{"name": "shard-0", "state": "backoff"}])
    away = one(hubchecks.live(waiting, at, "hub"))
    assert (away.state, "shard-0 (backoff)" in away.found) == (State.BAD, True)
    starting = answer(processes=[{"name": "shard-0", "state": "waiting"}])
    assert one(hubchecks.live(starting, at, "hub")).state is State.WARN
    old = [*hubchecks.live(answer(version="0.0.1"), at, "hub")][1]
    assert (old.state, old.mend) == (State.WARN, "hub restart --rolling")
    monkeypatch.setattr(hubchecks, "COMPILED", True)
    pure = answer(processes=[{"name": "router", "state": "ready", "compiled": False}])
    assert [*hubchecks.live(pure, at, "hub")][1].what == "tick path"
    silent = one(hubchecks.live(NoAnswer("monitor", 3), at, "hub"))
    assert (silent.state, "monitor did not answer" in silent.found) == (State.BAD, True)
