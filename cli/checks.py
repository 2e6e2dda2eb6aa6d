"""What `hub doctor` thinks of what it has found: figures in, findings out. Pure.

1. A finding is `bad` when a hub cannot run so, `warn` when it runs worse than it could.
2. Each that is not ok says what to type, or where a command cannot know, what to do.
3. What cannot be seen from here is not a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from hub.core.settings import Settings

BACKLOG = 4096
"""Connections that may wait for a shard (docs/operations.md)."""
_RESERVE = 64
"""Descriptors that a shard keeps for itself."""
_LEAST_FILES = 1024
_PROCESS_BYTES = 80 << 20
"""What a process of the hub takes before its first client."""
_LITTLE_BYTES = 100 << 20
_CLOCK_S = 0.1
_SWAPPED_BYTES = 64 << 20
_SYSCTL_FILE = "/etc/sysctl.d/90-shardhub.conf"


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(NamedTuple):
    """One line: what was looked at, how it is, what was found, and what to type."""

    what: str
    state: State
    found: str
    mend: str = ""


class Port(NamedTuple):
    """One of the hub's ports. `holder` is who listens there, empty for nobody; `ours` whether it is
    the hub that is looked at, None where that cannot be seen."""

    setting: str
    host: str
    port: int
    holder: str = ""
    ours: bool | None = False
    pid: int = 0


class Machine(NamedTuple):
    """The figures of this machine; None is what cannot be seen."""

    files: int
    cores: float
    memory_bytes: int
    swapped_bytes: int = 0
    swappiness: int | None = None
    somaxconn: int | None = None
    syn_backlog: int | None = None
    syn_cookies: int | None = None
    conntrack: tuple[int, int] | None = None
    clock_error_s: float | None = None
    clock_synchronised: bool | None = None
    governors: frozenset[str] = frozenset()
    disk_bytes: int | None = None
    disk: str = ""


def ports(found: Sequence[Port]) -> Iterator[Finding]:
    """Whether each port is free, or this hub's."""
    for one in found:
        place = f"{one.host}:{one.port}"
        if one.port == 0:
            yield Finding(one.setting, State.OK, "a free port is picked at each start")
        elif not one.holder:
            yield Finding(one.setting, State.OK, f"{place} is free")
        elif one.ours:
            yield Finding(one.setting, State.OK, f"{place} is this hub's ({one.holder})")
        elif one.ours is None and not one.pid:
            yield Finding(
                one.setting,
                State.WARN,
                f"{place} is taken by a process that this user may not see",
                "type the same with sudo to see which",
            )
        else:
            mend = f"`kill {one.pid}` ends it; or give the hub another {one.setting}"
            yield Finding(one.setting, State.BAD, f"{place} is taken by {one.holder}", mend)


def descriptors(machine: Machine, settings: Settings) -> Finding:
    """Whether there are enough for the clients that the settings allow."""
    what, most, shards = "descriptors", settings.websocket.max_connections, settings.hub.shards
    room = shards * max(0, machine.files - _RESERVE)
    limit = f"{machine.files:,} a process"
    mend = (
        "echo '* hard nofile 1048576' | sudo tee /etc/security/limits.d/90-shardhub.conf; "
        "then log in again (systemd: LimitNOFILE=1048576, Docker: --ulimit nofile=1048576)"
    )
    if machine.files < _LEAST_FILES:
        return Finding(what, State.BAD, f"{limit}, too few to work with", mend)
    if not shards:
        return Finding(what, State.OK, f"{limit}; no clients are served here")
    if most and room < most:
        found = f"{limit}: room for {room:,} clients, fewer than websocket.max_connections"
        return Finding(what, State.WARN, f"{found}, {most:,}", mend)
    return Finding(what, State.OK, f"{limit}: room for {room:,} clients on {shards} shards")


def kernel(machine: Machine) -> Iterator[Finding]:
    """The settings of the kernel that matter when thousands of clients come at once, and what makes
    a process wait for the disk."""
    if machine.somaxconn is not None:
        yield _queue("net.core.somaxconn", machine.somaxconn, "connections wait for a shard")
    if machine.syn_backlog is not None and machine.syn_cookies == 0:
        yield _queue("net.ipv4.tcp_max_syn_backlog", machine.syn_backlog, "handshakes are kept")
    if machine.conntrack is not None:
        used, most = machine.conntrack
        low = used < 0.8 * most
        yield Finding(
            "net.netfilter.nf_conntrack_max",
            State.OK if low else State.WARN,
            f"{used:,} of {most:,} connections tracked"
            + ("" if low else "; beyond that the firewall drops new ones"),
            "" if low else _sysctl("net.netfilter.nf_conntrack_max", 4 * most),
        )
    if machine.swapped_bytes >= _SWAPPED_BYTES and (machine.swappiness or 0) > 10:
        yield Finding(
            "vm.swappiness",
            State.WARN,
            f"{machine.swappiness}, and {_size(machine.swapped_bytes)} are swapped out: a process "
            "that has to be read in again is late",
            _sysctl("vm.swappiness", 10),
        )
    elif machine.swappiness is not None:
        yield Finding("swap", State.OK, f"{_size(machine.swapped_bytes)} in use")


def _queue(name: str, value: int, what: str) -> Finding:
    if value >= BACKLOG:
        return Finding(name, State.OK, f"{value:,}")
    found = f"{value:,}: no more {what}, though {BACKLOG:,} are asked for"
    return Finding(name, State.WARN, found, _sysctl(name, BACKLOG))


def _sysctl(name: str, value: int) -> str:
    return f"echo {name}={value} | sudo tee -a {_SYSCTL_FILE} && sudo sysctl --system"


def clock(machine: Machine) -> Iterator[Finding]:
    """Ages of ticks, sessions of markets and logins at brokers go by it."""
    if machine.clock_synchronised is None:
        return
    error_s = machine.clock_error_s or 0.0
    if not machine.clock_synchronised:
        found = "not synchronised: ages of ticks and logins at brokers go by it"
        yield Finding("clock", State.WARN, found, "sudo timedatectl set-ntp true")
    elif error_s > _CLOCK_S:
        found = f"synchronised, but perhaps {error_s * 1000:,.0f} ms off"
        yield Finding("clock", State.WARN, found, "sudo apt install chrony")
    else:
        yield Finding("clock", State.OK, f"synchronised, at most {error_s * 1000:.1f} ms off")


def cpu(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Router and shards keep a core busy each when much comes."""
    shards = settings.hub.shards
    found = f"{machine.cores:g} for {f'{shards} shards and ' * bool(shards)}a router"
    if machine.cores < shards:
        better = max(1, int(machine.cores))
        mend = f"set hub.shards to {better}: `hub start --shards {better}`"
        yield Finding("cores", State.WARN, f"{found}: they take turns", mend)
    else:
        yield Finding("cores", State.OK, found)
    if "powersave" in machine.governors:
        found = "powersave: cores stay slow while ticks come"
        mend = "sudo cpupower frequency-set -g performance"
        yield Finding("CPU governor", State.WARN, found, mend)
    elif machine.governors:
        yield Finding("CPU governor", State.OK, ", ".join(sorted(machine.governors)))


def memory(machine: Machine, settings: Settings, *, running: bool) -> Finding:
    """Whether the processes find room; clients and last values come on top."""
    processes = settings.streams + len(settings.hub.feeds) + 3
    needed = 0 if running else processes * _PROCESS_BYTES
    found = f"{_size(machine.memory_bytes)} free"
    if machine.memory_bytes < needed:
        found += f", and {processes} processes need some {_size(needed)}"
        return Finding("memory", State.BAD, found, "set hub.shards lower, or end something else")
    if machine.memory_bytes < needed + _LITTLE_BYTES:
        return Finding("memory", State.WARN, f"{found}, which is little", "end something else")
    return Finding("memory", State.OK, found)


def disk(machine: Machine) -> Iterator[Finding]:
    """Room for the log file."""
    if machine.disk_bytes is None:
        return
    found = f"{_size(machine.disk_bytes)} free at {machine.disk}"
    if machine.disk_bytes < _LITTLE_BYTES:
        mend = "set hub.log_file to a place with more room, or to none"
        yield Finding("log file", State.WARN, f"{found}: the log may lose lines", mend)
    else:
        yield Finding("log file", State.OK, found)


def _size(value: int) -> str:
    if value >= 10 << 30:
        return f"{value / (1 << 30):,.0f} GiB"
    return f"{value / (1 << 30):.1f} GiB" if value >= 1 << 30 else f"{value / (1 << 20):,.0f} MiB"
