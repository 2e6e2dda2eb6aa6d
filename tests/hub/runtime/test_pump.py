"""Reading: everything, in order, a batch at a time, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zmq

from hub.core.window import Window
from hub.runtime import pump as pump_module
from hub.runtime.links import PULL, PUSH, Messages, bind, connect, ipc
from hub.runtime.pump import BATCH, Pump
from tests.hub.runtime.kit import Way, Wide, both_wires, run, until


class Fake:
    """An inlet that gives what a test says: as many messages as stand in `there`, in its turn."""

    def __init__(self, *there: int) -> None:
        self.there = [*there]
        self.reads = 0
        self.closed = 0
        self.wakes: list[Callable[[], None] | None] = []
        self.unheard = False

    def read(self) -> int:
        self.reads += 1
        return self.there.pop(0) if self.there else 0

    def watch(self, wake: Callable[[], None] | None) -> None:
        self.wakes.append(wake)

    def readable(self) -> bool:
        return self.unheard

    def close(self) -> None:
        self.closed += 1

    def wake(self) -> None:
        wake = self.wakes[-1]
        assert wake is not None
        wake()


@pytest.fixture
def no_recheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else may find what was left lying."""
    monkeypatch.setattr(pump_module, "_RECHECK_S", 1000)


# Over both wires.


@both_wires
@pytest.mark.parametrize("width_ms", [0, 2])
@pytest.mark.parametrize("count", [1, BATCH, 2 * BATCH + 7])
@pytest.mark.usefixtures("no_recheck")
def test_a_pump_reads_everything_however_it_comes(
    directory: Path, kind: str, width_ms: int, count: int
) -> None:
    async def test() -> None:
        got: list[bytes] = []
        batches: list[int] = []
        way = Way(kind, directory)
        pump = Pump(lambda: batches.append(len(got)), Wide(width_ms))
        pump.add(way.inlet(got.extend))
        await way.send(b"first")
        await until(lambda: got == [b"first"])
        way.send_now([b"%d" % number for number in range(count)])
        await until(lambda: len(got) == 1 + count)
        for number in range(count, count + 10):
            way.send_now([b"%d" % number])
            await asyncio.sleep(0)
        await until(lambda: len(got) == 1 + count + 10)
        assert got == [b"first", *(b"%d" % number for number in range(count + 10))]
        assert batches[-1] == 1 + count + 10
        pump.close()
        way.outlet.close()

    run(test())


def test_a_pump_says_whether_it_left_something_and_reads_on_until_nothing_is_left() -> None:
    async def test() -> None:
        done: list[int] = []
        pump = Pump(lambda: done.append(1), Wide(0))
        pump.add(inlet := Fake(3))
        await asyncio.sleep(0)
        assert (inlet.reads, pump.more) == (1, False)
        inlet.there += [BATCH, 5]
        inlet.wake()
        assert pump.more
        await asyncio.sleep(0)
        assert not pump.more
        inlet.there += [BATCH, BATCH, 7]
        pump.exhaust()
        assert inlet.there == []
        assert len(done) == 6
        pump.close()
        inlet.there += [BATCH]
        pump.exhaust()
        assert inlet.there == [BATCH], "it is closed"

    run(test())


@both_wires
def test_rule_1_the_loop_breathes_between_batches(directory: Path, kind: str) -> None:
    async def test() -> None:
        batches: list[int] = []
        got: list[bytes] = []
        way = Way(kind, directory)
        pump = Pump(lambda: batches.append(len(got)), Window(0))
        pump.add(way.inlet(got.extend))
        await way.send(b"")
        way.send_now([b""] * 3 * BATCH)
        await until(lambda: len(got) == 3 * BATCH + 1)
        sizes = [after - before for before, after in pairwise([0, *batches])]
        assert max(sizes) <= BATCH
        pump.close()
        way.outlet.close()

    run(test())


@both_wires
def test_rule_1_messages_that_take_long_do_not_hold_the_loop_for_a_whole_batch(
    directory: Path, kind: str
) -> None:
    """2000 messages of 60 ticks held a shard for 1.7 s: no beat, no reply, no pong."""

    async def test() -> None:
        taken: list[int] = []
        turns: list[int] = []
        way = Way(kind, directory)

        def take(_: list[bytes]) -> None:
            time.sleep(0.01)
            taken.append(1)

        pump = Pump(lambda: turns.append(len(taken)), Window(0))
        pump.add(way.inlet(take))
        await way.send(b"")
        way.send_now([b""] * 60)
        await until(lambda: len(taken) == 61)
        assert max(after - before for before, after in pairwise([0, *turns])) < 10
        pump.close()
        way.outlet.close()

    run(test())


@both_wires
@pytest.mark.parametrize("width_ms", [0, 2])
@pytest.mark.usefixtures("no_recheck")
def test_rule_2_a_fault_costs_one_message_and_the_pump_reads_on(
    directory: Path, kind: str, width_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Heartbeats went on while a shard read nothing any more: 0 of 100 later messages."""

    async def test() -> None:
        got: list[bytes] = []

        def take(parts: list[bytes]) -> None:
            if parts == [b"7"]:
                raise AssertionError("nobody meant this")
            got.extend(parts)

        way = Way(kind, directory)
        pump = Pump(lambda: None, Wide(width_ms))
        pump.add(way.inlet(take))
        await way.send(b"0")
        way.send_now([b"%d" % number for number in range(1, 100)])
        await until(lambda: len(got) == 99)
        way.send_now([b"and on"])
        await until(lambda: got[-1] == b"and on")
        assert pump.faults == 1
        pump.close()
        way.outlet.close()

    run(test())
    assert "nobody meant this" in caplog.text
    assert "Traceback" in caplog.text


@both_wires
def test_rule_2_a_fault_at_the_end_of_a_batch_stops_nothing_either(
    directory: Path, kind: str
) -> None:
    async def test() -> None:
        got: list[bytes] = []
        faults = iter(range(3))

        def done() -> None:
            if next(faults, None) is not None:
                raise AssertionError

        way = Way(kind, directory)
        pump = Pump(done, Window(0))
        pump.add(way.inlet(got.extend))
        for number in range(10):
            await way.send(b"%d" % number)
            await until(lambda number=number: len(got) == number + 1)  # type: ignore[misc]
        assert pump.faults == 3
        pump.close()
        way.outlet.close()

    run(test())


@both_wires
def test_rule_3_pacing_lasts_while_windows_bring_something_and_a_few_empty_ones_longer(
    directory: Path, kind: str
) -> None:
    """Else a quiet hub would wake up for nothing for ever, and a busy one for each message."""

    async def test() -> None:
        got: list[bytes] = []
        way = Way(kind, directory)
        pump = Pump(lambda: None, Wide(60_000))  # no window passes but those of this test
        pump.add(way.inlet(got.extend))
        await way.send(b"")
        await until(lambda: got)
        for _ in range(2 * pump_module._IDLE_WINDOWS):
            before = len(got)
            way.send_now([b""])
            while len(got) == before:
                pump._beat()
                assert repr(pump) == "<Pump of 1, paced>"
                pump._idle = 0  # libzmq's thread may be late
        for _ in range(pump_module._IDLE_WINDOWS):
            assert repr(pump) == "<Pump of 1, paced>"
            pump._beat()
        assert repr(pump) == "<Pump of 1, watching>"
        before = len(got)
        way.send_now([b""])
        await until(lambda: len(got) == before + 1)
        pump.close()
        way.outlet.close()

    run(test())


@both_wires
def test_a_pump_reads_several_inlets_and_none_once_closed(
    directory: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "_RECHECK_S", 0.02)

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        ways = [Way(kind, directory, shard) for shard in range(2)]
        for number, way in enumerate(ways):
            pump.add(way.inlet(got.extend))
            await way.send(b"%d" % number)
        await until(lambda: sorted(got) == [b"0", b"1"])
        pump.close()
        for way in ways:
            way.outlet.send([b"late"])
        await asyncio.sleep(0.06)  # longer than a recheck: nothing may touch a closed socket
        assert len(got) == 2
        for way in ways:
            way.outlet.close()

    run(test())


# By a fake.


def test_the_window_is_told_of_all_that_came() -> None:
    """It goes by the sum: a hundred quiet publishers are as much as one loud one."""

    async def test() -> None:
        pump = Pump(lambda: None, window := Wide(0))
        for inlet in (Fake(3, 1), Fake(4, 0)):
            pump.add(inlet)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert window.told == [7, 1]
        pump.close()

    run(test())


def test_rule_1_an_inlet_that_never_ends_does_not_keep_the_loop() -> None:
    """Paced or not, it is read once in a turn of the loop, and twice when a beat is due."""

    async def test(width_ms: float) -> None:
        pump = Pump(lambda: None, Wide(width_ms))
        pump.add(inlet := Fake(1, *[BATCH] * 1000))
        await until(lambda: inlet.reads > 1)
        for _ in range(50):
            before = inlet.reads
            await asyncio.sleep(0)
            assert inlet.reads - before <= 3
        await until(lambda: not inlet.there)
        pump.close()

    run(test(0))
    run(test(0.5))


def test_rule_1_who_has_more_is_read_once_a_turn_however_often_it_wakes_and_is_poked() -> None:
    """The control switch is poked at each send: ten reads of a turn kept ticks waiting 100 ms."""

    async def test() -> None:
        pump = Pump(lambda: None, Window(0))
        pump.add(inlet := Fake(*[BATCH] * 1000))
        inlet.unheard = True
        await until(lambda: inlet.reads > 1)
        for _ in range(50):
            before = inlet.reads
            for _ in range(5):
                pump.poke()
                inlet.wake()
            await asyncio.sleep(0)
            assert inlet.reads - before <= 2
        inlet.there.clear()
        reads = inlet.reads
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inlet.wake()
        assert inlet.reads > reads, "when nothing more is due a wake is followed at once"
        pump.close()

    run(test())


def test_messages_that_take_long_are_read_for_as_long_as_is_said(directory: Path) -> None:
    async def test() -> None:
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        got: list[bytes] = []

        def take(parts: list[bytes]) -> None:
            got.extend(parts)
            time.sleep(0.003)

        inlet = Messages(pull, take, 0.001)
        for number in range(10):
            push.send(b"%d" % number)
        await until(inlet.readable)
        counts = []
        while len(got) < 10:
            before = len(got)
            if inlet.read():
                counts.append(len(got) - before)
            await asyncio.sleep(0)  # the next may be on its way yet
        assert counts == [1] * 10
        assert inlet.read() == 0
        inlet.close()
        push.close()

    run(test())


def test_rule_3_while_it_is_paced_nobody_is_watched() -> None:
    async def test() -> None:
        pump = Pump(lambda: None, window := Wide(60_000))
        pump.add(inlet := Fake(0, 1))
        await asyncio.sleep(0)
        assert None not in inlet.wakes, "nothing came yet"
        inlet.wake()
        assert inlet.wakes[1:] == [None]
        pump.add(late := Fake(5))
        await asyncio.sleep(0)
        assert late.wakes == []
        assert late.reads == 0, "it is read when the window is over"
        inlet.unheard = True
        reads = inlet.reads
        pump.poke()
        await asyncio.sleep(0)
        assert inlet.reads == reads
        window.width_ms = 0
        pump._beat()
        assert late.reads == 1
        assert inlet.wakes[-1] is not None
        assert late.wakes[-1] is not None
        pump.close()

    run(test())


def test_rule_3_a_window_that_changes_sets_another_pace() -> None:
    async def test() -> None:
        pump = Pump(lambda: None, window := Wide(60_000))
        pump.add(inlet := Fake(1))
        await until(lambda: inlet.reads)
        window.width_ms = 0.5
        reads = inlet.reads
        pump._beat()
        await until(lambda: inlet.reads > reads + 3)
        pump.close()

    run(test())


def test_rule_3_what_came_when_pacing_ends_is_read_though_nobody_is_woken_for_it() -> None:
    """Libzmq's descriptor tells of what comes and not of what is there."""

    async def test() -> None:
        pump = Pump(lambda: None, Wide(60_000))
        pump.add(inlet := Fake(1))
        await until(lambda: inlet.reads)
        for _ in range(pump_module._IDLE_WINDOWS):
            pump._beat()
        reads = inlet.reads
        await asyncio.sleep(0)
        assert inlet.reads == reads + 1
        pump.close()

    run(test())


def test_a_pump_that_is_closed_leaves_nothing_in_the_loop_and_may_be_closed_again() -> None:
    async def test() -> None:
        pump = Pump(lambda: None, Wide(0.5))
        pump.add(inlet := Fake(1, 1, 1))
        await until(lambda: not inlet.there)
        look, beat = pump._recheck, pump._pace._fd
        pump.close()
        pump.close()
        assert inlet.closed == 1
        assert inlet.wakes[-1] is None
        assert look is not None
        assert look.cancelled()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(beat)

    run(test())


@pytest.mark.parametrize("there", [[1], [BATCH], [1, 1], [1, BATCH]])
def test_a_pump_that_is_closed_by_what_it_calls_reads_no_more(there: list[int]) -> None:
    async def test() -> None:
        def done() -> None:
            if not inlet.there:
                pump.close()

        pump = Pump(done, Wide(0.5))
        pump.add(inlet := Fake(*there))
        await until(lambda: inlet.closed)
        reads = inlet.reads
        await asyncio.sleep(0.01)
        assert inlet.reads == reads
        assert pump._pace._fd == -1
        assert inlet.wakes[-1] is None

    run(test())


# With libzmq, whose descriptor tells only of changes.


@pytest.mark.usefixtures("no_recheck")
def test_what_arrives_while_the_socket_is_written_to_is_read(directory: Path) -> None:
    """The writer's poke alone must find it."""

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        here = bind(zmq.ROUTER, ipc(directory, "x"))
        there = connect(zmq.DEALER, ipc(directory, "x"), identity="peer")
        pump.add(Messages(here, lambda parts: got.append(parts[-1])))
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


@pytest.mark.usefixtures("no_recheck")
def test_a_poke_finds_what_the_descriptor_does_not_tell_of(directory: Path) -> None:
    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(Messages(pull, got.extend))
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(pull.fileno())
        push.send(b"unheard")
        assert pull.poll(10_000)
        pump.poke()
        await until(lambda: got == [b"unheard"])
        pump.close()
        push.close()

    run(test())


def test_a_message_whose_signal_was_missed_is_found_by_the_next_look(directory: Path) -> None:
    """The descriptor is edge-triggered: a signal that is lost does not come again."""

    async def test() -> None:
        got: list[bytes] = []
        pump = Pump(lambda: None, Window(0))
        pull = bind(PULL, ipc(directory, "x"))
        push = connect(PUSH, ipc(directory, "x"))
        pump.add(Messages(pull, got.extend))
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(pull.fileno())
        push.send(b"unheard")
        await until(lambda: got == [b"unheard"])
        push.send(b"unheard too")
        await until(lambda: got == [b"unheard", b"unheard too"])
        pump.close()
        push.close()

    run(test())
