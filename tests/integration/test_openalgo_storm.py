"""500 clients of one OpenAlgo key come back in the same moment, while another one is served.

Each shard hashes a key once, however many present it: how often it does is counted by a module that
every interpreter of the hub imports as it starts.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.integration.harness import Client, Message, Publisher, together
from tests.integration.test_openalgo import House

CLIENTS = 500
USERS = 3
"""How many users have an OpenAlgo key in a house."""
SHARDS = ("shard-0", "shard-1")
COUNTER = """
import os
from argon2 import PasswordHasher

def counted(self, key_hash, secret, verify=PasswordHasher.verify):
    with open({path!r}, "a", encoding="utf-8") as file:
        file.write(f"{{os.getpid()}}\\t{{key_hash}}\\t{{secret}}\\n")
    return verify(self, key_hash, secret)

PasswordHasher.verify = counted
"""

Hashed = Callable[[str], list[tuple[int, str]]]


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hashed:
    """How often a key was hashed by hubs that start from now on: each time the process, and the
    hash of the row that it was tried on."""
    record = tmp_path / "record"
    record.touch()
    (tmp_path / "sitecustomize.py").write_text(COUNTER.format(path=str(record)), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)

    def hashed(key: str) -> list[tuple[int, str]]:
        lines = (line.split("\t") for line in record.read_text(encoding="utf-8").splitlines())
        return [(int(pid), key_hash) for pid, key_hash, secret in lines if secret.startswith(key)]

    return hashed


@pytest.fixture
def house(hashed: Hashed) -> Iterator[House]:
    house = House()
    try:
        house.hub.start()
        yield house
        assert house.hub.stop() == 0, house.hub.log()
    finally:
        house.hub.discard()


def test_500_clients_of_one_key_are_let_in_at_once_and_nobody_else_notices(
    house: House, hashed: Hashed
) -> None:
    key = house.hub.keys["anita"]
    firsts: list[Message] = []

    async def be_let_in(client: Client) -> None:
        reply = await client.ask({"action": "authenticate", "api_key": key})
        assert (reply["type"], reply["status"], reply["user_id"]) == ("auth", "success", "anita")
        await client.subscribe("RELIANCE")
        firsts.append(await client.tick())

    asyncio.run(storm(house, be_let_in, "clients", CLIENTS + 1))
    assert len(firsts) == CLIENTS
    assert {(tick["symbol"], tick["data"]["user"]) for tick in firsts} == {("RELIANCE", "anita")}
    assert len(house.calls("connect", "anita")) == 1, "they share a login"
    assert len(house.calls("subscribe", "anita")) == 1, "and what is asked of the broker"
    check_once_in_each_shard(house, hashed(key))


def test_500_clients_of_one_wrong_key_are_refused_and_nobody_else_notices(
    house: House, hashed: Hashed
) -> None:
    key = "the key of nobody"

    async def be_refused(client: Client) -> None:
        error = await client.ask({"action": "authenticate", "api_key": key})
        assert error["code"] == "AUTHENTICATION_ERROR"

    asyncio.run(storm(house, be_refused, "refused_keys", CLIENTS))
    check_once_in_each_shard(house, hashed(key))
    assert len(hashed(key)) == len(SHARDS) * USERS, "it may be anybody's"


async def storm(
    house: House, part: Callable[[Client], Awaitable[None]], figure: str, is_: int
) -> None:
    """Clients that are connected already do their part all at once, and stay until this figure of
    the shards is what it should be; a steady client gets what it should meanwhile."""
    connected = asyncio.Barrier(CLIENTS)
    done = asyncio.Barrier(CLIENTS + 1)
    seen = asyncio.Event()

    async def one() -> None:
        async with house.hub.client("", compression=None, open_timeout=None) as client:
            await connected.wait()
            await part(client)
            await done.wait()
            await seen.wait()

    async def look() -> None:
        await done.wait()
        await house.hub.figures_when(
            lambda rows: sum(rows[name][figure] for name in SHARDS) == is_, f"{figure} are {is_}"
        )
        seen.set()

    async with steady(house):
        await together([*(one() for _ in range(CLIENTS)), look()])


@asynccontextmanager
async def steady(house: House) -> AsyncIterator[None]:
    """A client of another user, who gets every tick of its broker and of the bus, in order."""
    publisher = Publisher(house.hub.bus)
    numbers = itertools.count()
    is_over = asyncio.Event()

    async def publish() -> None:
        while not is_over.is_set():
            for _ in range(20):
                publisher.send("NSE_SBIN_QUOTE", {"number": next(numbers)})
            await asyncio.sleep(0.005)
        publisher.send("NSE_SBIN_QUOTE", {"number": next(numbers), "last": True})

    with closing(publisher):
        async with house.hub.client("zoe") as client, asyncio.TaskGroup() as tasks:
            await client.subscribe("SBIN", mode=2)
            tasks.create_task(publish())
            await client.until(lambda tick: "number" in tick["data"])  # the bus is connected
            reading = tasks.create_task(client.until(lambda tick: tick["data"].get("last")))
            yield
            is_over.set()
            await reading
    for field in ("number", "n"):
        got = [tick["data"][field] for tick in client.seen if field in tick.get("data", ())]
        assert len(got) > 1
        assert got == list(range(got[0], got[0] + len(got)))


def check_once_in_each_shard(house: House, hashed: list[tuple[int, str]]) -> None:
    """Whether each shard had to, and none hashed the key for the same row twice."""
    assert {pid for pid, _ in hashed} == {house.hub.children[name].pid for name in SHARDS}
    assert set(Counter(hashed).values()) == {1}
