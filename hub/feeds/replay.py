"""A recording as a feed: a market that has been, for trying things outside of market hours.

1. It begins half a second after the first symbol is wanted, and is rewound when none is wanted
   any more: whoever comes to an empty hub sees it from its beginning.
2. A symbol that is not in the recording, or not in that mode, is refused.
3. Alone it serves everybody; beside other feeds those whose broker is `replay`.
4. Payloads are published as they were recorded, their timestamps too.

hub/recording has the files and the pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from hub.core.errors import HubError, Malformed, StartError
from hub.core.model import MODES, Mode, Result, Want, lowest
from hub.core.settings import Settings
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink
from hub.recording import read, rows
from hub.recording.pace import Pace, time_of_day
from hub.recording.player import Player
from hub.recording.read import Summary
from hub.recording.rows import Row

NAME = "replay"
HEAD_START_S = 0.5
"""How long after the first want it begins: who asks for symbol after symbol misses nothing."""


def problems(settings: Settings) -> list[str]:
    """What is wrong with its settings, each a sentence."""
    file = settings.replay.file
    if not file:
        return ["replay.file: the feed replay needs a recording; make one with `hub record`"]
    found = []
    try:
        rows.kind(Path(file))
        if not Path(file).is_file():
            found.append(f"replay.file: there is no file {file}")
    except Malformed as error:
        found.append(f"replay.file: {error}")
    try:
        pace(settings)
    except ValueError as error:
        found.append(f"replay.begin: {error}")
    return found


def pace(settings: Settings) -> Pace:
    """How the settings want a recording played. Raises ValueError for a time that is none."""
    replay = settings.replay
    begin = time_of_day(replay.begin) if replay.begin else None
    return Pace(replay.speed, replay.gaps, begin, replay.loop, ZoneInfo(settings.market.timezone))


class ReplayFeed:
    """Plays `replay.file`. It begins by reading it once, to know what is in it."""

    name = NAME
    limits = Limits(depth_levels=())

    def __init__(self, settings: Settings) -> None:
        alone = set(settings.hub.feeds) <= {NAME}
        self.serves = Serves(brokers=() if alone else (NAME,))
        self._path = Path(settings.replay.file)
        self._player = Player(self._path, pace(settings))
        self._summary: Summary | None = None
        self._levels: dict[bytes, dict[Mode, int]] = {}
        self._modes: dict[bytes, int] = {}
        self._state = FeedState.DISCONNECTED
        self._problem = ""
        self._ticks = 0
        self._playing: asyncio.Task[None] | None = None
        self._sink: Sink

    def __repr__(self) -> str:
        return f"<ReplayFeed {self._path.name}, {len(self._modes)} symbols, {self._ticks} ticks>"

    async def start(self, sink: Sink) -> None:
        """Read it, in a thread. Raises StartError when there is no such file; what else is wrong
        with it is told in `health` and to whoever asks."""
        if not self._path.is_file():
            raise StartError(f"there is no recording {self._path}; see replay.file")
        self._sink = sink
        try:
            self._summary = await asyncio.to_thread(read.scan, self._path)
        except HubError as error:
            self._problem = str(error)
            return
        self._state = FeedState.CONNECTED
        for place in self._summary.places.values():
            self._levels.setdefault(place.key, {})[place.mode] = place.levels

    def apply(self, wants: Sequence[Want]) -> None:
        """Take what is wanted, and answer for it."""
        answers = [answer for want in wants for answer in self._take(want)]
        if answers:
            self._sink.answer(answers)
        self._follow()

    def health(self) -> FeedHealth:
        """Its figures; the problem is what keeps it from playing, or that it is late or over."""
        problem = self._problem or self._player.problem
        return FeedHealth(self._state, len(self._modes), self._ticks, problem)

    async def stop(self) -> None:
        """Play no more."""
        self._state = FeedState.DISCONNECTED
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)

    def _take(self, want: Want) -> Iterable[Result]:
        """The answers to one want, none for a release."""
        there = self._levels.get(want.key, {})
        best = max(there, default=0)
        given = sum(mode.bit for mode in MODES if want.modes & mode.bit and mode <= best)
        if given:
            self._modes[want.key] = given
            yield Result(want.key, given, depth=there.get(Mode.DEPTH, 0))
        else:
            self._modes.pop(want.key, None)
        if refused := want.modes & ~given:
            yield Result(want.key, refused, self._refusal(want, best))

    def _refusal(self, want: Want, best: int) -> str:
        name = f"{want.exchange}:{want.symbol}"
        if self._summary is None:
            return self._problem
        if not best:
            return f"{name} is not in {self._path.name}"
        return f"{name} is in {self._path.name} up to mode {Mode(best).label} only"

    def _follow(self) -> None:
        """Play while something is wanted, and rewind when nothing is."""
        if self._modes and self._playing is None:
            self._playing = asyncio.create_task(self._play())
        elif self._playing is not None and not self._modes:
            self._playing.cancel()
            self._playing = None
            self._problem = ""

    async def _play(self) -> None:
        await asyncio.sleep(HEAD_START_S)
        try:
            await self._player.play(self._publish)
        except HubError as error:
            self._problem = str(error)
        else:
            self._problem = "the recording is over; it begins anew when nobody has held it a while"

    async def _publish(self, played: Sequence[Row]) -> None:
        assert self._summary is not None  # noqa: S101  # or nothing would have been given
        pairs: list[bytes] = []
        for row in played:
            topic, key, mode, _ = self._summary.places[row.topic]
            modes = self._modes.get(key, 0)
            if modes and mode >= lowest(modes):
                pairs += (topic, bytes(row.data))
        if pairs:
            self._ticks += len(pairs) // 2
            self._sink.publish(pairs)
