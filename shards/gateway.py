"""The door for clients: listening, spreading accepted sockets, looking after connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from hub.auth.verifier import Grant
from hub.core.errors import StartError
from hub.core.liveness import Awake
from hub.core.placement import Packing
from hub.core.settings import Settings, Websocket
from hub.runtime.log import Seldom
from shards import protocol
from shards.balance import Balance
from shards.connection import RESETTLED, RESTART, Connection
from shards.door import Door
from shards.guests import Guests
from shards.handshake import NONE_SECURE
from shards.intake import Intake, room_for
from shards.loads import BEAT_S
from shards.marks import Mark
from shards.secure import Secure
from shards.session import Session
from shards.tally import Tally

_BACKLOG = 4096
_BATCH = 100
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REST_S = 0.5
_ENDLESS = 1 << 30
"""Descriptors of a process that may have any number."""

_HELD_S = 0.01
"""How often one that leaves looks whether its clients are still held."""

_MANY = 1000
"""So many clients, or more, are sent away over all of websocket.drain_s; fewer over less."""


class Gateway:
    """All connections of one shard."""

    def __init__(
        self,
        shard: int,
        settings: Settings,
        runtime_dir: Path,
        make_session: Callable[[Connection], Session],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._make_session = make_session
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._seldom = Seldom()
        self._empty = asyncio.Event()
        self._resting: asyncio.TimerHandle | None = None
        self._pausing: asyncio.TimerHandle | None = None
        self._ways_first = False
        self._clock = self._loop.time
        self._awake = Awake()
        self.holding = False
        self.leaving = False
        self.accepted = 0
        self.refused = 0
        self.stalled = 0
        self._conflated = 0
        websocket = settings.websocket
        self._listener = _listen(websocket.host, websocket.port)
        self._door = _door(websocket, shard)
        self._listeners = [self._listener, *([self._door.listener] if self._door else [])]
        self.intake = Intake(websocket.accept_rate, _room(settings.hub.shards), self._clock())
        self._mark = Mark(websocket.outbox_bytes, websocket.shard_outbox_bytes)
        self._balance = Balance(
            runtime_dir,
            shard,
            settings.hub.shards,
            self._listener,
            adopt=self._adopt,
            accept=self._accept_at_door,
            full=self._rest,
            ready=self._is_ready,
            at_doors=self.intake.at_doors(BEAT_S),
            watch=self._loop.add_reader,
            unwatch=self._loop.remove_reader,
            packing=_packing(settings.websocket),
        )
        loads = self._balance.loads
        self.guests = Guests(
            settings.websocket,
            Tally(
                runtime_dir / f"tally-{settings.hub.shards}",
                shard,
                settings.hub.shards,
                loads.present,
            ),
            loads.total,
        )
        self._open_up()
        self._tend_door()
        self._beating = self._loop.call_later(BEAT_S, self._beat)

    def __len__(self) -> int:
        return len(self._connections)

    def __repr__(self) -> str:
        return f"<Gateway {len(self)} connections, {self.accepted} accepted>"

    @property
    def connections(self) -> Collection[Connection]:
        """All that are here."""
        return self._connections

    def now_s(self) -> float:
        """The time by which clients are judged; it stands still while this process does."""
        return self._awake.look(self._clock())

    @property
    def high_bytes(self) -> int:
        """How much a connection may leave unsent before its ticks are conflated."""
        return self._mark.bytes

    def joined(self, connection: Connection) -> None:
        """A connection has begun."""
        self._connections.add(connection)
        self._fit()

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        self._conflated += _conflated(connection)
        self._fit()
        self._gone()
        if not self._connections:
            self._empty.set()

    def secure(self, tls: ssl.SSLContext) -> None:
        """Show clients that come from now on another certificate."""
        self._tls = tls

    def tend(self) -> None:
        """Once a second: deadlines, keep-alive and stalled clients. After a pause of this process
        nobody is judged until what came meanwhile has been read."""
        if self._awake.pause(self._clock()).read_first:
            return
        now_s = self.now_s()
        for connection in list(self._connections):
            if now_s >= connection.due_s:
                connection.tend(now_s)

    def recheck(self, stands: Callable[[Grant], bool]) -> None:
        """API keys have changed: end the sessions of those that were revoked."""
        for connection in list(self._connections):
            if connection.session is not None:
                connection.session.recheck(stands)

    def resettle(self) -> None:
        """A feed has come: clients that were given another, since theirs was not here, connect
        again, and are given theirs."""
        misplaced = [one for one in self._connections if _is_misplaced(one)]
        if misplaced:
            task = self._loop.create_task(self._move(misplaced))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _move(self, connections: Sequence[Connection]) -> None:
        """Each at its turn, evenly, as in a drain; one for which it is still so."""
        pause_s = self._settings.websocket.drain_s / max(_MANY, len(connections))
        for connection in connections:
            await asyncio.sleep(pause_s)
            if self.leaving:
                return
            if _is_misplaced(connection):
                connection.part(protocol.SERVICE_RESTART, RESETTLED)

    def hold(self) -> None:
        """Nothing is sent to those who are here: they are owed it, the newest of each topic."""
        self.holding = True
        for connection in self._connections:
            if connection.session is not None:
                connection.session.blocked()

    def release(self) -> None:
        """All are sent what they are owed."""
        self.holding = False
        for connection in self._connections:
            self._loop.call_soon(connection.pay)

    def behind(self) -> int:
        """How many clients are behind just now."""
        return sum(
            1
            for connection in self._connections
            if connection.session and connection.session.outbox.behind
        )

    def conflated(self) -> int:
        """How many ticks clients were spared, whether they are still here or not."""
        return self._conflated + sum(map(_conflated, self._connections))

    def unsent_bytes(self) -> int:
        """How much is on its way to clients and was not taken by the kernel yet."""
        return sum(connection.unsent_bytes() for connection in self._connections)

    def lost(self) -> int:
        """How many clients that others gave to this shard found no descriptor."""
        return self._balance.lost

    async def drain(self) -> None:
        """Take nobody new, send everybody away, one after another; until its turn comes a client is
        served as ever. Those who were on their way here, or waited at the door, go to other shards;
        without any they are told goodbye like the rest."""
        self.leaving = True
        for timer in (self._resting, self._pausing):
            if timer is not None:
                timer.cancel()
        self._balance.retire()
        self._shut()
        if self._door is not None:
            self._door.leave(self._takes())
        for listener in self._listeners:
            self._accept_at_door(listener, _BACKLOG)
            listener.close()
        await asyncio.sleep(0)  # those just taken get their connections
        await self._send_away(list(self._connections))
        stop_s = self._settings.hub.stop_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._emptied(), max(stop_s / 2, stop_s - 1))
        self._beating.cancel()
        self._balance.close()

    async def _send_away(self, connections: Sequence[Connection]) -> None:
        """Each at its turn, evenly: those who come back do not come in the same millisecond. While
        all are held it is nobody's turn, as what they are owed is not known yet; but not for longer
        than this may take."""
        began_s, count = self._clock(), len(connections)
        drain_s = self._settings.websocket.drain_s
        over_s = drain_s * min(1.0, count / _MANY)
        for number, connection in enumerate(connections):
            await asyncio.sleep(max(0.0, began_s + over_s * number / count - self._clock()))
            while self.holding and self._clock() < began_s + drain_s:  # noqa: ASYNC110  # a flag
                await asyncio.sleep(_HELD_S)
            if self.holding:
                self.release()
            connection.part(protocol.SERVICE_RESTART, RESTART)

    async def _emptied(self) -> None:
        while self._connections or self._tasks:
            self._empty.clear()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._connections:
                await self._empty.wait()

    def _beat(self) -> None:
        self._beating = self._loop.call_later(BEAT_S, self._beat)
        self._balance.tend()
        self._tend_door()

    def _tend_door(self) -> None:
        """See that there is a shard that takes those who come by the Unix socket."""
        if self._door is not None and not self.leaving:
            self._door.tend(self._takes())

    def _takes(self) -> list[bool]:
        """Of each shard whether it takes clients."""
        return [load is not None for load in self._balance.loads.all()]

    def _open_up(self) -> None:
        """Take those who come by this shard's own doors."""
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _shut(self) -> None:
        """Leave those who come where they are."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _accept_all(self) -> None:
        for listener in self._listeners:
            self._accept(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BATCH):
            if not self._is_ready() or self._accept_one(listener):
                return

    def _accept_at_door(self, door: socket.socket, most: int) -> bool:
        """Take clients that wait at the door of a shard that takes nobody, without waiting for
        this shard's own turn; whether none is left there."""
        for _ in range(most):
            if self.intake.crammed and not self.leaving:
                return False
            if (ended := self._accept_one(door)) is not None:
                return ended
        return False

    def _accept_one(self, listener: socket.socket) -> bool | None:
        """Take a client that waits at a listener, this shard's or another's. None when there may be
        more, True when there is none, False when none can be taken."""
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in _FULL:
                self._rest(error)
                return False
            return True if error.errno == errno.EINVAL else None  # its owner has shut it
        self.accepted += 1
        self._balance.place(sock)
        return None

    def _adopt(self, sock: socket.socket) -> None:
        """A socket is this shard's own."""
        sock.setblocking(False)
        crowded = self.intake.full
        self.intake.took()
        self._balance.loads.add(1)
        self._balance.crowd(full=self.intake.full)
        task: asyncio.Task[object] = asyncio.ensure_future(self._open(sock, crowded=crowded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, sock: socket.socket, *, crowded: bool) -> None:
        make, websocket = self._make_session, self._settings.websocket
        tls = None if sock.family == socket.AF_UNIX else self._tls

        def protocol() -> asyncio.Protocol:
            connection = Connection(self, websocket, make, crowded=crowded)
            if tls is None:
                return connection
            return Secure(connection, tls, NONE_SECURE, self.guests.no_tls)

        try:
            await self._loop.connect_accepted_socket(protocol, sock)
        except OSError:  # it went away before it was ours
            self._gone()
            sock.close()

    def _gone(self) -> None:
        """A socket that was this shard's own is there no more."""
        self.intake.left()
        self._balance.loads.add(-1)
        self._balance.crowd(full=self.intake.full)

    def _fit(self) -> None:
        """There are more connections, or fewer: so is what each may leave unsent."""
        if self._mark.fit(len(self._connections)):
            for connection in self._connections:
                connection.limit(self.high_bytes)

    def _is_ready(self) -> bool:
        """Whether another client may be taken up now; if not, all wait for a moment."""
        wait_s = 0.0 if self.leaving else self.intake.wait_s(self._clock())
        if wait_s and self._pausing is None:
            self.intake.paused += 1
            self._shut()
            self._balance.hold()
            self._pausing = self._loop.call_later(wait_s, self._go_on)
        return not wait_s

    def _go_on(self) -> None:
        """The moment is over: this shard's own door and what others give come first in turn."""
        self._pausing = None
        if self._resting is not None:
            self._balance.release()
            return
        self._ways_first = not self._ways_first
        for take in (self._balance.take, self._accept_all)[:: 1 if self._ways_first else -1]:
            take()
        if self._pausing is None:
            self._balance.release()
            if self._resting is None:
                self._open_up()

    def _rest(self, error: OSError) -> None:
        """No descriptor or memory left: those who are here live on, new ones wait a little or go
        to other shards."""
        self.refused += 1
        self._seldom.warning("full", "no new client can be taken: %s", error.strerror)
        if self.leaving or self._resting is not None:
            return
        self._shut()
        self._balance.pause()
        self._resting = self._loop.call_later(_REST_S, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if self._pausing is None:
            self._open_up()
        self._balance.resume()


def _conflated(connection: Connection) -> int:
    return connection.session.outbox.conflated if connection.session else 0


def raise_limit() -> None:
    """Let this process have as many descriptors as it may: the default is for programs that have
    few (1024)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _room(shards: int) -> int:
    """How many clients this process has descriptors for."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return room_for(_ENDLESS if limit == resource.RLIM_INFINITY else limit, open_now, shards - 1)


def _packing(settings: Websocket) -> Packing | None:
    """How full shards are packed; None when clients are spread evenly."""
    if settings.spread == "packed":
        return Packing(settings.pack_share, settings.pack_clients)
    return None


def _door(settings: Websocket, shard: int) -> Door | None:
    """This shard's Unix socket, if the hub has one. Raises StartError."""
    if not settings.unix:
        return None
    return Door(Path(settings.unix), int(settings.unix_mode, 8), shard, _BACKLOG)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on the port that all shards share. Raises StartError."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartError(f"clients cannot be served on {host}: {error.strerror}") from None
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise StartError(f"clients cannot be served on {host}:{port}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _is_misplaced(connection: Connection) -> bool:
    return connection.session is not None and connection.session.misplaced
