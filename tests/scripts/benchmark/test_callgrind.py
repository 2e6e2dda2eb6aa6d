"""Reading what callgrind wrote."""

from __future__ import annotations

from scripts.benchmark.callgrind import label, read

DUMP = """\
# callgrind format
version: 1
positions: line
events: Ir
summary: 175

ob=(1) /lib/libpython3.11.so.1.0
fl=(1) a.c
fn=(1) main
0 10
+3 5
cfn=(2) work
calls=2 7
* 60
cob=(2) /lib/core.cpython-311-x86_64-linux-gnu.so
cfn=(3) 0x000000000002a2c0
calls=1 9
-1 40

fn=(2)
fi=(4) b.h
0 50
cfn=(4) work'2
calls=4 7
+0 30
fn=(4)
0 30

ob=(2)
fn=(3)
1 40
totals: 135
"""

MAIN, WORK, NAMELESS = "main [libpython3.11]", "work [libpython3.11]", "(no name) [core]"


def test_costs_are_of_the_function_they_stand_under() -> None:
    profile = read(DUMP.splitlines(keepends=True))
    assert profile.own == {MAIN: 15, WORK: 80, NAMELESS: 40}
    assert profile.total == 135


def test_what_a_call_costs_counts_for_the_caller_and_once_where_it_calls_itself() -> None:
    assert read(DUMP.splitlines()).inclusive == {MAIN: 115, WORK: 80, NAMELESS: 40}


def test_calls_are_counted_and_another_programs_file_holds_for_one_call() -> None:
    assert read(DUMP.splitlines()).calls == {WORK: 6, NAMELESS: 1}
    more = ["ob=(1) a.so", "fn=(1) f", "cob=(2) b.so", "cfn=(2) g", "calls=1 1", "0 2"]
    again = [*more, "cfn=(3) h", "calls=1 1", "0 2"]
    assert read(again).calls == {"g [b]": 1, "h [a]": 1}


def test_inclusive_is_never_more_than_all_there_is() -> None:
    """In f, g, f: what the inner f costs is in all three calls."""
    lines = ["ob=(1) a", "fn=(1) f", "0 1", "cfn=(2) g", "calls=1 1", "0 3", "cfn=(2) g"]
    lines += ["calls=1 1", "0 2", "fn=(2) g", "0 1", "cfn=(1) f", "calls=1 1", "0 2"]
    profile = read(lines)
    assert profile.total == 2
    assert set(profile.inclusive.values()) == {2}


def test_nothing_gives_nothing() -> None:
    assert read([]).total == 0


def test_labels_are_the_same_on_every_machine() -> None:
    assert label("f'2", "/usr/lib/libc.so.6") == "f [libc]"
    assert label("0x00000000049367c0", "???") == "(no name) [???]"
