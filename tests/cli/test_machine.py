"""The figures of a machine: this one's, and made-up ones."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from cli import machine
from cli.machine import look


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any figures."""
    for name, folder in (("_PROC", "proc"), ("_GROUP", "group"), ("_CPUS", "cpus")):
        monkeypatch.setattr(machine, name, tmp_path / folder)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    found = look(tmp_path / "not" / "there" / "hub.log")
    assert found.files == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert 0 < found.cores <= (os.cpu_count() or 1)
    assert found.memory_bytes > 1 << 20
    assert found.somaxconn
    assert found.disk_bytes
    assert found.disk == str(tmp_path)
    assert look(None).disk_bytes is None


def test_what_is_not_there_is_none(made_up: Path) -> None:
    found = look(None)
    assert (found.somaxconn, found.swappiness, found.conntrack) == (None, None, None)
    assert found.governors == frozenset()
    assert found.cores == len(os.sched_getaffinity(0))


def test_the_kernels_settings_are_read(made_up: Path) -> None:
    write(made_up / "proc/net/core/somaxconn", "128")
    write(made_up / "proc/vm/swappiness", "60")
    write(made_up / "proc/net/ipv4/tcp_max_syn_backlog", "256")
    write(made_up / "proc/net/netfilter/nf_conntrack_count", "7")
    write(made_up / "proc/net/netfilter/nf_conntrack_max", "100")
    found = look(None)
    assert (found.somaxconn, found.swappiness, found.syn_backlog) == (128, 60, 256)
    assert found.conntrack == (7, 100)


def test_a_container_has_what_it_is_given(made_up: Path) -> None:
    write(made_up / "group/cpu.max", "50000 100000")
    write(made_up / "group/memory.max", str(300 << 20))
    write(made_up / "group/memory.current", str(200 << 20))
    write(made_up / "group/memory.stat", f"anon 1\ninactive_file {50 << 20}")
    found = look(None)
    assert (found.cores, found.memory_bytes) == (0.5, 150 << 20)
    write(made_up / "group/cpu.max", "max 100000")
    write(made_up / "group/memory.max", "max")
    found = look(None)
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 1 << 20


def test_governors_are_told_with_a_driver_that_has_a_meaning_of_its_own_for_them(
    made_up: Path,
) -> None:
    for number, driver in enumerate(("acpi-cpufreq", "intel_pstate")):
        folder = made_up / f"cpus/cpu{number}/cpufreq"
        write(folder / "scaling_driver", driver)
        write(folder / "scaling_governor", "powersave")
    assert look(None).governors == {"powersave", "powersave by intel_pstate"}


@pytest.mark.parametrize(("status", "synchronised"), [(0, True), (0x40, False), (0x2001, True)])
def test_the_clock_is_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, status: int, synchronised: bool
) -> None:
    def adjtimex(buffer: Any) -> int:
        machine._TIMEX.pack_into(buffer, 0, 0, 11, 12, 2500, 13, status)
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(adjtimex=adjtimex))
    found = look(None)
    assert (found.clock_synchronised, found.clock_error_s) == (synchronised, 0.0025)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(adjtimex=lambda _: -1))
    assert look(None).clock_synchronised is None


def test_of_a_hub_that_runs_its_own_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "rlimit", lambda *_: (1, 4321))
    assert look(None, os.getpid()).files == 4321
    assert look(None, 1 << 30).files == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
