"""ZMQ's sockets without libzmq: against libzmq, against older ones by script, against anybody."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.core import hot, zmtp
from hub.core.hot import message
from hub.core.window import Window
from hub.runtime import native, peer
from hub.runtime.inbox import Bus
from hub.runtime.native import Pull, Push
from hub.runtime.pump import BATCH, Inlet, Pump
from tests.hub.runtime.kit import Wide, receive, run, until

GREETING = zmtp.greeting()
GOOD = [b"NSE_B_LTP", b"{}"]


def ready(kind: bytes) -> bytes:
    return zmtp.command(b"READY", b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind)


class Reading:
    """A bus that is read; `pairs` and `bad` are what came of it."""

    def __init__(
        self,
        *,
        port: int = 0,
        queue: int = 100_000,
        most_bytes: int = 1024,
        width_ms: float = 0,
        pump: bool = True,
    ) -> None:
        self.pairs: list[bytes] = []
        self.bad = 0
        self.turns: list[int] = []
        self.bus = Bus(
            "127.0.0.1",
            port,
            queue=queue,
            largest_bytes=most_bytes,
            most_bytes=4 * most_bytes,
            take=self._take,
        )
        self.pump: Inlet | Pump = self.bus
        if pump:
            self.pump = Pump(lambda: None, Wide(width_ms))
            self.pump.add(self.bus)

    def _take(self, pairs: list[bytes], bad: int) -> None:
        self.pairs += pairs
        self.bad += bad
        self.turns.append(len(pairs) // 2 + bad)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.bus.port}"

    @property
    def peers(self) -> int:
        return len(self.bus._peers)

    def of(self, topic: bytes) -> list[bytes]:
        """What came of one topic."""
        pairs = zip(self.pairs[::2], self.pairs[1::2], strict=True)
        return [payload for found, payload in pairs if found == topic]

    def count(self) -> int:
        return len(self.pairs) // 2

    async def arrive(self, publisher: Stock, topic: bytes = b"ARRIVED") -> None:
        """Wait until what is published arrives (a PUB drops what comes before that)."""

        def arrived() -> bool:
            publisher.sock.send_multipart([topic, b""])
            return topic in self.pairs

        await until(arrived)

    def raw(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.bus.port))
        sock.setblocking(False)
        return sock

    async def shaken(self, *, said: bytes = GREETING + ready(b"PUB")) -> socket.socket:
        """A publisher by hand that has shaken hands."""
        sock = self.raw()
        sock.sendall(said)
        heard = b""
        while zmtp.subscribe(b"", 1) not in heard:
            heard += await hear(sock)
        return sock

    async def all_shaken(self, count: int) -> list[socket.socket]:
        """Publishers by hand, in the order in which the bus knows them; the test reads itself."""
        socks = []
        for number in range(count):
            socks.append(self.raw())
            socks[-1].sendall(GREETING + ready(b"PUB"))
            await until(lambda number=number: self.peers > number)  # type: ignore[misc]

        def shaken() -> bool:
            self.bus.read()
            return all(peer.ready for peer in self.bus._peers)

        await until(shaken)
        return socks

    def close(self) -> None:
        self.pump.close()


class Stock:
    """A socket of libzmq in a context of its own, as in a process of its own."""

    def __init__(self, kind: int, address: str, **options: Any) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.sock = self.context.socket(kind)
        self.sock.linger = 0
        for name, value in ({"RECONNECT_IVL": 20, "SNDHWM": 0} | options).items():
            self.sock.setsockopt(getattr(zmq, name), value)
        self.sock.connect(address)

    def close(self) -> None:
        self.context.destroy(linger=0)


@contextmanager
def stocks(*made: Stock) -> Iterator[tuple[Stock, ...]]:
    try:
        yield made
    finally:
        for one in made:
            one.close()


async def hear(sock: socket.socket, most: int = 1 << 16) -> bytes:
    """What comes next; nothing when the other side has hung up."""
    async with asyncio.timeout(20):
        try:
            return await asyncio.get_running_loop().sock_recv(sock, most)
        except ConnectionError:
            return b""


async def hung_up(sock: socket.socket) -> None:
    """Read on until the other side has hung up."""
    while await hear(sock):
        pass
    sock.close()


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


# The bus and libzmq.


@pytest.mark.parametrize("width_ms", [0, 2])
@pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB])
def test_several_publishers_each_in_its_order(kind: int, width_ms: float) -> None:
    async def test() -> None:
        reading = Reading(width_ms=width_ms)
        with stocks(*(Stock(kind, reading.address) for _ in range(3))) as publishers:
            for number, publisher in enumerate(publishers):
                await reading.arrive(publisher, b"ARRIVED%d" % number)
            for count in range(2 * BATCH):
                for number, publisher in enumerate(publishers):
                    publisher.sock.send_multipart([b"FROM%d" % number, b"%d" % count])
            await until(
                lambda: all(len(reading.of(b"FROM%d" % number)) == 2 * BATCH for number in range(3))
            )
            for number in range(3):
                assert reading.of(b"FROM%d" % number) == [b"%d" % n for n in range(2 * BATCH)]
            assert reading.bad == 0
            reading.close()

    run(test())


def test_a_publisher_may_be_there_before_the_bus_and_stay_when_it_is_started_anew() -> None:
    async def test() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        with stocks(Stock(zmq.PUB, f"tcp://127.0.0.1:{port}")) as (publisher,):
            await asyncio.sleep(0.05)
            for _ in range(3):
                reading = Reading(port=port)
                await reading.arrive(publisher)
                reading.close()

    run(test())


@pytest.mark.parametrize("width_ms", [0, 2])
def test_heartbeats_are_answered_and_the_connection_stays(width_ms: float) -> None:
    async def test() -> None:
        reading = Reading(width_ms=width_ms)
        options = {"HEARTBEAT_IVL": 30, "HEARTBEAT_TIMEOUT": 600}
        with stocks(Stock(zmq.PUB, reading.address, **options)) as (publisher,):
            watch = publisher.sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            await reading.arrive(publisher)
            await asyncio.sleep(1.3)
            assert not watch.poll(0), "it took the bus for dead"
            publisher.sock.disable_monitor()
            watch.close()
            reading.close()

    run(test())


def test_a_publisher_that_nobody_answers_does_take_the_bus_for_dead() -> None:
    """That is what the test before this one would see."""

    async def test() -> None:
        reading = Reading(pump=False)
        options = {"HEARTBEAT_IVL": 30, "HEARTBEAT_TIMEOUT": 60}
        with stocks(Stock(zmq.PUB, reading.address, **options)) as (publisher,):
            watch = publisher.sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)

            def shaken() -> bool:
                reading.bus.read()
                return any(peer.ready for peer in reading.bus._peers)

            await until(shaken)
            await until(lambda: watch.poll(0))
            publisher.sock.disable_monitor()
            watch.close()
            reading.close()

    run(test())


@pytest.mark.parametrize("width_ms", [0, 2])
def test_what_is_malformed_is_counted_and_nothing_else_is_lost(width_ms: float) -> None:
    async def test() -> None:
        reading = Reading(width_ms=width_ms)
        with stocks(Stock(zmq.PUB, reading.address)) as (publisher,):
            await reading.arrive(publisher)
            reading.pairs.clear()
            for number in range(1000):
                publisher.sock.send_multipart([b"ONE"])
                publisher.sock.send_multipart([b"TWO", b"%d" % number])
                publisher.sock.send_multipart([b"ONE", b"TWO", b"THREE"])
                publisher.sock.send_multipart([b"LARGE", b"x" * 1025])
            await until(lambda: len(reading.of(b"TWO")) == 1000)
            await until(lambda: reading.bad == 3000)
            assert reading.of(b"TWO") == [b"%d" % number for number in range(1000)]
            assert reading.of(b"ONE") == reading.of(b"LARGE") == []
            reading.close()

    run(test())


@pytest.mark.parametrize("name", ["REQ", "REP", "DEALER", "PUSH", "SUB", "PAIR"])
def test_sockets_of_another_kind_are_refused_and_the_others_notice_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        reading = Reading()
        with stocks(Stock(zmq.PUB, reading.address)) as (publisher,):
            await reading.arrive(publisher)
            with stocks(Stock(getattr(zmq, name), reading.address)):
                await until(lambda: reading.bad >= 1)  # or it leaves first: it sees the same
            publisher.sock.send_multipart(GOOD)
            await until(lambda: reading.of(GOOD[0]))
            await until(lambda: reading.peers == 1)
            reading.close()

    run(test())
    refused, left = f"it is a socket of type {name}", "it has not shaken hands to the end"
    assert f"a publisher is cut off: {refused}" in caplog.text or left in caplog.text
    assert caplog.text.count("cut off") == 1, "once a minute"


@pytest.mark.parametrize("mechanism", ["CURVE", "PLAIN"])
def test_who_wants_to_be_let_in_by_a_secret_is_refused_in_words(
    mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        reading = Reading()
        options: dict[str, Any] = {"PLAIN_USERNAME": b"user", "PLAIN_PASSWORD": b"word"}
        if mechanism == "CURVE":
            public, secret = zmq.curve_keypair()
            options = {"CURVE_SERVERKEY": public, "CURVE_PUBLICKEY": public}
            options["CURVE_SECRETKEY"] = secret
        while not reading.bad:  # one that hears of NULL before it says a word comes only once
            with stocks(Stock(zmq.PUB, reading.address, **options)):
                await asyncio.sleep(0.02)
        reading.close()

    run(test())
    assert "should it want CURVE or PLAIN: this socket has NULL" in caplog.text


# The bus and libzmq of other versions, by hand.


@pytest.mark.parametrize(
    ("steps", "subscription"),
    [
        # 4.0: ten bytes; when the peer has greeted its version, then the rest.
        ([GREETING[:10], b"\x03", b"\x00" + GREETING[12:]], b"\x00\x01\x01"),
        # 4.2: the same, and heartbeats.
        ([GREETING[:11], b"\x00" + GREETING[12:]], b"\x00\x01\x01"),
        # 4.3.3 and later.
        ([GREETING[:10], GREETING[10:]], b"\x04\x0a\x09SUBSCRIBE"),
        # All at once.
        ([GREETING], b"\x04\x0a\x09SUBSCRIBE"),
    ],
)
def test_a_publisher_of_an_older_libzmq_is_greeted_and_subscribed_to(
    steps: list[bytes], subscription: bytes
) -> None:
    async def test() -> None:
        reading = Reading()
        sock = reading.raw()
        sock.sendall(steps[0])
        heard = b""
        while len(heard) < 64:  # it says nothing more before it has heard this much
            heard += await hear(sock)
        assert heard[:64] == GREETING
        for step in steps[1:]:
            sock.sendall(step)
            await asyncio.sleep(0.01)
        heard = heard[64:]
        while len(heard) < 27:
            heard += await hear(sock)
        assert heard == ready(b"SUB")
        sock.sendall(ready(b"PUB"))
        heard = b""
        while len(heard) < len(subscription):
            heard += await hear(sock)
        assert heard == subscription
        sock.sendall(message(GOOD) + zmtp.command(b"PING", b"\0\0") + message(GOOD))
        assert await hear(sock) == zmtp.command(b"PONG")
        assert reading.pairs == GOOD * 2
        sock.close()
        await until(lambda: not reading.peers)
        reading.close()

    run(test())


def test_what_is_said_in_one_breath_with_the_handshake_is_not_lost() -> None:
    """A PUSH sends as soon as it has heard the greeting, and a reader may be late."""

    async def test() -> None:
        reading = Reading()
        sock = await reading.shaken(said=GREETING + ready(b"XPUB") + message(GOOD))
        await until(lambda: reading.pairs == GOOD)
        sock.close()
        reading.close()

    run(test())


# The bus and anybody.


@pytest.mark.parametrize("width_ms", [0, 2])
@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        bytes(100),
        b"\xff" * 100,
        GREETING + b"\x00\x01x",
        GREETING + ready(b"PUB") + b"\xff" * 20,
        GREETING + ready(b"PUB") + b"\x02" + b"\xff" * 8,
        GREETING + ready(b"PUB") + b"\x02" + (4097).to_bytes(8, "big"),
        GREETING + ready(b"PUB") + b"\x01\x00" * 100,
        GREETING + ready(b"PUB") + b"\x04\x00",
    ],
)
def test_rule_3_who_breaks_the_protocol_is_cut_off_and_disturbs_no_other(
    noise: bytes, width_ms: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        reading = Reading(width_ms=width_ms)
        good = await reading.shaken()
        good.sendall(message(GOOD))
        await until(lambda: reading.pairs)
        await asyncio.sleep(0)  # it is paced from now on
        before = descriptors()
        bad = reading.raw()
        bad.sendall(noise)
        for _ in range(10):
            good.sendall(message(GOOD))
        await hung_up(bad)
        await until(lambda: reading.count() == 11)
        assert reading.bad == 1
        assert reading.peers == 1
        assert descriptors() == before
        good.close()
        reading.close()

    run(test())
    assert "a publisher is cut off" in caplog.text


def test_rule_3_what_came_before_the_break_counts(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        reading = Reading()
        sock = reading.raw()
        sock.sendall(GREETING + ready(b"PUB") + message(GOOD) + message([b"ONE"]) + b"\xff" * 9)
        await hung_up(sock)
        await until(lambda: reading.bad == 2)
        assert reading.pairs == GOOD
        reading.close()

    run(test())


@pytest.mark.parametrize("cut", [3, 40, 64, 80, 95, 110])
def test_a_publisher_that_dies_in_the_middle_of_anything_leaves_nothing(cut: int) -> None:
    async def test() -> None:
        reading = Reading()
        before = descriptors()
        whole = GREETING + ready(b"PUB") + message([b"NSE_LONG_LTP", b"x" * 500])
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):  # in order, and by a reset
            sock = reading.raw()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.sendall(whole[:cut])
            await until(lambda: reading.peers == 1)
            await asyncio.sleep(0.01)
            sock.close()
            await until(lambda: reading.peers == 0)
        assert reading.pairs == []
        assert reading.bad == (2 if cut < 91 else 0), "who had begun to shake hands"
        assert descriptors() == before
        reading.close()

    run(test())


@pytest.mark.parametrize("said", [b"", GREETING[:10], GREETING, GREETING + b"\x04\x20\x05READY"])
def test_who_never_shakes_hands_is_hung_up_on_in_the_end(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else strangers that say nothing would hold all descriptors, and no publisher could come."""
    monkeypatch.setattr(peer, "_HANDSHAKE_S", 0.05)

    async def test() -> None:
        reading = Reading()
        good = await reading.shaken()
        sock = reading.raw()
        sock.sendall(said)
        await hung_up(sock)
        good.sendall(message(GOOD))
        await until(lambda: reading.pairs)
        assert reading.peers == 1, "who has shaken hands stays"
        good.close()
        reading.close()

    run(test())


def test_who_has_no_descriptor_left_lets_people_in_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(peer, "_FULL_S", 0.05)

    class Full:
        """A listening socket that has no descriptor to give, for a while."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock, self.refusals = sock, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

        def accept(self) -> Any:
            if self.refusals < 3:
                self.refusals += 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return self.sock.accept()

    async def test() -> None:
        reading = Reading()
        listener: Any = reading.bus._listener
        listener._sock = full = Full(listener._sock)
        sock = reading.raw()
        await until(lambda: full.refusals == 1)
        assert repr(listener) == "<Listener paused>"
        sock.sendall(GREETING + ready(b"PUB") + message(GOOD))
        await until(lambda: reading.pairs)
        assert full.refusals == 3
        assert repr(listener) == "<Listener open>"
        sock.close()
        reading.close()

    run(test())
    assert "nobody can be let in: Too many open files" in caplog.text


@pytest.mark.parametrize("error", [BlockingIOError, ConnectionAbortedError])
def test_who_has_left_before_it_was_let_in_is_nobody(error: type[OSError]) -> None:
    async def test() -> None:
        reading = Reading()
        listener: Any = reading.bus._listener

        class Gone:
            def accept(self) -> None:
                raise error

        real, listener._sock = listener._sock, Gone()
        listener._accept()
        listener._sock = real
        assert reading.peers == 0
        assert repr(listener) == "<Listener open>"
        reading.close()

    run(test())


def test_a_listener_that_is_closed_while_it_pauses_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer, "_FULL_S", 0.01)

    async def test() -> None:
        reading = Reading()
        listener: Any = reading.bus._listener
        real = listener._sock

        class Full:
            def accept(self) -> None:
                raise OSError(errno.EMFILE, "full")

            def fileno(self) -> int:
                return int(real.fileno())

            def close(self) -> None:
                real.close()

        listener._sock = Full()
        listener._accept()
        reading.close()
        reading.close()
        await asyncio.sleep(0.03)
        assert real.fileno() == -1

    run(test())


@pytest.mark.parametrize("queue", [1, 7, BATCH, 100_000])
def test_rule_2_no_more_than_the_queue_is_read_of_a_publisher_in_a_turn(queue: int) -> None:
    """The others have theirs in between."""

    async def test() -> None:
        reading = Reading(queue=queue, pump=False)
        socks = await reading.all_shaken(3)
        loud = b"".join(message([b"LOUD", b"%d" % number]) for number in range(2500))
        socks[0].sendall(loud)
        for sock in socks[1:]:
            sock.sendall(message(GOOD))
        await asyncio.sleep(0.05)
        turns = []
        while reading.count() < 2502:
            before = len(reading.of(b"LOUD"))
            more = reading.bus.read()
            turns.append(len(reading.of(b"LOUD")) - before)
            if len(turns) == 2:
                assert len(reading.of(GOOD[0])) == 2, "two turns, and not everybody had one"
            if reading.count() < 2502:
                assert more >= BATCH
        assert max(turns) <= min(queue, BATCH)
        assert reading.of(b"LOUD") == [b"%d" % number for number in range(2500)]
        assert not any(reading.bus.read() for _ in range(3))
        for sock in socks:
            sock.close()
        reading.close()

    run(test())


def test_a_turn_is_a_batch_of_all_publishers_and_who_had_none_is_the_next() -> None:
    async def test() -> None:
        reading = Reading(pump=False)
        socks = await reading.all_shaken(4)
        for number, sock in enumerate(socks):
            sock.sendall(message([b"%d" % number, b""]) * (BATCH + 1))
        await asyncio.sleep(0.05)
        for _ in range(4):
            assert reading.bus.read() >= BATCH
        assert [len(reading.of(b"%d" % number)) for number in range(4)] == [BATCH] * 4
        while reading.bus.read():
            pass
        assert [len(reading.of(b"%d" % number)) for number in range(4)] == [BATCH + 1] * 4
        for sock in socks:
            sock.close()
        reading.close()

    run(test())


def test_a_fault_of_who_takes_costs_what_was_read_and_no_connection() -> None:
    async def test() -> None:
        reading = Reading()
        sock = await reading.shaken()
        reading.bus._take = lambda pairs, bad: pairs.remove(b"")  # a fault
        sock.sendall(message(GOOD))
        pump = reading.pump
        assert isinstance(pump, Pump)
        await until(lambda: pump.faults)
        reading.bus._take = reading._take
        sock.sendall(message([b"NEXT", b""]))
        await until(lambda: reading.pairs)
        assert reading.pairs == [b"NEXT", b""]
        sock.close()
        reading.close()

    run(test())


def test_a_publisher_that_pings_and_never_listens_is_cut_off_at_last() -> None:
    """Nothing waits for it, in this process or in the loop."""

    async def test() -> None:
        reading = Reading()
        sock = await reading.shaken()
        pings = zmtp.command(b"PING", b"\0\0" + b"x" * 200) * 100

        async def ping() -> None:
            while True:
                await asyncio.get_running_loop().sock_sendall(sock, pings)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ping(), 20)
        sock.close()
        await until(lambda: not reading.peers)
        reading.close()

    run(test())


def test_a_bus_that_is_closed_leaves_nothing() -> None:
    async def test() -> None:
        before = descriptors()
        reading = Reading()
        socks = [await reading.shaken(), reading.raw()]
        await until(lambda: reading.peers == 2)
        assert repr(reading.bus).startswith("<Bus of 2, ")
        held = [peer.sock.fileno() for peer in reading.bus._peers]
        reading.close()
        for number in held:
            assert not asyncio.get_running_loop().remove_reader(number)
        for sock in socks:
            await hung_up(sock)
        assert descriptors() == before

    run(test())


# A shard's stream and libzmq.


class Streaming:
    """A Push and what connects to it."""

    def __init__(self, directory: Path, *, queue: int = 1000, most_bytes: int = 1 << 30) -> None:
        self.path = directory / "x"
        self.push = Push(self.path, queue=queue, most_bytes=most_bytes)
        self.address = f"ipc://{self.path}"

    def raw(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.path))
        sock.setblocking(False)
        return sock

    async def shaken(self) -> socket.socket:
        """A reader by hand that has shaken hands."""
        sock = self.raw()
        sock.sendall(GREETING + ready(b"PULL"))
        heard = b""
        while len(heard) < 64 + 28:
            heard += await hear(sock)
        assert heard == GREETING + ready(b"PUSH")
        return sock

    async def send(self, *parts: bytes) -> None:
        await until(lambda: self.push.send(parts))

    def fill(self, size: int = 100_000) -> list[bytes]:
        """Send until there is no room; what was accepted."""
        sent: list[bytes] = []
        while self.push.send([message := b"%06d" % len(sent) + b"x" * size]):
            sent.append(message)
        return sent


class Messages:
    """What comes at a reader by hand, decoded."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = hot.Decoder(1 << 30)
        self.items: list[list[bytes] | zmtp.Command] = []

    async def until(self, count: int) -> list[list[bytes] | zmtp.Command]:
        while len(self.items) < count:
            data = await hear(self.sock)
            assert data, "the stream ends"
            self.decoder.feed(data)
            while (item := self.decoder.item()) is not None:
                self.items.append(zmtp.read(item) if isinstance(item, bytes) else item)
        return self.items


def test_a_stock_reader_gets_what_is_sent(directory: Path) -> None:
    async def test() -> None:
        streaming = Streaming(directory)
        with stocks(Stock(zmq.PULL, streaming.address)) as (reader,):
            await streaming.send(b"first")
            sent = [[b"%d" % n, b"", b"y" * (n % 3 * 128), b"z" * 100_000] for n in range(100)]
            for parts in sent:
                await streaming.send(*parts)
            assert await receive(reader.sock) == [b"first"]
            assert [await receive(reader.sock) for _ in sent] == sent
        streaming.push.close()

    run(test())


def test_a_stock_writer_is_read(directory: Path) -> None:
    async def test() -> None:
        got: list[list[bytes]] = []
        pull = Pull(directory / "x", got.append, most_bytes=1 << 20)
        pump = Pump(lambda: None, Window(0))
        pump.add(pull)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        for number in range(2):  # it may go, and come back
            push = context.socket(zmq.PUSH)
            push.linger = 0
            push.setsockopt(zmq.HEARTBEAT_IVL, 20)
            push.setsockopt(zmq.HEARTBEAT_TIMEOUT, 20_000)  # machines are busy
            push.bind(f"ipc://{directory}/x")
            sent = [[b"%d" % number, b"%d" % n, b"z" * (n % 3 * 128)] for n in range(3000)]

            def send(sent: list[list[bytes]] = sent, push: zmq.Socket[bytes] = push) -> None:
                for parts in sent:
                    push.send_multipart(parts)

            await asyncio.to_thread(send)
            await until(lambda sent=sent: len(got) == len(sent))  # type: ignore[misc]
            assert got == sent
            got.clear()
            await asyncio.sleep(0.05)
            push.close()
        context.destroy(linger=0)
        pump.close()

    run(test())


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.PUB, zmq.DEALER])
def test_readers_of_another_kind_are_refused_and_the_reader_notices_nothing(
    directory: Path, kind: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        streaming = Streaming(directory)
        with stocks(Stock(kind, streaming.address)):
            await until(lambda: "a reader is cut off" in caplog.text)
            assert not streaming.push.send([b"nobody"])
            sock = await streaming.shaken()
            await streaming.send(b"a")
            assert await hear(sock) == message([b"a"])
            sock.close()
        streaming.push.close()

    run(test())
    assert "x: a reader is cut off: it is a socket of type" in caplog.text


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.REP, zmq.PULL])
def test_a_pull_has_nothing_to_do_with_writers_of_another_kind(
    directory: Path, kind: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on trying: the right one may come."""

    async def test() -> None:
        got: list[list[bytes]] = []
        pump = Pump(lambda: None, Window(0))
        pump.add(Pull(directory / "x", got.append, most_bytes=1000))
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        wrong = context.socket(kind)
        wrong.bind(f"ipc://{directory}/x")
        await until(lambda: "cut off" in caplog.text)
        wrong.close()
        context.destroy(linger=0)
        streaming = Streaming(directory)
        await streaming.send(b"right")
        await until(lambda: got == [[b"right"]])
        pump.close()
        streaming.push.close()

    run(test())
    assert "x: cut off: it is a socket of type" in caplog.text


def test_a_pull_reads_on_when_too_much_was_sent(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        got: list[list[bytes]] = []
        pump = Pump(lambda: None, Window(0))
        pump.add(Pull(directory / "x", got.append, most_bytes=1000))
        streaming = Streaming(directory)
        await streaming.send(b"before")
        await streaming.send(b"x" * 1001)
        await until(lambda: "cut off" in caplog.text)
        await until(lambda: streaming.push.send([b"after"]) and [b"after"] in got)
        assert got[0] == [b"before"]
        pump.close()
        streaming.push.close()

    run(test())


def test_a_pull_waits_for_a_writer_that_says_nothing_no_longer_than_for_a_handshake(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "_HANDSHAKE_S", 0.05)

    async def test() -> None:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(directory / "x"))
            mute.listen()
            mute.setblocking(False)
            pump = Pump(lambda: None, Window(0))
            pump.add(Pull(directory / "x", lambda _: None, most_bytes=1000))
            for _ in range(2):
                sock, _ = await asyncio.get_running_loop().sock_accept(mute)
                sock.setblocking(False)
                await hung_up(sock)
            pump.close()

    run(test())


def test_a_pull_that_is_closed_leaves_nothing_and_does_not_come_back(directory: Path) -> None:
    async def test() -> None:
        before = descriptors()
        pull = Pull(directory / "x", lambda _: None, most_bytes=1000)
        assert repr(pull) == "<Pull from x, None>"
        assert pull.read() == 0
        pull.close()
        streaming = Streaming(directory)
        await asyncio.sleep(0.1)
        assert not streaming.push._peers
        pull = Pull(directory / "x", lambda _: None, most_bytes=1000)
        pull.watch(lambda: None)
        await until(lambda: streaming.push._peers)
        pull.close()
        pull.close()
        await until(lambda: not streaming.push._peers)
        streaming.push.close()
        assert descriptors() == before

    run(test())


def test_who_takes_may_close_the_stream(directory: Path) -> None:
    """Its descriptor may be another's by then."""

    async def test() -> None:
        got: list[list[bytes]] = []

        def take(parts: list[bytes]) -> None:
            got.append(parts)
            pull.close()

        pull = Pull(directory / "x", take, most_bytes=1000)
        pump = Pump(lambda: None, Window(0))
        pump.add(pull)
        streaming = Streaming(directory)
        await streaming.send(b"the last")
        await until(lambda: got)
        assert pump.faults == 0
        await until(lambda: not streaming.push._peers)
        pump.close()
        streaming.push.close()

    run(test())


def test_a_fault_of_who_takes_costs_one_message_of_a_stream(directory: Path) -> None:
    async def test() -> None:
        got: list[bytes] = []

        def take(parts: list[bytes]) -> None:
            got.extend(parts)
            if parts == [b"1"]:
                raise ZeroDivisionError

        pump = Pump(lambda: None, Window(0))
        pump.add(Pull(directory / "x", take, most_bytes=1000))
        streaming = Streaming(directory)
        await streaming.send(b"0")
        for number in range(1, 4):
            assert streaming.push.send([b"%d" % number])
        await until(lambda: got == [b"0", b"1", b"2", b"3"])
        assert pump.faults == 1
        pump.close()
        streaming.push.close()

    run(test())


# A stream's writer and anybody.


@pytest.mark.parametrize("queue", [1, 3, 50])
def test_rule_2_what_waits_for_a_slow_reader_is_bounded_and_nothing_accepted_is_lost(
    directory: Path, queue: int
) -> None:
    async def test() -> None:
        streaming = Streaming(directory, queue=queue)
        push = streaming.push
        sock = await streaming.shaken()
        await until(lambda: push._reader)
        sent = streaming.fill()
        assert len(push._waiting) == queue
        for _ in range(10):
            assert not push.send([b"no room"])
            await asyncio.sleep(0)
        assert len(push._waiting) == queue
        assert repr(push) == (
            f"<Push to x, <Peer ready, <Decoder 0 bytes, 0 parts>>, {queue} waiting>"
        )
        messages = Messages(sock)
        await messages.until(2)
        await until(lambda: push.send([b"room again"]))
        assert await messages.until(len(sent) + 1) == [*([one] for one in sent), [b"room again"]]
        await until(lambda: not push._waiting)
        sock.close()
        push.close()

    run(test())


def test_what_waits_for_a_slow_reader_is_bounded_in_bytes_and_there_is_room_again(
    directory: Path,
) -> None:
    async def test() -> None:
        streaming = Streaming(directory, most_bytes=1 << 20)
        push = streaming.push
        sock = await streaming.shaken()
        await until(lambda: push._reader)
        sent = streaming.fill()
        waits = sum(map(len, push._waiting))
        assert 1 << 20 <= waits < (1 << 20) + 100_100
        messages = Messages(sock)
        await messages.until(5)
        for _ in range(3):
            await until(lambda: push.send([b"again"]))
        assert len(await messages.until(len(sent) + 3)) == len(sent) + 3
        await until(lambda: not push._waiting)
        assert push._waiting_bytes == 0
        streaming.fill()
        sock.close()
        await until(lambda: not push._peers)
        other = await streaming.shaken()
        await until(lambda: push.send([b"to the next"]))
        assert push._waiting_bytes == 0, "what waited for the one before is void"
        other.close()
        push.close()

    run(test())


def test_a_writer_does_not_look_whether_there_is_room_while_nothing_waits(directory: Path) -> None:
    """A socket with room would wake the loop in each turn."""

    async def test() -> None:
        streaming = Streaming(directory)
        sock = await streaming.shaken()
        await until(lambda: streaming.push._reader)
        reader = streaming.push._reader
        assert reader is not None
        sent = streaming.fill(300_000)
        messages = Messages(sock)
        await messages.until(len(sent))
        await until(lambda: not streaming.push._waiting)
        await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_writer(reader.sock.fileno())
        sock.close()
        streaming.push.close()

    run(test())


def test_rule_4_a_ping_in_the_middle_of_a_message_is_answered_behind_it(directory: Path) -> None:
    """Answered at once, it would stand in the middle of a part, or cost the reader."""

    async def test() -> None:
        streaming = Streaming(directory, queue=10)
        sock = await streaming.shaken()
        large = b"x" * 1_000_000
        await streaming.send(large)
        assert streaming.push._waiting
        messages = Messages(sock)
        sock.sendall(zmtp.command(b"PING", b"\0\0one"))
        await until(lambda: len(streaming.push._waiting) == 2)
        streaming.push.send([b"behind"])
        pong = zmtp.Command(b"PONG", b"one")
        assert await messages.until(3) == [[large], pong, [b"behind"]]
        sock.sendall(zmtp.command(b"PING", b"\0\0two"))
        assert (await messages.until(4))[3] == zmtp.Command(b"PONG", b"two")
        sock.close()
        streaming.push.close()

    run(test())


def test_rule_2_pings_fill_no_queue(directory: Path) -> None:
    async def test() -> None:
        streaming = Streaming(directory, queue=5)
        sock = await streaming.shaken()
        await until(lambda: streaming.push._reader)
        sent = streaming.fill(300_000)
        for _ in range(100):
            sock.sendall(zmtp.command(b"PING", b"\0\0"))
        messages = Messages(sock)
        await asyncio.sleep(0.02)
        assert len(streaming.push._waiting) == 5
        assert await messages.until(len(sent)) == [[one] for one in sent]
        sock.close()
        streaming.push.close()

    run(test())


def test_a_stock_reader_with_heartbeats_that_is_slow_is_not_cut_off(directory: Path) -> None:
    async def test() -> None:
        streaming = Streaming(directory, queue=20)
        options = {"HEARTBEAT_IVL": 20, "HEARTBEAT_TIMEOUT": 20_000, "RCVHWM": 5}
        with stocks(Stock(zmq.PULL, streaming.address, **options)) as (reader,):
            await until(lambda: streaming.push._reader)
            peer = streaming.push._reader
            sent: list[bytes] = []
            for _ in range(10):
                sent += streaming.fill()
                await asyncio.sleep(0.03)
            got = [(await receive(reader.sock))[0] for _ in sent]
            assert got == sent
            assert streaming.push._reader is peer
        streaming.push.close()

    run(test())


def test_a_second_reader_waits_for_the_first_to_leave(directory: Path) -> None:
    async def test() -> None:
        streaming = Streaming(directory)
        first = await streaming.shaken()
        await streaming.send(b"1")
        second, third = await streaming.shaken(), streaming.raw()
        await streaming.send(b"2")
        assert await Messages(first).until(2) == [[b"1"], [b"2"]]
        assert len(streaming.push._peers) == 3
        first.close()
        await until(lambda: len(streaming.push._peers) == 2)
        assert streaming.push.send([b"3"])
        assert await Messages(second).until(1) == [[b"3"]]
        second.close()
        await until(lambda: len(streaming.push._peers) == 1)
        assert not streaming.push.send([b"4"]), "the third has not shaken hands"
        third.sendall(GREETING + ready(b"PULL"))
        await streaming.send(b"5")
        third.close()
        streaming.push.close()

    run(test())


@pytest.mark.parametrize("told", ["by the socket", "by sending"])
def test_a_reader_that_is_killed_in_the_middle_takes_along_what_waited_for_it(
    directory: Path, told: str
) -> None:
    """The next one begins with a whole message."""

    async def test() -> None:
        streaming = Streaming(directory, queue=5)
        push = streaming.push
        sock = await streaming.shaken()
        await until(lambda: push._reader)
        if told == "by the socket":
            streaming.fill(300_000)
            sock.recv(1000)
            sock.close()
            await until(lambda: push._reader is None)
            assert not push._waiting
        else:
            following = await streaming.shaken()
            sock.close()
            assert not push.send([b"nobody"])
            assert push.send([b"the next in line"]), "at once"
            assert await hear(following) == message([b"the next in line"])
            following.close()
            assert not push.send([b"nobody"])
            assert push._reader is None
        assert not push.send([b"nobody"])
        other = await streaming.shaken()
        await streaming.send(b"whole")
        assert await hear(other) == message([b"whole"])
        other.close()
        push.close()

    run(test())


@pytest.mark.parametrize(
    "noise", [b"\xff" * 9, b"\x06" + b"\xff" * 8, message([b"x" * 5000]), b"\x04\x00"]
)
def test_rule_3_a_reader_that_talks_nonsense_is_cut_off(
    directory: Path, noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        streaming = Streaming(directory)
        before = descriptors()
        sock = await streaming.shaken()
        sock.sendall(noise)
        await hung_up(sock)
        await until(lambda: not streaming.push._peers)
        assert descriptors() == before
        streaming.push.close()

    run(test())
    assert "a reader is cut off" in caplog.text


def test_a_reader_that_talks_without_end_does_not_keep_the_loop(directory: Path) -> None:
    async def test() -> None:
        streaming = Streaming(directory)
        sock = await streaming.shaken()
        reads: list[int] = []
        peer = streaming.push._peers[0]
        receive = peer.receive

        def counted() -> int:
            reads.append(1)
            return receive()

        peer.receive = counted
        talk = zmtp.command(b"HM") * 10_000
        for _ in range(20):
            with suppress(BlockingIOError):
                sock.send(talk)
            before = len(reads)
            await asyncio.sleep(0)
            assert len(reads) - before <= 2
        sock.close()
        streaming.push.close()

    run(test())


def test_a_reader_that_never_shakes_hands_is_hung_up_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "_HANDSHAKE_S", 0.05)

    async def test() -> None:
        streaming = Streaming(directory)
        good, mute = await streaming.shaken(), streaming.raw()
        await hung_up(mute)
        await streaming.send(b"a")
        assert await hear(good) == message([b"a"])
        await until(lambda: len(streaming.push._peers) == 1)
        good.close()
        streaming.push.close()

    run(test())


def test_a_writer_that_is_closed_while_a_reader_takes_nothing_waits_a_moment_and_parts(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_LINGER_S", 0.01)

    async def test() -> None:
        before = descriptors()
        streaming = Streaming(directory, queue=5)
        sock, other = await streaming.shaken(), await streaming.shaken()
        await until(lambda: streaming.push._reader)
        streaming.fill(300_000)
        held = [peer.sock.fileno() for peer in streaming.push._peers]
        streaming.push.close()
        streaming.push.close()
        for number in held:
            assert not asyncio.get_running_loop().remove_writer(number)
            assert not asyncio.get_running_loop().remove_reader(number)
        assert not streaming.path.exists()
        assert not streaming.push.send([b"closed"])
        await hung_up(sock)
        await hung_up(other)
        assert descriptors() == before

    run(test())


def test_a_descriptor_that_is_used_again_belongs_to_the_new_one(directory: Path) -> None:
    """Readers and writers come and go on the same few descriptors."""

    async def test() -> None:
        streaming = Streaming(directory, queue=5)
        for _ in range(20):
            sock = await streaming.shaken()
            await until(lambda: streaming.push._reader)
            sent = streaming.fill(300_000)
            sock.close()
            sock = await streaming.shaken()
            await until(lambda: streaming.push._reader and not streaming.push._waiting)
            await streaming.send(b"small")
            assert await hear(sock) == message([b"small"])
            assert sent
            sock.close()
            await until(lambda: not streaming.push._peers)
        streaming.push.close()

    run(test())
