"""One row of a recording as a line of JSON, and which files there are. Pure."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from hub.core.errors import Malformed


class Row(msgspec.Struct, kw_only=True):
    """One tick; `data` is JSON as bytes."""

    time_ns: int
    topic: str
    exchange: str = ""
    symbol: str = ""
    data: msgspec.Raw


class Kind(Enum):
    """How rows are kept."""

    LINES = ".jsonl"
    PACKED = ".jsonl.zst"
    PARQUET = ".parquet"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Row).decode


def kind(path: Path) -> Kind:
    """What a file is by its name. Raises Malformed naming what there is."""
    for one in (Kind.PACKED, Kind.LINES, Kind.PARQUET):
        if path.name.endswith(one.value):
            return one
    endings = ", ".join(one.value for one in Kind)
    raise Malformed(f"{path.name}: the name of a recording ends in one of {endings}")


def json_of(data: dict[str, Any]) -> bytes:
    """A tick's data as JSON; whole numbers of any size stay as they are."""
    try:
        return _encode(data)
    except OverflowError:
        return json.dumps(data).encode()


def line(row: Row) -> bytes:
    """A row as a line."""
    return _encode(row) + b"\n"


def parse(text: bytes, where: str) -> Row:
    """The row of a line. Raises Malformed; `where` is what it calls the line."""
    try:
        row = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"{where} is no row of a recording: {error}") from None
    return checked(row, where)


def checked(row: Row, where: str) -> Row:
    """A row whose data is JSON already, if that is an object. Raises Malformed."""
    if memoryview(row.data)[0] != ord("{"):
        raise Malformed(f"{where} is no row of a recording: its data is no object")
    return row
