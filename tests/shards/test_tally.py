"""What all shards count together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.tally import Kind, Tally
from tests.shards import house


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory of its own."""
    with house.room() as path:
        yield path


def everybody(shard: int, within_s: float) -> bool:
    return True


def test_a_count_is_that_of_all_shards(room: Path) -> None:
    """A limit of each shard alone would be as many times too high as there are shards."""
    one, two = (Tally(room / "tally", shard, 2, everybody) for shard in range(2))
    one.add(Kind.SESSIONS, "alice", 2)
    two.add(Kind.SESSIONS, "alice", 3)
    two.add(Kind.SESSIONS, "alice", -1)
    assert one.count(Kind.SESSIONS, "alice") == two.count(Kind.SESSIONS, "alice") == 4


def test_kinds_and_names_are_counted_apart(room: Path) -> None:
    one = Tally(room / "tally", 0, 2, everybody)
    one.add(Kind.SYMBOLS, "alice", 7)
    assert one.count(Kind.SESSIONS, "alice") == one.count(Kind.STRANGERS, "alice") == 0
    assert one.count(Kind.SYMBOLS, "bob") == 0
    assert "7 symbols" in repr(one)


def test_a_shard_that_is_gone_counts_nothing(room: Path) -> None:
    """Else what it had when it was killed would be held against its users for ever."""
    there = {0, 1}
    one, two = (
        Tally(room / "tally", shard, 2, lambda shard, _: shard in there) for shard in (0, 1)
    )
    two.add(Kind.STRANGERS, "192.0.2.1", 5)
    assert one.count(Kind.STRANGERS, "192.0.2.1") == 5
    there.remove(1)
    assert one.count(Kind.STRANGERS, "192.0.2.1") == 0


def test_a_shard_that_begins_again_begins_at_zero_and_leaves_the_others(room: Path) -> None:
    one, two = (Tally(room / "tally", shard, 2, everybody) for shard in range(2))
    one.add(Kind.SESSIONS, "alice", 1)
    two.add(Kind.SESSIONS, "alice", 5)
    Tally(room / "tally", 1, 2, everybody)
    assert one.count(Kind.SESSIONS, "alice") == 1


def test_without_a_path_nobody_shares_it() -> None:
    one, two = (Tally(None, 0, 1, everybody) for _ in range(2))
    one.add(Kind.SESSIONS, "alice", 1)
    assert two.count(Kind.SESSIONS, "alice") == 0


def test_any_name_is_counted(room: Path) -> None:
    one = Tally(room / "tally", 0, 1, everybody)
    for name in ("", "\ud800", "x" * 10_000):
        one.add(Kind.SESSIONS, name, 1)
        assert one.count(Kind.SESSIONS, name) == 1
