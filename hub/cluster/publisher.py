"""Account events to other machines.

1. Of a key they go one after another, each until NATS has it: sent again it has the same number,
   so it counts once, and none overtakes another. Different keys do not wait for each other.
2. Nobody waits here. What NATS does not take waits for it; when that is too much, the key that has
   waited longest loses what it has, and whoever follows it is told so.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from msgspec import structs

from hub.cluster.jetstream import EventStream
from hub.core import topics
from hub.core.envelope import Envelope, encode, subject
from hub.core.errors import NoAnswer, NobodyListens
from hub.core.orders import LOST, MOST_BYTES, MOST_KEPT
from hub.runtime import tasks
from hub.runtime.log import Seldom
from hub.runtime.nats import Nats

_LANES = 16
"""So many keys are under way at a time."""

_TAKEN_S = 1.0
_AGAIN_S = 0.25
_LOOK_S = 5.0
_LEAVE_S = 1.0
_HEAD = 1024
"""Bytes of a message's header at most."""


class _Lane:
    """The events of one key that NATS does not have yet."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.events: deque[Envelope] = deque()

    @property
    def holds(self) -> bool:
        """Whether there is something in it, but for that something was lost."""
        return any(event.payload for event in self.events)


class Publisher:
    """Sends this machine's account events; `epoch` is that of this process."""

    def __init__(
        self,
        door: Nats,
        prefix: str,
        machine: str,
        epoch: int,
        *,
        stream: EventStream | None = None,
        most: int = MOST_KEPT,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.stream = stream or EventStream(door, prefix)
        self._door = door
        self._prefix = prefix
        self._machine, self._epoch = machine, epoch
        self._most, self._most_bytes = most, most_bytes
        self._number = 0
        self._lanes: dict[bytes, _Lane] = {}
        self._ready: asyncio.Queue[_Lane] = asyncio.Queue()
        self._up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._seldom = Seldom()
        self._waiting = self._bytes = 0
        self._sent = self._lost = 0

    def __repr__(self) -> str:
        return f"<Publisher {self._waiting} waiting, {self._sent} sent, {self._lost} lost>"

    def start(self) -> None:
        """Begin to send."""
        self._begin(self._look())
        for _ in range(_LANES):
            self._begin(self._work())

    def up(self) -> None:
        """The door is connected: to be called each time."""
        self._up.set()

    def offer(self, key: bytes, payload: bytes) -> None:
        """An account event, on its way behind those of its key that came before."""
        self._put(key, payload)
        while self._waiting > self._most or self._bytes > self._most_bytes:
            lane = next(lane for lane in self._lanes.values() if lane.holds)
            self._let_go(lane)
            self._put(lane.key, LOST)
        if len(self._lanes) > 2 * self._most:  # so many that to tell them all is too much
            for lane in list(self._lanes.values()):
                self._let_go(lane)
            self._lanes.clear()
            while not self._ready.empty():
                self._ready.get_nowait()
            self._put(topics.ALL_ORDERS, LOST)

    async def stop(self) -> None:
        """Send what waits, within a second, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                while self._lanes and self._door.connected:  # noqa: ASYNC110  # no event for it
                    await asyncio.sleep(0.01)
        await tasks.end(self._tasks)

    def figures(self) -> dict[str, Any]:
        """What the heartbeat says of it."""
        return {
            "kept": self.stream.kept,
            "unkept_why": self.stream.why,
            "sent": self._sent,
            "waiting": self._waiting,
            "waiting_bytes": self._bytes,
            "lost": self._lost,
        }

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _put(self, key: bytes, payload: bytes) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
            self._ready.put_nowait(lane)
        self._number += 1
        lane.events.append(Envelope(self._machine, self._epoch, self._number, key, payload))
        self._count(lane.events[-1], 1)

    def _let_go(self, lane: _Lane) -> None:
        """What is in it is lost; from now on it is the one that has waited least."""
        for event in lane.events:
            self._count(event, -1)
            self._lost += bool(event.payload)
        lane.events.clear()
        self._lanes[lane.key] = self._lanes.pop(lane.key)

    def _count(self, event: Envelope, more: int) -> None:
        """What stands for something lost takes no room of what is not."""
        self._waiting += more * bool(event.payload)
        self._bytes += more * len(event.payload)

    async def _look(self) -> None:
        """See to the stream, at each new connection and now and then."""
        while True:
            self._up.clear()
            try:
                if self._door.connected:
                    await self.stream.ensure()
            except NoAnswer:
                pass
            except Exception as error:  # noqa: BLE001  # it goes on: nobody else would begin it anew
                self._fault(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S if self.stream.kept is None else _LOOK_S):
                    await self._up.wait()

    async def _work(self) -> None:
        """Send the first event of one key after another."""
        while True:
            lane = await self._ready.get()
            await self._carry(lane)
            if lane.events:
                self._ready.put_nowait(lane)
            elif self._lanes.get(lane.key) is lane:
                del self._lanes[lane.key]

    async def _carry(self, lane: _Lane) -> None:
        """Send the first event of a key, until NATS has it or it is let go."""
        while lane.events:
            event = lane.events[0]
            if await self._try(event):
                self._sent += 1
                if lane.events and lane.events[0] is event:
                    lane.events.popleft()
                    self._count(event, -1)
                return
            await asyncio.sleep(_AGAIN_S)

    async def _try(self, event: Envelope) -> bool:
        """Send an event; whether NATS has it, so far as is known."""
        try:
            return await self._send(event)
        except NoAnswer:
            return False
        except Exception as error:  # noqa: BLE001  # it goes on: nobody else would begin it anew
            self._fault(error)
            return False

    def _fault(self, error: Exception) -> None:
        text = "a fault of the hub itself in how account events are sent"
        self._seldom.warning("fault", text, error=error)

    async def _send(self, event: Envelope) -> bool:
        """Send an event; whether NATS has it. Raises NoAnswer."""
        data, where = encode(event), subject(self._prefix, event.key)
        if self.stream.kept is None or not self._door.connected:
            return False
        if len(data) + _HEAD > self._door.max_payload:
            taken = await self._send(structs.replace(event, payload=LOST))
            self._lost += taken
            return taken
        if not self.stream.kept:
            return self._door.publish(where, data)
        try:
            head = {"Nats-Msg-Id": event.ident}
            answer = await self._door.request(where, data, _TAKEN_S, head)
        except NobodyListens:  # the stream is gone
            await self.stream.ensure()
            return False
        error = json.loads(answer).get("error")
        if error:
            self._seldom.warning("stream", "JetStream does not take account events: %s", error)
        return not error
