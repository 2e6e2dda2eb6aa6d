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
    gate.accepted()
    assert gate.wait_s(DEAD, 5) == 0
    gate.refused(DEAD, 5)
    assert gate.wait_s(DEAD, 5) == 5


def test_nothing_of_the_credentials_is_shown() -> None:
    gate = Gate()
    gate.refused(DEAD, 0)
    assert "dead" not in f"{gate!r} {vars(gate)}"
