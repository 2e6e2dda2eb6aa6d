from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from hub.core.lease import Holder, key
from hub.core.settings import Nats as NatsSettings
from hub.core.settings import Settings
from hub.feeds.standby import Standby
from hub.runtime.bucket import Bucket
from hub.runtime.deadline import Deadline, boottime_s
from hub.runtime.nats import Nats
from tests import natsserver

L = 2.0
LONG = 60.0
"""Nobody here waits for the end of such a lease: who takes over did so as it was given back."""

ROOT = Path(__file__).parents[3]
numbers = itertools.count()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with natsserver.server(tmp_path_factory.mktemp("nats"), jetstream=True) as server:
        yield server.url


class NoEnd(Deadline):
    """Notes when it would end this process."""

    def __init__(self) -> None:
        self.at_s: float | None = None

    def set(self, at_s: float) -> None:
        self.at_s = at_s

    def clear(self) -> None:
        self.at_s = None


class Host:
    """A host in this process, and what became of its feed."""

    def __init__(self, door: Nats, settings: Settings, feed: str) -> None:
        self.settings = settings
        self.end = NoEnd()
        self.door = door
        self.standby = Standby(door, settings, feed, self.end)
        self.active = False
        self.told: list[str] = []
        self.starting_s = self.stopping_s = 0.0
        self.task = asyncio.create_task(self.standby.run(self._active, self._passive))

    async def _active(self, revision: int) -> None:
        self.active = True
        self.told.append(f"active {revision}")
        await asyncio.sleep(self.starting_s)
        self.told.append("started")

    async def _passive(self) -> None:
        self.told.append("passive")
        await asyncio.sleep(self.stopping_s)
        self.active = False

    async def stop(self) -> None:
        await self.standby.stop()
        await self.task


def a_feed(url: str) -> str:
    """One whose lease no other test has, and whose last holder has left in order."""
    feed = f"feed{next(numbers)}"

    async def give_back() -> None:
        door = Nats(NatsSettings(servers=[url]), "last holder")
        await door.start()
        await until(lambda: door.connected)
        bucket, word = Bucket(door, "hub-leases"), Holder("last", 1, 1, L, left=True)
        await bucket.look("any", 5)
        await bucket.write(key("desk", feed), msgspec.msgpack.encode(word), 0, 5)
        await door.stop()

    run(give_back())
    return feed


@asynccontextmanager
async def host(machine: str, feed: str, *servers: str, lease_s: float = L) -> AsyncIterator[Host]:
    nats = NatsSettings(
        servers=list(servers), publish=True, name=machine, standby="desk", lease_s=lease_s
    )
    door = Nats(nats, machine)
    await door.start()
    one = Host(door, Settings(nats=nats), feed)
    try:
        yield one
    finally:
        if not one.task.done():
            await one.stop()
        await door.stop()


async def until(true: Callable[[], object], within_s: float = 15) -> float:
    """How long it took until something is the case."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  # what is asked has no event
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_one_runs_the_other_stands_by_and_takes_over_when_it_leaves(url: str) -> None:
    feed = a_feed(url)

    async def main() -> None:
        async with host("one", feed, url) as one, host("other", feed, url) as other:
            await until(lambda: one.active or other.active)
            first, second = (one, other) if one.active else (other, one)
            await until(lambda: second.standby.state["holder"])
            state = second.standby.state
            assert state["state"] == "standby"
            assert state["holder"] == first.standby.state["holder"]
            assert first.standby.state["state"] == "active"
            assert 0 < first.standby.state["left_s"] <= L
            revision = second.standby.state["revision"]
            await until(lambda: first.standby.state["revision"] > revision + 11)
            assert first.end.at_s
            assert first.end.at_s > boottime_s()
            told: list[str] = []
            second.door.subscribe("hub.lease.>", lambda subject, *_: told.append(subject))
            assert not second.told
            first.stopping_s = 0.2
            leaves = asyncio.create_task(first.stop())
            await until(lambda: first.told[-1] == "passive")
            await asyncio.sleep(0.1)
            assert not second.active
            await leaves
            await until(lambda: second.active)
            assert first.end.at_s is None
            assert told == [f"hub.lease.desk.{feed}"]

    run(main())


def test_a_lease_nobody_knows_of_is_waited_for_and_one_that_was_given_back_is_not(url: str) -> None:
    async def main() -> None:
        async with host("one", "new", url) as one:
            assert await until(lambda: one.active) > L, "the bucket may have lost a holder"
        async with host("one", "new", url, lease_s=LONG) as again:
            await until(lambda: again.active)
            assert again.told[0] != one.told[0]
        async with host("other", "new", url) as other:
            await until(lambda: other.active)

    run(main())


def test_a_feed_that_is_still_starting_is_told_to_end_and_a_long_stop_is_renewed(url: str) -> None:
    feed = a_feed(url)

    async def main() -> None:
        async with host("one", feed, url) as one:
            one.starting_s, one.stopping_s = 60, L * 1.5
            await until(lambda: one.active)
            ends = one.end.at_s
            assert ends
            await one.stop()
            assert [what.split()[0] for what in one.told] == ["active", "passive"]
            assert boottime_s() > ends

    run(main())


@pytest.mark.parametrize("fails", ["active", "passive"])
def test_what_goes_wrong_in_the_feed_ends_the_run(url: str, fails: str) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the feed")

    feed = a_feed(url)

    async def main() -> None:
        async with host("one", feed, url) as one:
            await until(lambda: one.active)
            await one.stop()
            one.told.clear()
            again = Standby(one.door, one.settings, feed, end := NoEnd())
            active = broken if fails == "active" else one._active
            passive = broken if fails == "passive" else one._passive
            running = asyncio.create_task(again.run(active, passive))
            if fails == "passive":
                await until(lambda: one.active)
                await again.stop()
            with pytest.raises(RuntimeError, match="the feed"):
                await running
            assert (end.at_s is not None) == (fails == "passive"), "it may still be logged in"
            assert ("passive" in one.told) == (fails == "active")

    run(main())


def test_who_is_cancelled_leaves_in_order(url: str) -> None:
    feed = a_feed(url)

    async def main() -> None:
        async with (
            host("one", feed, url, lease_s=LONG) as one,
            host("other", feed, url, lease_s=LONG) as other,
        ):
            await until(lambda: one.active or other.active)
            first, second = (one, other) if one.active else (other, one)
            first.task.cancel()
            await until(first.task.done)
            assert not first.active
            await until(lambda: second.active)

    run(main())


def test_without_jetstream_nobody_runs_and_it_says_why(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with host("one", "sim", url) as one:
            await until(lambda: one.standby.problem)
            await until(lambda: "no JetStream" in one.standby.problem)
            await asyncio.sleep(0.5)
            assert not one.told

    with natsserver.server(tmp_path) as server:
        run(main(server.url))


def test_a_server_that_is_soon_back_ends_nothing_and_one_that_stays_away_does(
    tmp_path: Path,
) -> None:
    async def main(server: natsserver.NatsServer) -> None:
        async with host("one", feed, server.url) as one, host("other", feed, server.url) as other:
            await until(lambda: one.active or other.active)
            first, second = (one, other) if one.active else (other, one)
            server.kill()
            server.launch()
            revision = first.standby.state["revision"]
            await until(lambda: first.standby.state["revision"] > revision + 8)
            assert first.told[1:] == ["started"]
            ends = first.end.at_s
            assert ends
            assert ends > boottime_s()

            server.kill()
            await until(lambda: not first.active)
            assert first.end.at_s is None
            assert "NATS" in first.standby.problem
            await asyncio.sleep(L / 2)
            assert not second.told
            server.launch()
            await until(lambda: first.active or second.active)
            assert not (first.active and second.active)
            assert not first.standby.problem

    with natsserver.server(tmp_path, jetstream=True) as server:
        feed = a_feed(server.url)
        run(main(server))


def test_a_node_of_three_dies_and_the_feed_goes_on(tmp_path: Path) -> None:
    """The one that decides about the bucket, and that the holder is connected to. Servers on a busy
    machine may vote twice, so the lease is twice as long as one vote needs."""

    async def main(servers: list[natsserver.NatsServer]) -> None:
        urls = [server.url for server in servers]
        async with host("one", "sim", *urls, lease_s=30) as one:
            await until(lambda: not one.standby.problem and one.standby._bucket._there, 40)
            found = await one.door.js.stream_info("KV_hub-leases")
            assert found.config.num_replicas == 3
            # what is waited for where nobody has given the lease back is left out here
            one.standby._lease._since_s -= 30
            await until(lambda: one.active)
            next(server for server in servers if server.log.stem == found.cluster.leader).kill()
            revision = one.standby.state["revision"]
            await until(lambda: one.standby.state["revision"] > revision + 1, 40)
            assert one.told[1:] == ["started"]

    with natsserver.cluster(tmp_path, jetstream=True) as servers:
        run(main(servers))


class Note(NamedTuple):
    at_s: float
    pid: int
    what: str


class Processes:
    """Hosts as processes, which write down what they do."""

    def __init__(self, folder: Path, url: str) -> None:
        self._journal = folder / "journal"
        self._url = url
        self._feed = a_feed(url)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, machine: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.hub.feeds.standby_host", machine, self._feed]
        process = subprocess.Popen([*command, str(L), self._journal, self._url], cwd=ROOT)
        self._running.append(process)
        return process

    def notes(self) -> list[Note]:
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        rows = [line.split() for line in lines]
        return [Note(float(at_s), int(pid), what) for at_s, pid, what in rows]

    def wait(self, pid: int, what: str) -> Note:
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            for note in self.notes():
                if note[1:] == (pid, what):
                    return note
            time.sleep(0.02)
        raise TimeoutError(self.notes())

    def active(self) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
        """Who is active, and the other, once there is one."""
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            for one, other in itertools.permutations(self._running):
                if (one.pid, "active") in [note[1:] for note in self.notes()]:
                    return one, other
            time.sleep(0.02)
        raise TimeoutError(self.notes())

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def two(tmp_path: Path, url: str) -> Iterator[Processes]:
    them = Processes(tmp_path, url)
    try:
        for machine in ("one", "other"):
            them.start(machine)
        yield them
    finally:
        them.end()


def test_who_leaves_has_stopped_before_the_other_begins(two: Processes) -> None:
    first, second = two.active()
    two.wait(second.pid, "up")
    first.terminate()
    assert two.wait(first.pid, "passive").at_s < two.wait(second.pid, "active").at_s
    assert first.wait(timeout=10) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_dies_or_is_stopped_is_dead_before_the_other_begins(
    two: Processes, number: signal.Signals
) -> None:
    first, second = two.active()
    two.wait(second.pid, "up")
    began_s = boottime_s()
    first.send_signal(number)
    assert two.wait(second.pid, "active").at_s < began_s + L + 5
    assert first.wait(timeout=10) == -signal.SIGKILL
    assert {note.what for note in two.notes()} == {"up", "active"}
