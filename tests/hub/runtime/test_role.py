"""What every process of the hub has in common: how it begins, how it is held, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hub.core.errors import FAULT, StartError
from hub.core.settings import Hub, Settings
from hub.runtime import links
from hub.runtime import role as module
from hub.runtime.role import Role

WITHIN_S = 30.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """A runtime directory with a short name."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Example(Role):
    """A role that does what a test asks of it, and notes what happened."""

    def __init__(self, directory: Path, work: Callable[[Example], Awaitable[None]]) -> None:
        super().__init__("example", Settings(hub=Hub(runtime_dir=str(directory), stop_s=0.5)))
        self.work = work
        self.happened: list[str] = []

    async def start(self) -> None:
        self.happened.append("start")
        await self.work(self)

    async def see_off(self) -> None:
        self.happened.append("see off")

    async def drain(self) -> None:
        self.happened.append("drain")


async def lived(role: Role) -> None:
    await asyncio.wait_for(role.live(), WITHIN_S)


def test_a_role_starts_then_drains_when_it_is_told_to_leave(directory: Path) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        role = Example(directory, work)
        await lived(role)
        assert role.happened == ["start", "see off", "drain"]

    asyncio.run(main())


def test_rule_4_a_background_task_that_fails_ends_its_process_in_order(directory: Path) -> None:
    """Heartbeats must not go on as if nothing had happened while half of a process is dead."""

    async def main() -> None:
        async def fails() -> None:
            raise ZeroDivisionError("nobody meant this")

        async def work(role: Example) -> None:
            role.background(fails())

        role = Example(directory, work)
        with pytest.raises(ZeroDivisionError, match="nobody meant this"):
            await lived(role)
        assert role.happened == ["start", "see off", "drain"]

    asyncio.run(main())


def test_rule_4_what_runs_in_the_background_ends_before_the_drain(directory: Path) -> None:
    async def main() -> None:
        async def for_ever(role: Example) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                role.happened.append("ended")

        async def work(role: Example) -> None:
            role.background(for_ever(role))
            asyncio.get_running_loop().call_later(0.01, role.stop)

        role = Example(directory, work)
        await lived(role)
        assert set(role.happened) == {"start", "see off", "ended", "drain"}

    asyncio.run(main())


def test_rule_4_what_runs_in_the_background_goes_on_while_those_who_are_served_are_seen_off(
    directory: Path,
) -> None:
    """Without heartbeats for 3 s a shard is gone for the router, and its clients get no ticks."""

    class Slow(Example):
        async def see_off(self) -> None:
            assert self.common_figures()["leaving"]
            count = self.happened.count("beat")
            while self.happened.count("beat") < count + 3:  # noqa: ASYNC110  # a list has no event
                await asyncio.sleep(0.001)
            self.happened.append("seen off")

    async def main() -> None:
        async def beats(role: Example) -> None:
            while True:
                role.happened.append("beat")
                await asyncio.sleep(0.01)

        async def work(role: Example) -> None:
            assert "leaving" not in role.common_figures()
            role.background(beats(role))
            asyncio.get_running_loop().call_later(0.01, role.stop)

        role = Slow(directory, work)
        await lived(role)
        assert role.happened[-2:] == ["seen off", "drain"]

    asyncio.run(main())


def test_a_seeing_off_that_breaks_is_told_and_the_process_drains_all_the_same(
    directory: Path,
) -> None:
    """Without a goodbye the router goes on sending until it misses the heartbeats."""

    class Breaks(Example):
        async def see_off(self) -> None:
            raise ZeroDivisionError("nobody meant this")

    async def main() -> None:
        async def work(role: Example) -> None:
            role.stop()

        role = Breaks(directory, work)
        with pytest.raises(ZeroDivisionError, match="nobody meant this"):
            await lived(role)
        assert role.happened == ["start", "drain"]

    asyncio.run(main())


def test_systemd_is_told_how_long_it_may_take_to_leave(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its TimeoutStopSec= would end a drain whose settings ask for more."""
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "notify", lambda *lines: told.append(lines))

    async def main() -> None:
        async def work(role: Example) -> None:
            role.stop()

        await lived(Example(directory, work))

    asyncio.run(main())
    assert told[-1] == ("STOPPING=1", "EXTEND_TIMEOUT_USEC=2500000")


def test_who_is_refused_leaves_with_the_reason(directory: Path) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            role.refused("the router speaks version 9")

        with pytest.raises(StartError, match="version 9"):
            await lived(Example(directory, work))

    asyncio.run(main())


@pytest.mark.parametrize("leaves", [False, True])
def test_a_wait_ends_with_its_time_and_when_the_process_is_told_to_leave(
    directory: Path, *, leaves: bool
) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            asyncio.get_running_loop().call_later(0.01, role.stop)
            await role.until(asyncio.Event(), WITHIN_S if leaves else 0.02)

        await lived(Example(directory, work))

    asyncio.run(main())


def test_a_wait_ends_with_its_event(directory: Path) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            event = asyncio.Event()
            event.set()
            await role.until(event, WITHIN_S)
            role.stop()

        await lived(Example(directory, work))

    asyncio.run(main())


def test_readiness_is_told_and_the_watchdog_fed_from_the_roles_own_loop(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unfed, the process is killed as stuck after 30 s; READY is told again with each feed, since
    a supervisor that is paused may have lost it."""
    monkeypatch.setattr(module, "_WATCHDOG_S", 0.0)
    monkeypatch.setattr(module, "_LAG_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "notify"))
        sock.settimeout(WITHIN_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "notify"))
        told: list[str] = []

        async def main() -> None:
            async def work(role: Example) -> None:
                role.background(read(role))

            async def read(role: Example) -> None:
                while sum("WATCHDOG=1" in text for text in told) < 3:
                    told.append((await asyncio.to_thread(sock.recv, 4096)).decode())
                role.stop()

            await lived(Example(directory, work))

        asyncio.run(main())
    assert "READY=1" in told[0]
    assert next(text for text in told if "WATCHDOG=1" in text).split() == ["WATCHDOG=1", "READY=1"]


def test_how_late_the_loop_was_is_told_to_all_who_ask_soon(directory: Path) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            asyncio.get_running_loop().call_later(0.1, time.sleep, 0.5)
            asyncio.get_running_loop().call_later(1.0, role.stop)

        role = Example(directory, work)
        await lived(role)
        assert role.lag_s() == role.lag_s() > 0.1

    asyncio.run(main())


def test_rule_2_the_watchdog_is_fed_often_enough_and_only_lateness_counts_as_lag(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lag that a loop in time shows as well, or in another unit, warns of nothing."""

    async def work(role: Example) -> None: ...

    role, now, fed = Example(directory, work), 100.0, []
    naps = iter([module._LAG_S] * 8 + [module._LAG_S + 0.5] + [module._LAG_S] * 37)
    lags = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds == module._LAG_S
        lags.append(role.common_figures()["lag_ms"])
        now += next(naps)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep, all_tasks=set))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(module, "notify", lambda *lines: fed.append((now, lines[0])))
    with pytest.raises(RuntimeError):  # the naps are over
        asyncio.run(role._pulse())
    assert fed == [(second, "WATCHDOG=1") for second in (100.25, 105.25, 110.25)]
    assert lags == [0.0] * 9 + [500.0] * 6 + [0.0] * 32, "for a beat or two, and no longer"


STUCK = """
import asyncio, sys, time
from hub.runtime.role import _hold_leash

async def main():
    _hold_leash(asyncio.get_running_loop(), lambda: None, 0.0)
    print("held", flush=True)
    while True:
        time.sleep(0.1)  # the loop never turns again

asyncio.run(main())
"""

FAILS = """
import sys
from hub.core.settings import Hub, Settings
from hub.runtime.role import Role, run

class Fails(Role):
    async def start(self):
        self.background(self.fails())
    async def fails(self):
        raise ZeroDivisionError("nobody meant this")
    async def drain(self):
        pass

run("fails", Settings(hub=Hub(runtime_dir=sys.argv[1])), Fails)
"""


def test_rule_1_a_process_that_is_stuck_does_not_outlive_its_parent() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        process.stdin.close()
        assert process.wait(WITHIN_S) == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


def test_rule_4_a_fault_is_told_with_its_traceback_and_has_an_exit_code_of_its_own(
    directory: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILS, str(directory)],
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == FAULT
    assert "fault of the hub itself" in done.stderr
    assert "nobody meant this" in done.stderr


LAST_WORDS = """
import sys
from hub.core.settings import Hub, Settings
from hub.runtime import links
from hub.runtime.role import Role, run

links._LINGER_MS = 20_000  # a busy reader may take its time

class Talks(Role):
    async def start(self):
        self.stop()
    async def drain(self):
        push = links.connect(links.PUSH, links.ipc(self.runtime_dir, "x"))
        for number in range(1000):
            push.send(b"%d" % number + bytes(10_000))
        push.close()

run("talks", Settings(hub=Hub(runtime_dir=sys.argv[1])), Talks)
"""


def test_what_a_process_says_last_is_sent_before_it_ends(directory: Path) -> None:
    """Ticks of a drain and goodbyes: an interpreter that ends takes along what is not sent yet."""
    pull = links.bind(links.PULL, links.ipc(directory, "x"))
    process = subprocess.Popen([sys.executable, "-c", LAST_WORDS, str(directory)])
    try:
        for number in range(1000):
            assert pull.poll(int(WITHIN_S * 1000)), f"nothing came after {number} messages"
            assert pull.recv().startswith(b"%d" % number)
        assert process.wait(WITHIN_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        pull.close()


def test_rule_3_a_hang_up_ends_nobody_and_is_told(directory: Path) -> None:
    async def main() -> None:
        async def work(role: Example) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.01, role.stop)

        class Reader(Example):
            def reload(self) -> None:
                self.happened.append("reload")

        role = Reader(directory, work)
        await lived(role)
        assert role.happened == ["start", "reload", "see off", "drain"]
        await lived(Example(directory, work))

    asyncio.run(main())
