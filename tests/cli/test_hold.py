"""A process is held before it is looked at again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.hold import has_left, held, terminate
from hub.core.errors import HubError

GONE = HubError("gone")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_what_is_held_is_told_to_leave_and_waited_for(process: subprocess.Popen[bytes]) -> None:
    with held(process.pid, lambda: True, GONE) as fd:
        assert not has_left(fd, 0)
        terminate(fd, process.pid)
        assert has_left(fd, 20)
        assert process.wait() in {-signal.SIGTERM, 1}
        terminate(fd, process.pid)  # it has left; nobody else is hit


def test_one_that_is_no_longer_meant_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(HubError, match="gone"), held(process.pid, lambda: False, GONE) as fd:
        terminate(fd, process.pid)
    assert process.poll() is None


def test_one_that_has_left_is_not_looked_at(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with pytest.raises(HubError, match="gone"), held(process.pid, _never, GONE):
        raise AssertionError("there is nothing to hold")


def _never() -> bool:
    raise AssertionError("nobody is there to be looked at")
