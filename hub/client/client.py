"""The client itself: one line after another, and what outlives each of them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from websockets.exceptions import InvalidURI, WebSocketException

from hub.client import messages, wishes
from hub.client.inbox import Inbox
from hub.client.line import Line, LineLost, open_line
from hub.client.messages import Message, Outcome, Stale, State, Tick
from hub.client.retry import STEADY_S, Backoff, asked_s, is_full, reason
from hub.client.wishes import Held, Symbols, Wish
from hub.core.errors import HubError, NotRunning, NotTrusted, RequestError, SubscribeError
from hub.core.model import Instrument, Mode

_FINAL = frozenset({"AUTHENTICATION_ERROR", "INVALID_PARAMETERS"})
"""What a hub says that will not be otherwise in a minute."""


class Options(NamedTuple):
    """What `connect` was given beside address and key; `form` goes into each authenticate."""

    form: dict[str, Any]
    queue: int
    timeout_s: float
    wait: bool
    on_state: Callable[[State], object] | None
    on_stale: Callable[[Stale], object] | None
    transport: dict[str, Any]


def connect(
    url: str,
    key: str,
    *,
    form: str = "json",
    batch: bool = True,
    snapshot: bool | None = None,
    max_rate: float | None = None,
    conflation_info: bool = False,
    on_state: Callable[[State], object] | None = None,
    on_stale: Callable[[Stale], object] | None = None,
    queue: int = 10_000,
    timeout_s: float = 10.0,
    wait: bool = False,
    **transport: Any,
) -> Client:
    """A client of the hub at `url` (`ws://HOST:PORT`), which connects in `async with`.

    `form` is how ticks travel, `json` or `msgpack`, which is cheaper to read; with `batch` those
    that leave the hub together are one message. `snapshot` says whether last values follow a
    subscribe (None: as the hub's settings), `max_rate` how many ticks a second of each topic there
    may be at most, `conflation_info` whether `tick.skipped` counts what the hub left out.

    `on_state` is called when the connection is made, lost and over; `on_stale` when a symbol
    becomes stale or is no more. Both are called between ticks and must not wait.

    `queue` is how many ticks may wait for who reads; then the client reads no further, and the hub
    keeps the newest of each topic until it does. While a reply is waited for it reads on, and keeps
    the newest of each topic itself. Who takes nothing for half a minute is disconnected by the hub,
    and is connected again when he does.

    At first there has to be a hub, within `timeout_s` when it is full: else NotRunning is raised;
    with `wait` it is waited for. RequestError is raised when the key is not good. Whatever else is
    given goes to `websockets.asyncio.client.connect`: `ssl`, `proxy`, or `unix=True, path=...`.
    """
    if form not in {"json", "msgpack"}:
        raise ValueError(f"form {form!r} is not json or msgpack")
    wish = {
        "batch": batch or None,
        "encoding": form if form != "json" else None,
        "snapshot": snapshot,
        "max_rate": max_rate,
        "conflation_info": conflation_info or None,
        "stale_info": on_stale is not None or None,
    }
    return Client(url, key, Options(wish, queue, timeout_s, wait, on_state, on_stale, transport))


class Client:
    """One user of the hub. Use it in `async with`, and read it by `async for`.

    All that is subscribed is held until it is unsubscribed, through any number of connections.
    After each of them last values come again, so that a tick may come twice.
    """

    def __init__(self, url: str, key: str, options: Options) -> None:
        self.url = url
        self.state = State(connected=False, reason="not connected yet")
        self._key = key
        self._options = options
        self._held = Held()
        self._on_order: Callable[[Message], object] | None = None
        self._inbox = Inbox(max(1, options.queue))
        self._line: Line | None = None
        self._was_there = False
        self._closed = False
        self._error: Exception | None = None
        self._arrived, self._turned = asyncio.Event(), asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "connected" if self.state.connected else self.state.reason
        return f"<Client {self.url} {state}, {len(self._held)} held, {len(self._inbox)} waiting>"

    # Beginning and end.

    async def __aenter__(self) -> Self:
        """Connect and log in. Raises NotRunning, NotTrusted, RequestError, HubError."""
        self._runner = asyncio.create_task(self._run())
        try:
            await self._connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. Whoever reads gets what has come, and then the end."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if not self._closed:
            self._closed = True
            if self._error is None:  # else that was the end
                self._end()

    # Reading.

    def __aiter__(self) -> AsyncIterator[Tick]:
        return self

    async def __anext__(self) -> Tick:
        """The next tick. Raises what ended the client, StopAsyncIteration after `close`."""
        if not await self._any():
            raise StopAsyncIteration
        tick = self._inbox.take()
        self._made_room()
        return tick

    async def take(self) -> list[Tick]:
        """All ticks that have come, at least one: it costs less than one by one, where many come.
        Empty after `close`. Raises what ended the client."""
        found = self._inbox.take_all() if await self._any() else []
        self._made_room()
        return found

    async def _any(self) -> bool:
        """Wait for a tick; whether there is one. Raises what ended the client."""
        while not len(self._inbox):
            if self._closed:
                return False
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return True

    def _made_room(self) -> None:
        if self._line is not None and not self._inbox.full:
            self._line.go_on()

    # Asking.

    async def subscribe(
        self,
        symbols: Symbols,
        mode: str | int = "quote",
        *,
        depth: int = 0,
        max_rate: float | None = None,
        snapshot: bool | None = None,
        strict: bool = True,
    ) -> list[Outcome]:
        """Subscribe to symbols (`NSE:RELIANCE`) in a mode: `ltp`, `quote` or `depth`.

        `depth` is how many levels of the book are asked for in Depth mode (0: what the hub gives
        unasked, 5); the outcomes tell how many the feed gives. There is one for each symbol.
        Raises SubscribeError naming those that failed, unless not `strict`; the others are
        subscribed all the same. Raises ValueError when it is no symbol or no mode.
        """
        wanted = wishes.instruments(symbols)
        wish = Wish(Mode.from_client(mode), depth, max_rate, snapshot)
        found = await self._ask(wanted, wishes.subscribe(wanted, wish))
        self._held.add((one.instrument for one in found if one.ok), wish)
        failed = {one.name: one.error for one in found if one.error}
        if failed and strict:
            raise SubscribeError(failed)
        return found

    async def unsubscribe(self, symbols: Symbols, mode: str | int | None = None) -> list[Outcome]:
        """Drop symbols in a mode, or in all modes; what is not held counts as dropped."""
        wanted = wishes.instruments(symbols)
        found = {one: Outcome(one) for one in wanted}
        for each in Mode if mode is None else [Mode.from_client(mode)]:
            some = self._held.still(wanted, each) if mode is None else wanted
            self._held.drop(some, each)
            for one in await self._ask(some, wishes.unsubscribe(some, each)):
                found[one.instrument] = one
        return list(found.values())

    async def unsubscribe_all(self) -> None:
        """Drop every symbol in every mode; order updates go on."""
        self._held.clear()
        await self.ask("unsubscribe_all")

    async def subscribe_orders(self, on_order: Callable[[Message], object]) -> None:
        """Have `on_order` called with each order update of the key's user, as the bus has it. It is
        called between ticks, as they come, and must not wait. Updates that come while the
        connection is away are missed: when `on_state` tells of one, ask the broker."""
        self._on_order = on_order
        await self.ask("subscribe_orders")

    async def unsubscribe_orders(self) -> None:
        """No more order updates."""
        self._on_order = None
        await self.ask("unsubscribe_orders")

    async def ask(self, action: str, **fields: object) -> Message:
        """Any other request of docs/protocol.md, such as `get_broker_info`; its reply.
        Raises RequestError."""
        return await self._call(wishes.request(action, **fields))

    async def _ask(self, wanted: Sequence[Instrument], requests: Iterable[str]) -> list[Outcome]:
        """Send requests; what has become of each instrument, in their order."""
        replies = await asyncio.gather(*map(self._call, requests))
        found = {one.instrument: one for reply in replies for one in messages.outcomes(reply)}
        return [found.get(one, Outcome(one, "the hub has not answered for it")) for one in wanted]

    async def _call(self, text: str) -> Message:
        """The reply to a request, which is sent again when the connection is lost meanwhile."""
        while True:
            with contextlib.suppress(LineLost):
                return await (await self._connected()).call(text)

    async def _connected(self) -> Line:
        """Wait for a line. Raises what ended the client."""
        while self._line is None:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise HubError("this client is closed")
            self._turned.clear()
            await self._turned.wait()
        return self._line

    # One line after the other.

    async def _run(self) -> None:
        """Connect, again and again; ends with what cannot be mended."""
        backoff = Backoff()
        until_s = time.monotonic() + self._options.timeout_s
        try:
            while True:
                began_s = time.monotonic()
                error = await self._once()
                now_s = time.monotonic()
                if self._was_there and now_s - began_s > STEADY_S:
                    backoff.reset()
                wait_s = backoff.next(asked_s(error, time.time()))
                patient = self._was_there or self._options.wait
                if not patient and not (is_full(error) and now_s + wait_s < until_s):
                    raise self._absent(error)
                self._tell(State(connected=False, reason=reason(error), again_s=wait_s))
                await asyncio.sleep(wait_s)
        except Exception as error:  # noqa: BLE001  # whoever reads the client gets it
            self._error = error
            self._end()

    def _absent(self, error: Exception) -> HubError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return NotTrusted(f"the certificate of {self.url} is not trusted: {reason(error)}")
        return NotRunning(f"no hub answers at {self.url} ({reason(error)})")

    async def _once(self) -> Exception:
        """One connection, from its beginning to its end; why it ended. Raises what is final."""
        options = self._options
        try:
            async with open_line(
                self.url, options.timeout_s, options.transport, self._take, lambda: self._inbox.full
            ) as line:
                await line.greet(self._key, options.form)
                await self._live(line)
        except InvalidURI as error:
            raise HubError(f"{self.url} is not a WebSocket address: {error.msg}") from None
        except RequestError as error:
            if error.code in _FINAL or not (self._was_there or options.wait):
                raise
            return error
        except (OSError, WebSocketException) as error:
            return error
        return ConnectionError("connection lost")

    async def _live(self, line: Line) -> None:
        """Serve a line that has logged in until it ends."""
        restore = asyncio.create_task(self._restore())
        self._line, self._was_there = line, True
        try:
            self._tell(State(connected=True))
            await line.read()
        finally:
            self._line = None
            restore.cancel()
            await asyncio.gather(restore, return_exceptions=True)

    def _take(self, message: Message, now_ns: int) -> None:
        kind = message["type"]
        if kind == "market_data":
            self._inbox.put(messages.tick(message, now_ns))
            self._arrived.set()
        elif kind == "order_update" and self._on_order is not None:
            self._on_order(message)
        elif kind == "stale" and self._options.on_stale is not None:
            self._options.on_stale(messages.stale(message))

    async def _restore(self) -> None:
        """Subscribe all that was held before this connection; what is refused, again later."""
        left = self._held.by_wish()
        if self._on_order is not None:
            await self.ask("subscribe_orders")
        backoff = Backoff(1.0, 30.0)
        while left:
            left = {wish: await self._refused(wanted, wish) for wish, wanted in left.items()}
            left = {wish: wanted for wish, wanted in left.items() if wanted}
            if left:
                await asyncio.sleep(backoff.next())

    async def _refused(self, wanted: Sequence[Instrument], wish: Wish) -> list[Instrument]:
        """Subscribe those of these that are still held; which of them were refused."""
        wanted = self._held.still(wanted, wish.mode)
        try:
            found = await self._ask(wanted, wishes.subscribe(wanted, wish))
        except RequestError:
            return wanted
        return [one.instrument for one in found if not one.ok]

    def _tell(self, state: State) -> None:
        self.state = state
        self._turned.set()
        if self._options.on_state is not None:
            self._options.on_state(state)

    def _end(self) -> None:
        """Nothing more comes."""
        self._arrived.set()
        self._tell(State(connected=False, reason=reason(self._error) if self._error else "closed"))
