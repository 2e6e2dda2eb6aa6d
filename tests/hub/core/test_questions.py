"""Questions under way: answered once, for whom they were asked, without what was forgotten."""

from __future__ import annotations

import pytest

from hub.core import codec
from hub.core.questions import NOTHING, Question, Questions

A, B = b"NSE_A", b"NSE_B"
KEEPER, ASKER, OTHER = 0, 1, 2
STAY = b"stay"


def ask(
    questions: Questions, *keys: bytes, keeper: int = KEEPER, asker: int = ASKER, stay: bytes = STAY
) -> Question:
    question = questions.make(keeper, asker, stay, list(keys))
    questions.begin(question)
    return question


def test_rule_1_a_question_ends_once() -> None:
    questions = Questions()
    first, second = ask(questions, A), ask(questions, B)
    assert first.number != second.number
    assert len(questions) == 2
    assert questions.end(first.number, STAY) is first
    assert questions.end(first.number, STAY) is None
    assert questions.end(99, STAY) is None
    assert len(questions) == 1
    assert codec.unpack(NOTHING) == []


def test_rule_1_who_leaves_ends_the_questions_to_him_and_of_him_and_no_others() -> None:
    questions = Questions()
    to_him, of_him = ask(questions, A), ask(questions, A, keeper=OTHER, asker=KEEPER)
    other = ask(questions, A, keeper=ASKER, asker=OTHER)
    assert questions.end_those_of(KEEPER) == [of_him]
    assert questions.end_those_to(KEEPER) == [to_him]
    assert len(questions) == 1
    assert list(questions.unsettled(A)) == [OTHER]
    assert questions.end(other.number, STAY) is other


def test_rule_2_an_answer_counts_for_the_stay_that_asked() -> None:
    questions = Questions()
    question = ask(questions, A)
    assert questions.end(question.number, b"another") is None
    assert list(questions.unsettled(A)) == [ASKER]
    assert questions.end(question.number, STAY) is question


def test_rule_2_the_newest_question_about_a_key_settles_it() -> None:
    questions = Questions()
    first, second = ask(questions, A, B), ask(questions, A)
    questions.end(first.number, STAY)
    assert list(questions.unsettled(A)) == [ASKER]
    assert list(questions.unsettled(B)) == []
    questions.end(second.number, STAY)
    assert list(questions.unsettled(A)) == []
    assert not questions._newest


def test_rule_2_a_newer_question_that_needs_no_answer_settles_it_too() -> None:
    questions = Questions()
    ask(questions, A)
    ask(questions, A, asker=OTHER)
    questions.make(ASKER, ASKER, STAY, [A])
    assert list(questions.unsettled(A)) == [OTHER]


def test_rule_2_who_has_dropped_a_key_waits_for_it_no_more() -> None:
    questions = Questions()
    question = ask(questions, A, B)
    questions.drop(OTHER, A)
    questions.drop(ASKER, A)
    questions.drop(ASKER, A)
    assert [*questions.unsettled(A)] == []
    assert [*questions.unsettled(B)] == [ASKER]
    newer = ask(questions, A)
    questions.end(question.number, STAY)
    assert [*questions.unsettled(A)] == [ASKER], "the earlier one settles what was asked later"
    questions.end(newer.number, STAY)
    assert not questions._newest


@pytest.mark.parametrize(("void", "left"), [([], [A, B]), ([A], [B]), ([A, B], [])])
def test_rule_3_what_was_forgotten_is_in_no_answer(void: list[bytes], left: list[bytes]) -> None:
    questions = Questions()
    question, other = ask(questions, A, B), ask(questions, A, B, asker=OTHER)
    questions.void(void)
    batch = codec.pack([part for key in (A, B) for part in (key + b"_LTP", b"{}")])
    for one in (question, other):
        assert codec.unpack(one.answer(batch))[::2] == [key + b"_LTP" for key in left]
    later = ask(questions, A, B)
    assert later.answer(batch) == batch


def test_rule_1_an_answer_that_cannot_be_read_is_an_empty_one() -> None:
    questions = Questions()
    question = ask(questions, A)
    questions.void([A])
    for batch in (b"junk", codec.pack([b"no topic", b"{}"])):
        assert question.answer(batch) == NOTHING
