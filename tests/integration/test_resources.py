"""What a hub does at its last descriptor, what is left of clients that have gone, and who may talk
to its own sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import count

import psutil
import pytest

from tests.integration.conftest import MakeHub
from tests.integration.crowd import Crowd, Guest, asks, need_descriptors, play, until
from tests.integration.harness import Hub, Message, fresh
from tests.integration.scenes import Beacon
from tests.shards.frames import HANDSHAKE

DESCRIPTORS = 256
CYCLES = 10_000
WARM = 2_000
AT_ONCE = 100
GROWTH_BYTES = 2 << 20
"""What the allocator may keep. A leaked session alone would be 8,000 times 6 KB."""


# Descriptors.


async def at_the_last_descriptor(hub: Hub) -> None:
    symbol, other = fresh(count=2)
    figures = await hub.figures_when(lambda f: f["shard-0"]["room"] and f["shard-1"]["room"], "up")
    rooms = [figures[f"shard-{number}"]["room"] for number in range(2)]
    assert all(DESCRIPTORS // 4 < room < DESCRIPTORS - 64 for room in rooms), rooms
    async with hub.publisher() as publisher, Crowd(hub) as clients:
        well = await clients.all_come(4, asks(hub, symbol), keeps=True)
        await until(lambda: all(len(one.replies) == 2 for one in well), "they are served")
        beacon = Beacon(publisher, symbol, every_s=0.01)
        await until(lambda: all(one.ticks for one in well), "ticks come")

        first = await clients.all_come(rooms[0] + 20, asks(hub, other))
        await until(lambda: all(len(one.replies) == 2 for one in first), "the next shard has room")
        found = await hub.figures_when(
            lambda f: f["shard-0"]["clients"] + f["shard-1"]["clients"] == len(first) + 4, "there"
        )
        assert found["shard-0"]["clients"] == rooms[0], "not one more than it has room for"
        assert sum(found[f"shard-{number}"]["turned_away"] for number in range(2)) == 0

        more = await clients.all_come(2 * DESCRIPTORS, asks(hub, other))
        await until(lambda: all(one.status for one in more), "nobody hangs")
        served = [one for one in more if one.status == 101]
        away = [one for one in more if one.status != 101]
        assert {one.status for one in away} == {503}
        assert all(b"descriptor" in one.why for one in away)
        assert len(served) + len(first) + 4 == sum(rooms), "and everybody for whom there is room"
        await until(lambda: all(one.ended for one in away), "their connections are closed")
        await until(lambda: all(len(one.replies) == 2 for one in served), "the others are served")
        found = await hub.figures_when(
            lambda f: sum(f[f"shard-{n}"]["turned_away"] for n in range(2)) == len(away), "counted"
        )
        shards = [found[f"shard-{number}"] for number in range(2)]
        assert sum(shard["bounds"]["descriptors"] for shard in shards) == len(away)
        assert sum(shard["lost"] for shard in shards) == 0

        for one in first[:30]:
            one.leave()
        await until(lambda: all(one.ended for one in first[:30]), "some leave")
        late = await clients.all_come(20, asks(hub, other))
        await until(lambda: all(len(one.replies) == 2 for one in late), "others can come")

        await beacon.stop()
        await until(lambda: all(one.ticks == beacon.sent for one in well), "the last one comes")
        assert all(one.numbers(symbol) == list(range(beacon.sent)) for one in well)
        assert not any(one.ended for one in well)


def test_at_the_last_descriptor_clients_are_told_and_those_who_are_there_live_on(
    make_hub: MakeHub,
) -> None:
    """Packed, so that one shard is full while another has room."""
    need_descriptors(4 * DESCRIPTORS)
    flags = {"hub.feeds": ["bus"], "hub.shards": 2, "websocket.spread": "packed"}
    packed = {"websocket.pack_clients": 1000, "websocket.pack_share": 1}
    hub = make_hub(flags | packed, descriptors=DESCRIPTORS)
    play(lambda: at_the_last_descriptor(hub))


def test_a_shard_takes_all_descriptors_it_may_have(make_hub: MakeHub) -> None:
    """By default a process may have 1024, and could have many more."""
    hub = make_hub({"hub.feeds": ["bus"], "hub.shards": 1}, descriptors=512)
    soft, hard = psutil.Process(hub.children["shard-0"].pid).rlimit(psutil.RLIMIT_NOFILE)
    assert (soft, hard) == (512, 512)


# What is left of those who have gone.


class Rounds:
    """Clients of a hub of one shard that come and go by the hundred, in all the ways there are."""

    def __init__(self, hub: Hub, clients: Crowd, symbol: str) -> None:
        self._hub = hub
        self._clients = clients
        self._asks = asks(hub, symbol)
        self._heavy = asks(hub, "HEAVY")
        self._feed = hub.children["feed-bus"].pid
        self._unheard = count()
        self.done = 0

    async def run(self, until_cycles: int) -> None:
        """Go on until so many have come and gone in all."""
        ways = (self.polite, self.rude, self.polite, self.midway, self.rude, self.hasty)
        while self.done < until_cycles:
            for way in ways:
                await way()
                self.done += AT_ONCE
                self._clients.forget()
        for way in (self.unanswered, self.behind):
            await way()
            self._clients.forget()

    async def polite(self) -> None:
        """Served, they say goodbye."""
        guests = await self._served()
        for guest in guests:
            guest.leave()
        await until(lambda: all(guest.ended for guest in guests), "they are gone")

    async def rude(self) -> None:
        """Served, they are gone without a word."""
        for guest in await self._served():
            guest.vanish()

    async def midway(self) -> None:
        """In the midst of their handshake."""
        for guest in await self._clients.all_come(AT_ONCE, first=HANDSHAKE[:60]):
            guest.vanish()

    async def hasty(self) -> None:
        """While their key is looked up, or before their first byte is read."""
        for guest in await self._clients.all_come(AT_ONCE, self._asks):
            guest.vanish()

    async def unanswered(self) -> None:
        """While their subscribe waits for a feed that does not answer."""
        os.kill(self._feed, signal.SIGSTOP)
        try:
            symbols = (f"UNHEARD{next(self._unheard)}" for _ in range(AT_ONCE))
            guests = [await self._clients.come(asks(self._hub, symbol)) for symbol in symbols]
            await until(lambda: all(guest.replies for guest in guests), "they are known")
            assert all(len(guest.replies) == 1 for guest in guests), "and no more"
        finally:
            os.kill(self._feed, signal.SIGCONT)
        for guest in guests:
            guest.vanish()

    async def behind(self) -> None:
        """While more is unsent than the kernel takes."""
        async with self._hub.publisher() as publisher:
            guests = await self._clients.all_come(8, self._heavy, receive_bytes=4096)
            await until(lambda: all(len(guest.replies) == 2 for guest in guests), "they are served")
            for guest in guests:
                guest.freeze()
            beacon = Beacon(publisher, "HEAVY", every_s=0.01, pad="x" * 100_000)
            await self._hub.figures_when(lambda f: f["shard-0"]["behind"] == 8, "they are behind")
            await beacon.stop()
            for guest in guests:
                guest.vanish()

    async def _served(self) -> list[Guest]:
        guests = await self._clients.all_come(AT_ONCE, self._asks)
        await until(lambda: all(guest.ticks for guest in guests), "they are served", every_s=0.02)
        return guests


async def what_is_left(hub: Hub) -> None:
    (symbol,) = fresh()
    shard = psutil.Process(hub.children["shard-0"].pid)

    def quiet(figures: dict[str, Message]) -> bool:
        found = figures["shard-0"]
        nobody = not any(found["counted"].values()) and not found["clients"]
        return nobody and not found["symbols"] and not figures["feed-bus"]["symbols"]

    async def left() -> tuple[Message, int]:
        """What there is when nobody is there, and how much memory."""
        figures = (await hub.figures_when(quiet, "nothing is counted or wanted"))["shard-0"]
        names = ("clients", "symbols", "tasks", "holders", "waiting", "unsent_bytes")
        there = {name: figures[name] for name in names}
        assert figures["topics"] <= 2, "the last value of each of two, if it came late"
        return there | {"descriptors": shard.num_fds()}, shard.memory_info().rss

    async with hub.publisher() as publisher, Crowd(hub) as clients:
        beacon = Beacon(publisher, symbol, every_s=0.03)
        rounds = Rounds(hub, clients, symbol)
        await rounds.run(WARM)
        warm, warm_bytes = await left()
        assert (warm["holders"], warm["waiting"], warm["unsent_bytes"]) == (0, 0, 0)
        await rounds.run(CYCLES)
        there, bytes_ = await left()
        await beacon.stop()
        assert there == warm, "no descriptor, task or entry is left"
        print(f"{rounds.done} cycles: {warm_bytes} bytes when warm, {bytes_} in the end")
        assert bytes_ - warm_bytes < GROWTH_BYTES


@pytest.mark.timeout(180)
def test_nothing_is_left_of_ten_thousand_clients_that_came_and_went(make_hub: MakeHub) -> None:
    need_descriptors(2000)
    flags = {"hub.feeds": ["bus"], "hub.shards": 1, "websocket.accept_rate": 0}
    hub = make_hub(flags | {"upstream.linger_s": 0.1, "websocket.outbox_bytes": 65_536})
    play(lambda: what_is_left(hub))


# The hub's own sockets.

INTRUDER = """
import os, socket, sys

def attempt(path, kind):
    with socket.socket(socket.AF_UNIX, kind) as sock:
        try:
            sock.connect(path)
        except OSError as error:
            return type(error).__name__
    return "connected"

def tries(paths):
    for path in paths:
        outcome = attempt(path, socket.SOCK_STREAM)
        yield attempt(path, socket.SOCK_DGRAM) if outcome == "OSError" else outcome

print(*tries(sys.argv[1:]))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(*tries(sys.argv[1:]))
"""


def test_another_user_reaches_none_of_the_hubs_own_sockets(make_hub: MakeHub) -> None:
    """Its control socket obeys whoever speaks to it, and ticks and clients come by the others."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    hub = make_hub({"hub.feeds": ["bus"], "hub.shards": 2})
    hub.dir.chmod(0o755)  # what keeps others out has to be the hub's own
    paths = sorted(path for path in hub.runtime_dir.iterdir() if path.is_socket())
    names = {path.name for path in paths}
    assert {"control", "ingest", "ticks-0", "ticks-1", "handoff-0", "handoff-1"} <= names
    for path in paths:
        path.chmod(0o777)  # it does not rest on the modes of sockets, which some systems ignore
    ran = subprocess.run(
        [sys.executable, "-c", INTRUDER, *map(str, paths)], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    owner, other = (line.split() for line in ran.stdout.splitlines())
    assert owner == ["connected"] * len(paths), "they are there to be reached"
    assert other == ["PermissionError"] * len(paths)
