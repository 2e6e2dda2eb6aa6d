"""`hub doctor` as a whole."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from cli import doctor
from cli.checks import Port
from cli.options import load_settings
from hub import __version__
from hub.openalgo.ports import Holder, Kind
from tests.cli.test_checks import GOOD
from tests.openalgo import Checkout


@pytest.fixture(autouse=True)
def good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which all is well, with ports that nobody has, whatever runs here."""
    monkeypatch.setattr(doctor, "look", lambda *_: GOOD)
    monkeypatch.setenv("HUB_WEBSOCKET_PORT", "1")
    monkeypatch.setenv("HUB_BUS_PORT", "2")


def findings(out: str) -> dict[str, dict[str, str]]:
    return {one["what"]: one for one in json.loads(out)["findings"]}


def test_each_line_has_a_sign_and_what_to_type_stands_below(hub: Any, runtime_dir: Path) -> None:
    lines = hub("doctor", "--runtime-dir", runtime_dir).stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("! API keys")]
    assert "nobody can log in" in lines[at]
    assert lines[at + 1].strip() == "→ hub keys add algo"
    assert lines[-1].endswith(" 0 in the way of a hub")
    assert sum(line.startswith("✓ ") for line in lines) > 10


def test_a_script_gets_the_same(hub: Any, runtime_dir: Path) -> None:
    said = json.loads(hub("doctor", "--runtime-dir", runtime_dir, "--json").stdout)
    assert {tuple(one) for one in said["findings"]} == {("what", "state", "found", "mend")}
    states = [one["state"] for one in said["findings"]]
    assert {name: states.count(name) for name in ("ok", "warn", "bad")} == {
        name: said[name] for name in ("ok", "warn", "bad")
    }
    assert said["bad"] == 0


def test_what_is_in_the_way_ends_with_1(hub: Any, runtime_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        os.environ["HUB_BUS_PORT"] = str(sock.getsockname()[1])
        out = hub("doctor", "--runtime-dir", runtime_dir, "--json", rc=1).stdout
    found = findings(out)["bus.port"]
    assert found["state"] == "bad"
    assert f"pid {os.getpid()}" in found["found"]
    assert f"kill {os.getpid()}" in found["mend"]


def test_settings_that_cannot_be_used_are_told_and_all_else_is_looked_at(
    hub: Any, home: Path
) -> None:
    (home / "hub.toml").write_text("[hub]\nshard = 1\n[bus]\nport = -1\n")
    out = hub("doctor", "--config", home / "hub.toml", "--json", rc=1).stdout
    bad = [one["found"] for one in json.loads(out)["findings"] if one["state"] == "bad"]
    assert len(bad) == 2
    assert "did you mean hub.shards" in bad[0]
    assert "descriptors" in findings(out)


def test_of_a_hub_that_runs_more_is_looked_at(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def look(_: object, pid: int) -> object:
        asked.append(pid)
        return GOOD

    processes = [{"name": "shard-0", "state": "ready", "pid": 4711}]
    reply = {"version": __version__, "processes": processes}
    monkeypatch.setattr(doctor, "runs", lambda _: True)
    monkeypatch.setattr(doctor, "ask_status", lambda _: reply)
    monkeypatch.setattr(doctor, "look", look)
    found = findings(hub("doctor", "--runtime-dir", runtime_dir, "--json").stdout)
    assert "1 processes, all ready" in found["hub"]["found"]
    assert asked == [4711], "its own limits count"


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (None, Port("bus.port", "127.0.0.1", 5)),
        (Holder(Kind.HUB, 7, "python", "me", "", "/run/hub"),
         Port("bus.port", "127.0.0.1", 5, "python, pid 7", True, 7)),
        (Holder(Kind.HUB, 7, "python", "me", "", "/run/other"),
         Port("bus.port", "127.0.0.1", 5, "another hub, at /run/other (python, pid 7)", False, 7)),
        (Holder(Kind.HUB, 7, "python", "me", None, None),
         Port("bus.port", "127.0.0.1", 5,
              "another hub, at a place that cannot be seen (python, pid 7)", None, 7)),
        (Holder(Kind.OTHER, 7, "nginx"),
         Port("bus.port", "127.0.0.1", 5, "nginx, pid 7", False, 7)),
        (Holder(Kind.UNSEEN), Port("bus.port", "127.0.0.1", 5, "a process, pid 0", None, 0)),
    ],
)  # fmt: skip
def test_whose_a_port_is(
    monkeypatch: pytest.MonkeyPatch, holder: Holder | None, expected: Port
) -> None:
    monkeypatch.setenv("HUB_BUS_PORT", "5")
    monkeypatch.setattr(doctor, "holder", lambda *_: holder)
    found = {port.setting: port for port in doctor._ports(load_settings(None),
                                                          Path("/run/hub"))}  # fmt: skip
    assert found["bus.port"] == expected
    assert "websocket.port" in found


def test_a_hub_without_shards_needs_neither_keys_nor_a_port_for_clients(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SHARDS": "0", "NATS_PUBLISH": "true", "NATS_SERVERS": "nats://n"}.items():
        monkeypatch.setenv(f"HUB_{name}", value)
    found = findings(hub("doctor", "--json", "--runtime-dir", runtime_dir).stdout)
    assert not {"API keys", "websocket.port"} & found.keys()
    assert found["descriptors"]["found"].endswith("no clients are served here")
    assert found["cores"]["found"] == "8 for a router"


def test_a_checkout_of_openalgo_is_looked_at_too(
    hub: Any, runtime_dir: Path, tmp_path: Path
) -> None:
    checkout = Checkout(tmp_path)
    out = hub("doctor", "--openalgo", checkout.root, "--runtime-dir", runtime_dir, "--json", rc=1)
    found = findings(out.stdout)
    assert found["OpenAlgo: checkout"]["state"] == "ok"
    assert not [what for what in found if "OpenAlgo: clients' port" in what]
