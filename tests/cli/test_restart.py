"""`hub restart`: one after another, only those that are meant, and it ends at the first fault."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import restart
from hub.core.errors import HubError, NoAnswer, NotRunning

SHARDS = ["shard-0", "shard-1", "shard-2"]
NAMES = ["router", "feed-bus", *SHARDS, "monitor"]


class FakeHub:
    """Processes that do nothing, a supervisor that starts them again, and what the monitor says of
    both, each time it is asked."""

    def __init__(self) -> None:
        self.processes = {name: self._new() for name in NAMES}
        self.states: dict[str, str] = {}
        self.more: dict[str, dict[str, Any]] = {}
        self.looks_until_back = 3
        self.back_in: dict[str, int] = {}
        self.never_back: set[str] = set()
        self.restarted: list[str] = []
        self.away: list[set[str]] = []
        self.errors: list[HubError] = []
        self.beat_age_s = 0.0
        self.unheard: dict[str, int] = {}

    def _new(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "300"])

    def ask(self, directory: Path) -> dict[str, Any]:
        """What stands for the monitor, and for time that passes."""
        assert directory == Path("/somewhere")
        away = {name for name, process in self.processes.items() if process.poll() is not None}
        self.away.append(away)
        for name in away - self.never_back:
            left = self.back_in.setdefault(name, self.looks_until_back)
            self.back_in[name] = left - 1
            if left <= 0:
                del self.back_in[name]
                self.processes[name] = self._new()
                self.restarted.append(name)
        if self.errors:
            raise self.errors.pop(0)
        rows = [self._row(name) for name in NAMES if self._heard(name)]
        return {"hub": {"shards": len(SHARDS)}, "processes": rows}

    def _row(self, name: str) -> dict[str, Any]:
        process = self.processes[name]
        here = process.poll() is None
        role = name.partition("-")[0]
        row: dict[str, Any] = {
            "name": name, "role": role, "pid": process.pid if here else 0,
            "state": self.states.get(name, "ready" if here else "backoff"),
            "beat_age_s": self.beat_age_s,
        }  # fmt: skip
        return row | ({"clients": 3} if role == "shard" else {}) | self.more.get(name, {})

    def _heard(self, name: str) -> bool:
        """Whether the monitor has heard of it; it is asked so many times before that."""
        self.unheard[name] = self.unheard.get(name, 0) - 1
        return self.unheard[name] < 0

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes.items()}

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub at /somewhere."""
    fake = FakeHub()
    monkeypatch.setattr(restart, "ask_status", fake.ask)
    monkeypatch.setattr(restart, "_LOOK_S", 0.01)
    monkeypatch.setattr(restart, "_NEWS_S", 0.3)
    yield fake
    fake.close()


@pytest.fixture
def again(hub: Any) -> Any:
    """Runs `hub restart` at /somewhere."""

    def run(*args: str, rc: int = 0) -> Any:
        return hub("restart", *args, "--runtime-dir", "/somewhere", rc=rc)

    return run


@pytest.mark.parametrize("args", [[], ["--rolling", "shard-0"]])
def test_it_is_told_either_names_or_rolling(fake: FakeHub, again: Any, args: list[str]) -> None:
    stderr = again(*args, rc=2).stderr
    assert "hub restart shard-2" in stderr
    assert "hub restart --rolling" in stderr
    assert fake.away == [], "nobody was asked"


def test_rule_2_rolling_restarts_every_shard_and_never_two_at_once(
    fake: FakeHub, again: Any
) -> None:
    before = fake.pids()
    text = again("--rolling").stdout
    assert fake.restarted == SHARDS
    assert max(len(away) for away in fake.away) == 1
    after = fake.pids()
    assert {name for name in NAMES if before[name] != after[name]} == set(SHARDS)
    told = text.splitlines()
    assert len(told) == 3
    assert told[1].startswith(f"shard-1 is back (pid {after['shard-1']}, was {before['shard-1']})")


def test_named_ones_are_restarted_in_their_order_and_each_once(fake: FakeHub, again: Any) -> None:
    again("shard-2", "router", "feed-bus", "router")
    assert fake.restarted == ["shard-2", "router", "feed-bus"]
    assert max(len(away) for away in fake.away) == 1


def test_one_of_which_the_monitor_has_not_heard_yet_is_waited_for(
    fake: FakeHub, again: Any
) -> None:
    """A monitor that was new said of a hub that ran that there was no router."""
    fake.unheard["router"] = 3
    again("router")
    assert fake.restarted == ["router"]


def test_while_the_monitor_is_away_it_is_asked_until_it_is_back(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(directory: Path) -> dict[str, Any]:
        if fake.processes["monitor"].poll() is not None and fake.looks_until_back == 3:
            fake.looks_until_back = 0
            fake.errors = [NotRunning("no monitor"), NoAnswer("monitor", 3.0)] * 2
        return FakeHub.ask(fake, directory)

    monkeypatch.setattr(restart, "ask_status", ask)
    again("monitor", "shard-1")
    assert fake.restarted == ["monitor", "shard-1"]
    assert not fake.errors


def test_the_next_one_s_turn_comes_when_it_is_ready_itself(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that was away makes all others look silent for a moment."""
    fake.states["feed-bus"] = "silent"

    def ask(directory: Path) -> dict[str, Any]:
        if len(fake.away) > 10:
            fake.states.clear()
        return FakeHub.ask(fake, directory)

    monkeypatch.setattr(restart, "ask_status", ask)
    again("router", "feed-bus")
    assert fake.restarted == ["router", "feed-bus"]


@pytest.mark.parametrize("state", ["backoff", "failed", "starting", "leaving", "silent"])
def test_rolling_does_not_begin_while_a_shard_is_away(
    fake: FakeHub, again: Any, state: str
) -> None:
    fake.states["shard-1"] = state
    stderr = again("--rolling", rc=1).stderr
    assert "shard-1 not ready" in stderr
    assert "nothing was restarted" in stderr
    assert all(process.poll() is None for process in fake.processes.values())


def test_a_shard_that_lets_nobody_in_yet_is_away(fake: FakeHub, again: Any) -> None:
    """Under systemd all that is known of it is that it beats, which it does before it serves."""
    rows = fake._row

    def row(name: str) -> dict[str, Any]:
        found = rows(name)
        if name == "shard-2":
            del found["clients"]
        return found

    fake._row = row  # type: ignore[method-assign]  # stands in
    assert "shard-2 not ready" in again("--rolling", rc=1).stderr


def test_a_shard_of_which_nothing_was_ever_heard_is_away(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(directory: Path) -> dict[str, Any]:
        return FakeHub.ask(fake, directory) | {"hub": {"shards": 4}}

    monkeypatch.setattr(restart, "ask_status", ask)
    assert "shard-3 not ready" in again("--rolling", rc=1).stderr


def test_one_that_is_not_ready_is_not_told_to_leave(fake: FakeHub, again: Any) -> None:
    fake.states["router"] = "starting"
    assert "router is not ready (starting)" in again("router", rc=1).stderr
    assert fake.processes["router"].poll() is None


def test_one_that_does_not_come_back_ends_it_there(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "_BACK_S", 0.3)
    fake.never_back.add("shard-1")
    fake.more["shard-1"] = {"last_lines": ["12:00 ERROR shard-1 \x1b[31mno room"], "last_code": 1}
    result = again("--rolling", rc=1)
    assert result.stdout.startswith("shard-0 is back")
    assert "shard-1 has not come back within 0.3 s (backoff)" in result.stderr
    assert "    12:00 ERROR shard-1 \\x1b[31mno room" in result.stderr
    assert "not restarted: shard-2" in result.stderr
    assert fake.processes["shard-2"].poll() is None


def test_rule_2_it_ends_when_another_shard_goes_meanwhile(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "_BACK_S", 0.3)

    def ask(directory: Path) -> dict[str, Any]:
        if fake.processes["shard-0"].poll() is not None:
            fake.states["shard-2"] = "failed"
        return FakeHub.ask(fake, directory)

    monkeypatch.setattr(restart, "ask_status", ask)
    stderr = again("--rolling", rc=1).stderr
    assert "shard-0 is back, but not ready after 0.3 s: shard-2" in stderr
    assert "not restarted: shard-1, shard-2" in stderr
    assert fake.restarted == ["shard-0"]


def test_json_says_what_has_been_done(fake: FakeHub, again: Any) -> None:
    before = fake.pids()
    found = json.loads(again("shard-1", "--json").stdout)
    (one,) = found["restarted"]
    assert one.pop("took_s") > 0
    assert one == {
        "name": "shard-1", "pid": fake.pids()["shard-1"], "was_pid": before["shard-1"],
    }  # fmt: skip
    assert (found["failed"], found["not_restarted"]) == (None, [])


def test_json_says_where_it_ended(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "_BACK_S", 0.3)
    fake.never_back.add("shard-1")
    fake.more["shard-1"] = {"last_lines": ["no room"]}
    found = json.loads(again("--rolling", "--json", rc=1).stdout)
    assert [one["name"] for one in found["restarted"]] == ["shard-0"]
    assert found["failed"]["name"] == "shard-1"
    assert "has not come back" in found["failed"]["why"]
    assert found["failed"]["last_lines"] == ["no room"]
    assert found["not_restarted"] == ["shard-2"]


def test_rule_1_a_pid_of_which_nothing_is_heard_any_more_is_left_alone(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be anybody's by now: what the monitor knows is older than the hold."""
    monkeypatch.setattr(restart, "_HEARD_S", 0.2)
    fake.beat_age_s = 100.0
    assert "shard-0 does not answer" in again("shard-0", rc=1).stderr
    assert fake.processes["shard-0"].poll() is None


def test_rule_1_a_process_that_has_another_pid_by_now_is_left_alone(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    others = FakeHub.ask

    def ask(directory: Path) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked == 3:  # chosen, looked up, and now held
            fake.more["shard-0"] = {"pid": 1}
        return others(fake, directory)

    monkeypatch.setattr(restart, "ask_status", ask)
    assert "shard-0 has just left by itself" in again("shard-0", rc=1).stderr
    assert fake.processes["shard-0"].poll() is None


def test_the_supervisor_is_restarted_with_all_of_the_hub(fake: FakeHub, again: Any) -> None:
    stderr = again("shard-0", "supervisor", rc=2).stderr
    assert "hub stop" in stderr
    assert all(process.poll() is None for process in fake.processes.values())


def test_a_name_that_is_not_there_is_told_before_anything_is_done(
    fake: FakeHub, again: Any
) -> None:
    stderr = again("shard-0", "shard-7", rc=2).stderr
    assert "There is no process 'shard-7' here, only router, feed-bus, shard-0" in stderr
    assert all(process.poll() is None for process in fake.processes.values())


def test_without_a_hub_it_says_so(hub: Any, runtime_dir: Path) -> None:
    stderr = hub("restart", "--rolling", "--runtime-dir", runtime_dir, rc=69).stderr
    assert "no hub runs" in stderr


def test_one_that_does_not_leave_is_named(
    fake: FakeHub, again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "patience", lambda *_: 0.2)
    monkeypatch.setattr(restart, "terminate", lambda *_: None)
    pid = fake.pids()["shard-0"]
    stderr = again("--rolling", rc=1).stderr
    assert f"shard-0 has not left within 0.2 s (pid {pid})" in stderr
    assert "not restarted: shard-1, shard-2" in stderr
