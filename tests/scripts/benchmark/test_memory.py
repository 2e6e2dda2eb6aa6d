"""What the clients of the memory benchmark hold, without running a hub."""

from __future__ import annotations

from itertools import chain

from scripts.benchmark.memory import names_of


def test_all_hold_the_same_thousand() -> None:
    first, *others = names_of(3, shared=True)
    assert len(set(first)) == 1000
    assert others == [first, first]


def test_each_holds_a_thousand_of_its_own() -> None:
    names = names_of(3, shared=False)
    assert [len(own) for own in names] == [1000] * 3
    assert len(set(chain(*names))) == 3000
