from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.core.errors import NoBucket
from hub.core.lease import Seen
from hub.core.settings import Nats as NatsSettings
from hub.runtime.bucket import Bucket
from hub.runtime.nats import Nats
from tests import natsserver


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with natsserver.server(tmp_path_factory.mktemp("nats"), jetstream=True) as server:
        yield server.url


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Nats]:
    up = asyncio.Event()
    door = Nats(NatsSettings(servers=[url]), "test", up=up.set)
    await door.start()
    try:
        await asyncio.wait_for(up.wait(), 10)
        yield door
    finally:
        await door.stop()


def test_a_value_is_changed_by_who_knows_what_is_there(url: str) -> None:
    async def main() -> None:
        async with connected(url) as door:
            bucket = Bucket(door, "changes")
            nothing = await bucket.look("a.b", 5)
            assert (nothing.revision, nothing.value) == (0, b"")
            assert await bucket.write("a.b", b"one", 0, 5) == 1
            assert await bucket.write("a.b", b"other", 0, 5) is None
            assert await bucket.look("a.b", 5) == Seen(1, b"one")
            assert await bucket.write("a.b", b"two", 1, 5) == 2
            assert await bucket.write("a.c", b"of another key", 0, 5) == 3
            assert await bucket.look("a.b", 5) == Seen(2, b"two")

    asyncio.run(main())


def test_nats_own_tools_read_it_and_what_they_delete_is_nothing(url: str) -> None:
    async def main() -> None:
        async with connected(url) as door:
            bucket = Bucket(door, "tools")
            await bucket.look("a", 5)
            await bucket.write("a", b"one", 0, 5)
            tool = await door.js.key_value("tools")
            assert (await tool.get("a")).value == b"one"
            await tool.delete("a")
            assert await bucket.look("a", 5) == Seen(2, b"")
            assert await bucket.write("a", b"again", 2, 5) == 3

    asyncio.run(main())


def test_a_bucket_that_was_lost_is_made_anew_and_shows_it(url: str) -> None:
    async def main() -> None:
        async with connected(url) as door:
            bucket, other = Bucket(door, "lost"), Bucket(door, "lost")
            before = await bucket.look("a", 5)
            assert await other.look("a", 5) == before
            await door.js.delete_key_value("lost")
            with pytest.raises(NoBucket):
                await bucket.look("a", 5)
            after = await bucket.look("a", 5)
            assert (after.revision, after.value) == (0, b"")
            assert after != before
            assert await other.look("a", 5) == after

    asyncio.run(main())


def test_without_jetstream_it_says_what_to_do(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with connected(url) as door:
            with pytest.raises(NoBucket, match=r"no JetStream.*start nats-server with `-js`"):
                await Bucket(door, "none").look("a", 5)

    with natsserver.server(tmp_path) as server:
        asyncio.run(main(server.url))


def test_without_a_connection_it_says_so() -> None:
    async def main() -> None:
        door = Nats(NatsSettings(servers=["nats://127.0.0.1:1"]), "test")
        with pytest.raises(NoBucket, match="no connection to NATS"):
            await Bucket(door, "none").look("a", 5)

    asyncio.run(main())


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def main(server: natsserver.NatsServer) -> None:
        async with connected(server.url) as door:
            bucket = Bucket(door, "silent")
            await bucket.look("a", 5)
            server.send(signal.SIGSTOP)
            try:
                with pytest.raises(NoBucket, match=r"not answered within 0\.2 s"):
                    await bucket.look("a", 0.2)
                with pytest.raises(NoBucket, match=r"not answered within 0\.2 s"):
                    await bucket.write("a", b"", 0, 0.2)
            finally:
                server.send(signal.SIGCONT)

    with natsserver.server(tmp_path, jetstream=True) as server:
        asyncio.run(main(server))
