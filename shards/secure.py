"""A client's socket with TLS: a transport for its connection, on top of the socket's own.

1. A connection is there before a byte of TLS is: all its limits and deadlines hold from accept on.
2. Nothing waits here. What a connection writes is encrypted and handed on at once, so what is
   unsent is with the socket's own transport, and its bounds and signals are the connection's.
3. A socket with TLS has no descriptor that ticks may be written to: they would go out in the clear.
4. Who speaks something else, or a TLS that is not enough, is told so and let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

from hub.core.proxies import address_of

_READ_BYTES = 1 << 16
_HANDSHAKE = 0x16
"""How TLS begins."""


class Secure(asyncio.Protocol, asyncio.Transport):
    """Between a socket's transport and a connection. `plain` is answered to who does not speak
    TLS; `failed` is told the address and the reason when a handshake fails."""

    def __init__(
        self,
        connection: asyncio.Protocol,
        context: ssl.SSLContext,
        plain: bytes,
        failed: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._context = context
        self._plain = plain
        self._failed = failed
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begun = False
        self._shaken = False
        self._early: list[bytes] = []
        self._socket: asyncio.Transport

    def __repr__(self) -> str:
        return f"<Secure {self._tls.version() if self._shaken else 'before its handshake'}>"

    # From the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._socket = cast("asyncio.Transport", transport)
        self._connection.connection_made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if not self._begun and data[0] != _HANDSHAKE:
            self._socket.write(self._plain)
            self._refuse("it does not speak TLS")
            return
        self._begun = True
        self._incoming.write(data)
        try:
            if self._shaken or self._shake_hands():
                self._read()
            self._hand_on()
        except ssl.SSLError as error:
            self._break_off(error)

    def eof_received(self) -> None:
        """The client sends no more."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._connection.connection_lost(exc)
        self._connection = asyncio.Protocol()  # each would keep the other

    def pause_writing(self) -> None:
        """More is unsent than the connection allows."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._connection.resume_writing()

    # From the connection.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; what is written before the handshake is done follows it."""
        if self._socket.is_closing():
            return
        if not self._shaken:
            self._early.append(bytes(data))
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._break_off(error)
        else:
            self._hand_on()

    def close(self) -> None:
        """Say goodbye, send what is unsent, and end."""
        if self._shaken and not self._socket.is_closing():
            with contextlib.suppress(ssl.SSLError):  # it need not be answered
                self._tls.unwrap()
            self._hand_on()
        self._socket.close()

    def abort(self) -> None:
        """End at once."""
        self._socket.abort()

    def is_closing(self) -> bool:
        """Whether it ends."""
        return self._socket.is_closing()

    def pause_reading(self) -> None:
        """Leave what comes where it is."""
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes."""
        self._socket.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """From how much on that is unsent the connection is told."""
        self._socket.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """How much is unsent."""
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio names it; `sslcontext` tells that this is TLS."""
        if name == "sslcontext":
            return self._context
        return self._socket.get_extra_info(name, default)

    # Below: details.

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._shaken = True
        for data in self._early:
            self._tls.write(data)
        self._early.clear()
        return True

    def _read(self) -> None:
        """Pass on what was said, to its end."""
        while not self._socket.is_closing():
            try:
                data = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                return
            if data:
                self._connection.data_received(data)
            else:
                self._connection.eof_received()
                self.close()

    def _hand_on(self) -> None:
        if data := self._outgoing.read():
            self._socket.write(data)

    def _break_off(self, error: ssl.SSLError) -> None:
        """What came is no TLS, or none that is enough."""
        if self._shaken:
            self.abort()
            return
        self._hand_on()  # an alert, which says why
        self._refuse((error.reason or "no reason").lower().replace("_", " "))

    def _refuse(self, why: str) -> None:
        self._socket.close()
        self._failed(address_of(self._socket.get_extra_info("peername")), why)
