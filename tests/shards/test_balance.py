"""Spreading clients: the shared table of loads, and sockets that change hands."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.core.placement import Packing
from shards.balance import Balance
from tests.shards.house import until

SHARDS = 3


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory with a name short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="hub-"))
    yield path
    shutil.rmtree(path)


class Hall:
    """Some shards in one process; sockets are placed, and read at their other end."""

    def __init__(
        self, room: Path, shards: int, packing: Packing | None = None, at_doors: int = 100
    ) -> None:
        self.room = room
        self.at_doors = at_doors
        self.is_ready = [True] * shards
        self.packing = packing
        self.shards = shards
        self.adopted: list[list[socket.socket]] = [[] for _ in range(shards)]
        self.full: list[OSError] = []
        self.news = asyncio.Event()
        self.far: list[socket.socket] = []
        self.doors: list[socket.socket] = []
        self.balances = [self.begin(shard) for shard in range(shards)]

    def begin(self, shard: int) -> Balance:
        loop = asyncio.get_running_loop()
        door = socket.create_server(("127.0.0.1", 0))
        door.setblocking(False)
        self.doors.append(door)
        return Balance(
            self.room,
            shard,
            self.shards,
            door,
            adopt=lambda sock: self._adopt(shard, sock),
            accept=lambda listener, most: self._accept(shard, listener, most),
            full=self.full.append,
            watch=loop.add_reader,
            unwatch=loop.remove_reader,
            ready=lambda: self.is_ready[shard],
            at_doors=self.at_doors,
            packing=self.packing,
        )

    async def met(self) -> Hall:
        """Once every shard knows every other."""
        await until(lambda: all(len(one._peers) == self.shards - 1 for one in self.balances))
        await until(lambda: all(len(one._ways) >= self.shards - 1 for one in self.balances))
        return self

    def place(self, shard: int) -> socket.socket:
        """A client connects, and this shard has accepted it. Returns the client's end."""
        near, far = socket.socketpair()
        far.setblocking(False)
        self.far.append(far)
        self.balances[shard].place(near)
        return far

    def knock(self, shard: int) -> socket.socket:
        """A client comes to a shard's own door, and waits there. Returns the client's end."""
        far = socket.create_connection(self.doors[shard].getsockname())
        self.far.append(far)
        return far

    async def settled(self, how_many: int) -> list[int]:
        """How many each shard has, once there are this many."""
        while sum(map(len, self.adopted)) < how_many:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)
        return [len(adopted) for adopted in self.adopted]

    def close(self) -> None:
        for sock in (
            *self.doors,
            *self.far,
            *(sock for adopted in self.adopted for sock in adopted),
        ):
            sock.close()
        for balance in self.balances:
            with contextlib.suppress(ValueError):  # closed by the test
                balance.close()

    def _accept(self, shard: int, listener: socket.socket, most: int) -> bool:
        for _ in range(most):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return True
            self.balances[shard].place(sock)
        return False

    def _adopt(self, shard: int, sock: socket.socket) -> None:
        self.balances[shard].loads.add(1)
        self.adopted[shard].append(sock)
        self.news.set()


def test_sockets_go_to_the_least_loaded_wherever_they_were_accepted(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, SHARDS).met()
        for _ in range(9):
            hall.place(0)
        assert await hall.settled(9) == [3, 3, 3]
        hall.balances[0].loads.add(20)
        for _ in range(4):
            hall.place(0)
        assert await hall.settled(13) == [3, 5, 5]
        assert [balance.lost for balance in hall.balances] == [0] * SHARDS
        hall.close()

    asyncio.run(main())


def test_packed_a_shard_is_filled_before_the_next_gets_any(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, SHARDS, Packing(share=0.5, clients=4)).met()
        for _ in range(5):
            hall.place(2)
        assert await hall.settled(5) == [4, 1, 0]
        hall.balances[1].shares.measure(0.0, 0.0)
        hall.balances[1].shares._before = (0.0, 0.0)
        hall.balances[1].shares.measure(10.0, 6.0)
        hall.place(2)
        assert await hall.settled(6) == [4, 1, 1], "one that works enough gets no more"
        hall.close()

    asyncio.run(main())


def test_a_burst_is_spread_though_nobody_has_taken_his_part_yet(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        for _ in range(50):
            hall.place(0)
        assert len(hall.adopted[0]) == 25
        assert await hall.settled(50) == [25, 25]
        assert hall.balances[0].loads.all() == [25, 25]
        hall.close()

    asyncio.run(main())


def test_a_socket_that_was_handed_over_is_the_same_connection(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(1)
        far = hall.place(0)
        far.send(b"first words")
        assert await hall.settled(1) == [0, 1]
        assert hall.adopted[1][0].recv(100) == b"first words"
        hall.adopted[1][0].send(b"answer")
        assert far.recv(100) == b"answer"
        hall.adopted[1][0].close()
        assert far.recv(100) == b""  # nobody else holds it open
        hall.close()

    asyncio.run(main())


def _die(balance: Balance) -> None:
    """As in a crash: all descriptors are closed, and the row says what it said."""
    loop = asyncio.get_running_loop()
    for sock in (balance._post, *balance._ways):
        loop.remove_reader(sock)
        sock.close()
    balance._ways.clear()
    for peer in balance._peers.values():
        peer.close()
    balance._peers.clear()


def _stop(balance: Balance) -> None:
    """As by SIGSTOP: it reads nothing, and its beat grows old."""
    for sock in (balance._post, *balance._ways):
        asyncio.get_running_loop().remove_reader(sock)
    row = balance.loads._row(balance._me)
    balance.loads._words[row + 1] = max(1, balance.loads._words[row + 1] - 60_000_000_000)


def test_a_socket_is_kept_when_its_taker_has_died(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(1)
        _die(hall.balances[1])
        hall.place(0)
        assert await hall.settled(1) == [1, 0]
        assert hall.balances[0].loads.all()[0] == 2
        hall.close()

    asyncio.run(main())


def test_who_was_on_the_way_to_one_that_died_or_stood_at_its_door_is_not_lost(room: Path) -> None:
    """Those would wait for ever, or be cut off, and none of the living would know of them."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        far = hall.place(0)
        hall.knock(1)
        hall.doors[1].close()
        _die(hall.balances[1])
        assert await hall.settled(2) == [2, 0]
        hall.adopted[0][0].send(b"here")
        assert far.recv(10) == b"here"
        assert hall.balances[0].loads.all()[0] == 7
        assert hall.balances[0].loads.on_the_way(1)[0] == 0
        hall.close()

    asyncio.run(main())


def test_a_shard_that_stands_still_is_given_nobody_and_its_guests_are_taken(room: Path) -> None:
    """Stopped, it has the fewest clients for ever: all new ones would go there and hang."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        far = hall.place(0)  # before anyone can know
        hall.knock(1)
        _stop(hall.balances[1])
        hall.place(0)
        assert await hall.settled(1) == [1, 0]
        hall.balances[0].tend()
        assert await hall.settled(3) == [3, 0]
        hall.adopted[0][1].send(b"here")
        assert far.recv(10) == b"here"
        assert hall.balances[0].loads.on_the_way(1)[0] == 0
        for way in hall.balances[1]._ways:
            asyncio.get_running_loop().add_reader(way, hall.balances[1]._take, way)
        hall.balances[1].tend()
        hall.place(0)
        assert await hall.settled(4) == [3, 1], "awake again, it takes its part"
        hall.close()

    asyncio.run(main())


def test_at_the_door_of_one_that_stands_still_some_are_taken_each_time(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2, at_doors=3).met()
        for _ in range(5):
            hall.knock(1)
        _stop(hall.balances[1])
        for there in (3, 5):
            hall.balances[0].tend()
            assert await hall.settled(there) == [there, 0]
        hall.close()

    asyncio.run(main())


def test_at_the_door_of_one_that_has_ended_too_and_none_is_lost(room: Path) -> None:
    """A storm may have left thousands there: all at once they would be a stall of a second. What
    comes there as long as it is open is taken as well."""

    async def main() -> None:
        hall = await Hall(room, 2, at_doors=3).met()
        hall.doors[1].setblocking(False)
        for _ in range(8):
            hall.knock(1)
        hall.balances[1].close()
        await until(lambda: hall.adopted[0])
        assert await hall.settled(3) == [3, 0]
        late = hall.knock(1)
        for there in (6, 9):
            hall.balances[0].tend()
            assert await hall.settled(there) == [there, 0]
        hall.adopted[0][-1].send(b"here")
        assert late.recv(10) == b"here"
        assert len(hall.balances[0]._orphans) == 1
        hall.balances[0].tend()
        assert not hall.balances[0]._orphans
        hall.close()

    asyncio.run(main())


async def with_an_orphan(room: Path) -> Hall:
    """Two shards, of which the second has gone while clients wait at its door."""
    hall = await Hall(room, 2, at_doors=1).met()
    for _ in range(5):
        hall.knock(1)
    hall.balances[1].close()
    await until(lambda: hall.balances[0]._orphans)
    return hall


def test_one_that_ends_at_once_keeps_no_door_of_one_that_has_gone(room: Path) -> None:
    async def main() -> None:
        hall = await with_an_orphan(room)
        (door,) = hall.balances[0]._orphans
        hall.balances[0].close()
        assert door.fileno() == -1
        hall.close()

    asyncio.run(main())


def test_one_that_goes_takes_all_who_wait_at_the_door_of_one_that_has_gone(room: Path) -> None:
    async def main() -> None:
        hall = await with_an_orphan(room)
        hall.balances[0].retire()
        assert await hall.settled(5) == [5, 0]
        assert not hall.balances[0]._orphans
        hall.close()

    asyncio.run(main())


def test_one_without_room_is_given_nobody_and_its_guests_are_taken(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        hall.balances[1].crowd(full=True)
        hall.place(0)
        hall.place(1)
        assert await hall.settled(2) == [2, 0]
        hall.knock(1)
        hall.balances[0].tend()
        assert await hall.settled(3) == [3, 0]
        hall.balances[0].crowd(full=True)
        hall.place(1)
        assert await hall.settled(4) == [3, 1], "nobody has room: it is told so where it is"
        hall.balances[1].pause()
        hall.balances[1].crowd(full=False)
        assert hall.balances[0].loads.all()[1] is None, "another reason holds still"
        hall.balances[1].resume()
        hall.place(0)
        assert await hall.settled(5) == [3, 2]
        hall.close()

    asyncio.run(main())


def test_while_it_holds_what_is_given_waits_on_its_way(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 3).met()
        hall.balances[0].loads.add(5)
        hall.balances[2].loads.add(5)
        hall.balances[1].hold()
        for _ in range(4):
            hall.place(0)
        assert hall.balances[0].loads.all() == [5, 4, 5], "it counts all the same"
        hall.is_ready[1] = False
        hall.balances[1].take()
        assert sum(map(len, hall.adopted)) == 0
        hall.is_ready[1] = True
        hall.balances[1].release()
        assert await hall.settled(4) == [0, 4, 0]
        hall.close()

    asyncio.run(main())


def test_a_way_that_is_made_while_it_holds_is_not_read_before_it_ends(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
        hall.balances[1].hold()
        await hall.met()
        hall.balances[0].loads.add(5)
        hall.place(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert sum(map(len, hall.adopted)) == 0
        hall.balances[1].release()
        assert await hall.settled(1) == [0, 1]
        hall.close()

    asyncio.run(main())


def test_one_that_beats_and_takes_nothing_loses_what_it_was_given(room: Path) -> None:
    """Its loop runs, and yet it does not read this way: nobody may wait for it."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        for way in hall.balances[1]._ways:
            asyncio.get_running_loop().remove_reader(way)
        hall.place(0)
        hall.balances[1].loads.add(9)
        for _ in range(5):
            assert sum(map(len, hall.adopted)) == 0
            hall.balances[0].tend()
        assert await hall.settled(1) == [1, 0]
        hall.close()

    asyncio.run(main())


def test_a_shard_that_was_restarted_is_found_again(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        hall.place(0)
        assert await hall.settled(1) == [0, 1]
        hall.balances[1].close()
        hall.place(0)
        assert await hall.settled(2) == [1, 1]
        hall.balances[1] = hall.begin(1)
        await hall.met()
        for _ in range(20):  # whatever is seen first, its end or its beginning
            _die(hall.balances[1])
            hall.balances[1] = hall.begin(1)
            await hall.met()
        hall.balances[1].loads.add(1)
        hall.place(0)
        assert await hall.settled(3) == [1, 2]
        assert hall.balances[0].loads.all() == [6, 2]
        assert len(hall.balances[0]._ways) == 1
        hall.close()

    asyncio.run(main())


def test_one_that_makes_another_way_has_not_ended(room: Path) -> None:
    """What it says of the new way may be seen after the end of the old one. If each took that for
    the other's end, both would end their ways in turn, for ever."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        one, two = hall.balances
        known = two._peers[0]
        one._peers[1].life = 7  # as if it had been told by an earlier life
        asyncio.get_running_loop().remove_reader(two._post)  # so the end is seen first
        two._say_hello(0, known)
        await until(lambda: one._peers[1].life != 7 and (0, known.life) in two._ways.values())
        await until(lambda: len(two._ways) == 1)
        assert two._peers[0] is known
        hall.close()

    asyncio.run(main())


def test_one_that_retires_takes_nobody_and_passes_on_who_was_on_the_way(room: Path) -> None:
    """Draining, it has ever fewer clients, so it looks as if it had the most room."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        for way in hall.balances[1]._ways:  # it has not come to reading it
            asyncio.get_running_loop().remove_reader(way)
        hall.place(0)
        hall.balances[1].retire()
        assert hall.balances[0].loads.all()[1] is None
        assert await hall.settled(1) == [1, 0]
        hall.place(0)
        assert await hall.settled(2) == [2, 0]
        hall.close()

    asyncio.run(main())


def test_without_a_descriptor_nothing_is_taken_and_so_nothing_lost(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives the message without its socket then: a client would be cut off silently."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        with monkeypatch.context() as patch:

            def full(_: int) -> int:
                raise OSError(errno.EMFILE, "Too many open files")

            patch.setattr(os, "dup", full)
            hall.place(0)
            await until(lambda: hall.full)
            hall.balances[1].pause()  # as the gateway does
        assert hall.balances[1].lost == 0
        hall.balances[0].tend()
        assert await hall.settled(1) == [1, 0]
        hall.balances[1].resume()
        hall.place(0)
        assert await hall.settled(2) == [1, 1]
        hall.close()

    asyncio.run(main())


def test_a_message_without_its_socket_is_counted_and_taken_off_the_road(
    room: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the last descriptor went in the moment between: MSG_CTRUNC."""

    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(5)
        hall.balances[0]._peers[1].way.send(b"s")
        hall.balances[0].loads.gave(1)
        assert hall.balances[0].loads.all() == [5, 1]
        hall.place(0)
        assert await hall.settled(1) == [0, 1]
        assert hall.balances[0].loads.all() == [5, 1]
        assert hall.balances[1].lost == 1
        hall.close()

    asyncio.run(main())
    assert [record.message for record in caplog.records] == [
        "a client from shard 0 was lost: no descriptor was left"
    ]


def test_a_socket_is_kept_when_the_way_is_full(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(1)

        def full(*_: object) -> int:
            raise BlockingIOError(errno.EAGAIN, "full")

        monkeypatch.setattr(socket, "send_fds", full)
        hall.place(0)
        assert await hall.settled(1) == [1, 0]
        hall.close()

    asyncio.run(main())


def test_closing_leaves_no_reader_and_no_load(room: Path) -> None:
    async def main() -> None:
        hall = await Hall(room, 2).met()
        hall.balances[0].loads.add(1)
        hall.place(0)
        await hall.settled(1)
        hall.balances[1].close()
        assert hall.balances[0].loads.all() == [1, None]
        await until(lambda: not hall.balances[0]._ways)
        hall.close()

    asyncio.run(main())
