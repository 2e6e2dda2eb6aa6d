"""The Unix socket for clients: each shard has one of its own, and one name leads to one of them.

1. `PATH.N` is that of shard N, `PATH` a link to that of a shard that takes clients. Who connects
   to `PATH` needs to know nothing of shards; whom that shard takes is spread over all of them.
2. When it takes nobody any more, because it is gone, stands still, is full or leaves, the first of
   those that do has the name lead to itself. One that leaves sees to that itself, before it does.
3. The name is changed in one step: at no time is there none.
4. What is there and is no socket and no link is somebody's file, and stays.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from hub.core.errors import StartError


class Door:
    """One shard's Unix socket, and its part in where the name leads. Raises StartError."""

    def __init__(self, path: Path, mode: int, shard: int, backlog: int) -> None:
        self._path = path
        self._me = shard
        self.listener = self._listen(mode, backlog)

    def __repr__(self) -> str:
        return f"<Door {self._path} of shard {self._me}, leads to {self._leads_to()}>"

    def tend(self, takes: Sequence[bool]) -> None:
        """See that the name leads to a shard that takes clients; `takes` says of each whether it
        does. Call it often."""
        now = self._leads_to()
        if now is not None and now < len(takes) and takes[now]:
            return
        if _first(takes) == self._me:
            self._lead_to(self._me)

    def leave(self, takes: Sequence[bool]) -> None:
        """This shard takes nobody any more: the name is to lead elsewhere, or is not needed. Who
        is at the listener already can still be taken. Another that leaves at the same time may
        have had it lead here meanwhile, so that is looked at again when this one's own is gone."""
        self._hand_over(takes)
        self._own(self._me).unlink(missing_ok=True)
        self._hand_over(takes)

    def _hand_over(self, takes: Sequence[bool]) -> None:
        if self._leads_to() != self._me:
            return
        other = _first(takes)
        if other is not None and other != self._me:
            self._lead_to(other)
            if self._own(other).exists():
                return
        self._path.unlink(missing_ok=True)

    def _own(self, shard: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{shard}")

    def _leads_to(self) -> int | None:
        """The shard that the name leads to; None when there is no such name."""
        try:
            name, _, shard = self._path.readlink().name.rpartition(".")
        except OSError:
            return None
        return int(shard) if name == self._path.name and shard.isdecimal() else None

    def _lead_to(self, shard: int) -> None:
        link = self._path.with_name(f"{self._path.name}.{self._me}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(self._own(shard).name)
        link.replace(self._path)

    def _listen(self, mode: int, backlog: int) -> socket.socket:
        own = self._own(self._me)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            for path in (self._path, own):
                if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
                    raise FileExistsError(0, f"{path} is there, and is no socket")
            own.unlink(missing_ok=True)
            sock.bind(str(own))
            own.chmod(mode)
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            why = error.strerror or str(error)
            advice = "; make its folder first" if isinstance(error, FileNotFoundError) else ""
            raise StartError(
                f"websocket.unix: clients cannot be served on {self._path}: {why}{advice}"
            ) from None
        sock.setblocking(False)
        return sock


def _first(takes: Sequence[bool]) -> int | None:
    """The first shard that takes clients."""
    return next((shard for shard, does in enumerate(takes) if does), None)
