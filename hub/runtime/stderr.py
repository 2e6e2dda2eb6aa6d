"""What children write to stderr: passed on as it is, and the last lines of each kept; all of them
where there is somebody who keeps them.

1. Each life of a child has a pipe of its own, which is read until nobody can write to it any more.
2. Lines are passed on whole and in their order, byte for byte: whoever has begun one ends it before
   another has its turn. Only one of 64 KiB and more may be parted.
3. A child waits when its pipe is full, and not before: that holds 1 MiB, or what the kernel gives
   this user, while the supervisor stands still or nobody reads what it passes on.
4. The supervisor waits for nobody who does not read: what cannot be passed on stays in the pipes.
5. Whoever is shown only what is severe is shown whole messages, of each line the first 8 KiB.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
from collections import defaultdict, deque
from contextlib import suppress

from hub.core.logline import Reader, as_severe, without_priority
from hub.runtime.log import Keep, shown

_PIPE_BYTES = 1 << 20
_LINES = 20
_LINE_BYTES = 400
"""So much is kept of each child: 20 lines, of each its beginning."""
_LONGEST_BYTES = 8192
"""What goes to who keeps all lines, of each, and to who is shown only some."""

_READ_BYTES = 1 << 16
_WRITE_BYTES = select.PIPE_BUF
"""A pipe that takes anything takes so much."""

_AGAIN_S = 0.1


class Stderr:
    """The stderr of all children, by name. `out` is where it goes on to, this process's own; only
    from level `least` on, if it is given. `keep` gets the name and each line."""

    def __init__(self, out: int = 2, least: str = "", keep: Keep | None = None) -> None:
        self._out = out
        self._least = least
        self._keep = keep
        self._reader = Reader()
        self._loop = asyncio.get_running_loop()
        self._pipes: dict[_Pipe, None] = {}  # in the order of their lives
        self._midway: _Pipe | None = None  # a line of it has gone on in part
        self._last: defaultdict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=_LINES))

    def __repr__(self) -> str:
        return f"<Stderr {len(self._pipes)} pipes>"

    def open(self, name: str) -> int:
        """The end of a new pipe that a child writes to; whoever starts the child closes it."""
        fd, far = os.pipe()
        with suppress(OSError):  # this user may have no more pipes as large as that
            fcntl.fcntl(far, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(fd, False)
        pipe = _Pipe(name, fd)
        self._pipes[pipe] = None
        self._loop.add_reader(fd, self._take, pipe)
        return far

    def last_lines(self, name: str) -> tuple[str, ...]:
        """A child's last lines up to now, without anything that a terminal would obey."""
        pipes = [pipe for pipe in self._pipes if pipe.name == name]
        for pipe in pipes:
            self._drain(pipe)
            self._go_on(pipe)
        lines = [*self._last[name], *(pipe.line for pipe in pipes if pipe.line)]
        texts = (line[:_LINE_BYTES].decode(errors="replace") for line in lines[-_LINES:])
        return tuple(shown(without_priority(text)) for text in texts)

    def close(self) -> None:
        """Pass on what is there yet, and read no more."""
        for pipe in sorted(self._pipes, key=lambda pipe: pipe is not self._midway):
            self._drain(pipe)
            pipe.open = False
            self._pass_on(pipe)
            self._end(pipe)

    def _take(self, pipe: _Pipe) -> None:
        """There is something to read, or nobody left who writes."""
        self._read(pipe)
        self._go_on(pipe)

    def _go_on(self, pipe: _Pipe) -> None:
        """Pass on what has been read; read more only when that has gone."""
        if pipe.again is not None:
            pipe.again.cancel()
            pipe.again = None
        if self._pass_on(pipe):
            self._loop.remove_reader(pipe.fd)
            pipe.again = self._loop.call_later(_AGAIN_S, self._go_on, pipe)
        elif pipe.open:
            self._loop.add_reader(pipe.fd, self._take, pipe)
        else:
            self._end(pipe)

    def _drain(self, pipe: _Pipe) -> None:
        """Read all that is there now."""
        for _ in range(_PIPE_BYTES // _READ_BYTES + 1):
            if not self._read(pipe):
                return

    def _read(self, pipe: _Pipe) -> bool:
        """Read a part of what is there; whether there was something."""
        try:
            data = os.read(pipe.fd, _READ_BYTES)
        except BlockingIOError:
            return False
        pipe.open = bool(data)
        if not self._least:
            pipe.held += data
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._whole(pipe, (pipe.line + line)[:_LONGEST_BYTES])
            pipe.line = b""
        pipe.line = (pipe.line + rest)[:_LONGEST_BYTES]
        if pipe.line and not pipe.open:
            self._whole(pipe, pipe.line)
            pipe.line = b""
        return pipe.open

    def _whole(self, pipe: _Pipe, line: bytes) -> None:
        """A line has come to its end."""
        self._last[pipe.name].append(line[:_LINE_BYTES])
        if not (self._least or self._keep):
            return
        text = line.decode(errors="replace")
        if self._keep:
            self._keep(pipe.name, text)
        if self._least and as_severe(self._reader.said("", pipe.name, text).level, self._least):
            pipe.held += line + b"\n"

    def _pass_on(self, pipe: _Pipe) -> bool:
        """Pass on whole lines, and the last one as it is; whether some are left."""
        if self._midway not in {None, pipe}:
            return bool(pipe.held)
        held = pipe.held
        may_wait = pipe.open and len(held) < _READ_BYTES
        end = held.rfind(b"\n") + 1 if may_wait else len(held)
        if not end:  # the rest of a line that was parted
            self._midway = None
        try:
            while end and select.select([], [self._out], [], 0)[1]:
                sent = os.write(self._out, held[: min(end, _WRITE_BYTES)])
                end -= sent
                self._midway = pipe if end and held[sent - 1 : sent] != b"\n" else None
                del held[:sent]
        except BlockingIOError:
            return True
        except (OSError, ValueError):  # nobody reads it any more
            self._midway = None
            held.clear()
            return False
        return bool(end)

    def _end(self, pipe: _Pipe) -> None:
        if pipe.again is not None:
            pipe.again.cancel()
        self._loop.remove_reader(pipe.fd)
        self._pipes.pop(pipe, None)
        os.close(pipe.fd)


class _Pipe:
    """The pipe of one life: what was read and has not gone on yet, and the line without an end."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.open = True
        self.held = bytearray()
        self.line = b""
        self.again: asyncio.TimerHandle | None = None
