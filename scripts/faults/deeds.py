"""How each fault is done, what is waited for after it, and which times are taken.

1. A fault that may cost ticks opens a window before it is done, and closes it `MARGIN_S` after all
   is well again; a window is only as wide as docs/architecture.md says ticks may be lost.
2. What is not well again in `BOUND_S`, five times what a quiet machine shows, breaks a promise.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from scripts.faults import vandal
from scripts.faults.clients import Client
from scripts.faults.hub import eventually
from scripts.faults.ledger import Window
from scripts.faults.plan import Fault
from scripts.faults.scene import Scene

BOUND_S = 10.0
MARGIN_S = 0.5
_UNDER_WAY_NS = 250_000_000  # what was published so shortly before is in the buffers of the victim
_STORM = 150
_STORM_S = 30.0
_clock_ns = time.monotonic_ns


class Deed:
    """One fault as it is done to a scene; `figures` holds the times taken, in seconds mostly."""

    def __init__(self, scene: Scene, fault: Fault) -> None:
        self.scene = scene
        self.fault = fault
        self.begin_ns = _clock_ns()
        self.figures: dict[str, float] = {}
        self.notes: list[str] = []
        self.windows: list[Window] = []

    def __repr__(self) -> str:
        return f"<Deed {self.fault}>"

    async def run(self) -> None:
        """Do it, and wait until all is well again. Raises Late when it is not."""
        scene = self.scene
        if self.fault.kind not in _LINES:
            scene.ledger.event(self.begin_ns, str(self.fault))
        role = self.fault.target.partition("-")[0]
        try:
            await _DEEDS[self.fault.kind, role if self.fault.kind in _ROLES else ""](self)
        finally:
            await asyncio.sleep(MARGIN_S if self.windows else 0)
            for window in self.windows:
                window.end_ns = _clock_ns()

    def window(self, scope: str = "", *, orders: bool = False) -> None:
        """From here on ticks may be missing, of one shard's clients or of all."""
        begin_ns = _clock_ns() - _UNDER_WAY_NS
        opened = Window(str(self.fault), scope, begin_ns, orders=orders)
        self.windows.append(self.scene.ledger.open(opened))

    def took(self, name: str, since_ns: int) -> None:
        """Take a time."""
        self.figures[name] = (_clock_ns() - since_ns) / 1e9

    async def until(
        self, name: str, condition: Callable[[], Any], within_s: float = BOUND_S
    ) -> None:
        """Wait for something and take the time since the fault began."""
        await eventually(condition, within_s, f"{name} after {self.fault}")
        self.took(name, self.begin_ns)


async def _kill_shard(deed: Deed, number: signal.Signals = signal.SIGKILL) -> None:
    scene, name = deed.scene, deed.fault.target
    await eventually(scene.placed, 5.0, "it is known who serves whom")
    mine = [client for client in scene.clients if scene.shard_of(client) == name]
    before = {client.name: client.connections for client in mine}
    scene.excused_shard = name
    victim = scene.hub.signal(name, number)
    waits: list[asyncio.Task[None]] = [
        asyncio.create_task(_back(deed, client, before[client.name])) for client in mine
    ]
    await deed.until("shard ready again", lambda: scene.hub.is_back(name, victim), 2 * BOUND_S)
    await asyncio.gather(*waits)
    scene.excused_shard = ""
    deed.notes.append(f"{len(mine)} clients")


async def _back(deed: Deed, client: Client, before: int) -> None:
    """A client of a shard that has gone: connected again, and its first tick after the reply."""

    def connected() -> bool:
        return client.connections > before and bool(client.ready_ns)

    await eventually(connected, 2 * BOUND_S, f"{client.name} is back after {deed.fault}")
    seconds = (client.ready_ns - deed.begin_ns) / 1e9
    key = "its clients connected again"
    deed.figures[key] = max(deed.figures.get(key, 0.0), seconds)
    connection = client.connection
    if client.loose or connection is None:
        return
    await eventually(
        lambda: connection.first_tick_ns or connection.closed.done(),
        BOUND_S,
        f"{client.name} ticks",
    )
    seconds = max(0.0, (connection.first_tick_ns - connection.replied_ns) / 1e9)
    key = "first tick after resubscribe"
    deed.figures[key] = max(deed.figures.get(key, 0.0), seconds)


async def _terminate_shard(deed: Deed) -> None:
    await _kill_shard(deed, signal.SIGTERM)


async def _kill_router(deed: Deed) -> None:
    scene = deed.scene
    deed.window(orders=True)
    victim = scene.hub.signal("router", signal.SIGKILL)
    await deed.until("router ready again", lambda: scene.hub.is_back("router", victim))
    ready_ns = _clock_ns()
    await deed.until("a tick again", lambda: any(map(scene.ticked_since(ready_ns), scene.steady())))
    await deed.until("all ticks of all clients again", lambda: scene.all_current(ready_ns))


async def _kill_feed(deed: Deed) -> None:
    scene, name = deed.scene, deed.fault.target
    victim = scene.hub.signal(name, signal.SIGKILL)
    await deed.until("feed ready again", lambda: scene.hub.is_back(name, victim))
    ready_ns = _clock_ns()
    if name == "feed-sim":
        await deed.until("all its symbols tick again", lambda: scene.all_current(ready_ns, "sim"))


async def _kill_monitor(deed: Deed) -> None:
    scene = deed.scene
    victim = scene.hub.signal("monitor", signal.SIGKILL)
    await deed.until("monitor ready again", lambda: scene.hub.is_back("monitor", victim))
    await _answers(deed, deed.begin_ns)


async def _answers(deed: Deed, since_ns: int) -> None:
    until_s = time.monotonic() + BOUND_S
    while not await deed.scene.hub.answers() and time.monotonic() < until_s:
        await asyncio.sleep(0.05)
    deed.took("monitor answers", since_ns)


async def _stopped(deed: Deed) -> int:
    """Stop it for its time; when it went on."""
    scene, name = deed.scene, deed.fault.target
    victim = scene.hub.signal(name, signal.SIGSTOP)
    scene.stopped.add(victim.pid)
    try:
        await asyncio.sleep(deed.fault.seconds)
    finally:
        scene.hub.signal(name, signal.SIGCONT)
        scene.stopped.discard(victim.pid)
    now = scene.hub.processes()[name]
    if now.pid != victim.pid:
        scene.fail("recovery", name, f"{deed.fault}: pid {victim.pid} became {now.pid}")
    return _clock_ns()


async def _stop_shard(deed: Deed) -> None:
    scene, name = deed.scene, deed.fault.target
    await eventually(scene.placed, 5.0, "it is known who serves whom")
    mine = [client for client in scene.steady() if scene.shard_of(client) == name]
    deed.window(name)
    begin_ns = deed.begin_ns
    on_ns = await _stopped(deed)
    accounts = [client.account for client in mine if client.account]
    for account in accounts:
        account.count_old(on_ns)
    p99_before = scene.p99_ms(begin_ns - 5 * 10**9, begin_ns, without=name)
    p99_meanwhile = scene.p99_ms(begin_ns, on_ns, without=name)
    if p99_before and p99_meanwhile:
        deed.figures["others' p99 before, ms"] = p99_before
        deed.figures["others' p99 meanwhile, ms"] = p99_meanwhile
    await eventually(
        lambda: all(_current(client, on_ns) for client in mine), BOUND_S, f"{name} is current"
    )
    deed.took("current again after SIGCONT", on_ns)
    await asyncio.sleep(0.5)
    old = sum(account.old for account in accounts)
    topics = sum(len(client.symbols) for client in mine)
    deed.figures["old ticks per topic after SIGCONT"] = old / max(1, topics)
    deed.notes.append(f"{len(mine)} clients, {old} old ticks")


def _current(client: Client, since_ns: int) -> bool:
    account = client.account
    return account is None or not client.ready_ns or account.oldest_ns() >= since_ns


async def _stop_router(deed: Deed) -> None:
    scene = deed.scene
    deed.window()
    on_ns = await _stopped(deed)
    await eventually(lambda: scene.all_current(on_ns), BOUND_S, "ticks after the router went on")
    deed.took("current again after SIGCONT", on_ns)


async def _stop_feed(deed: Deed) -> None:
    scene = deed.scene
    on_ns = await _stopped(deed)
    if deed.fault.target == "feed-sim":
        await eventually(lambda: scene.all_current(on_ns, "sim"), BOUND_S, "the feed ticks again")
        deed.took("all its symbols tick again", on_ns)


async def _stop_monitor(deed: Deed) -> None:
    await _answers(deed, await _stopped(deed))


# Clients and publishers.


async def _line(deed: Deed, **weather: float | bool) -> None:
    scene = deed.scene
    proxy = scene.proxy(int(deed.fault.target.split()[1]))
    proxy.set(**weather)
    try:
        await asyncio.sleep(deed.fault.seconds)
    finally:
        proxy.set(**dict.fromkeys(weather, 0))


async def _freeze(deed: Deed) -> None:
    await _line(deed, frozen_down=True, frozen_up=True)


async def _mute(deed: Deed) -> None:
    await _line(deed, frozen_up=True)


async def _slow(deed: Deed) -> None:
    await _line(deed, down_bytes_s=float(20_000 + deed.fault.draw % 80_000))


async def _slice(deed: Deed) -> None:
    await _line(deed, slice_bytes=100 + deed.fault.draw % 400)


async def _delay(deed: Deed) -> None:
    await _line(deed, latency_s=0.02 + deed.fault.draw % 200 / 1000)


async def _reset(deed: Deed) -> None:
    scene = deed.scene
    number = int(deed.fault.target.split()[1])
    client = scene.proxied(number)
    before = client.connections
    scene.excused_names.add(client.name)
    scene.proxy(number).reset()
    await eventually(
        lambda: client.connections > before and client.ready_ns,
        3 * BOUND_S,
        f"{client.name} is back",
    )
    deed.took("client back", deed.begin_ns)
    scene.excused_names.discard(client.name)


async def _vandal(deed: Deed) -> None:
    await asyncio.to_thread(vandal.do, deed.fault.target, deed.scene.hub.bus, deed.fault.draw)


async def _storm(deed: Deed) -> None:
    """Many clients come at once, subscribe, and leave when they have a tick."""
    scene = deed.scene
    rng = random.Random(deed.fault.draw)
    guests = [scene.guest(f"guest {n}", rng) for n in range(_STORM)]
    lives = [asyncio.create_task(guest.live()) for guest in guests]
    served: set[str] = set()

    def all_served() -> bool:
        for guest in guests:
            if guest.ready_ns and guest.connection and guest.connection.first_tick_ns:
                served.add(guest.name)
        return len(served) == len(guests)

    try:
        await deed.until("all served", all_served, _STORM_S)
    finally:
        for guest in guests:
            guest.leave()
        await asyncio.wait(lives, timeout=BOUND_S)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
    deed.notes.append(f"{_STORM} clients")


_ROLES = ("kill", "stop", "terminate")
_LINES = ("freeze", "mute", "slow", "slice", "delay", "reset")  # no one else is to notice
_DEEDS: dict[tuple[str, str], Callable[[Deed], Any]] = {
    ("kill", "shard"): _kill_shard,
    ("kill", "router"): _kill_router,
    ("kill", "feed"): _kill_feed,
    ("kill", "monitor"): _kill_monitor,
    ("stop", "shard"): _stop_shard,
    ("stop", "router"): _stop_router,
    ("stop", "feed"): _stop_feed,
    ("stop", "monitor"): _stop_monitor,
    ("terminate", "shard"): _terminate_shard,
    ("freeze", ""): _freeze,
    ("mute", ""): _mute,
    ("slow", ""): _slow,
    ("slice", ""): _slice,
    ("delay", ""): _delay,
    ("reset", ""): _reset,
    ("storm", ""): _storm,
    ("vandal", ""): _vandal,
}
