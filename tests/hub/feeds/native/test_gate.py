"""Whether credentials may be tried."""

from __future__ import annotations

from hub.feeds.native.gate import Gate

DEAD, FRESH = {"access_token": "dead"}, {"access_token": "fresh"}


def test_what_was_refused_is_tried_three_times_and_no_more() -> None:
    gate, tries, now_s = Gate(), 0, 0.0
    while (wait_s := gate.wait_s(DEAD, now_s)) is not None:
        now_s += wait_s
        tries += 1
        gate.refused(DEAD, now_s)
    assert tries == 3
    assert gate.shut
    assert gate.wait_s(DEAD, now_s + 86_400) is None


def test_it_waits_between_the_tries() -> None:
    gate = Gate()
    gate.refused(DEAD, 100)
    assert gate.wait_s(DEAD, 101) == 4
    assert gate.wait_s(DEAD, 200) == 0
    gate.refused(DEAD, 200)
    assert gate.wait_s(DEAD, 200) == 60


def test_other_credentials_are_tried_at_once() -> None:
    gate = Gate()
    for now_s in (0, 5, 65):
        gate.refused(DEAD, now_s)
    assert gate.wait_s(FRESH, 66) == 0
    gate.refused(FRESH, 66)
    assert not gate.shut
    assert gate.wait_s(FRESH, 66) == 5


def test_what_was_let_in_begins_anew() -> None:
    gate = Gate()
    gate.refused(DEAD, 0)
    gate.refused(DEAD, 5)
    gate.accepted(10)
    assert gate.wait_s(DEAD, 10) == 0
    gate.refused(DEAD, 70)
    assert gate.wait_s(DEAD, 70) == 5


def test_who_is_refused_soon_after_being_let_in_was_not_let_in() -> None:
    gate, tries, now_s = Gate(), 0, 0.0
    while (wait_s := gate.wait_s(DEAD, now_s)) is not None:
        now_s += wait_s
        tries += 1
        gate.accepted(now_s)
        gate.accepted(now_s + 0.1)  # another connection of the account
        gate.refused(DEAD, now_s + 0.2)
    assert tries == 3


def test_connections_that_end_together_are_refused_once() -> None:
    gate = Gate()
    gate.accepted(0)
    for now_s in (3600.0, 3600.1, 3600.2):
        gate.refused(DEAD, now_s)
    assert not gate.shut
    assert gate.wait_s(DEAD, 3600) == 5


def test_nothing_of_the_credentials_is_shown() -> None:
    gate = Gate()
    gate.refused(DEAD, 0)
    assert "dead" not in f"{gate!r} {vars(gate)}"
