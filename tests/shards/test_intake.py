"""How many clients a shard takes up, and how fast."""

from __future__ import annotations

import pytest

from shards.intake import RESERVE, Intake, room_for


def taken(intake: Intake, now_s: float, most: int = 10_000) -> int:
    """How many may be taken up at this moment."""
    for number in range(most):
        if intake.wait_s(now_s):
            return number
        intake.took()
    return most


def test_rule_1_it_takes_up_so_many_a_second() -> None:
    intake = Intake(500, 1 << 30, 0.0)
    first = taken(intake, 0.0)
    assert 1 <= first <= 50, "a burst that the loop hardly notices"
    in_a_second = sum(taken(intake, step / 100) for step in range(1, 101))
    assert 495 <= in_a_second <= 505
    assert "paused" in repr(intake)


def test_a_wait_is_long_enough_for_the_next_one_and_no_busy_waiting() -> None:
    for rate in (1, 20, 500, 100_000):
        intake = Intake(rate, 1 << 30, 0.0)
        taken(intake, 0.0, 1 << 20)
        wait_s = intake.wait_s(0.0)
        assert 0.01 <= wait_s <= max(0.011, 1.1 / rate)
        assert intake.wait_s(wait_s + 1e-6) == 0.0


def test_a_slow_rate_lets_the_first_one_in_at_once() -> None:
    assert taken(Intake(1, 1 << 30, 0.0), 0.0) == 1


def test_no_rate_is_no_limit() -> None:
    intake = Intake(0, 1 << 30, 0.0)
    assert taken(intake, 0.0) == 10_000
    assert intake.at_doors(0.25) == 100


def test_rule_3_at_the_doors_of_others_it_takes_half_of_its_rate_and_pays_for_it() -> None:
    intake = Intake(400, 1 << 30, 0.0)
    taken(intake, 0.0)
    assert intake.at_doors(0.25) == 50
    for _ in range(50):
        intake.took()
    assert intake.wait_s(0.0) == pytest.approx(51 / 400, abs=0.005)
    in_a_beat = sum(taken(intake, step / 100) for step in range(1, 26))
    assert in_a_beat == pytest.approx(50, abs=2), "the other half is for its own door"
    assert Intake(1, 1 << 30, 0.0).at_doors(0.25) == 1


def test_rule_4_there_is_room_for_so_many_and_a_little_more_to_tell_those_beyond() -> None:
    intake = Intake(0, 2, 0.0)
    assert taken(intake, 0.0) == 2 + RESERVE // 2
    assert intake.full
    assert intake.wait_s(0.0) > 0
    intake.left()
    assert intake.wait_s(0.0) == 0.0
    assert intake.full
    for _ in range(RESERVE // 2):
        intake.left()
    assert not intake.full


@pytest.mark.parametrize(
    ("limit", "open_now", "peers", "room"),
    [
        (1024, 30, 3, 1024 - 30 - 12 - 64),
        (1 << 20, 30, 0, (1 << 20) - 30 - 64),
        (100, 30, 0, 100 - 30 - 25),
        (20, 30, 0, 1),
    ],
)
def test_room_is_what_descriptors_are_left_for(
    limit: int, open_now: int, peers: int, room: int
) -> None:
    assert room_for(limit, open_now, peers) == room
