"""Recordings as they are written, and read back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub.core.errors import Malformed, StartError
from hub.recording import read, write
from hub.recording.write import open_writer
from tests.hub.recording.kit import essence, recording, row

ENDINGS = [".jsonl", ".jsonl.zst", ".parquet"]
ROWS = [
    row(n / 10, symbol=f"S{n % 3}", data=b'{"x":"\xe2\x82\xb9\\n","n":%d}' % n) for n in range(50)
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read_in_every_kind(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    writer = open_writer(path, force=False)
    for one in ROWS[:30]:
        writer.write(one)
    writer.flush()
    assert writer.size_bytes() > 0
    for one in ROWS[30:]:
        writer.write(one)
    writer.close()
    assert writer.size_bytes() == path.stat().st_size
    found = [one for chunk in read.chunks(path) for one in chunk]
    assert [*map(essence, found)] == [*map(essence, ROWS)]
    assert [*tmp_path.iterdir()] == [path], "nothing else is left"


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_overwritten_unless_it_is_forced(tmp_path: Path, ending: str) -> None:
    path = recording(tmp_path / f"a{ending}", *ROWS)
    before = path.read_bytes()
    with pytest.raises(StartError, match=r"is there already.*--force"):
        open_writer(path, force=False)
    assert path.read_bytes() == before
    writer = open_writer(path, force=True)
    writer.write(ROWS[0])
    writer.close()
    assert read.scan(path).ticks == 1
    with pytest.raises(StartError, match="cannot be written: No such file"):
        open_writer(tmp_path / f"no/such/a{ending}", force=False)
    with pytest.raises(Malformed):
        open_writer(tmp_path / "a.csv", force=False)


def test_the_rows_beside_a_table_are_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "a.parquet.jsonl.zst").touch()
    with pytest.raises(StartError, match="is there already"):
        open_writer(tmp_path / "a.parquet", force=False)


@pytest.mark.parametrize("ending", ENDINGS)
def test_who_is_killed_leaves_what_was_flushed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    script = """
import os, signal, sys
from pathlib import Path
from hub.recording.write import open_writer
from tests.hub.recording.kit import row
writer = open_writer(Path(sys.argv[1]), force=False)
for n in range(3000):
    writer.write(row(n))
writer.flush()
for n in range(3000, 3333):
    writer.write(row(n))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=False, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == -signal.SIGKILL
    left = path if ending != ".parquet" else tmp_path / "a.parquet.jsonl.zst"
    found = [one for chunk in read.chunks(left) for one in chunk]
    assert 3000 <= len(found) <= 3333
    assert [*map(essence, found)] == [essence(row(n)) for n in range(len(found))]


def test_a_table_has_columns_that_pandas_and_others_read(tmp_path: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(recording(tmp_path / "a.parquet", *ROWS))
    assert table.column_names == ["time_ns", "topic", "exchange", "symbol", "data"]
    assert table.num_rows == len(ROWS)
    assert table["symbol"].to_pylist()[:3] == ["S0", "S1", "S2"]


def test_a_table_is_made_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_GROUP_ROWS", 10)
    monkeypatch.setattr(read, "CHUNK_ROWS", 7)
    path = recording(tmp_path / "a.parquet", *ROWS)
    assert [essence(one) for chunk in read.chunks(path) for one in chunk] == [*map(essence, ROWS)]


def test_without_pyarrow_it_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path: Any = recording(tmp_path / "a.parquet", *ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(StartError, match="pip install pyarrow"):
        open_writer(tmp_path / "b.parquet", force=False)
    assert not [*tmp_path.glob("b.*")]
    with pytest.raises(Malformed, match="pip install pyarrow"):
        next(read.chunks(path))


def test_when_no_table_can_be_made_the_rows_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = open_writer(tmp_path / "a.parquet", force=False)
    writer.write(ROWS[0])
    monkeypatch.setattr(write, "_tabulate", full)
    with pytest.raises(Exception, match=r"No space left.*a\.parquet\.jsonl\.zst"):
        writer.close()
    assert read.scan(tmp_path / "a.parquet.jsonl.zst").ticks == 1
