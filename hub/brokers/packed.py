"""Lists of instruments that are packed: unpacked as they are read, and not without an end. Pure.

A megabyte can unpack to gigabytes; whoever reads would be out of memory, or the disk be full.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import IO, Any, AnyStr, cast

from hub.core.errors import Malformed

MOST_BYTES = 256 << 20
"""Longest list, unpacked; the longest good one has less than half of it."""
_LINE = 1 << 16
_GZIP = b"\x1f\x8b"


class _Bounded(io.RawIOBase):
    """Reads no more than so many bytes of a file. Raises Malformed when there are more."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        super().__init__()
        self._file = file
        self._most = self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as room:
            part = self._file.read(len(room))
            self._left -= len(part)
            if self._left < 0:
                raise Malformed(f"it is longer than {self._most >> 20} MiB when unpacked")
            room[: len(part)] = part
            return len(part)


def bounded(file: IO[bytes], most: int = MOST_BYTES) -> io.BufferedReader:
    """What is unpacked of a file as it is read. Reading raises Malformed when it is too long."""
    return io.BufferedReader(_Bounded(file, most), _LINE)


def opened(file: IO[bytes], most: int = MOST_BYTES) -> io.BufferedReader:
    """A file from its begin, unpacked if it is in GZIP. Reading raises as `bounded` does, and what
    gzip does."""
    begin = file.read(len(_GZIP))
    file.seek(0)
    return bounded(cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if begin == _GZIP else file, most)


def lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    """The lines of a file; one that does not end comes in pieces."""
    while line := file.readline(_LINE):
        yield line
