"""One client's socket: WebSocket by the sans-I/O layer of `websockets`, on an asyncio transport.

Ticks do not pass through that layer: they arrive as finished frames (core/frames) and are written
as they are. Everything else, handshake, control frames, closing, is the library's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.core.config import Websocket
from shards import protocol
from shards.session import Session

if TYPE_CHECKING:
    from shards.gateway import Gateway

_CLOSE_S = 2.0
_TEND_S = 1.0
_SWITCHING_PROTOCOLS = 101
_quiet = logging.getLogger("hub.websockets")
_quiet.setLevel(logging.CRITICAL)


class Connection(asyncio.Protocol):
    """A client's socket, from accept to close."""

    def __init__(
        self, gateway: Gateway, settings: Websocket, make_session: Callable[[Connection], Session]
    ) -> None:
        self.due_s = 0.0
        self.session: Session | None = None
        self._gateway = gateway
        self._settings = settings
        self._make_session = make_session
        self._loop = asyncio.get_running_loop()
        self._ws = ServerProtocol(max_size=settings.max_message_bytes, logger=_quiet)
        self._transport: asyncio.Transport
        self._parts: list[bytes] = []
        self._text = True
        self._open = False
        self._blocked = False
        self._leaving = False
        self._reasons: set[str] = set()
        self._pinged_s = 0.0
        self._next_ping_s = 0.0
        self._stall = (0, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Connection {self._ws.state.name} {self.session!r}>"

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)
        high = self._settings.outbox_bytes
        self._transport.set_write_buffer_limits(high=high, low=high // 4)
        self._timer = self._loop.call_later(self._settings.auth_window_s, self._auth_deadline)
        self._gateway.joined(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._send_own()

    def eof_received(self) -> None:
        """The client sends no more."""
        self._ws.receive_eof()
        self._send_own()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reason is of no use
        """The socket is gone."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        for task in self._work:
            task.cancel()
        if self.session is not None:
            self.session.gone()
        self._gateway.left(self)

    def pause_writing(self) -> None:
        """More is unsent than the outbox allows."""
        self._blocked = True
        self._stall = (self._transport.get_write_buffer_size(), self._loop.time())
        self.due_s = 0.0
        self._hold("unsent", reading=False)
        if self.session is not None:
            self.session.blocked()

    def resume_writing(self) -> None:
        """There is room again."""
        self._blocked = False
        self._pinged_s = 0.0  # its pong could not be read, and it has taken something
        self._hold("unsent", reading=True)
        self._pay()

    # From the session.

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        if self._open:
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason; by force when the client does not follow."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self._send_own()
        self._open = False
        self._leave_within(_CLOSE_S)

    def hold(self, *, reading: bool) -> None:
        """Read the client's messages, or leave them where they are."""
        self._hold("requests", reading=reading)

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something that takes time, as long as the connection lives."""
        task = asyncio.ensure_future(cast("Any", work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # From the gateway.

    def tend(self, now_s: float) -> None:
        """Keep-alive, and what to do with a client that does not read."""
        if not self._open:
            self.due_s = now_s + self._settings.auth_window_s
        elif self._blocked:
            self._check_stall(now_s)
            self.due_s = now_s + _TEND_S
        else:
            self._check_ping(now_s)

    # Below: details.

    def _shake_hands(self, request: Request) -> None:
        response = self._ws.accept(request)
        self._ws.send_response(response)
        self._send_own()
        if response.status_code == _SWITCHING_PROTOCOLS:
            self._open = True
            self.session = self._make_session(self)
            self._next_ping_s = self.due_s = self._loop.time() + self._settings.ping_interval_s

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._pinged_s = 0.0
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if frame.fin:
            message, self._parts = b"".join(self._parts), []
            self._take_message(message)

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
                self._transport.close()
        if self._ws.state is not State.OPEN:
            self._open = False
        if self._ws.close_expected():
            self._leave_within(_CLOSE_S)

    def _leave_within(self, seconds: float) -> None:
        """End by force after a while; the first word counts."""
        if self._leaving:
            return
        self._leaving = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._transport.abort)

    def _auth_deadline(self) -> None:
        if self.session is None:
            self._transport.abort()
        elif self.session.identity is None:
            self.close(protocol.AUTH_TIMEOUT, "auth timeout")

    def _hold(self, reason: str, *, reading: bool) -> None:
        """Stop reading while any reason holds."""
        before = bool(self._reasons)
        if reading:
            self._reasons.discard(reason)
        else:
            self._reasons.add(reason)
        if self._transport.is_closing() or before == bool(self._reasons):
            return
        if self._reasons:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _pay(self) -> None:
        """Send what is owed, a part at a time."""
        if self.session is None or not self._open or self._blocked:
            return
        self.session.unblocked(self._settings.outbox_bytes // 2)
        if self.session.outbox.behind:
            self._loop.call_soon(self._pay)

    def _check_stall(self, now_s: float) -> None:
        """Close a client that has taken nothing for too long."""
        size = self._transport.get_write_buffer_size()
        before, since_s = self._stall
        if size < before:
            self._stall = (size, now_s)
        elif now_s - since_s >= self._settings.stall_s:
            self._gateway.stalled += 1
            self.close(protocol.TRY_AGAIN_LATER, "not reading")

    def _check_ping(self, now_s: float) -> None:
        if self._pinged_s and now_s - self._pinged_s >= self._settings.ping_timeout_s:
            self._ws.fail(protocol.KEEPALIVE_TIMEOUT, "keepalive ping timeout")
            self._send_own()
        elif now_s >= self._next_ping_s and not self._pinged_s:
            self._ws.send_ping(b"")
            self._send_own()
            self._pinged_s = now_s
            self._next_ping_s = now_s + self._settings.ping_interval_s
        self.due_s = (
            self._pinged_s + self._settings.ping_timeout_s if self._pinged_s else self._next_ping_s
        )
