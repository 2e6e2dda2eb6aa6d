"""The units of one hub.

1. All names begin with the hub's own.
2. They may do what those of systemd/ may do, and more only where it is asked for.
3. Each file begins with the mark.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hub.systemd.files import templates
from hub.systemd.units import TEMPLATES, Units, files, paths, patterns, plain, unnameable, wanted_by

TEXTS = templates(Path(__file__).parents[3])
MARK = "# Mine."
UNITS = Units(
    name="hub",
    directory="shardhub",
    user="shardhub",
    settings=Path("/etc/shardhub/hub.toml"),
    repository=Path("/opt/shardhub"),
    shards=2,
    feeds=("bus", "sim"),
    uplink=True,
)
SYSTEM = Path("etc/systemd/system")


def made(units: Units = UNITS) -> dict[str, str]:
    return {path.name: text for path, text in files(units, TEXTS, MARK).items()}


def test_as_they_lie_in_the_repository_they_are_those_of_the_usual_place() -> None:
    """A target says what there is, and the user's own group is not named."""
    found = made()
    for name in TEMPLATES:
        assert found[name] == f"{MARK}\n" + TEXTS[name].replace("Group=shardhub\n", "")


def test_rule_1_a_second_hub_shares_no_name_with_the_first() -> None:
    second = replace(UNITS, name="second", directory="second", settings=Path("/etc/shardhub/2"))
    assert not made().keys() & made(second).keys()
    assert {str(path.name) for path in paths("second")} == made(second).keys()
    text = made(second)["second-shard@.service"].splitlines()
    assert {"PartOf=second.target", "RuntimeDirectory=second", "StateDirectory=second"} <= {*text}
    assert "Environment=HUB_CONFIG=/etc/shardhub/2" in text
    assert "After=network.target second-router.service" in text


def test_the_target_wants_every_process_and_can_be_read_again() -> None:
    target = made()["hub.target"]
    assert wanted_by(target) == UNITS.instances
    assert UNITS.instances[2:] == [
        "hub-feed@bus.service",
        "hub-feed@sim.service",
        "hub-shard@0.service",
        "hub-shard@1.service",
        "hub-uplink.service",
    ]


def test_what_is_not_run_has_no_unit() -> None:
    assert made().keys() - made(replace(UNITS, uplink=False)).keys() == {"hub-uplink.service"}
    assert made().keys() - made(replace(UNITS, shards=0)).keys() == {"hub-shard@.service"}


@pytest.mark.parametrize(
    ("change", "unit", "line", "others"),
    [
        ({"writable": ("/data",)}, "hub-feed@.service", "ReadWritePaths=/data", 2),
        ({"writable": ("-/data",)}, "hub-monitor.service", "ReadWritePaths=-/data", 2),
        ({"jit": True}, "hub-feed@.service", "MemoryDenyWriteExecute=no", 1),
        ({"touched": (Path("/home/a/python"),)}, "hub-shard@.service", "ProtectHome=read-only", 5),
        ({"group": "web"}, "hub-router.service", "Group=web", 5),
    ],
)
def test_rule_2_more_is_allowed_only_where_it_is_asked_for(
    change: dict[str, object], unit: str, line: str, others: int
) -> None:
    assert not any(line in text.splitlines() for text in made().values())
    found = made(replace(UNITS, **change))  # type: ignore[arg-type]  # of any field
    assert line in found[unit].splitlines()
    assert sum(line in text.splitlines() for text in found.values()) == others


def test_rule_3_every_file_has_the_mark() -> None:
    assert all(text.startswith(f"{MARK}\n") for text in made().values())


def test_patterns_name_all_processes_and_not_all_that_begins_so() -> None:
    found = patterns("hub")
    assert "hub-shard@*.service" in found
    assert all(one.startswith("hub-") for one in found)
    assert len(found) == len(TEMPLATES)


def test_what_a_unit_cannot_name_is_refused() -> None:
    assert unnameable((Path("/opt/hub"), Path("/opt/hub-2"))) == []
    (problem,) = unnameable((Path("/opt/hub"), Path("/opt/my hub")))
    assert "/opt/my hub" in problem
    assert not plain("50%")
