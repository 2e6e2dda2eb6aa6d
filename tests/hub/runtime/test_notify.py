"""sd_notify, to sockets of both kinds and to nobody."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hub.runtime.notify import leaving, notify


@pytest.fixture
def sock() -> socket.socket:
    """A datagram socket."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def test_nobody_listens_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


def test_nobody_listens_where_there_is_no_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    assert not notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_the_lines_come_as_one_datagram(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sock: socket.socket, abstract: bool
) -> None:
    name = f"@hub-test-{tmp_path.name}" if abstract else str(tmp_path / "n")
    with sock:
        sock.bind(name.replace("@", "\0") if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1", "STATUS=shard-2 is ready")
        assert sock.recv(1000) == b"READY=1\nSTATUS=shard-2 is ready"


def test_a_full_socket_makes_nobody_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sock: socket.socket
) -> None:
    with sock:
        sock.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        for _ in range(100_000):
            if not notify("WATCHDOG=1"):
                break
        else:
            raise AssertionError("the socket never filled up")


def test_who_leaves_asks_for_a_little_more_time_than_it_takes() -> None:
    assert leaving(3.5) == ("STOPPING=1", "EXTEND_TIMEOUT_USEC=5500000")
