"""What has happened, from how the processes were and are."""

from __future__ import annotations

from typing import Any

import pytest

from hub.monitor.events import MOST, Events
from hub.monitor.health import BAD, OK, WARN

AT_S = 5000.0
ROUTER = {"name": "router", "role": "router", "state": "ready", "pid": 1, "beat_age_s": 0.5}


class Story:
    """Rows of one process as they follow each other, a second apart, beside a router."""

    def __init__(self, **row: Any) -> None:
        self.events = Events()
        self.router = dict(ROUTER)
        self.now_s = 100.0
        self.row = {
            "name": "shard-2", "role": "shard", "state": "ready", "pid": 7, "beat_age_s": 0.5,
            "restarts": 0,
        } | row  # fmt: skip
        self.then()
        self.told()

    def then(self, *, after_s: float = 1.0, at_s: float = AT_S, **changes: Any) -> None:
        """So it is after a while."""
        self.now_s += after_s
        self.row |= changes
        self.events.look([dict(self.router), dict(self.row)], self.now_s, at_s)

    def told(self) -> list[tuple[str, str]]:
        """What was told of the process since this was last asked."""
        found = [(one["level"], one["text"]) for one in self.events if one["who"] == "shard-2"]
        self.events._found.clear()
        return found


def test_an_event_says_when_how_bad_who_and_what() -> None:
    events = Events()
    events.look([ROUTER], 100.0, AT_S)
    assert [*events] == [{"at": AT_S, "level": "info", "who": "router", "text": "is here"}]


def test_nats_comes_and_goes() -> None:
    story = Story(nats_connected=False)
    story.then(nats_connected=True, nats_server="n1:4222")
    story.then()
    story.then(nats_connected=False, nats_server="")
    story.then(nats_slow=1, holes=2)
    assert story.told() == [
        (OK, "has NATS, at n1:4222"),
        (BAD, "has lost NATS"),
        (WARN, "was too slow for NATS 1 time"),
        (WARN, "missed messages of other machines 2 times"),
    ]


def test_what_stays_as_it_is_is_told_once() -> None:
    story = Story(behind=3, stale=2, refused_keys=4, feed_state="connected")
    story.then()
    assert story.told() == []
    story.then(state="silent", beat_age_s=4.0)
    story.then(beat_age_s=5.0)
    assert story.told() == [(BAD, "says nothing")]
    story.then(state="ready", beat_age_s=0.1)
    story.then()
    assert story.told() == [(OK, "is ready")]


def test_one_that_is_killed_is_followed_until_it_is_back() -> None:
    story = Story()
    story.then(state="backoff", restarts=0, last_code=-9, beat_age_s=None)
    assert story.told() == [(BAD, "was killed (signal 9)")]
    story.then(state="starting", pid=8, restarts=1)
    assert story.told() == [(WARN, "is started again")]
    story.then(state="ready")
    assert story.told() == [], "it was not heard yet"
    story.then(beat_age_s=0.2)
    assert story.told() == [(OK, "is ready")]


def test_one_that_is_killed_and_back_between_two_beats_is_told_all_the_same() -> None:
    story = Story()
    story.then(pid=8, restarts=1, last_code=-11)
    assert story.told() == [
        (BAD, "was killed (signal 11), and is started again"),
        (OK, "is ready"),
    ]


def test_without_a_supervisor_another_pid_tells_that_it_was_started_again() -> None:
    story = Story()
    story.then(pid=8)
    assert story.told() == [(WARN, "is started again"), (OK, "is ready")]


def test_one_that_is_told_to_leave_and_comes_back_alarms_nobody() -> None:
    story = Story()
    story.then(state="leaving")
    story.then(state="backoff", last_code=0, beat_age_s=None)
    story.then(state="starting", pid=8, restarts=1)
    story.then(state="ready", beat_age_s=0.1)
    assert story.told() == [
        ("info", "leaves"),
        ("info", "has left"),
        ("info", "is started again"),
        (OK, "is ready"),
    ]
    story.then(state="leaving")
    story.then(state="starting", pid=9, restarts=2)  # nobody looked while it was away
    assert story.told()[1:] == [("info", "has left, and is started again")]


def test_one_that_ends_with_an_error_again_and_again_fails() -> None:
    story = Story()
    for state in ("backoff", "failed", "failed"):
        story.then(state=state, last_code=78, beat_age_s=None)
    assert story.told() == [(BAD, "ended with code 78"), (BAD, "ended with code 78")]


def test_one_that_is_wanted_and_never_comes_is_told() -> None:
    story = Story(state="waiting", beat_age_s=None)
    story.then(state="silent")
    assert story.told() == [(BAD, "says nothing")]


def test_a_monitor_that_has_just_started_tells_no_news_of_what_was_before_it() -> None:
    """The wanted ones come first, then the supervisor's word of what has happened to them."""
    story = Story(state="waiting", beat_age_s=None, pid=0, restarts=0)
    story.then(state="ready", beat_age_s=0.1, pid=7, restarts=2, last_code=-9)
    assert story.told() == [("info", "is here")]
    story.then(pid=8, restarts=3)
    assert story.told()[0] == (BAD, "was killed (signal 9), and is started again")


def test_a_monitor_that_has_just_started_tells_who_is_here_when_it_hears_them() -> None:
    """The supervisor's word came first: so they were silent for it, and then ready."""
    story = Story(beat_age_s=None)
    assert story.told() == []
    story.then(beat_age_s=0.1)
    assert story.told() == [("info", "is here")]


def test_without_the_router_nobody_is_said_to_be_silent_but_it() -> None:
    story = Story()
    story.router["state"] = "silent"
    story.then(state="silent", beat_age_s=4.0)
    assert [(one["who"], one["text"]) for one in story.events] == [("router", "says nothing")]
    story.router["state"] = "ready"
    story.then(state="ready", beat_age_s=0.1)
    assert story.told() == []


@pytest.mark.parametrize(
    ("state", "level"), [("connected", OK), ("connecting", WARN), ("disconnected", BAD)]
)
def test_a_feed_tells_how_it_stands_with_its_source(state: str, level: str) -> None:
    story = Story(feed_state="none")
    story.then(feed_state=state, problem="")
    assert story.told() == [(level, f"is {state}")]


def test_why_a_feed_is_away_is_told_with_it() -> None:
    story = Story(feed_state="connected")
    story.then(feed_state="disconnected", problem="the login has expired")
    assert story.told() == [(BAD, "is disconnected: the login has expired")]


@pytest.mark.parametrize("name", ["stale", "behind"])
def test_that_something_begins_and_is_over_is_told(name: str) -> None:
    story = Story(**{name: 0})
    story.then(**{name: 3})
    story.then(**{name: 8})
    story.then(**{name: 0})
    begins, ends = story.told()
    assert begins[0] == WARN
    assert ends[0] == OK


def test_that_something_is_over_is_not_told_of_a_process_that_is_gone() -> None:
    story = Story(stale=3, behind=2, feed_state="connected")
    gone: dict[str, Any] = {"stale": None, "behind": None, "feed_state": None, "beat_age_s": None}
    story.then(state="backoff", last_code=1, **gone)
    assert story.told() == [(BAD, "ended with code 1")]


def test_what_grows_is_told_at_once_and_then_every_now_and_then() -> None:
    story = Story(refused_keys=1000)
    story.then(refused_keys=1001)
    assert story.told() == [(WARN, "refused 1 API key")]
    for grown in range(1002, 1032):
        story.then(refused_keys=grown)
    assert story.told() == [(WARN, "refused 30 API keys")]
    story.then(after_s=60.0)
    assert story.told() == []


def test_a_clock_that_is_set_back_keeps_nothing_from_being_told() -> None:
    """By that clock the next time was an hour away."""
    story = Story(stalled=0)
    story.then(stalled=1)
    story.told()
    story.then(after_s=31.0, at_s=AT_S - 3600, stalled=3)
    assert story.told() == [(WARN, "closed 2 clients that took nothing")]


def test_a_process_that_was_started_again_counts_from_zero() -> None:
    story = Story(refused_keys=1000)
    story.then(refused_keys=1001)
    story.told()
    story.then(state="backoff", last_code=-9, beat_age_s=None, refused_keys=None)
    story.then(state="ready", pid=8, restarts=1, beat_age_s=0.5, refused_keys=5)
    assert (WARN, "refused 5 API keys") in story.told()


@pytest.mark.parametrize(
    ("counter", "one", "more"),
    [
        ("refused_keys", "refused 1 API key", "refused 1,000 API keys"),
        ("turned_away", "turned 1 connection away", "turned 1,000 connections away"),
        ("stalled", "closed 1 client that took nothing", "closed 1,000 clients that took nothing"),
        ("pauses", "was paused 1 time", "was paused 1,000 times"),
        ("dropped", "dropped 1 tick", "dropped 1,000 ticks"),
        ("malformed", "got 1 malformed message", "got 1,000 malformed messages"),
        ("given_up", "gave up 1 shard that took nothing", "gave up 1,000 shards that took nothing"),
    ],
)
def test_counters_are_told_in_words(counter: str, one: str, more: str) -> None:
    story = Story()
    story.then(**{counter: 1})
    story.then(**{counter: 1001}, after_s=31.0)
    assert [text for _, text in story.told()] == [one, more]


def test_only_the_newest_are_kept() -> None:
    events = Events()
    for number in range(MOST + 5):
        events.note(float(number), WARN, "x", "y")
    assert [one["at"] for one in events] == [float(n) for n in range(5, MOST + 5)]
