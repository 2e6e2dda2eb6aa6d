"""The lock of a hub: held by its supervisor, and who that is as the kernel tells.

1. It is a record lock (fcntl(2), F_SETLK), which belongs to a process: children do not inherit it,
   and the kernel lets it go when the process ends, however that is.
2. Who holds it is asked of the kernel (F_GETLK). No pid is written anywhere, so none is ever stale.
3. A process loses such a lock when it closes any descriptor of the file: the supervisor opens the
   file here and nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from hub.core.errors import StartError
from hub.core.names import LOCK

_FLOCK = "hhqqi4x"  # type, whence, start, length, pid: struct flock of fcntl(2), Linux, 64 bit


class Lock:
    """Held for as long as a hub runs at this runtime directory. Raises StartError when one does."""

    def __init__(self, runtime_dir: Path) -> None:
        self._file = (runtime_dir / LOCK).open("a+b")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = _holder(self._file.fileno()) or "?"
            self._file.close()
            raise StartError(
                f"a hub runs already at {runtime_dir} (pid {pid}); "
                "stop it with `hub stop`, or set hub.runtime_dir for a second one"
            ) from None

    def release(self) -> None:
        """The hub is gone."""
        self._file.close()


def holder(runtime_dir: Path) -> int | None:
    """The pid of the process that holds the lock, None when nobody does.

    0 when it cannot be seen from here (another pid namespace). Raises OSError when the file cannot
    be read. Not for the process that holds the lock (rule 3).
    """
    try:
        fd = os.open(runtime_dir / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(0, pid)
