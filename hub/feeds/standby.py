"""A feed that several machines could run, and one runs: the holder of its lease in NATS.

1. `active` begins when the lease is held, and `passive` has returned before another may hold it.
2. If `passive` takes longer than the lease, the kernel ends this process (hub/runtime/deadline):
   a hard end is better than two logins. That also ends a process that was stopped meanwhile.
3. The lease is given back when the feed has stopped, so that another machine takes over at once.
4. Without JetStream nobody is active.

hub/core/lease has the rules of the lease itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hub.cluster.machines import machine_name
from hub.core.cluster import name_of
from hub.core.errors import NoBucket
from hub.core.lease import Holder, Lease, Seen, State, key
from hub.core.settings import Settings
from hub.runtime.bucket import Bucket
from hub.runtime.deadline import Deadline, boottime_s
from hub.runtime.log import Seldom, log
from hub.runtime.nats import Nats
from hub.runtime.tasks import end

_LOOK_S = 1.0
"""A waiting host looks so often; it is also told when the key changes."""
_ANSWER_S = 2.0
_GIVE_BACK_S = 1.0


class Standby:
    """One feed's lease, by a connection that is started and stopped by somebody else.

    `deadline` ends the process; tests that want to live give another one.
    """

    def __init__(
        self, door: Nats, settings: Settings, feed: str, deadline: Deadline | None = None
    ) -> None:
        nats = settings.nats
        self.name = name_of(feed, nats.standby)
        self._machine = machine_name(settings)
        self._door = door
        self._key = key(nats.standby, feed)
        self._said = f"{nats.prefix}.lease.{self._key}"
        self._bucket = Bucket(door, f"{nats.prefix}-leases")
        self._lease = Lease(self._machine, os.getpid(), time.time_ns(), nats.lease_s)
        self._deadline = deadline
        self._news = asyncio.Event()
        self._leave = asyncio.Event()
        self._gone = asyncio.Event()
        self._running = False
        self._seldom = Seldom()
        self.problem = ""
        """What is in the way of the lease, a sentence; empty if nothing is."""

    def __repr__(self) -> str:
        return f"<Standby {self.name} {self._lease.state.value}>"

    @property
    def state(self) -> dict[str, Any]:
        """For the figures: where this host stands, who holds the lease, and for how long yet."""
        lease, holder = self._lease, self._lease.holder
        held = holder is not None and not holder.left
        end_s = lease.free_s if lease.state is State.WAITING else lease.until_s
        return {
            "state": lease.state.value,
            "holder": holder.machine if holder and held else "",
            "revision": lease.revision,
            "left_s": round(max(0.0, end_s - boottime_s()), 1) if held else 0.0,
        }

    async def run(
        self, active: Callable[[int], Awaitable[None]], passive: Callable[[], Awaitable[None]]
    ) -> None:
        """Wait for the lease, have the feed run while it is held, and so on, until `stop`.

        `active` gets the revision of the take and starts the feed; it is cancelled when the lease
        is lost before it is done. `passive` follows each `active`, and returns when the feed has
        left the broker. An error of either ends this, and so does being cancelled, which leaves in
        order.
        """
        self._running = True
        heard = self._door.subscribe(self._said, lambda *_: self._news.set())
        if self._deadline is None:
            self._deadline = Deadline()
        try:
            while await self._take():
                await self._hold(active, passive, self._deadline)
        finally:
            heard.close()
            self._gone.set()

    async def stop(self) -> None:
        """Leave in order: the feed stops, then the lease is given back. The connection is still
        needed for that."""
        self._leave.set()
        self._news.set()
        if self._running:
            await self._gone.wait()

    async def _take(self) -> bool:
        """Wait until the lease is held; False when this host leaves before."""
        lease = self._lease
        while not self._leave.is_set():
            self._news.clear()
            with suppress(NoBucket):
                last = await self._look(min(_ANSWER_S, lease.length_s))
                if lease.owes:
                    await self._write(lease.revision, _ANSWER_S, left=True)
                elif last is not None:
                    await self._write(last, lease.length_s * 2 / 3)
            if lease.state is State.HELD:
                log.info("%s: the lease is ours, the feed runs here", self.name)
                return True
            await self._rest()
        return False

    async def _rest(self) -> None:
        """Until it is time to look, or there is something to see."""
        lease = self._lease
        rest_s = min(_LOOK_S, max(lease.length_s / 20, lease.free_s - boottime_s()))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), rest_s)

    async def _hold(
        self,
        active: Callable[[int], Awaitable[None]],
        passive: Callable[[], Awaitable[None]],
        deadline: Deadline,
    ) -> None:
        """From take to giving back."""
        deadline.set(self._lease.until_s)
        renewing = asyncio.create_task(self._renew(deadline))
        leaving = asyncio.create_task(self._leave.wait())
        starting = asyncio.create_task(_run(active, self._lease.revision))
        try:
            await _first(starting, renewing, leaving)
        finally:
            try:
                await end([leaving, starting])
                await passive()
            finally:
                await end([renewing])
            deadline.clear()
            await self._give_back()
        for task in (starting, renewing):
            if not task.cancelled():
                task.result()  # raises what went wrong in it

    async def _renew(self, deadline: Deadline) -> None:
        """Returns when the feed has to stop."""
        lease = self._lease
        while not lease.must_stop(now_s := boottime_s()):
            if lease.sure and now_s < lease.renew_s:
                await asyncio.sleep(lease.renew_s - now_s)
                continue
            try:
                await self._renew_once(min(lease.length_s / 5, lease.stop_s - now_s))
                deadline.set(lease.until_s)
            except NoBucket:
                lease.unanswered()
                await asyncio.sleep(min(lease.length_s / 50, max(0.0, lease.stop_s - boottime_s())))
        log.warning(
            "%s: the lease is lost (%s), the feed stops here; if it has not in %.1f s this process "
            "is killed, so that there are no two logins",
            self.name,
            self.problem or f"{self.state['holder'] or 'nobody'} has it",
            lease.until_s - boottime_s(),
        )

    async def _renew_once(self, within_s: float) -> None:
        last = self._lease.revision if self._lease.sure else await self._look(within_s)
        if last is not None:
            await self._write(last, within_s)

    async def _give_back(self) -> None:
        """Say that this host has left, if the key has still its own word of holding."""
        lease, sure = self._lease, self._lease.sure
        lease.stopped()
        with suppress(NoBucket):
            if not sure:
                await self._look(_GIVE_BACK_S)
            if lease.owes:
                await self._write(lease.revision, _GIVE_BACK_S, left=True)

    async def _look(self, within_s: float) -> int | None:
        """What `Lease.looked` says to write over."""
        asked_s, before = boottime_s(), self._lease.holder
        try:
            seen = await self._bucket.look(self._key, within_s)
        except NoBucket as error:
            self._in_the_way(error)
            raise
        last = self._lease.looked(asked_s, boottime_s(), seen)
        self._all_well()
        if self._lease.state is State.WAITING:
            self._tell(before, self._lease.holder)
        return last

    async def _write(self, last: int, within_s: float, *, left: bool = False) -> None:
        lease, value, sent_s = self._lease, self._lease.value(left=left), boottime_s()
        try:
            revision = await self._bucket.write(self._key, value, last, within_s)
        except NoBucket as error:
            self._in_the_way(error)
            raise
        if revision is None:
            lease.unanswered()
            return
        lease.written(sent_s, boottime_s(), Seen(revision, value))
        self._all_well()
        if left:
            self._door.publish(self._said)

    def _in_the_way(self, error: NoBucket) -> None:
        self.problem = str(error)
        self._seldom.warning(self.problem, "%s: no lease: %s", self.name, self.problem)

    def _all_well(self) -> None:
        self.problem = ""

    def _tell(self, before: Holder | None, now: Holder | None) -> None:
        """Say who is waited for, when that changes."""
        if now is None or now.left or (before and before.epoch == now.epoch and not before.left):
            return
        if now.machine == self._machine:
            text = "this machine's last process has not given the lease back; it is waited for"
        else:
            text = f"the lease is held by {now.machine}; the feed stands by here"
        log.info("%s: %s", self.name, text)


async def _run(active: Callable[[int], Awaitable[None]], revision: int) -> None:
    await active(revision)


async def _first(starting: asyncio.Task[None], *ends: asyncio.Task[Any]) -> None:
    """Returns when one of `ends` is done, or `starting` has failed."""
    await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
