"""`hub stop`: ends the hub that holds the lock of a runtime directory, and no one else.

The lock is the file `hub.lock`: its supervisor holds a flock(2) on it and has written its pid
into it. Who is signalled is held by a pidfd before the lock is looked at for the last time, so a
pid that has meanwhile passed to another process is never hit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import click

from cli.options import config_option, hub_dir, lines, runtime_option
from cli.terminal import console
from hub.core.errors import HubError, NotRunning
from hub.core.names import LOCK

_LOCKS = Path("/proc/locks")
_PATIENCE_S = 30.0
_LOOK_S = 0.1


@click.command(
    epilog=lines("Examples:", "hub stop", "hub stop --runtime-dir /run/user/1000/second-hub")
)
@config_option
@runtime_option
def stop(*, config_file: Path | None, runtime_dir: Path | None) -> None:
    """Stop the hub that runs here, and wait until it is gone.

    Clients are told that the hub is going away, what is pending is sent, then its processes
    leave. A hub under systemd is stopped by `systemctl stop hub.target`.
    """
    directory = hub_dir(runtime_dir, config_file)
    pid = holder(directory)
    if pid is None:
        raise NotRunning(f"no hub runs at {directory}")
    _terminate(directory, pid)
    _wait(pid, lambda: holder(directory) == pid)
    click.echo(f"The hub at {directory} has stopped (pid {pid}).")


def holder(runtime_dir: Path) -> int | None:
    """The pid of the supervisor that holds the lock, None when nobody does.

    Raises HubError when the lock is held but who holds it cannot be told.
    """
    path = runtime_dir / LOCK
    try:
        with path.open("rb") as file:
            if _is_free(file.fileno()):
                return None
            said, seen = file.read(32).strip(), _seen(file.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HubError(
            f"{path} cannot be read: {error.strerror}; stop the hub as the user who started it"
        ) from None
    pid = int(said) if said.isdigit() else 0
    if not pid or (seen and pid not in seen):
        raise HubError(f"a hub is just starting or leaving at {runtime_dir}; try again")
    return pid


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _seen(fd: int) -> set[int]:
    """Who holds a flock on this file as the kernel tells; empty where it does not."""
    status = os.fstat(fd)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError):
        rows = [line.split() for line in _LOCKS.read_text(encoding="ascii").splitlines()]
        return {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == device}
    return set()


def _terminate(runtime_dir: Path, pid: int) -> None:
    """Send SIGTERM to this process, provided that it holds the lock."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        raise NotRunning(f"the hub at {runtime_dir} has just left (pid {pid})") from None
    try:
        if holder(runtime_dir) != pid:
            raise NotRunning(f"the hub at {runtime_dir} has just left (pid {pid})")
        signal.pidfd_send_signal(fd, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has left by itself
    except PermissionError:
        raise HubError(
            f"the hub belongs to another user (pid {pid}); stop it as that one"
        ) from None
    finally:
        os.close(fd)


def _wait(pid: int, there: Callable[[], bool]) -> None:
    """Wait until it is gone; raises HubError when that takes too long."""
    deadline_s = time.monotonic() + _PATIENCE_S
    with _progress(f"stopping the hub (pid {pid})"):
        while there():
            if time.monotonic() > deadline_s:
                raise HubError(
                    f"the hub has not stopped within {_PATIENCE_S:g} s; "
                    f"look at pid {pid}, or end it with `kill -KILL {pid}`"
                )
            time.sleep(_LOOK_S)


def _progress(text: str) -> contextlib.AbstractContextManager[object]:
    screen = console(err=True)
    return screen.status(text) if screen.is_terminal else contextlib.nullcontext()
