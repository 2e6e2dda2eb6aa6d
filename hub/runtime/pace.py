"""A beat that keeps time to the microsecond, where the loop's own timers count milliseconds.

Linux's timerfd (timerfd_create(2)), which Python itself offers from 3.13 on.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_NONBLOCK = os.O_NONBLOCK
_CLOEXEC = os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Pace:
    """Calls `beat` at a steady pace; beats that come while it runs are one."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._fd = -1

    def __repr__(self) -> str:
        return f"<Pace {'set' if self._fd >= 0 else 'never set'}>"

    def set(self, every_ms: float) -> None:
        """Beat every so many milliseconds from now on; 0 ends it. Raises OSError."""
        if self._fd < 0:
            if not every_ms:
                return
            self._fd = _checked(_libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK | _CLOEXEC))
            self._loop.add_reader(self._fd, self._fire)
        seconds, ns = divmod(round(every_ms * 1e6), 10**9)
        every = _Timespec(seconds, ns)
        spec = _Itimerspec(every, every)
        _checked(_libc.timerfd_settime(self._fd, 0, ctypes.byref(spec), None))

    def close(self) -> None:
        """Beat no more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set anew since the loop looked
            return
        self._beat()


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
