"""A process that stands by for a feed, for tests: writes down what it does, with the time.

While it is active it has a lock, which the kernel takes from it when it dies: "two-at-once" is
written down by one that does not get it.

python -m tests.hub.feeds.standby_host MACHINE FEED LEASE_S JOURNAL SERVER...
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

import uvloop

from hub.core.settings import Nats as NatsSettings
from hub.core.settings import Settings
from hub.feeds.standby import Standby
from hub.runtime.deadline import boottime_s
from hub.runtime.nats import Nats


async def main(machine: str, feed: str, lease_s: str, journal: str, *servers: str) -> None:
    """Until SIGTERM, then in order."""

    def note(what: str) -> None:
        with Path(journal).open("a", encoding="ascii") as file:
            file.write(f"{boottime_s():.6f} {os.getpid()} {what}\n")

    lock = os.open(f"{journal}.lock", os.O_RDWR | os.O_CREAT, 0o600)

    async def active(_: int) -> None:
        note("active")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("two-at-once")

    async def passive() -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)
        note("passive")

    nats = NatsSettings(
        servers=list(servers), publish=True, name=machine, standby="desk", lease_s=float(lease_s)
    )
    settings = Settings(nats=nats)
    door = Nats(nats, machine)
    await door.start()
    standby = Standby(door, settings, feed)
    running = asyncio.create_task(standby.run(active, passive))
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    note("up")
    await leave.wait()
    await standby.stop()
    await running
    await door.stop()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
