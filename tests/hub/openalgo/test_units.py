"""What is installed beside OpenAlgo's service.

1. The units are those of systemd/ under the names of OpenAlgo's service, and run as its user.
2. They may do what those may do, and what OpenAlgo's adapters need besides.
3. Each file begins with the mark.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hub.core.config import load
from hub.openalgo.service import Service
from hub.openalgo.units import MARK, Plan, files, paths, problems
from hub.systemd.units import TEMPLATES as UNITS

TEMPLATES = {
    name: (Path(__file__).parents[3] / "systemd" / name).read_text(encoding="utf-8")
    for name in UNITS
}
PLAN = Plan(
    service=Service("openalgo", "www-data", "web", {}),
    checkout=Path("/var/python/openalgo"),
    python=Path("/var/python/openalgo/.venv/bin/python"),
    shards=3,
    repository=Path("/opt/hub"),
    nats={"servers": ["nats://n1"], "publish": True},
)
SYSTEM = "etc/systemd/system"


def made(plan: Plan = PLAN) -> dict[str, str]:
    return {str(path): text for path, text in files(plan, TEMPLATES).items()}


def unit(name: str, plan: Plan = PLAN) -> list[str]:
    return made(plan)[f"{SYSTEM}/{name}"].splitlines()


def test_these_files_are_made_and_each_has_the_mark() -> None:
    found = made()
    assert found.keys() == {
        f"{SYSTEM}/openalgo.service.d/50-shardhub.conf",
        f"{SYSTEM}/openalgo-hub.target",
        f"{SYSTEM}/openalgo-hub-router.service",
        f"{SYSTEM}/openalgo-hub-monitor.service",
        f"{SYSTEM}/openalgo-hub-feed@.service",
        f"{SYSTEM}/openalgo-hub-shard@.service",
        f"{SYSTEM}/openalgo-hub-uplink.service",
        "etc/shardhub/openalgo-hub.toml",
    }
    assert all(text.startswith(f"{MARK}\n") and text.endswith("\n") for text in found.values())
    assert {str(path) for path in paths("openalgo")} == found.keys()


def test_openalgo_starts_no_proxy_of_its_own() -> None:
    lines = unit("openalgo.service.d/50-shardhub.conf")
    assert lines[1:] == ["[Service]", "Environment=APP_MODE=standalone"]


def test_the_settings_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(made()["etc/shardhub/openalgo-hub.toml"])
    settings = load(file, {})
    assert (settings.hub.shards, settings.hub.feeds) == (3, ["openalgo"])
    assert settings.hub.runtime_dir == "/run/openalgo-hub"
    assert settings.openalgo.path == "/var/python/openalgo"
    assert settings.openalgo.python == "/var/python/openalgo/.venv/bin/python"
    assert settings.keys.file == "/var/lib/openalgo-hub/keys.json"


def test_the_target_wants_every_process() -> None:
    wanted = [line for line in unit("openalgo-hub.target") if line.startswith("Wants=")]
    assert wanted == [
        "Wants=openalgo-hub-router.service",
        "Wants=openalgo-hub-monitor.service",
        "Wants=openalgo-hub-feed@openalgo.service",
        "Wants=openalgo-hub-shard@0.service",
        "Wants=openalgo-hub-shard@1.service",
        "Wants=openalgo-hub-shard@2.service",
        "Wants=openalgo-hub-uplink.service",
    ]


@pytest.mark.parametrize("name", [name.replace("hub", "openalgo-hub", 1) for name in UNITS])
def test_rule_1_a_unit_has_this_instances_names_and_user(name: str) -> None:
    lines = unit(name)
    assert {"User=www-data", "Group=web", "PartOf=openalgo-hub.target"} <= set(lines)
    assert "Environment=HUB_CONFIG=/etc/shardhub/openalgo-hub.toml" in lines
    assert "RuntimeDirectory=openalgo-hub" in lines
    assert "StateDirectory=openalgo-hub" in lines
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert start.startswith("ExecStart=/opt/hub/scripts/hub ")
    text = "\n".join(lines)
    assert "/opt/shardhub" not in text
    named = re.findall(r"[\w-]*hub(?:\.target|-router\.service|-shard@|-feed@|-monitor\.s)", text)
    assert named
    assert all(word.startswith("openalgo-hub") for word in named)


def test_rule_1_two_instances_share_no_file() -> None:
    other = replace(PLAN, service=Service("openalgo2", "www-data", "web", {}))
    assert not made().keys() & made(other).keys()


def test_rule_1_without_a_user_or_group_it_is_what_systemd_takes() -> None:
    name = "openalgo-hub-router.service"
    nobody = replace(PLAN, service=Service("openalgo", "", "", {}))
    assert "User=root" in unit(name, nobody)
    assert not [line for line in unit(name, nobody) if line.startswith("Group")]


WRITE = "ReadWritePaths=/var/python/openalgo"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("openalgo-hub-feed@.service", {WRITE, "MemoryDenyWriteExecute=no"}),
        ("openalgo-hub-monitor.service", {WRITE}),
        ("openalgo-hub-router.service", set()),
        ("openalgo-hub-shard@.service", set()),
    ],
)
def test_rule_2_only_who_must_may_do_more(name: str, changed: set[str]) -> None:
    before = TEMPLATES[name.removeprefix("openalgo-")]
    kept = before[before.index("UMask=") : before.index("[Install]")].splitlines()
    assert set(unit(name)) - set(before.splitlines()) >= changed
    after = "\n".join(unit(name))
    now = after[after.index("UMask=") : after.index("[Install]")].splitlines()
    assert set(now) - set(kept) == changed


def test_rule_2_more_folders_that_openalgo_writes_may_be_written() -> None:
    plan = replace(PLAN, writable=(Path("/var/lib/openalgo"),))
    assert "ReadWritePaths=-/var/lib/openalgo" in unit("openalgo-hub-feed@.service", plan)


@pytest.mark.parametrize(
    "change",
    [
        {"checkout": Path("/home/trader/openalgo")},
        {"python": Path("/run/user/1000/venv/bin/python")},
        {"repository": Path("/home/trader/hub")},
        {"touched": (Path("/home/trader/.local/share/python3.12"),)},
    ],
)
def test_rule_2_homes_can_be_read_when_something_is_there(change: dict[str, Path]) -> None:
    name = "openalgo-hub-shard@.service"
    assert "ProtectHome=yes" in unit(name)
    assert "ProtectHome=read-only" in unit(name, replace(PLAN, **change))  # type: ignore[arg-type]  # of any field


def test_a_path_that_a_unit_cannot_name_is_refused() -> None:
    assert problems(PLAN) == []
    (problem,) = problems(replace(PLAN, checkout=Path("/srv/open algo")))
    assert "/srv/open algo" in problem
    (problem,) = problems(replace(PLAN, writable=(Path("/srv/my logs"),)))
    assert "/srv/my logs" in problem


def test_a_service_whose_name_is_escaped_is_refused_and_can_be_looked_for() -> None:
    (problem,) = problems(replace(PLAN, service=PLAN.service._replace(name=r"open\x2dalgo")))
    assert r"service open\x2dalgo" in problem
    assert Path(r"etc/systemd/system/open\x2dalgo-hub.target") in paths(r"open\x2dalgo")
