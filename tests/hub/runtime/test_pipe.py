"""Writing without waiting: what finds no room, what is kept, and in which order it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from hub.core.names import pipe_name
from hub.runtime.links import PULL, connect, ipc
from hub.runtime.pipe import Pipe
from tests.hub.runtime.kit import Way, both_wires, receive, run, until

NAME = pipe_name(0)


class Room:
    """An outlet with as much room as a test says."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.sent: list[list[bytes]] = []
        self.closed = False
        self.fd = -1
        self.turned: Callable[[], None] = lambda: None
        self.first: list[bytes] = []

    def unsent(self, rest: bytes) -> None:
        self.first.append(rest)

    def send(self, parts: Sequence[bytes]) -> bool:
        self.room -= 1
        if self.room >= 0:
            self.sent.append([*parts])
        return self.room >= 0

    def close(self) -> None:
        self.closed = True


def opened(outlet: Room, token: bytes = b"") -> Pipe:
    pipe = Pipe(outlet)
    pipe.reset(open_=True, token=token)
    return pipe


def pipe_of(kind: str, directory: Path, *, queue: int = 1000, token: bytes = b"") -> Pipe:
    """A real one."""
    pipe = Pipe(Way(kind, directory, queue=queue).outlet)
    pipe.reset(open_=True, token=token)
    return pipe


# Over both wires; who reads is libzmq.


@both_wires
def test_a_tick_that_finds_no_room_is_not_sent_and_nobody_waits(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory)
        assert not pipe.send([b"t", b"nobody is there"])
        pipe.close()

    run(test())


@both_wires
def test_what_must_arrive_waits_in_order_before_later_ticks(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory)
        for number in range(5):
            pipe.send_surely([b"o", b"%d" % number])
        assert not pipe.send([b"t", b"tick"])
        assert not pipe.retry()
        assert pipe.waiting
        pull = connect(PULL, ipc(directory, NAME))
        await until(lambda: pipe.send([b"t", b"tick"]))
        assert not pipe.waiting
        assert [await receive(pull) for _ in range(6)] == [
            *([b"o", b"%d" % number] for number in range(5)),
            [b"t", b"tick"],
        ]
        pull.close()
        pipe.close()

    run(test())


@both_wires
def test_a_full_pipe_loses_ticks_but_nothing_else(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory, queue=10)
        pull = connect(PULL, ipc(directory, NAME), queue=10)
        pipe.send_surely([b"o", b"first"])
        await until(pipe.retry)
        big, sent = b"x" * 100_000, 0
        for _ in range(20):  # until nothing moves any more
            while sent < 10_000 and pipe.send([b"t", big]):
                sent += 1
            await asyncio.sleep(0.01)
        assert sent < 10_000, "the pipe never filled up"
        surely = [[b"a", b"%d" % number] for number in range(3)]
        for parts in surely:
            pipe.send_surely(parts)
        got: list[list[bytes]] = []

        def read() -> bool:
            pipe.retry()
            while pull.poll(0):
                got.append(pull.recv_multipart())
            return surely[-1] in got

        await until(read)
        assert [parts for parts in got if parts[0] == b"a"] == surely
        assert got == [[b"o", b"first"], *[[b"t", big]] * sent, *surely], "accepted and lost"
        pull.close()
        pipe.close()

    run(test())


@both_wires
def test_what_was_kept_for_an_old_stay_is_void_and_a_new_one_has_its_token(
    directory: Path, kind: str
) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory, token=b"1.1")
        pipe.send_surely([b"o", b"old"])
        assert pipe.reset(open_=True, token=b"1.2") == [[b"o", b"old"]]
        pipe.send_surely([b"o", b"new"])
        pull = connect(PULL, ipc(directory, NAME))
        await until(pipe.retry)
        assert await receive(pull) == [b"o1.2", b"new"]
        pull.close()
        pipe.close()

    run(test())


# By an outlet that has as much room as it is told.


def test_what_must_arrive_takes_along_what_was_kept_when_there_is_room() -> None:
    pipe = opened(outlet := Room())
    pipe.send_surely([b"o", b"0"])
    assert outlet.sent == []
    outlet.room = 2
    pipe.send_surely([b"o", b"1"])
    assert outlet.sent == [[b"o", b"0"], [b"o", b"1"]]


def test_a_tick_goes_behind_what_was_kept_as_soon_as_there_is_room_for_both() -> None:
    pipe = opened(outlet := Room())
    pipe.send_surely([b"kept"])
    outlet.room = 1
    assert not pipe.send([b"tick"])
    pipe.send_surely([b"again"])
    outlet.room = 2
    assert pipe.send([b"tick"])
    assert outlet.sent == [[b"kept"], [b"again"], [b"tick"]]


def test_a_pipe_that_would_keep_too_much_is_overrun_until_its_next_stay() -> None:
    """Not to say so would cost all memory; to say so of the next stay, that one too."""
    pipe = Pipe(Room())
    assert not pipe.overrun
    pipe.reset(open_=True)
    pipe.most_kept = 1
    pipe.send_surely([b"first"])
    assert not pipe.overrun
    pipe.send_surely([b"second"])
    assert pipe.overrun
    pipe.reset(open_=True)
    assert not pipe.overrun


def test_a_closed_pipe_takes_nothing() -> None:
    pipe = opened(outlet := Room(100))
    pipe.reset(open_=False)
    assert not pipe.send([b"t", b"x"])
    pipe.send_surely([b"o", b"x"])
    assert outlet.sent == []
    assert not pipe.waiting
    assert repr(pipe) == "<Pipe closed, 0 kept, 0 dropped>"


def test_a_pipe_closes_its_outlet() -> None:
    pipe = opened(outlet := Room())
    pipe.close()
    assert outlet.closed


def test_a_pipe_may_be_written_to_only_while_nothing_has_to_go_first() -> None:
    outlet = Room(100)
    pipe = Pipe(outlet)

    def turn(fd: int) -> int:
        outlet.fd = fd
        outlet.turned()
        return pipe.fd

    assert turn(7) == -1, "it is closed"
    pipe.reset(open_=True)
    assert (pipe.fd, turn(-1), turn(8)) == (7, -1, 8)
    outlet.room = 0
    pipe.send_surely([b"kept"])
    assert (pipe.fd, turn(9)) == (-1, -1), "what is kept goes first"
    outlet.room = 1
    assert pipe.retry()
    assert pipe.fd == 9
    pipe.unsent(b"abcdef", 2)
    assert outlet.first == [b"cdef"]
    pipe.reset(open_=False)
    assert pipe.fd == -1
