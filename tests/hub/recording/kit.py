"""Rows for tests of recordings."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hub.recording.rows import Row
from hub.recording.write import open_writer

BEGIN_NS = 1_767_152_700_000_000_000
"""2025-12-31 09:15:00 in India."""


def row(at_s: float = 0.0, symbol: str = "SBIN", mode: str = "QUOTE", data: bytes = b"") -> Row:
    data = data or b'{"ltp":%d,"n":1.50}' % (at_s * 10)
    return Row(time_ns=BEGIN_NS + round(at_s * 1e9), topic=f"NSE_{symbol}_{mode}", exchange="NSE",
               symbol=symbol, data=msgspec.Raw(data))  # fmt: skip


def recording(path: Path, *rows: Row) -> Path:
    writer = open_writer(path, force=True)
    for one in rows:
        writer.write(one)
    writer.close()
    return path


def essence(row: Row) -> tuple[int, str, bytes]:
    """What a row is played by."""
    return row.time_ns, row.topic, bytes(row.data)
