"""Once a minute per source, and how many were held back."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from hub.runtime import log as module
from hub.runtime.log import STREAM, Seldom, log, setup, stream_name, to_journal


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The log's clock."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test sets up is undone."""
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    log.propagate = True
    yield
    log.handlers[:], log.level, log.propagate = handlers, level, propagate


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_source_is_heard_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom()
    for number in range(5):
        seldom.warning("bus", "dropped %d", number)
    assert texts(caplog) == ["dropped 0"]
    clock.now += 60
    seldom.warning("bus", "dropped %d", 9)
    assert texts(caplog)[1:] == ["dropped 9 (4 more like it held back)"]


def test_sources_do_not_silence_each_other(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom()
    for source in ("bus", "ingest", "bus"):
        seldom.warning(source, "%s", source)
    assert texts(caplog) == ["bus", "ingest"]


def test_what_was_held_back_is_told_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom()
    for _ in range(4):
        seldom.warning("bus", "again")
        clock.now += 40
    assert texts(caplog) == ["again", "again (1 more like it held back)"]


def test_any_number_of_sources_is_bounded(clock: Clock) -> None:
    seldom = Seldom()
    log.propagate = False
    log.handlers[:] = [logging.NullHandler()]
    for number in range(5000):
        seldom.warning(f"source {number}", "once")
    assert len(seldom._last) <= 1002


def test_lines_stand_under_the_roles_name(capsys: pytest.CaptureFixture[str]) -> None:
    setup("shard-2", "info")
    log.debug("not shown")
    log.info("ready")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.split()[1:] == ["INFO", "shard-2", "ready"]


def test_what_others_send_forges_no_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    setup("shard-2", "info")
    log.warning("no symbol %s", "A\n09:15:00 ERROR router forged\x1b[31m\u2028\x85\r\t")
    written = capsys.readouterr().err
    assert len(written.splitlines()) == 1
    assert written.rstrip("\n").isprintable()
    assert r"A\n09:15:00 ERROR router forged\x1b[31m\u2028\x85\r\t" in written


def test_letters_of_every_script_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    setup("shard-2", "info")
    log.warning("उपयोगकर्ता %s", "é…")
    assert "उपयोगकर्ता é…" in capsys.readouterr().err


def test_a_traceback_keeps_its_lines_and_none_can_be_taken_for_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup("router", "info")
    try:
        raise ValueError("one\nERROR two\x1b")
    except ValueError as error:
        Seldom().warning("x", "it failed", error=error)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("it failed")
    assert any("raise ValueError" in line for line in rest)
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_whoever_keeps_lines_gets_all_and_a_terminal_only_what_is_severe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept: list[tuple[str, str]] = []
    setup("supervisor", "info", "warning", lambda role, line: kept.append((role, line)))
    log.debug("not logged")
    log.info("ready")
    try:
        raise ValueError("one")
    except ValueError as error:
        Seldom().warning("x", "it failed", error=error)
    err = capsys.readouterr().err
    assert "ready" not in err
    assert "it failed" in err
    assert {role for role, _ in kept} == {"supervisor"}
    lines = [line for _, line in kept]
    assert lines[0].split()[1:] == ["INFO", "supervisor", "ready"]
    assert "\n".join(lines[1:]) == err.rstrip("\n")


def test_the_journal_is_told_how_severe_each_line_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "to_journal", lambda: True)
    setup("shard-2", "info")
    log.info("ready")
    try:
        raise ValueError("one")
    except ValueError as error:
        Seldom().warning("x", "it failed", error=error)
    first, second, *more = capsys.readouterr().err.splitlines()
    assert first == "<6>INFO    shard-2    ready"
    assert second == "<4>WARNING shard-2    it failed"
    assert more
    assert all(line.startswith("<4>    ") for line in more)


def test_only_what_systemd_has_opened_is_the_journal() -> None:
    fd, far = os.pipe()
    other, _ = os.pipe()
    try:
        environ = {STREAM: stream_name(far)}
        assert to_journal(far, environ)
        assert not to_journal(other, environ), "somebody who has inherited the name"
        assert not to_journal(far, {})
    finally:
        for one in (fd, far, other, _):
            os.close(one)
    assert not to_journal(far, environ), "it is closed"
