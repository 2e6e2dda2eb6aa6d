"""The shared table of loads: who has how many clients, and who takes any."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.loads import MEASURED_S, STALE_S, Loads, Shares

SHARDS = 3


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory of its own."""
    path = Path(tempfile.mkdtemp(prefix="hub-"))
    yield path
    shutil.rmtree(path)


def test_a_shard_that_never_came_has_no_load(room: Path) -> None:
    loads = Loads(room / "loads", 1, SHARDS)
    assert loads.all() == [None, 0, None]
    loads.close()


def test_the_table_is_for_its_owner_only(room: Path) -> None:
    Loads(room / "loads", 0, 2).close()
    assert stat.S_IMODE((room / "loads").stat().st_mode) == 0o600


def test_all_see_what_one_writes(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    one.add(3)
    two.add(5)
    two.add(-1)
    assert one.all() == two.all() == [3, 4]
    two.close()
    assert one.all() == [3, None]
    one.close()


def test_what_is_on_its_way_counts_where_it_goes(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    one.gave(1)
    assert one.all() == [0, 1]
    two.took(0)
    assert one.all() == [0, 0]
    two.add(1)
    assert one.all() == [0, 1]
    one.close()
    two.close()


def test_every_number_has_one_writer(room: Path) -> None:
    """Each shard's calls change only its own row."""
    tables = [Loads(room / "loads", shard, SHARDS) for shard in range(SHARDS)]
    width = len(tables[0]._words) // SHARDS
    for shard, loads in enumerate(tables):
        before = list(loads._words)
        loads.add(1)
        for other in range(SHARDS):
            loads.gave(other)
            loads.took(other)
        after = list(loads._words)
        changed = {place // width for place in range(len(after)) if after[place] != before[place]}
        assert changed == {shard}
    for loads in tables:
        loads.close()


def test_a_shard_whose_beat_is_old_has_no_load(room: Path) -> None:
    """A stopped one loses no client, so it would look like the best taker for ever."""
    now = [5_000_000_000]
    one, two = (Loads(room / "loads", shard, 2, lambda: now[0]) for shard in range(2))
    now[0] += int(STALE_S * 1e9)
    one.beat()
    assert one.all() == [0, 0]
    now[0] += 1
    assert one.all() == [0, None]
    assert one.present(1, 2.0)
    assert not one.present(1, 0.5)
    two.beat()
    assert one.all() == [0, 0]
    one.close()
    two.close()


def test_a_beat_of_before_the_machine_was_started_anew_is_old(room: Path) -> None:
    """The monotonic clock begins again at zero, the file may be there still."""
    late, early = 10**15, 10**9
    Loads(room / "loads", 1, 2, lambda: late)._map.flush()
    one = Loads(room / "loads", 0, 2, lambda: early)
    assert one.all() == [0, None]
    one.close()


def test_one_that_does_not_serve_is_there_and_takes_nobody(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    two.add(3)
    two.serve(willing=False)
    assert one.all() == two.all() == [0, None]
    assert one.present(1, 1.0)
    two.serve(willing=True)
    assert one.all() == [0, 3]
    one.close()
    two.close()


def test_all_clients_are_counted_also_those_of_a_shard_that_takes_nobody(room: Path) -> None:
    """A limit for the whole hub would be none where one shard is full."""
    now = [10**12]
    one, two = (Loads(room / "loads", shard, 2, lambda: now[0]) for shard in range(2))
    one.add(3)
    two.add(5)
    two.gave(0)
    two.serve(willing=False)
    assert one.all() == [4, None]
    assert one.total() == two.total() == 9
    now[0] += 6 * 10**9
    one.beat()
    assert one.total() == 4, "that one has been gone for long"


def test_what_is_taken_back_is_not_on_its_way(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    one.gave(1, 3)
    two.took(0)
    assert one.on_the_way(1) == (2, 1)
    one.gave(1, -1)
    assert one.on_the_way(1) == (1, 1)
    one.settle(1)
    assert one.on_the_way(1) == (0, 1)
    one.close()
    two.close()


def test_a_shard_that_begins_again_has_nothing_of_its_earlier_life(room: Path) -> None:
    one, two = (Loads(room / "loads", shard, 2) for shard in range(2))
    two.add(7)
    one.gave(1)
    two = _restarted(two, room)
    assert one.all() == [0, 0]
    one.gave(1)
    assert one.all() == [0, 1]
    one.close()
    two.close()


def test_a_client_that_leaves_after_the_end_is_no_error(room: Path) -> None:
    loads = Loads(room / "loads", 0, 1)
    loads.add(1)
    loads.close()
    loads.add(-1)


def test_all_see_what_share_of_a_core_each_has_used_in_the_last_second(room: Path) -> None:
    one, two = (Shares(room / "shares", shard, 2) for shard in range(2))
    one.measure(100.0, 7.0)
    assert one.all() == [0.0, 0.0], "nothing is known yet: what it cost to start counts not"
    one.measure(100.0 + 2 * MEASURED_S, 7.0 + MEASURED_S)
    two.measure(500.0, 0.0)
    two.measure(500.0 + MEASURED_S, 0.125)
    assert one.all() == two.all() == [0.5, 0.125]
    one.measure(100.5 + 2 * MEASURED_S, 9.0 + MEASURED_S)
    assert two.all() == [0.5, 0.125], "not measured anew before the second is over"
    one.measure(100.0 + 4 * MEASURED_S, 7.0 + MEASURED_S)
    assert two.all() == [0.0, 0.125]
    again = Shares(room / "shares", 1, 2)
    assert one.all() == [0.0, 0.0], "it begins with nothing of its earlier life"
    assert "[0.0, 0.0] seen by 0" in repr(one)
    for shares in (one, two, again):
        shares.close()


def _restarted(loads: Loads, room: Path) -> Loads:
    """As after a crash: the map is not closed in order."""
    again = Loads(room / "loads", loads._me, loads._shards)
    loads._words.release()
    loads._map.close()
    return again


SHARD = st.integers(0, SHARDS - 1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), SHARD, SHARD),
            st.tuples(st.just("leave"), SHARD, SHARD),
            st.tuples(st.just("give"), SHARD, SHARD),
            st.tuples(st.just("arrive"), SHARD, SHARD),
            st.tuples(st.just("restart"), SHARD, SHARD),
        ),
        max_size=40,
    )
)
def test_a_load_is_clients_plus_those_on_their_way(steps: list[tuple[str, int, int]]) -> None:
    """A restart empties the shard and loses what is on its way to it; what it gave still comes."""
    with tempfile.TemporaryDirectory(prefix="hub-") as name:
        room = Path(name)
        tables = [Loads(room / "loads", shard, SHARDS) for shard in range(SHARDS)]
        clients = [0] * SHARDS
        coming: list[list[int]] = [[0] * SHARDS for _ in range(SHARDS)]  # [to][from]
        for step, shard, other in steps:
            if step == "join":
                tables[shard].add(1)
                clients[shard] += 1
            elif step == "leave" and clients[shard]:
                tables[shard].add(-1)
                clients[shard] -= 1
            elif step == "give" and shard != other:
                tables[shard].gave(other)
                coming[other][shard] += 1
            elif step == "arrive" and coming[shard][other]:
                tables[shard].took(other)
                tables[shard].add(1)
                coming[shard][other] -= 1
                clients[shard] += 1
            elif step == "restart":
                tables[shard] = _restarted(tables[shard], room)
                clients[shard] = 0
                coming[shard] = [0] * SHARDS
            expected = [clients[at] + sum(coming[at]) for at in range(SHARDS)]
            assert all(loads.all() == expected for loads in tables)
        for loads in tables:
            loads.close()
