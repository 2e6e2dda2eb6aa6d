"""A host whose feed could run elsewhere, with its lease and its link to the router by hand."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.core import codec
from hub.core.model import NOBODY, Offer, Want
from hub.core.names import UPLINK
from hub.core.settings import Hub, Settings
from hub.core.settings import Nats as NatsSettings
from hub.feeds.base import FeedState
from hub.feeds.deputy import Deputy
from hub.runtime.pipe import Pipe
from tests.hub.feeds.test_host import Ingest

A = b"NSE_RELIANCE"


class World:
    """A deputy; `said` is what it has told the router, in order."""

    def __init__(self, directory: Path) -> None:
        settings = Settings(
            hub=Hub(runtime_dir=str(directory), feeds=["sim"], shards=2),
            nats=NatsSettings(servers=["nats://127.0.0.1:1"], publish=True, standby="desk"),
        )
        deputy: Any = Deputy("feed-sim", settings)
        self.deputy = deputy
        self.said: list[Any] = []
        deputy._control = deputy._standby = self
        self.ingest = Ingest()
        deputy._ingest = Pipe(self.ingest)
        deputy._ingest.reset(open_=True)
        self.state = {"state": "standby", "holder": "desk2", "revision": 7, "left_s": 3.0}
        self.problem = ""

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(codec.decode(codec.encode(message)))

    def announce(self, offer: Offer) -> None:
        self.said.append(offer)

    def interest(self, *wants: Want) -> list[Any]:
        message = {"t": "interest", "shard": 1, "wants": list(wants), "replace": False}
        self.said.clear()
        self.deputy._take_interest(codec.decode(codec.encode(message)))
        return [
            result for told in self.said if told["t"] == "results" for result in codec.results(told)
        ]


@pytest.fixture
def world() -> Iterator[World]:
    """One that has just begun."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield World(path)
    shutil.rmtree(path)


def test_while_another_machine_has_the_lease_it_is_here_and_serves_nobody(world: World) -> None:
    assert world.deputy.offer().users == (NOBODY,)
    (refused,) = world.interest(Want(A, 1, 5, "NSE", "RELIANCE"), Want(b"NSE_B", 0))
    assert (refused.key, refused.modes) == (A, 1)
    assert refused.error == "feed sim runs on desk2 now"
    world.deputy.publish([A + b"_LTP", b"{}"])
    assert world.ingest.sent == []
    figures = world.deputy._figures()
    assert figures["feed_state"] == FeedState.CONNECTED.value, "all is as it should be"
    world.problem = "JetStream is away"
    assert world.deputy._figures()["problem"] == "no lease: JetStream is away"


def test_each_time_it_is_told_who_has_the_lease_and_then_it_is_another_one(world: World) -> None:
    async def main() -> None:
        await world.deputy._start_feed(8)
        lease, offer = world.said
        assert (lease["to"], lease["feed"], lease["held"]["state"]) == (UPLINK, "sim", "active")
        assert offer.users == ()
        assert [result.error for result in world.interest(Want(A, 1, 5, "NSE", "RELIANCE"))] == [""]
        world.deputy.publish([A + b"_LTP", b'{"n":1}'])
        assert world.ingest.sent[-1] == [A + b"_LTP", b'{"n":1}']
        claims, stale, feed = world.deputy._claims, world.deputy._stale, world.deputy._feed
        world.said.clear()
        await world.deputy._stop_feed()
        lease, offer = world.said
        assert (lease["held"]["state"], offer.users) == ("standby", (NOBODY,))
        assert world.deputy._claims is not claims, "nothing of before counts"
        assert world.deputy._stale is not stale
        assert world.deputy._feed is not feed
        assert feed.health().state is FeedState.DISCONNECTED
        sent = len(world.ingest.sent)
        world.deputy.publish([A + b"_LTP", b"{}"])
        assert len(world.ingest.sent) == sent

    asyncio.run(main())


def test_who_has_the_lease_is_told_again_and_again(world: World) -> None:
    for _ in range(2):
        world.deputy._sweep(1.0)
    assert [told["held"]["holder"] for told in world.said] == ["desk2", "desk2"]
