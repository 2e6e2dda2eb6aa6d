"""Which topics tick most."""

from __future__ import annotations

from hub.core import heat
from hub.core.heat import MOST, Heat


def test_the_topics_that_tick_most_are_told_by_rate() -> None:
    hot = Heat()
    assert not hot.on
    assert hot.look(10.0) == []
    assert hot.on
    hot.count([b"A_LTP", b"B_LTP", b"A_LTP"])
    hot.count([b"A_LTP"])
    assert hot.look(12.0) == [(b"A_LTP", 1.5), (b"B_LTP", 0.5)]
    assert hot.look(13.0) == []


def test_only_so_many_are_told() -> None:
    hot = Heat()
    hot.look(0.0)
    hot.count([b"%d_LTP" % number for number in range(MOST + 5)])
    assert len(hot.look(1.0)) == MOST


def test_it_ends_when_nobody_looks_any_more() -> None:
    hot = Heat()
    hot.look(0.0)
    hot.tend(4.0)
    assert hot.on
    hot.tend(6.0)
    assert not hot.on
    assert hot.look(7.0) == []


def test_names_without_end_take_no_memory_without_end(monkeypatch: object) -> None:
    hot = Heat()
    hot.look(0.0)
    for start in range(0, heat._MOST_TOPICS + 2, 50_001):
        hot.count([b"%d" % number for number in range(start, start + 50_001)])
    assert len(hot._counts) <= heat._MOST_TOPICS
