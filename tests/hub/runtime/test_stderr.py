"""What children write: passed on byte for byte, kept by its last lines, in bounds."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hub.runtime import stderr as module
from hub.runtime.process import Processes
from hub.runtime.stderr import Stderr

WITHIN_S = 20.0


class Room:
    """A Stderr whose output a test reads."""

    def __init__(self, least: str = "") -> None:
        self.fd, self.far = os.pipe()
        os.set_blocking(self.fd, False)
        self.kept: list[tuple[str, str]] = []
        self.stderr = Stderr(self.far, least, lambda name, line: self.kept.append((name, line)))
        self.came = b""

    def read(self) -> bytes:
        """All that has been passed on so far."""
        try:
            while data := os.read(self.fd, 1 << 20):
                self.came += data
        except BlockingIOError:
            pass
        return self.came

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110  # pipes have no event of their own
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.stderr.close()
        os.close(self.fd)
        os.close(self.far)


def live(play: Callable[[Room], Any], least: str = "") -> None:
    async def main() -> None:
        room = Room(least)
        try:
            await play(room)
        finally:
            room.close()

    asyncio.run(main())


def test_what_is_written_is_passed_on_byte_for_byte() -> None:
    async def play(room: Room) -> None:
        far = room.stderr.open("shard-0")
        said = b"one\n\n  two \xff\x1b[31m\r\nthree\n"
        os.write(far, said)
        await room.until(lambda: room.read() == said)
        os.close(far)
        await room.until(lambda: not room.stderr._pipes)

    live(play)


def test_rule_2_lines_of_two_are_never_mixed() -> None:
    async def play(room: Room) -> None:
        one, two = room.stderr.open("one"), room.stderr.open("two")
        os.write(one, b"the beginning of ")
        await asyncio.sleep(0)
        os.write(two, b"another\n")
        await room.until(lambda: room.read() == b"another\n")
        os.write(one, b"a line\nand ")
        await room.until(lambda: room.read() == b"another\nthe beginning of a line\n")
        os.close(one)
        await room.until(lambda: room.read().endswith(b"a line\nand "))
        os.close(two)

    live(play)


def test_every_line_is_kept_whole_by_whoever_keeps_them() -> None:
    async def play(room: Room) -> None:
        one, two = room.stderr.open("one"), room.stderr.open("two")
        os.write(one, b"in ")
        os.write(two, b"09:15:00 INFO two ready\n")
        await room.until(lambda: room.kept)
        os.write(one, b"two parts\n" + b"x" * 10_000 + b"\nlast")
        os.close(one)
        await room.until(lambda: len(room.kept) == 4)
        assert room.kept == [
            ("two", "09:15:00 INFO two ready"),
            ("one", "in two parts"),
            ("one", "x" * 8192),
            ("one", "last"),
        ]
        os.close(two)

    live(play)


def message(level: str, text: str) -> bytes:
    return f"09:15:00 {level:<7} {'one':<10} {text}\n".encode()


def test_rule_5_only_what_is_severe_is_shown_and_that_whole() -> None:
    async def play(room: Room) -> None:
        one, two = room.stderr.open("one"), room.stderr.open("two")
        broken, end = message("ERROR", "broken"), message("WARNING", "end")
        os.write(one, message("INFO", "ready") + b"  more of it\n" + broken[:-5])
        os.write(two, message("INFO", "ready"))
        await room.until(lambda: len(room.kept) == 3)
        assert room.read() == b""
        more = b"    Traceback\n"
        os.write(one, broken[-5:] + more + message("INFO", "again") + end[:-1])
        os.close(one)
        await room.until(lambda: room.read() == broken + more + end)
        assert len(room.kept) == 7
        os.close(two)

    live(play, "warning")


def test_what_only_the_journal_reads_is_not_in_the_last_lines() -> None:
    async def play(room: Room) -> None:
        far = room.stderr.open("one")
        os.write(far, b"<3>ERROR   one broken\n")
        os.close(far)
        await room.until(room.read)
        assert room.stderr.last_lines("one") == ("ERROR   one broken",)

    live(play)


def bytes_of(fd: int, size: int) -> None:
    """Let a pipe hold so much and no more."""
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)


async def read_slowly(room: Room, size: int) -> bytes:
    """A page at a time, with turns of the loop between."""
    async with asyncio.timeout(WITHIN_S):
        while len(room.came) < size:
            await asyncio.sleep(0.002)
            with suppress(BlockingIOError):
                room.came += os.read(room.fd, 4096)
    return room.came


def test_rule_2_a_line_that_has_gone_on_in_part_is_ended_before_another_has_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(room: Room) -> None:
        bytes_of(room.far, 4096)
        one, two = room.stderr.open("one"), room.stderr.open("two")
        begun, other = room.stderr._pipes
        monkeypatch.setattr(module, "_AGAIN_S", 3600.0)
        os.write(one, b"1" * 6000 + b"\n")
        await room.until(lambda: begun.again)
        monkeypatch.setattr(module, "_AGAIN_S", 0.001)
        os.write(two, b"2\n")
        await room.until(lambda: other.again)
        assert room.read() == b"1" * 4096, "there is room again"
        tried = other.again
        await room.until(lambda: other.again is not tried)
        assert room.read() == b"1" * 4096, "it is not his turn"
        room.stderr._go_on(begun)
        await room.until(lambda: room.read() == b"1" * 6000 + b"\n2\n")
        os.close(one)
        os.close(two)

    live(play)


def test_rule_2_lines_of_many_stay_whole_and_in_order_when_they_are_read_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)
    said = {
        name: [name.encode() * size + b"%d\n" % size for size in (5000, 1, 9000, 3000, 2, 7000)]
        for name in "abc"
    }

    async def play(room: Room) -> None:
        bytes_of(room.far, 4096)
        fars = {name: room.stderr.open(name) for name in said}
        for turn in zip(*said.values(), strict=True):
            for name, line in zip(said, turn, strict=True):
                os.write(fars[name], line)
            await asyncio.sleep(0.002)
        came = await read_slowly(room, sum(len(b"".join(lines)) for lines in said.values()))
        for far in fars.values():
            os.close(far)
        whole = came.splitlines(keepends=True)
        for name, lines in said.items():
            assert [line for line in whole if line.startswith(name.encode())] == lines

    live(play)


def test_rule_2_who_never_ends_a_line_or_is_gone_in_the_middle_keeps_nobody_from_his_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)

    async def play(room: Room) -> None:
        bytes_of(room.far, 4096)
        one, two, three = (room.stderr.open(name) for name in ("one", "two", "three"))
        size = module._READ_BYTES
        os.write(one, b"x" * size)
        os.write(two, b"y" * 9000)
        os.close(two)
        await room.until(lambda: any(pipe.again for pipe in room.stderr._pipes))
        os.write(three, b"heard\n")
        async with asyncio.timeout(WITHIN_S):
            while b"heard\n" not in room.came:
                await read_slowly(room, len(room.came) + 1)
        os.write(one, b"\n")
        assert (await read_slowly(room, size + 1 + 9000 + 6)).count(b"x") == size
        os.close(one)
        os.close(three)

    live(play)


def test_at_the_end_the_line_that_was_begun_goes_first() -> None:
    async def play(room: Room) -> None:
        bytes_of(room.far, 8192)
        first, begun = room.stderr.open("first"), room.stderr.open("begun")
        os.write(begun, b"b" * 10_000 + b"\n")
        await room.until(lambda: room.stderr._midway)
        os.write(first, b"first\n")
        assert room.read() == b"b" * 8192
        room.stderr.close()
        assert room.read() == b"b" * 10_000 + b"\nfirst\n"
        os.close(first)
        os.close(begun)

    live(play)


def test_a_line_that_never_ends_is_passed_on_all_the_same() -> None:
    async def play(room: Room) -> None:
        far = room.stderr.open("one")
        size = module._READ_BYTES + 5
        os.write(far, b"x" * module._READ_BYTES)
        await room.until(lambda: len(room.read()) >= module._READ_BYTES)
        os.write(far, b"x" * 5)
        os.close(far)
        await room.until(lambda: len(room.read()) == size)

    live(play)


def test_the_last_lines_are_kept_up_to_this_moment_in_all_lives_and_in_bounds() -> None:
    async def play(room: Room) -> None:
        far = room.stderr.open("shard-0")
        os.write(far, b"".join(b"%d\n" % number for number in range(30)))
        os.write(far, b"y" * 1000 + b"\nTraceback\n  no end")
        assert room.stderr.last_lines("shard-0") == (
            *map(str, range(13, 30)), "y" * module._LINE_BYTES, "Traceback", "  no end",
        )  # fmt: skip
        os.close(far)
        again = room.stderr.open("shard-0")
        os.write(again, b"of the next life\n")
        assert room.stderr.last_lines("shard-0")[-2:] == ("  no end", "of the next life")
        assert room.stderr.last_lines("shard-1") == ()
        os.close(again)

    live(play)


def test_what_was_looked_at_for_the_last_lines_is_passed_on_whoever_holds_the_pipe() -> None:
    """A grandchild may hold it for long, and write nothing."""

    async def play(room: Room) -> None:
        far = room.stderr.open("feed")
        os.write(far, b"it broke\n")
        assert room.stderr.last_lines("feed") == ("it broke",)
        await room.until(lambda: room.read() == b"it broke\n")
        os.close(far)

    live(play)


def test_asking_for_the_last_lines_while_nobody_reads_loses_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)

    async def play(room: Room) -> None:
        bytes_of(room.far, 4096)
        far = room.stderr.open("one")
        said = b"".join(b"%06d\n" % number for number in range(5000))
        for start in range(0, len(said), 7000):
            os.write(far, said[start : start + 7000])
            room.stderr.last_lines("one")
            await asyncio.sleep(0)
        os.close(far)
        (pipe,) = room.stderr._pipes
        again = pipe.again
        assert room.stderr.last_lines("one")[-1] == "004999"
        assert again is not None
        assert again.cancelled(), "it is tried again once, not twice"
        assert await read_slowly(room, len(said)) == said
        await room.until(lambda: not room.stderr._pipes)

    live(play)


def test_nothing_in_the_last_lines_is_obeyed_by_a_terminal() -> None:
    async def play(room: Room) -> None:
        far = room.stderr.open("one")
        os.write(far, b"\x1b[2Jred\rblue\x07\xff\n")
        assert room.stderr.last_lines("one") == ("\\x1b[2Jred\\rblue\\x07\ufffd",)
        os.close(far)

    live(play)


def test_rule_3_a_child_writes_a_megabyte_to_a_supervisor_that_stands_still() -> None:
    async def play(room: Room) -> None:
        try:
            fcntl.fcntl(room.far, fcntl.F_SETPIPE_SZ, module._PIPE_BYTES)
        except OSError:
            pytest.skip("this user may have no pipe as large as that")
        far = room.stderr.open("one")
        os.set_blocking(far, False)  # it fails where it would wait
        line = b"z" * 1023 + b"\n"
        for _ in range(1000):
            assert os.write(far, line) == len(line)
        await room.until(lambda: len(room.read()) == 1000 * 1024)
        os.close(far)

    live(play)


def test_rule_4_nobody_waits_for_who_does_not_read_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)

    async def play(room: Room) -> None:
        far = room.stderr.open("one")
        said = b"".join(b"%06d\n" % number for number in range(100_000))
        (pipe,) = room.stderr._pipes
        os.set_blocking(far, False)
        at = os.write(far, said[:200_000])
        await room.until(lambda: pipe.again)
        assert pipe.held, "what it holds is bounded: the rest waits in the pipe"
        assert len(pipe.held) <= module._READ_BYTES
        while at < len(said):
            try:
                at += os.write(far, said[at : at + 4096])
            except BlockingIOError:
                room.read()
            await asyncio.sleep(0)
        await room.until(lambda: room.read() == said)
        os.close(far)

    live(play)


def test_when_nobody_can_read_any_more_what_is_written_goes_nowhere() -> None:
    async def main() -> None:
        fd, far = os.pipe()
        stderr = Stderr(far)
        os.close(fd)
        child = stderr.open("one")
        for _ in range(100):
            os.write(child, b"w" * 10_000 + b"\n")
            await asyncio.sleep(0)
        assert stderr.last_lines("one")[-1] == "w" * module._LINE_BYTES
        os.close(child)
        stderr.close()
        os.close(far)

    asyncio.run(asyncio.wait_for(main(), WITHIN_S))


def test_a_pipe_lives_as_long_as_somebody_may_write_to_it() -> None:
    """The worker of OpenAlgo's adapters outlives its feed host by a moment, and has its stderr."""

    async def play(room: Room) -> None:
        processes = Processes({}, room.stderr)
        code = (
            "import subprocess, sys; print('mine', file=sys.stderr);"
            "subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read();"
            'print("its", file=sys.stderr)\'])'
        )
        processes.start("feed", [sys.executable, "-c", code])
        leash = processes._running["feed"].stdin
        assert leash is not None
        held = os.dup(leash.fileno())
        await room.until(processes.ended)
        assert processes.last_lines("feed") == ("mine",)
        assert room.stderr._pipes
        os.close(held)
        await room.until(lambda: room.read() == b"mine\nits\n")
        await room.until(lambda: not room.stderr._pipes)

    live(play)


SPEAKS = """
import logging, sys
from hub.runtime.log import log, setup
setup("one", "info")
sys.stdin.read()
for number in range(100):
    log.warning("nobody hears number %d", number)
open(sys.argv[1], "w").write("done")
"""


def test_a_child_whose_log_nobody_reads_any_more_goes_on_in_silence(tmp_path: Path) -> None:
    """Its supervisor was killed: it has yet to say goodbye to its clients."""
    fd, far = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SPEAKS, str(tmp_path / "out")], stdin=subprocess.PIPE, stderr=far
    )
    os.close(far)
    os.close(fd)
    process.communicate(timeout=WITHIN_S)
    assert (tmp_path / "out").read_text() == "done"


@pytest.mark.parametrize("journal", [True, False])
def test_a_child_tells_the_journal_how_severe_it_is_where_its_supervisor_speaks_to_it(
    journal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.runtime.process.to_journal", lambda: journal)
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")

    async def play(room: Room) -> None:
        processes = Processes({}, room.stderr)
        code = "from hub.runtime.log import log, setup; setup('one', 'info'); log.warning('late')"
        processes.start("one", [sys.executable, "-c", code])
        await room.until(lambda: room.read().endswith(b"late\n"))
        assert room.came.startswith(b"<4>WARNING one ") == journal
        await room.until(processes.ended)

    live(play)
