"""One connection to a broker: it is made, kept, and made again; what is wanted of it is asked.

1. It is made with credentials that are asked for anew each time: a token dies every morning.
2. What is wanted is asked in portions, at the broker's pace; nothing before the broker lets us in.
3. It stays when nothing is wanted of it any more. It is closed when it is of no use: the broker
   says so, or nothing has come for too long while a market is in session.
4. Ticks are published in one go for all that a turn of the loop has brought.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from hub import __version__
from hub.brokers.base import (
    Channel,
    Codec,
    Confirmed,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Failed,
    Frame,
    Ready,
    Refused,
    Reply,
    Request,
    Say,
    Subscription,
    Warned,
)
from hub.client import retry as words
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.feeds.native.arbiter import Arbiter
from hub.feeds.native.ledger import Ledger
from hub.feeds.native.retry import Retry
from hub.feeds.native.spread import Load
from hub.runtime.log import Seldom, log

_COMPANY_S = 0.02
"""How long a wish waits for company: a client subscribes symbol after symbol."""

_OPEN_S = 10.0
_CLOSE_S = 1.0
_PONG_S = 20.0
_MOST_BYTES = 4 << 20
_FRAMES = 256
_LOOK_S = 1.0
_LOOPBACK = ("127.", "localhost", "::1")


class Owner(Protocol):
    """The account that a line belongs to."""

    name: str

    @property
    def arbiter(self) -> Arbiter | None:
        """Who leaves out copies, where there are any."""

    async def admit(self) -> Credentials:
        """Wait until the account may connect, one connection after another; with what. Raises
        BrokerError."""

    def admitted(self, error: BrokerError | None) -> None:
        """What has become of that, once for each `admit` that returned: the broker has let us in,
        or why not."""

    async def fetch(self, request: Request) -> Reply:
        """Ask the broker by HTTP. Raises BrokerError."""

    def publish(self, pairs: list[bytes]) -> None:
        """Ticks `[topic, json, ...]`."""

    def confirmed(self, sub: Subscription) -> None:
        """The broker has confirmed it."""

    def refused(self, line: Line, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """It does not take them; they are not in the line's ledger any more."""

    def in_session(self, line: Line) -> bool:
        """Whether a market is in session of which the line has something."""

    def now_s(self) -> float:
        """Seconds that this process has been awake."""


class Line:
    """One connection of an account by a channel; `number` begins at 1."""

    def __init__(self, owner: Owner, channel: Channel, addresses: Any, number: int) -> None:
        self.channel = channel
        self.ledger = Ledger(channel.limits.confirm_s)
        self.load = Load(channel.limits)
        self.number = number
        self.state = "idle"
        self.problem = ""
        self.fault: Fault | None = None
        self.ticks = self.reconnects = self.malformed = 0
        self.ticked_s = 0.0
        self._owner = owner
        self._addresses = addresses
        self._retry = Retry()
        self._codec: Codec
        self._socket: ClientConnection | None = None
        self._pairs: list[bytes] = []
        self._heard_s = self._up_s = 0.0
        self._failed: Failed | None = None
        self._leaving = False
        self._ready = asyncio.Event()
        self._wishes = asyncio.Event()
        self._again = asyncio.Event()
        self._seldom = Seldom()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Line {self._owner.name} {self.channel.name} {self.number} {self.state}>"

    # What the account does with it.

    def want(self, sub: Subscription) -> None:
        """The mode of a subscription has been set."""
        self.ledger.want(sub)
        if self.ledger.open:
            self._wishes.set()

    def settle(self, now_s: float) -> None:
        """Judge those that the broker has had its time for."""
        if self.state != "up":
            return
        due = self.ledger.due(now_s)
        if not self.channel.limits.confirms:
            for sub in due:
                self._confirm(sub)
        elif due:
            wait_s = self.channel.limits.confirm_s
            text = f"it has not confirmed it within {wait_s:g} s: it may know no such symbol"
            self._refuse(tuple(due), Fault.NETWORK, text)

    def hurry(self) -> None:
        """Wait no longer for the next try."""
        self._again.set()

    async def leave(self) -> None:
        """Close the connection, and make none any more."""
        self._leaving = True
        if self._socket is not None:
            await self._socket.close()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled or left."""
        while not self._leaving:
            fault, text = await self._session()
            if self._leaving:
                return
            self.fault, self.problem, self.state = fault, text, "waiting"
            self.ledger.lost()
            wait_s = 0.0  # of credentials that are refused the account takes care
            if fault is not Fault.AUTH:
                wait_s = self._retry.wait_s(fault, random.random(), self._least_s)  # noqa: S311
            self._seldom.warning("ended", "%s: %s; again in %.1f s", self._name(), text, wait_s)
            self._again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._again.wait()
            self.reconnects += 1

    # One connection.

    async def _session(self) -> tuple[Fault, str]:
        """One connection from beginning to end; why it ended."""
        self.state, self._failed, self._up_s, self._least_s = "connecting", None, 0.0, 0.0
        self._ready.clear()
        before = self.ticks
        try:
            credentials = await self._owner.admit()
        except BrokerError as error:
            return error.fault, str(error)
        asked = _Once(self._owner)
        try:
            await self._connect(credentials, asked)
        except BrokerError as error:
            asked.tell(error)
            return error.fault, str(error)
        except Exception as error:  # noqa: BLE001  # a codec that raises ends no feed
            log.exception("%s", self._name())
            return Fault.NETWORK, f"{type(error).__name__} in its codec"
        finally:
            asked.tell(BrokerError(Fault.NETWORK, "it was left"))
            up_s = self._owner.now_s() - self._up_s if self._up_s else 0.0
            self._retry.lasted(up_s, delivered=self.ticks > before)
            self._socket = None
        raise AssertionError

    async def _connect(self, credentials: Credentials, asked: _Once) -> None:
        """Raises BrokerError, whatever happens."""
        codec = self._codec = self.channel.codec(credentials, self._addresses)
        request = codec.ask()
        endpoint = codec.endpoint(await self._owner.fetch(request) if request else None)
        try:
            socket = await self._open(endpoint)
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            self._least_s = words.asked_s(error, time.time())
            end = Ended(status=answer.status_code, headers=headers, body=bytes(answer.body or b""))
            raise BrokerError(*codec.ended(end)) from None
        except InvalidURI:
            raise BrokerError(Fault.NETWORK, "its address is none") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise BrokerError(Fault.NETWORK, words.reason(error)) from None
        try:
            await self._talk(socket, asked)
        finally:
            await socket.close()

    def _open(self, endpoint: Endpoint) -> connect:
        host = endpoint.url.partition("://")[2].strip("[")
        return connect(
            endpoint.url,
            additional_headers=dict(endpoint.headers),
            user_agent_header=f"shardhub/{__version__}",
            proxy=None if host.startswith(_LOOPBACK) else True,
            compression=None,
            open_timeout=_OPEN_S,
            close_timeout=_CLOSE_S,
            ping_interval=self.channel.limits.ping_s or None,
            ping_timeout=_PONG_S,
            max_size=_MOST_BYTES,
            max_queue=_FRAMES,
        )

    async def _talk(self, socket: ClientConnection, asked: _Once) -> None:
        """Read until the end, and speak beside it. Raises BrokerError."""
        self._socket, self._heard_s = socket, self._owner.now_s()
        jobs: list[Coroutine[Any, Any, None]] = [self._ask(socket, asked), self._watch()]
        if self.channel.limits.beat_s:
            jobs.append(self._beat(socket))
        tasks = [asyncio.create_task(job) for job in jobs]
        for task in tasks:
            task.add_done_callback(self._look_at)
        try:
            for frame in self._codec.opened():
                await socket.send(frame)
            if self._codec.ready:
                self._ready.set()
            await self._read(socket)
        except ConnectionClosed as error:
            if self._failed is not None:
                raise BrokerError(*self._failed) from None
            close = error.rcvd
            code, reason = (close.code, close.reason) if close else (0, "")
            end = Ended(code, reason, ready=self._codec.ready)
            raise BrokerError(*self._codec.ended(end)) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        """Raises ConnectionClosed at the end."""
        receive, take = self._codec.receive, self.take
        while True:
            data = await socket.recv()
            for event in receive(data, time.time_ns() // 1_000_000, take):
                self._follow(event)
            self._heard_s = self._owner.now_s()
            self.malformed += self._codec.malformed
            self._codec.malformed = 0

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, number: int) -> None:
        """A tick that the codec has found."""
        if sub.waits:
            self._confirm(sub)
        arbiter = self._owner.arbiter
        if arbiter and not arbiter.passes(sub, at_ms, number, self._owner.now_s()):
            return
        pairs = self._pairs
        if not pairs:
            self._loop.call_soon(self._publish)
        pairs.append(sub.topics[mode])
        pairs.append(payload)

    def _publish(self) -> None:
        pairs, self._pairs = self._pairs, []
        self.ticks += len(pairs) // 2
        self.ticked_s = self._owner.now_s()
        self._owner.publish(pairs)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._ready.set()
        elif isinstance(event, Confirmed):
            self._confirm(event.sub)
        elif isinstance(event, Refused):
            self._refuse(event.subs, event.fault, event.text)
        elif isinstance(event, Say):
            self._say(event.frames)
        elif isinstance(event, Failed):
            self._fail(event.fault, event.text)
        elif isinstance(event, Warned):
            self._seldom.warning(event.text, "%s: %s", self._name(), event.text)

    def _confirm(self, sub: Subscription) -> None:
        if self.ledger.confirm(sub):
            self._owner.confirmed(sub)

    def _refuse(self, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        mine = [sub for sub in subs if sub in self.ledger]
        if fault is Fault.CAPACITY:
            self.load.full_at = min(self.load.full_at, max(1, self.load.count - len(mine)))
        for sub in mine:
            self.ledger.drop(sub)
            self.load.remove(sub.mode)
        if mine:
            self._owner.refused(self, mine, fault, text)

    def _fail(self, fault: Fault, text: str) -> None:
        """The connection is of no use: close it, which ends the reading."""
        if self._failed is None and self._socket is not None:
            self._failed = Failed(fault, text)
            self._background(self._socket.close())

    def _say(self, frames: Sequence[Frame]) -> None:
        if self._socket is not None:
            self._background(_send(self._socket, frames))

    # Beside the reading.

    async def _ask(self, socket: ClientConnection, asked: _Once) -> None:
        """Say what is wanted, once the broker has let us in."""
        limits = self.channel.limits
        try:
            async with asyncio.timeout(limits.ready_s):
                await self._ready.wait()
        except TimeoutError:
            self._fail(Fault.NETWORK, f"it has not answered the login within {limits.ready_s:g} s")
            return
        asked.tell(None)
        self.state, self.problem, self.fault = "up", "", None
        self._up_s = self._owner.now_s()
        log.info("%s is up", self._name())
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._wishes.wait()
                await asyncio.sleep(_COMPANY_S)
                self._wishes.clear()
                while changes := self.ledger.changes(limits.per_message):
                    frames = self._codec.change(changes)
                    self.ledger.said(changes, self._owner.now_s())
                    for frame in frames:
                        await socket.send(frame)
                        await asyncio.sleep(limits.gap_s)

    async def _beat(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.channel.limits.beat_s)
                for frame in self._codec.beat():
                    await socket.send(frame)

    async def _watch(self) -> None:
        """Close a connection on which nothing has come for too long."""
        idle_s = self.channel.limits.idle_s
        while idle_s:
            await asyncio.sleep(min(_LOOK_S, idle_s))
            silent_s = self._owner.now_s() - self._heard_s
            if silent_s >= idle_s and self._owner.in_session(self):
                self._fail(Fault.NETWORK, f"it was silent for {silent_s:.0f} s in a session")

    def _look_at(self, task: asyncio.Task[None]) -> None:
        """A job beside the reading has ended."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s", self._name(), exc_info=error)
            self._fail(Fault.NETWORK, f"{type(error).__name__} in its codec")

    def _background(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(job)
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

    def _name(self) -> str:
        name = self._owner.name
        return name if self.number == 1 else f"{name}, connection {self.number}"


_TASKS: set[asyncio.Task[None]] = set()


async def _send(socket: ClientConnection, frames: Sequence[Frame]) -> None:
    with contextlib.suppress(ConnectionClosed):
        for frame in frames:
            await socket.send(frame)


class _Once:
    """Tells an owner what has become of a try, the first time it is told."""

    def __init__(self, owner: Owner) -> None:
        self._owner: Owner | None = owner

    def tell(self, error: BrokerError | None) -> None:
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.admitted(error)
