"""Account events of other machines.

1. Each is handed over once, in the order in which NATS has them, but for those of this machine.
2. How far that is, is known here and nowhere else (position.py): whatever happens, NATS is asked
   for what comes behind it. Nothing is taken that does not follow what came before.
3. What NATS has not kept for us, is lost: then it is handed over that something of everybody was,
   and what comes from there on.
4. Where NATS keeps nothing, each loss of the connection counts as such.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hub.cluster.jetstream import EventStream, State
from hub.cluster.position import Position
from hub.core import topics
from hub.core.envelope import Envelope, Seen, decode, everything
from hub.core.errors import Malformed, NoAnswer, NobodyListens
from hub.core.orders import LOST
from hub.runtime import tasks
from hub.runtime.log import Seldom, log
from hub.runtime.nats import Nats, Subscription

_LOOK_S = 1.0
_LOOKS = 2
"""So many looks that see no progress, and it is begun anew."""

_AHEAD_S = 10.0
"""After so long NATS is believed not to know of what we have seen."""

_EVERYBODYS = (topics.ALL_ORDERS, topics.INVALIDATED)
"""What is told lost where nobody knows whose it was."""

_UNDER_WAY = 1000
_IDLE_S = 30
"""After so long without us NATS forgets how we follow."""


class Follower:
    """Hands `take` key and content of each account event: see hub/core/envelope for the keys."""

    def __init__(
        self,
        door: Nats,
        prefix: str,
        machine: str,
        take: Callable[[bytes, bytes], None],
        *,
        stream: EventStream | None = None,
        position: Path | None = None,
    ) -> None:
        self.stream = stream or EventStream(door, prefix)
        self._door = door
        self._subject = everything(prefix)
        self._machine = machine
        self._take = take
        self._position = Position(position)
        self._seen = Seen()
        self._seldom = Seldom()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._consumer = ""  # how NATS calls us, while we follow the stream
        self._stuck = 0
        self._looked_at = 0
        self._behind = 0
        self.ahead_s = _AHEAD_S
        self._ahead_since_s = time.monotonic()
        self._counts = dict.fromkeys(("taken", "own", "again", "malformed", "losses"), 0)

    def __repr__(self) -> str:
        return f"<Follower at {self._position.number}, {self._behind} behind>"

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run())

    def up(self) -> None:
        """The door is connected: to be called each time. What was under way may be lost."""
        if self._subscription is not None and self.stream.kept is False:
            self._lose("the connection to NATS was lost")
        self._begin_anew()

    async def stop(self) -> None:
        """Follow no more; another that has the same position goes on."""
        await tasks.end([self._task] if self._task else [])
        self._leave()
        if self._consumer and self._door.connected:
            with suppress(NoAnswer, TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self.stream.ask(f"CONSUMER.DELETE.{self.stream.name}.{self._consumer}")
        self._position.close()

    def figures(self) -> dict[str, Any]:
        """What the heartbeat says of it."""
        kept = {"kept": self.stream.kept, "unkept_why": self.stream.why}
        follows = bool(self._consumer) or self.stream.kept is False
        return kept | self._counts | {"behind": self._behind, "follows": follows}

    # Following.

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._position.keep()
            try:
                if self._door.connected:
                    await self._look()
            except NoAnswer:
                pass
            except Exception as error:  # noqa: BLE001  # it goes on: nobody else would begin it anew
                text = "a fault of the hub itself in how account events are followed"
                self._seldom.warning("fault", text, error=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()

    async def _look(self) -> None:
        """See that it goes on."""
        if not self._consumer:
            await self._begin()
            return
        try:
            what = f"CONSUMER.INFO.{self.stream.name}.{self._consumer}"
            answer = await self.stream.ask(what, timeout_s=_LOOK_S)
        except NoAnswer:
            answer = {"error": "none"}
        if "error" in answer:
            self._begin_anew()
            return
        sent = answer["delivered"]["stream_seq"]
        self._behind = max(0, sent - self._position.number) + answer["num_pending"]
        stands = self._position.number == self._looked_at and sent > self._position.number
        self._stuck = self._stuck + 1 if stands else 0
        self._looked_at = self._position.number
        if self._stuck >= _LOOKS:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._consumer = ""
        self._wake.set()

    async def _begin(self) -> None:
        """Ask NATS for what comes behind our position."""
        state = await self.stream.ensure()
        if state is None:
            if self._inbox:  # it was kept until now
                self._leave()
                self._lose("JetStream keeps account events no more")
            if self._subscription is None:
                self._subscription = self._door.subscribe(self._subject, self._heard_unkept)
            return
        self._check(state)
        self._leave()
        self._stuck = 0
        name = secrets.token_hex(8)
        inbox = self._inbox = f"_INBOX.{name}"
        self._subscription = self._door.subscribe(inbox, partial(self._heard, inbox))
        what = f"CONSUMER.CREATE.{self.stream.name}.{name}"
        try:
            answer = await self.stream.ask(what, self._config(name, inbox), timeout_s=_LOOK_S)
        except NobodyListens:
            raise
        except NoAnswer:  # it was to be on a server that is dead: the next may be on another
            self._begin_anew()
            raise
        if "error" in answer:
            text = "JetStream does not tell account events: %s"
            self._seldom.warning("consumer", text, answer["error"])
        else:
            self._consumer = name

    def _config(self, name: str, inbox: str) -> dict[str, Any]:
        second = 1_000_000_000
        config = {
            "name": name,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position.number + 1,
            "ack_policy": "all",
            "max_ack_pending": _UNDER_WAY,
            "inactive_threshold": _IDLE_S * second,
            "num_replicas": 1,
            "mem_storage": True,
        }
        return {"stream_name": self.stream.name, "config": config}

    def _check(self, state: State) -> None:
        """See whether what comes behind our position is there. Raises NoAnswer if NATS does not
        know as much as we do: a server that has just become the stream's leader may be behind."""
        position, now_s = self._position, time.monotonic()
        known = position.known
        if not (known and position.created == state.created and position.number > state.last):
            self._ahead_since_s = now_s
        elif now_s - self._ahead_since_s < self.ahead_s:
            raise NoAnswer("JetStream", _LOOK_S)
        same = position.created == state.created and position.number <= state.last
        if known and same and state.first <= position.number + 1:
            return
        position.set(state.created, state.last)
        if known or position.outdated:
            position.outdated = False
            self._lose("NATS has not kept all that came while this machine was away")

    def _leave(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription, self._inbox = None, ""

    # Events.

    def _heard(self, inbox: str, _: str, data: bytes, reply: str) -> None:
        """A message of the stream: it counts if it follows what came before."""
        if inbox != self._inbox:
            return  # left over
        number, sent = _numbers(reply)
        expected = self._position.number + 1
        if number > expected and sent == 1:  # it begins behind what was asked for
            self._lose("NATS has forgotten account events that this machine waited for")
        elif number > expected:
            self._leave()
            self._begin_anew()
            return
        if number >= expected:
            self._position.set(self._position.created, number)
            self._hand_over(data)
        self._door.publish(reply, b"+ACK")

    def _heard_unkept(self, _: str, data: bytes, __: str) -> None:
        self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        try:
            event = decode(data)
        except Malformed as error:
            self._counts["malformed"] += 1
            self._seldom.warning("malformed", "an account event of NATS is dropped: %s", error)
            return
        counted = self._judge(event)
        self._counts[counted] += 1
        if counted == "taken":
            for key in _EVERYBODYS if event.key == topics.ALL_ORDERS else (event.key,):
                self._take(key, event.payload)

    def _judge(self, event: Envelope) -> str:
        if event.machine == self._machine:
            return "own"
        return "taken" if self._seen.is_new(event) else "again"

    def _lose(self, why: str) -> None:
        """Something was lost, of whom nobody knows."""
        self._counts["losses"] += 1
        log.warning("%s: who follows order updates here is told that some are lost", why)
        for key in _EVERYBODYS:
            self._take(key, LOST)


def _numbers(reply: str) -> tuple[int, int]:
    """The number of a message in its stream, and how many NATS has sent us by then, lost ones too;
    by where it is acknowledged: with the domain and the account there are two names more, and one
    at the end. Zeros if it is none of a stream."""
    parts = reply.split(".")
    if reply.startswith("$JS.ACK.") and len(parts) >= 9:
        first = 5 if len(parts) == 9 else 7
        return int(parts[first]), int(parts[first + 1])
    return 0, 0
