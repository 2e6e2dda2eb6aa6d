"""A time at which the kernel ends this process, whatever it is doing then.

For what must not be done a moment longer than is allowed: a loop that is held, a process that was
stopped and a machine that was suspended do not look at the clock. The end is SIGKILL's, because
that is the one signal which does not wait until a stopped process goes on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

_SIGEV_SIGNAL = 0
_TIMER_ABSTIME = 1
_SIGEVENT_BYTES = 64
_libc = ctypes.CDLL(None, use_errno=True)


class _Sigevent(ctypes.Structure):
    """sigevent(7); `rest` is for what is not asked for here."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * (_SIGEVENT_BYTES - ctypes.sizeof(ctypes.c_void_p) - 8)),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


def boottime_s() -> float:
    """Seconds of a clock that all processes of a machine share, that nobody sets, and that goes
    on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deadline:
    """The end of this process, as far as one is set. Raises OSError where the kernel has none."""

    def __init__(self) -> None:
        event = _Sigevent(signal=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        self._timer = ctypes.c_void_p()
        _checked(
            _function("timer_create")(
                time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer)
            )
        )
        self._settime = _function("timer_settime")

    def set(self, at_s: float) -> None:
        """End this process at a time of `boottime_s`; at once if that has passed."""
        seconds, fraction = divmod(max(at_s, 1e-9), 1)  # 0 would be no end
        self._arm(_Timespec(int(seconds), max(1, int(fraction * 1e9))))

    def clear(self) -> None:
        """Do not end it."""
        self._arm(_Timespec())

    def _arm(self, value: _Timespec) -> None:
        spec = _Itimerspec(_Timespec(), value)
        _checked(self._settime(self._timer, _TIMER_ABSTIME, ctypes.byref(spec), None))


def _function(name: str) -> Any:
    """A function of the C library, which before glibc 2.34 has those of timers beside it."""
    library = _libc if hasattr(_libc, name) else ctypes.CDLL("librt.so.1", use_errno=True)
    return getattr(library, name)


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
