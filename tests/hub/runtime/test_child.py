"""Tests of hub/runtime/child.py."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.core.errors import HubError
from hub.runtime import child

_LATER = """
import sys, time
sys.stderr.write("a warning\\n")
sys.stderr.flush()
time.sleep(0.2)
"""


def _work(program: str, within_s: float = 20.0) -> list[bytes]:
    lines: list[bytes] = []
    asyncio.run(child.work(["-c", program], within_s, lines.append))
    return lines


def test_what_it_prints_comes_by_lines() -> None:
    assert _work("print(1); print(2)") == [b"1\n", b"2\n"]


def test_it_is_the_last_thing_said_that_is_told() -> None:
    """A warning may have come long before."""
    with pytest.raises(HubError, match=r"^the reason$"):
        _work(_LATER + 'sys.exit("the reason")')


def test_who_says_nothing_has_a_status() -> None:
    with pytest.raises(HubError, match=r"^it ended with status 3$"):
        _work("raise SystemExit(3)")


def test_who_says_much_is_not_held_up() -> None:
    assert _work(_LATER + 'sys.stderr.write("x" * 500_000)\nprint("done")') == [b"done\n"]


def test_who_takes_too_long_is_killed_whatever_is_in_its_pipes() -> None:
    program = _LATER + 'sys.stderr.write("x" * 500_000)\nprint("x\\n" * 300_000)\ntime.sleep(60)'
    began = time.monotonic()
    with pytest.raises(HubError, match=r"^it was not done after 1 s$"):
        _work(program, 1.0)
    assert time.monotonic() - began < 30
