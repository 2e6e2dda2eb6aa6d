"""Ticks for a reader that does not keep up, against a naive model."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.core import hot
from hub.core.late import Late

PAIRS = st.lists(st.tuples(st.sampled_from([b"A", b"B", b"C", b"D"]), st.binary(max_size=3)))
STEPS: st.SearchStrategy[list[tuple[str, Any, Any]]] = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from([b"t", b"k"]), PAIRS),
        st.tuples(st.just("send"), st.integers(1, 3), st.just([])),
    ),
    max_size=20,
)


@given(STEPS)
def test_each_topic_is_sent_at_its_newest_and_nothing_is_lost_in_silence(
    steps: list[tuple[str, Any, Any]],
) -> None:
    late, model, taken, replaced, gone = Late(), dict[bytes, tuple[bytes, bytes]](), 0, 0, 0
    for what, how, pairs in steps:
        if what == "take":
            batch = hot.pack([part for pair in pairs for part in pair])
            replaced += late.take(how, [batch])
            taken += len(pairs)
            for topic, payload in pairs:
                model.pop(topic, None)
                model[topic] = how, payload
        elif late:
            kind, sent = late.first(how)
            expected = [*model.items()][: len(sent) // 2]
            assert sent
            assert len(sent) <= 2 * how
            assert [*zip(sent[::2], sent[1::2], strict=True)] == [(t, p) for t, (_, p) in expected]
            assert {of for _, (of, _) in expected} == {kind}
            late.sent(sent)
            gone += len(sent) // 2
            model = dict([*model.items()][len(sent) // 2 :])
        assert len(late) == len(model)
        assert late.size == sum(len(topic) + len(of[1]) for topic, of in model.items())
        assert taken == replaced + gone + len(late)
    assert repr(late) == f"<Late {len(model)} topics>"


def test_what_is_selected_goes_in_a_message_of_another_kind_and_the_oldest_are_forgotten() -> None:
    late = Late()
    late.take(b"k", [hot.pack([b"A", b"1", b"B", b"22", b"C", b"3", b"A", b"4"])])
    late.select(b"l", lambda topic: topic != b"C")
    assert late.first(9) == (b"l", [b"B", b"22", b"A", b"4"])
    assert late.size == 5
    late.shrink(1)
    late.shrink(1)
    late.forget([b"C"])
    assert late.first(9) == (b"l", [b"A", b"4"])
    assert late.size == 2
