"""Prometheus's own judge of files, for tests."""

from __future__ import annotations

import shutil
import subprocess

import pytest

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="there is no promtool (apt-get install --no-install-recommends prometheus)",
)


def promtool(*arguments: str, given: str = "") -> str:
    """What it says, which must not be that something is wrong."""
    assert PROMTOOL is not None
    said = subprocess.run(
        [PROMTOOL, *arguments], input=given, capture_output=True, text=True, timeout=55, check=False
    )  # days of rules in seconds, and on a busy machine in more of them
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr
