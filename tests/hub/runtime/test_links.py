"""Sockets as they are: real ipc, real loops, nothing that waits."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.core.errors import StartError
from hub.core.window import Window
from hub.runtime import links
from hub.runtime.links import PULL, PUSH, Pipe, Pump, bind, connect, ipc


@pytest.fixture
def directory() -> Iterator[Path]:
    """A runtime directory with a short name."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Sampled(Window):
    """A window that is due when a test says so, and counts its samples."""

    def __init__(self) -> None:
        super().__init__(0)
        self.now, self.samples = False, 0

    def due(self, now_s: float) -> bool:
        return self.now

    def sample(self, now_s: float, cpu_s: float) -> None:
        self.samples += 1


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; an error in a callback fails it."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await asyncio.wait_for(test, 30)

    asyncio.run(watched())
    assert errors == []


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.005)


class Wide(Window):
    """A window that is as wide as it was made."""

    def __init__(self, width_ms: int) -> None:
        super().__init__(width_ms)
        self.width_ms = width_ms

    def due(self, now_s: float) -> bool:
        return False


@pytest.mark.parametrize("width_ms", [0, 2])
@pytest.mark.parametrize("count", [1, links._BATCH, 2 * links._BATCH + 7])
def test_rule_1_a_pump_reads_everything_that_came_before_and_after_it_looked(
    directory: Path, width_ms: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_RECHECK_S", 1000)  # nothing else may find what was left lying

    async def test() -> None:
        got: list[bytes] = []
        batches: list[int] = []
        pump = Pump(lambda: batches.append(len(got)), Wide(width_ms))
        pull = bind(PULL, ipc(directory, "x"), queue=0)
        push = connect(PUSH, ipc(directory, "x"), queue=0)
        for number in range(count):
            push.send(b"%d" % number)
        pump.add(pull, got.extend)
        await until(lambda: len(got) == count)
        for number in range(count, count + 10):
            push.send(b"%d" % number)
            await asyncio.sleep(0)
        await until(lambda: len(got) == count + 10)
        assert got == [b"%d" % number for number in range(count + 10)]
        assert batches[-1] == count + 10
        pump.close()
        push.close()

    run(test())


def test_rule_1_what_arrives_while_the_socket_is_written_to_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_RECHECK_S", 1000)  # the writer's poke alone must find it

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        here = bind(zmq.ROUTER, ipc(directory, "x"))
        there = connect(zmq.DEALER, ipc(directory, "x"), identity="peer")
        pump.add(here, lambda parts: got.append(parts[-1]))
        for number in range(200):
            there.send(b"%d" % number)
            await asyncio.sleep(0)
            if got:
                here.send_multipart([b"peer", b"answer"], zmq.NOBLOCK)
                pump.poke()
        await until(lambda: len(got) == 200)
        pump.close()
        there.close()

    run(test())


def test_rule_1_a_poke_finds_what_the_descriptor_does_not_tell_of(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_RECHECK_S", 1000)

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(pull, got.extend)
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(pull.fileno())
        push.send(b"unheard")
        assert pull.poll(10_000)
        pump.poke()
        await until(lambda: got == [b"unheard"])
        pump.close()
        push.close()

    run(test())


def test_pacing_lasts_while_windows_bring_something_and_a_few_empty_ones_longer(
    directory: Path,
) -> None:
    """Else a quiet hub would wake up for nothing for ever, and a busy one for each message."""

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Wide(60_000))  # no window passes but those of this test
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(pull, got.extend)
        push.send(b"")
        await until(lambda: pump._pacing)
        for _ in range(2 * links._IDLE_WINDOWS):
            push.send(b"")
            pull.poll(10_000)
            pump._beat()
            assert pump._pacing
        for _ in range(links._IDLE_WINDOWS):
            assert pump._pacing
            pump._beat()
        assert not pump._pacing
        push.send(b"")
        await until(lambda: len(got) == 2 * links._IDLE_WINDOWS + 2)
        pump.close()
        push.close()

    run(test())


def test_the_window_is_adjusted_when_it_is_due_and_only_then() -> None:
    async def test() -> None:
        pump = Pump(lambda: None, window := Sampled())
        pump._drain()
        assert window.samples == 0
        window.now = True
        pump._drain()
        assert window.samples == 1

    run(test())


def test_a_pump_that_is_closed_leaves_nothing_in_the_loop(directory: Path) -> None:
    async def test() -> None:
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        pump.add(pull, lambda _: None)
        descriptor, look = pull.fileno(), pump._recheck
        pump.close()
        assert look is not None
        assert look.cancelled()
        assert not asyncio.get_running_loop().remove_reader(descriptor)

    run(test())


def test_a_switchs_socket_tells_of_nobody_and_hands_a_name_to_its_newest_bearer(
    directory: Path,
) -> None:
    """Who was killed and started anew must not wait for its old line to be found dead."""
    switch = bind(zmq.ROUTER, ipc(directory, "x"))
    with pytest.raises(zmq.ZMQError):
        switch.send_multipart([b"nobody", b""])
    bearers = []
    for number in range(2):
        bearers.append(connect(zmq.DEALER, ipc(directory, "x"), identity="name"))
        bearers[-1].send(b"%d" % number)
        assert receive(switch) == [b"name", b"%d" % number]
    switch.send_multipart([b"name", b"hello"])
    assert receive(bearers[1]) == [b"hello"]
    for sock in (switch, *bearers):
        sock.close(linger=0)


def test_rule_2_the_loop_breathes_between_batches(directory: Path) -> None:
    async def test() -> None:
        batches: list[int] = []
        got: list[bytes] = []
        push = connect(PUSH, ipc(directory, "x"), queue=0)
        pull = bind(PULL, ipc(directory, "x"), queue=0)
        for _ in range(3 * links._BATCH):
            push.send(b"")
        pump = Pump(lambda: batches.append(len(got)), Window(0))
        pump.add(pull, got.extend)
        await until(lambda: len(got) == 3 * links._BATCH)
        sizes = [after - before for before, after in zip([0, *batches], batches, strict=False)]
        assert max(sizes) <= links._BATCH
        pump.close()
        push.close()

    run(test())


def test_rule_2_messages_that_take_long_do_not_hold_the_loop_for_a_whole_batch(
    directory: Path,
) -> None:
    """2000 messages of 60 ticks held a shard for 1.7 s: no beat, no reply, no pong."""

    async def test() -> None:
        taken: list[int] = []
        turns: list[int] = []
        push = connect(PUSH, ipc(directory, "x"))
        pull = bind(PULL, ipc(directory, "x"))
        for _ in range(60):
            push.send(b"")

        def take(_: Sequence[bytes]) -> None:
            time.sleep(0.01)
            taken.append(1)

        pump = Pump(lambda: turns.append(len(taken)), Window(0))
        pump.add(pull, take)
        await until(lambda: len(taken) == 60)
        assert max(after - before for before, after in pairwise([0, *turns])) < 10
        pump.close()
        push.close()

    run(test())


def test_a_pump_reads_several_sockets_and_none_once_closed(directory: Path) -> None:
    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        pushes = [connect(PUSH, ipc(directory, name)) for name in "ab"]
        for name in "ab":
            pump.add(bind(PULL, ipc(directory, name)), got.extend)
        for number, push in enumerate(pushes):
            push.send(b"%d" % number)
        await until(lambda: sorted(got) == [b"0", b"1"])
        pump.close()
        for push in pushes:
            push.send(b"late")
        await asyncio.sleep(0.06)  # longer than a recheck: nothing may touch a closed socket
        assert len(got) == 2
        for push in pushes:
            push.close(linger=0)

    run(test())


def pairs_of(
    directory: Path, messages: list[list[bytes]], most_bytes: int = 100
) -> tuple[list[bytes], int]:
    """What `add_pairs` takes of these messages."""
    taken: list[bytes] = []
    bad = [0]

    def take(pairs: list[bytes], wrong: int) -> None:
        taken.extend(pairs)
        bad[0] += wrong

    async def test() -> None:
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"), queue=0)
        push = connect(PUSH, ipc(directory, "x"), queue=0)
        for message in (*messages, [b"END_OF_LTP", b"{}"]):
            push.send_multipart(message)
        pump.add_pairs(pull, most_bytes, take)
        await until(lambda: b"END_OF_LTP" in taken)
        pump.close()
        push.close()

    run(test())
    assert taken[-2:] == [b"END_OF_LTP", b"{}"]
    return taken[:-2], bad[0]


def test_pairs_come_as_they_were_sent_in_any_number(directory: Path) -> None:
    messages = [[b"NSE_%d_LTP" % number, b"{%d}" % number] for number in range(5000)]
    assert pairs_of(directory, messages) == ([part for pair in messages for part in pair], 0)


@pytest.mark.parametrize(
    "wrong",
    [
        [b"NSE_A_LTP"],
        [b"NSE_A_LTP", b"{}", b"x"],
        [b"NSE_A_LTP", b"{}", b"{}", b"{}"],
        [b"NSE_A_LTP", b"{" + b"x" * 100],
    ],
)
def test_malformed_messages_between_pairs_are_counted_and_cost_no_pair(
    directory: Path, wrong: list[bytes]
) -> None:
    good = [b"NSE_B_LTP", b"{}"]
    taken, bad = pairs_of(directory, [good, wrong, good, wrong, good])
    assert taken == good * 3
    assert bad == 2


def receive(sock: zmq.Socket[bytes]) -> list[bytes]:
    assert sock.poll(10_000), "nothing came"
    return sock.recv_multipart()


def opened(directory: Path, queue: int = 0, token: bytes = b"") -> Pipe:
    pipe = Pipe(bind(PUSH, ipc(directory, "pipe"), queue=queue))
    pipe.reset(open_=True, token=token)
    return pipe


def test_rule_4_a_tick_that_finds_no_room_is_not_sent_and_nobody_waits(directory: Path) -> None:
    pipe = opened(directory)
    assert not pipe.send([b"t", b"nobody is there"])
    pipe.close()


def test_rule_4_what_must_arrive_waits_in_order_before_later_ticks(directory: Path) -> None:
    pipe = opened(directory)
    for number in range(5):
        pipe.send_surely([b"o", b"%d" % number])
    assert not pipe.send([b"t", b"tick"])
    assert not pipe.retry()
    pull = connect(PULL, ipc(directory, "pipe"))
    while not pipe.send([b"t", b"tick"]):
        pull.poll(10)
    assert [receive(pull) for _ in range(6)] == [
        *([b"o", b"%d" % number] for number in range(5)),
        [b"t", b"tick"],
    ]
    pull.close()
    pipe.close()


def test_rule_4_what_must_arrive_takes_along_what_was_kept_when_there_is_room(
    directory: Path,
) -> None:
    pipe = opened(directory)
    pipe._try = lambda parts: False  # type: ignore[method-assign]  # full
    pipe.send_surely([b"o", b"0"])
    del pipe._try
    pull = connect(PULL, ipc(directory, "pipe"))
    while pipe._kept:
        pipe.send_surely([b"o", b"1"])
        pull.poll(10)
    assert [receive(pull), receive(pull)] == [[b"o", b"0"], [b"o", b"1"]]
    pull.close()
    pipe.close()


def test_a_socket_of_which_nothing_is_said_has_a_bound_all_the_same(directory: Path) -> None:
    socks = bind(PULL, ipc(directory, "x")), connect(PUSH, ipc(directory, "x"))
    for sock in socks:
        assert (sock.getsockopt(zmq.RCVHWM), sock.getsockopt(zmq.SNDHWM)) == (1000, 1000)
        sock.close()


def test_rule_4_a_full_pipe_loses_ticks_but_nothing_else(directory: Path) -> None:
    pipe = opened(directory, queue=5)
    pull = connect(PULL, ipc(directory, "pipe"), queue=5)
    pipe.send_surely([b"o", b"first"])
    while not pipe.retry():
        pull.poll(10)
    big, sent = b"x" * 100_000, 0
    while sent < 10_000 and pipe.send([b"t", big]):
        sent += 1
    assert sent < 10_000, "the pipe never filled up"
    surely = [[b"a", b"%d" % number] for number in range(3)]
    for parts in surely:
        pipe.send_surely(parts)
    got = []
    while surely[-1] not in got:
        pipe.retry()
        if pull.poll(10):
            got.append(pull.recv_multipart())
    assert [parts for parts in got if parts[0] == b"a"] == surely
    pull.close()
    pipe.close()


def test_rule_4_a_tick_goes_behind_what_was_kept_as_soon_as_there_is_room_for_both(
    directory: Path,
) -> None:
    pipe, sent, room = opened(directory), [], 0

    def attempt(parts: Sequence[bytes]) -> bool:
        nonlocal room
        room -= 1
        if room >= 0:
            sent.append(parts[0])
        return room >= 0

    pipe._try = attempt  # type: ignore[method-assign]  # room is what the test says
    pipe.send_surely([b"kept"])
    room = 1
    assert not pipe.send([b"tick"])
    pipe.send_surely([b"again"])
    room = 2
    assert pipe.send([b"tick"])
    assert sent == [b"kept", b"again", b"tick"]
    pipe.close()


def test_a_pipe_that_would_keep_too_much_is_overrun_until_its_next_stay(directory: Path) -> None:
    """Not to say so would cost all memory; to say so of the next stay, that one too."""
    pipe = Pipe(bind(PUSH, ipc(directory, "pipe")))
    assert not pipe.overrun
    pipe.reset(open_=True)
    pipe.most_kept = 1
    pipe.send_surely([b"first"])
    assert not pipe.overrun
    pipe.send_surely([b"second"])
    assert pipe.overrun
    pipe.reset(open_=True)
    assert not pipe.overrun
    pipe.close()


def test_a_closed_pipe_takes_nothing(directory: Path) -> None:
    pipe = opened(directory)
    pull = connect(PULL, ipc(directory, "pipe"))
    pipe.reset(open_=False)
    assert not pipe.send([b"t", b"x"])
    pipe.send_surely([b"o", b"x"])
    assert repr(pipe) == "<Pipe closed, 0 kept, 0 dropped>"
    pull.close()
    pipe.close()


def test_what_was_kept_for_an_old_stay_is_void_and_a_new_one_has_its_token(directory: Path) -> None:
    pipe = opened(directory, token=b"1.1")
    pipe.send_surely([b"o", b"old"])
    assert pipe.reset(open_=True, token=b"1.2") == [[b"o", b"old"]]
    pipe.send_surely([b"o", b"new"])
    pull = connect(PULL, ipc(directory, "pipe"))
    while not pipe.retry():
        pull.poll(10)
    assert receive(pull) == [b"o1.2", b"new"]
    pull.close()
    pipe.close()


def test_an_address_that_is_taken_is_a_start_error_that_says_who_and_where() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            bind(zmq.SUB, address, what="the bus")
    assert str(caught.value).startswith(f"the bus cannot listen on {address}: Address already in")


def test_a_directory_that_is_gone_is_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the router cannot listen on ipc://"):
        bind(PULL, ipc(tmp_path / "gone", "x"), what="the router")


# What is written to a socket, and how it ends.


def test_what_was_sent_before_a_socket_was_closed_still_arrives(directory: Path) -> None:
    """A goodbye, or the last ticks of a drain, is sent and the socket closed in one breath."""
    pull = bind(PULL, ipc(directory, "x"))
    push = connect(PUSH, ipc(directory, "x"))
    sent = [b"%d" % number * 50_000 for number in range(100)]  # more than any buffer on the way
    for message in sent:
        push.send(message)
    push.close()
    assert [receive(pull) for _ in sent] == [[message] for message in sent]
    pull.close()


def test_a_reader_that_does_not_read_holds_no_more_than_its_queue(directory: Path) -> None:
    """Else a stopped shard would take in all memory: the queue is bounded at both ends."""
    pull = bind(PULL, ipc(directory, "x"), queue=5)
    push = connect(PUSH, ipc(directory, "x"), queue=5)
    sent = 0
    while sent < 5000 and push.poll(300, zmq.POLLOUT):
        push.send(b"x" * 10_000, zmq.NOBLOCK)
        sent += 1
    assert 10 <= sent < 5000, "it took in all there was"
    push.close(linger=0)
    pull.close()


def test_rule_1_a_message_whose_signal_was_missed_is_found_by_the_next_look(
    directory: Path,
) -> None:
    """The descriptor is edge-triggered: a signal that is lost does not come again."""

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(pull, got.extend)
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(pull.fileno())
        push.send(b"unheard")
        await until(lambda: got == [b"unheard"])
        push.send(b"unheard too")
        await until(lambda: got == [b"unheard", b"unheard too"])
        pump.close()
        push.close()

    run(test())


def test_whoever_sends_far_too_much_is_cut_off_and_may_come_back(directory: Path) -> None:
    pull = bind(PULL, ipc(directory, "x"), most_bytes=1000)
    push = connect(PUSH, ipc(directory, "x"))
    push.send(b"x" * 1001)
    got: list[bytes] = []
    while not got:
        push.send(b"small")
        if pull.poll(20):
            got = pull.recv_multipart()
    assert got == [b"small"]
    push.close(linger=0)
    pull.close()


@pytest.mark.parametrize("width_ms", [0, 2])
def test_rule_3_a_fault_costs_one_message_and_the_pump_reads_on(
    directory: Path,
    width_ms: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Heartbeats went on while a shard read nothing any more: 0 of 100 later messages."""
    monkeypatch.setattr(links, "_RECHECK_S", 1000)  # nothing else may find what was left lying

    async def test() -> None:
        got: list[bytes] = []

        def take(parts: list[bytes]) -> None:
            if parts == [b"7"]:
                raise AssertionError("nobody meant this")
            got.extend(parts)

        pump = Pump(lambda: None, Wide(width_ms))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(pull, take)
        for number in range(100):
            push.send(b"%d" % number)
        await until(lambda: len(got) == 99)
        push.send(b"and on")
        await until(lambda: got[-1] == b"and on")
        assert pump.faults == 1
        pump.close()
        push.close()

    run(test())
    assert "nobody meant this" in caplog.text
    assert "Traceback" in caplog.text


def test_rule_3_a_fault_at_the_end_of_a_batch_stops_nothing_either(directory: Path) -> None:
    async def test() -> None:
        got: list[bytes] = []
        faults = iter(range(3))

        def done() -> None:
            if next(faults, None) is not None:
                raise AssertionError

        pump = Pump(done, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(pull, got.extend)
        for number in range(10):
            push.send(b"%d" % number)
            await until(lambda number=number: len(got) == number + 1)  # type: ignore[misc]
        assert pump.faults == 3
        pump.close()
        push.close()

    run(test())
