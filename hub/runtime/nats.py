"""The door to NATS: a connection that is made anew for ever. Only this file imports `nats`.

1. nats-py's client lives as long as one connection: what is to last longer is kept here.
2. Nobody waits: what is published goes at once, in order, or not at all, and its sender hears that.
3. A link that is cut is noticed within some 5 s, and nothing of it comes after what follows it.
4. What a server refuses, and why there is no connection, is told in a sentence, without a secret.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from hub.core.errors import NoAnswer, NobodyListens
from hub.core.settings import Nats as NatsSettings
from hub.runtime.log import Seldom, log
from hub.runtime.nats_login import NO_TLS, Login, login, reason

Take = Callable[[str, bytes, str], None]
"""Gets the subject of a message, what it says, and where an answer goes, empty if nowhere."""

_Result = TypeVar("_Result")
_MOST_BYTES = 8 << 20
"""What may wait here; as much again may wait in the transport."""
_TRY_S = 4.0
_SHORTEST_S, _LONGEST_S = 0.2, 1.0
_PING_S = 1.0
_PINGS = 5
"""So many of those seconds without an answer, and the link is cut."""
_LEAVE_S = 1.0
_AGAIN_S = 0.1
_NEVER_S = 1 << 30
_FIRST = asyncio.FIRST_COMPLETED
_COUNTS = ("in_msgs", "in_bytes", "out_msgs", "out_bytes")


class Subscription:
    """A subject that is heard, over all connections, until it is closed."""

    def __init__(self, door: Nats, subject: str, take: Take) -> None:
        self.subject = subject
        self._door = door
        self._take = take
        self._inner: Any = None  # nats-py's, of the connection that is

    def __repr__(self) -> str:
        return f"<Subscription to {self.subject}>"

    def close(self) -> None:
        """Hear no more of it."""
        self._door._subscriptions.pop(self, None)  # noqa: SLF001  # the door and its parts
        inner, self._inner = self._inner, None
        if inner is not None:
            with suppress(nats.errors.Error):
                _drive(inner.unsubscribe())

    def _stand(self, client: Client) -> None:
        """Subscribe with this connection."""
        with suppress(nats.errors.ConnectionClosedError):
            self._inner = _drive(
                client.subscribe(
                    self.subject, cb=self._heard, pending_msgs_limit=0, pending_bytes_limit=0
                )
            )

    async def _heard(self, message: Msg) -> None:
        try:
            self._take(message.subject, message.data, message.reply)
        except Exception as error:  # noqa: BLE001  # the next message goes on
            self._door._fault(f"what was heard on {self.subject}", error)  # noqa: SLF001  # see above


class Nats:
    """A connection to one of the servers of the settings, under a name that NATS shows.

    `up` is called at every connect, when all subscriptions stand; `down` at every loss.
    """

    def __init__(
        self,
        settings: NatsSettings,
        name: str,
        *,
        up: Callable[[], None] = lambda: None,
        down: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._up, self._down = up, down
        self._subscriptions: dict[Subscription, None] = {}
        self._link: _Link | None = None  # while there is a connection
        self._task: asyncio.Task[None] | None = None
        self._counts: Counter[str] = Counter(dict.fromkeys(("dropped", "slow", "errors"), 0))
        self._connects = 0
        self._rtt_ms: float | None = None
        self._seldom = Seldom()
        self.address = ""
        """Where it is connected to, as host:port; empty while it is not."""

    def __repr__(self) -> str:
        return f"<Nats {self._name!r} {f'at {self.address}' if self.connected else 'away'}>"

    async def start(self) -> None:
        """Begin to connect, and go on for ever. Raises ConfigError for files that are of no use."""
        login(self._settings)
        self._task = asyncio.create_task(self._live())

    @property
    def _client(self) -> Client | None:
        return self._link.client if self._link is not None else None

    @property
    def connected(self) -> bool:
        """Whether what is published now goes anywhere."""
        return self._client is not None and self._client.is_connected

    @property
    def has_room(self) -> bool:
        """Whether much can be published just now."""
        return self._client is not None and self._client.pending_data_size < _MOST_BYTES // 2

    @property
    def max_payload(self) -> int:
        """Bytes that a message may have at this server; NATS's usual ones while there is none."""
        return self._client.max_payload if self._client else 1 << 20

    @property
    def js(self) -> Any:
        """JetStream by this connection; ask anew after each `up`. Raises NoAnswer."""
        if self._client is None:
            raise NoAnswer("NATS", 0)
        return self._client.jetstream()

    def publish(self, subject: str, *parts: bytes) -> bool:
        """Send a message; False when it is lost: there is no connection, or too much waits."""
        client = self._client
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if client is None or client.pending_data_size + len(data) > _MOST_BYTES:
            self._counts["dropped"] += 1
            return False
        try:
            _drive(client.publish(subject, data))
        except nats.errors.MaxPayloadError:
            self._told(
                "size",
                f"a message of {len(data)} bytes is more than NATS takes; "
                f"raise max_payload in its configuration, now {client.max_payload}",
            )
        except nats.errors.Error:  # it has just gone
            pass
        else:
            return True
        self._counts["dropped"] += 1
        return False

    def subscribe(self, subject: str, take: Take) -> Subscription:
        """Have `take` called with each message, in order; stands for all connections to come."""
        made = Subscription(self, subject, take)
        self._subscriptions[made] = None
        if self._client is not None:
            made._stand(self._client)  # noqa: SLF001  # the door and its parts
        return made

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> bytes:
        """The answer of whoever answers first. Raises NoAnswer; NobodyListens at once."""
        if self._client is None:
            raise NoAnswer(subject, timeout_s)
        try:
            request = self._client.request(subject, data, timeout_s, headers=headers)
            return (await request).data
        except nats.errors.NoRespondersError:
            raise NobodyListens(subject, timeout_s) from None
        except nats.errors.MaxPayloadError:
            self._told(
                "size",
                f"a question of {len(data)} bytes is more than NATS takes; "
                f"raise max_payload in its configuration, now {self.max_payload}",
            )
        except nats.errors.Error:
            pass
        raise NoAnswer(subject, timeout_s)

    def figures(self) -> dict[str, Any]:
        """What the heartbeat says of it, by the names that NATS has for them."""
        client = self._client
        counts = self._counts + Counter(client.stats) if client else self._counts
        return {
            "server": self.address,
            "connected": self.connected,
            "reconnects": max(0, self._connects - 1),
            **{name: counts[name] for name in (*_COUNTS, "dropped", "slow", "errors")},
            "pending_bytes": client.pending_data_size if client else 0,
            "rtt_ms": self._rtt_ms,
        }

    async def stop(self) -> None:
        """Send what waits, within a second, and leave; `down` is not called."""
        link, self._link = self._link, None
        task = self._task
        while task is not None and not task.done():  # nats-py may swallow a cancellation
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN_S)
        if link is not None:
            with suppress(nats.errors.Error, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    for _ in range(2):  # its first PING overtakes what waits
                        await link.client.flush()
            await link.close()

    async def _live(self) -> None:
        """One connection after another: at once to another server, then by and by."""
        servers = list(self._settings.servers)
        random.shuffle(servers)
        tries = 0
        for server in itertools.cycle(servers):
            try:
                if (link := await self._connect(server)) is not None:
                    tries = 0
                    await self._stay(link)
                    await link.close(cut=True)
            except Exception as error:  # noqa: BLE001  # for ever means for ever
                self._fault("the door to NATS", error)
            tries += 1
            if tries % len(servers) == 0:
                longest_s = min(_LONGEST_S, _SHORTEST_S * 2 ** (tries // len(servers) - 1))
                await asyncio.sleep(longest_s * random.uniform(0.5, 1))  # noqa: S311  # no secret

    async def _connect(self, server: str) -> _Link | None:
        link = _Link(self, server)
        try:
            async with asyncio.timeout(_TRY_S):
                await link.connect(login(self._settings), self._name)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told, and tried again
            told = link.last if isinstance(error, nats.errors.NoServersError) else error
            self._counts["errors"] += isinstance(told, nats.errors.Error)  # it has said no
            self._told(server, f"NATS at {link.address}: {reason(told or error, self._settings)}")
        except BaseException:
            link.cut()
            raise
        else:
            return link
        await link.close(cut=True)
        return None

    async def _stay(self, link: _Link) -> None:
        """From connect to loss."""
        self._link, self.address = link, link.address
        self._connects += 1
        for subscription in self._subscriptions:
            subscription._stand(link.client)  # noqa: SLF001  # the door and its parts
        log.info("NATS: connected to %s", self.address)
        self._call(self._up)
        async for self._rtt_ms in link.pings():
            pass
        self._link, self.address, self._rtt_ms = None, "", None
        self._counts.update({name: link.client.stats[name] for name in _COUNTS})
        self._told(
            "lost",
            f"NATS at {link.address} is lost: {link.lost.result()}; tried anew until it is there",
        )
        self._call(self._down)

    def _call(self, told: Callable[[], None]) -> None:
        try:
            told()
        except Exception as error:  # noqa: BLE001  # the connection goes on
            self._fault("up or down", error)

    def _fault(self, what: str, error: Exception) -> None:
        self._seldom.warning(what, "a fault of the hub itself in %s", what, error=error)

    def _told(self, source: str, text: str) -> None:
        self._seldom.warning(source, "%s", text)

    def _heard(self, link: _Link, error: Exception) -> None:
        """What nats-py has to say while there is a connection."""
        text = str(error)
        if isinstance(error, nats.errors.SlowConsumerError) or "slow consumer" in text.lower():
            self._counts["slow"] += 1
            self._told("slow", "messages of NATS were lost: this machine takes them too slowly")
        elif self._link is link and not isinstance(error, nats.errors.UnexpectedEOF):
            self._counts["errors"] += 1
            self._told(text, f"NATS at {link.address}: {reason(error, self._settings)}")


class _Link:
    """One connection, from its first byte to its last."""

    def __init__(self, door: Nats, server: str) -> None:
        found = urlsplit(server)
        self.server = server
        self.address = f"{found.hostname}:{found.port or 4222}"
        self.client = Client()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.last: Exception | None = None
        self._door = door
        self._ping: asyncio.Task[float] | None = None
        self._asked_s = self._awake_s = time.monotonic()
        self._late_s = -math.inf
        self._before = 0  # messages that had come when the last PING went

    async def connect(self, login: Login, name: str) -> None:
        """Returns when the server has taken us. Raises whatever is in the way."""
        self._secure = login.tls is not None
        who: dict[str, Any] = {}
        if login.user:
            who = {"user": login.user, "password": self._under_tls(login.password)}
        elif login.token:
            who = {"token": self._under_tls(login.token)}
        elif login.seed:
            who = {"nkeys_seed_str": login.seed}
        elif login.creds:
            who = {"user_credentials": RawCredentials(login.creds)}
        await self.client.connect(
            [self.server],
            name=name,
            error_cb=self._error,
            disconnected_cb=self._gone,
            allow_reconnect=False,  # rule 1
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=_NEVER_S,  # see pings
            pending_size=0,  # with these two it never waits for room, see _drive
            flusher_queue_size=0,
            tls=login.tls,
            **who,
        )
        self._check_tls()
        if not self.client.is_connected:
            raise nats.errors.UnexpectedEOF

    async def pings(self) -> AsyncIterator[float]:
        """Milliseconds that the way there and back takes, once a second until it is lost."""
        while not self.lost.done():
            self._asked_s, self._before = time.monotonic(), self.client.stats["in_msgs"]
            self._ping = ping = asyncio.create_task(self.client.rtt(_NEVER_S))
            either: list[asyncio.Future[Any]] = [ping, self.lost]
            for _ in range(_PINGS):  # in steps: a process that was stopped hears the answer first
                await asyncio.wait(either, timeout=_PING_S, return_when=_FIRST)
                if ping.done() or self.lost.done():
                    break
                self._behind()
            if self.lost.done():
                return
            if not ping.done() or ping.exception() is not None:
                self._lose(f"no answer for {_PINGS * _PING_S:g} s")
                return
            yield (time.monotonic() - self._asked_s) * 1000
            await asyncio.wait([self.lost], timeout=_PING_S)
            self._behind()

    def _behind(self) -> bool:
        """Whether of late we have not taken what came as it came: this process stood still, or
        messages came and the answer behind them did not."""
        now = time.monotonic()
        asks = self._ping is not None and not self._ping.done() and now - self._asked_s > _PING_S
        if now - self._awake_s > 2 * _PING_S or (
            asks and self.client.stats["in_msgs"] > self._before
        ):
            self._late_s = now
        self._awake_s = now
        return now - self._late_s < _PINGS * _PING_S

    def cut(self) -> None:
        """End it now: what has not been sent stays unsent, even what the kernel has of it."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            return
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def close(self, *, cut: bool = False) -> None:
        """End it; raises nothing."""
        if cut:
            self.cut()
        with suppress(Exception):
            await asyncio.wait_for(self.client.close(), _LEAVE_S)
        self.cut()
        for one in self.client._subs.values():  # noqa: SLF001  # left when its last write fails
            one._stop_processing()  # noqa: SLF001  # see above
        if self._ping is not None:
            self._ping.cancel()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        """nats-py has no word for its socket, and closing it may take until TCP gives up."""
        return getattr(self.client._transport, "_io_writer", None)  # noqa: SLF001  # see above

    def _under_tls(self, secret: str) -> Callable[[], str]:
        """Gives a secret away at the last moment, and not to a server that wants it in the open."""

        def give() -> str:
            self._check_tls()
            return secret

        return give

    def _check_tls(self) -> None:
        writer = self._writer
        if self._secure and (writer is None or writer.get_extra_info("ssl_object") is None):
            raise nats.errors.Error(NO_TLS)

    async def _error(self, error: Exception) -> None:
        self.last = error
        self._door._heard(self, error)  # noqa: SLF001  # the door and its parts
        if isinstance(error, nats.errors.UnexpectedEOF):
            self._lose("it has closed the connection")

    async def _gone(self) -> None:
        error = self.client.last_error
        if error is not None:
            self._door._heard(self, error)  # noqa: SLF001  # the door and its parts
        self._lose(str(error or "the connection was closed"))

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        if self._behind():  # who is too slow is dropped by the server without a word
            self._door._counts["slow"] += 1  # noqa: SLF001  # the door and its parts
            why += ", and we, or the link, had been too slow to take what it sends"
        self.lost.set_result(why)


def _drive(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What nats-py's coroutine gives, at once: as it is asked here, none of them ever waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: _Result = end.value
        return result
    work.close()
    raise RuntimeError("nats-py waits where it did not")
