"""Tests of hub/runtime/child.py."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from hub.core.errors import HubError
from hub.runtime import child
from hub.runtime.role import LEASH

_LATER = """
import sys, time
sys.stderr.write("a warning\\n")
sys.stderr.flush()
time.sleep(0.2)
"""

_SLEEPS = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(30)"


def _work(program: str, within_s: float = 20.0) -> list[bytes]:
    lines: list[bytes] = []
    asyncio.run(child.work(["-c", program], within_s, lines.append))
    return lines


def _is_gone(pid: int) -> bool:
    """Whether there is no such process, not even one that has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_it_prints_comes_by_lines() -> None:
    assert _work("print(1); print(2)") == [b"1\n", b"2\n"]


def test_it_is_the_last_thing_said_that_is_told() -> None:
    """A warning may have come long before."""
    with pytest.raises(HubError, match=r"^the reason$"):
        _work(_LATER + 'sys.exit("the reason")')


def test_of_much_that_is_said_the_last_is_told() -> None:
    with pytest.raises(HubError, match=r"^the reason$"):
        _work('import sys\nsys.stderr.write("x\\n" * 100_000)\nsys.exit("the reason")')


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


def test_who_takes_too_long_is_gone_afterwards() -> None:
    lines: list[bytes] = []
    with pytest.raises(HubError, match="not done"):
        asyncio.run(child.work(["-c", _SLEEPS], 2.0, lines.append))
    assert _is_gone(int(lines[0]))


def test_who_is_cancelled_leaves_no_process_and_no_task() -> None:
    async def scene() -> int:
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(
            child.work(["-c", _SLEEPS], 60.0, lambda line: pid.set_result(int(line)))
        )
        async with asyncio.timeout(30):
            await pid
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return pid.result()

    assert _is_gone(asyncio.run(scene()))


def test_what_ties_this_process_to_its_parent_is_not_inherited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ties = (LEASH, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
    for name in (*ties, "SHARDHUB_OTHER"):
        monkeypatch.setenv(name, "/x")
    program = f"import os\nfor name in {(*ties, 'SHARDHUB_OTHER')}:\n"
    assert _work(program + "    if name in os.environ: print(name)") == [b"SHARDHUB_OTHER\n"]


def test_who_says_things_without_end_is_killed_all_the_same() -> None:
    async def scene() -> None:
        async with asyncio.timeout(20):
            await child.work(
                ["-c", 'import os\nwhile True: os.write(2, b"x" * 60_000)'], 1.0, lambda _: None
            )

    with pytest.raises(HubError, match=r"^it was not done after 1 s$"):
        asyncio.run(scene())
