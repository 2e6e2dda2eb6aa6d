"""Beats: steady, one at a time, and none once closed."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from hub.runtime.pace import Pace
from tests.hub.runtime.kit import run, until


def test_it_beats_until_it_is_set_to_nothing() -> None:
    async def test() -> None:
        beats: list[int] = []
        pace = Pace(lambda: beats.append(1))
        pace.set(0.5)
        await until(lambda: len(beats) > 5)
        pace.set(0)
        before = len(beats)
        await asyncio.sleep(0.02)
        assert len(beats) == before
        pace.set(0.3)
        await until(lambda: len(beats) > before)
        pace.close()

    run(test())


def test_a_new_pace_counts_from_when_it_is_set() -> None:
    async def test() -> None:
        beats: list[int] = []
        pace = Pace(lambda: beats.append(1))
        pace.set(60_000)
        await asyncio.sleep(0.02)
        assert beats == []
        pace.set(1)
        await until(lambda: beats)
        pace.close()

    run(test())


def test_a_beat_may_set_another_pace_or_end_it() -> None:
    async def test() -> None:
        beats: list[int] = []

        def beat() -> None:
            beats.append(1)
            if len(beats) == 3:
                pace.close()
            else:
                pace.set(0.2)

        pace = Pace(beat)
        pace.set(1)
        await until(lambda: len(beats) == 3)
        await asyncio.sleep(0.01)
        assert len(beats) == 3

    run(test())


def test_beats_that_come_while_it_runs_are_one() -> None:
    async def test() -> None:
        beats: list[int] = []
        pace = Pace(lambda: beats.append(1))
        pace._fd = os.eventfd(5, os.EFD_NONBLOCK)  # five are due
        pace._fire()
        pace._fire()
        assert beats == [1]
        os.close(pace._fd)

    run(test())


def test_an_error_of_the_beat_is_the_beats_own() -> None:
    """A timer that was set anew says that it would block, and so may what a beat calls."""

    async def test() -> None:
        def beat() -> None:
            raise BlockingIOError

        pace = Pace(beat)
        pace._fd = os.eventfd(1, os.EFD_NONBLOCK)
        with pytest.raises(BlockingIOError):
            pace._fire()
        pace._fire()
        os.close(pace._fd)

    run(test())


def test_it_opens_nothing_before_it_is_needed_and_leaves_nothing() -> None:
    async def test() -> None:
        pace = Pace(lambda: None)
        pace.set(0)
        pace.close()
        assert repr(pace) == "<Pace never set>"
        pace.set(60_000)
        descriptor = pace._fd
        assert repr(pace) == "<Pace set>"
        assert not os.get_inheritable(descriptor), "a child would hold it"
        pace.close()
        pace.close()
        assert not asyncio.get_running_loop().remove_reader(descriptor)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)

    run(test())


def test_a_pace_that_cannot_be_set_is_an_error_of_the_system() -> None:
    async def test() -> None:
        pace = Pace(lambda: None)
        with pytest.raises(OSError) as caught:
            pace.set(-5)
        assert caught.value.errno == errno.EINVAL
        pace.close()

    run(test())
