"""A shard's process: reads the stream from the router, tells interest, runs the gateway."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hub.auth.sources import keys_of
from hub.core import codec, hot, stream, topics
from hub.core.codec import Message
from hub.core.config import load
from hub.core.errors import ConfigError, Malformed
from hub.core.liveness import BEAT_S, Awake
from hub.core.settings import NATS, Settings
from hub.core.window import Window
from hub.runtime import links, wire
from hub.runtime.control import ControlLink
from hub.runtime.log import Seldom, log
from hub.runtime.pump import Pump
from hub.runtime.role import Role, run
from hub.runtime.tls import Identity, identity
from shards import keeping
from shards.backlog import Backlog
from shards.connection import Connection
from shards.desk import Desk
from shards.gateway import Gateway, raise_limit
from shards.journeys import Journeys
from shards.looks import Looks
from shards.session import Session
from shards.wanted import Word

_FEEDS_S = 5.0
"""How long a shard that starts waits for the hub's feeds before it lets clients in all the same:
a user whose own feed is not there yet would be given to another one."""

_ASK_AGAIN_BEATS = 30
_LOOK_S = 0.25
"""How often a pause is looked for where no tick comes that would show it."""

_CATCH_UP_S = 0.005
"""How often it is looked whether all that came in a pause is taken."""

_STAYS = 16
"""Stays at routers of which order updates may still be on their way."""


class Shard(Role):
    """Wires the desk to the router on one side and to the gateway on the other."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self.shard = int(name.removeprefix("shard-"))
        self._desk = Desk(settings)
        self._keys = keys_of(settings)
        self._seldom = Seldom()
        self._telling = False
        self._serving = False
        self._known = asyncio.Event()
        self._backlog = Backlog(time.monotonic(), time.process_time)
        self._token, self._ticks = b"", stream.TICKS
        self._stays: deque[bytes] = deque(maxlen=_STAYS)
        self._leftover = 0
        self._journeys = Journeys(name)
        self._looks = Looks(self._desk.index)
        self._kinds: dict[bytes, Callable[[links.Parts], None]] = {
            stream.AGAIN: self._take_again,
            stream.KEEP: self._take_kept,
            stream.OLD: self._take_old,
            stream.ACCOUNT: lambda rest: self._desk.accounts.offer(codec.unpack(rest[0])),
            stream.FOLLOWED: self._take_followed,
            stream.MARK: lambda rest: self._backlog.heard(int(rest[0])),
            **keeping.kinds(
                self._desk.snapshots,
                lambda stay: stay == self._token,
                self._answer,
            ),
            stream.INVALIDATE: lambda _: self._keys.forget(),
        }

    async def start(self) -> None:
        """Open the pipe from the router, report for work, then let clients in."""
        self._pump = Pump(self._desk.fanout.flush, Window(0))
        self._pump.add(wire.from_router(self.settings, self.runtime_dir, self.shard, self._take))
        self._ingest = wire.to_router(self.runtime_dir, self.settings.flow.pipe)
        self._control = ControlLink(
            self.name,
            self.runtime_dir,
            welcomed=self._welcomed,
            figures=self._figures,
            handlers={
                "results": self._take_results,
                "pulse": self._take_pulse,
                "stale": self._take_stale,
                "look": self._take_look,
            },
            refused=self.refused,
        )
        self._control.start(self.background)
        self.background(self._listen())
        await self.until(self._known, _FEEDS_S)
        raise_limit()
        shown = self._identity()
        self._gateway = Gateway(
            self.shard,
            self.settings,
            self.runtime_dir,
            self._make_session,
            shown.context if shown else None,
        )
        self._backlog = Backlog(time.monotonic(), time.process_time)
        self._serving = True
        self.background(self._tend())
        self.background(self._watch_pauses())
        log.info("clients on %s", self.settings.ws_url())

    def reload(self) -> None:
        """Show clients that come from now on the certificate that is in its file now."""
        if not self.settings.websocket.tls_cert:
            log.info("SIGHUP: there is no certificate to read anew (websocket.tls_cert)")
        elif self._serving:
            try:
                shown = self._identity()
            except ConfigError as error:
                log.error("%s; the certificate from before stays in use", error)
            else:
                self._gateway.secure(cast("Identity", shown).context)

    def _identity(self) -> Identity | None:
        """What clients are shown, with what is to be said of it. Raises ConfigError."""
        shown = identity(self.settings.websocket)
        if shown is not None:
            log.info("clients are shown the certificate of %s", shown.text)
            for warning in shown.warnings if self.shard == 0 else ():  # one says it for all
                log.warning("%s", warning)
        return shown

    async def see_off(self) -> None:
        """Say goodbye to the clients."""
        self._desk.fanout.flush()
        await self._gateway.drain()

    async def drain(self) -> None:
        """Say goodbye to the router."""
        await self._control.stop()
        self._pump.close()
        self._ingest.close()
        self._keys.close()

    # Ticks fall.

    def _take(self, parts: links.Parts) -> None:
        """A message of the stream."""
        now_s = time.monotonic()
        if self._serving:
            self._notice(self._backlog.look(now_s))
        try:
            if parts[0] == self._ticks:
                fanout = self._desk.fanout
                for batch in parts[1:]:
                    pairs = codec.unpack(batch)
                    fanout.offer(pairs)
                    if fanout.observed:
                        self._observe(pairs, now_s)
            else:
                self._take_other(parts[0][:1], parts[0][1:], parts[1:])
        except (Malformed, LookupError, OverflowError, TypeError, ValueError) as error:
            self._seldom.warning("stream", "a message of the router cannot be used: %r", error)

    def _observe(self, pairs: list[bytes], now_s: float) -> None:
        """Of these ticks one is timed, or they are counted while somebody looks. What is offered
        now is written when all that is there has been read: before the loop turns again."""
        if topics.SAMPLE in pairs and not (self._serving and self._gateway.holding):
            taken_ns, framed_ns = int(now_s * 1e9), time.monotonic_ns()
            self._journeys.framed(pairs, taken_ns, framed_ns, time.time_ns())
            asyncio.get_running_loop().call_soon(self._written)
        if self._looks.heat.on:
            self._looks.heat.count(pairs[::2])
        self._desk.fanout.observed = self._looks.heat.on

    def _written(self) -> None:
        """What was timed is written."""
        for told in self._journeys.written(time.monotonic_ns()):
            self._control.send(told)

    def _take_other(self, kind: bytes, token: bytes, rest: links.Parts) -> None:
        """A message that is no ticks of a leg, or is left over from an earlier stay."""
        if token == self._token or (kind == stream.ACCOUNT and token in self._stays):
            self._kinds[kind](rest)
        else:
            self._leftover += 1

    def _take_kept(self, rest: links.Parts) -> None:
        now_s = time.monotonic()
        for batch in rest:
            self._desk.fanout.keep(codec.unpack(batch), now_s)

    def _take_again(self, rest: links.Parts) -> None:
        """Values that may have come before."""
        lines = self._desk.latest.lines
        for batch in rest:
            parts, news = iter(codec.unpack(batch)), list[bytes]()
            for topic, payload in zip(parts, parts, strict=True):
                line = lines.get(topic)
                if line is None or line.payload != payload:
                    news += (topic, payload)
            self._desk.fanout.offer(news)

    def _take_old(self, rest: links.Parts) -> None:
        for batch in rest:
            self._desk.fanout.offer(codec.unpack(batch))

    def _take_followed(self, rest: links.Parts) -> None:
        followed = codec.decode(rest[0])
        self._desk.take_followed(codec.keys(followed), int(followed["number"]))
        self._tell()

    def _answer(self, parts: list[bytes]) -> None:
        """To another shard, by way of the router."""
        self._ingest.send_surely(parts)

    # After a pause.

    async def _watch_pauses(self) -> None:
        """See that a pause is noticed, whatever comes first after it."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._notice(self._backlog.beat(time.monotonic()))

    def _notice(self, pause_s: float) -> None:
        if pause_s:
            log.warning("paused for %.1f s; clients are sent current values", pause_s)
            catching_up = self._gateway.holding  # with a pause before this one
            self._gateway.hold()
            self._control.send({"t": "mark", "pause": self._backlog.pauses})
            if not catching_up:
                self._catch_up()

    def _catch_up(self) -> None:
        """Let clients be in step when what came in a pause is taken."""
        more = self._pump.more or self._desk.snapshots.doubtful
        if self._backlog.ends(time.monotonic(), more=more):
            self._gateway.release()
        else:
            asyncio.get_running_loop().call_later(_CATCH_UP_S, self._catch_up)

    # Interest climbs.

    def _make_session(self, connection: Connection) -> Session:
        guests = self._gateway.guests
        return Session(connection, self._desk, self.settings, self._keys.grant, self._tell, guests)

    def _tell(self) -> None:
        """Something is wanted, or no more: tell the router once this burst is over, and do what
        is left of large requests a slice per turn."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_now)

    def _tell_now(self) -> None:
        self._telling = False
        for word in self._desk.tell():
            self._send_interest(word, replace=False)
        self._tell_quiet()
        if self._desk.busy:
            self._tell()

    def _welcomed(self, message: Message) -> None:
        """The router knows nothing of this shard: tell it everything. Ticks may have been missed,
        so what was known is void, and so are answers to questions of an earlier stay."""
        if self._backlog.behind:
            self._pump.exhaust()  # what came before the pause was too long is better than nothing
        self._backlog.heard(self._backlog.pauses)
        self._token = message["stream"]
        self._ticks = stream.TICKS + self._token
        self._stays.append(self._token)
        self._ingest.reset(open_=True)
        self._desk.fanout.flush()
        self._desk.snapshots.reset()
        self._desk.new_stay()
        for word in self._desk.wanted.tell_all():
            self._send_interest(word, replace=True)

    def _send_interest(self, word: Word, *, replace: bool) -> None:
        self._control.send(
            {
                "t": "interest",
                "feed": word.feed,
                "number": word.number,
                "wants": word.wants,
                "replace": replace,
            }
        )

    def _tell_quiet(self) -> None:
        """What ceased to tick, or ticks again, as far as that was not told."""
        for feed, rows, replace in self._desk.silence.tell(self._desk.feeds):
            self._control.send(
                {"t": "quiet", "to": f"feed-{feed}", "quiet": rows, "replace": replace}
            )

    def _take_stale(self, message: Message) -> None:
        self._desk.take_stale(
            str(message["feed"]), codec.stale(message), replace=bool(message["replace"])
        )
        self._tell()

    async def _listen(self) -> None:
        """Look now and then which topics have ticked; not right after a pause of this process,
        when their ticks are yet to be read."""
        every_s = self._desk.silence.every_s
        clock = Awake(every_s + 0.5)
        while every_s:
            await asyncio.sleep(every_s)
            if not (clock.pause(time.monotonic()).read_first or self._backlog.behind):
                self._desk.listen(clock.look(time.monotonic()))
                self._tell()

    def _take_look(self, message: Message) -> None:
        """Somebody wants to see which clients are slow."""
        if self._serving:
            told = self._looks.look(self._gateway.connections, time.monotonic())
            self._desk.fanout.observed = True
            self._control.send(
                {"t": "looked", "to": message["from"], "hottest": [], "slowest": told}
            )

    def _take_results(self, message: Message) -> None:
        self._desk.take_results(str(message["feed"]), codec.results(message))
        self._tell()

    def _take_pulse(self, message: Message) -> None:
        """Which feeds there are."""
        offers = codec.offers(message)
        if self._desk.take_feeds(offers, time.monotonic()) and self._serving:
            self._gateway.resettle()
        there, own = {offer.feed for offer in offers}, set(self.settings.hub.feeds)
        if there >= own and (NATS not in own or there > own):  # nats itself serves nobody
            self._known.set()

    async def _tend(self) -> None:
        """Once a second: late answers, keep-alive, values that found no room. After a pause of
        this process what others have sent meanwhile is read before they are called late."""
        clock = Awake()
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT_S)
            pause = clock.pause(time.monotonic())
            self._desk.paused(pause.seconds)
            if pause.read_first:
                continue
            self._desk.expire(time.monotonic())
            self._gateway.tend()
            if self._keys.changed():
                self._gateway.recheck(self._keys.stands)
            self._looks.heat.tend(time.monotonic())
            self._ingest.retry()
            if not beat % _ASK_AGAIN_BEATS:
                self._desk.wanted.ask_again()
            self._tell()

    def _figures(self) -> dict[str, Any]:
        if not self._serving:
            return self.common_figures()  # no client has been let in yet
        fanout, gateway = self._desk.fanout, self._gateway
        return self.common_figures() | {
            "in": fanout.taken,
            "out": fanout.delivered,
            "clients": len(gateway),
            "symbols": len(self._desk.wanted) - len(self._desk.logins),
            "topics": len(self._desk.latest.lines),
            "malformed": fanout.malformed + self._desk.accounts.malformed,
            "behind": gateway.behind(),
            "conflated": gateway.conflated(),
            "pauses": self._backlog.pauses,
            "stalled": gateway.stalled,
            "accepted": gateway.accepted,
            "accepts_paused": gateway.intake.paused,
            "room": gateway.intake.room,
            "unsent_bytes": gateway.unsent_bytes(),
            "holders": self._desk.index.sessions,
            "waiting": self._desk.waiting,
            "counted": gateway.guests.counted(),
            "leftover": self._leftover,
            "faults": self._pump.faults,
            "forgotten": fanout.forgotten,
            "refused": gateway.refused,
            "refused_keys": gateway.guests.refused_keys,
            "turned_away": gateway.guests.turned_away,
            "bounds": gateway.guests.figures(self._desk.refused_symbols),
            "lost": gateway.lost(),
            "latency": self._journeys.figures(),
            "compiled": hot.COMPILED,
        }


if __name__ == "__main__":
    run(f"shard-{int(sys.argv[1])}", load(), Shard)
