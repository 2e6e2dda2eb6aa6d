"""The open pages: each is told the board once a second, and the ticks of the symbol it watches.

1. What a page is told waits in its mailbox, where a newer board or tick takes the older's place.
2. A page that takes nothing for `SLOW_S` is closed. It holds up nobody else.
3. The board is made and encoded once for all pages, and not at all when there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.core.errors import HubError
from hub.runtime.log import Seldom

MOST_PAGES = 64
SLOW_S = 10.0
EVERY_S = 1.0
TICK_S = 0.1
"""The shortest time between two ticks that a page is told."""

_MODES = frozenset({"ltp", "quote", "depth"})
_LONGEST_SYMBOL = 128
_UNREAD = 32
"""A page that asks on while so many answers wait is closed."""

Json = dict[str, Any]
Unwatch = Callable[[], None]


class Board(Protocol):
    """What the page shows, as docs/operations.md has it."""

    def board(self) -> Json:
        """All figures of now."""
        ...

    def history(self) -> Json:
        """`{"every_s": 1, "series": {process: {figure: [values]}}}`, the last two minutes."""
        ...

    def metrics(self) -> tuple[bytes, str]:
        """What `/metrics` answers, and its content type."""
        ...

    def missing(self) -> list[str]:
        """Who is not ready, each in a few words."""
        ...

    def watch(self, symbol: str, mode: str, take: Callable[[Json], None]) -> Awaitable[Unwatch]:
        """Have `take` called with each tick of `NSE:RELIANCE` in the mode ltp, quote or depth, as
        `{"symbol", "exchange", "mode", "data"}`; what is returned ends it. Raises HubError with a
        sentence for the person who asked."""
        ...


class Pages:
    """All that are open. `mark` tells one build of the page from another."""

    def __init__(self, board: Board, mark: str) -> None:
        self._board = board
        self._mark = mark
        self._open: set[_Page] = set()
        self._seldom = Seldom()

    def __repr__(self) -> str:
        return f"<Pages {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    async def tell(self) -> None:
        """Tell all pages, once a second, without end."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._open and (text := self._told()):
                for page in self._open:
                    page.tell(text)

    async def serve(self, socket: WebSocket) -> None:
        """One page, from its coming to its going."""
        await socket.accept()
        if len(self._open) >= MOST_PAGES:
            await socket.close(1013, f"{MOST_PAGES} pages are open already")
            return
        page = _Page(socket, self._board)
        page.say({"type": "history", "page": self._mark} | self._history())
        if text := self._told():
            page.tell(text)
        self._open.add(page)
        try:
            await page.live()
        finally:
            self._open.discard(page)

    def _told(self) -> str:
        """The board as it is sent; empty when it cannot be made, which is logged."""
        try:
            return _text({"type": "board"} | self._board.board())
        except Exception as error:  # noqa: BLE001  # a fault of the board is not to end the monitor
            self._seldom.warning("board", "the page gets no figures: %r", error, error=error)
            return ""

    def _history(self) -> Json:
        try:
            return self._board.history()
        except Exception as error:  # noqa: BLE001  # as above
            self._seldom.warning("history", "the page gets no history: %r", error, error=error)
            return {"every_s": EVERY_S, "series": {}}


class _Page:
    """One open page."""

    def __init__(self, socket: WebSocket, board: Board) -> None:
        self._socket = socket
        self._board = board
        self._news = asyncio.Event()
        self._said: deque[str] = deque()
        self._newest = ""
        self._tick: Json | None = None
        self._next_tick_s = 0.0
        self._unwatch: Unwatch | None = None

    def say(self, message: Json) -> None:
        """Something that is told whole; it is an answer, so the page bounds how much waits."""
        self._said.append(_text(message))
        self._news.set()

    def tell(self, board: str) -> None:
        """The newest board."""
        self._newest = board
        self._news.set()

    async def live(self) -> None:
        """Read and write until the page is gone, or too slow."""
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)
            if self._unwatch:
                self._unwatch()

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            while True:
                await self._news.wait()
                self._news.clear()
                while self._said:
                    await self._send(self._said.popleft())
                if self._newest:
                    text, self._newest = self._newest, ""
                    await self._send(text)
                await self._write_tick()

    async def _write_tick(self) -> None:
        """The newest tick, unless one was sent just now: then later."""
        loop = asyncio.get_running_loop()
        if self._tick is None:
            return
        if (early_s := self._next_tick_s - loop.time()) > 0:
            loop.call_later(early_s, self._news.set)
            return
        tick, self._tick = self._tick, None
        self._next_tick_s = loop.time() + TICK_S
        await self._send(_text({"type": "tick"} | tick))

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SLOW_S):
            await self._socket.send_text(text)

    async def _read(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while len(self._said) < _UNREAD:
                text = await self._socket.receive_text()
                if (asked := _asked(text)) is not None:
                    await self._watch(*asked)

    async def _watch(self, symbol: str, mode: str) -> None:
        """Watch another symbol than before; none if it is empty."""
        if self._unwatch:
            self._unwatch()
        self._unwatch = self._tick = None
        if not symbol:
            return

        def take(tick: Json) -> None:
            if self._unwatch is unwatch:
                self._tick = tick
                self._news.set()

        answer = {"type": "watch", "symbol": symbol, "mode": mode}
        unwatch: Unwatch | None = None
        try:
            unwatch = self._unwatch = await self._board.watch(symbol, mode, take)
        except HubError as error:
            self.say(answer | {"ok": False, "text": str(error)})
        else:
            self.say(answer | {"ok": True, "text": ""})


def _asked(text: str) -> tuple[str, str] | None:
    """The symbol (empty: none) and the mode that a page asks for; None when it is nothing."""
    try:
        asked = msgspec.json.decode(text)
        symbol, mode = asked["watch"] or "", asked.get("mode", "ltp")
        known = mode in _MODES and isinstance(symbol, str) and len(symbol) <= _LONGEST_SYMBOL
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        return None
    return (symbol, mode) if known else None


def _text(message: Json) -> str:
    return msgspec.json.encode(message).decode()
