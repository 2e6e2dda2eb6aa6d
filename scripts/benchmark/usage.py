"""What processes use: CPU, memory, context switches; and the machine they run on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

import hub

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
    cores: int  # of the machine

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
            reading.cpu_s[name] = _cpu_s(process)
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
        os.cpu_count() or 1,
    )


def together(parts: Sequence[Usage]) -> Usage:
    """Several stretches of time as one: shares on the average, memory where it was most."""
    seconds = sum(part.seconds for part in parts)

    def mean(values: Iterable[float]) -> float:
        return (
            sum(value * part.seconds for value, part in zip(values, parts, strict=True)) / seconds
        )

    return Usage(
        seconds,
        {name: mean(part.cpu.get(name, 0.0) for part in parts) for name in parts[0].cpu},
        mean(part.switches for part in parts),
        max(part.rss_bytes for part in parts),
        mean(part.machine for part in parts),
        parts[0].cores,
    )


def machine(others: Iterable[str] = ()) -> str:
    """One line on what all this was measured on, and with which `others`."""
    packages = ", ".join(
        [
            f"shardhub {_hub()}",
            *(f"{name} {version(name)}" for name in _PACKAGES),
            *filter(None, others),
        ]
    )
    return (
        f"{psutil.cpu_count()} cores, {_cpu_model()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {packages}, "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    )


def _hub() -> str:
    """The hub's version, with the commit where that is known."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    with suppress(OSError):
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return f"{hub.__version__} {said}".rstrip()
    return hub.__version__


def _machine_busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _cpu_s(process: psutil.Process) -> float:
    """CPU time of all threads that a process has: to the ns where the kernel says so, and in its
    10 ms otherwise, which is a tenth of what a cheap server uses in some seconds."""
    total_ns = 0
    for stat in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError):
            total_ns += int(stat.read_text().split()[0])
    if total_ns:
        return total_ns / 1e9
    times = process.cpu_times()
    return float(times.user + times.system)


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
