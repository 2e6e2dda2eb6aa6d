"""Lines of the log, as they are written and as they are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.logline import LEVELS, LogLine, Reader, as_severe, without_priority

AT = "2026-11-26 09:15:00"
ROLES = st.from_regex(r"\A(shard-\d|feed-[a-z]+|router)\Z")
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "))


@pytest.mark.parametrize("before", ["09:15:00 ", "<4>"])
def test_a_message_is_told_apart_from_its_time_and_its_role(before: str) -> None:
    line = Reader().said(AT, "shard-0", f"{before}WARNING shard-0    it is  late")
    assert line == LogLine(AT, "warning", "shard-0", "it is  late")
    assert str(line) == f"{AT} WARNING shard-0    it is  late"


def test_what_is_no_message_goes_with_the_one_before_of_the_same_process() -> None:
    reader = Reader()
    reader.said(AT, "shard-0", "09:15:00 ERROR   shard-0    broken")
    reader.said(AT, "shard-1", "09:15:00 INFO    shard-1    fine")
    assert reader.said(AT, "shard-0", "<3>    File").text == "    File"
    more = reader.said(AT, "shard-0", "    raise ValueError")
    assert more == LogLine(AT, "error", "shard-0", "    raise ValueError", more=True)
    assert str(more) == f"{AT} |       shard-0        raise ValueError"
    assert reader.said(AT, "router", "no message yet").level == "info"


@given(ROLES, st.lists(st.sampled_from([*LEVELS, ""]), min_size=1), TEXTS)
def test_what_is_kept_is_read_as_it_was_said(role: str, levels: list[str], text: str) -> None:
    saying, reading = Reader(), Reader()
    for level in levels:
        said = f"09:15:00 {level.upper():<7} {role:<10} {text}" if level else f" {text}"
        line = saying.said(AT, role, said)
        assert reading.kept(str(line)) == line


@pytest.mark.parametrize("line", ["", "09:15:00 INFO router", "2026-11-26 09:15:00 INFO"])
def test_what_is_no_line_of_the_file_is_none(line: str) -> None:
    assert Reader().kept(line) is None


def test_levels_are_ranked_and_an_unknown_one_is_shown() -> None:
    assert [as_severe(level, "warning") for level in LEVELS] == [False, False, True, True, True]
    assert as_severe("notice", "error")


def test_what_only_the_journal_reads_is_left_out() -> None:
    assert without_priority("<4>WARNING x <5>") == "WARNING x <5>"
    assert without_priority("WARNING <4>x") == "WARNING <4>x"
