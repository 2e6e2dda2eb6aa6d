"""The lock of a hub, held by another process: a process never sees a lock of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.core.errors import StartError
from hub.core.names import LOCK
from hub.runtime.lock import Lock, holder

HOLD = """
import subprocess, sys
from pathlib import Path
from hub.runtime.lock import Lock
lock = Lock(Path(sys.argv[1]))
child = subprocess.Popen(
    [sys.executable, "-c", "import sys; open(int(sys.argv[1])).read()", sys.argv[2]],
    close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
)
print(child.pid, flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.read()
"""

Hold = Callable[[Path], "Holder"]


class Holder(NamedTuple):
    """A process that holds the lock, and the pid of its child, which outlives it."""

    process: subprocess.Popen[bytes]
    child: int


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts a process that holds the lock and has a child of its own."""
    made: list[subprocess.Popen[bytes]] = []
    theirs, ours = os.pipe()

    def start(runtime_dir: Path) -> Holder:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(runtime_dir), str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs],
        )
        made.append(process)
        assert process.stdout
        return Holder(process, int(process.stdout.readline()))

    yield start
    os.close(ours)
    os.close(theirs)
    for process in made:
        process.kill()
        process.communicate()


def test_a_second_hub_at_the_same_directory_is_refused_and_the_first_is_named(
    tmp_path: Path, hold: Hold
) -> None:
    first = hold(tmp_path).process
    for _ in range(2):  # the first refusal takes nothing away
        with pytest.raises(StartError, match=rf"a hub runs already .*\(pid {first.pid}\)"):
            Lock(tmp_path)
    assert holder(tmp_path) == first.pid


def test_two_directories_are_two_hubs(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "b").mkdir()
    one, two = hold(tmp_path), hold(tmp_path / "b")
    assert (holder(tmp_path), holder(tmp_path / "b")) == (one.process.pid, two.process.pid)


def test_a_released_lock_is_nobodys(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path).process
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"released\n"
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


def test_a_hub_that_was_killed_holds_nobody_up_though_its_children_live(
    tmp_path: Path, hold: Hold
) -> None:
    """Children drain for a while after their supervisor; the next hub is not to wait for that."""
    process, child = hold(tmp_path)
    process.kill()
    process.wait()
    os.kill(child, 0)  # it is there
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


def test_what_the_file_says_counts_for_nothing(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    (tmp_path / LOCK).write_text(f"{os.getppid()}\n")
    assert holder(tmp_path) is None
    Lock(tmp_path).release()
