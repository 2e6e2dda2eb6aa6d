"""Where keys live and where clients go."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.placement import Packing, fullest, home, least_loaded, taker

LOADS = st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=8)


@given(st.binary(), st.integers(1, 64))
def test_the_home_of_a_key_is_its_crc32_modulo_the_shards(key: bytes, shards: int) -> None:
    assert home(key, shards) == crc32(topics.plain(key)) % shards  # any bytes may begin as a scope


@pytest.mark.parametrize(
    ("key", "shard"),
    [(b"NSE_RELIANCE", 2), (b"NSE_INDEX_NIFTY", 0), (b"MCX_GOLD26AUGFUT", 2)],
)
def test_homes_never_move_between_versions(key: bytes, shard: int) -> None:
    assert home(key, 4) == shard


def test_many_keys_spread_over_all_shards() -> None:
    homes = Counter(home(f"NSE_SYMBOL{number}".encode(), 4) for number in range(4000))
    assert len(homes) == 4
    assert max(homes.values()) < 1.25 * min(homes.values())


@given(LOADS, st.data())
def test_a_connection_never_goes_to_a_shard_that_has_more(
    loads: list[int | None], data: st.DataObject
) -> None:
    me = data.draw(st.integers(0, len(loads) - 1))
    taker = least_loaded(loads, me)
    known = [load for load in loads if load is not None]
    if not known:
        assert taker == me
        return
    assert loads[taker] == min(known)
    if loads[me] == min(known):
        assert taker == me
    else:
        assert taker == loads.index(min(known))


@given(st.integers(1, 8), st.data())
def test_clients_that_arrive_one_by_one_are_spread_within_one(
    shards: int, data: st.DataObject
) -> None:
    loads: list[int | None] = [0] * shards
    for me in data.draw(st.lists(st.integers(0, shards - 1), max_size=60)):
        taker = least_loaded(loads, me)
        loads[taker] = (loads[taker] or 0) + 1
        counts = [load or 0 for load in loads]
        assert max(counts) - min(counts) <= 1


def test_a_shard_that_takes_nobody_hands_on_what_it_accepted() -> None:
    assert least_loaded([None, 7, 9], 0) == 1
    assert least_loaded([3, None], 0) == 0
    assert least_loaded([None, None], 1) == 1


SHARES = st.lists(st.floats(0, 1), min_size=8, max_size=8)
PACKINGS = st.builds(Packing, st.floats(0.1, 1), st.integers(1, 6))


@given(LOADS, SHARES, PACKINGS)
def test_packed_goes_to_the_fullest_of_those_that_have_room(
    loads: list[int | None], shares: list[float], packing: Packing
) -> None:
    shares = shares[: len(loads)]
    room = {
        shard: load
        for shard, load in enumerate(loads)
        if load is not None and load < packing.clients and shares[shard] < packing.share
    }
    found = fullest(loads, shares, packing)
    assert found == (max(room, key=lambda shard: room[shard]) if room else None)
    if found is not None:
        assert found == min(shard for shard, load in room.items() if load == room[found])


@given(LOADS, SHARES, PACKINGS, st.data())
def test_without_packing_or_room_the_least_loaded_takes(
    loads: list[int | None], shares: list[float], packing: Packing, data: st.DataObject
) -> None:
    shares, me = shares[: len(loads)], data.draw(st.integers(0, len(loads) - 1))
    assert taker(loads, shares, me) == least_loaded(loads, me)
    found = fullest(loads, shares, packing)
    expected = least_loaded(loads, me) if found is None else found
    assert taker(loads, shares, me, packing) == expected


def test_before_anything_ticks_a_shard_is_full_by_its_clients_alone() -> None:
    """At 09:15 all of them tick at once, and nobody is moved."""
    loads: list[int | None] = [0, 0, 0]
    packing = Packing(share=0.4, clients=3)
    seen = []
    for number in range(11):
        whose = taker(loads, [0.0] * 3, number % 3, packing)
        loads[whose] = (loads[whose] or 0) + 1
        seen.append(list(loads))
    assert seen[2] == [3, 0, 0]
    assert seen[5] == [3, 3, 0]
    assert seen[8] == [3, 3, 3]
    assert sorted(load or 0 for load in loads) == [3, 4, 4], "full, they are spread evenly"


def test_a_shard_that_works_enough_is_given_nobody() -> None:
    packing = Packing(share=0.4, clients=100)
    assert fullest([30, 2, 0], [0.4, 0.39, 0.0], packing) == 1
    assert fullest([30, 2, None], [0.4, 0.9, 0.0], packing) is None


@given(st.binary(max_size=40).filter(lambda key: not key.startswith(b"\x1f")), st.integers(1, 64))
def test_an_instrument_is_at_home_in_one_place_whatever_its_origin(key: bytes, shards: int) -> None:
    assert home(topics.scope("angel") + key, shards) == home(key, shards)
