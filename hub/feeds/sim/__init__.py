"""The simulator: a feed that needs no broker, for trying things out and for load tests.

1. A subscribed symbol ticks `rate` times a second.
2. The first tick follows a subscribe at once, as brokers send a snapshot.
3. A process that cannot keep up says so.
4. Nothing subscribed, nothing done: there is no timer then.

`names` and `universe` have the instruments, `market` their prices, `wheel` whose turn it is; here
is the timer that drives them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

from hub.core.model import Mode, Result, Want
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink
from hub.feeds.sim.market import LEVELS
from hub.feeds.sim.universe import universe
from hub.feeds.sim.wheel import Stream, Wheel

_DEPTH = Mode.DEPTH.bit
_INDIA = timezone(timedelta(hours=5, minutes=30))


class SimFeed:
    """The feed of a simulated market: `symbols` instruments, `rate` ticks a second of each that
    is subscribed, as `seed` has it.

    `today` decides which contracts there are; without it, the day it is in India.
    """

    name = "sim"
    serves = Serves(brokers=("sim",))
    limits = Limits(symbols=0, depth_levels=(LEVELS,))

    def __init__(self, symbols: int, rate: float, seed: int, today: date | None = None) -> None:
        self.listings = universe(symbols, seed, today or datetime.now(_INDIA).date())
        self._places = {entry.instrument.key: n for n, entry in enumerate(self.listings)}
        self._seed = seed
        self._rate = rate
        self._streams: dict[bytes, Stream] = {}
        self._wheel = Wheel(rate)
        self._state = FeedState.DISCONNECTED
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._sink: Sink
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return (
            f"<SimFeed {self._state.value}, {len(self._wheel)} of {len(self.listings)} symbols "
            f"at {self._rate:g}/s, {self._ticks} ticks>"
        )

    async def start(self, sink: Sink) -> None:
        """Begin; there is nothing to connect to."""
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._state = FeedState.CONNECTED

    def apply(self, wants: Sequence[Want]) -> None:
        """Take changes of what is wanted, and answer those with modes at once. Call it between
        `start` and `stop`."""
        results = [self._take(want) for want in wants]
        answers = [result for result in results if result.modes]
        if answers:
            self._sink.answer(answers)
        self._set_timer()

    def health(self) -> FeedHealth:
        """Its figures; the problem is rounds left out lately."""
        return FeedHealth(self._state, len(self._wheel), self._ticks, self._wheel.problem())

    async def stop(self) -> None:
        """Release everything; prices go on where they stood after another start."""
        self._state = FeedState.DISCONNECTED
        for stream in self._streams.values():
            stream.modes = 0
            self._wheel.remove(stream)
        self._set_timer()

    def _take(self, want: Want) -> Result:
        key, modes = want.key, want.modes
        place = self._places.get(key)
        if place is None:
            return Result(key, modes, self._unknown(want))
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(place, self.listings[place], self._seed)
        if stream.want(key, modes):
            self._wheel.add(stream, self._loop.time())
        elif not modes:
            self._wheel.remove(stream)
        return Result(key, modes, depth=LEVELS if modes & _DEPTH else 0)

    def _unknown(self, want: Want) -> str:
        name = want.key.decode(errors="replace")
        if want.symbol:
            name = f"{want.exchange}:{want.symbol}"
        return f"{name} is not one of the simulator's {len(self.listings)} symbols"

    def _turn(self) -> None:
        """Publish what is due, and come back for the next."""
        now_ms = time.time_ns() // 1_000_000
        pairs: list[bytes] = []
        for stream in self._wheel.due(self._loop.time()):
            stream.tick(now_ms, pairs)
        if pairs:
            self._ticks += len(pairs) // 2
            self._sink.publish(pairs)
        self._set_timer()

    def _set_timer(self) -> None:
        """One timer for the next turn; none when nothing is subscribed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._wheel.next_due()
        if due is not None:
            self._timer = self._loop.call_at(max(due, self._loop.time()), self._turn)
