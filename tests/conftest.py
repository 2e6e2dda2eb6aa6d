"""How hypothesis runs here: machines are busy, so nothing has a deadline; CI tries less. And what
failed, in short, for the end of `scripts/test`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "hub",
    deadline=None,
    max_examples=25 if os.environ.get("CI") == "true" else 100,
    stateful_step_count=25,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hub")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a failure in the file that SHARDHUB_FAILURES names; workers leave that to pytest."""
    name = os.environ.get("SHARDHUB_FAILURES")
    if name and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(name).open("a", encoding="utf-8") as notes:
            why = str(report.longrepr).splitlines()[-6:]
            notes.write("\n".join([f"{report.when} {report.nodeid}", *why, ""]))
