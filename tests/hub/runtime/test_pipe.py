"""Writing without waiting: what finds no room, what is kept, and in which order it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from hub.core import hot
from hub.core.names import pipe_name
from hub.runtime.links import PULL, connect, ipc
from hub.runtime.pipe import Pipe
from tests.hub.runtime.kit import Way, both_wires, receive, run, until

NAME = pipe_name(0)


def ticks(*values: bytes) -> bytes:
    """A batch; `b"A1"` is a tick of topic A."""
    return hot.pack([part for value in values for part in (value[:1], value)])


TICK = ticks(b"A1")


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
def test_ticks_that_find_no_room_wait_and_nobody_else_does(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory)
        assert not pipe.send_ticks(b"t", [ticks(b"A1", b"B1"), ticks(b"A2")])
        pull = connect(PULL, ipc(directory, NAME))
        await until(pipe.retry)
        assert await receive(pull) == [b"t", ticks(b"B1", b"A2")]
        pull.close()
        pipe.close()

    run(test())


@both_wires
def test_what_must_arrive_waits_in_order_before_later_ticks(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory)
        for number in range(5):
            pipe.send_surely([b"o", b"%d" % number])
        assert not pipe.send_ticks(b"t", [TICK])
        assert not pipe.retry()
        assert pipe.waiting
        pull = connect(PULL, ipc(directory, NAME))
        await until(lambda: pipe.send_ticks(b"t", [TICK]))
        assert not pipe.waiting
        assert [await receive(pull) for _ in range(7)] == [
            *([b"o", b"%d" % number] for number in range(5)),
            *([b"t", TICK] for _ in range(2)),
        ]
        pull.close()
        pipe.close()

    run(test())


@both_wires
def test_a_full_pipe_conflates_ticks_and_loses_nothing_else(directory: Path, kind: str) -> None:
    async def test() -> None:
        pipe = pipe_of(kind, directory, queue=10)
        pull = connect(PULL, ipc(directory, NAME), queue=10)
        pipe.send_surely([b"o", b"first"])
        await until(pipe.retry)
        big, sent = ticks(b"B" * 100_000), 0
        for _ in range(20):  # until nothing moves any more
            while sent < 10_000 and pipe.retry() and pipe.send_ticks(b"t", [big]):
                sent += 1
            await asyncio.sleep(0.01)
        assert sent < 10_000, "the pipe never filled up"
        for number in range(3):
            assert not pipe.send_ticks(b"t", [ticks(b"A%d" % number)])
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
        first, *ticks_, newest, a, b, c = got
        assert (first, newest) == ([b"o", b"first"], [b"t", ticks(b"B" * 100_000, b"A2")])
        assert [a, b, c] == surely
        assert ticks_ == [[b"t", big]] * len(ticks_)
        assert len(ticks_) >= sent, "taken and lost"
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
    assert not pipe.send_ticks(b"t", [TICK])
    pipe.send_surely([b"again"])
    outlet.room = 3
    assert pipe.send_ticks(b"t", [ticks(b"A2")])
    assert outlet.sent == [[b"kept"], [b"t", TICK], [b"again"], [b"t", ticks(b"A2")]]


def test_ticks_that_wait_are_the_newest_of_each_topic_in_the_order_in_which_they_came() -> None:
    pipe = opened(outlet := Room(), token=b"9")
    pipe.send_ticks(b"t", [ticks(b"A1", b"B1"), ticks(b"C1")])
    pipe.send_ticks(b"t", [ticks(b"A2")])
    pipe.send_ticks(b"k", [ticks(b"D1", b"B2")])
    assert (pipe.conflated, pipe.waiting, pipe.fd) == (2, True, -1)
    outlet.room = 100
    assert pipe.retry()
    assert outlet.sent == [[b"t9", ticks(b"C1", b"A2")], [b"k9", ticks(b"D1", b"B2")]]


def test_ticks_that_wait_keep_their_place_before_what_must_arrive() -> None:
    """Of two that are told `opened` between them, the one behind may be seen by who was not there
    before; an order update has no place among ticks, and so splits none."""
    pipe = opened(outlet := Room())
    pipe.send_ticks(b"t", [ticks(b"A1")])
    pipe.send_surely([b"a", b"order"])
    pipe.send_ticks(b"t", [ticks(b"A2")])
    pipe.send_surely([b"o", b"opened"])
    pipe.send_ticks(b"t", [ticks(b"A3")])
    outlet.room = 100
    pipe.send_ticks(b"t", [ticks(b"A4")])
    assert outlet.sent == [
        [b"t", ticks(b"A2")],
        [b"a", b"order"],
        [b"o", b"opened"],
        [b"t", ticks(b"A3")],
        [b"t", ticks(b"A4")],
    ]
    assert not pipe.waiting


def test_ticks_that_wait_go_in_messages_of_a_bounded_size_and_those_sent_are_sent_once() -> None:
    pipe = opened(outlet := Room())
    many = [part for n in range(2500) for part in (b"%d" % n, b"x" * (n % 2 * 2000))]
    pipe.send_ticks(b"t", [hot.pack(many)])
    outlet.room = 1
    assert not pipe.retry()
    pipe.send_ticks(b"t", [hot.pack([b"0", b"new", b"2400", b"new"])])
    outlet.room = 100
    assert pipe.retry()
    batches = [hot.unpack(batch) for _, batch in outlet.sent]
    assert max(map(len, batches)) <= 2000
    assert max(sum(map(len, batch)) for batch in batches) < 2 << 20
    got = [pair for batch in batches for pair in zip(batch[::2], batch[1::2], strict=True)]
    sent = [*zip(many[::2], many[1::2], strict=True)]
    sent.remove((b"2400", b""))
    assert got == [*sent, (b"0", b"new"), (b"2400", b"new")]


def test_ticks_that_waited_in_an_earlier_stay_are_void() -> None:
    pipe = opened(outlet := Room())
    pipe.send_ticks(b"t", [ticks(b"A1")])
    pipe.send_surely([b"o", b"old"])
    assert pipe.reset(open_=True) == [[b"o", b"old"]]
    pipe.send_ticks(b"t", [ticks(b"B1")])
    outlet.room = 100
    assert pipe.retry()
    assert outlet.sent == [[b"t", ticks(b"B1")]]


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


def test_what_must_arrive_is_bounded_in_bytes_too() -> None:
    pipe = opened(outlet := Room())
    pipe.most_bytes = 1000
    for turn in range(3):
        pipe.send_surely([b"a", b"x" * 500])
        pipe.send_surely([b"a", b"x" * 500])
        assert not pipe.overrun
        if turn == 1:
            pipe.reset(open_=True)
            continue
        outlet.room = 2
        assert pipe.retry(), "what has gone counts no more"
    pipe.send_surely([b"a", b"x" * 1000])
    pipe.send_surely([b"a"])
    assert pipe.overrun


def test_a_closed_pipe_takes_only_what_its_reader_is_keeper_of() -> None:
    pipe = opened(outlet := Room(100))
    pipe.reset(open_=False)
    assert not pipe.send_ticks(b"t", [TICK])
    pipe.send_surely([b"o", b"x"])
    assert not pipe.waiting
    assert repr(pipe) == "<Pipe closed, 0 kept, 0 conflated>"
    assert not pipe.send_ticks(b"k", [ticks(b"A1", b"B1", b"A2")])
    assert not pipe.retry()
    assert outlet.sent == []
    asked: list[bytes] = []

    def keep(topic: bytes) -> bool:
        asked.append(topic)
        return topic == b"A"

    pipe.begin(b"5", keep)
    assert sorted(asked) == [b"A", b"B"]
    assert outlet.sent == [[b"l5", ticks(b"A2")]], "how old it is nobody says"
    assert (pipe.open, pipe.waiting, pipe.conflated) == (True, False, 0)


def test_what_a_closed_pipe_keeps_is_bounded_and_forgotten_when_others_are_sent_it() -> None:
    pipe = opened(outlet := Room(100))
    pipe.most_topics = 2
    pipe.forget([b"A"])
    pipe.reset(open_=False)
    for value in (b"A1", b"B1", b"A2", b"C1", b"D1"):
        pipe.send_ticks(b"k", [ticks(value)])
    pipe.forget([b"D", b"Z"])
    assert not pipe.waiting, "there is nothing to be done until it is open"
    pipe.begin(b"", lambda _: True)
    assert outlet.sent == [[b"l", ticks(b"C1")]], "the oldest of three went"
    pipe.forget([b"C"])


def test_ticks_that_nobody_may_join_any_more_count_in_bytes() -> None:
    """Between changes of interest nothing is conflated: 2,000,000 ticks of 100 topics waited."""
    pipe = opened(outlet := Room())
    pipe.most_bytes = 1000
    rounds = 0
    while not pipe.overrun:
        pipe.send_ticks(b"t", [ticks(b"A" + b"x" * 100)])
        pipe.send_surely([b"q", b"question"])
        rounds += 1
    assert rounds == 11
    outlet.room = 1000
    assert pipe.retry()
    assert pipe._size == 0
    pipe.overrun = False
    pipe.send_surely([b"q"])
    assert not pipe.overrun


def test_a_stay_that_follows_another_begins_with_nothing() -> None:
    pipe = opened(outlet := Room())
    pipe.send_ticks(b"k", [TICK])
    outlet.room = 100
    pipe.begin(b"5", lambda _: True)
    assert outlet.sent == []


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
