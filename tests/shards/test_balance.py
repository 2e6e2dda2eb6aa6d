"""Spreading clients: the shared table of loads, and sockets that change hands."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.balance import Balance, Loads

SHARDS = 3


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory with a name short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="hub-"))
    yield path
    shutil.rmtree(path)


# The table.


def test_a_shard_that_never_came_has_no_load(room: Path) -> None:
    loads = Loads(room / "loads", 1, SHARDS)
    assert loads.all() == [None, 0, None]
    loads.close()


def test_the_table_is_for_its_owner_only(room: Path) -> None:
    Loads(room / "loads", 0, 2).close()
    assert stat.S_IMODE((room / "loads").stat().st_mode) == 0o600


def test_all_see_what_one_writes(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    one.add(3)
    two.add(5)
    two.add(-1)
    assert one.all() == two.all() == [3, 4]
    two.close()
    assert one.all() == [3, None]
    one.close()


def test_what_is_on_its_way_counts_where_it_goes(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    one.gave(1)
    assert one.all() == [0, 1]
    two.took(0)
    assert one.all() == [0, 0]
    two.add(1)
    assert one.all() == [0, 1]
    one.close()
    two.close()


def test_every_number_has_one_writer(room: Path) -> None:
    """Each shard's calls change only its own row."""
    tables = [Loads(room / "loads", shard, SHARDS) for shard in range(SHARDS)]
    width = len(tables[0]._words) // SHARDS
    for shard, loads in enumerate(tables):
        before = list(loads._words)
        loads.add(1)
        for other in range(SHARDS):
            loads.gave(other)
            loads.took(other)
        after = list(loads._words)
        changed = {place // width for place in range(len(after)) if after[place] != before[place]}
        assert changed == {shard}
    for loads in tables:
        loads.close()


def test_a_shard_that_begins_again_has_nothing_of_its_earlier_life(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    two.add(7)
    one.gave(1)
    two = _restarted(two, room)
    assert one.all() == [0, 0]
    one.gave(1)
    assert one.all() == [0, 1]
    one.close()
    two.close()


def test_a_client_that_leaves_after_the_end_is_no_error(room: Path) -> None:
    loads = Loads(room / "loads", 0, 1)
    loads.add(1)
    loads.close()
    loads.add(-1)


def _restarted(loads: Loads, room: Path) -> Loads:
    """As after a crash: the map is not closed in order."""
    again = Loads(room / "loads", loads._me, loads._shards)
    loads._words.release()
    loads._map.close()
    return again


SHARD = st.integers(0, SHARDS - 1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), SHARD, SHARD),
            st.tuples(st.just("leave"), SHARD, SHARD),
            st.tuples(st.just("give"), SHARD, SHARD),
            st.tuples(st.just("arrive"), SHARD, SHARD),
            st.tuples(st.just("restart"), SHARD, SHARD),
        ),
        max_size=40,
    )
)
def test_a_load_is_clients_plus_those_on_their_way(steps: list[tuple[str, int, int]]) -> None:
    """A restart empties the shard and loses what is on its way to it; what it gave still comes."""
    with tempfile.TemporaryDirectory(prefix="hub-") as name:
        room = Path(name)
        tables = [Loads(room / "loads", shard, SHARDS) for shard in range(SHARDS)]
        clients = [0] * SHARDS
        coming: list[list[int]] = [[0] * SHARDS for _ in range(SHARDS)]  # [to][from]
        for step, shard, other in steps:
            if step == "join":
                tables[shard].add(1)
                clients[shard] += 1
            elif step == "leave" and clients[shard]:
                tables[shard].add(-1)
                clients[shard] -= 1
            elif step == "give" and shard != other:
                tables[shard].gave(other)
                coming[other][shard] += 1
            elif step == "arrive" and coming[shard][other]:
                tables[shard].took(other)
                tables[shard].add(1)
                coming[shard][other] -= 1
                clients[shard] += 1
            elif step == "restart":
                tables[shard] = _restarted(tables[shard], room)
                clients[shard] = 0
                coming[shard] = [0] * SHARDS
            expected = [clients[at] + sum(coming[at]) for at in range(SHARDS)]
            assert all(loads.all() == expected for loads in tables)
        for loads in tables:
            loads.close()


# Sockets.


class Hall:
    """Some shards in one process; sockets are placed, and read at their other end."""

    def __init__(self, room: Path, shards: int) -> None:
        self.room = room
        self.shards = shards
        self.adopted: list[list[socket.socket]] = [[] for _ in range(shards)]
        self.news = asyncio.Event()
        self.far: list[socket.socket] = []
        self.balances = [self.begin(shard) for shard in range(shards)]

    def begin(self, shard: int) -> Balance:
        loop = asyncio.get_running_loop()
        return Balance(
            self.room,
            shard,
            self.shards,
            adopt=lambda sock: self._adopt(shard, sock),
            watch=loop.add_reader,
            unwatch=loop.remove_reader,
        )

    def place(self, shard: int) -> socket.socket:
        """A client connects, and this shard has accepted it. Returns the client's end."""
        near, far = socket.socketpair()
        far.setblocking(False)
        self.far.append(far)
        self.balances[shard].place(near)
        return far

    async def settled(self, how_many: int) -> list[int]:
        """How many each shard has, once there are this many."""
        while sum(map(len, self.adopted)) < how_many:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)
        return [len(adopted) for adopted in self.adopted]

    def close(self) -> None:
        for sock in (*self.far, *(sock for adopted in self.adopted for sock in adopted)):
            sock.close()
        for balance in self.balances:
            with contextlib.suppress(ValueError):  # closed by the test
                balance.close()

    def _adopt(self, shard: int, sock: socket.socket) -> None:
        self.balances[shard].loads.add(1)
        self.adopted[shard].append(sock)
        self.news.set()


def test_sockets_go_to_the_least_loaded_wherever_they_were_accepted(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, SHARDS)
        for _ in range(9):
            hall.place(0)
        assert await hall.settled(9) == [3, 3, 3]
        hall.balances[0].loads.add(20)
        for _ in range(4):
            hall.place(0)
        assert await hall.settled(13) == [3, 5, 5]
        hall.close()

    asyncio.run(main())


def test_a_burst_is_spread_though_nobody_has_taken_his_part_yet(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
        for _ in range(50):
            hall.place(0)
        assert len(hall.adopted[0]) == 25
        assert await hall.settled(50) == [25, 25]
        assert hall.balances[0].loads.all() == [25, 25]
        hall.close()

    asyncio.run(main())


def test_a_socket_that_was_handed_over_is_the_same_connection(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
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


def test_a_socket_is_kept_when_its_taker_has_died(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
        hall.balances[0].loads.add(1)
        dead = hall.balances[1]
        for sock in (dead._listener, *dead._inward):  # as in a crash: its row still says alive
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        hall.place(0)
        assert await hall.settled(1) == [1, 0]
        assert hall.balances[0].loads.all() == [2, 0]
        hall.close()

    asyncio.run(main())


def test_a_shard_that_was_restarted_is_found_again(room: Path) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
        hall.balances[0].loads.add(5)
        hall.place(0)
        assert await hall.settled(1) == [0, 1]
        hall.balances[1].close()
        hall.place(0)
        assert await hall.settled(2) == [1, 1]
        hall.balances[1] = hall.begin(1)
        hall.place(0)
        assert await hall.settled(3) == [1, 2]
        assert hall.balances[0].loads.all() == [6, 1]
        hall.close()

    asyncio.run(main())


def test_a_message_without_its_socket_is_taken_off_the_road(room: Path) -> None:
    """As when the taker has no descriptor left."""

    async def main() -> None:
        hall = Hall(room, 2)
        hall.balances[0].loads.add(5)
        hall.place(0)
        await hall.settled(1)
        hall.balances[0]._outward[1].send(bytes((0,)))
        hall.balances[0].loads.gave(1)
        assert hall.balances[0].loads.all() == [5, 2]
        hall.place(0)
        assert await hall.settled(2) == [0, 2]
        assert hall.balances[0].loads.all() == [5, 2]
        hall.close()

    asyncio.run(main())


def test_a_socket_is_kept_when_the_way_is_full(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        hall = Hall(room, 2)
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
        hall = Hall(room, 2)
        hall.balances[0].loads.add(1)
        hall.place(0)
        await hall.settled(1)
        hall.balances[1].close()
        assert hall.balances[0].loads.all() == [1, None]
        hall.close()

    asyncio.run(main())
