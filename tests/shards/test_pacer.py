"""Which ticks of a client with a rate are owed, and when they fall due."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.hot import Line
from hub.core.model import Mode
from shards.pacer import STEPS, Pacer

LINES = ONE, TWO, THREE = [Line(b"NSE_S%d" % number, Mode.QUOTE) for number in range(3)]
STEP_S = 1 / STEPS


def make_pacer(rate: float) -> Pacer:
    pacer = Pacer()
    pacer.set_default(rate)
    return pacer


def pay(pacer: Pacer, now_s: float) -> list[tuple[Line, int]]:
    """What falls due, and is sent."""
    due = pacer.due(now_s)
    for line, _ in due:
        pacer.sent(line, line.mode, now_s)
    return due


def test_without_a_rate_nothing_is_paced_and_nothing_falls_due() -> None:
    pacer = Pacer()
    assert pacer.take([ONE, TWO, ONE]) == [0, 1, 2], "they are free to go"
    assert pacer.due(1e9) == []
    assert pacer.next_s() == math.inf


def test_a_quiet_topic_is_due_at_once_and_then_the_newest_when_its_interval_is_over() -> None:
    pacer = make_pacer(4)
    pacer.take([ONE])
    assert pay(pacer, 10.0) == [(ONE, 1)]
    pacer.take([ONE])
    pacer.take([ONE])
    assert pay(pacer, 10.0 + 0.25 - STEP_S) == []
    assert pacer.next_s() == 10.25
    assert pay(pacer, 10.25) == [(ONE, 2)]
    assert pacer.next_s() == math.inf
    pacer.take([ONE])
    assert pay(pacer, 10.49) == [], "the trailing tick has begun an interval, too"
    assert pay(pacer, 10.5) == [(ONE, 1)]
    pacer.take([ONE])
    assert pay(pacer, 99.0) == [(ONE, 1)], "quiet for long"


def test_what_falls_due_within_a_step_leaves_together_and_never_early() -> None:
    pacer = make_pacer(4)
    for line, now_s in ((ONE, 10.0), (TWO, 10.0 + STEP_S / 4), (THREE, 10.0 + STEP_S / 2)):
        pacer.take([line])
        assert pay(pacer, now_s) == [(line, 1)]
    pacer.take([THREE, TWO, ONE])
    assert pay(pacer, 10.25) == [(ONE, 1)]
    assert pacer.next_s() == 10.25 + STEP_S
    assert pay(pacer, 10.25 + STEP_S) == [(THREE, 1), (TWO, 1)]


def test_a_key_may_have_a_rate_of_its_own() -> None:
    pacer = make_pacer(4)
    pacer.limit(TWO.key, 0.5, [TWO])
    pacer.take([ONE, TWO])
    pay(pacer, 10.0)
    pacer.take([ONE, TWO])
    assert pay(pacer, 11.99) == [(ONE, 1)]
    assert pay(pacer, 12.0) == [(TWO, 1)]


def test_another_rate_counts_for_what_is_owed_already() -> None:
    pacer = make_pacer(0.1)
    pacer.take([ONE, TWO, THREE])
    pay(pacer, 10.0)
    pacer.take([ONE, TWO, THREE])
    pacer.limit(ONE.key, 2, [ONE])
    assert pay(pacer, 10.5) == [(ONE, 1)]
    pacer.set_default(1)
    assert pay(pacer, 11.0) == [(TWO, 1), (THREE, 1)]


def test_a_line_that_loses_its_limit_is_paced_until_it_is_paid() -> None:
    pacer = make_pacer(0)
    pacer.limit(ONE.key, 1, [ONE])
    pacer.take([ONE])
    pay(pacer, 10.0)
    pacer.take([ONE])
    pacer.limit(ONE.key, 0, [ONE])
    assert pacer.take([TWO, ONE]) == [0], "else a newer tick would go before what is owed"
    assert pay(pacer, 10.0) == [(ONE, 2)]
    assert pacer.take([ONE]) == [0]


@pytest.mark.parametrize("own", [True, False])
def test_all_topics_of_a_key_that_loses_its_limit_wait_for_what_is_owed(own: bool) -> None:
    """They may be sent under one tag: a newer one of another topic went before what was owed."""
    ltp = Line(ONE.key, Mode.LTP)

    def limit(rate: float) -> None:
        if own:
            pacer.limit(ONE.key, rate, [ltp, ONE])
        else:
            pacer.set_default(rate)

    pacer = make_pacer(0)
    limit(1)
    pacer.take([ltp])
    pay(pacer, 10.0)
    pacer.take([ltp])
    limit(0)
    assert pacer.take([TWO, ONE]) == [0]
    assert dict(pay(pacer, 10.0)) == {ltp: 1, ONE: 1}
    assert pacer.take([ltp, ONE]) == [0, 1], "now they are free"
    limit(1)
    pacer.take([ltp])
    limit(0)
    pacer.forget(ltp)
    assert pacer.take([ONE]) == [0], "nothing is owed of it any more"


def test_a_first_value_is_due_at_once_whatever_went_before_and_begins_an_interval() -> None:
    pacer = make_pacer(1)
    pacer.take([ONE])
    pay(pacer, 10.0)
    pacer.take([ONE])
    pacer.hurry(ONE)
    pacer.take([ONE])
    assert pay(pacer, 10.1) == [(ONE, 2)]
    pacer.take([ONE])
    assert pay(pacer, 11.05) == []
    assert pay(pacer, 11.2) == [(ONE, 1)]


def test_what_is_forgotten_is_owed_no_more_and_leaves_nothing() -> None:
    pacer = make_pacer(1)
    pacer.take([ONE, TWO])
    pay(pacer, 10.0)
    pacer.take([ONE, TWO])
    pacer.forget(ONE)
    assert pay(pacer, 12.0) == [(TWO, 1)]
    pacer.take([TWO])
    pacer.forget(TWO)
    assert pacer.next_s() == math.inf
    pacer.limit(ONE.key, 5, [])
    pacer.limit(ONE.key, 0, [])
    held = (pacer._every_s, pacer._ending, pacer._sent_s, pacer._owed, pacer._due)
    assert not any((*held, pacer._steps, pacer._times))


def test_its_repr_tells_where_it_stands() -> None:
    pacer = make_pacer(1)
    pacer.take([ONE, TWO])
    pay(pacer, 1.0)
    pacer.take([ONE])
    assert repr(pacer) == "<Pacer of 2 topics, 1 owed>"


class Naive:
    """A topic that looks at each moment whether its last tick is long enough ago."""

    def __init__(self, rate: float) -> None:
        self.every_s = 1 / rate
        self.sent_s = -math.inf
        self.waiting: list[int] = []
        self.sent: list[tuple[float, int, int]] = []

    def look(self, now_s: float) -> None:
        if self.waiting and now_s >= self.sent_s + self.every_s:
            self.sent.append((now_s, self.waiting[-1], len(self.waiting)))
            self.sent_s, self.waiting = now_s, []


class Both:
    """A pacer and naive topics that are told the same."""

    def __init__(self, rates: list[float]) -> None:
        self.step = 0
        self.pacer = Pacer()
        self.naive = {line: Naive(rate) for line, rate in zip(LINES, rates, strict=True)}
        self.newest: dict[Line, int] = {}
        self.sent: dict[Line, list[tuple[float, int, int]]] = {line: [] for line in LINES}
        for line, rate in zip(LINES, rates, strict=True):
            self.pacer.limit(line.key, rate, [line])

    def tick(self, line: Line, number: int) -> None:
        self.newest[line] = number
        self.pacer.take([line])
        self.naive[line].waiting.append(number)
        self.look(asked=True)

    def look(self, *, asked: bool = False) -> None:
        """The naive ones look, the pacer only when it has asked to."""
        now_s = self.step * STEP_S
        if asked or self.pacer.next_s() <= now_s:
            for line, ticks in pay(self.pacer, now_s):
                self.sent[line].append((now_s, self.newest[line], ticks))
        for one in self.naive.values():
            one.look(now_s)

    def wait(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            self.look()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, STEPS)), max_size=80),
    st.lists(st.sampled_from([0.1, 0.5, 2.0, 3.0, 7.0, 1000.0]), min_size=3, max_size=3),
)
def test_it_pays_what_a_naive_topic_would(
    history: list[tuple[int, int]], rates: list[float]
) -> None:
    both = Both(rates)
    for number, (which, wait) in enumerate(history):
        if which < len(LINES):
            both.tick(LINES[which], number)
        both.wait(wait)
    both.wait(11 * STEPS)
    for which, (line, rate) in enumerate(zip(LINES, rates, strict=True)):
        sent = both.sent[line]
        published = [number for number, (found, _) in enumerate(history) if found == which]
        assert sent == both.naive[line].sent
        assert sum(ticks for _, _, ticks in sent) == len(published)
        assert [value for _, value, _ in sent][-1:] == published[-1:], "the last one arrives"
        for (at_s, before, _), (later_s, value, _) in pairwise(sent):
            assert later_s - at_s >= 1 / rate
            assert before < value, "never an old value after a newer one"


@pytest.mark.parametrize("ticks", [10, 1000])
def test_what_is_owed_is_bounded_by_the_lines_not_by_the_ticks(ticks: int) -> None:
    pacer = make_pacer(0.1)
    pacer.take([ONE, TWO])
    pay(pacer, 10.0)
    for number in range(ticks):
        pacer.take([ONE, TWO])
        assert pacer.due(10.0 + number / ticks) == []
    assert len(pacer._due) == 2
    assert sum(map(len, pacer._steps.values())) == 2
