"""Recordings as they are written."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import zstandard

from hub.core.errors import HubError, StartError
from hub.recording import read, rows
from hub.recording.rows import Kind, Row

_LEVEL = 3
_GROUP_ROWS = 50_000
NO_PYARROW = "parquet needs pyarrow: pip install pyarrow (or take .jsonl.zst, which needs nothing)"


class Writer(Protocol):
    """A recording that grows."""

    def write(self, row: Row) -> None:
        """Add a row."""

    def flush(self) -> None:
        """Let what was added be readable even if this process is killed now."""

    def size_bytes(self) -> int:
        """How large the file is, up to the last flush."""

    def close(self) -> None:
        """Make it whole."""


def open_writer(path: Path, *, force: bool) -> Writer:
    """Begin a recording. Raises Malformed for a name that is none, StartError when the file is
    there and not to be overwritten, or cannot be made."""
    kind = check(path, force=force)
    if kind is Kind.PARQUET:
        return Parquet(path, force=force)
    return Lines(path, packed=kind is Kind.PACKED, force=force)


def check(path: Path, *, force: bool) -> Kind:
    """What kind of recording a file would be. Raises as `open_writer`, as far as one can see
    without making it."""
    kind = rows.kind(path)
    if path.exists() and not force:
        raise StartError(_there(path))
    return kind


class Lines:
    """Lines of JSON, compressed or not."""

    def __init__(self, path: Path, *, packed: bool, force: bool) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("wb" if force else "xb")
        except FileExistsError:
            raise StartError(_there(path)) from None
        except OSError as error:
            raise StartError(f"{path} cannot be written: {error.strerror}") from None
        self._stream: Any = None
        if packed:
            self._stream = zstandard.ZstdCompressor(_LEVEL).stream_writer(self._file, closefd=False)

    def __repr__(self) -> str:
        return f"<Lines {self._path.name}, {self.size_bytes()} bytes>"

    def write(self, row: Row) -> None:
        """See `Writer`."""
        (self._stream or self._file).write(rows.line(row))

    def flush(self) -> None:
        """See `Writer`."""
        if self._stream is not None:
            self._stream.flush(zstandard.FLUSH_BLOCK)
        self._file.flush()

    def size_bytes(self) -> int:
        """See `Writer`."""
        return os.stat(self._path).st_size  # noqa: PTH116  # the same, and it is asked every second

    def close(self) -> None:
        """See `Writer`."""
        with self._file:
            if self._stream is not None:
                self._stream.close()


class Parquet:
    """A table, which can be read when it is closed; until then its rows are in a recording beside
    it, `NAME.parquet.jsonl.zst`, that stays when this process is killed."""

    def __init__(self, path: Path, *, force: bool) -> None:
        try:
            import pyarrow.parquet  # noqa: F401, PLC0415  # it is large, and an extra
        except ImportError:
            raise StartError(NO_PYARROW) from None
        self._path = path
        self._journal = path.with_name(f"{path.name}{Kind.PACKED.value}")
        self._lines = Lines(self._journal, packed=True, force=force)

    def __repr__(self) -> str:
        return f"<Parquet {self._path.name}, {self.size_bytes()} bytes so far>"

    def write(self, row: Row) -> None:
        """See `Writer`."""
        self._lines.write(row)

    def flush(self) -> None:
        """See `Writer`."""
        self._lines.flush()

    def size_bytes(self) -> int:
        """See `Writer`. It is that of the rows beside it, as long as there is no table."""
        path = self._journal if self._journal.exists() else self._path
        return path.stat().st_size

    def close(self) -> None:
        """See `Writer`. It takes as long as the recording is large."""
        self._lines.close()
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            _tabulate(self._journal, part)
            part.replace(self._path)
        except OSError as error:
            raise HubError(f"{self._path}: {error}; the rows are in {self._journal}") from None
        self._journal.unlink()


def _tabulate(source: Path, target: Path) -> None:
    """Write a recording of lines as a table."""
    import pyarrow as pa  # noqa: PLC0415  # see above
    from pyarrow import parquet  # noqa: PLC0415  # see above

    text = pa.string()
    schema = pa.schema({"time_ns": pa.int64(), "topic": text, "exchange": text, "symbol": text,
                        "data": text})  # fmt: skip
    with ExitStack() as stack:
        writer = stack.enter_context(
            parquet.ParquetWriter(
                target, schema, compression="zstd", use_dictionary=schema.names[1:4]
            )
        )
        group: list[dict[str, Any]] = []
        for chunk in read.chunks(source):
            group += [
                {"time_ns": row.time_ns, "topic": row.topic, "exchange": row.exchange,
                 "symbol": row.symbol, "data": bytes(row.data).decode()}
                for row in chunk
            ]  # fmt: skip
            if len(group) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _there(path: Path) -> str:
    return f"{path} is there already; give another name, or --force to overwrite it"
