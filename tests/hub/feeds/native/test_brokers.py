"""The feed of each broker with that broker's fake server: the runner and every codec together."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from hub.brokers import catalogue
from hub.brokers.base import Listing
from hub.core.model import Instrument, Mode, Want
from hub.core.settings import Account, Hub, Instruments, Settings
from hub.feeds.base import FeedState
from hub.feeds.native.feed import NativeFeed
from hub.instruments import store
from hub.instruments.update import update
from tests.brokers import noren_server
from tests.brokers.fake import Fake
from tests.hub.feeds.native.toy import Sink, until

RATE = 20.0


def make_server(name: str) -> Fake:
    if name in {"flattrade", "shoonya"}:
        return (noren_server.ShoonyaServer if name == "shoonya" else noren_server.Server)(rate=RATE)
    made: Fake = importlib.import_module(f"tests.brokers.{name}_server").Server(rate=RATE)
    return made


def wants(listings: list[Listing], mode: Mode) -> list[Want]:
    return [
        Want(Instrument(one.exchange, one.symbol).key, mode.bit, 5, one.exchange, one.symbol)
        for one in listings
    ]


async def ticks(sink: Sink, wanted: set[bytes]) -> None:
    """Wait for a tick of each of these topics."""
    await until(lambda: {topic for topic, _ in sink.ticks} >= wanted)


async def cut(server: Fake) -> None:
    """Cut all connections, and wait until somebody has subscribed anew."""
    old = set(server.peers)
    for peer in old:
        peer.drop()
    await until(lambda: any(peer.wants for peer in set(server.peers) - old))


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_a_feed_has_its_list_and_ticks_in_each_mode_past_a_connection_that_is_cut(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = tmp_path / "broker.env"

    async def play() -> None:
        async with make_server(name) as server:
            credentials = server.script.credentials
            lines = [f"{field}={value}\n" for field, value in credentials.items()]
            file.write_text("".join(lines), encoding="utf-8")
            file.chmod(0o600)
            path = store.path_of(name)
            broker = catalogue.get(name)
            await update(broker, server.api, path, lambda _: None)
            with store.Store(path) as there:
                listings = [Listing(*row) for row in there._rows("SELECT * FROM listing")]
            shares = [one for one in listings if one.kind == "EQ"][:3]
            account: Any = Account(
                url=server.url, api_url=server.api, credentials=[str(file)] if lines else []
            )
            settings = Settings(
                hub=Hub(feeds=[name]), instruments=Instruments(update=False), **{name: account}
            )
            feed, sink = NativeFeed(name, settings), Sink()
            await feed.start(sink)
            for mode in Mode:
                sink.answers.clear()
                feed.apply(wants(shares, mode))
                await until(lambda: len(sink.answers) == len(shares))
                assert [result.error for result in sink.answers] == [""] * len(shares)
                wanted = {want.key + b"_" + mode.name.encode() for want in wants(shares, mode)}
                await ticks(sink, wanted)
            for topic, payload in sink.ticks:
                data = json.loads(payload)
                assert topic.startswith(f"{data['exchange']}_{data['symbol']}_".encode())
                assert data["ltp"] > 0
                if topic.endswith(b"_DEPTH"):
                    assert len(data["depth"]["buy"]) == len(data["depth"]["sell"]) == 5
            await cut(server)
            sink.ticks.clear()
            await ticks(sink, wanted)
            health = feed.health()
            assert (health.state, health.subscribed) == (FeedState.CONNECTED, len(shares))
            assert health.accounts[0]["malformed"] == 0
            await feed.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())
