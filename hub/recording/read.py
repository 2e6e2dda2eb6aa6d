"""Recordings as they are read: in chunks, so that a large one needs no more memory than a small."""

from __future__ import annotations

import re
from collections.abc import Container, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zstandard

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.model import Mode
from hub.recording import rows
from hub.recording.rows import Kind, Row

CHUNK_ROWS = 2000
"""Rows that are in memory at a time, and again as many that are read ahead."""

_COLUMNS = [field.name for field in msgspec.structs.fields(Row)]
_BLOCK_BYTES = 1 << 16
_HEAD = re.compile(rb'\{"time_ns":(\d+),"topic":"([!#-\[\]-~]+)",')
_UNREADABLE = (OSError, zstandard.ZstdError)


class Place(NamedTuple):
    """A topic of a recording: as bytes, its key and mode, and how many levels its book had in the
    first row (0: none)."""

    topic: bytes
    key: bytes
    mode: Mode
    levels: int


class Summary(NamedTuple):
    """What is in a recording: how many rows, when the earliest and the latest came (ns since the
    epoch), and its topics by their text."""

    ticks: int
    first_ns: int
    last_ns: int
    places: dict[str, Place]

    @property
    def names(self) -> int:
        """How many instruments there are."""
        return len({place.key for place in self.places.values()})


def chunks(path: Path) -> Generator[list[Row], None, None]:
    """The rows of a recording in their order, CHUNK_ROWS at a time. Raises Malformed."""
    try:
        yield from _table(path) if rows.kind(path) is Kind.PARQUET else _lines(path)
    except _UNREADABLE as error:
        raise _told(path, error) from None


def scan(path: Path) -> Summary:
    """Read all of it once, to know what is in it. Raises Malformed, also when nothing is."""
    count, first_ns, last_ns = 0, 1 << 63, 0
    places: dict[str, Place] = {}
    try:
        for time_ns, topic, row in _heads(path, places):
            count += 1
            first_ns, last_ns = min(first_ns, time_ns), max(last_ns, time_ns)
            if row is not None and topic not in places:
                places[topic] = _place(path, row)
    except _UNREADABLE as error:
        raise _told(path, error) from None
    if not count:
        raise Malformed(f"{path} has no ticks")
    return Summary(count, first_ns, last_ns, places)


def _heads(path: Path, known: Container[str]) -> Iterator[tuple[int, str, Row | None]]:
    """When each row came and its topic, and all of it where the topic is not known. Lines as
    `hub record` writes them need not be read any further for that."""
    if rows.kind(path) is Kind.PARQUET:
        yield from ((row.time_ns, row.topic, row) for chunk in _table(path) for row in chunk)
        return
    for number, text in _texts(path):
        head = _HEAD.match(text)
        topic = head[2].decode() if head else ""
        if head and topic in known:
            yield int(head[1]), topic, None
        else:
            row = rows.parse(text, f"{path}:{number}")
            yield row.time_ns, row.topic, row


def _place(path: Path, row: Row) -> Place:
    topic = row.topic.encode()
    try:
        key, mode = topics.parse(topic)
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None
    depth = msgspec.json.decode(row.data).get("depth") if mode is Mode.DEPTH else None
    sides = depth.values() if isinstance(depth, dict) else ()
    levels = max((len(side) for side in sides if isinstance(side, list)), default=0)
    return Place(topic, key, mode, levels)


def _lines(path: Path) -> Iterator[list[Row]]:
    found = list[Row]()
    for number, text in _texts(path):
        found.append(rows.parse(text, f"{path}:{number}"))
        if len(found) == CHUNK_ROWS:
            yield found
            found = []
    if found:
        yield found


def _texts(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1. A last one that has no end counts when it is
    whole: whoever was killed has left half of it."""
    number, rest = 0, b""
    for block in _blocks(path):
        *whole, rest = (rest + block).split(b"\n")
        for text in whole:
            number += 1
            if text:
                yield number, text
    if rest:
        try:
            rows.parse(rest, f"{path}:{number + 1}")
        except Malformed:
            if not number:
                raise
        else:
            yield number + 1, rest


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked; of one that was cut off as many as there are."""
    unpack = None
    if rows.kind(path) is Kind.PACKED:
        unpack = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield unpack(block) if unpack else block


def _told(path: Path, error: Exception) -> Malformed:
    if isinstance(error, OSError):
        return Malformed(f"{path} cannot be read: {error.strerror or error}")
    return Malformed(f"{path} is not compressed with zstd: {error}")


def _table(path: Path) -> Iterator[list[Row]]:
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415  # it is large, and an extra
    except ImportError:
        raise Malformed(f"{path.name}: parquet needs pyarrow: pip install pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
            for batch in file.iter_batches(CHUNK_ROWS, columns=columns):
                yield [_row_of(row, path) for row in batch.to_pylist()]
    except (ArrowInvalid, AttributeError, KeyError, TypeError, msgspec.MsgspecError) as error:
        raise Malformed(f"{path} is no recording: {error}") from None


def _row_of(row: dict[str, Any], path: Path) -> Row:
    data = msgspec.json.decode(row["data"].encode(), type=msgspec.Raw)
    return rows.checked(msgspec.convert(row | {"data": data}, Row), str(path))
