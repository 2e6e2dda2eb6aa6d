"""What `hub doctor` thinks of figures.

1. `bad` when a hub cannot run so, `warn` when it runs worse than it could.
2. Each that is not ok says what to type.
3. What cannot be seen is not a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from cli import checks
from cli.checks import Finding, Machine, Port, State
from hub.core.settings import Hub, Settings

GIB = 1 << 30
GOOD = Machine(
    files=1 << 20, cores=8, memory_bytes=16 * GIB, swappiness=60, somaxconn=4096, syn_backlog=4096,
    syn_cookies=0, conntrack=(10, 262_144), clock_synchronised=True, clock_error_s=0.002,
    governors=frozenset({"performance"}), disk_bytes=50 * GIB, disk="/run",
)  # fmt: skip
SETTINGS = Settings(hub=Hub(shards=4))


def examine(machine: Machine, *, running: bool = False) -> list[Finding]:
    return [
        checks.descriptors(machine, SETTINGS),
        *checks.kernel(machine),
        *checks.clock(machine),
        *checks.cpu(machine, SETTINGS),
        checks.memory(machine, SETTINGS, running=running),
        *checks.disk(machine),
    ]


def off(found: Iterable[Finding]) -> dict[str, State]:
    return {one.what: one.state for one in found if one.state is not State.OK}


def test_of_a_good_machine_all_is_ok_and_nothing_is_to_be_mended() -> None:
    found = examine(GOOD)
    assert off(found) == {}
    assert not [one.mend for one in found if one.mend]
    assert len(found) == 10


@pytest.mark.parametrize(
    ("change", "what", "state", "says", "mend"),
    [
        ({"files": 512}, "descriptors", "bad", "512", "limits.d"),
        ({"files": 4096}, "descriptors", "warn", "16,128 clients, fewer than", "limits.d"),
        ({"somaxconn": 128}, "net.core.somaxconn", "warn", "128", "net.core.somaxconn=4096"),
        ({"syn_backlog": 256}, "net.ipv4.tcp_max_syn_backlog", "warn", "256", "backlog=4096"),
        ({"conntrack": (900, 1000)}, "net.netfilter.nf_conntrack_max", "warn", "900 of 1,000",
         "nf_conntrack_max=4000"),
        ({"swapped_bytes": GIB}, "vm.swappiness", "warn", "1.0 GiB", "vm.swappiness=10"),
        ({"clock_synchronised": False}, "clock", "warn", "not synchronised", "timedatectl"),
        ({"clock_error_s": 0.25}, "clock", "warn", "250 ms", "chrony"),
        ({"cores": 1.5}, "cores", "warn", "1.5 for 4 shards", "--shards 1"),
        ({"governors": frozenset({"powersave"})}, "CPU governor", "warn", "slow", "cpupower"),
        ({"memory_bytes": 100 << 20}, "memory", "bad", "100 MiB", "hub.shards"),
        ({"memory_bytes": 680 << 20}, "memory", "warn", "little", "end something"),
        ({"disk_bytes": 1 << 20}, "log file", "warn", "1 MiB free at /run", "hub.log_file"),
    ],
)  # fmt: skip
def test_what_is_off_is_told_with_its_figure_and_what_to_type(
    change: dict[str, Any], what: str, state: str, says: str, mend: str
) -> None:
    found = examine(GOOD._replace(**change))
    assert off(found) == {what: State(state)}
    (one,) = [one for one in found if one.what == what]
    assert says in one.found
    assert mend in one.mend


@pytest.mark.parametrize(
    "change",
    [
        {"syn_backlog": 128, "syn_cookies": 1},
        {"swapped_bytes": GIB, "swappiness": 10},
        {"governors": frozenset({"powersave by intel_pstate"})},
        {"swapped_bytes": 1 << 20},
    ],
)
def test_what_does_not_matter_is_ok(change: dict[str, Any]) -> None:
    assert off(examine(GOOD._replace(**change))) == {}


def test_rule_3_what_cannot_be_seen_is_no_finding() -> None:
    found = examine(Machine(files=1 << 20, cores=8, memory_bytes=16 * GIB))
    assert [one.what for one in found] == ["descriptors", "cores", "memory"]


def test_a_hub_that_runs_has_its_memory_already() -> None:
    little = GOOD._replace(memory_bytes=300 << 20)
    assert off(examine(little)) == {"memory": State.BAD}
    assert off(examine(little, running=True)) == {}


@pytest.mark.parametrize(
    ("port", "state", "says", "mend"),
    [
        (Port("bus.port", "127.0.0.1", 5555), "ok", "127.0.0.1:5555 is free", ""),
        (Port("bus.port", "127.0.0.1", 0), "ok", "picked", ""),
        (Port("bus.port", "::", 5555, "python, pid 7", True, 7), "ok", "this hub's", ""),
        (Port("bus.port", "::", 5555, "nginx, pid 7", False, 7), "bad", "nginx, pid 7",
         "`kill 7` ends it; or give the hub another bus.port"),
        (Port("bus.port", "::", 5555, "a process, pid 0", None, 0), "warn", "may not see", "sudo"),
        (Port("bus.port", "::", 5555, "a process, pid 9", None, 9), "bad", "pid 9", "kill 9"),
    ],
)  # fmt: skip
def test_a_port_is_free_or_this_hubs_or_in_the_way(
    port: Port, state: str, says: str, mend: str
) -> None:
    (found,) = checks.ports([port])
    assert (found.what, found.state) == ("bus.port", State(state))
    assert says in found.found
    assert mend in found.mend
    assert bool(mend) == bool(found.mend)
