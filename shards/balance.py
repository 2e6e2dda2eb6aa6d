"""Spreading clients evenly: all shards see each other's load, and hand over accepted sockets.

1. Every number in the shared table has one writer, so no lock is needed.
2. A shard's load counts what is on its way to it: clients it has, plus given, minus taken.
3. A socket is handed over before a byte of it is read; if that fails, it is kept.

The table is a file in the runtime directory, mapped by every shard: for N shards, N rows of
`[alive, clients, given to 0..N-1, taken from 0..N-1]`, each number 8 bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

from hub.core.placement import least_loaded

_ALIVE, _CLIENTS, _HEAD = 0, 1, 2
_WORD = 8
_MOST_FDS = 64


class Loads:
    """The shared table, seen by one shard."""

    def __init__(self, path: Path, shard: int, shards: int) -> None:
        self._me = shard
        self._shards = shards
        self._closed = False
        self._width = _HEAD + 2 * shards
        size = shards * self._width * _WORD
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        self._begin()

    def __repr__(self) -> str:
        return f"<Loads {self.all()} seen by {self._me}>"

    def all(self) -> list[int | None]:
        """The load of each shard, None for one that is not there."""
        return [self._load(shard) for shard in range(self._shards)]

    def add(self, clients: int) -> None:
        """This shard has more clients, or fewer."""
        if not self._closed:
            self._words[self._row(self._me) + _CLIENTS] += clients

    def gave(self, shard: int) -> None:
        """A socket is on its way to another shard."""
        self._words[self._given(self._me, shard)] += 1

    def took(self, shard: int) -> None:
        """A socket from another shard has arrived."""
        self._words[self._taken(self._me, shard)] += 1

    def close(self) -> None:
        """This shard takes no more."""
        self._closed = True
        self._words[self._row(self._me) + _ALIVE] = 0
        self._words.release()
        self._map.close()

    def _begin(self) -> None:
        """Nothing is left of an earlier life: no clients, nothing on its way here."""
        me, words = self._me, self._words
        for other in range(self._shards):
            words[self._taken(me, other)] = words[self._given(other, me)]
        words[self._row(me) + _CLIENTS] = 0
        words[self._row(me) + _ALIVE] = 1

    def _load(self, shard: int) -> int | None:
        words, row = self._words, self._row(shard)
        if not words[row + _ALIVE]:
            return None
        coming = sum(
            words[self._given(other, shard)] - words[self._taken(shard, other)]
            for other in range(self._shards)
        )
        return words[row + _CLIENTS] + coming

    def _row(self, shard: int) -> int:
        return shard * self._width

    def _given(self, shard: int, to: int) -> int:
        return self._row(shard) + _HEAD + to

    def _taken(self, shard: int, giver: int) -> int:
        return self._row(shard) + _HEAD + self._shards + giver


class Balance:
    """Decides who takes an accepted socket, gives it away and takes what is given.

    `adopt` is called with each socket that becomes this shard's; `watch` and `unwatch` are the
    loop's add_reader and remove_reader.
    """

    def __init__(
        self,
        runtime_dir: Path,
        shard: int,
        shards: int,
        *,
        adopt: Callable[[socket.socket], None],
        watch: Callable[..., None],
        unwatch: Callable[..., object],
    ) -> None:
        self._dir = runtime_dir
        self._me = shard
        self._adopt = adopt
        self._watch = watch
        self._unwatch = unwatch
        self._outward: dict[int, socket.socket] = {}
        self._inward: set[socket.socket] = set()
        self.loads = Loads(runtime_dir / f"loads-{shards}", shard, shards)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = self._path(shard)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(shards)
        self._listener.setblocking(False)
        watch(self._listener, self._meet)

    def place(self, sock: socket.socket) -> None:
        """Keep an accepted socket, or give it to the shard with the fewest clients."""
        taker = least_loaded(self.loads.all(), self._me)
        if taker == self._me or not self._give(taker, sock):
            self._adopt(sock)
        else:
            sock.close()

    def close(self) -> None:
        """Give and take no more."""
        for sock in (self._listener, *self._inward):
            self._unwatch(sock)
            sock.close()
        for sock in self._outward.values():
            sock.close()
        self.loads.close()

    def _path(self, shard: int) -> Path:
        return self._dir / f"handoff-{shard}"

    def _give(self, taker: int, sock: socket.socket) -> bool:
        for _ in range(2):  # the second time over a new connection, to a shard that was restarted
            way = self._outward.get(taker) or self._reach(taker)
            if way is None:
                return False
            try:
                socket.send_fds(way, [bytes((self._me,))], [sock.fileno()])
            except BlockingIOError:
                return False
            except OSError:
                self._outward.pop(taker).close()
            else:
                self.loads.gave(taker)
                return True
        return False

    def _reach(self, taker: int) -> socket.socket | None:
        way = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        way.setblocking(False)
        try:
            way.connect(str(self._path(taker)))
        except OSError:
            way.close()
            return None
        self._outward[taker] = way
        return way

    def _meet(self) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            self._inward.add(sock)
            self._watch(sock, self._take, sock)

    def _take(self, way: socket.socket) -> None:
        while True:
            try:
                giver, fds, _, _ = socket.recv_fds(way, 16, _MOST_FDS)
            except BlockingIOError:
                return
            except OSError:
                giver, fds = b"", []
            if not giver:
                self._unwatch(way)
                self._inward.discard(way)
                way.close()
                return
            self.loads.took(giver[0])
            for fd in fds:
                self._adopt(socket.socket(fileno=fd))
