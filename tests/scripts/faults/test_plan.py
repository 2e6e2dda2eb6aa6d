"""The plan: drawn from its seed alone, and every kind of fault in every deck."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from scripts.faults import lines, plan, roles
from scripts.faults.plan import Fault

SEEDS = st.integers(0, 10**6)


def both(seed: int) -> list[Iterator[Fault]]:
    return [plan.processes(seed, 4, ["bus", "sim"]), plan.clients(seed, 12)]


@given(SEEDS)
def test_the_same_seed_gives_the_same_faults(seed: int) -> None:
    for one, other in zip(both(seed), both(seed), strict=True):
        assert list(islice(one, 40)) == list(islice(other, 40))


def test_another_seed_gives_others() -> None:
    for one, other in zip(both(1), both(2), strict=True):
        assert list(islice(one, 40)) != list(islice(other, 40))


@given(SEEDS)
def test_each_deck_has_every_kind_and_each_is_known_how_to_do(seed: int) -> None:
    processes, clients = both(seed)
    dealt = {(one.kind, one.target.partition("-")[0]) for one in islice(processes, 9)}
    assert dealt == roles.WAYS.keys()
    assert {one.kind for one in islice(clients, 12)} == lines.WAYS.keys()


@given(SEEDS)
def test_whom_it_hits_is_there_and_no_fault_lasts_for_ever(seed: int) -> None:
    processes, clients = both(seed)
    there = {"router", "monitor", "feed-bus", "feed-sim", *(f"shard-{n}" for n in range(4))}
    for one in islice(processes, 50):
        assert one.target in there
        assert 0 < one.pause_s <= 3
        assert 1 <= one.seconds <= 8 if one.kind == "stop" else one.seconds == 0
    for one in islice(clients, 50):
        assert one.seconds <= 15, "a client that takes nothing for 30 s is closed"


def test_a_fault_says_what_it_is() -> None:
    assert str(Fault("stop", "shard-1", 2.25, 1.0, 0)) == "stop shard-1 for 2.2 s"
    assert str(Fault("kill", "router", 0.0, 1.0, 0)) == "kill router"
