"""Ports, notifications and children, all of them real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub.core.errors import StartError
from hub.runtime.process import (
    Notifications,
    Processes,
    free_port,
    reserve_port,
    said_by,
    see_that_nobody_serves,
)
from hub.runtime.role import LEASH

HOST = "127.0.0.1"


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind((HOST, 0))
    sock.listen()
    return sock


def test_port_0_is_any_free_port_and_stays_reserved() -> None:
    sock, port = reserve_port(HOST, 0, "websocket.port")
    with sock, socket.socket() as other:
        assert port > 0
        assert sock.getsockname() == (HOST, port)
        with pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))


def test_children_can_share_the_reserved_port() -> None:
    sock, port = reserve_port(HOST, 0, "websocket.port")
    with sock, socket.socket() as child:
        child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        child.bind((HOST, port))
        child.listen()
        with socket.create_connection((HOST, port), 5):
            child.accept()[0].close()


@pytest.mark.parametrize("reserve", [reserve_port, free_port])
def test_a_port_where_somebody_listens_is_refused_and_he_is_named(reserve: object) -> None:
    with listening() as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StartError) as caught:
            reserve(HOST, port, "bus.port")  # type: ignore[operator]  # one of two functions
    text = str(caught.value)
    assert text.startswith(f"bus.port cannot use {HOST}:{port}: Address already in use")
    assert f"pid {os.getpid()}, listens there" in text


def test_a_port_shared_by_another_hubs_shards_is_refused_too() -> None:
    with socket.socket() as shard:
        shard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shard.bind((HOST, 0))
        shard.listen()
        with pytest.raises(StartError):
            reserve_port(HOST, shard.getsockname()[1], "websocket.port")


def test_a_unix_socket_at_which_somebody_listens_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        see_that_nobody_serves(path, "websocket.unix")  # it is there, and nobody answers
        other.listen()
        with pytest.raises(StartError, match=r"^websocket\.unix cannot use .* listens there"):
            see_that_nobody_serves(path, "websocket.unix")
        other.listen(0)  # it stands still: the first one waits yet, and there is no more room
        with pytest.raises(StartError):
            see_that_nobody_serves(path, "websocket.unix")
    see_that_nobody_serves(tmp_path / "nothing", "websocket.unix")


def test_an_address_that_is_not_ours_is_a_start_error() -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(StartError, match=r"websocket\.port cannot use"):
            reserve_port(host, 0, "websocket.port")


def test_a_free_port_is_not_kept() -> None:
    port = free_port(HOST, 0, "bus.port")
    with socket.socket() as sock:
        sock.bind((HOST, port))


SEND = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[2:]:
    sock.sendto(text.encode(), sys.argv[1])
"""


def test_notifications_come_with_the_pid_that_the_kernel_vouches_for(tmp_path: Path) -> None:
    notifications = Notifications(tmp_path)
    assert list(notifications.read()) == []
    child = subprocess.Popen(
        [sys.executable, "-c", SEND, str(notifications.path), "READY=1\nMAINPID=1", "WATCHDOG=1"]
    )
    assert child.wait(20) == 0
    assert list(notifications.read()) == [
        (child.pid, {"READY": "1", "MAINPID": "1"}),
        (child.pid, {"WATCHDOG": "1"}),
    ]
    notifications.close()
    assert not notifications.path.exists()


def test_whatever_bytes_come_as_a_notification_are_read(tmp_path: Path) -> None:
    (tmp_path / "notify").touch()
    notifications = Notifications(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for data in (b"\xff\xfe", b"", b"a=b=c", b"x" * 10_000):
            sock.sendto(data, str(notifications.path))
    assert list(notifications.read()) == [
        (os.getpid(), lines) for lines in ({}, {}, {"a": "b=c"}, {})
    ]
    notifications.close()


def wait_for_end(processes: Processes) -> list[tuple[str, int]]:
    """Until somebody has ended."""
    for _ in range(2000):
        if ended := processes.ended():
            return ended
        time.sleep(0.01)
    raise AssertionError("nobody ended")


CHILD = "import os, sys; sys.stdin.read(); print(1, file=open(os.environ['OUT'], 'w')); sys.exit(5)"


def test_a_child_has_the_environment_and_a_leash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TEST_INHERITED", "1")
    code = (
        "import os, sys; e = os.environ;"
        f"sys.exit([e.get('{LEASH}'), e['HUB_TEST_INHERITED'], e['X'], os.getsid(0) == os.getpid()]"
        "!= ['1', '1', '2', True])"
    )
    processes = Processes({"X": "2"})
    pid = processes.start("one", [sys.executable, "-c", code])
    assert pid > 0
    assert wait_for_end(processes) == [("one", 0)]
    assert processes.ended() == []


def test_a_child_sees_its_leash_end_when_its_parent_does(tmp_path: Path) -> None:
    out = tmp_path / "out"
    processes = Processes({"OUT": str(out)})
    processes.start("one", [sys.executable, "-c", CHILD])
    assert processes.ended() == []
    stdin = processes._running["one"].stdin
    assert stdin is not None
    stdin.close()
    assert wait_for_end(processes) == [("one", 5)]
    assert out.exists()


def test_a_child_that_was_killed_has_its_signal_as_code(tmp_path: Path) -> None:
    processes = Processes({"OUT": str(tmp_path / "out")})
    for name in ("one", "two"):
        processes.start(name, [sys.executable, "-c", CHILD])
    processes.signal("one", signal.SIGKILL)
    assert wait_for_end(processes) == [("one", -signal.SIGKILL)]
    processes.signal("one", signal.SIGTERM)  # it is gone; nobody else is hit
    processes.signal("two", signal.SIGKILL)
    assert wait_for_end(processes) == [("two", -signal.SIGKILL)]


def test_what_a_command_prints_is_told() -> None:
    """It stands in no project's folder, and has nothing to read."""
    code = "import os, sys; print(os.getcwd(), repr(sys.stdin.read()))"
    assert said_by([sys.executable, "-c", code], 30) == "/ ''\n"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys; sys.exit('no way')", "no way"),
        ("import os; os._exit(3)", "it ends with 3"),
        ("import time; time.sleep(60)", "it is not done after"),
    ],
)
def test_a_command_that_fails_is_told_in_its_own_words(code: str, problem: str) -> None:
    with pytest.raises(StartError, match=problem):
        said_by([sys.executable, "-c", code], 0.5 if "sleep" in code else 30)


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(StartError, match="No such file"):
        said_by(["/no/such/program"], 30)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as somebody else")
def test_root_runs_what_is_another_users_as_that_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_API_KEY", "a secret of root's")
    command = ["/bin/sh", "-c", "id -u; id -G; env | grep -c KEY"]
    with pytest.raises(StartError):  # grep found none
        said_by(command, 30, owner=12345)
    groups = os.getgroups()
    os.setgroups([0, 6])  # a machine may have given root none besides its own
    try:
        said = said_by([*command[:2], "id -u; id -G"], 30, owner=12345)
    finally:
        os.setgroups(groups)
    assert said.split() == ["12345", "12345"]
    assert said_by([*command[:2], "id -u"], 30).split() == ["0"]


_CLOSED = """
import os, pty, signal, sys
from hub.runtime.process import has_terminal
told, tell = os.pipe()
pid, terminal = pty.fork()
if not pid:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    os.write(tell, b"before: %d" % has_terminal())
    signal.sigwait([signal.SIGHUP])
    os.write(tell, b"after: %d" % has_terminal())
    os._exit(0)
print(os.read(told, 100).decode())
os.close(terminal)
print(os.read(told, 100).decode())
os.waitpid(pid, 0)
"""


def test_a_terminal_that_was_closed_is_not_there_any_more() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _CLOSED], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    assert said.splitlines() == ["before: 1", "after: 0"]
