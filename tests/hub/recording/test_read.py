"""Recordings as they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.errors import Malformed
from hub.core.model import Mode
from hub.recording import read, rows
from hub.recording.read import Place
from hub.recording.write import open_writer
from tests.hub.recording.kit import BEGIN_NS, essence, recording, row

BOOK = b'{"depth":{"buy":[{},{}],"sell":[{},{},{}]}}'


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst", ".parquet"])
def test_a_summary_tells_what_is_in_it(tmp_path: Path, ending: str) -> None:
    path = recording(tmp_path / f"a{ending}", row(2), row(0), row(1, "A_B"),
                     row(3, "A_B", "DEPTH", BOOK), row(4, "A_B", "DEPTH"))  # fmt: skip
    found = read.scan(path)
    assert (found.ticks, found.names) == (5, 2)
    assert (found.first_ns, found.last_ns) == (BEGIN_NS, BEGIN_NS + 4 * 10**9)
    assert found.places == {
        "NSE_SBIN_QUOTE": Place(b"NSE_SBIN_QUOTE", b"NSE_SBIN", Mode.QUOTE, 0),
        "NSE_A_B_QUOTE": Place(b"NSE_A_B_QUOTE", b"NSE_A_B", Mode.QUOTE, 0),
        "NSE_A_B_DEPTH": Place(b"NSE_A_B_DEPTH", b"NSE_A_B", Mode.DEPTH, 3),
    }


def test_lines_of_others_are_summed_up_like_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        """{"topic": "NSE_A_LTP", "data": {}, "time_ns": 7}

{"time_ns":9,"topic":"NSE_\\u0042_LTP","data":{}}
{"time_ns":5,"topic":"NSE_A_LTP","data":{}}""",
        encoding="utf-8",
    )
    found = read.scan(path)
    assert (found.ticks, found.first_ns, found.last_ns) == (3, 5, 9)
    assert found.places.keys() == {"NSE_A_LTP", "NSE_B_LTP"}
    assert [row.time_ns for chunk in read.chunks(path) for row in chunk] == [7, 9, 5]


def test_rows_come_in_chunks(tmp_path: Path) -> None:
    many = [row(n) for n in range(read.CHUNK_ROWS * 2 + 3)]
    path = recording(tmp_path / "a.jsonl.zst", *many)
    found = [*read.chunks(path)]
    assert [len(chunk) for chunk in found] == [read.CHUNK_ROWS, read.CHUNK_ROWS, 3]
    assert [essence(one) for chunk in found for one in chunk] == [*map(essence, many)]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
def test_one_may_be_put_behind_another(tmp_path: Path, ending: str) -> None:
    one, two = (recording(tmp_path / f"{n}{ending}", row(n)) for n in range(2))
    both = tmp_path / f"both{ending}"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert read.scan(both).ticks == 2


def test_a_last_line_without_an_end_counts_when_it_is_whole(tmp_path: Path) -> None:
    text = rows.line(row(0)) + rows.line(row(1))
    path = tmp_path / "a.jsonl"
    for cut, count in ((0, 2), (1, 2), (2, 1), (30, 1)):
        path.write_bytes(text[: len(text) - cut])
        assert read.scan(path).ticks == count


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(rows.line(row(0)) + b"nonsense\n" + rows.line(row(1)))
    with pytest.raises(Malformed, match=r"a\.jsonl:2 is no row"):
        read.scan(path)
    path.write_bytes(b"one line of something else")
    with pytest.raises(Malformed, match=r"a\.jsonl:1 is no row"):
        read.scan(path)
    path.write_bytes(b'{"time_ns":1,"topic":"NSE_\xff_LTP","data":{}}\n')
    with pytest.raises(Malformed, match=r"a\.jsonl:1 is no row"):
        read.scan(path)
    path.write_bytes(b"")
    with pytest.raises(Malformed, match="has no ticks"):
        read.scan(path)
    path.write_bytes(rows.line(row(0, mode="OHLC")))
    with pytest.raises(Malformed, match="does not end in _LTP"):
        read.scan(path)
    for name, text in (("a.jsonl.zst", b"plain"), ("a.parquet", b"plain")):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(Malformed, match=r"not compressed|is no recording"):
            read.scan(tmp_path / name)
    with pytest.raises(Malformed, match=r"none\.jsonl cannot be read: No such file"):
        read.scan(tmp_path / "none.jsonl")


def test_a_compressed_recording_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    writer = open_writer(path, force=False)
    for n in range(3000):
        writer.write(row(n))
        if n % 1000 == 999:
            writer.flush()
    writer.close()
    raw = path.read_bytes()
    path.write_bytes(raw[:-3])  # all but the end of the frame
    assert read.scan(path).ticks == 3000, "what was flushed is there"
    path.write_bytes(raw[: len(raw) - len(raw) // 6])
    assert 2000 <= read.scan(path).ticks < 3000
