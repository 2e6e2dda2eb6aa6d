"""Spreading clients: a socket goes to the shard that has the fewest, or to one that is packed.

1. A socket is handed over before a byte of it is read; if that fails, it is kept.
2. Who gives keeps the taker's end of the way as well. What nobody took, it takes back: the kernel
   gives each socket to one reader, so it has one owner at any time.
3. Each shard knows the listeners of the others. While one stands still or has no room, and when one
   has ended, the others take the clients that wait at its door, some at each beat.
4. Without a free descriptor nothing is taken from a way: it stays there, and its giver has it.

Shards meet by a datagram each way, `[shard, life]` with two descriptors: the end of a way on which
the sender will give sockets, and its listener. A way that ends says that its giver has ended.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub.core.placement import Packing, taker
from hub.runtime.log import log
from shards.loads import BEAT_S, STALE_S, Loads, Shares

_HELLO = struct.Struct("<BQ")
_BATCH = 100
_ALL = 1 << 16


@dataclass(slots=True, eq=False)
class _Peer:
    """Another shard in one of its lives: the way to it, both ends, and its listener."""

    life: int
    way: socket.socket
    far: socket.socket
    door: socket.socket | None = None
    taken: int = 0
    idle: int = 0

    def close(self) -> None:
        """Nothing is given on this way any more."""
        for sock in (self.way, self.far, self.door):
            if sock is not None:
                sock.close()


class Balance:
    """Decides who takes an accepted socket, gives it away and takes what is given.

    `adopt` is called with each socket that becomes this shard's, `accept` with another's listener
    at which clients may wait and how many to take (it says whether none is left there), `full` with
    the error when no descriptor is left; `ready` says whether another client may be taken now;
    `watch` and `unwatch` are the loop's add_reader and remove_reader; `at_doors` is how many are
    taken at the doors of others each beat; without `packing` clients are spread evenly. Call `tend`
    every BEAT_S.
    """

    def __init__(
        self,
        runtime_dir: Path,
        shard: int,
        shards: int,
        door: socket.socket,
        *,
        adopt: Callable[[socket.socket], None],
        accept: Callable[[socket.socket, int], bool],
        full: Callable[[OSError], None],
        watch: Callable[..., None],
        unwatch: Callable[..., object],
        ready: Callable[[], bool] = lambda: True,
        at_doors: int = _BATCH,
        packing: Packing | None = None,
    ) -> None:
        self._dir = runtime_dir
        self._me = shard
        self._shards = shards
        self._door = door
        self._adopt = adopt
        self._accept = accept
        self._full = full
        self._watch = watch
        self._unwatch = unwatch
        self._ready = ready
        self._at_doors = at_doors
        self._peers: dict[int, _Peer] = {}
        self._ways: dict[socket.socket, tuple[int, int]] = {}
        self._orphans: list[socket.socket] = []
        self._packing = packing
        self._paused = self._held = self._crowded = self._retired = False
        self._turns = 0
        self.lost = 0
        self.loads = Loads(runtime_dir / f"loads-{shards}", shard, shards)
        self.shares = Shares(runtime_dir / f"shares-{shards}", shard, shards)
        self._post = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self._path(shard)
        path.unlink(missing_ok=True)
        self._post.bind(str(path))
        self._post.setblocking(False)
        watch(self._post, self._meet)
        self.tend()

    def place(self, sock: socket.socket) -> None:
        """Keep an accepted socket, or give it to the shard whose turn it is."""
        self.loads.beat()
        whose = taker(self.loads.all(), self.shares.all(), self._me, self._packing)
        if whose == self._me or not self._give(whose, sock):
            self._adopt(sock)
        else:
            sock.close()

    def tend(self) -> None:
        """Beat; take over from those who take nobody; meet those who have come."""
        self.loads.beat()
        self.shares.measure(time.monotonic(), time.process_time())
        for other, load in enumerate(self.loads.all()):
            peer = self._peers.get(other)
            if other == self._me:
                continue
            if load is None:
                if peer:
                    self._take_back(other, peer)
            elif peer is None:
                self._introduce(other)
            elif self._is_stuck(other, peer):
                self._take_back(other, peer)
                self._say_hello(other, peer)
        self._go_round()

    def pause(self) -> None:
        """There is no descriptor: take nothing for now, and say so."""
        if not self._paused:
            self._paused = True
            self._say()
            for sock in (self._post, *self._ways):
                self._unwatch(sock)

    def resume(self) -> None:
        """Take again."""
        if self._paused:
            self._paused = False
            self._say()
            self._watch(self._post, self._meet)
            self._look_at(*self._ways)

    def crowd(self, *, full: bool) -> None:
        """Whether this shard has no room for another client. Others take its clients then, also
        those at its door; while they are full as well it keeps whom it gets."""
        if full != self._crowded:
            self._crowded = full
            self._say()

    def hold(self) -> None:
        """Leave what others give where it is, for a moment: this shard takes clients all the
        same."""
        if not self._held:
            self._held = True
            for way in self._ways:
                self._unwatch(way)

    def release(self) -> None:
        """The moment is over."""
        if self._held:
            self._held = False
            self._look_at(*self._ways)

    def take(self) -> None:
        """Take what others give, of each in turn first."""
        self._turns += 1
        ways = list(self._ways)
        start = self._turns % len(ways) if ways else 0
        for way in (*ways[start:], *ways[:start]):
            if way in self._ways:
                self._take(way)

    def retire(self) -> None:
        """Take no new clients from now on; those that come all the same are given to others."""
        self._retired = True
        self._say()
        for way in list(self._ways):
            self._take(way)
        for door in self._orphans:
            self._accept(door, _ALL)
            door.close()
        self._orphans.clear()

    def close(self) -> None:
        """Give and take no more."""
        for way in list(self._ways):
            self._take(way)
        for other in list(self._peers):
            self._peers.pop(other).close()
        for sock in (self._post, *self._ways):
            self._unwatch(sock)
            sock.close()
        for door in self._orphans:
            door.close()
        self._ways.clear()
        self._orphans.clear()
        self.loads.close()
        self.shares.close()

    def _say(self) -> None:
        self.loads.serve(willing=not (self._paused or self._crowded or self._retired))

    def _look_at(self, *ways: socket.socket) -> None:
        """Take what comes on these ways, unless there is a reason not to."""
        if not self._paused and not self._held:
            for way in ways:
                self._watch(way, self._take, way)

    # Meeting.

    def _path(self, shard: int) -> Path:
        return self._dir / f"handoff-{shard}"

    def _introduce(self, other: int) -> None:
        """Make a way to another shard and tell it, if it is there to be told."""
        life = self.loads.life(other)
        try:
            way, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # no descriptor: at the next beat
            return
        way.setblocking(False)
        far.setblocking(False)
        peer = _Peer(life, way, far, taken=self.loads.on_the_way(other)[1])
        if self._say_hello(other, peer):
            self._peers[other] = peer
        else:
            peer.close()

    def _say_hello(self, other: int, peer: _Peer) -> bool:
        fds = array.array("i", [peer.far.fileno(), self._door.fileno()])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        hello = _HELLO.pack(self._me, self.loads.life(self._me))
        try:
            self._post.sendmsg([hello], rights, 0, str(self._path(other)))
        except OSError:  # not there yet, or it does not read: at the next beat
            return False
        return True

    def _meet(self) -> None:
        """Others say who they are."""
        while self._has_room(2):
            try:
                data, fds, _, _ = socket.recv_fds(self._post, _HELLO.size + 1, 2)
            except BlockingIOError:
                return
            if len(data) != _HELLO.size or len(fds) != 2:  # it will say so again
                for fd in fds:
                    os.close(fd)
                continue
            other, life = _HELLO.unpack(data)
            self._greet(other, life, *(socket.socket(fileno=fd) for fd in fds))

    def _greet(self, other: int, life: int, way: socket.socket, door: socket.socket) -> None:
        way.setblocking(False)
        door.setblocking(False)
        self._ways[way] = other, life
        self._look_at(way)
        before = self._peers.get(other)
        if before is None or before.life != life:
            self._peers.pop(other, None)
            self._introduce(other)
        if before is not None and before.life != life:
            self._part(other, before)
        peer = self._peers.get(other)
        if peer is not None and peer.door is None:
            peer.door = door
        else:
            door.close()

    def _part(self, other: int, peer: _Peer) -> None:
        """A life of another shard is over: what was on its way to it is taken, and so is, a part at
        a time, what waits at its door. A storm may have left thousands there."""
        self._take_back(other, peer)
        self.loads.settle(other)
        if peer.door is not None:
            self._orphans.append(peer.door)
            peer.door = None
        peer.close()
        self._go_round()

    def _go_round(self) -> None:
        """Take clients at the doors of those who take none: a part of them at each, so that it
        takes no longer however many doors there are."""
        loads = self.loads.all()
        doors = [
            peer.door
            for other, peer in self._peers.items()
            if peer.door is not None and loads[other] is None
        ]
        each = max(1, self._at_doors // max(1, len(doors) + len(self._orphans)))
        if self._retired:
            each = _ALL
        for door in doors:
            self._accept(door, each)
        for door in list(self._orphans):
            if self._accept(door, each):
                self._orphans.remove(door)
                door.close()

    # Giving.

    def _give(self, taker: int, sock: socket.socket) -> bool:
        peer = self._peers.get(taker)
        if peer is None:
            return False
        try:
            socket.send_fds(peer.way, [b"s"], [sock.fileno()])
        except OSError:
            return False
        self.loads.gave(taker)
        return True

    def _take_back(self, other: int, peer: _Peer) -> None:
        """Place anew what was given to a shard that has not taken it."""
        found = []
        while self._has_room(1):
            try:
                _, fds, _, _ = socket.recv_fds(peer.far, 1, 1)
            except OSError:
                break
            found += fds
            self.loads.gave(other, -1)
        for fd in found:
            self.place(socket.socket(fileno=fd))

    def _is_stuck(self, other: int, peer: _Peer) -> bool:
        """Whether a shard that is there takes nothing of what it is given."""
        waiting, taken = self.loads.on_the_way(other)
        peer.idle = peer.idle + 1 if waiting > 0 and taken == peer.taken else 0
        peer.taken = taken
        return peer.idle * BEAT_S > STALE_S

    # Taking.

    def _take(self, way: socket.socket) -> None:
        shard, life = self._ways[way]
        for _ in range(_BATCH):
            if not (self._ready() and self._has_room(1)):
                return
            try:
                data, fds, _, _ = socket.recv_fds(way, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._ended(way, shard, life)
                return
            self.loads.took(shard)
            if not fds:  # the kernel had no descriptor for it after all: MSG_CTRUNC
                self.lost += 1
                log.error("a client from shard %d was lost: no descriptor was left", shard)
            for fd in fds:
                self._take_in(socket.socket(fileno=fd))

    def _take_in(self, sock: socket.socket) -> None:
        """What is given is kept; one that takes nobody any more passes it on, if it can."""
        if self.loads.all()[self._me] is None:
            self.place(sock)
        else:
            self._adopt(sock)

    def _ended(self, way: socket.socket, shard: int, life: int) -> None:
        """A giver has ended, unless it has made another way, which it says first."""
        self._unwatch(way)
        del self._ways[way]
        way.close()
        self._meet()
        peer = self._peers.get(shard)
        if peer is not None and peer.life == life and (shard, life) not in self._ways.values():
            del self._peers[shard]
            self._part(shard, peer)

    def _has_room(self, descriptors: int) -> bool:
        """Whether so many descriptors are free; if not, the gateway is told."""
        spare: list[int] = []
        try:
            spare.extend(os.dup(self._post.fileno()) for _ in range(descriptors))
        except OSError as error:
            self._full(error)
            return False
        finally:
            for fd in spare:
                os.close(fd)
        return True
