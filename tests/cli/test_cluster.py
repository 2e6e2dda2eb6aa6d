"""`hub status --cluster` against a fake router, and what it draws."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.cluster import is_well, picture

NOW_S = 1_700_000_000.0
NATS = {
    "server": "nats-1:4222", "connected": True, "reconnects": 0, "in_msgs": 1200, "out_msgs": 34000,
    "in_bytes": 1 << 20, "out_bytes": 5 << 20, "pending_bytes": 0, "dropped": 0, "slow": 0,
    "rtt_ms": 0.4,
}  # fmt: skip
CLUSTER: dict[str, Any] = {
    "machine": "desk1", "role": "ingest", "nats": NATS, "subjects": 12,
    "machines": [
        {"name": "desk1", "role": "ingest", "version": "0.9.0", "since_s": NOW_S - 3720,
         "heard_s": 0.4, "shards": 0, "problem": "", "in_s": 5000.0,
         "feeds": [
             {"name": "angel@desk", "keys": 1200,
              "lease": {"state": "active", "holder": "desk1", "left_s": 4.2}},
             {"name": "sim@desk1", "keys": 250, "lease": None},
         ],
         "leases": [{"edge": "edge1", "keys": 370, "left_s": 4.6}]},
        {"name": "desk2", "role": "ingest", "version": "0.9.0", "since_s": NOW_S - 60,
         "heard_s": 0.9, "shards": 0, "problem": "", "leases": [],
         "feeds": [{"name": "angel@desk", "keys": 0,
                    "lease": {"state": "standby", "holder": "desk1", "left_s": 4.2}}]},
        {"name": "edge1", "role": "edge", "version": "0.9.0", "since_s": NOW_S - 5, "heard_s": 0.1,
         "lag_ms": 1.26, "shards": 4, "problem": "", "feeds": [], "leases": []},
    ],
}  # fmt: skip


def status(role: str = "ingest") -> dict[str, Any]:
    return {"t": "status", "hub": {"nats": {"role": role, "servers": []}} if role else {}}


def drawn(found: dict[str, Any], width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None, record=True, file=None)
    with console.capture() as caught:
        console.print(picture(found, NOW_S))
    return [line.rstrip() for line in caught.get().splitlines()]


def changed(**machine: Any) -> dict[str, Any]:
    """The same, with something else about the edge."""
    found = copy.deepcopy(CLUSTER)
    found["machines"][2] |= machine
    return found


def row(lines: list[str], name: str) -> list[str]:
    return next(line.split() for line in lines if line.startswith(name))


def test_it_asks_the_process_that_knows_of_the_others(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    fake = answer(status=[status()], cluster=[{"t": "cluster", "cluster": CLUSTER}])
    text = hub("status", "--cluster", "--runtime-dir", runtime_dir).stdout
    assert "angel@desk" in text
    assert fake.asked[1] == {"t": "cluster", "to": "uplink"}


def test_an_edge_asks_its_feed_and_a_script_gets_all_of_it(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    fake = answer(status=[status("edge")], cluster=[{"t": "cluster", "cluster": CLUSTER}])
    text = hub("status", "--cluster", "--json", "--runtime-dir", runtime_dir).stdout
    assert json.loads(text) == CLUSTER
    assert fake.asked[1]["to"] == "feed-nats"


def test_a_hub_that_is_alone_says_how_to_be_part_of_one(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    answer(status=[status("")])
    told = hub("status", "--cluster", "--runtime-dir", runtime_dir, rc=1).stderr
    assert "this hub is alone" in told
    assert "`hub start --publish nats://HOST`" in told
    assert "`hub start --bus nats://HOST`" in told


def test_a_process_that_is_away_is_named(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(status=[status()], cluster=[{"t": "absent"}])
    told = hub("status", "--cluster", "--runtime-dir", runtime_dir, rc=69).stderr
    assert "has no uplink just now" in told


def test_machines_feeds_and_leases_are_tables() -> None:
    lines = drawn(CLUSTER)
    assert lines[0] == "desk1   an ingest · 2 ingests · 1 edge"
    assert lines[1].split(" · ") == [
        "NATS  nats-1:4222", "rtt 0.4 ms", "12 subjects", "in 1,200 (1.0 MiB)",
        "out 34,000 (5.0 MiB)",
    ]  # fmt: skip
    assert row(lines[1:], "desk1  ")[:6] == ["desk1", "ingest", "0.9.0", "1h02m", "0.4", "s"]
    assert row(lines, "edge1  ")[1:8] == ["edge", "0.9.0", "5s", "0.1", "s", "1.3", "ms"]
    feeds = lines[next(at for at, line in enumerate(lines) if line.startswith("feed")) :]
    assert feeds[2].split(maxsplit=3) == ["angel@desk", "desk1", "1,200", "active, 4.2 s left"]
    assert feeds[3].split(maxsplit=3) == ["angel@desk", "desk2", "0", "standby, desk1 has it"]
    assert feeds[4].split() == ["sim@desk1", "desk1", "250", "·"]
    held = lines[next(at for at, line in enumerate(lines) if line.startswith("edge ")) :]
    assert held[2].split() == ["edge1", "desk1", "370", "4.6", "s", "left"]
    assert is_well(CLUSTER)


@pytest.mark.parametrize("width", [80, 60])
def test_it_fits_a_narrow_terminal(width: int) -> None:
    assert max(map(len, drawn(CLUSTER, width))) <= width


def test_a_machine_that_is_silent_or_has_a_problem_is_told() -> None:
    silent = changed(heard_s=12.0)
    assert "silent for 12s" in "\n".join(drawn(silent))
    assert not is_well(silent)
    ill = changed(problem="no machine has a feed")
    assert drawn(ill)[-1] == "edge1: no machine has a feed"
    assert not is_well(ill)
    assert is_well(changed(heard_s=4.9)), "NATS may take as long to connect anew"


def test_nats_that_is_away_is_told_and_1(hub: Any, answer: Any, runtime_dir: Path) -> None:
    away = CLUSTER | {"nats": NATS | {"connected": False, "server": "", "dropped": 7}}
    told = drawn(away | {"machines": changed(heard_s=12.0)["machines"]})
    assert row(told, "edge1  ")[4:6] == ["·", "1.3"], "it is we who hear nobody"
    assert "silent" not in "\n".join(told)
    answer(status=[status()], cluster=[{"t": "cluster", "cluster": away | {"machines": []}}])
    text = hub("status", "--cluster", "--runtime-dir", runtime_dir, rc=1).stdout
    assert "NATS  away\n      7 messages not sent\n" in text
    assert "No machine has been heard yet." in text
    assert "NATS is away: nothing goes to other machines" in text


def test_what_is_out_of_the_ordinary_on_the_way_is_told() -> None:
    more = NATS | {"reconnects": 2, "slow": 1, "pending_bytes": 3 << 20}
    told = drawn(CLUSTER | {"nats": more})[2]
    assert told == "      3.0 MiB wait · 2 reconnects · 1 time too slow for NATS"
