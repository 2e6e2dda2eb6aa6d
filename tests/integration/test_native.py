"""Brokers without OpenAlgo: a real hub, each broker's fake server, and clients that notice nothing.

A hub is started with a file of credentials, as a user would, and has the list of instruments
downloaded by itself. Here are a broker that confirms nothing and one that allows one connection;
tests/hub/feeds/native/test_brokers.py has the feeds of all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.brokers.base import Listing
from hub.instruments.store import Store, path_of
from tests.brokers import angel_server, noren_server, zerodha_server
from tests.brokers.fake import Fake, running
from tests.integration.conftest import MakeHub
from tests.integration.harness import WITHIN_S, Client, Hub, Message, until

MODULES = {
    "angel": angel_server,
    "flattrade": noren_server,
    "zerodha": zerodha_server,
}
RATE = 10.0


class World(NamedTuple):
    hub: Hub
    server: Fake
    listings: list[Listing]


def make_server(name: str) -> Fake:
    made: Fake = MODULES[name].Server(rate=RATE)
    return made


@contextmanager
def world(name: str, make_hub: MakeHub, room: Path, patch: pytest.MonkeyPatch) -> Iterator[World]:
    """A hub with the feed of this broker, that has its list of instruments."""
    patch.setenv("XDG_DATA_HOME", str(room))
    file = room / f"{name}.env"
    with running(make_server(name)) as server:
        lines = [f"{field}={value}\n" for field, value in server.script.credentials.items()]
        file.write_text("".join(lines), encoding="utf-8")
        file.chmod(0o600)
        hub = make_hub(
            {
                "hub.feeds": [name],
                "hub.shards": 1,
                f"{name}.url": server.url,
                f"{name}.api_url": server.api,
                f"{name}.instruments_url": server.api,
                f"{name}.credentials": [str(file)] if lines else [],
            }
        )
        asyncio.run(well(hub, name))
        with Store(path_of(name)) as store:
            found = [Listing(*row) for row in store._rows("SELECT * FROM listing")]
        yield World(hub, server, found)


async def well(hub: Hub, name: str, symbols: int = 0) -> Message:
    """The figures of the feed, once it is connected, has so many symbols and no complaint."""
    row: Message = {}

    def is_well(figures: dict[str, Message]) -> bool:
        row.update(figures[f"feed-{name}"])
        good = row["feed_state"] == "connected" and not row["problem"]
        return good and row["symbols"] >= symbols

    try:
        await hub.figures_when(is_well, name)
    except AssertionError:
        raise AssertionError(f"{row.get('problem')}\n{hub.log()}") from None
    return row


async def ask(client: Client, listings: list[Listing], mode: int) -> dict[str, Message]:
    """Subscribe all of them; what is said of each symbol."""
    symbols = [{"exchange": one.exchange, "symbol": one.symbol} for one in listings]
    reply = await client.ask({"action": "subscribe", "symbols": symbols, "mode": mode})
    return {row["symbol"]: row for row in reply["subscriptions"]}


async def ticks_of(client: Client, symbols: set[str], times: int = 1) -> dict[str, Message]:
    """The last of so many ticks of each symbol."""
    found: dict[str, Message] = {}
    left = dict.fromkeys(symbols, times)
    async with asyncio.timeout(WITHIN_S):
        while any(count > 0 for count in left.values()):
            tick = await client.tick()
            found[tick["symbol"]] = tick
            left[tick["symbol"]] -= 1
    return found


async def drop(server: Fake) -> None:
    """Cut all connections, and wait until somebody has subscribed anew."""
    old = set(server.peers)
    for peer in old:
        peer.drop()
    await server.until(lambda: any(peer.wants for peer in set(server.peers) - old))


@pytest.mark.parametrize("name", ["angel", "flattrade"])
def test_clients_get_a_brokers_ticks_and_are_told_what_they_cannot_have(
    name: str, make_hub: MakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(w: World) -> None:
        shares = [one for one in w.listings if one.kind == "EQ"][:3]
        names = {one.symbol for one in shares}
        nobody = shares[0]._replace(symbol=f"{shares[0].symbol}X")
        async with w.hub.client("simon") as client:
            told = await ask(client, [*shares, nobody], 3)
            assert {symbol for symbol, row in told.items() if row["status"] == "success"} == names
            assert "nearest" in told[nobody.symbol]["message"]
            found = await ticks_of(client, names)
            for tick in found.values():
                data = tick["data"]
                assert data["symbol"] == tick["symbol"]
                assert data["ltp"] > 0
                assert len(data["depth"]["buy"]) == 5
            row = await well(w.hub, name, len(shares))
            assert row["accounts"][0]["state"] == "up"
            await asyncio.to_thread(w.server.call, drop(w.server))
            await ticks_of(client, names, times=20)
            victim = w.hub.kill(f"feed-{name}")
            await until(lambda: w.hub.is_back(f"feed-{name}", victim), "it is back")
            await ticks_of(client, names, times=20)

    with world(name, make_hub, tmp_path, monkeypatch) as made:
        asyncio.run(look(made))


def test_a_broker_that_refuses_the_credentials_is_told_to_everybody_and_left_alone(
    make_hub: MakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh ones are taken up without a restart; of neither anything is told."""

    async def look(w: World) -> None:
        share = next(one for one in w.listings if one.kind == "EQ")
        old, new = w.server.script.credentials["access_token"], "tok-2"
        w.server.script.credentials["access_token"] = new
        for peer in list(w.server.peers):
            peer.drop()
        async with w.hub.client("simon") as client:
            row = (await ask(client, [share], 2))[share.symbol]
            assert row["status"] == "error"
            figures = await w.hub.figures_when(
                lambda all_: all_["feed-zerodha"]["feed_state"] != "connected", "it is told"
            )
            assert "refuses" in figures["feed-zerodha"]["problem"]
            file = tmp_path / "zerodha.env"
            file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
            await well(w.hub, "zerodha")
            row = (await ask(client, [share], 2))[share.symbol]
            assert row["status"] == "success"
            await ticks_of(client, {share.symbol})
        for secret in (old, new):
            assert secret not in w.hub.log()
            assert secret not in json.dumps(figures)

    with world("zerodha", make_hub, tmp_path, monkeypatch) as made:
        asyncio.run(look(made))
