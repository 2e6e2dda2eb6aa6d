"""Where a hub keeps its sockets and locks, and who may look there."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hub.core.errors import StartError
from hub.core.settings import Settings

_LONGEST_SOCKET_PATH = 107
_LONGEST_NAME = 20


def runtime_dir(settings: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """The runtime directory of these settings, whether or not it exists.

    Hubs of one user that serve different checkouts of OpenAlgo have different ones.
    """
    if settings.hub.runtime_dir:
        return Path(settings.hub.runtime_dir)
    if environ.get("RUNTIME_DIRECTORY"):  # set by systemd's RuntimeDirectory=
        return Path(environ["RUNTIME_DIRECTORY"].split(":")[0])
    usual = _usual(environ)
    checkout = settings.openalgo.path
    return usual.with_name(f"{usual.name}-{_mark(checkout)}") if checkout else usual


def instances(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The runtime directories that hubs of this user with a checkout have had and may have."""
    usual = _usual(environ)
    pattern = re.compile(re.escape(usual.name) + r"-[0-9a-f]{8}")
    try:
        found = [path for path in usual.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(path for path in found if _ours(path))


def make_runtime_dir(settings: Settings) -> Path:
    """Make the runtime directory if need be and see that it is ours alone.

    Raises StartError with a sentence that says what to do.
    """
    path = runtime_dir(settings)
    if len(os.fsencode(path)) + _LONGEST_NAME > _LONGEST_SOCKET_PATH:
        raise StartError(
            f"the runtime directory {path} has too long a name for sockets; "
            "set hub.runtime_dir to a shorter one"
        )
    try:
        if path.is_symlink():
            raise StartError(
                f"the runtime directory {path} is a symbolic link, perhaps somebody else's; "
                "remove it, or set hub.runtime_dir to the directory itself"
            )
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise StartError(
            f"the runtime directory {path} cannot be made: {error.strerror}; "
            "set hub.runtime_dir to one you may write"
        ) from None
    if found.st_uid != os.getuid():
        raise StartError(
            f"the runtime directory {path} belongs to another user; "
            "set hub.runtime_dir to one of your own"
        )
    if found.st_mode & 0o077:
        raise StartError(f"others may enter the runtime directory {path}; run `chmod 700 {path}`")
    if not os.access(path, os.W_OK | os.X_OK):
        raise StartError(
            f"the runtime directory {path} may not be written; "
            "set hub.runtime_dir to one you may write"
        )
    return path


def shut(path: Path, user: str) -> Path | None:
    """The first folder on the way to `path` that this user may not enter, None when the way is
    free; a link's way is its own and that of what it leads to. Only owner, groups and others are
    looked at, not what else a file system may say. A user who is yet to be made owns nothing."""
    try:
        who = pwd.getpwnam(user)
        uid, groups = who.pw_uid, set(os.getgrouplist(user, who.pw_gid))
    except KeyError:
        uid, groups = -1, set()
    ways = (path.absolute(), Path(os.path.realpath(path)))
    for folder in dict.fromkeys(folder for way in ways for folder in reversed(way.parents)):
        found = folder.stat()
        if uid in {0, found.st_uid}:
            needed = found.st_mode & stat.S_IXUSR or uid == 0
        elif found.st_gid in groups:
            needed = found.st_mode & stat.S_IXGRP
        else:
            needed = found.st_mode & stat.S_IXOTH
        if not needed:
            return folder
    return None


def _usual(environ: Mapping[str, str]) -> Path:
    """Where a hub is that nobody has told where to be."""
    if environ.get("XDG_RUNTIME_DIR") and Path(environ["XDG_RUNTIME_DIR"]).is_dir():
        return Path(environ["XDG_RUNTIME_DIR"]) / "shardhub"
    return Path(tempfile.gettempdir()) / f"shardhub-{os.getuid()}"


def _mark(checkout: str) -> str:
    """Tells one checkout from another, by its real path."""
    return hashlib.sha256(os.fsencode(os.path.realpath(checkout))).hexdigest()[:8]


def _ours(path: Path) -> bool:
    """Whether it is a directory that nobody else may enter; among the temporary ones it may not."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def place(environ: Mapping[str, str], systemd: str, xdg: tuple[str, str], machine: str) -> Path:
    """The hub's directory for one kind of files.

    systemd's directory for this service, by the variable `systemd`; else that of this user, by the
    variable of `xdg` or its place below the home; else, for a user without a home, the machine's.
    """
    given = environ.get(systemd, "").partition(":")[0]
    if given:
        return Path(given)
    variable, usual = xdg
    base = Path(environ.get(variable, ""))
    if not base.is_absolute():  # the XDG specification: a relative one counts as none
        home = environ.get("HOME")
        base = Path(home, usual) if home else Path(machine)
    return base / "shardhub"
