"""A file that only its owner can read, changed as a whole or not at all.

1. One that others can read, or that someone else owns, is not used.
2. A change is made under a lock, and what is written replaces the whole file or nothing of it.
3. Reading needs no lock: a reader has the file from before a change or the one from after it.

Every error is a KeyStoreError with a sentence for the person at the terminal.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from hub.core.errors import KeyStoreError


class Stamp(NamedTuple):
    """Tells one state of a file from another; the change time also sees a chmod or chown."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


class OwnFile:
    """The file at `path`, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<OwnFile {self.path}>"

    def stamp(self) -> Stamp | None:
        """The stamp as it is now, from one stat; None when there is no file."""
        with _sentences(self.path, "read"):
            try:
                return _stamp(self.path.stat())
            except FileNotFoundError:
                return None

    def read(self) -> tuple[Stamp, bytes] | None:
        """The content, with the stamp that belongs to it; None when there is no file."""
        with _sentences(self.path, "read"):
            try:
                # A pipe put in the file's place must not hang the reader.
                fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
            with os.fdopen(fd, "rb") as file:
                status = os.fstat(fd)
                _check_safe(self.path, status)
                return _stamp(status), file.read()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of this file; its directory is made (0700) if missing.

        The lock is a file of its own, which stays. Were it the file itself, a rename would
        leave those who wait with the lock of the old one.
        """
        path = self.path.resolve()
        with _sentences(path, "changed"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def replace(self, content: bytes) -> None:
        """Put `content` in the file, durably; on an error the old one stays. Needs `alone`."""
        path = self.path.resolve()  # a link stays a link
        new = path.with_name(f".{path.name}.new")
        with _sentences(path, "written"):
            new.unlink(missing_ok=True)  # left by one that died
            try:
                _write(new, content)
                new.replace(path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            _sync_directory(path.parent)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)  # whatever the umask took away
        file.write(content)
        file.flush()
        os.fsync(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_safe(path: Path, status: os.stat_result) -> None:
    """Rule 1, asked of the file that is open and not of its name."""
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(f"{path} is not a file; move it away")
    if status.st_uid != os.geteuid():
        raise KeyStoreError(_not_ours(path, status.st_uid))
    if status.st_mode & 0o077:
        raise KeyStoreError(
            f"{path} is open to other users; type `chmod 600 {shlex.quote(str(path))}`"
        )


def _not_ours(path: Path, owner: int) -> str:
    theirs, ours = _user(owner), _user(os.geteuid())
    advice = f"`sudo chown {ours} {shlex.quote(str(path))}` to make it yours"
    if os.geteuid() == 0:
        advice = f"`sudo -u {shlex.quote(theirs)} hub ...` to act as that user"
    return f"{path} belongs to {theirs}, not to {ours}; type {advice}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


@contextmanager
def _sentences(path: Path, verb: str) -> Iterator[None]:
    """Turn what the operating system says into a KeyStoreError."""
    try:
        yield
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else path
        if isinstance(error, PermissionError):
            with suppress(OSError):
                if (owner := where.stat().st_uid) != os.geteuid():
                    raise KeyStoreError(_not_ours(where, owner)) from error
        raise KeyStoreError(f"{path} cannot be {verb}: {error.strerror} ({where})") from error
