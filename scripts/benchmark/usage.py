"""What processes use: CPU, memory, context switches; and the machine they run on."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

_PACKAGES = ("pyzmq", "websockets", "uvloop", "msgpack", "msgspec")


class Reading(NamedTuple):
    """The counters of some processes at one moment, by name."""

    at_s: float
    cpu_s: dict[str, float]
    switches: dict[str, int]
    rss_bytes: dict[str, int]
    machine_busy_s: float  # all cores, all processes


class Usage(NamedTuple):
    """What they used between two readings."""

    seconds: float
    cpu: dict[str, float]  # by name, in % of one core
    switches: float  # of all, per second
    rss_bytes: int  # of all, at the end
    machine: float  # all cores, all processes, in % of one core

    @property
    def total(self) -> float:
        """CPU of all, in % of one core."""
        return sum(self.cpu.values())


def read(pids: Mapping[str, int]) -> Reading:
    """Read the counters; a process that is gone counts as nothing."""
    reading = Reading(time.monotonic(), {}, {}, {}, _machine_busy_s())
    for name, pid in pids.items():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            reading.cpu_s[name] = times.user + times.system
            reading.rss_bytes[name] = process.memory_info().rss
            reading.switches[name] = _switches(pid)
    return reading


def between(before: Reading, after: Reading) -> Usage:
    """The usage from one reading to the next."""
    seconds = after.at_s - before.at_s
    return Usage(
        seconds,
        {
            name: (cpu_s - before.cpu_s.get(name, 0.0)) / seconds * 100
            for name, cpu_s in after.cpu_s.items()
        },
        (sum(after.switches.values()) - sum(before.switches.values())) / seconds,
        sum(after.rss_bytes.values()),
        (after.machine_busy_s - before.machine_busy_s) / seconds * 100,
    )


def machine() -> str:
    """One line on what all this was measured on."""
    packages = " ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{psutil.cpu_count()} cores, {_cpu_model()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {packages}, "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    )


def _machine_busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _switches(pid: int) -> int:
    """Context switches of all threads of a process; psutil counts the first thread alone."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):
            for line in status.read_text().splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
