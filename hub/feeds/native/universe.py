"""The instruments of brokers, as their feed knows them.

1. The list is made anew every morning, by a process of its own: reading it takes seconds that a
   loop has not. Until the new one is there, and when it cannot be had, the last one counts.
2. A list that somebody else has replaced (`hub instruments update`) is taken as it comes.
3. What has expired is not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from hub.brokers.base import Broker, Channel, Listing
from hub.core.model import Mode, Want
from hub.core.settings import Settings
from hub.instruments.store import Store, Unusable, path_of
from hub.instruments.update import Progress
from hub.runtime import child
from hub.runtime.log import log

_LOOK_S = 2.0
_AGAIN_S = 600.0
_LONGEST_S = 1200.0
"""What an update may take, all its files together."""

_MADE_AT = 8  # o'clock: brokers publish the day's lists before
_DAY_S = 86_400.0


class Universe:
    """The instruments of `broker`; `changed` is called when there is another list."""

    def __init__(self, broker: Broker, settings: Settings, changed: Callable[[], None]) -> None:
        self.broker = broker
        self.problem = ""
        self._path: Path = path_of(broker.name)
        self._zone = ZoneInfo(settings.market.timezone)
        self._update = settings.instruments.update
        self._changed = changed
        self._store: Store | None = None
        self._try_at_s = 0.0

    def __repr__(self) -> str:
        return f"<Universe of {self.broker.name}: {self._store!r}>"

    @property
    def ready(self) -> bool:
        """Whether there is a list."""
        return self._store is not None

    @property
    def count(self) -> int:
        """How many instruments there are."""
        return self._store.count if self._store else 0

    @property
    def built(self) -> float | None:
        """When the list was made, in seconds since the epoch."""
        return self._store.built if self._store else None

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The instrument of that name, if it is there and has not expired."""
        found = self._store.find(exchange, symbol) if self._store else None
        if found is not None and found.expiry and found.expiry < self._today().isoformat():
            return None
        return found

    async def unknown(self, want: Want) -> str:
        """Why there is no such instrument, in a sentence."""
        store = self._store
        if store is None:
            return self.problem
        return await asyncio.to_thread(store.unknown, want.exchange, want.symbol, self._today())

    async def run(self) -> None:
        """Have a list, and a new one when it is due; until cancelled."""
        while True:
            self._open()
            if self._update and self._due(time.time()) and time.monotonic() >= self._try_at_s:
                await self._make()
            else:
                await asyncio.sleep(_LOOK_S)

    def _open(self) -> None:
        """Read the list that is there, if it is another one."""
        if self._store is not None and not self._store.stale:
            return
        try:
            store = Store(self._path)
        except Unusable as error:
            if self._store is None and not self._update:
                self.problem = str(error)
            return
        self._store, self.problem = store, ""
        log.info("%s lists %d instruments", self.broker.title, store.count)
        self._changed()

    def _due(self, now_s: float) -> bool:
        """Whether there has been a morning since the list was made."""
        if self._store is None:
            return True
        local = datetime.fromtimestamp(now_s, self._zone)
        morning = local.replace(hour=_MADE_AT, minute=0, second=0, microsecond=0).timestamp()
        if morning > now_s:
            morning -= _DAY_S
        return float(self._store.built) < morning

    async def _make(self) -> None:
        """Have a new list made. What keeps it from being so is told, and tried again later."""
        self._try_at_s = time.monotonic() + _AGAIN_S
        log.info("the list of instruments of %s is downloaded", self.broker.title)
        try:
            command = ["-m", "hub.instruments", self.broker.name]
            await child.work(command, _LONGEST_S, self._progress)
        except Exception as error:  # noqa: BLE001  # a list is what others have made
            log.warning("the list of instruments of %s: %s", self.broker.title, error)
            what = "there is none yet" if self._store is None else "the last one counts"
            again = f"the list of instruments is tried again in {_AGAIN_S / 60:.0f} min"
            self.problem = f"{error}; {what}, {again}"
        self._open()

    def _progress(self, line: bytes) -> None:
        """How far it is; who has a list is not interested."""
        said = msgspec.json.decode(line)
        if self._store is None and isinstance(said, list):
            progress = Progress(*said)
            done = f"{progress.bytes / 1e6:.1f} MB"
            if progress.rows:
                done = f"{progress.rows:,} read"
            what = f"the list of instruments of {self.broker.title} is being downloaded"
            self.problem = f"{what} ({progress.source}, {done})"

    def _today(self) -> date:
        return datetime.now(self._zone).date()


class Way(NamedTuple):
    """How a symbol is had of a broker."""

    listing: Listing
    channel: Channel


Ways = Mapping[str, Way | None]
"""By the name of the broker."""


class Universes:
    """The instruments of all brokers of a feed."""

    def __init__(
        self, brokers: Iterable[Broker], settings: Settings, changed: Callable[[], None]
    ) -> None:
        self.each = [Universe(broker, settings, changed) for broker in brokers]

    def __repr__(self) -> str:
        return f"<Universes {self.each!r}>"

    @property
    def ready(self) -> bool:
        """Whether all lists are there."""
        return all(universe.ready for universe in self.each)

    @property
    def problem(self) -> str:
        """What is wrong with them, in words."""
        return "; ".join(universe.problem for universe in self.each if universe.problem)

    def ways(self, want: Want) -> Ways:
        """How it is had of each broker, None where it is not. A symbol with the number of levels
        behind it is had by the channel of such books."""
        return {universe.broker.name: _way(universe, want) for universe in self.each}

    async def unknown(self, want: Want) -> str:
        """Why nobody has it, in a sentence."""
        if not all(_serves(_place(universe.broker, want)[0], want) for universe in self.each):
            return f"{want.symbol} has no LTP and no quote: subscribe it in mode Depth (3)"
        return await self.each[0].unknown(want)


def _way(universe: Universe, want: Want) -> Way | None:
    channel, symbol = _place(universe.broker, want)
    if not _serves(channel, want) or (channel.exchanges and want.exchange not in channel.exchanges):
        return None
    listing = universe.find(want.exchange, symbol)
    return Way(listing, channel) if listing else None


def _place(broker: Broker, want: Want) -> tuple[Channel, str]:
    """By which channel it is had, and under which name."""
    base, colon, levels = want.symbol.rpartition(":")
    for channel in broker.channels[1:]:
        if colon and levels == str(channel.levels):
            return channel, base
    return broker.channels[0], want.symbol


def _serves(channel: Channel, want: Want) -> bool:
    return not channel.books or bool(want.modes & Mode.DEPTH.bit)
