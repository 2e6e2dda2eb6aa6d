"""How systemd says its units are."""

from __future__ import annotations

from hub.systemd.state import PROPERTIES, read

SAID = """\
Id=hub-router.service
LoadState=loaded
ActiveState=active
SubState=running
MainPID=812
NRestarts=2
MemoryCurrent=52428800
ActiveEnterTimestamp=Thu 2026-11-26 09:15:00 IST
ExecMainStatus=0

Id=hub-shard@0.service
LoadState=loaded
ActiveState=failed
SubState=failed
MainPID=0
NRestarts=0
MemoryCurrent=[not set]
ActiveEnterTimestamp=
ExecMainStatus=78

Id=hub-shard@1.service
LoadState=not-found
ActiveState=inactive
SubState=dead
MainPID=0
NRestarts=0
MemoryCurrent=18446744073709551615
"""


def test_all_that_is_asked_for_is_read() -> None:
    router, failed, absent = read(SAID)
    assert router == (
        "hub-router.service", "running", True, 812, 2, 52428800, "Thu 2026-11-26 09:15:00 IST", 0,
    )  # fmt: skip
    assert (failed.state, failed.active, failed.code) == ("failed", False, 78)
    assert failed.memory_bytes is None
    assert (absent.state, absent.active, absent.memory_bytes) == ("absent", False, None)
    assert {line.partition("=")[0] for line in SAID.splitlines() if line} == {*PROPERTIES}


def test_nothing_is_no_unit() -> None:
    assert read("") == []
