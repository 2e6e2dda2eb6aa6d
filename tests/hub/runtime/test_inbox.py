"""What many send to one: the ingest, and what it has in common with the bus (test_native.py)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import zmq

from hub.core import zmtp
from hub.core.hot import message
from hub.core.window import Window
from hub.runtime.inbox import _QUIET_READS, Bus, Gather
from hub.runtime.links import PUSH, connect, ipc
from hub.runtime.peer import Peer
from hub.runtime.pump import BATCH, Pump
from tests.hub.runtime.kit import run, until

HELLO = zmtp.greeting() + zmtp.command(b"READY", b"\x0bSocket-Type\x00\x00\x00\x04PUSH")
NONSENSE = b"\xff" * 9


class Gathering:
    """An ingest that is read; `got` is what came, `done` how much at the end of each batch."""

    def __init__(self, directory: Path, *, queue: int = 1000, pump: bool = True) -> None:
        self.path = directory / "x"
        self.got: list[list[bytes]] = []
        self.done: list[int] = []
        self.gather = Gather(self.path, queue=queue, most_bytes=1000, take=self.take)
        self.pump = Pump(lambda: self.done.append(len(self.got)), Window(0))
        if pump:
            self.pump.add(self.gather)

    def take(self, parts: list[bytes]) -> int:
        self.got.append(parts)
        if parts == [b"fault"]:
            raise ZeroDivisionError
        return len(parts)

    def sender(self, said: bytes = HELLO) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.path))
        sock.sendall(said)
        return sock

    def close(self) -> None:
        self.pump.close()
        self.gather.close()


def test_what_several_push_comes_in_the_order_of_each(directory: Path) -> None:
    async def test() -> None:
        gathering = Gathering(directory)
        pushes = [connect(PUSH, ipc(directory, "x"), queue=0) for _ in range(3)]
        for number in range(2 * BATCH):
            for sender, push in enumerate(pushes):
                push.send_multipart([b"%d" % sender, b"%d" % number])
        await until(lambda: len(gathering.got) == 6 * BATCH)
        for sender, push in enumerate(pushes):
            mine = [rest for first, rest in gathering.got if first == b"%d" % sender]
            assert mine == [b"%d" % number for number in range(2 * BATCH)]
            push.close()
        gathering.close()
        assert not gathering.path.exists()

    run(test())


def test_what_comes_before_nonsense_is_taken_and_the_batch_has_its_end(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else ticks would wait for somebody else's."""

    async def test() -> None:
        gathering = Gathering(directory)
        sock = gathering.sender(HELLO + message([b"a"]) + message([b"b"]) + NONSENSE)
        await until(lambda: gathering.done and gathering.done[-1] == 2)
        assert gathering.got == [[b"a"], [b"b"]]
        sock.close()
        gathering.close()

    run(test())
    assert "ingest: a feed is cut off: a frame with the flags 0xff" in caplog.text


def test_pairs_before_nonsense_are_the_end_of_a_batch_too() -> None:
    async def test() -> None:
        got: list[bytes] = []
        done: list[int] = []
        bus = Bus(
            "127.0.0.1", 0, queue=10, largest_bytes=100, most_bytes=400,
            take=lambda pairs, bad: got.extend(pairs),
        )  # fmt: skip
        pump = Pump(lambda: done.append(len(got)), Window(0))
        pump.add(bus)
        with socket.create_connection(("127.0.0.1", bus.port)) as sock:
            sock.sendall(HELLO.replace(b"\x04PUSH", b"\x04XPUB") + message([b"t", b"{}"]))
            sock.sendall(NONSENSE)
            await until(lambda: got)
            await until(lambda: done and done[-1] == 2)
        pump.close()

    run(test())


def test_who_takes_says_as_how_many_messages_one_counts(directory: Path) -> None:
    """A turn may have fewer messages than a batch, and be one."""

    async def test() -> None:
        gathering = Gathering(directory, pump=False)
        sock = gathering.sender(HELLO + message([b""] * 15) * 200)
        await until(lambda: gathering.gather._peers)
        assert gathering.gather.read() >= BATCH
        assert len(gathering.got) == 67, "the queue is of a thousand"
        while len(gathering.got) < 200:
            gathering.gather.read()
        assert gathering.gather.read() == 0
        sock.close()
        gathering.close()

    run(test())


def test_a_fault_of_who_takes_costs_one_message(directory: Path) -> None:
    async def test() -> None:
        gathering = Gathering(directory)
        sock = gathering.sender(HELLO + b"".join(message([one]) for one in (b"a", b"fault", b"b")))
        await until(lambda: len(gathering.got) == 3)
        assert gathering.got[-1] == [b"b"]
        assert gathering.pump.faults == 1
        sock.close()
        gathering.close()

    run(test())


@pytest.mark.parametrize("queue", [1, 7, 1000])
def test_no_more_than_the_queue_is_read_of_a_sender_in_a_turn(directory: Path, queue: int) -> None:
    async def test() -> None:
        gathering = Gathering(directory, queue=queue, pump=False)
        loud = gathering.sender(HELLO + message([b"loud"]) * 1500)
        await until(lambda: len(gathering.gather._peers) == 1)
        quiet = gathering.sender(HELLO + message([b"quiet"]))
        await until(lambda: len(gathering.gather._peers) == 2)
        turns = 0
        while len(gathering.got) < 1501:
            before = gathering.got.count([b"loud"])
            more = gathering.gather.read()
            assert gathering.got.count([b"loud"]) - before <= queue
            turns += 1
            if turns == 2:  # the first shakes hands
                assert [b"quiet"] in gathering.got
            assert more >= BATCH or len(gathering.got) in {0, 1501}
        assert gathering.gather.read() == 0
        loud.close()
        quiet.close()
        gathering.close()

    run(test())


def test_who_sends_too_much_or_is_of_another_kind_is_cut_off_and_disturbs_no_other(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        gathering = Gathering(directory)
        good = gathering.sender()
        large = gathering.sender(HELLO + message([b"x" * 1001]))
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stranger = context.socket(zmq.REQ)
        stranger.connect(f"ipc://{gathering.path}")
        await until(lambda: gathering.gather._bad >= 2)
        good.sendall(message([b"good"]))
        await until(lambda: gathering.got == [[b"good"]])
        stranger.close(linger=0)
        context.destroy(linger=0)
        good.close()
        large.close()
        await until(lambda: not gathering.gather._peers)
        assert repr(gathering.gather) == "<Gather of 0, 0 busy>"
        gathering.close()

    run(test())


def test_a_gather_that_is_closed_leaves_nothing(directory: Path) -> None:
    async def test() -> None:
        gathering = Gathering(directory)
        sock = gathering.sender()
        await until(lambda: gathering.gather._peers)
        (peer,) = gathering.gather._peers
        held = peer.sock.fileno()
        gathering.close()
        assert not asyncio.get_running_loop().remove_reader(held)
        sock.settimeout(10)
        while sock.recv(1000):
            pass
        sock.close()

    run(test())


def counted(peer: Peer) -> list[int]:
    """What its reads from now on find, in bytes."""
    reads: list[int] = []
    receive = peer.receive

    def receive_counted() -> int:
        got = receive()
        reads.append(got)
        return got

    peer.receive = receive_counted
    return reads


async def shaken(gathering: Gathering, count: int) -> tuple[list[socket.socket], list[Peer]]:
    """Senders that have shaken hands, in the order in which they came."""
    socks = [gathering.sender() for _ in range(count)]
    await until(lambda: len(gathering.gather._peers) == count)

    def ready() -> bool:
        gathering.gather.read()
        return all(peer.ready for peer in gathering.gather._peers)

    await until(ready)
    peers = sorted(gathering.gather._peers, key=lambda peer: peer.fd)
    return socks, peers


def test_at_its_own_pace_only_those_are_read_that_have_said_something_of_late(
    directory: Path,
) -> None:
    async def test() -> None:
        gathering = Gathering(directory, pump=False)
        gather = gathering.gather
        (talks, silent), peers = await shaken(gathering, 2)
        reads = [counted(peer) for peer in peers]
        for _ in range(3 * _QUIET_READS):
            talks.sendall(message([b"x"]))
            await asyncio.sleep(0)
            assert gather.read() == 1
        assert sum(len(found) for found in reads) <= 4 * _QUIET_READS + 1
        assert repr(gather) == "<Gather of 2, 1 busy>"
        silent.sendall(message([b"y"]))
        await until(lambda: len(gather._busy) == 2)
        talks.sendall(message([b"x"]))
        assert gather.read() == 2
        assert gathering.got[-2:] in ([[b"x"], [b"y"]], [[b"y"], [b"x"]])
        silent.sendall(message([b"z"]))
        assert gather.read() == 1, "it is busy, so nobody has to tell of it"
        gathering.close()
        for sock in (talks, silent):
            sock.close()

    run(test())


def test_who_is_watched_is_read_only_when_it_has_said_something(directory: Path) -> None:
    async def test() -> None:
        gathering = Gathering(directory, pump=False)
        gather = gathering.gather
        (talks, silent), _ = await shaken(gathering, 2)
        woken: list[int] = []
        gather.watch(lambda: woken.append(gather.read()))
        gather.read()
        reads = [counted(peer) for peer in gather._peers]
        for _ in range(3):
            woken.clear()
            talks.sendall(message([b"x"]))
            await until(lambda: woken == [1])
        assert sorted(map(len, reads)) == [0, 3]
        assert repr(gather) == "<Gather of 2, 0 busy>"
        gather.watch(None)  # and at its own pace both again
        for sock in (talks, silent):
            sock.sendall(message([b"y"]))
        await until(lambda: len(gather._busy) == 2)
        assert gather.read() == 2
        gather.watch(lambda: woken.append(gather.read()))
        woken.clear()
        silent.sendall(message([b"z"]))
        await until(lambda: sum(woken) == 1)
        gathering.close()
        for sock in (talks, silent):
            sock.close()

    run(test())
