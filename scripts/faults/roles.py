"""Faults of the hub's processes: how each is done, and when all is well again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from scripts.faults.clients import Client
from scripts.faults.deed import BOUND_S, Deed
from scripts.faults.hub import Late, eventually

_clock_ns = time.monotonic_ns

_PAUSE_S = 1.5
"""A stop that is shorter may be none to the shard, which is behind by no more than that."""


async def _kill_shard(deed: Deed, number: signal.Signals = signal.SIGKILL) -> None:
    scene, name = deed.scene, deed.fault.target
    await eventually(scene.placed, 5.0, "it is known who serves whom")
    mine = [client for client in scene.steady() if scene.shard_of(client) == name]
    before = {client.name: client.connections for client in mine}
    scene.gone[name] = _clock_ns()
    victim = scene.hub.signal(name, number)
    waits: list[asyncio.Task[None]] = [
        asyncio.create_task(_back(deed, client, before[client.name])) for client in mine
    ]
    await deed.until("shard ready again", lambda: scene.hub.is_back(name, victim), 2 * BOUND_S)
    await asyncio.gather(*waits)
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
    if connection is None:
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
    while time.monotonic() < until_s:
        if await deed.scene.hub.answers():
            deed.took("monitor answers", since_ns)
            return
        await asyncio.sleep(0.05)
    raise Late(f"the monitor does not answer after {deed.fault}")


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
    if old > topics and deed.fault.seconds > _PAUSE_S:
        scene.fail("pause", name, f"sent a backlog: {old} old ticks of {topics} topics")


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


WAYS: dict[tuple[str, str], Callable[[Deed], Awaitable[None]]] = {
    ("kill", "shard"): _kill_shard,
    ("kill", "router"): _kill_router,
    ("kill", "feed"): _kill_feed,
    ("kill", "monitor"): _kill_monitor,
    ("stop", "shard"): _stop_shard,
    ("stop", "router"): _stop_router,
    ("stop", "feed"): _stop_feed,
    ("stop", "monitor"): _stop_monitor,
    ("terminate", "shard"): _terminate_shard,
}
"""By kind of fault and role."""
