"""`hub restart` on a hub under load, and a shard that keeps dying: nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, suppress

from websockets.exceptions import ConnectionClosed

from tests.integration.conftest import MakeHub
from tests.integration.harness import ROOT, WITHIN_S, Client, Hub, fresh, ticks_of, until
from tests.integration.scenes import Beacon, Reader, audience, scene

SHARDS = [f"shard-{number}" for number in range(4)]


def command(hub: Hub, *args: str) -> subprocess.CompletedProcess[str]:
    """Type a command at this hub."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *args, "--runtime-dir", str(hub.runtime_dir)],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=10 * WITHIN_S,
    )  # fmt: skip


class Regular:
    """A client that is always there: it connects anew at once whenever it is sent away."""

    def __init__(self, hub: Hub, symbol: str) -> None:
        self.codes: list[int | None] = []
        self.fresh = 0
        self._hub = hub
        self._symbol = symbol
        self.task = asyncio.create_task(self._come_back())

    async def stop(self) -> None:
        """Come back no more; a connect that failed is raised here."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def _come_back(self) -> None:
        while True:
            try:
                async with self._hub.client(snapshot=False) as client:
                    await client.subscribe(self._symbol)
                    await self._read(client)
            except ConnectionClosed as error:
                self.codes.append(error.rcvd.code if error.rcvd else None)

    async def _read(self, client: Client) -> None:
        before = -1
        while True:
            number = (await client.next(3600))["data"]["n"]
            assert number == before + 1 or before < 0, "each tick once, in order"
            before, self.fresh = number, max(self.fresh, number)


class Watch:
    """Which shards were away at a time."""

    def __init__(self, hub: Hub) -> None:
        self.away: set[frozenset[str]] = set()
        self._hub = hub
        self.task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            rows = self._hub.children
            away = frozenset(name for name in SHARDS if rows[name].state != "ready")
            self.away.add(away)
            await asyncio.sleep(0.002)


def test_a_rolling_restart_takes_one_shard_away_at_a_time_and_all_clients_find_the_hub(
    make_hub: MakeHub,
) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        (symbol,) = fresh()
        publisher = await stack.enter_async_context(hub.publisher())
        beacon = Beacon(publisher, symbol)
        regulars = [Regular(hub, symbol) for _ in range(12)]
        await until(lambda: all(one.fresh for one in regulars), "ticks come")
        before, watch = dict(hub.children), Watch(hub)
        done = await asyncio.to_thread(command, hub, "restart", "--rolling", "--json")
        assert done.returncode == 0, done.stderr
        watch.task.cancel()
        after = dict(hub.children)
        told = json.loads(done.stdout)
        assert [one["name"] for one in told["restarted"]] == SHARDS
        for one in told["restarted"]:
            assert (one["was_pid"], one["pid"]) == (before[one["name"]].pid, after[one["name"]].pid)
        assert {name for name in before if before[name].pid != after[name].pid} == set(SHARDS)
        assert watch.away == {frozenset(), *(frozenset({name}) for name in SHARDS)}
        sent = beacon.sent
        await until(lambda: all(one.fresh > sent for one in regulars), "all have ticks again")
        await beacon.stop()
        for one in regulars:
            await one.stop()
            assert set(one.codes) <= {1012}
        assert sum(len(one.codes) for one in regulars) >= len(regulars), "each was sent away"
        assert hub.log().count("was told to leave; starting again") == 4
        assert {after[name].restarts for name in SHARDS} == {1}

    scene(play, make_hub({"hub.feeds": ["bus"]}))


def test_named_processes_are_restarted_in_their_order_and_no_client_leaves(
    make_hub: MakeHub,
) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        clients = [await stack.enter_async_context(hub.client("simon")) for _ in range(4)]
        for client in clients:
            await client.subscribe("RELIANCE")
        readers = [Reader(client) for client in clients]
        await until(lambda: all(len(client.seen) > 5 for client in clients), "ticks come")
        names = ["monitor", "router", "feed-sim"]
        before = dict(hub.children)
        done = await asyncio.to_thread(command, hub, "restart", *names)
        assert done.returncode == 0, done.stderr
        told = [line.partition(" is back (pid ") for line in done.stdout.splitlines()]
        assert [name for name, *_ in told] == names
        after = dict(hub.children)
        assert {name for name in before if before[name].pid != after[name].pid} == set(names)
        seen = [len(client.seen) for client in clients]

        def again() -> bool:
            pairs = zip(clients, seen, strict=True)
            return all(ticks_of(client.seen[count:], "RELIANCE") for client, count in pairs)

        await until(again, "ticks resume")
        assert not any(reader.closed for reader in readers)
        for reader in readers:
            await reader.stop()

    scene(play, make_hub({"hub.feeds": ["sim"], "hub.shards": 2}))


def test_a_shard_that_keeps_dying_has_failed_and_clients_of_the_others_are_undisturbed(
    make_hub: MakeHub,
) -> None:
    async def play(hub: Hub, stack: AsyncExitStack) -> None:
        symbol, beacon, readers = await audience(hub, stack, 8)
        others = {name: child.pid for name, child in hub.children.items() if name != "shard-2"}

        async def kill_each() -> None:
            killed = 0
            while True:
                child = hub.children["shard-2"]
                if child.pid not in {0, killed} and child.state in {"starting", "ready"}:
                    killed = child.pid
                    with suppress(ProcessLookupError):
                        os.kill(killed, signal.SIGKILL)
                await asyncio.sleep(0.005)

        killer = asyncio.create_task(kill_each())
        figures = await hub.figures_when(
            lambda f: f["shard-2"]["state"] == "failed" and f["shard-2"]["last_lines"],
            "it has failed",
        )
        assert figures["shard-2"]["deaths"] >= 5
        assert any(" shard-2 " in line for line in figures["shard-2"]["last_lines"])
        assert "shard-2 has failed: it ended with code -9" in hub.log()
        said = ""
        for _ in range(10):  # it may just be starting once more, ever more rarely
            done = await asyncio.to_thread(command, hub, "status")
            assert done.returncode == 1
            said = done.stdout.partition("\nshard-2 ended with code -9 ")[2]
            if said:
                break
        head, *lines = said.splitlines()
        assert head.endswith(" times; last lines of its log:")
        assert lines
        assert all(line.startswith("    ") for line in lines)
        refused = await asyncio.to_thread(command, hub, "restart", "--rolling")
        assert refused.returncode == 1
        assert "shard-2 not ready" in refused.stderr
        logged = await asyncio.to_thread(command, hub, "logs", "--level", "error", "supervisor")
        assert "supervisor shard-2 has failed: it ended with code -9" in logged.stdout
        logged = await asyncio.to_thread(command, hub, "logs", "shard-2")
        assert all(" shard-2 " in line for line in logged.stdout.splitlines())
        assert "ready" in logged.stdout
        killer.cancel()
        pids = {name: child.pid for name, child in hub.children.items() if name != "shard-2"}
        assert pids == others, "the rest goes on"
        await beacon.stop()
        staying = [reader for reader in readers if not reader.closed]
        assert len(staying) == 6
        for reader in staying:
            await reader.stop()
            await reader.client.catch_up(beacon.publisher)
            assert reader.numbers(symbol) == list(range(beacon.sent))

    scene(play, make_hub({"hub.feeds": ["bus"]}))
