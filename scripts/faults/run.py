"""A run of faults from start to end.

1. Clients come, ticks flow, faults are done in two lanes until the time is over.
2. Then the lines of some are frozen, nothing is published any more, all lines thaw: everyone must
   have the last value of each topic.
3. At the end the supervisor is killed: everyone is told, nothing is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from scripts.faults import lines, plan, report, roles
from scripts.faults.account import ORDERS
from scripts.faults.deed import Deed
from scripts.faults.hub import Child, Hub, Late, eventually
from scripts.faults.outcome import Done, Order, Outcome
from scripts.faults.plan import Fault
from scripts.faults.publisher import Source, name, topic
from scripts.faults.scene import USERS, WIDE_LINES, Scene

FEEDS = ("bus", "sim")
_COME_S = 30.0
_CALM_S = 3.0
_FROZEN_S = 6.0  # at 5,000 ticks a second that is more than a shard and TCP keep for one client
_LAST_S = 20.0
_RESTART = 1012
_GONE_S = 15.0
_MOST_BYTES = 1 << 29
_AT_ONCE = 6
_TOLD = ("kill", "stop", "terminate", "storm", "vandal")  # of others nobody else is to notice


async def play(order: Order, tell: Callable[[str], None]) -> Outcome:
    """Do it all; `tell` gets a line now and then. Raises HubError when the hub does not start."""
    with tempfile.TemporaryDirectory(prefix="hub-chaos-") as folder:
        flags = {
            "hub.shards": order.shards,
            "hub.feeds": list(FEEDS),
            "sim.symbols": 1000,
            "sim.rate": 5,
        }
        hub = Hub(Path(folder), USERS, flags)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await hub.start()
            return await _Run(order, hub, tell).play()
        finally:
            with suppress(AttributeError):
                await hub.discard()


class _Run:
    def __init__(self, order: Order, hub: Hub, tell: Callable[[str], None]) -> None:
        users = [user for user in USERS if user != "simon"]
        self.source = Source(order.symbols, order.rate, users, 5.0)
        self.order = order
        self.hub = hub
        self.scene = Scene(hub, self.source, order.seed)
        self.done: list[Done] = []
        self.figures: dict[str, float] = {}
        self._tell = tell
        self._start_s = 0.0

    async def play(self) -> Outcome:
        source = msgspec.json.encode(self.source).decode()
        address = f"tcp://127.0.0.1:{self.hub.bus}"
        publisher = await Child.start(self.hub.log, "publisher", source, address)
        asyncio.get_running_loop().set_exception_handler(self._fault)
        try:
            await publisher.event("ready", 20)
            self.scene.populate()
            await eventually(self._all_here, _COME_S, "all clients are served")
            publisher.tell("start")
            begin_ns = time.monotonic_ns()
            await asyncio.sleep(_CALM_S)
            self.calm_ms = self.scene.p99_ms(begin_ns, time.monotonic_ns(), without="-")
            await self._faults()
            published = await self._end(publisher)
        finally:
            await publisher.close()
            await self.scene.close()
        return self._outcome(published)

    def _fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what = repr(context.get("exception") or context["message"])
        self.scene.fail("the harness itself", "a callback", what)

    def _all_here(self) -> bool:
        return all(client.ready_ns for client in self.scene.clients)

    # Faults.

    async def _faults(self) -> None:
        self._start_s = time.monotonic()
        seed, only = self.order.seed, self.order.only
        hub = plan.processes(seed, self.order.shards, FEEDS)
        others = plan.clients(seed, self.scene.lines)
        await asyncio.gather(
            self._lane(_chosen(hub, only), 1), self._lane(_chosen(others, only), _AT_ONCE)
        )

    async def _lane(self, faults: Iterator[Fault], at_once: int) -> None:
        """Do one after the other, up to so many at a time, until the time is over."""
        running: set[asyncio.Task[None]] = set()
        for fault in faults:
            if time.monotonic() + fault.pause_s - self._start_s > self.order.seconds:
                break
            await asyncio.sleep(fault.pause_s)
            running.add(asyncio.create_task(self._do(fault)))
            if len(running) >= at_once:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        if running:
            await asyncio.wait(running)

    async def _do(self, fault: Fault) -> None:
        deed = Deed(self.scene, fault)
        role = fault.target.partition("-")[0]
        way = roles.WAYS.get((fault.kind, role)) or lines.WAYS[fault.kind]
        if fault.kind in _TOLD:
            self.scene.ledger.event(deed.begin_ns, str(fault))
        at_s = time.monotonic() - self._start_s
        problem = ""
        try:
            await deed.run(way)
        except Late as late:
            problem = str(late)
            self.scene.fail("recovery", fault.target, problem)
        done = Done(at_s, fault, deed.figures, deed.notes, problem)
        self.done.append(done)
        self._tell(report.line(done))
        if not any(not window.end_ns for window in self.scene.ledger.windows):
            self.scene.ledger.judge()
        for failed in self.hub.failed:
            self.scene.fail("recovery", failed, "is FAILED")
        self.hub.failed.clear()

    # The end.

    async def _end(self, publisher: Child) -> int:
        scene = self.scene
        with suppress(Late):
            await eventually(self._all_here, _COME_S, "all clients are served")
        absent = [client.name for client in scene.clients if not client.ready_ns]
        if absent:
            scene.fail("recovery", ", ".join(absent), "not served though all faults are over")
        await asyncio.sleep(1)
        for number in range(WIDE_LINES):
            scene.proxy(number).set(frozen_down=True)
        await asyncio.sleep(_FROZEN_S)
        publisher.tell("stop")
        said = await publisher.event("last", 20)
        scene.thaw()
        last = {topic(name(n)): seq for n, seq in enumerate(said["seqs"])}
        last |= {ORDERS + user: said["orders"] for user in self.source.users}
        start_s = time.monotonic()
        accounts = [client.account for client in scene.clients if client.account]
        with suppress(Late):
            await eventually(
                lambda: not any(account.missing_last(last) for account in accounts),
                _LAST_S,
                "everyone has the last values",
            )
        self.figures["last values with everyone"] = time.monotonic() - start_s
        for account in accounts:
            account.check_last(last, time.monotonic_ns())
        scene.ledger.judge()
        self.memory = await asyncio.to_thread(self.hub.memory)
        self.restarts = {name: one.restarts for name, one in self.hub.processes().items()}
        late_ms = said["longest_ms"]
        self._tell(f"{said['ticks']:,} ticks published, at most {late_ms:.0f} ms late")
        await self._kill_supervisor()
        return int(said["ticks"])

    async def _kill_supervisor(self) -> None:
        """Its children drain: each client is told, and nothing stays."""
        scene = self.scene
        scene.ending = True
        connections = {c.name: c.connection for c in scene.clients if c.connection}
        for client in scene.clients:
            client.wanted = False
        start_s = time.monotonic()
        os.kill(self.hub.child.pid, signal.SIGKILL)
        with suppress(Late):
            await eventually(
                lambda: all(one.closed.done() for one in connections.values()), _GONE_S, "closed"
            )
        self.figures["clients told of the supervisor's death"] = time.monotonic() - start_s
        for who, one in connections.items():
            if one.code != _RESTART:
                scene.fail("drain", who, f"closed with {one.code} {one.reason!r}, not {_RESTART}")
        with suppress(Late):
            await eventually(lambda: not self.hub.left(), _GONE_S, "gone")
        self.figures["nothing left after the supervisor's death"] = time.monotonic() - start_s
        for process in self.hub.left():
            scene.fail("drain", str(process), "is left after the supervisor's death")

    def _outcome(self, published: int) -> Outcome:
        scene, ledger = self.scene, self.scene.ledger
        excused: dict[str, int] = {}
        for window in ledger.windows:
            kind = window.name.split(" for ")[0]
            excused[kind] = excused.get(kind, 0) + window.missing
        memory = {
            who: (scene.first_memory.get(who, 0), scene.peak.get(who, 0), size)
            for who, size in self.memory.items()
        }
        for who, (_, peak, _) in memory.items():
            if peak > _MOST_BYTES:
                ledger.fail("bounded memory", who, f"{peak >> 20} MiB", 0)
        return Outcome(
            order=self.order,
            done=self.done,
            broken=ledger.broken,
            received=ledger.received,
            published=published,
            skipped=ledger.skipped,
            excused={kind: count for kind, count in excused.items() if count},
            before_reply=ledger.before_reply,
            disconnected=scene.disconnected,
            retries=scene.retries,
            memory=memory,
            restarts=self.restarts,
            last=self.figures,
            held_up_s=scene.held_up_s,
            p99_ms=self.calm_ms,
        )


def _chosen(faults: Iterator[Fault], only: tuple[str, ...]) -> Iterator[Fault]:
    """Those whose kind, or kind and role, is wanted."""
    if not only:
        return faults
    look = list(islice(faults, 500))

    def wanted(fault: Fault) -> bool:
        role = fault.target.split("-")[0].split()[0]
        return fault.kind in only or f"{fault.kind}-{role}" in only

    return iter([fault for fault in look if wanted(fault)])
