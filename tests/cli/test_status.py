"""`hub status` against a fake monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import monitor
from cli.status import picture


def process(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "role": name.partition("-")[0], "pid": 41234, "state": "ready",
        "uptime_s": 245.0, "restarts": 0, "beat_age_s": 0.4,
    } | more  # fmt: skip


def status(*processes: dict[str, Any]) -> dict[str, Any]:
    return {
        "t": "status",
        "version": "0.1.0",
        "at": 1_700_000_000.0,
        "hub": {"url": "ws://127.0.0.1:8765", "bus": "tcp://127.0.0.1:5555", "shards": 2,
                "feeds": ["bus"]},
        "processes": list(processes),
    }  # fmt: skip


SHARD = process(
    "shard-0", clients=12, symbols=3400, in_s=5000.0, out_s=60000.0, lag_ms=0.42, malformed=3,
    dropped=0, restarts=2,
)  # fmt: skip


def test_all_ready_is_a_table_and_0(hub: Any, answer: Any, runtime_dir: Path) -> None:
    fake = answer(status=[status(process("router", in_s=7000.0), SHARD)])
    text = hub("status", "--runtime-dir", runtime_dir).stdout
    assert "ws://127.0.0.1:8765" in text
    row = next(line for line in text.splitlines() if line.startswith("shard-0"))
    assert row.split() == [
        "shard-0", "41234", "ready", "4m05s", "12", "3,400", "5,000", "60,000", "0.4", "ms", "2",
        "3", "malformed",
    ]  # fmt: skip
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[1:] == ["2/2", "12", "0", "7,000", "60,000", "0.4", "ms", "2"]
    assert fake.asked == [{"t": "status", "to": "monitor"}]


@pytest.mark.parametrize("state", ["backoff", "failed", "silent", "starting"])
def test_one_that_is_not_ready_makes_it_1(
    hub: Any, answer: Any, runtime_dir: Path, state: str
) -> None:
    answer(status=[status(SHARD, process("shard-1", state=state, beat_age_s=9.0))])
    text = hub("status", "--runtime-dir", runtime_dir, rc=1).stdout
    assert state in text
    assert "silent for 9s" in text


FAILED = process(
    "shard-2", state="failed", pid=0, last_code=1, deaths=5,
    last_lines=["12:00:00 ERROR   shard-2    no room", '  File "x.py"', "\x1b[2J"],
)  # fmt: skip


def test_the_last_lines_of_one_that_failed_stand_below_the_table(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    answer(status=[status(SHARD, FAILED)])
    text = hub("status", "--runtime-dir", runtime_dir, rc=1).stdout
    below = text.partition("shard-2 ended")[2].splitlines()
    assert below == [
        " with code 1 five times; last lines of its log:",
        "    12:00:00 ERROR   shard-2    no room",
        '      File "x.py"',
        "    \\x1b[2J",
    ]
    found = json.loads(hub("status", "--runtime-dir", runtime_dir, "--json", rc=1).stdout)
    assert found["processes"][1]["last_lines"] == FAILED["last_lines"]


@pytest.mark.parametrize(
    ("deaths", "told"), [(1, "once"), (2, "twice"), (7, "seven times"), (8, "8 times")]
)
def test_one_in_back_off_is_told_too_though_it_has_logged_nothing(
    hub: Any, answer: Any, runtime_dir: Path, deaths: int, told: str
) -> None:
    fallen = FAILED | {"state": "backoff", "last_code": -9, "deaths": deaths, "last_lines": []}
    answer(status=[status(SHARD, fallen)])
    text = hub("status", "--runtime-dir", runtime_dir, rc=1).stdout
    assert f"shard-2 ended with code -9 {told}; it has logged nothing" in text


def test_the_crash_of_one_that_is_back_is_in_the_json_alone(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    answer(status=[status(SHARD, FAILED | {"state": "ready", "pid": 7})])
    assert "ended with" not in hub("status", "--runtime-dir", runtime_dir).stdout
    assert "no room" in hub("status", "--runtime-dir", runtime_dir, "--json").stdout


def test_no_processes_are_not_fine(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(status=[status()])
    hub("status", "--runtime-dir", runtime_dir, rc=1)


def test_json_is_the_answer_without_its_envelope(hub: Any, answer: Any, runtime_dir: Path) -> None:
    said = status(SHARD)
    answer(status=[said])
    found = json.loads(hub("status", "--json", "--runtime-dir", runtime_dir).stdout)
    assert found == {name: said[name] for name in ("version", "at", "hub", "processes")}


def test_no_hub_is_told_at_once_with_69(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object) -> None:
        raise AssertionError("nobody is asked, so nobody is waited for")

    monkeypatch.setattr(monitor, "ask", wait)
    assert "hub start" in hub("status", "--runtime-dir", runtime_dir, rc=69).stderr
    assert "no hub runs" in hub("status", "--runtime-dir", runtime_dir / "no", rc=69).stderr


def test_a_socket_left_behind_is_no_hub(hub: Any, answer: Any, runtime_dir: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(runtime_dir / "control"))
    assert "no hub runs" in hub("status", "--runtime-dir", runtime_dir, rc=69).stderr


def test_an_absent_monitor_is_named(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(status=[{"t": "absent", "who": "monitor"}])
    assert "no monitor just now" in hub("status", "--runtime-dir", runtime_dir, rc=69).stderr


def test_a_silent_monitor_is_waited_for_and_named(
    hub: Any, answer: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor.ask_monitor, "__defaults__", (0.2,))
    answer()
    stderr = hub("status", "--runtime-dir", runtime_dir, rc=69).stderr
    assert "did not answer within 0.2 s" in stderr


def test_missing_figures_are_dots(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(status=[{"t": "status", "processes": [{"name": "router", "state": "ready"}]}])
    text = hub("status", "--runtime-dir", runtime_dir).stdout
    assert (
        next(line for line in text.splitlines() if line.startswith("router")).count("·") == 7
    )  # nobody was restarted, so that column is left out


def test_a_problem_is_told_in_full_below_the_table(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    problem = "the broker refuses the access token since 06:00; log in again and restart the feed"
    feed = process("feed-zerodha", feed_state="disconnected", problem=problem)
    answer(status=[status(feed)])
    text = hub("status", "--runtime-dir", runtime_dir).stdout
    assert f"feed-zerodha: {problem}" in text
    assert "disconnected, see below" in text


def test_what_is_stale_stands_in_the_notes_and_by_name_below_the_table(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    names = ["NSE_A", "NSE_B of angel"]
    feed = process("feed-bus", stale=1234, stale_first=names)
    one = process("feed-sim", stale=1, stale_first=names[:1])
    answer(status=[status(feed, one, SHARD)])
    text = " ".join(hub("status", "--runtime-dir", runtime_dir).stdout.split())
    assert "1,234 stale" in text
    assert (
        "feed-bus: 1,234 topics have no ticks though their market is open: NSE_A, NSE_B of angel, …"
        in text
    )
    assert "feed-sim: 1 topic has no ticks though its market is open: NSE_A feed" not in text
    assert text.endswith("feed-sim: 1 topic has no ticks though its market is open: NSE_A")


def test_without_stale_topics_nothing_is_said_of_them(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    answer(status=[status(process("feed-bus", stale=0, stale_first=[]), SHARD)])
    assert "stale" not in hub("status", "--runtime-dir", runtime_dir).stdout


def test_what_is_not_compiled_is_told_in_one_line_with_what_to_do(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    slow = [process("router", compiled=False), SHARD | {"compiled": False}]
    answer(status=[status(process("supervisor"), *slow)])
    text = hub("status", "--runtime-dir", runtime_dir).stdout
    assert "router, shard-0: not compiled, which costs up to half more CPU" in text
    assert "apt install gcc python3-dev" in text


def test_what_is_compiled_or_says_nothing_of_it_is_not_mentioned(
    hub: Any, answer: Any, runtime_dir: Path
) -> None:
    answer(status=[status(process("router", compiled=True), process("monitor"))])
    assert "compiled" not in hub("status", "--runtime-dir", runtime_dir).stdout


def test_the_table_fits_100_columns_on_a_busy_day() -> None:
    busy = SHARD | {"pid": 4194304, "clients": 1234, "symbols": 98765, "in_s": 123456.0,
                    "out_s": 98765432.0, "lag_ms": 12.3, "conflated": 123456, "behind": 12,
                    "uptime_s": 1e6, "restarts": 12}  # fmt: skip
    console = Console(width=100, record=True)
    console.print(picture(status(process("supervisor"), busy, busy)))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    rows = [line for line in lines if line.startswith("shard-0")]
    assert len(rows) == 2
    for cell in ("4194304", "98,765", "123,456", "98.77M", "12 ms", "11d13h"):
        assert cell in rows[0]


def test_nats_that_is_away_is_told_of_the_uplink(hub: Any, answer: Any, runtime_dir: Path) -> None:
    answer(status=[status(process("uplink", nats_connected=False, nats_away_s=72.0))])
    text = hub("status", "--runtime-dir", runtime_dir).stdout
    assert "without NATS for 1m12s, see below" in text
    assert "uplink: NATS is away; other machines get nothing from here" in text
