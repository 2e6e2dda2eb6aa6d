"""Which units are a hub's own, and what the journal is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.errors import StartError
from hub.systemd.files import apply, templates
from hub.systemd.journal import command, units_of
from hub.systemd.plan import Wish, due, make

REPOSITORY = Path(__file__).parents[3]
FILES = [f"hub-{role}.service" for role in ("feed@", "monitor", "router", "shard@")]
ALL_IN_ONE = ["hub.service"]


def units(argv: list[str]) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == "--unit"]


def test_the_units_of_a_hub_are_those_that_make_its_directory(tmp_path: Path) -> None:
    for name in ("hub", "second"):
        plan = make(Wish(name=name), Path("/opt/shardhub"), tmp_path)
        apply(due(plan, templates(REPOSITORY), tmp_path))
    (tmp_path / "etc/systemd/system/broken.service").write_bytes(b"\xff")
    assert units_of(Path("/run/shardhub"), tmp_path) == FILES
    assert units_of(Path("/run/second"), tmp_path) == [
        name.replace("hub-", "second-") for name in FILES
    ]
    assert units_of(Path("/run/user/0/shardhub"), tmp_path) == []
    assert units_of(Path("/run/nothing"), tmp_path) == []
    assert units_of(Path("/run/shardhub"), tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], ["hub-feed@*.service", "hub-monitor.service", "hub-router.service",
              "hub-shard@*.service"]),
        (["router"], ["hub-router.service"]),
        (["shard"], ["hub-shard@*.service"]),
        (["shard-2", "monitor"], ["hub-monitor.service", "hub-shard@2.service"]),
        (["feed-bus"], ["hub-feed@bus.service"]),
    ],
)  # fmt: skip
def test_roles_are_units(roles: list[str], expected: list[str]) -> None:
    argv = command(FILES, roles)
    assert argv[0] == "journalctl"
    assert units(argv) == expected
    assert not [word for word in argv if word.startswith("--grep")]


def test_a_role_without_a_unit_is_told_and_not_all_of_the_journal_shown() -> None:
    with pytest.raises(StartError, match="no unit of this hub runs supervisor"):
        command(FILES, ["supervisor"])


def test_in_one_unit_roles_are_looked_for_in_the_lines() -> None:
    assert units(command(ALL_IN_ONE, ["router"])) == ALL_IN_ONE
    assert command(ALL_IN_ONE, ["router", "shard"])[-1] == "--grep=^[A-Z]+ +(router |shard-)"
    assert command(ALL_IN_ONE, []) == ["journalctl", "--unit", "hub.service"]


def test_what_is_wanted_is_told_to_the_journal() -> None:
    assert command(["hub-router.service"], [], follow=True, since="2026-11-26 09:15:00",
                   level="warning", lines=20, as_json=True)[3:] == [
        "--since=2026-11-26 09:15:00", "--priority=4", "--lines=20", "--follow", "--output=json",
    ]  # fmt: skip
