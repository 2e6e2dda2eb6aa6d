"""One connection to a broker, from its upgrade to its end.

1. Nothing is asked before the broker lets us in; then what is wanted, in portions, at its pace.
2. It is closed when it is of no use: the broker says so, does not answer the login, or nothing has
   come for too long while a market is in session.
3. It ends by a BrokerError, whatever happens: the kind of fault, and a sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from hub import __version__
from hub.brokers.base import (
    Codec,
    Confirmed,
    Ended,
    Endpoint,
    Event,
    Failed,
    Frame,
    Limits,
    Ready,
    Refused,
    Say,
    Subscription,
    Warned,
)
from hub.client import retry as words
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.feeds.native.ledger import Ledger
from hub.feeds.native.owner import Owner
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


class Side(Protocol):
    """The line that a connection is of."""

    name: str
    ledger: Ledger
    malformed: int
    portion: int
    """How many changes are said at once."""

    @property
    def limits(self) -> Limits:
        """What the broker allows."""

    def up(self) -> None:
        """The broker has let us in."""

    def confirm(self, sub: Subscription) -> None:
        """It has confirmed a subscription."""

    def refuse(self, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """It does not take these."""

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, number: int) -> None:
        """A tick."""

    def in_session(self) -> bool:
        """Whether a market is in session of which there is something here."""


class Session:
    """A connection that speaks this codec."""

    def __init__(self, side: Side, owner: Owner, codec: Codec) -> None:
        self.retry_after_s = 0.0
        self.in_order = False
        self.wishes = asyncio.Event()
        self._side = side
        self._owner = owner
        self._codec = codec
        self._socket: ClientConnection | None = None
        self._heard = False
        self._failed: Failed | None = None
        self._ready = asyncio.Event()
        self._asides: set[asyncio.Task[None]] = set()
        self._seldom = Seldom()

    def __repr__(self) -> str:
        return f"<Session {self._side.name}{', ready' if self._ready.is_set() else ''}>"

    async def run(self) -> None:
        """Connect and talk. Raises BrokerError, whatever happens."""
        request = self._codec.ask()
        reply = await self._owner.fetch(request) if request else None
        socket = self._socket = await self._open(self._codec.endpoint(reply))
        try:
            await self._talk(socket)
        finally:
            await socket.close()

    async def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            await self._socket.close()

    async def _open(self, endpoint: Endpoint) -> ClientConnection:
        host = endpoint.url.partition("://")[2].strip("[")
        try:
            return await connect(
                endpoint.url,
                additional_headers=dict(endpoint.headers),
                user_agent_header=f"shardhub/{__version__}",
                proxy=None if host.startswith(_LOOPBACK) else True,
                compression=None,
                open_timeout=_OPEN_S,
                close_timeout=_CLOSE_S,
                ping_interval=self._side.limits.ping_s or None,
                ping_timeout=_PONG_S,
                max_size=_MOST_BYTES,
                max_queue=_FRAMES,
            )
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            self.retry_after_s = words.asked_s(error, time.time())
            end = Ended(status=answer.status_code, headers=headers, body=bytes(answer.body or b""))
            raise BrokerError(*self._codec.ended(end)) from None
        except InvalidURI:  # it would tell the address, with what is secret in it
            raise BrokerError(Fault.NETWORK, "its address is none") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise BrokerError(Fault.NETWORK, words.reason(error)) from None

    async def _talk(self, socket: ClientConnection) -> None:
        """Read until the end, and speak beside it. Raises BrokerError."""
        jobs: list[Coroutine[Any, Any, None]] = [self._ask(socket), self._watch()]
        if self._side.limits.beat_s:
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
            close = error.rcvd
            self.in_order = close is not None
            if self._failed is not None:
                raise BrokerError(*self._failed) from None
            code, reason = (close.code, close.reason) if close else (0, "")
            end = Ended(code, reason, ready=self._codec.ready)
            raise BrokerError(*self._codec.ended(end)) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._count()

    def _count(self) -> None:
        """Take over what the codec has counted."""
        self._side.malformed += self._codec.malformed
        self._codec.malformed = 0

    async def _read(self, socket: ClientConnection) -> None:
        """Raises ConnectionClosed at the end."""
        receive, take = self._codec.receive, self._side.take
        while True:
            data = await socket.recv()
            for event in receive(data, time.time_ns() // 1_000_000, take):
                self._follow(event)
            self._heard = True

    def _follow(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._ready.set()
        elif isinstance(event, Confirmed):
            self._side.confirm(event.sub)
        elif isinstance(event, Refused):
            self._side.refuse(event.subs, event.fault, event.text)
        elif isinstance(event, Say):
            self._say(event.frames)
        elif isinstance(event, Failed):
            self._fail(event.fault, event.text)
        elif isinstance(event, Warned):
            self._seldom.warning(event.text, "%s: %s", self._side.name, event.text)

    def _fail(self, fault: Fault, text: str) -> None:
        """The connection is of no use: close it, which ends the reading."""
        if self._failed is None and self._socket is not None:
            self._failed = Failed(fault, text)
            self._background(self._socket.close())

    def _say(self, frames: Sequence[Frame]) -> None:
        if self._socket is not None:
            self._background(_send(self._socket, frames))

    # Beside the reading.

    async def _ask(self, socket: ClientConnection) -> None:
        """Say what is wanted, once the broker has let us in."""
        limits = self._side.limits
        try:
            async with asyncio.timeout(limits.ready_s):
                await self._ready.wait()
        except TimeoutError:
            self._fail(Fault.NETWORK, f"it has not answered the login within {limits.ready_s:g} s")
            return
        self._side.up()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.wishes.wait()
                await asyncio.sleep(_COMPANY_S)
                self.wishes.clear()
                while changes := self._side.ledger.changes(self._side.portion):
                    frames = self._codec.change(changes)
                    self._side.ledger.said(changes, self._owner.now_s())
                    for frame in frames:
                        await socket.send(frame)
                        await asyncio.sleep(limits.gap_s)

    async def _beat(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self._side.limits.beat_s)
                for frame in self._codec.beat():
                    await socket.send(frame)

    async def _watch(self) -> None:
        """Close a connection on which nothing has come for too long; tell what was unreadable."""
        idle_s, heard_s = self._side.limits.idle_s, self._owner.now_s()
        while True:
            await asyncio.sleep(min(_LOOK_S, idle_s or _LOOK_S))
            self._count()
            silent_s = self._owner.now_s() - heard_s
            if self._heard:
                self._heard, heard_s = False, self._owner.now_s()
            elif idle_s and silent_s >= idle_s and self._side.in_session():
                self._fail(Fault.NETWORK, f"it was silent for {silent_s:.0f} s in a session")

    def _look_at(self, task: asyncio.Task[None]) -> None:
        """A job beside the reading has ended."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s", self._side.name, exc_info=error)
            self._fail(Fault.NETWORK, f"{type(error).__name__} in its codec")

    def _background(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


async def _send(socket: ClientConnection, frames: Sequence[Frame]) -> None:
    with contextlib.suppress(ConnectionClosed):
        for frame in frames:
            await socket.send(frame)
