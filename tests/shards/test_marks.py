"""How much each client may leave unsent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shards.marks import LEAST_BYTES, Mark

MIB = 1 << 20


def test_a_few_may_have_what_each_may_have_and_many_their_part() -> None:
    mark = Mark(4 * MIB, 512 * MIB)
    assert (mark.fit(128), mark.bytes) == (False, 4 * MIB)
    assert (mark.fit(129), mark.bytes) == (True, 2 * MIB)
    assert (mark.fit(256), mark.bytes) == (False, 2 * MIB)
    assert (mark.fit(10_000), mark.bytes) == (True, 32 << 10)
    assert (mark.fit(100_000), mark.bytes) == (True, LEAST_BYTES)
    assert (mark.fit(0), mark.bytes) == (True, 4 * MIB)
    assert "4194304 bytes" in repr(mark)


def test_what_each_may_have_is_never_raised_to_the_least() -> None:
    assert Mark(4096, MIB).bytes == 4096


@given(st.lists(st.integers(0, 5000), max_size=50))
def test_all_together_stay_within_the_bound(numbers: list[int]) -> None:
    mark = Mark(MIB, 64 * MIB)
    for number in numbers:
        before = mark.bytes
        assert mark.fit(number) == (mark.bytes != before)
        assert mark.bytes == LEAST_BYTES or mark.bytes * number <= 64 * MIB
        assert mark.bytes == MIB or mark.bytes * number * 8 > 64 * MIB, "nor far below it"


def test_whoever_comes_and_goes_at_a_power_of_two_changes_nothing() -> None:
    """Else each of them would cost as much as there are clients."""
    mark = Mark(MIB, MIB)
    assert sum(mark.fit(number) for number in (32, 33) * 1000) <= 2
