"""When which row is due."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.recording.pace import Pace, Timeline, time_of_day
from tests.hub.recording.kit import BEGIN_NS, row

INDIA = ZoneInfo("Asia/Kolkata")


def due(pace: Pace, *times: float) -> list[float]:
    return Timeline(pace).due([row(at) for at in times])


def test_rows_are_due_as_they_came_divided_by_the_speed() -> None:
    assert due(Pace(), 5, 6, 6, 9.5) == [0, 1, 1, 4.5]
    assert due(Pace(speed=10), 5, 6, 6, 9.5) == pytest.approx([0, 0.1, 0.1, 0.45])
    assert due(Pace(speed=0.5), 0, 1) == [0, 2]


def test_times_that_go_back_are_no_pause() -> None:
    assert due(Pace(), 100, 101, 50, 52) == [0, 1, 1, 3]


def test_without_gaps_a_pause_takes_a_second_of_the_recording() -> None:
    assert due(Pace(gaps=False), 0, 0.5, 3600, 3600.5) == [0, 0.5, 1.5, 2.0]
    assert due(Pace(gaps=False, speed=10), 0, 3600) == [0, 0.1]


@given(st.lists(st.floats(0, 1e5), min_size=1), st.booleans(), st.sampled_from([0.1, 1, 60]))
def test_due_times_never_go_back_and_chunks_make_no_difference(
    times: list[float], gaps: bool, speed: float
) -> None:
    pace = Pace(speed, gaps)
    found = due(pace, *times)
    assert found == sorted(found)
    timeline = Timeline(pace)
    assert [timeline.due([row(at)])[0] for at in times] == found


def test_a_recording_begins_at_a_time_of_its_first_day() -> None:
    first = row(0)  # 09:15:00 in India
    assert Pace().first_ns(first) == 0
    assert Pace(begin=time(9, 15), zone=INDIA).first_ns(first) == BEGIN_NS
    assert Pace(begin=time(9, 20, 5), zone=INDIA).first_ns(first) == BEGIN_NS + 305 * 10**9


def test_times_of_day() -> None:
    assert time_of_day("9:15") == time(9, 15)
    assert time_of_day("15:29:59") == time(15, 29, 59)
    for text in ("", "9", "25:00", "09:60", "9:15 pm", "09:15:00:00"):
        with pytest.raises(ValueError, match="no time of day such as 09:15"):
            time_of_day(text)
