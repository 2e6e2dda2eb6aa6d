"""The log file.

1. Nobody but its owner may read it, and its older files.
2. It and its older files have their bounds.
3. A disk that is full or gone stops no hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.core.errors import StartError
from hub.core.settings import Hub, Settings
from hub.runtime import logfile as module
from hub.runtime.logfile import OLDER, LogFile, log_path, older


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "hub.log"


@pytest.fixture
def file(path: Path) -> Iterator[LogFile]:
    made = LogFile(path)
    yield made
    made.close()


def test_lines_have_the_date_the_level_and_the_role(file: LogFile, path: Path) -> None:
    file.keep("shard-0", "09:15:00 WARNING shard-0    late")
    file.keep("shard-0", "Traceback \x1b[31m")
    first, second = path.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING shard-0    late", first)
    assert second.endswith(r" |       shard-0    Traceback \x1b[31m")


@pytest.mark.parametrize("umask", [0, 0o077])
def test_rule_1_only_its_owner_may_read_it(
    path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    path.parent.mkdir()
    path.write_text("before\n")
    path.chmod(0o644)
    before = os.umask(umask)
    try:
        file = LogFile(path)
        assert path.stat().st_mode & 0o777 == 0o600, "whoever made it"
        for _ in range(5):
            file.keep("router", "x" * 60)
        file.close()
    finally:
        os.umask(before)
    found = [*path.parent.iterdir()]
    assert len(found) == OLDER + 1
    assert {one.stat().st_mode & 0o777 for one in found} == {0o600}


def test_rule_2_it_has_its_bounds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    file = LogFile(path)
    for number in range(200):
        file.keep("router", f"09:15:00 INFO    router     {number}")
    file.close()
    assert older(path) == [path, path.with_name("hub.log.1"), path.with_name("hub.log.2")]
    assert all(one.stat().st_size <= 1000 for one in older(path))
    assert path.read_text().endswith(" 199\n"), "the newest lines are in it"
    LogFile(path).close()
    assert path.read_text().endswith(" 199\n"), "it goes on after a restart"


def test_rule_3_what_cannot_be_written_is_left_out(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = LogFile(path)
    full = os.open("/dev/full", os.O_WRONLY)
    stream = file._file.stream
    assert stream
    os.dup2(full, stream.fileno())
    os.close(full)
    for _ in range(3):
        file.keep("router", "x" * 10_000)
    file.close()
    assert capsys.readouterr().err == ""


def test_where_it_is(tmp_path: Path) -> None:
    def at(name: str) -> Path | None:
        return log_path(Settings(hub=Hub(log_file=name)), tmp_path)

    assert at("") == tmp_path / "hub.log"
    assert at("none") is None
    assert at("/var/log/hub.log") == Path("/var/log/hub.log")
    assert at("~/hub.log") == Path.home() / "hub.log"


def test_one_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"hub\.log_file: .* cannot be written: .*name another"):
        LogFile(tmp_path / "file" / "hub.log")
