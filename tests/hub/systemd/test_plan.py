"""What a hub of its own needs under systemd.

1. The settings file is the operator's: only what the units depend on is changed in it.
2. What is not asked for stays as it is.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hub.core import config
from hub.core.errors import ConfigError, StartError
from hub.systemd.files import apply, templates
from hub.systemd.plan import Plan, Wish, due, gone, instances, make

REPOSITORY = Path(__file__).parents[3]
TEXTS = templates(REPOSITORY)
AT = Path("/opt/shardhub")
SETTINGS = "etc/shardhub/hub.toml"
UNITS = "etc/systemd/system"


def install(system: Path, **wish: object) -> Plan:
    plan = make(Wish(**wish), AT, system)  # type: ignore[arg-type]  # of any field
    apply(due(plan, TEXTS, system))
    return plan


def write(system: Path, text: str) -> Path:
    path = system / SETTINGS
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_where_nothing_is_the_defaults_are_installed(tmp_path: Path) -> None:
    plan = install(tmp_path)
    assert (plan.units.shards, plan.units.feeds, plan.units.user) == (4, ("bus",), "shardhub")
    settings = config.load(tmp_path / SETTINGS, {})
    assert (settings.hub.shards, settings.hub.feeds) == (4, ["bus"])
    assert settings.hub.runtime_dir == "/run/shardhub"
    assert settings.keys.file == "/var/lib/shardhub/keys.json"
    unit = (tmp_path / UNITS / "hub-shard@.service").read_text()
    assert "\nExecStart=/opt/shardhub/scripts/hub shard %i\n" in unit
    assert due(plan, TEXTS, tmp_path) == []


def test_rule_1_of_the_operators_file_only_what_units_need_is_changed(tmp_path: Path) -> None:
    path = write(tmp_path, "# mine\n[hub]\nshards = 3 # three\n\n[websocket]\nport = 9000\n")
    install(tmp_path, shards=6)
    text = path.read_text()
    assert text.startswith("# mine\n[hub]\nshards = 6\nfeeds = ")
    assert "\n\n[websocket]\nport = 9000\n" in text
    assert tomllib.loads(text)["hub"]["shards"] == 6
    before = text
    install(tmp_path, shards=6)
    assert path.read_text() == before


def test_rule_1_what_cannot_be_changed_there_is_told(tmp_path: Path) -> None:
    write(tmp_path, "hub = { shards = 3 }\n")
    with pytest.raises(ConfigError, match=r"hub\.toml: say hub\.shards = 6 there"):
        install(tmp_path, shards=6)


def test_rule_1_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    write(tmp_path, "[hub]\nshard = 3\n")
    with pytest.raises(ConfigError, match=r"did you mean hub\.shards"):
        install(tmp_path)
    with pytest.raises(ConfigError, match="there is no feed 'buss'"):
        install(tmp_path / "other", feeds=("buss",))


def test_rule_1_the_operators_keys_stay_where_they_are(tmp_path: Path) -> None:
    write(tmp_path, '[keys]\nfile = "/home/me/keys.json"\n')
    install(tmp_path)
    assert config.load(tmp_path / SETTINGS, {}).keys.file == "/home/me/keys.json"
    unit = (tmp_path / UNITS / "hub-shard@.service").read_text()
    assert "ProtectHome=read-only" in unit, "or it could not read them"


def test_rule_1_files_for_nats_may_be_in_a_home(tmp_path: Path) -> None:
    write(tmp_path, '[nats]\ncreds_file = "/home/me/edge.creds"\n')
    install(tmp_path)
    unit = (tmp_path / UNITS / "hub-feed@.service").read_text()
    assert "ProtectHome=read-only" in unit, "or it could not read them"


def test_rule_2_what_is_not_asked_for_stays(tmp_path: Path) -> None:
    install(tmp_path, shards=2, feeds=("sim", "bus"), user="trader")
    plan = install(tmp_path)
    assert (plan.units.shards, plan.units.feeds) == (2, ("sim", "bus"))
    assert plan.units.user == "trader"
    assert install(tmp_path, user="other").units.user == "other"


def test_the_environment_of_who_installs_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_SHARDS", "9")
    assert make(Wish(), AT, tmp_path).units.shards == 4


def test_what_runs_is_known_by_the_target_and_by_what_somebody_has_enabled(tmp_path: Path) -> None:
    assert instances("hub", tmp_path) == []
    plan = install(tmp_path, shards=1)
    assert instances("hub", tmp_path) == plan.units.instances
    links = tmp_path / UNITS / "hub.target.wants"
    links.mkdir()
    (links / "hub-shard@7.service").symlink_to("/nowhere")
    assert instances("hub", tmp_path) == [*plan.units.instances, "hub-shard@7.service"]


def test_units_that_somebody_copied_by_hand_are_taken_over_and_others_are_not(
    tmp_path: Path,
) -> None:
    folder = tmp_path / UNITS
    folder.mkdir(parents=True)
    for name in ("hub.target", "hub-router.service"):
        (folder / name).write_text((REPOSITORY / "systemd" / name).read_text())
    install(tmp_path)
    assert (folder / "hub-router.service").read_text().startswith("# Written by")
    (folder / "hub-monitor.service").write_text("[Unit]\nDescription=A hub of USB\n")
    with pytest.raises(StartError, match=r"hub-monitor\.service is there"):
        due(make(Wish(shards=2), AT, tmp_path), TEXTS, tmp_path)


def test_the_units_go_and_the_settings_stay(tmp_path: Path) -> None:
    install(tmp_path)
    apply(gone("hub", tmp_path))
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()] == [SETTINGS]
    assert gone("hub", tmp_path) == []


@pytest.mark.parametrize("text", ['[openalgo]\npath = "/x"\n', '[hub]\nfeeds = ["openalgo"]\n'])
def test_a_hub_for_openalgo_is_installed_elsewhere(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match="hub openalgo install"):
        install(tmp_path)


def test_a_second_hub_is_beside_the_first(tmp_path: Path) -> None:
    first, second = install(tmp_path), install(tmp_path, name="second")
    assert second.units.settings == Path("/etc/shardhub/second.toml")
    assert second.units.directory == "second"
    assert not {*first.units.instances} & {*second.units.instances}
    assert instances("hub", tmp_path) == first.units.instances
