"""The supervisor turn by turn: its children are words on paper, its clock is an argument."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hub import supervisor as module
from hub.core.settings import Bus, Hub, Nats, Page, Settings, Websocket
from hub.core.supervision import FAILED_AFTER, NO_PROCESS, READY_S, WATCHDOG_S, Child, State
from hub.runtime.process import Processes
from hub.runtime.stderr import Stderr
from hub.supervisor import Supervisor

STEP_S = 0.2
NAMES = ["router", "feed-sim", "shard-0", "monitor"]


class Children:
    """Stands for Processes and for Notifications; keeps what it was asked to do."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.started: list[str] = []
        self.signals: list[tuple[str, signal.Signals]] = []
        self.said: list[tuple[int, dict[str, str]]] = []
        self.gone: list[tuple[str, int]] = []
        self.refused: dict[str, int] = {}

    def start(self, name: str, command: Sequence[str]) -> int:
        assert command[1:3] == ["-m", command[2]]
        if name in self.refused:
            raise OSError(self.refused[name], "no room for another")
        self.started.append(name)
        self.running[name] = 1000 + len(self.started)
        return self.running[name]

    def ended(self) -> list[tuple[str, int]]:
        gone, self.gone = self.gone, []
        return gone

    def last_lines(self, name: str) -> tuple[str, ...]:
        return (f"{name} began", f"{name} broke")

    def signal(self, name: str, number: signal.Signals) -> None:
        self.signals.append((name, number))

    def read(self) -> Iterator[tuple[int, dict[str, str]]]:
        said, self.said = self.said, []
        yield from said

    def say(self, name: str, **lines: str) -> None:
        self.said.append((self.running[name], lines))

    def end(self, name: str, code: int = 0) -> None:
        del self.running[name]
        self.gone.append((name, code))


class Play:
    """One supervisor and its children; `turn` lets time pass as its loop does."""

    def __init__(self, runtime_dir: Path) -> None:
        self.reports: list[dict[str, State]] = []
        settings = Settings(
            hub=Hub(runtime_dir=str(runtime_dir), feeds=["sim"], shards=1, stop_s=2.0),
            websocket=Websocket(port=0, drain_s=1.0),
            bus=Bus(port=0),
            page=Page(port=0),
        )
        self.hub = Supervisor(settings, self._report)
        self.children = Children()
        self.hub._processes = self.children  # type: ignore[assignment]
        self.hub._notifications = self.children  # type: ignore[assignment]
        self.now_s = 5000.0

    def _report(self, children: Sequence[Child]) -> None:
        self.reports.append({child.name: child.state for child in children})

    def turn(self, for_s: float = STEP_S, *, feeding: Sequence[str] = ()) -> bool:
        """Turns for so long, during which some feed the watchdog; whether all have left."""
        left = False
        for _ in range(max(1, round(for_s / STEP_S))):
            self.now_s += STEP_S
            for name in feeding:
                self.children.say(name, WATCHDOG="1")
            left = self.hub._turn(self.now_s)
        return left

    def pause(self, for_s: float) -> bool:
        """The supervisor is stopped, and then takes its next turn."""
        self.now_s += for_s
        return self.hub._turn(self.now_s)

    def bring_up(self) -> None:
        """Until all are ready."""
        for _ in NAMES:
            self.turn()
            for name in self.children.running:
                self.children.say(name, READY="1")
        self.turn()
        assert set(self.states().values()) == {State.READY}

    def states(self) -> dict[str, State]:
        return {child.name: child.state for child in self.hub.children}

    def figures(self, name: str) -> dict[str, Any]:
        """What the monitor is told of a child."""
        found: dict[str, Any] = self.hub._figures()["children"][name]
        return found

    def child(self, name: str) -> Child:
        return next(child for child in self.hub.children if child.name == name)

    def signals(self) -> list[tuple[str, signal.Signals]]:
        signals, self.children.signals = self.children.signals, []
        return signals


def test_a_page_whose_port_is_taken_keeps_no_hub_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(
            hub=Hub(runtime_dir=str(tmp_path)), websocket=Websocket(port=0), bus=Bus(port=0),
            page=Page(port=port),
        )  # fmt: skip
        hub = Supervisor(settings)
        hub._port.close()
        hub._lock.release()
    assert f"page.port cannot use 127.0.0.1:{port}" in hub.page_problem
    assert hub.settings.page.port == port, "the monitor goes on trying"


def test_a_hub_without_shards_needs_no_port_for_clients(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(
            hub=Hub(runtime_dir=str(tmp_path), shards=0),
            websocket=Websocket(port=taken.getsockname()[1]), bus=Bus(port=0), page=Page(port=0),
            nats=Nats(publish=True, servers=["nats://127.0.0.1"]),
        )  # fmt: skip
        hub = Supervisor(settings)
        hub._port.close()
        hub._lock.release()
    assert [child.name for child in hub.children] == ["router", "feed-bus", "uplink", "monitor"]


def test_the_page_s_port_is_picked_once_so_a_new_monitor_has_it_too(tmp_path: Path) -> None:
    settings = Settings(
        hub=Hub(runtime_dir=str(tmp_path)), websocket=Websocket(port=0), bus=Bus(port=0),
        page=Page(port=0),
    )  # fmt: skip
    hub = Supervisor(settings)
    hub._port.close()
    hub._lock.release()
    assert hub.settings.page.port > 0
    assert not hub.page_problem


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """A supervisor that has started nobody yet."""
    tmp_path.chmod(0o700)
    play = Play(tmp_path)
    yield play
    play.hub._port.close()
    play.hub._lock.release()


def test_each_stage_is_started_when_the_one_before_is_ready(play: Play) -> None:
    for number, name in enumerate(NAMES, 1):
        play.turn(1)
        assert play.children.started == NAMES[:number], "nobody connects to what is not there yet"
        play.children.say(name, READY="1")
    play.turn()
    assert set(play.states().values()) == {State.READY}


def test_every_change_is_reported_once(play: Play) -> None:
    play.bring_up()
    count = len(play.reports)
    assert play.reports[-1] == dict.fromkeys(NAMES, State.READY)
    play.turn(5, feeding=NAMES)
    assert len(play.reports) == count, "nothing has changed"
    play.children.end("shard-0", 1)
    play.turn()
    assert play.reports[count]["shard-0"] is State.BACKOFF


def test_what_strangers_say_changes_nothing(play: Play) -> None:
    play.turn()
    play.children.said.append((1, {"READY": "1"}))
    play.turn()
    assert play.states()["router"] is State.STARTING


def test_a_child_that_ends_is_started_again_and_the_rest_goes_on(play: Play) -> None:
    play.bring_up()
    play.children.end("router", -9)
    play.turn(1, feeding=NAMES[1:])
    assert play.children.started == [*NAMES, "router"]
    assert play.signals() == []
    assert (play.child("router").restarts, play.child("router").last_code) == (1, -9)


def test_one_that_was_told_to_leave_is_started_again_and_nobody_is_warned(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    play.bring_up()
    with caplog.at_level(logging.INFO, "hub"):
        play.children.end("shard-0", 0)
        play.turn(1, feeding=["router", "feed-sim", "monitor"])
    assert play.children.started == [*NAMES, "shard-0"]
    told = [(record.levelname, record.message) for record in caplog.records]
    assert told == [("INFO", "shard-0 was told to leave; starting again")]
    assert "last_lines" not in play.figures("shard-0")


def test_one_that_leaves_before_it_is_ready_was_not_told_to_and_is_warned_of(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    play.turn()
    with caplog.at_level(logging.INFO, "hub"):
        for _ in range(FAILED_AFTER):
            play.turn(30)
            play.children.end("router", 0)
            left = play.turn()
    assert "was told to leave" not in caplog.text
    assert "router ended with code 0; again in 0.1 s" in caplog.text
    assert "router has failed: it ended with code 0, for the 5. time in a row" in caplog.text
    assert left
    assert play.hub._code == 1


def test_a_crash_is_told_with_the_last_lines_of_its_log(play: Play) -> None:
    play.bring_up()
    assert "last_lines" not in play.figures("shard-0")
    play.children.end("shard-0", 1)
    play.turn()
    found = play.figures("shard-0")
    assert (found["state"], found["last_code"], found["deaths"]) == ("backoff", 1, 1)
    assert found["last_lines"] == ["shard-0 began", "shard-0 broke"]
    assert "last_lines" not in play.figures("router")


def test_one_that_keeps_crashing_has_failed_and_the_rest_goes_on(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    play.bring_up()
    others = ["router", "feed-sim", "monitor"]
    with caplog.at_level(logging.ERROR, "hub"):
        for _ in range(FAILED_AFTER):
            while "shard-0" not in play.children.running:
                play.turn(feeding=others)
            play.children.end("shard-0", 1)
            play.turn(feeding=others)
    assert play.figures("shard-0")["state"] == "failed"
    assert play.figures("shard-0")["deaths"] == FAILED_AFTER
    assert "shard-0 has failed: it ended with code 1, for the 5. time in a row" in caplog.text
    assert {play.states()[name] for name in others} == {State.READY}
    assert play.signals() == []


def test_a_child_that_falls_silent_is_killed_once(play: Play) -> None:
    play.bring_up()
    play.turn(WATCHDOG_S + 2, feeding=["router", "feed-sim", "monitor"])
    assert play.signals() == [("shard-0", signal.SIGKILL)]


def test_a_child_that_is_never_ready_is_killed(play: Play) -> None:
    play.turn(READY_S + 2)
    assert play.signals() == [("router", signal.SIGKILL)]


def test_a_child_that_cannot_start_ends_the_hub_with_its_code(play: Play) -> None:
    play.turn()
    play.children.end("router", 78)
    assert play.turn(), "nobody is left to wait for"
    assert play.hub._code == 78


def test_a_hub_whose_child_keeps_being_killed_before_it_is_ready_fails(play: Play) -> None:
    """A negative code, as of a signal, must not become an exit code of success."""
    for _ in range(FAILED_AFTER):
        play.turn(30)
        play.children.running.clear()
        play.children.gone.append(("router", -9))
    assert play.turn()
    assert play.hub._code == 1


def test_children_leave_in_order_and_a_stopped_one_hears_it(play: Play) -> None:
    """SIGTERM alone stays pending with a stopped process, which lasts until SIGKILL.

    What its clients had pending would be lost. So SIGCONT goes to each of them, after SIGTERM.
    """
    play.bring_up()
    play.hub._stop(signal.SIGTERM)
    for stage in (["shard-0", "monitor"], ["feed-sim"], ["router"]):
        assert not play.turn(1)
        assert play.signals() == [
            (name, number) for name in stage for number in (signal.SIGTERM, signal.SIGCONT)
        ]
        for name in stage:
            play.children.end(name)
    assert play.turn()
    assert set(play.states().values()) == {State.GONE}
    assert play.hub._code == 0
    assert play.children.started == NAMES, "nobody is started while the hub leaves"


def test_a_child_that_does_not_leave_is_killed_after_its_patience(play: Play) -> None:
    play.bring_up()
    play.hub._stop(signal.SIGTERM)
    play.turn()
    play.children.end("monitor")
    play.signals()
    play.turn(3.8)
    assert play.signals() == [], "it has stop_s, drain_s and a second to leave by itself"
    play.turn(1)
    assert play.signals() == [("shard-0", signal.SIGKILL)]


# Rule 4: systemd.


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

    def heard(self) -> list[str]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self._sock.recv(4096).decode().splitlines()
        return found

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    found = Systemd(tmp_path / "systemd", monkeypatch)
    yield found
    found.close()


def test_rule_4_it_is_told_when_all_have_been_ready_once(play: Play, systemd: Systemd) -> None:
    play.turn(30)
    assert "READY=1" not in systemd.heard(), "the router is not ready even"
    play.children.say("router", READY="1")
    play.turn()
    assert "READY=1" not in systemd.heard(), "the others are not there yet"
    play.bring_up()
    assert systemd.heard().count("READY=1") == 1
    play.children.end("shard-0", 1)
    play.turn(2, feeding=["router", "feed-sim", "monitor"])
    play.children.say("shard-0", READY="1")
    play.turn()
    assert "READY=1" not in systemd.heard(), "a child that comes back is no news to it"


def test_rule_4_its_watchdog_is_fed_by_each_loop_that_turns(play: Play, systemd: Systemd) -> None:
    play.bring_up()
    systemd.heard()
    play.turn(20, feeding=NAMES)
    assert systemd.heard() == ["WATCHDOG=1"] * 4
    assert systemd.heard() == [], "and by nothing else"


def test_rule_4_it_is_told_how_long_leaving_may_take(play: Play, systemd: Systemd) -> None:
    play.bring_up()
    systemd.heard()
    play.hub._stop(signal.SIGTERM)
    play.hub._stop(signal.SIGTERM)
    three_stages = 3 * (2.0 + 1) + 1.0
    told = f"EXTEND_TIMEOUT_USEC={(three_stages + 2) * 1e6:.0f}"
    assert systemd.heard() == ["STOPPING=1", told]


def test_rule_4_children_never_see_its_socket(play: Play, systemd: Systemd) -> None:
    """They would speak to systemd, which hears the supervisor alone, and never be ready here."""
    seen: list[str] = []

    class Seen(Processes):
        def __init__(self, environment: Mapping[str, str], stderr: Stderr | None = None) -> None:
            super().__init__(environment, stderr)
            seen.append(self._environment["NOTIFY_SOCKET"])
            play.hub._leaving = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Processes", Seen)
        assert asyncio.run(asyncio.wait_for(play.hub._live(), 20)) == 0
    assert seen == [str(play.hub.runtime_dir / "notify")]
    assert str(systemd.path) not in seen


# When the next turn is.


def test_a_turn_may_wait_longer_only_while_all_is_well(play: Play) -> None:
    assert play.hub._step_s() == STEP_S
    play.bring_up()
    assert STEP_S < play.hub._step_s() < module._LONGEST_STEP_S, "or each turn would be a pause"
    play.children.end("shard-0", 1)
    play.turn(feeding=NAMES[:2])
    assert play.hub._step_s() == STEP_S, "it is to be started again soon"
    play.turn(feeding=NAMES[:2])
    assert play.states()["shard-0"] is State.STARTING
    play.children.say("shard-0", READY="1")
    play.turn()
    assert play.hub._step_s() > STEP_S
    play.hub._stop(signal.SIGTERM)
    assert play.hub._step_s() == STEP_S


def test_rule_1_what_happens_brings_on_the_next_turn_at_once(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEP_S", 1000.0)
    monkeypatch.setattr(module, "_CALM_STEP_S", 1000.0)

    async def main() -> None:
        async def seen(what: object, where: Sequence[object]) -> None:
            while what not in where:  # noqa: ASYNC110  # a list has no event of its own
                await asyncio.sleep(0)

        running = asyncio.create_task(play.hub._reconcile())
        for name in NAMES:
            await seen(name, play.children.started)
            play.children.say(name, READY="1")
            play.hub._read_notifications()  # as the loop does when something has come
        play.hub._stop(signal.SIGTERM)
        for name in ("shard-0", "monitor", "feed-sim", "router"):
            await seen((name, signal.SIGTERM), play.children.signals)
            play.children.end(name)
            play.hub._news.set()  # as SIGCHLD does
        assert await running == 0

    asyncio.run(asyncio.wait_for(main(), 20))


# A pause of the supervisor: SIGSTOP, Ctrl-Z and fg, a machine that was suspended.


@pytest.mark.parametrize("paused_s", [2.0, 2 * WATCHDOG_S, 86400.0])
def test_after_a_pause_nobody_is_killed(play: Play, paused_s: float) -> None:
    """Nobody could be heard in that time, and what they said is mostly lost: the queue is short."""
    play.bring_up()
    play.pause(paused_s)
    play.turn(WATCHDOG_S - 2)
    assert play.signals() == []
    assert play.states() == dict.fromkeys(NAMES, State.READY)
    play.turn(4)
    assert sorted(play.signals()) == sorted((name, signal.SIGKILL) for name in NAMES)


def test_what_was_said_during_a_pause_is_read_before_anything_is_planned(play: Play) -> None:
    play.bring_up()
    play.turn(WATCHDOG_S - 0.5)
    for name in NAMES:
        play.children.say(name, WATCHDOG="1")
    play.pause(60)
    assert play.signals() == []


def test_after_a_pause_a_child_still_has_its_time_to_be_ready(play: Play) -> None:
    play.turn()
    play.pause(10 * READY_S)
    play.turn(READY_S - 2)
    assert play.signals() == []
    play.children.say("router", READY="1", WATCHDOG="1")
    play.turn()
    assert play.states()["router"] is State.READY


def test_after_a_pause_a_child_still_has_its_time_to_leave(play: Play) -> None:
    play.bring_up()
    play.hub._stop(signal.SIGTERM)
    play.turn()
    play.signals()
    play.pause(60)
    assert play.signals() == []


# A fork that fails.


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_child_that_cannot_be_forked_is_tried_again_and_the_rest_goes_on(
    play: Play, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    play.bring_up()
    play.children.refused["shard-0"] = number
    play.children.end("shard-0", 1)
    with caplog.at_level(logging.ERROR, "hub"):
        play.turn(0.4, feeding=["router", "feed-sim", "monitor"])
    shard = play.child("shard-0")
    assert (shard.state, shard.pid, shard.last_code) == (State.BACKOFF, 0, NO_PROCESS)
    assert "shard-0 cannot be started: no room for another; see to memory, `ulimit" in caplog.text
    assert "again in 0.2 s" in caplog.text, "it is tried ever more rarely"
    play.children.refused.clear()
    play.turn(1, feeding=["router", "feed-sim", "monitor"])
    assert play.states()["shard-0"] is State.STARTING
    assert shard.restarts == 1, "what was never there was not restarted"
    assert play.signals() == []


def test_a_hub_that_can_never_fork_ends_with_a_code_of_its_own(play: Play) -> None:
    play.children.refused["router"] = errno.EAGAIN
    for _ in range(FAILED_AFTER * 10):
        if play.turn(1):
            break
    assert play.hub._code == NO_PROCESS


# SIGHUP.


def test_rule_1_a_hang_up_is_passed_on_to_the_shards_that_are_ready(play: Play) -> None:
    play.bring_up()
    play.hub._hang_up(False)
    play.turn()
    assert play.signals() == [("shard-0", signal.SIGHUP)]
    play.turn(2, feeding=NAMES)
    assert play.signals() == []
    assert set(play.states().values()) == {State.READY}


def test_rule_1_a_shard_that_starts_is_told_when_it_is_ready(play: Play) -> None:
    """Before it listens to signals, SIGHUP would end it."""
    play.bring_up()
    play.children.end("shard-0", 1)
    play.hub._hang_up(False)
    play.turn(1, feeding=["router", "feed-sim", "monitor"])
    assert play.states()["shard-0"] is State.STARTING
    assert play.signals() == []
    play.children.say("shard-0", READY="1")
    play.turn()
    assert play.signals() == [("shard-0", signal.SIGHUP)]


@pytest.mark.parametrize("is_there", [False, True])
def test_rule_1_only_a_terminal_that_was_closed_ends_the_hub(
    play: Play, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    monkeypatch.setattr(module, "has_terminal", lambda: is_there)
    play.bring_up()
    play.hub._hang_up(True)
    play.turn()
    told = [number for name, number in play.signals() if name == "shard-0"]
    assert told == ([signal.SIGHUP] if is_there else [signal.SIGTERM, signal.SIGCONT])
