"""`hub openalgo check` and `install`, beside a miniature of a checkout and a made-up system."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.units import Systemctl
from hub.openalgo.ports import Holder, Kind, user_name
from hub.openalgo.service import Service
from tests.openalgo import Checkout

PYTHON = ("--openalgo-python", sys.executable)
FILES = 7


@pytest.fixture
def checkout(tmp_path: Path, free: None) -> Checkout:
    made = Checkout(tmp_path)
    made.key("anita", "a hash")
    made.login("anita", "angel")
    return made


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports that nobody listens on, whatever runs on this machine."""
    monkeypatch.setenv("HUB_WEBSOCKET_PORT", "1")
    monkeypatch.setenv("HUB_BUS_PORT", "2")
    monkeypatch.setenv("HUB_PROGRAM", "./scripts/hub")


@pytest.fixture
def system(tmp_path: Path, checkout: Checkout) -> Path:
    """The root of a file system where OpenAlgo is a service."""
    root = tmp_path / "system"
    unit = root / "etc/systemd/system/openalgo.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nWorkingDirectory={checkout.root}\n")
    return root


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_check_says_what_is_found_and_what_comes_next(hub: Any, checkout: Checkout) -> None:
    lines = hub("openalgo", "check", checkout.root, *PYTHON).stdout.splitlines()
    assert lines[0].startswith("✓ checkout")
    assert any("anita at angel" in line for line in lines)
    start = f"./scripts/hub start --openalgo {checkout.root} --openalgo-python {sys.executable}"
    assert lines[-1] == f"Next: {start} --shards {os.cpu_count()}"


@pytest.mark.parametrize("standalone", [False, True])
def test_check_of_a_service_with_its_own_proxy_leads_to_an_install(
    hub: Any, checkout: Checkout, monkeypatch: pytest.MonkeyPatch, standalone: bool
) -> None:
    service = Service("openalgo", "", "", {"APP_MODE": "standalone"} if standalone else {})
    monkeypatch.setattr("cli.openalgo.services", lambda _: [service])
    last = hub("openalgo", "check", checkout.root, *PYTHON).stdout.splitlines()[-1]
    then = "./scripts/hub start --openalgo" if standalone else "sudo ./scripts/hub openalgo install"
    assert last.startswith(f"Next: {then} {checkout.root} --openalgo-python {sys.executable} ")


def test_check_tells_a_script_the_same(hub: Any, checkout: Checkout) -> None:
    said = json.loads(hub("openalgo", "check", checkout.root, *PYTHON, "--json").stdout)
    assert said["next"].startswith("./scripts/hub start --openalgo ")
    assert {tuple(finding) for finding in said["findings"]} == {
        ("what", "state", "found", "advice")
    }
    assert {finding["state"] for finding in said["findings"]} <= {"fine", "look"}


def test_check_of_what_will_not_do_ends_with_1(hub: Any, checkout: Checkout) -> None:
    checkout.database.unlink()
    lines = hub("openalgo", "check", checkout.root, *PYTHON, rc=1).stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("✗ database")]
    assert "→ start OpenAlgo once" in lines[at + 1]
    assert lines[-1].startswith("Next: mend")


def test_check_of_no_checkout_says_why(hub: Any, tmp_path: Path) -> None:
    out = hub("openalgo", "check", tmp_path / "nowhere", rc=1).stdout
    assert out.startswith("✗ settings")
    (tmp_path / "other").mkdir()
    said = json.loads(hub("openalgo", "check", tmp_path / "other", "--json", rc=1).stdout)
    assert any("no checkout of OpenAlgo" in finding["found"] for finding in said["findings"])


def test_install_shows_the_diff_writes_and_takes_it_all_away_again(
    hub: Any, checkout: Checkout, system: Path
) -> None:
    before = files(system)
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system)
    shown = hub(*install, "--shards", "3", "--dry-run").stdout
    assert "+Environment=APP_MODE=standalone" in shown
    assert "+shards = 3" in shown
    assert files(system) == before
    out = hub(*install, "--shards", "3", "--yes").stdout
    assert out.startswith(shown)
    assert "sudo systemctl restart openalgo\n" in out
    assert "sudo systemctl enable --now openalgo-hub.target\n" in out
    assert "--undo\n" in out
    assert len(files(system)) == len(before) + FILES
    again = hub(*install, "--shards", "3", "--yes").stdout
    assert again == "Nothing is to be changed.\n"
    changed = hub(*install, "--shards", "2", "--dry-run").stdout
    assert "-shards = 3" in changed
    assert "+shards = 2" in changed
    told = hub(*install, "--shards", "2", "--yes").stdout
    assert "sudo systemctl stop 'openalgo-hub*'\n" in told
    assert "sudo systemctl start openalgo-hub.target\n" in told
    undo = ("openalgo", "install", checkout.root, "--root", system, "--undo")
    hub(*undo, "--dry-run")
    assert len(files(system)) == len(before) + FILES
    assert "sudo systemctl restart openalgo" in hub(*undo, "--yes").stdout
    assert files(system) == before
    assert not (system / "etc/shardhub").exists()
    assert hub(*undo, "--yes").stdout == "Nothing is to be changed.\n"


def test_install_beside_the_brokers_publishes_to_other_machines(
    hub: Any, checkout: Checkout, system: Path
) -> None:
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system, "--yes")
    hub(*install, "--shards", "0", "--publish", "nats://n1", "--machine", "desk1")
    found = files(system)
    settings = found["etc/shardhub/openalgo-hub.toml"]
    assert '[nats]\nservers = ["nats://n1"]\npublish = true\nname = "desk1"\n' in settings
    uplink = "etc/systemd/system/openalgo-hub-uplink.service"
    assert "User=" in found[uplink]
    hub(*install, "--shards", "1")
    assert uplink not in files(system)
    assert "[nats]" not in files(system)["etc/shardhub/openalgo-hub.toml"]


def test_install_starts_it_in_the_right_order(
    hub: Any, checkout: Checkout, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(Systemctl, "__call__", lambda _, *words: asked.append(words))
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system, "--yes", "--start")
    target = "openalgo-hub.target"
    running = [("enable", target), ("stop", "openalgo-hub*"), ("start", target)]
    hub(*install)
    assert asked == [("daemon-reload",), ("restart", "openalgo"), *running]
    asked.clear()
    hub(*install, "--shards", "2")  # OpenAlgo runs without its proxy already
    assert asked == [("daemon-reload",), *running]
    asked.clear()
    hub(*install, "--shards", "2")  # all of it is there, and is to be started nevertheless
    assert asked == [("daemon-reload",), *running]
    asked.clear()
    hub(*install, "--shards", "3", "--dry-run")
    hub(*install, "--undo", "--dry-run")
    assert asked == []
    hub(*install, "--undo")
    stopped = [("stop", "openalgo-hub*"), ("disable", target)]
    assert asked == [*stopped, ("daemon-reload",), ("restart", "openalgo")]


def test_what_is_installed_fits_this_checkout_its_python_and_the_settings(
    hub: Any, checkout: Checkout, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = checkout.root / ".env"
    env.write_text(f"{env.read_text()}\nLOG_DIR = '{tmp_path}/log'\n")
    python, link = tmp_path / "home" / "python", tmp_path / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    link.symlink_to(python)
    monkeypatch.setattr("hub.systemd.units._HOMES", (str(python.parent),))
    monkeypatch.setenv("HUB_SHARDS", "5")
    install = ("openalgo", "install", checkout.root, "--openalgo-python", link, "--root", system)
    shown = hub(*install, "--dry-run").stdout.splitlines()
    assert "+shards = 5" in shown
    assert f'+python = "{link}"' in shown
    assert f"+ReadWritePaths=-{tmp_path}/log" in shown, "OpenAlgo's adapters log there"
    assert "+ProtectHome=read-only" in shown, "that is where the link leads to"


@pytest.mark.parametrize("command", ["check", "install"])
def test_in_a_folder_that_is_gone_a_short_path_is_an_error(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = hub("openalgo", command, "openalgo", rc=1 if command == "check" else 78)
    assert "the folder you are in is gone" in result.output


def test_check_says_how_to_look_at_the_hub_that_is_there(
    hub: Any, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = user_name(os.geteuid())
    running = Holder(Kind.HUB, 7, "python", me, str(checkout.root), "/run/a-hub")
    monkeypatch.setattr("cli.openalgo.holder", lambda *_: running)
    check = ("openalgo", "check", checkout.root, *PYTHON)
    status = "./scripts/hub status --runtime-dir /run/a-hub\n"
    assert hub(*check).stdout.endswith(f"Next: a hub is there; see {status}")
    running = running._replace(user="trader")
    assert hub(*check).stdout.endswith(f"see sudo -u trader {status}")
    running = running._replace(user=me, runtime_dir=None)
    assert hub(*check).stdout.endswith(f"see ./scripts/hub status --openalgo {checkout.root}\n")


def test_undo_stops_only_what_is_there(
    hub: Any, checkout: Checkout, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an install that broke off, or whose target somebody has removed, the rest goes, too."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("cli.install.Systemctl", lambda **_: lambda *words: asked.append(words))
    install = ("openalgo", "install", checkout.root, "--root", system, "--yes")
    before = files(system)
    for target_is_there in (True, False):
        hub(*install, *PYTHON)
        if not target_is_there:
            (system / "etc/systemd/system/openalgo-hub.target").unlink()
        asked.clear()
        hub(*install, "--undo")
        stop = [("stop", "openalgo-hub*"), ("disable", "openalgo-hub.target")] * target_is_there
        assert asked == [*stop, ("daemon-reload",)]
        assert files(system) == before


def test_install_asks_only_at_a_terminal(hub: Any, checkout: Checkout, system: Path) -> None:
    before = files(system)
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system)
    assert "add --yes" in hub(*install, rc=73).stderr
    assert files(system) == before


def test_install_needs_openalgos_service(hub: Any, checkout: Checkout, tmp_path: Path) -> None:
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", tmp_path / "other")
    assert "WorkingDirectory" in hub(*install, "--yes", rc=78).stderr


def test_of_several_services_one_is_named(hub: Any, checkout: Checkout, system: Path) -> None:
    folder = system / "etc/systemd/system"
    (folder / "beta.service").write_text((folder / "openalgo.service").read_text())
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system, "--yes")
    assert "beta, openalgo" in hub(*install, rc=78).stderr
    assert "nowhere" in hub(*install, "--service", "nowhere", rc=78).stderr
    hub(*install, "--service", "beta.service")
    assert (folder / "beta-hub.target").exists()
    assert not (folder / "openalgo-hub.target").exists()


def test_undo_does_without_openalgos_own_unit(hub: Any, checkout: Checkout, system: Path) -> None:
    install = ("openalgo", "install", checkout.root, "--root", system, "--yes")
    hub(*install, *PYTHON)
    (system / "etc/systemd/system/openalgo.service").unlink()
    assert "WorkingDirectory" in hub(*install, "--undo", rc=78).stderr
    hub(*install, "--undo", "--service", "openalgo")
    assert files(system) == {}


def test_install_writes_nothing_when_something_is_in_the_way(
    hub: Any, checkout: Checkout, system: Path
) -> None:
    env = checkout.root / ".env"
    env.write_text(f"{env.read_text()}\nAPP_MODE='integrated'\n")
    checkout.database.unlink()
    before = files(system)
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system, "--yes")
    told = hub(*install, rc=73).stderr
    assert "APP_MODE=integrated" in told
    assert "start OpenAlgo once" in told
    assert files(system) == before


def test_a_proxy_that_runs_is_not_in_the_way_of_an_install(
    hub: Any, checkout: Checkout, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The install is what has it end."""
    install = ("openalgo", "install", checkout.root, *PYTHON, "--root", system, "--dry-run")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        monkeypatch.setenv("HUB_WEBSOCKET_PORT", str(sock.getsockname()[1]))
        assert "✗ clients' port" in hub("openalgo", "check", checkout.root, *PYTHON, rc=1).stdout
        assert "+Environment=APP_MODE=standalone" in hub(*install).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at all folders")
def test_install_sees_that_openalgos_user_gets_in(
    hub: Any, checkout: Checkout, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shut"
    folder.mkdir(mode=0o700)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    unit = system / "etc/systemd/system/openalgo.service"
    unit.write_text(unit.read_text() + "User=nobody\n")
    install = ("openalgo", "install", checkout.root, "--openalgo-python", python)
    told = hub(*install, "--root", system, "--yes", rc=73).stderr
    assert re.search(f"nobody may not enter .*, where {python} is", told)
    own = folder / "own"
    own.symlink_to(sys.executable)
    monkeypatch.setattr("cli.install.sys.executable", str(own))
    told = hub("openalgo", "install", checkout.root, *PYTHON, "--root", system, rc=73).stderr
    assert re.search(f"nobody may not enter .*, where {own} is", told)
