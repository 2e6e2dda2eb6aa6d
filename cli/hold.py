"""How a command tells a process to leave and nobody else: it is held by a pidfd before it is looked
at again, so a pid that has passed to another process is never hit."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator

from hub.core.errors import HubError


@contextlib.contextmanager
def held(pid: int, still: Callable[[], bool], gone: HubError) -> Iterator[int]:
    """A pidfd of a process. Raises `gone` when it has left, or when, while it is held, it is not
    `still` the one that is meant."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise gone from None
    try:
        if not still():
            raise gone
        yield fd
    finally:
        os.close(fd)


def terminate(fd: int, pid: int) -> None:
    """Tell it to leave, even if it is stopped (Ctrl-Z)."""
    try:
        for number in (signal.SIGTERM, signal.SIGCONT):
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return  # it has left by itself
    except PermissionError:
        raise HubError(
            f"the hub belongs to another user (pid {pid}); type this as that one"
        ) from None


def has_left(fd: int, within_s: float) -> bool:
    """Wait until it has left; whether it has."""
    return bool(select.select([fd], [], [], within_s)[0])
