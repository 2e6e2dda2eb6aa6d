"""One connection that speaks ZMTP (core/zmtp), and the sockets at which such connections arrive."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from hub.core import hot, zmtp
from hub.core.errors import StartError
from hub.runtime.log import Seldom

_HANDSHAKE_S = 30.0
_FULL_S = 1.0
_BACKLOG = 128

Wake = Callable[[], None]


class Parted(ConnectionError):
    """The peer has left, or takes nothing."""


class Peer:
    """One connection: greets, shakes hands, then decodes. Every method may raise OSError or
    Malformed, after which it is to be closed.

    `receive` reads once; how many bytes, 0 when nothing is there. They are in the decoder as soon
    as hands are shaken: from then on it is the decoder's own.
    """

    def __init__(
        self, sock: socket.socket, kind: bytes, partners: Sequence[bytes], most_bytes: int
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.decoder = hot.Decoder(most_bytes)
        self.receive: Callable[[], int] = self._shake_hands
        self.quiet = 0  # how often in a row it had nothing to say when it was read
        self._subscribes = kind == b"SUB"
        self._handshake = zmtp.Handshake(kind, partners)
        self._say(zmtp.greeting())
        self._patience = asyncio.get_running_loop().call_later(_HANDSHAKE_S, self._hang_up)

    def __repr__(self) -> str:
        return f"<Peer {'ready' if self.ready else 'shaking hands'}, {self.decoder!r}>"

    @property
    def ready(self) -> bool:
        """Whether both sides have shaken hands."""
        return self._handshake.done

    def obey(self, body: bytes) -> None:
        """Take a command: a PING wants its answer, the others say nothing to this side."""
        command = zmtp.read(body)
        if command.name == b"PING":
            self._say(zmtp.pong(command))

    def close(self) -> None:
        """Part. Nobody may watch the socket any more."""
        self._patience.cancel()
        self.fd, self.receive = -1, _read_no_more  # the number may be another's next
        self.sock.close()

    def _hang_up(self) -> None:
        """It has taken too long to shake hands: the next read is the last."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _shake_hands(self) -> int:
        handshake = self._handshake
        try:
            data = os.read(self.fd, hot.READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            handshake.end()
            raise Parted
        answer = handshake.take(data)
        if handshake.done:
            self._patience.cancel()
            self.receive = partial(self.decoder.receive, self.fd)
            if self._subscribes:
                answer += zmtp.subscribe(b"", handshake.minor)
            self.decoder.feed(handshake.rest())
        if answer:
            self._say(answer)
        return len(data)

    def _say(self, data: bytes) -> None:
        """Say a few bytes; whoever does not take even those is cut off."""
        try:
            sent = self.sock.send(data)
        except OSError:
            raise Parted from None
        if sent < len(data):
            raise Parted


def _read_no_more() -> int:
    raise Parted


class Listener:
    """A listening socket that makes peers of who connects.

    `came` is handed each; it is called by the loop. When nobody can be let in, for want of a
    descriptor or whatever, it pauses.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[socket.socket], Peer],
        came: Callable[[Peer], None],
    ) -> None:
        self._sock = sock
        self._make = make
        self._came = came
        self._seldom = Seldom()
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._watch()

    def __repr__(self) -> str:
        return f"<Listener {'paused' if self._later else 'open'}>"

    @property
    def address(self) -> object:
        """Where it listens."""
        return self._sock.getsockname()

    def close(self) -> None:
        """Take nobody any more."""
        if self._later is not None:
            self._later.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _watch(self) -> None:
        self._later = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._seldom.warning("full", "nobody can be let in: %s", error.strerror)
            self._loop.remove_reader(self._sock.fileno())
            self._later = self._loop.call_later(_FULL_S, self._watch)
            return
        try:
            peer = self._make(sock)
        except Parted:
            sock.close()
        else:
            self._came(peer)


def watch(loop: asyncio.AbstractEventLoop, sock: socket.socket, wake: Wake | None) -> None:
    """Call `wake` whenever a socket may be readable; None: not any more."""
    if wake is None:
        loop.remove_reader(sock.fileno())
    else:
        loop.add_reader(sock.fileno(), wake)


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket for publishers. Raises StartError."""
    address = f"tcp://{host}:{port}"
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        found.sort(key=lambda one: one[0] != socket.AF_INET)
        sock = socket.create_server(found[0][4][:2], family=found[0][0], backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StartError(f"the bus cannot listen on {address}: {why}") from None
    sock.setblocking(False)
    return sock


def listen_unix(path: Path) -> socket.socket:
    """A listening socket of the runtime directory's; what an earlier process left there gives way.
    Raises StartError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        sock.bind(os.fspath(path))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise StartError(f"the router cannot listen on {path}: {error.strerror}") from None
    sock.setblocking(False)
    return sock
