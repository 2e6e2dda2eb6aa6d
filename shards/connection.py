"""One client's socket: WebSocket by the sans-I/O layer of `websockets`, on an asyncio transport.

Ticks do not pass through that layer: they arrive as finished frames (core/frames) and are written
as they are. Everything else, handshake, control frames, closing, is the library's.

1. What has come is read a part at a time: when a client has had its turn, the others have theirs.
2. A client that says too much too fast is not read for a while, so TCP holds it back.
3. A client is judged by the time this process was awake, and not while it is not read.
4. A client that is sent away gets what it is owed first, as long as it reads.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol, cast

from websockets.exceptions import InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.core.proxies import address_of
from hub.core.settings import Websocket
from shards import handshake, protocol
from shards.bucket import Bucket
from shards.guests import Bound, Guests
from shards.session import Session

RESTART = "the server is restarting; connect again"
RESETTLED = "the feed of your broker is here now; connect again"
"""The reasons that are given with close code 1012."""

_CLOSE_S = 2.0
_TEND_S = 1.0
_quiet = logging.getLogger("hub.websockets")
_quiet.setLevel(logging.CRITICAL)

# How much is read of one client. A frame costs a token, and so do _TOKEN_BYTES bytes.
_SLICE = 512
_TURN = 64
_TOKEN_BYTES = 4096
_STRANGER = (64.0, 32.0)
_KNOWN = (8192.0, 2048.0)
"""Tokens at first, and those that come each second. SDKs subscribe one by one, a thousand or more
right after they have authenticated."""
_ABUSE_S = 3.0
_MOST_FRAGMENTS = 1024


class House(Protocol):
    """What a connection needs of the gateway it belongs to."""

    guests: Guests
    holding: bool
    leaving: bool
    stalled: int

    @property
    def high_bytes(self) -> int:
        """How much a connection may leave unsent."""

    def now_s(self) -> float:
        """The time by which clients are judged."""

    def joined(self, connection: Connection) -> None:
        """A connection has begun."""

    def left(self, connection: Connection) -> None:
        """A connection has ended."""


class Connection(asyncio.Protocol):
    """A client's socket, from accept to close."""

    def __init__(
        self,
        house: House,
        settings: Websocket,
        make_session: Callable[[Connection], Session],
        *,
        crowded: bool = False,
    ) -> None:
        self.address = ""
        self.began_s = 0.0
        self.due_s = 0.0
        self.session: Session | None = None
        self._house = house
        self._settings = settings
        self._make_session = make_session
        self._loop = asyncio.get_running_loop()
        self._ws = ServerProtocol(max_size=settings.max_message_bytes, logger=_quiet)
        self._transport: asyncio.Transport
        self._unread = bytearray()
        self._again: asyncio.Handle | None = None
        self._bucket = Bucket(*_STRANGER, self._loop.time())
        self._parts: list[bytes] = []
        self._text = True
        self._open = False
        self._blocked = False
        self._reading = True
        self._reasons: set[str] = set()
        self._crowded = crowded
        self._no_room = ""
        self._guest = False
        self._stranger = False
        self._proxied = False
        self._deadline_s = math.inf
        self._pinged_s = 0.0
        self._next_ping_s = math.inf
        self._stall = (0, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._farewell: tuple[int, str] | None = None
        self._untaken_bytes = 0
        self._has_taken = False
        self._alarm: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Connection {self._ws.state.name} {self.address} {self.session!r}>"

    @property
    def peer(self) -> str:
        """Who this is, for people: address and port."""
        return f"{self.address}:{self._port}" if self._port else self.address

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)
        self.limit(self._house.high_bytes)
        self._fd = int(transport.get_extra_info("socket").fileno())
        self._secure = transport.get_extra_info("sslcontext") is not None
        peer = transport.get_extra_info("peername")
        self.address = address_of(peer)
        self._port = int(peer[1]) if isinstance(peer, tuple) else 0
        self.began_s = self.now_s()
        self._house.joined(self)
        guests = self._house.guests
        self._no_room = (guests.crowded if self._crowded else guests.no_room)(self.address)
        self._proxied = guests.proxies.trusts(self.address)
        window_s = self._settings.auth_window_s
        if self._no_room:
            window_s = min(window_s, _CLOSE_S)
        elif not self._proxied:
            self._count()
        self.due_s = self._deadline_s = self._house.now_s() + window_s
        if self._house.leaving:
            self.close(protocol.SERVICE_RESTART, RESTART)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._unread += data
        if self._again is None and not self._reasons:
            self._read()
        self._steer()

    def eof_received(self) -> None:
        """The client sends no more."""
        self._ws.receive_eof()
        self._send_own()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reason is of no use
        """The socket is gone."""
        self._open = False
        self._unread.clear()
        for handle in (self._timer, self._again, self._alarm):
            if handle is not None:
                handle.cancel()
        for task in self._work:
            task.cancel()
        if self.session is not None:
            self.session.gone()
        self._no_stranger()
        if self._guest:
            self._house.guests.connection(self.address, -1)
        self._house.left(self)
        self._let_go()

    def pause_writing(self) -> None:
        """More is unsent than the outbox allows."""
        self._blocked = True
        self._stall = (self._transport.get_write_buffer_size(), self._house.now_s())
        self.due_s = 0.0
        self._hold("unsent", reading=False)
        if self.session is not None:
            self.session.blocked()

    def resume_writing(self) -> None:
        """There is room again."""
        self._blocked = False
        self._pinged_s = 0.0  # its pong could not be read, and it has taken something
        self._hold("unsent", reading=True)
        self.pay()

    # From the session.

    @property
    def high_bytes(self) -> int:
        """How much may be left unsent."""
        return self._house.high_bytes

    def write(self, data: bytes) -> int:
        """Send whole frames; the descriptor that the next may be written to at once, -1 for none:
        what the transport holds has to go first, or it is to be encrypted."""
        if not self._open:
            return -1
        if not self._secure and not self._transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except OSError:  # it is full, or gone: the transport knows what to do
                sent = 0
            if sent == len(data):
                return self._fd
            data = data[sent:]
        self._transport.write(data)
        return -1

    def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason; by force when the client does not follow. One that has
        not shaken hands yet is told right after, or that there is no service if it never does."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self._send_own()
        self._open = False
        if self.session is not None:
            self.session.fd = -1
        self._leave_within(_CLOSE_S / 2 if self._ws.state is State.CONNECTING else _CLOSE_S)

    def hold(self, *, reading: bool) -> None:
        """Read the client's messages, or leave them where they are."""
        self._hold("requests", reading=reading)

    def known(self) -> None:
        """The client has authenticated: it may stay, and say more."""
        self._no_stranger()
        if self._deadline_s != math.inf:
            self._deadline_s = math.inf
            self._bucket = Bucket(*_KNOWN, self._loop.time())
            if self._unread:
                self._read_within(0.0)

    def pay(self) -> None:
        """Send what the session is owed, a part at a time."""
        if self.session is None or not self._open or self._blocked or self._house.holding:
            return
        self._note_taken()
        left = self.session.unblocked(self.high_bytes // 2)
        if self._farewell is not None:
            self._untaken_bytes = self._untaken()
            if not self.session.owed:
                self.close(*self._farewell)
        if left:
            self._loop.call_soon(self.pay)

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something that takes time, as long as the connection lives."""
        task = asyncio.ensure_future(cast("Any", work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def now_s(self) -> float:
        """The time by which ticks are paced; that of the loop stands still while it works."""
        return time.monotonic()

    def wake(self, after_s: float) -> None:
        """Ask the session for what has fallen due, after a while; only the last wish counts."""
        if not self._open:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(after_s, self._ring)

    # From the gateway.

    def limit(self, high_bytes: int) -> None:
        """From so many unsent bytes on the socket takes no more."""
        self._transport.set_write_buffer_limits(high=high_bytes, low=high_bytes // 4)

    def unsent_bytes(self) -> int:
        """How much waits for the socket to take it, or for a reply that goes first."""
        withheld = self.session.withheld_bytes if self.session is not None else 0
        return self._transport.get_write_buffer_size() + withheld

    def part(self, code: int, reason: str) -> None:
        """Send what the client is owed, then close. One that takes nothing is cut as by `close`;
        one that reads has all the time that the shard has left."""
        if self.session is None or not self._open:
            self.close(code, reason)
            return
        self._farewell = code, reason
        self._untaken_bytes = self._untaken()
        self.session.part()
        self._leave_within(_CLOSE_S)
        self.pay()

    def tend(self, now_s: float) -> None:
        """Deadlines, keep-alive, and what to do with a client that does not read."""
        if now_s >= self._deadline_s:
            self._deadline_s = math.inf
            self._end_of_patience()
        if not self._open:
            self.due_s = self._deadline_s
        elif self._blocked:
            self._check_stall(now_s)
            self.due_s = now_s + _TEND_S
        else:
            self._check_ping(now_s)

    # Reading.

    def _read(self) -> None:
        """Read what has come, as much as one client may have in one turn."""
        self._again = None
        left = float(_TURN)
        while self._unread and not self._reasons:
            wait_s = self._bucket.wait_s(self._loop.time())
            if wait_s:
                self._hold_back(wait_s)
                break
            if left <= 0:
                self._read_within(0.0)
                break
            part = self._next_part()
            cost = self._feed(part) + len(part) / _TOKEN_BYTES
            self._bucket.take(cost)
            left -= cost
        self._steer()

    def _next_part(self) -> bytes:
        """What is to be read next, never beyond a handshake."""
        part = bytes(self._unread[:_SLICE])
        if self._ws.state is State.CONNECTING:
            part = handshake.part(part)
        del self._unread[: len(part)]
        return part

    def _feed(self, data: bytes) -> int:
        """Let the WebSocket layer read; how many frames it found."""
        if self._ws.state is State.CONNECTING:
            data = handshake.readable(data)
        self._ws.receive_data(data)
        events = self._ws.events_received()
        failed = self._ws.close_sent if self._open else None
        if failed is not None and failed.code == CloseCode.MESSAGE_TOO_BIG:
            self._house.guests.bounds[Bound.TOO_LARGE] += 1
        for event in events:
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._send_own()
        return len(events)

    def _hold_back(self, wait_s: float) -> None:
        """It has said too much. A stranger that goes on like this has to go."""
        bounds = self._house.guests.bounds
        bounds[Bound.HELD_BACK] += 1
        checking = self.session is not None and self.session.checking
        talks_for_s = self._bucket.dry_for_s(self._loop.time())
        if self._stranger and not checking and talks_for_s > _ABUSE_S and self._open:
            bounds[Bound.FLOODED] += 1
            self.close(protocol.POLICY_VIOLATION, "too many messages before authentication")
        self._read_within(wait_s)

    def _read_within(self, wait_s: float) -> None:
        """Go on reading after a while, or when the others have had their turn."""
        if self._again is not None:
            self._again.cancel()
        later = self._loop.call_later(wait_s, self._read) if wait_s else None
        self._again = later or self._loop.call_soon(self._read)

    def _hold(self, reason: str, *, reading: bool) -> None:
        """Stop reading while any reason holds."""
        if reading:
            self._reasons.discard(reason)
            if self._unread and not self._reasons and self._again is None:
                self._read_within(0.0)
        else:
            self._reasons.add(reason)
        self._steer()

    def _steer(self) -> None:
        """Take more from the socket when nothing is unread and there is no reason not to."""
        reading = not self._reasons and not self._unread
        if self._transport.is_closing() or reading == self._reading:
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # Below: details.

    def _ring(self) -> None:
        self._alarm = None
        if self.session is not None and self._open:
            self.session.fall_due()

    def _shake_hands(self, request: Request) -> None:
        guests = self._house.guests
        if self._proxied:
            self._come_forward(request)
        response = handshake.answer(self._ws, request, guests, self.address, self._no_room)
        self._ws.send_response(response)
        request.headers.clear()  # the layer keeps them as long as the connection, cookies and all
        self._send_own()
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return
        if self._timer is not None:  # goodbye was said before it could hear it
            self._timer.cancel()
            self._timer = None
            self.close(protocol.SERVICE_RESTART, RESTART)
            return
        self._open = True
        self.session = self._make_session(self)
        if self._house.holding:
            self.session.blocked()
        self._next_ping_s = self._house.now_s() + self._settings.ping_interval_s
        self.due_s = min(self._next_ping_s, self._deadline_s)

    def _come_forward(self, request: Request) -> None:
        """It came through a trusted proxy: now it is known from where, and judged by that."""
        guests, self._proxied = self._house.guests, False
        forwarded = request.headers.get_all("X-Forwarded-For")
        proxy, self.address = self.address, guests.proxies.client(self.address, forwarded)
        if self.address != proxy:
            self._port = 0  # that was the proxy's
        if not self._no_room:
            self._no_room = guests.no_room_of_its_own(self.address)
        if not self._no_room:
            self._count()

    def _count(self) -> None:
        """It is one of those from its address, and a stranger."""
        self._guest = self._stranger = True
        self._house.guests.connection(self.address, 1)
        self._house.guests.stranger(self.address, 1)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._pinged_s = 0.0
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        frame.data = b""  # the layer keeps its last frame until the next one comes
        if frame.fin:
            message, self._parts = b"".join(self._parts), []
            self._take_message(message)
        elif len(self._parts) >= _MOST_FRAGMENTS:
            self._parts.clear()
            self._house.guests.bounds[Bound.FRAGMENTS] += 1
            self.close(protocol.POLICY_VIOLATION, "a message in too many fragments")

    def _take_message(self, message: bytes) -> None:
        if self.session is None or not self._open:
            return
        if not self._text:
            self.session.receive(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self._ws.fail(protocol.INVALID_DATA, "text must be UTF-8")
            self._send_own()
        else:
            self.session.receive(text)

    def _send_own(self) -> None:
        """Send what the WebSocket layer has to say, and end when it says so."""
        for data in self._ws.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._hang_up()
        if self.session is not None:
            self.session.fd = -1
        if self._ws.state is not State.OPEN:
            self._open = False
        if self._ws.close_expected():
            self._leave_within(_CLOSE_S)

    def _hang_up(self) -> None:
        """End in order; who has said what is no handshake is told what is one."""
        if isinstance(self._ws.handshake_exc, InvalidMessage):
            self._transport.write(handshake.NONE_SECURE if self._secure else handshake.NONE)
        self._transport.close()

    def _leave_within(self, seconds: float) -> None:
        """End by force after a while; the first word counts."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        """End by force; who has not shaken hands is told that there is no service. One that is sent
        away and takes what it is owed may go on with that."""
        self._note_taken()
        taken, self._has_taken = self._has_taken, False
        if self._farewell is not None and taken:
            self._timer = self._loop.call_later(_CLOSE_S, self._cut)
        elif self._ws.state is State.CONNECTING:
            self._transport.write(handshake.BUSY)
            self._transport.close()
        else:
            self._transport.abort()

    def _note_taken(self) -> None:
        """One that is sent away is given time as long as something reaches it."""
        if self._farewell is not None:
            before, self._untaken_bytes = self._untaken_bytes, self._untaken()
            self._has_taken |= self._untaken_bytes < before

    def _untaken(self) -> int:
        """Bytes that were written and have not reached the client, those in the kernel included."""
        try:
            queued = fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(4))
        except OSError:  # it is closed: nothing of it will reach anybody
            return 0
        return self._transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _end_of_patience(self) -> None:
        """The client has not authenticated in time."""
        if self._no_room:
            self._cut()
            return
        if self.session is not None and self.session.identity is not None:
            return
        self._house.guests.bounds[Bound.AUTH_TIMEOUTS] += 1
        if self.session is None:
            self._transport.abort()
        else:
            self.close(protocol.AUTH_TIMEOUT, "auth timeout")

    def _let_go(self) -> None:
        """Keep nothing that keeps this connection: all of it is freed now, and not when garbage
        is collected, which for what has lived a while is hardly ever."""
        self.session = None
        self._ws.parser.close()
        self._ws.parser_exc = self._ws.handshake_exc = None

    def _no_stranger(self) -> None:
        if self._stranger:
            self._stranger = False
            self._house.guests.stranger(self.address, -1)

    def _check_stall(self, now_s: float) -> None:
        """Close a client that has taken nothing for too long."""
        size = self._transport.get_write_buffer_size()
        before, since_s = self._stall
        if size < before:
            self._stall = (size, now_s)
        elif now_s - since_s >= self._settings.stall_s:
            self._house.stalled += 1
            self.close(protocol.TRY_AGAIN_LATER, "not reading")

    def _check_ping(self, now_s: float) -> None:
        if self._pinged_s and not self._reading:
            self._pinged_s = now_s  # its pong may wait in what is not read
        if self._pinged_s and now_s - self._pinged_s >= self._settings.ping_timeout_s:
            self._ws.fail(protocol.KEEPALIVE_TIMEOUT, "keepalive ping timeout")
            self._send_own()
        elif now_s >= self._next_ping_s and not self._pinged_s:
            self._ws.send_ping(b"")
            self._send_own()
            self._pinged_s = now_s
            self._next_ping_s = now_s + self._settings.ping_interval_s
        due_s = (
            self._pinged_s + self._settings.ping_timeout_s if self._pinged_s else self._next_ping_s
        )
        self.due_s = min(due_s, self._deadline_s)
