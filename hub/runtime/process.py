"""Child processes, what they say of themselves, and the ports a hub is about to use."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from hub.core.errors import StartError
from hub.core.names import NOTIFY
from hub.runtime.log import STREAM, stream_name, to_journal
from hub.runtime.role import LEASH
from hub.runtime.stderr import Stderr

_CREDENTIALS_BYTES = 12  # pid, uid and gid as C ints: struct ucred of unix(7)


class Notifications:
    """The socket on which children say how they are, as they would to systemd."""

    def __init__(self, runtime_dir: Path) -> None:
        self.path = runtime_dir / NOTIFY
        self.path.unlink(missing_ok=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind(str(self.path))
        self._sock.setblocking(False)

    def fileno(self) -> int:
        """For the loop to watch."""
        return self._sock.fileno()

    def read(self) -> Iterator[tuple[int, dict[str, str]]]:
        """What has come: the sender's pid and its lines."""
        with suppress(BlockingIOError):
            while True:
                data, extra, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS_BYTES))
                lines = data.decode(errors="replace").splitlines()
                for _, kind, credentials in extra:
                    if kind == socket.SCM_CREDENTIALS:
                        pid = int.from_bytes(credentials[:4], sys.byteorder)
                        yield pid, dict(line.split("=", 1) for line in lines if "=" in line)

    def close(self) -> None:
        """Read no more."""
        self._sock.close()
        self.path.unlink(missing_ok=True)


class Processes:
    """The children of one process, by name. They have its stderr, unless what they write there goes
    through `stderr`."""

    def __init__(self, environment: Mapping[str, str], stderr: Stderr | None = None) -> None:
        self._stderr = stderr
        self._environment = {**os.environ, **environment, LEASH: "1"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> int:
        """Start a process on a leash; its pid. It hears no signals of the terminal."""
        stderr = self._stderr.open(name) if self._stderr else None
        journal = {} if stderr is None or not to_journal() else {STREAM: stream_name(stderr)}
        try:
            process = subprocess.Popen(  # noqa: S603  # the command is our own
                command, stdin=subprocess.PIPE, stderr=stderr, env=self._environment | journal,
                start_new_session=True,
            )  # fmt: skip
        finally:
            if stderr is not None:
                os.close(stderr)
        self._running[name] = process
        return process.pid

    def ended(self) -> list[tuple[str, int]]:
        """Those that have ended since this was last asked, with exit codes (-signal if killed)."""
        codes = [(name, process.poll()) for name, process in self._running.items()]
        gone = [(name, code) for name, code in codes if code is not None]
        for name, _ in gone:
            stdin = self._running.pop(name).stdin
            if stdin is not None:
                stdin.close()
        return gone

    def last_lines(self, name: str) -> tuple[str, ...]:
        """The last lines that a child has logged, in all its lives, as far as they are kept."""
        return self._stderr.last_lines(name) if self._stderr else ()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child that still runs."""
        process = self._running.get(name)
        if process is not None:
            process.send_signal(number)


def has_terminal() -> bool:
    """Whether there is a terminal that would end this process by being closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def said_by(command: Sequence[str], within_s: float, *, owner: int = 0) -> str:
    """What a command prints, run outside of any project's folder.

    Root runs what belongs to another user (`owner`, a uid) as that user, who gets nothing of root's
    groups and environment.
    Raises StartError with what went wrong: it cannot be run, it fails, or it takes too long.
    """
    other: dict[str, Any] = {}
    if owner and os.geteuid() == 0:
        other = {"user": owner, "group": _group(owner), "extra_groups": []}
        other["env"] = {"PATH": os.defpath}
    try:
        done = subprocess.run(  # noqa: S603  # the command is our own, or its program the owner's
            command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=within_s, check=False, **other,
        )  # fmt: skip
    except OSError as error:
        raise StartError(str(error.strerror)) from None
    except subprocess.TimeoutExpired:
        raise StartError(f"it is not done after {within_s:g} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ends with {done.returncode}"]
        raise StartError(last[0])
    return str(done.stdout)


def _group(uid: int) -> int:
    """A user's own group; one of that number where the user has no name."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def reserve_port(host: str, port: int, what: str) -> tuple[socket.socket, int]:
    """See that nobody listens on a port and keep it for children that share it.

    Returns the socket to hold on to, and the port (a free one for 0). Raises StartError that
    names who has it, as far as that can be seen.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            port = probe.getsockname()[1]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address[0], port, *address[2:]))
    except OSError as error:
        raise StartError(
            f"{what} cannot use {host}:{port}: {error.strerror}{_holder(port)}"
        ) from None
    return sock, port


def free_port(host: str, port: int, what: str) -> int:
    """A port that nobody listens on: this one, or any for 0. Raises StartError."""
    sock, port = reserve_port(host, port, what)
    sock.close()
    return port


def see_that_nobody_serves(path: Path, what: str) -> None:
    """Raises StartError when somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            pass  # somebody listens, and takes nobody just now
        except OSError:
            return
    raise StartError(f"{what} cannot use {path}: another process listens there")


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,):
                name = psutil.Process(connection.pid).name() if connection.pid else "a process"
                return f" ({name}, pid {connection.pid}, listens there)"
    return ""
