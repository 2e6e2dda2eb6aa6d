"""Open pages: what each is told, and that none holds up another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from hub.core.errors import HubError
from hub.monitor import live
from hub.monitor.live import Pages

Json = dict[str, Any]


class Socket:
    """A page's end: what it was told, what it says next, and whether it reads at all."""

    def __init__(self) -> None:
        self.told: list[Json] = []
        self.news = asyncio.Event()
        self.says: asyncio.Queue[str | None] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.closed: tuple[int, str] | None = None

    async def accept(self) -> None:
        pass

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    async def send_text(self, text: str) -> None:
        await self.reads.wait()
        self.told.append(json.loads(text))
        self.news.set()

    async def receive_text(self) -> str:
        if (said := await self.says.get()) is None:
            raise WebSocketDisconnect(1001)
        return said

    def say(self, what: object) -> None:
        self.says.put_nowait(what if isinstance(what, str) else json.dumps(what))

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not met():
                self.news.clear()
                await self.news.wait()

    def of(self, kind: str) -> list[Json]:
        return [one for one in self.told if one["type"] == kind]


class Board:
    """Counts how often it is made; `fails` makes it raise."""

    def __init__(self) -> None:
        self.made = 0
        self.fails = False
        self.watching: dict[str, Callable[[Json], None]] = {}

    def board(self) -> Json:
        self.made += 1
        if self.fails:
            raise ValueError("no board")
        return {"number": self.made}

    def history(self) -> Json:
        if self.fails:
            raise ValueError("no history")
        return {"every_s": 1, "series": {"router": {"in_s": [1.0, None]}}}

    def metrics(self) -> tuple[bytes, str]:
        return b"", ""

    def missing(self) -> list[str]:
        return []

    async def watch(
        self, symbol: str, mode: str, take: Callable[[Json], None]
    ) -> Callable[[], None]:
        if ":" not in symbol:
            raise HubError("no such symbol")
        self.watching[f"{symbol} {mode}"] = take

        def unwatch() -> None:
            del self.watching[f"{symbol} {mode}"]

        return unwatch


def run(test: Callable[[Pages, Board], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        board = Board()
        pages = Pages(board, "mark")
        telling = asyncio.create_task(pages.tell())
        try:
            await test(pages, board)
        finally:
            telling.cancel()

    asyncio.run(main())


def come(pages: Pages) -> tuple[Socket, asyncio.Task[None]]:
    socket = Socket()
    served = pages.serve(socket)  # type: ignore[arg-type]  # a socket of our own
    return socket, asyncio.create_task(served)


async def go(socket: Socket, served: asyncio.Task[None]) -> None:
    socket.says.put_nowait(None)
    async with asyncio.timeout(10):
        await served


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.01)


def test_a_page_is_told_history_first_and_then_boards() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        await socket.until(lambda: len(socket.of("board")) >= 3)
        history = {"every_s": 1, "series": {"router": {"in_s": [1.0, None]}}}
        assert socket.told[0] == {"type": "history", "page": "mark"} | history
        assert socket.told[1] == {"type": "board", "number": 1}
        await go(socket, served)
        assert len(pages) == 0

    run(test)


def test_no_board_is_made_for_nobody_and_one_for_all() -> None:
    async def test(pages: Pages, board: Board) -> None:
        await asyncio.sleep(0.05)
        assert board.made == 0
        all_pages = [come(pages) for _ in range(5)]
        first = all_pages[0][0]
        await first.until(lambda: len(first.of("board")) >= 4)
        assert board.made < 5 + 6, "one for each that came, and then one for all"
        for socket, served in all_pages:
            await go(socket, served)

    run(test)


def test_a_board_that_fails_is_logged_and_the_next_one_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(pages: Pages, board: Board) -> None:
        board.fails = True
        socket, served = come(pages)
        await socket.until(lambda: socket.told)
        assert socket.told == [{"type": "history", "page": "mark", "every_s": 0.01, "series": {}}]
        board.fails = False
        await socket.until(lambda: socket.of("board"))
        await go(socket, served)

    run(test)
    assert caplog.text.count("the page gets no figures") == 1


def test_a_page_that_reads_nothing_is_closed_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "SLOW_S", 0.1)

    async def test(pages: Pages, board: Board) -> None:
        slow, slow_served = come(pages)
        other, other_served = come(pages)
        await other.until(lambda: other.of("board"))
        slow.reads.clear()
        seen = len(other.of("board"))
        async with asyncio.timeout(10):
            await slow_served
        assert len(other.of("board")) > seen
        assert len(pages) == 1
        await go(other, other_served)

    run(test)


def test_a_page_that_was_slow_for_a_moment_is_told_the_newest_alone() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        other, other_served = come(pages)
        await socket.until(lambda: socket.of("board"))
        socket.reads.clear()
        await other.until(lambda: len(other.of("board")) > 6)
        newest = board.made
        told = len(socket.of("board"))
        socket.reads.set()
        await socket.until(lambda: socket.of("board")[-1]["number"] >= newest)
        assert len(socket.of("board")) <= told + 2
        await go(socket, served)
        await go(other, other_served)

    run(test)


def test_of_too_many_pages_the_last_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_PAGES", 1)

    async def test(pages: Pages, board: Board) -> None:
        first, served = come(pages)
        await first.until(lambda: first.told)
        second, refused = come(pages)
        await refused
        assert second.closed == (1013, "1 pages are open already")
        await go(first, served)

    run(test)


def test_a_page_watches_one_symbol_at_a_time_and_none_when_it_goes() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        socket.say({"watch": "NSE:INFY", "mode": "depth"})
        await socket.until(lambda: socket.of("watch"))
        assert socket.of("watch") == [
            {"type": "watch", "symbol": "NSE:INFY", "mode": "depth", "ok": True, "text": ""}
        ]
        before = board.watching["NSE:INFY depth"]
        before({"symbol": "INFY", "data": {"ltp": 1}})
        await socket.until(lambda: socket.of("tick"))
        assert socket.of("tick") == [{"type": "tick", "symbol": "INFY", "data": {"ltp": 1}}]
        socket.say({"watch": "NSE:TCS"})
        await socket.until(lambda: len(socket.of("watch")) == 2)
        assert list(board.watching) == ["NSE:TCS ltp"]
        before({"symbol": "INFY", "data": {"ltp": 2}})
        board.watching["NSE:TCS ltp"]({"symbol": "TCS", "data": {"ltp": 3}})
        await socket.until(lambda: len(socket.of("tick")) == 2)
        assert socket.of("tick")[1]["symbol"] == "TCS"
        await go(socket, served)
        assert not board.watching

    run(test)


def test_what_cannot_be_watched_is_told_and_what_makes_no_sense_is_ignored() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        for nonsense in ("{", "[]", "1", '"x"', {"watch": 1}, {"watch": "A:B", "mode": []}, {},
                         {"watch": "A:B", "mode": "all"}, {"watch": "A:" + "B" * 200}):  # fmt: skip
            socket.say(nonsense)
        socket.say({"watch": "nothing", "mode": "ltp"})
        await socket.until(lambda: socket.of("watch"))
        asked = {"type": "watch", "symbol": "nothing", "mode": "ltp"}
        assert socket.of("watch") == [asked | {"ok": False, "text": "no such symbol"}]
        socket.say({"watch": None})
        await go(socket, served)

    run(test)


def test_ticks_come_no_faster_than_a_person_reads_and_the_newest_comes() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        socket.say({"watch": "A:B"})
        await socket.until(lambda: socket.of("watch"))
        for number in range(500):
            board.watching["A:B ltp"]({"n": number})
            await asyncio.sleep(0)
        await socket.until(lambda: socket.of("tick") and socket.of("tick")[-1]["n"] == 499)
        assert len(socket.of("tick")) < 100
        await go(socket, served)

    run(test)


def test_a_page_that_asks_on_and_reads_no_answer_is_closed() -> None:
    async def test(pages: Pages, board: Board) -> None:
        socket, served = come(pages)
        await socket.until(lambda: socket.told)
        socket.reads.clear()
        for _ in range(100):
            socket.say({"watch": "A:B"})
        async with asyncio.timeout(10):
            await served
        assert socket.says.qsize() > 50

    run(test)
