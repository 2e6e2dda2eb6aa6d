"""How far events are followed, over the death of who follows them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hub.cluster.position import Position


def told(position: Position) -> tuple[bool, str, int]:
    return position.known, position.created, position.number


def test_who_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "position"
    first = Position(path)
    assert told(first) == (False, "", 0)
    assert not first.outdated
    for number in (10_000_000, 7, 8):
        first.set("2026-11-26T09:15:00Z", number)
    again = Position(path)  # nobody has closed the first
    assert told(again) == (True, "2026-11-26T09:15:00Z", 8)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_position_that_nobody_has_kept_alive_is_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "position"
    position = Position(path)
    position.set("then", 5)
    long_ago = time.time() - 61
    os.utime(path, (long_ago, long_ago))
    stale = Position(path)
    assert not stale.known
    assert stale.outdated
    position.keep()
    assert told(Position(path)) == (True, "then", 5)


@pytest.mark.parametrize("text", ["[1", "[]", "{}", "[1, null]", "7", '["x", "y"]'])
def test_a_file_that_cannot_be_read_counts_as_outdated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "position"
    path.write_text(text)
    position = Position(path)
    assert not position.known
    assert position.outdated


def test_without_a_file_it_lasts_as_long_as_the_process() -> None:
    position = Position(None)
    position.set("now", 3)
    position.keep()
    position.close()
    assert told(position) == (True, "now", 3)
    assert repr(position) == "<Position 3>"
