"""One connection of a client: it logs in, sends requests in order, and hands on what comes.

1. Replies come in the order of the requests; that is how they are matched.
2. Who is told to wait reads no further, unless somebody waits for a reply.
3. A line on which nothing comes, not even the answer to a ping, is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.client import messages, wishes
from hub.client.messages import Message
from hub.core.errors import RequestError

_GREET_S = 30.0
"""How long the hub may take to answer an authenticate: it may wait for a broker's login."""

_PING_S = 20.0
_MOST_BYTES = 64 << 20
_OF_THEMSELVES = frozenset({"market_data", "order_update", "stale"})
"""The types of what comes without being asked for each time."""


class LineLost(Exception):
    """The connection has ended before the reply to a request came."""


class Line:
    """A WebSocket to the hub. `take` gets what comes of itself, with the time in ns since the
    epoch; `full` says whether to read no further until `go_on` is called."""

    def __init__(
        self,
        socket: ClientConnection,
        take: Callable[[Message, int], None],
        full: Callable[[], bool],
    ) -> None:
        self._socket = socket
        self._take = take
        self._full = full
        self._waiting: deque[asyncio.Future[Message]] = deque()
        self._paused = self._ended = False
        self._readable = asyncio.Event()
        self._heard_s = time.monotonic()

    def __repr__(self) -> str:
        return f"<Line {'paused' if self._paused else 'reading'}, {len(self._waiting)} asked>"

    async def greet(self, key: str, form: dict[str, Any]) -> None:
        """Log in. Raises RequestError when the hub does not want us, TimeoutError."""
        await self._socket.send(wishes.request("authenticate", api_key=key, **form))
        async with asyncio.timeout(_GREET_S):
            (reply,) = messages.read(await self._socket.recv())
        if reply.get("status") != "success":
            raise RequestError(str(reply.get("code", "")), str(reply.get("message", "")))

    async def call(self, text: str) -> Message:
        """Send a request; its reply. Raises RequestError, LineLost."""
        if self._ended:
            raise LineLost
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.go_on()
        # Whoever is cancelled leaves a whole request behind, or replies would be mismatched.
        sending = asyncio.create_task(self._socket.send(text))
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.shield(sending)
        except ConnectionClosed:
            raise LineLost from None
        reply = await answer
        if reply.get("status") == "error" and "code" in reply:
            raise RequestError(str(reply["code"]), str(reply.get("message", "")))
        return reply

    def go_on(self) -> None:
        """There is room again."""
        self._readable.set()

    async def read(self) -> None:
        """Read until the connection ends. Raises ConnectionClosedError unless it ended well."""
        watch = asyncio.create_task(self._watch())
        try:
            async for message in self._socket:
                self._hand_on(message, time.time_ns())
                while self._full() and not self._waiting:
                    await self._pause()
                self._heard_s = time.monotonic()
        finally:
            self._ended = True
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(LineLost())
                    answer.exception()  # it is no news to whoever does not wait any more

    def _hand_on(self, message: str | bytes, now_ns: int) -> None:
        for one in messages.read(message):
            if one.get("type") in _OF_THEMSELVES:
                self._take(one, now_ns)
            elif self._waiting:
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(one)

    async def _pause(self) -> None:
        self._paused = True
        self._readable.clear()
        await self._readable.wait()
        self._paused = False

    async def _watch(self) -> None:
        """While nobody reads, an answer to a ping would not be seen."""
        while True:
            pong = asyncio.ensure_future(await self._socket.ping())
            await asyncio.sleep(_PING_S)
            silent = time.monotonic() - self._heard_s >= _PING_S
            if silent and not pong.done() and not self._paused:
                self._socket.transport.abort()


@contextlib.asynccontextmanager
async def open_line(
    url: str,
    timeout_s: float,
    transport: dict[str, Any],
    take: Callable[[Message, int], None],
    full: Callable[[], bool],
) -> AsyncIterator[Line]:
    """A connection within `timeout_s`, closed at the end. Raises what `websockets` raises."""
    options = {"compression": None, "proxy": None, "max_size": _MOST_BYTES}
    options |= {"ping_interval": None, "close_timeout": 1}
    socket = await connect(url, open_timeout=timeout_s, **(options | transport))
    try:
        yield Line(socket, take, full)
        if socket.close_code is not None:
            raise ConnectionClosed(socket.protocol.close_rcvd, None)
    finally:
        await socket.close()
