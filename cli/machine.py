"""The figures of this machine for `hub doctor`: only read, and None where they cannot be."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from contextlib import suppress
from pathlib import Path

import psutil

from cli.checks import Machine

_PROC = Path("/proc/sys")
_GROUP = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")
_TIMEX = struct.Struct("@ixxxxqqqqi")  # up to `status`: struct timex of adjtimex(2), 64 bit
_TIMEX_BYTES = 512
_UNSYNCHRONISED = 0x40
_CLEVER = ("intel_pstate", "amd-pstate", "amd-pstate-epp")
"""Drivers whose `powersave` makes cores fast when there is work."""


def look(log: Path | None, pid: int = 0) -> Machine:
    """What can be seen from here. `log` is where the log file is or will be; of the process `pid`
    the limit of descriptors counts, where it may be seen, in place of this one's."""
    synchronised, error_s = _clock()
    disk_bytes, disk = _disk(log)
    return Machine(
        files=_files(pid),
        cores=_cores(),
        memory_bytes=_memory(),
        swapped_bytes=psutil.swap_memory().used,
        swappiness=_number(_PROC / "vm/swappiness"),
        somaxconn=_number(_PROC / "net/core/somaxconn"),
        syn_backlog=_number(_PROC / "net/ipv4/tcp_max_syn_backlog"),
        syn_cookies=_number(_PROC / "net/ipv4/tcp_syncookies"),
        conntrack=_conntrack(),
        clock_synchronised=synchronised,
        clock_error_s=error_s,
        governors=_governors(),
        disk_bytes=disk_bytes,
        disk=disk,
    )


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


def _files(pid: int) -> int:
    if pid:
        with suppress(psutil.Error, OSError):
            return int(psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)[1])
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _cores() -> float:
    """What may be used: of this machine, and of the time that a container is given."""
    cores = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        share, period = (_GROUP / "cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, int(share) / int(period))  # `max` is no number
    return cores


def _memory() -> int:
    """What can be had: of this machine, and of what a container is given, whose files that have
    been read give way."""
    free = psutil.virtual_memory().available
    most, used = _number(_GROUP / "memory.max"), _number(_GROUP / "memory.current")
    if most is None or used is None:
        return free
    with suppress(OSError, ValueError):
        rows = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        used -= next((int(row.split()[1]) for row in rows if row.startswith("inactive_file ")), 0)
    return min(free, max(0, most - used))


def _conntrack() -> tuple[int, int] | None:
    folder = _PROC / "net/netfilter"
    used, most = _number(folder / "nf_conntrack_count"), _number(folder / "nf_conntrack_max")
    return None if used is None or not most else (used, most)


def _clock() -> tuple[bool | None, float | None]:
    """Whether the kernel's clock is synchronised, and how far it may be off at most."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only asked
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None, None
    except (OSError, AttributeError):
        return None, None
    _, _, _, most_us, _, status = _TIMEX.unpack_from(buffer)
    return not status & _UNSYNCHRONISED, most_us / 1e6


def _governors() -> frozenset[str]:
    """Those of all cores whose driver goes by them."""
    found = set()
    for folder in _CPUS.glob("cpu[0-9]*/cpufreq"):
        with suppress(OSError):
            driver = (folder / "scaling_driver").read_text(encoding="ascii").strip()
            governor = (folder / "scaling_governor").read_text(encoding="ascii").strip()
            found.add(f"{governor} by {driver}" if driver in _CLEVER else governor)
    return frozenset(found)


def _disk(log: Path | None) -> tuple[int | None, str]:
    if log is None:
        return None, ""
    folder = next((one for one in log.absolute().parents if one.exists()), Path("/"))
    with suppress(OSError):
        return psutil.disk_usage(str(folder)).free, str(folder)
    return None, ""
