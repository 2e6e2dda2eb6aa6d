"""Who listens on a port of this machine, as far as this user may see."""

from __future__ import annotations

import contextlib
import os
import pwd
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import psutil

_HUB = ("hub.", "shards.")


class Kind(StrEnum):
    """What a process is to a hub that wants its port."""

    OPENALGO = "openalgo"
    HUB = "hub"
    OTHER = "other"
    UNSEEN = "unseen"


class Holder(NamedTuple):
    """A process that listens: its pid (0 when it cannot be seen), its name, its user. Of a hub also
    its checkout and its runtime directory; None where they cannot be seen, empty for no checkout.
    """

    kind: Kind
    pid: int = 0
    name: str = ""
    user: str = ""
    checkout: str | None = None
    runtime_dir: str | None = None


def holder(port: int, checkout: Path) -> Holder | None:
    """Who has a port, whatever the address; None for nobody. A process that runs in the checkout is
    OpenAlgo's: its proxy, or its page's process that has it inside.
    """
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,):
                return _look(connection.pid, checkout)
    return None


def user_name(uid: int) -> str:
    """The name of a user, or words for one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def is_hub(command: list[str]) -> bool:
    """Whether it is the command line of one of a hub's processes."""
    module = command[command.index("-m") + 1 :][:1] if "-m" in command else []
    return bool(module) and module[0].startswith(_HUB)


def _look(pid: int | None, checkout: Path) -> Holder:
    if not pid:
        return Holder(Kind.UNSEEN)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name, user = process.name(), user_name(process.uids().effective)
            if is_hub(process.cmdline()):
                return Holder(Kind.HUB, pid, name, user, *_of_hub(process))
            inside = os.path.realpath(process.cwd()) == str(checkout)
    except (psutil.Error, OSError):
        return Holder(Kind.UNSEEN, pid)
    return Holder(Kind.OPENALGO if inside else Kind.OTHER, pid, name, user)


def _of_hub(process: psutil.Process) -> tuple[str | None, str | None]:
    """Its checkout and its runtime directory, by the environment that all of its processes get."""
    try:
        variables = process.environ()
    except (psutil.Error, OSError):
        return None, None
    return variables.get("HUB_OPENALGO_PATH", ""), variables.get("HUB_RUNTIME_DIR") or None
