"""What has queued up in a pause: when it is one, and when it is over."""

from __future__ import annotations

from shards.backlog import LONGEST_S, PAUSE_S, Backlog


def idle() -> float:
    """The CPU time of a process that does nothing."""
    return 7.0


def after_a_pause(seconds: float = 5.0) -> Backlog:
    backlog = Backlog(100.0, idle)
    assert backlog.look(100.0 + seconds) == seconds
    return backlog


def test_who_looks_often_enough_is_never_paused() -> None:
    backlog, now_s = Backlog(100.0, idle), 100.0
    for _ in range(10):
        now_s += PAUSE_S * 0.99
        assert backlog.look(now_s) == 0
    assert not backlog.behind
    assert repr(backlog) == "<Backlog none, 0 pauses>"


def test_rule_1_a_pause_is_noticed_at_the_first_look_and_only_then() -> None:
    backlog = after_a_pause()
    assert backlog.behind
    assert backlog.look(105.1) == 0
    assert backlog.pauses == 1
    assert repr(backlog) == "<Backlog to be taken, 1 pauses>"


def test_rule_1_time_of_work_is_no_pause() -> None:
    times_s = iter([0.0, 0.2, 2.0, 2.2, 2.2, 2.4])
    backlog = Backlog(100.0, lambda: next(times_s))
    assert [backlog.beat(now_s) for now_s in (100.25, 103.0)] == [0, 0]
    assert not backlog.behind
    assert backlog.look(105.0) == 2.0
    assert backlog.behind


def test_rule_3_it_ends_when_all_is_taken_and_the_mark_is_there() -> None:
    backlog = after_a_pause()
    assert not backlog.ends(105.1, more=False), "more may wait in the router"
    backlog.heard(1)
    assert not backlog.ends(105.2, more=True)
    assert backlog.behind
    assert backlog.ends(105.3, more=False)
    assert not backlog.behind


def test_rule_3_the_mark_of_an_earlier_pause_says_nothing() -> None:
    backlog = after_a_pause()
    backlog.look(110.0)
    backlog.heard(1)
    assert not backlog.ends(110.1, more=False)
    backlog.heard(2)
    backlog.heard(1)
    assert backlog.ends(110.2, more=False)


def test_rule_3_nobody_waits_for_ever() -> None:
    for more, heard in ((True, True), (False, False), (True, False)):
        backlog = after_a_pause()
        if heard:
            backlog.heard(1)
        assert not backlog.ends(104.9 + LONGEST_S, more=more)
        assert backlog.ends(105.0 + LONGEST_S, more=more)


def test_another_pause_on_top_begins_anew() -> None:
    backlog = after_a_pause()
    backlog.heard(1)
    assert backlog.look(110.0) == 5.0
    assert not backlog.ends(110.1, more=False)
