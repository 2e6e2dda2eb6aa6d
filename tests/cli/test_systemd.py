"""`hub systemd`: beside a made-up file system, and what systemctl is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli import systemd_install
from cli.units import Systemctl
from hub.core.errors import StartError
from hub.systemd.plan import Wish
from tests.hub.systemd.test_state import SAID

FILES = 6
UNITS = "etc/systemd/system"
ALL = [f"hub-{role}.service" for role in ("router", "monitor", "feed@*", "shard@*", "uplin[k]")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What systemctl is told."""
    found: list[tuple[str, ...]] = []

    def run(_: object, *words: str) -> str:
        found.append(words)
        return SAID if words[0] == "show" else ""

    monkeypatch.setattr(Systemctl, "__call__", run)
    return found


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_install_shows_the_diff_writes_and_takes_the_units_away_again(
    hub: Any, tmp_path: Path
) -> None:
    root = tmp_path / "system"
    install = ("systemd", "install", "--root", root, "--shards", "2", "--feed", "sim")
    shown = hub(*install, "--dry-run").stdout
    assert "+Wants=hub-shard@1.service" in shown
    assert '+feeds = ["sim"]' in shown
    assert not root.exists()
    out = hub(*install, "--yes").stdout
    assert out.startswith(shown)
    assert "sudo systemctl start hub.target" in out
    assert len(files(root)) == FILES
    assert hub(*install, "--yes").stdout.startswith("Nothing is to be changed.\n")
    fewer = hub(*install[:-4], "--shards", "1", "--dry-run").stdout
    assert "-Wants=hub-shard@1.service" in fewer
    assert "-Wants=hub-feed@sim.service" not in fewer, "what is not asked for stays"
    out = hub("systemd", "uninstall", "--root", root, "--yes").stdout
    assert "sudo rm /etc/shardhub/hub.toml" in out
    assert [*files(root)] == ["etc/shardhub/hub.toml"]
    again = hub("systemd", "uninstall", "--root", root, "--yes").stdout
    assert again == "Nothing is to be changed.\n"


def test_systemd_is_told_in_the_right_order(
    hub: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    install = ("systemd", "install", "--root", tmp_path / "system", "--yes")
    hub(*install, "--shards", "2", "--dry-run")
    assert asked == []
    hub(*install, "--shards", "2")
    start = [("enable", "hub.target"), ("start", "hub.target")]
    assert asked == [("daemon-reload",), *start]
    asked.clear()
    hub(*install)
    assert asked == [("daemon-reload",), *start], "of an install that broke off the rest"
    asked.clear()
    hub(*install, "--shards", "3", "--no-start")
    assert asked == [("daemon-reload",), ("enable", "hub.target")]


def test_an_ingest_has_an_uplink_and_an_edge_the_feeds_of_others(
    hub: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    root = tmp_path / "system"
    install = ("systemd", "install", "--root", root, "--yes", "--machine", "desk1")
    told = hub(*install, "--shards", "0", "--publish", "nats://n1,nats://n2").stdout
    assert "keys add" not in told
    assert "shard@0" not in told
    settings = files(root)["etc/shardhub/hub.toml"]
    assert 'servers = ["nats://n1", "nats://n2"]\npublish = true\nname = "desk1"\n' in settings
    assert f"{UNITS}/hub-uplink.service" in files(root)
    assert f"{UNITS}/hub-shard@.service" not in files(root)
    refused = hub(*install, "--bus", "nats://n1", rc=78).stderr
    assert "exclude each other" in refused
    (root / "etc/shardhub/hub.toml").unlink()
    asked.clear()
    hub(*install, "--bus", "nats://n1", "--shards", "2")
    assert 'feeds = ["nats"]' in files(root)["etc/shardhub/hub.toml"]
    assert f"{UNITS}/hub-uplink.service" not in files(root)
    assert ("disable", "--now", "hub-feed@bus.service", "hub-uplink.service") in asked


def test_what_was_typed_is_told_with_sudo() -> None:
    given = {"shards": 0, "feeds": ("bus", "sim"), "user": None, "name": "hub", "bus": [],
             "publish": ["nats://n1"], "nats_creds": Path("a.creds")}  # fmt: skip
    assert systemd_install._typed(given) == [
        "--shards", "0", "--feed", "bus", "--feed", "sim", "--publish", "nats://n1",
        "--nats-creds", "a.creds",
    ]  # fmt: skip


def test_with_fewer_shards_those_that_are_too_many_go(
    hub: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    install = ("systemd", "install", "--root", tmp_path / "system", "--yes")
    hub(*install, "--shards", "4", "--feed", "bus", "--feed", "sim")
    asked.clear()
    hub(*install, "--shards", "2", "--feed", "bus")
    surplus = ("hub-feed@sim.service", "hub-shard@2.service", "hub-shard@3.service")
    assert asked == [
        ("daemon-reload",),
        ("disable", "--now", *surplus),
        ("enable", "hub.target"),
        ("stop", *ALL),
        ("start", "hub.target"),
    ]


def test_uninstall_stops_all_before_the_units_go(
    hub: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    hub("systemd", "install", "--root", tmp_path / "system", "--yes", "--shards", "1")
    asked.clear()
    hub("systemd", "uninstall", "--root", tmp_path / "system", "--dry-run")
    assert asked == []
    hub("systemd", "uninstall", "--root", tmp_path / "system", "--yes")
    instances = ("hub-router.service", "hub-monitor.service", "hub-feed@bus.service",
                 "hub-shard@0.service", "hub.target")  # fmt: skip
    assert asked == [
        ("stop", *ALL, "hub.target"),
        ("disable", *instances),
        ("daemon-reload",),
    ]


def test_install_asks_only_at_a_terminal(hub: Any, tmp_path: Path) -> None:
    root = tmp_path / "system"
    assert "add --yes" in hub("systemd", "install", "--root", root, rc=73).stderr
    hub("systemd", "install", "--root", root, "--yes")
    assert "add --yes" in hub("systemd", "uninstall", "--root", root, rc=73).stderr
    assert len(files(root)) == FILES


def test_without_root_it_is_said_what_to_type(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(systemd_install, "_BOOTED", Path("proc"))
    monkeypatch.setenv("HUB_PROGRAM", "./scripts/hub")
    told = hub("systemd", "install", "--shards", "2", "--feed", "bus", "--name", "hub-of-a-test",
               "--yes", rc=73)  # fmt: skip
    assert "+shards = 2" in told.stdout, "what would be written can be seen by anybody"
    command = "systemd install --shards 2 --feed bus --name hub-of-a-test\n"
    assert told.stderr.endswith(f"type: sudo ./scripts/hub {command}")


def test_without_systemd_it_is_said(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_install, "_BOOTED", Path("nowhere/at/all"))
    install = ("systemd", "install", "--name", "hub-of-a-test", "--yes")
    assert "systemd does not run this machine" in hub(*install, rc=73).stderr


def test_beside_the_one_unit_nothing_is_written(hub: Any, tmp_path: Path) -> None:
    unit = tmp_path / UNITS / "hub.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    told = hub("systemd", "install", "--root", tmp_path, "--yes", rc=73).stderr
    assert "sudo systemctl disable --now hub.service" in told
    assert [*files(tmp_path)] == [f"{UNITS}/hub.service"]


def test_a_user_who_is_missing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert systemd_install._useradd("root") == []
    command = systemd_install._useradd("nobody-of-that-name")
    assert command[0] == "useradd"
    assert command[-1] == "nobody-of-that-name"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StartError, match=r"`useradd --system .*nobody-of-that-name`: "):
        systemd_install._run(command)


def test_a_unit_that_does_not_come_up_is_named(
    tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    plan = systemd_install.plan_of(Wish(shards=1), tmp_path)
    with pytest.raises(StartError, match=r"hub-shard@0\.service is not up \(failed with code 78\)"):
        systemd_install._see_that_it_runs(plan, Systemctl(real=True))
    assert asked[0][-1] == "hub-shard@0.service"


def test_show_prints_what_install_would_write(hub: Any, tmp_path: Path) -> None:
    given = ("--root", tmp_path, "--user", "trader", "--shards", "1")
    text = hub("systemd", "show", *given).stdout
    hub("systemd", "install", *given, "--yes")
    written = files(tmp_path)
    for path in (f"{UNITS}/hub-shard@.service", f"{UNITS}/hub.target", "etc/shardhub/hub.toml"):
        assert f"# /{path}\n{written[path]}" in text
    one = hub("systemd", "show", "hub-shard@.service", *given).stdout
    assert one == written[f"{UNITS}/hub-shard@.service"]
    assert "hub-router.service" in hub("systemd", "show", "hub-shard", *given, rc=2).stderr


def test_status_shows_how_the_units_are(
    hub: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    assert "systemd install" in hub("systemd", "status", "--root", tmp_path, rc=69).stderr
    assert asked == []
    hub("systemd", "install", "--root", tmp_path, "--yes", "--shards", "1")
    out = hub("systemd", "status", "--root", tmp_path, rc=1).stdout
    router, shard = (
        next(line for line in out.splitlines() if line.startswith(name))
        for name in ("hub-router.service", "hub-shard@0.service")
    )
    assert router.split()[1:6] == ["running", "812", "50", "MiB", "2"]
    assert shard.split()[1] == "failed"
    said = json.loads(hub("systemd", "status", "--root", tmp_path, "--json", rc=1).stdout)
    assert said[0]["pid"] == 812
    assert [unit["active"] for unit in said] == [True, False, False]


@pytest.mark.parametrize("name", ["a/b", "hub@1", "my hub", ""])
def test_a_name_that_no_unit_can_have_is_refused(hub: Any, tmp_path: Path, name: str) -> None:
    hub("systemd", "install", "--root", tmp_path, "--name", name, "--dry-run", rc=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at all folders")
def test_the_hubs_user_must_get_at_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    program = shut / "hub"
    program.write_text("")
    monkeypatch.setattr(systemd_install, "PROGRAM", program)
    monkeypatch.setattr(systemd_install, "_BOOTED", Path("proc"))
    wish = {"user": "nobody", "name": "hub-of-a-test"}
    plan = systemd_install.plan_of(Wish(user="nobody", name="hub-of-a-test"), Path("/"))
    with pytest.raises(StartError, match=f"nobody may not enter .*, where {program} is"):
        systemd_install._see_that_it_can_be(plan, wish, Path("/"))
