"""Faults around the hub: lines that fail, crowds that come at once, publishers that misbehave.

Nobody but the client of that line may notice: none of these opens a window.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from scripts.faults import vandal
from scripts.faults.deed import BOUND_S, Deed
from scripts.faults.hub import eventually

_STORM = 150
_STORM_S = 30.0


async def _line(deed: Deed, **weather: Any) -> None:
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


WAYS: dict[str, Callable[[Deed], Awaitable[None]]] = {
    "freeze": _freeze,
    "mute": _mute,
    "slow": _slow,
    "slice": _slice,
    "delay": _delay,
    "reset": _reset,
    "storm": _storm,
    "vandal": _vandal,
}
"""By kind of fault."""
