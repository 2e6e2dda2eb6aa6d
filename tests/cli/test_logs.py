"""`hub logs`, from a log file that a test has written, and from the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pytest

from cli import logs
from cli.logs import Wanted, following, moment
from hub.core.logline import LogLine
from hub.runtime import logfile
from hub.runtime.logfile import LogFile

NOW = datetime(2026, 11, 26, 12, 0, 0)  # noqa: DTZ001  # the log's own time is local


@pytest.fixture
def log(runtime_dir: Path) -> Iterator[LogFile]:
    """What a hub has kept there."""
    file = LogFile(runtime_dir / "hub.log")
    say(file, "router", "INFO", "ready")
    say(file, "shard-0", "INFO", "ready")
    say(file, "shard-1", "WARNING", "late")
    say(file, "shard-0", "ERROR", "broken")
    file.keep("shard-0", "    raise ValueError")
    say(file, "supervisor", "WARNING", "shard-0 ended")
    yield file
    file.close()


def say(file: LogFile, role: str, level: str, text: str) -> None:
    file.keep(role, f"09:15:00 {level:<7} {role:<10} {text}")


def shown(out: str) -> list[str]:
    """Lines without their time and what is padded."""
    return [" ".join(line.split()[2:]) for line in out.splitlines()]


def test_all_lines_are_shown_in_their_order(hub: Any, log: LogFile, runtime_dir: Path) -> None:
    out = hub("logs", "--runtime-dir", runtime_dir).stdout
    assert shown(out) == [
        "INFO router ready",
        "INFO shard-0 ready",
        "WARNING shard-1 late",
        "ERROR shard-0 broken",
        "shard-0 raise ValueError",
        "WARNING supervisor shard-0 ended",
    ]
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["router"], ["INFO router ready"]),
        (["shard-1", "router"], ["INFO router ready", "WARNING shard-1 late"]),
        (["shard", "--level", "error"], ["ERROR shard-0 broken", "shard-0 raise ValueError"]),
        (["-n", "1"], ["WARNING supervisor shard-0 ended"]),
        (["-n", "1", "shard-1"], ["WARNING shard-1 late"]),
        (["-n", "0"], []),
        (["feed"], []),
        (["--since", "2030-01-01"], []),
        (["--since", "1d", "router"], ["INFO router ready"]),
    ],
)
def test_only_what_is_wanted_is_shown(
    hub: Any, log: LogFile, runtime_dir: Path, options: list[str], expected: list[str]
) -> None:
    result = hub("logs", "--runtime-dir", runtime_dir, *options)
    assert shown(result.stdout) == expected
    assert bool(expected) != ("Nothing of that kind" in result.stderr)


def test_a_script_gets_json(hub: Any, log: LogFile, runtime_dir: Path) -> None:
    out = hub("logs", "--runtime-dir", runtime_dir, "shard-0", "-n", "2", "--json").stdout
    first, second = map(json.loads, out.splitlines())
    assert (first["level"], first["role"], first["text"]) == ("error", "shard-0", "broken")
    assert (second["level"], second["more"]) == ("error", True)


def test_levels_have_colours_at_a_terminal() -> None:
    text = logs.picture(LogLine("2026-11-26 09:15:00", "error", "shard-0", "broken"))
    assert click.style("broken", fg="red") in text
    assert click.unstyle(text) == "2026-11-26 09:15:00 ERROR   shard-0    broken"


def test_older_files_are_read_as_far_as_need_be(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MOST_BYTES", 300)
    file = LogFile(runtime_dir / "hub.log")
    for number in range(12):
        say(file, "router", "INFO", f"number {number}")
    file.close()
    out = hub("logs", "--runtime-dir", runtime_dir, "-n", "9").stdout
    assert [int(line.split()[-1]) for line in shown(out)] == [*range(3, 12)]


def test_what_comes_is_followed_through_a_change_of_files(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MOST_BYTES", 300)
    monkeypatch.setattr(logs, "_AGAIN_S", 0.001)
    file = LogFile(runtime_dir / "hub.log")
    say(file, "router", "INFO", "number 0")
    _, position = logs.last(file.path, Wanted(), 10)
    lines = following(file.path, position)
    number = 1
    for burst in (1, 2, 5, 1, 9, 1):
        for _ in range(burst):
            say(file, "router", "INFO", f"number {number}")
            number += 1
        got = [line.text for line in islice(lines, burst)]
        assert got == [f"number {one}" for one in range(number - burst, number)]
    file.close()


def test_half_a_line_is_waited_for(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = runtime_dir / "hub.log"
    path.write_text("2026-11-26 09:15:00 INFO    router     o")

    def sleep(_: float) -> None:
        with path.open("a") as file:
            file.write("ne\n")

    monkeypatch.setattr("cli.logs.time.sleep", sleep)
    (line,) = islice(following(path, logs.last(path, Wanted(), 0)[1]), 1)
    assert line.text == "one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", "2026-11-26 11:50:00"),
        ("1.5 h", "2026-11-26 10:30:00"),
        ("2d", "2026-11-24 12:00:00"),
        ("9:15", "2026-11-26 09:15:00"),
        ("09:15:30", "2026-11-26 09:15:30"),
        ("2026-11-25 09:15", "2026-11-25 09:15:00"),
        ("2026-11-25", "2026-11-25 00:00:00"),
    ],
)
def test_times_are_what_people_write(text: str, expected: str) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "10", "25:00", "9999999999d", "2026-13-01"])
def test_what_is_no_time_is_told(hub: Any, text: str) -> None:
    assert "is no time; say 10m" in hub("logs", "--since", text, rc=2).stderr


def test_what_is_no_role_is_told(hub: Any) -> None:
    assert "there are supervisor, router" in hub("logs", "shards", rc=2).stderr


def test_where_no_log_is_it_is_said_why(hub: Any, runtime_dir: Path) -> None:
    at = ("logs", "--runtime-dir", runtime_dir)
    assert "`hub start` does" in hub(*at, rc=69).stderr
    os.environ["HUB_LOG_FILE"] = "none"
    assert 'hub.log_file is "none"' in hub(*at, rc=73).stderr


def test_a_file_that_is_named_is_read(hub: Any, log: LogFile, runtime_dir: Path) -> None:
    other = runtime_dir / "other.log"
    os.environ["HUB_LOG_FILE"] = str(log.path.rename(other))
    assert len(shown(hub("logs", "--runtime-dir", runtime_dir / "elsewhere").stdout)) == 6


def test_under_systemd_the_journal_is_asked(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def become(_: str, argv: list[str]) -> None:
        asked.append(argv)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(logs, "units_of", lambda place: ["hub-shard@.service"])
    monkeypatch.setattr("os.execvp", become)
    told = hub("logs", "-f", "shard-2", "--level", "warning", rc=73).stderr
    assert "journalctl cannot be run: No such file" in told
    assert asked == [
        ["journalctl", "--unit", "hub-shard@2.service", "--priority=4", "--lines=100", "--follow"]
    ]
    hub("logs", "--since", "10m", rc=73)
    since = datetime.strptime(asked[1][-1], "--since=%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  # as it is
    assert abs(datetime.now() - timedelta(minutes=10) - since) < timedelta(minutes=5)  # noqa: DTZ005
    assert not [word for word in asked[1] if word.startswith("--lines")]
