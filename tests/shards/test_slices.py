"""Work done a slice per turn: small things at once, large ones in turns, all of them in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.slices import Slices, Work, pieces


def work(done: list[str], name: str, rows: int) -> Work:
    for piece in pieces(range(rows)):
        done += [name] * len(piece)
        yield len(piece)
    done.append(f"{name} ends")


def test_what_is_small_is_done_at_once_even_beside_something_large() -> None:
    slices, done = Slices(1000), list[str]()
    slices.begin(work(done, "large", 25_000))
    slices.step()
    done.clear()
    slices.begin(work(done, "small", 500))
    assert done == ["small"] * 500 + ["small ends"]
    assert slices


def test_what_has_just_come_has_one_room_for_all_of_it_in_a_turn() -> None:
    """A thousand clients that come back in one turn are not served in one turn."""
    slices, done = Slices(1000), list[str]()
    for _ in range(1000):
        slices.begin(work(done, "one", 100))
    assert done.count("one") == 1000


def test_everyone_has_a_turn() -> None:
    slices, done = Slices(100), list[str]()
    for name in "abc":
        slices.begin(work(done, name, 300))
    for _ in range(3):
        slices.step()
    assert {name: done.count(name) for name in "abc"} == {"a": 200, "b": 100, "c": 100}


def test_work_that_begins_work_uses_the_same_room() -> None:
    slices, done = Slices(200), list[str]()

    def outer() -> Work:
        slices.begin(work(done, "inner", 150))
        yield 100

    slices.begin(outer())
    slices.begin(work(done, "later", 100))
    assert done == ["inner"] * 150 + ["inner ends"] + []
    slices.step()
    slices.step()
    assert done.count("later") == 100


@given(st.integers(1, 300), st.lists(st.integers(0, 700), max_size=12), st.data())
def test_a_turn_is_bounded_and_all_is_done_once(
    room: int, sizes: list[int], data: st.DataObject
) -> None:
    slices, done = Slices(room), list[str]()
    for number, rows in enumerate(sizes):
        slices.begin(work(done, str(number), rows))
        if data.draw(st.booleans()):
            slices.step()
    while slices:
        before = len(done)
        slices.step()
        ends = sum(name.endswith("ends") for name in done[before:])
        assert len(done) - before - ends <= room + 100, "no more than a piece beyond its room"
    for number, rows in enumerate(sizes):
        assert done.count(str(number)) == rows
        assert done.count(f"{number} ends") == 1


def test_work_that_fails_is_not_tried_again_and_stops_nobody_else() -> None:
    slices, done = Slices(100), list[str]()

    def failing() -> Work:
        yield 100
        raise RuntimeError("no")

    slices.begin(failing())
    slices.begin(work(done, "other", 50))
    with pytest.raises(RuntimeError):
        slices.step()
    slices.step()
    assert done.count("other") == 50
    assert not slices


def steps(done: list[str], name: str, *rows: int) -> Work:
    """Notes each step it is asked for."""
    for count in rows:
        done.append(name)
        yield count


def test_rule_3_a_step_that_is_larger_than_the_room_uses_it_up() -> None:
    slices, done = Slices(room=3), list[str]()
    slices.begin(steps(done, "a", *[2] * 5))
    slices.begin(steps(done, "b", 2))
    assert "".join(done) == "aa"
    slices.step()
    assert "".join(done) == "aaaa"
    slices.begin(steps(done, "c", *[2] * 5))
    assert "".join(done) == "aaaacc", "what has just come has room of its own"


def test_pieces_are_all_rows_in_their_order_a_hundred_at_most() -> None:
    found = list(pieces(range(250)))
    assert [row for piece in found for row in piece] == list(range(250))
    assert max(len(piece) for piece in found) == 100


def test_rule_3_work_that_begins_work_stays_within_the_room_together() -> None:
    slices, done = Slices(600), list[str]()

    def outer(name: str) -> Work:
        slices.begin(work(done, f"{name} inner", 600))
        done.append(name)
        yield 100

    for name in "abc":
        slices.begin(outer(name))
    assert len(done) <= 700
    while slices:
        before = len(done)
        slices.step()
        assert len(done) - before <= 700
