"""How fast one client may talk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shards.bucket import Bucket


def test_a_burst_passes_at_once_and_then_what_drips_in() -> None:
    bucket = Bucket(10, 2, 100.0)
    for _ in range(10):
        assert bucket.wait_s(100.0) == 0
        bucket.take(1)
    assert bucket.wait_s(100.0) == 0.5
    assert bucket.wait_s(100.6) == 0


def test_what_was_overdrawn_has_to_be_made_up() -> None:
    bucket = Bucket(10, 2, 0.0)
    bucket.take(50)
    assert bucket.wait_s(0.0) == 20.5
    assert bucket.wait_s(20.5) == 0


def test_it_holds_no_more_than_a_burst() -> None:
    bucket = Bucket(10, 2, 0.0)
    assert bucket.wait_s(1e6) == 0
    bucket.take(10)
    assert bucket.wait_s(1e6) > 0


def test_it_tells_for_how_long_it_has_been_dry() -> None:
    """A client that was too fast once and stopped is forgiven; one that goes on is not."""
    bucket = Bucket(10, 2, 0.0)
    bucket.take(12)
    assert bucket.wait_s(0.0)
    for now_s in (2.0, 3.0, 4.0):
        bucket.wait_s(now_s)
        bucket.take(2)
        assert bucket.dry_for_s(now_s) == now_s
    bucket.wait_s(20.0)
    assert bucket.dry_for_s(20.0) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=60))
def test_nobody_gets_more_than_the_burst_and_the_rate(steps: list[tuple[float, float]]) -> None:
    bucket, now_s, taken, last = Bucket(10, 2, 0.0), 0.0, 0.0, 0.0
    for gap_s, tokens in steps:
        now_s += gap_s
        if not bucket.wait_s(now_s):
            bucket.take(tokens)
            taken, last = taken + tokens, tokens
    assert taken <= 10 + 2 * now_s + last + 1e-6
