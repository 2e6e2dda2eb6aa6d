"""What a pool leaves in its adapters, and what of it is unsubscribed when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hub.feeds.openalgo.worker_leftovers import Leftovers, holder
from hub.feeds.openalgo.worker_wants import Held, Want

A = Want(b"NSE_A", 1, 5, "NSE", "A")
PLAIN = SimpleNamespace()


def entry(mode: int, symbol: str = "A") -> dict[str, Any]:
    return {"symbol": symbol, "exchange": "NSE", "mode": mode, "token": "1"}


def copying(*modes: int) -> Any:
    """An adapter that has these modes of A as entries, and something else."""
    entries = [*map(entry, modes), entry(1, "B"), 5]
    return SimpleNamespace(subscriptions=dict(enumerate(entries)))


def risen(*modes: int) -> Leftovers:
    """Those of a pool that was asked for these modes of A, one by one."""
    leftovers, held = Leftovers(), Held()
    for mode in modes:
        leftovers.went_up(A.key, held, mode)
        held = held.with_mode(mode, 5, 0)
    return leftovers


def test_rule_1_the_lower_modes_go_with_the_last() -> None:
    leftovers = risen(1, 2, 3)
    assert leftovers.left(A, Held(4), [1, 2], PLAIN) == []
    assert leftovers.left(A, Held(), [3], PLAIN) == [1, 2]
    assert leftovers.left(A, Held(), [3], PLAIN) == []


def test_rule_1_what_the_pool_has_released_itself_is_not_left() -> None:
    leftovers = risen(1, 3)
    assert leftovers.left(A, Held(1), [3], PLAIN) == []
    assert leftovers.left(A, Held(), [1], PLAIN) == []


@pytest.mark.parametrize("modes", [(), (3,), (3, 1), (2, 2)])
def test_a_pool_that_did_not_go_up_leaves_nothing(modes: tuple[int, ...]) -> None:
    assert risen(*modes).left(A, Held(), [3], copying(3, 3)) == []


def test_rule_2_of_several_copies_one_stays_and_none_in_the_end() -> None:
    leftovers = risen(1, 3)
    assert leftovers.left(A, Held(1), [3], copying(1, 1, 1)) == [1, 1]
    assert leftovers.left(A, Held(), [1], copying(1, 1, 3)) == [1, 1, 3]


def test_when_nothing_is_subscribed_any_more_nothing_is_left() -> None:
    leftovers = risen(1, 3)
    leftovers.clear()
    assert leftovers.left(A, Held(), [3], PLAIN) == []


def test_the_adapter_that_has_a_symbol_is_found_by_any_mode() -> None:
    pool = SimpleNamespace(subscription_map={("A", "NSE", 3): 1}, adapters=["first", "second"])
    assert holder(pool, A) == "second"
    assert holder(pool, A._replace(symbol="B")) is None
