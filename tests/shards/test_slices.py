"""Work in slices: what is small at once, what is large in turns, nothing forgotten."""

from __future__ import annotations

from shards.slices import Slices, Work, pieces


def work(done: list[str], name: str, *rows: int) -> Work:
    """Notes each step it is asked for."""
    for count in rows:
        done.append(name)
        yield count


def test_rule_1_what_is_small_is_done_at_once() -> None:
    slices, done = Slices(room=3), list[str]()
    slices.begin(work(done, "a", 1, 1))
    assert "".join(done) == "aa"
    assert not slices


def test_rule_1_a_turn_has_room_once_for_all_that_comes() -> None:
    slices, done = Slices(room=3), list[str]()
    for name in "abc":
        slices.begin(work(done, name, 1, 1))
    assert "".join(done) == "aab"
    slices.step()
    assert "".join(done) == "aabbcc"
    slices.step()
    assert not slices


def test_rule_2_what_is_left_goes_on_each_in_its_turn_until_all_is_done() -> None:
    slices, done = Slices(room=3), list[str]()
    slices.begin(work(done, "a", *[1] * 5))
    slices.begin(work(done, "b", *[1] * 2))
    turns = ["".join(done)]
    while slices:
        done.clear()
        slices.step()
        turns.append("".join(done))
    assert turns == ["aaa", "aab", "b"]


def test_rule_2_something_large_does_not_keep_something_small_waiting_for_its_end() -> None:
    slices, done = Slices(room=2), list[str]()
    slices.begin(work(done, "a", *[1] * 9))
    slices.begin(work(done, "b", 1))
    for _ in range(2):
        slices.step()
    assert "".join(done) == "aaaaba"


def test_rule_3_a_step_that_is_larger_than_the_room_uses_it_up() -> None:
    slices, done = Slices(room=3), list[str]()
    slices.begin(work(done, "a", *[2] * 5))
    slices.begin(work(done, "b", 2))
    assert "".join(done) == "aa"
    slices.step()
    assert "".join(done) == "aaaa"
    slices.begin(work(done, "c", *[2] * 5))
    assert "".join(done) == "aaaacc", "what has just come has room of its own"


def test_pieces_are_all_rows_in_their_order_a_hundred_at_most() -> None:
    found = list(pieces(range(250)))
    assert [row for piece in found for row in piece] == list(range(250))
    assert max(len(piece) for piece in found) == 100
