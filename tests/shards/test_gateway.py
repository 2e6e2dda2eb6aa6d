"""The door for clients: who is let in, where to, and how all are sent away."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from hub.core.errors import StartError
from shards import connection, gateway
from tests.shards.house import House, faults, house, live, room, until

PING = '{"action": "ping"}'


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def uv(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_it_knows_who_is_there(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            first, second = await one.known(), await one.known()
            assert (len(one.gateway), one.gateway.accepted) == (2, 2)
            assert one.gateway._balance.loads.all() == [2]
            assert (one.gateway.behind(), one.gateway.conflated()) == (0, 0)
            await first.close()
            await until(lambda: len(one.gateway) == 1)
            assert one.gateway._balance.loads.all() == [1]
            assert "1 connections, 2 accepted" in repr(one.gateway)
            await second.close()

    live(main, uv=uv)


def test_only_those_whose_time_has_come_are_looked_after() -> None:
    async def main() -> None:
        async with house() as one:
            client = await one.known()
            door = one.connection()
            one.gateway.tend()
            assert not door._pinged_s
            door.due_s = door._next_ping_s = 0.0
            one.gateway.tend()
            assert door._pinged_s
            await client.close()

    live(main)


def test_two_shards_on_one_port_share_their_clients(uv: bool) -> None:
    async def main() -> None:
        with faults() as found, room() as path:
            first = House(path, 0, hub={"shards": 2})
            second = House(path, 1, hub={"shards": 2}, websocket={"port": first.port})
            clients = [await first.known() for _ in range(10)]
            assert (len(first.gateway), len(second.gateway)) == (5, 5)
            for client in clients:
                await client.send(PING)
                assert json.loads(await client.recv())["type"] == "pong"
            await second.gateway.drain()
            await second.empty()
            clients += [await first.known() for _ in range(3)]
            assert len(first.gateway) == 8
            await first.gateway.drain()
            for client in clients:
                await client.wait_closed()
            await first.empty()
        assert not found

    live(main, uv=uv)


class Full:
    """A listener that finds no descriptor so many times."""

    def __init__(self, sock: socket.socket, times: int) -> None:
        self._sock = sock
        self.times = times

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def accept(self) -> tuple[socket.socket, Any]:
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._sock.accept()


def test_without_descriptors_those_who_are_there_live_on_and_new_ones_wait(
    uv: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gateway, "_REST_S", 0.01)

    async def main() -> None:
        async with house() as one:
            client = await one.known()
            one.gateway._listener = Full(one.gateway._listener, 3)  # type: ignore[assignment]  # stands in
            loop = asyncio.get_running_loop()
            loop.remove_reader(one.gateway._listener.fileno())
            loop.add_reader(one.gateway._listener.fileno(), one.gateway._accept)
            late = asyncio.ensure_future(one.known())
            await until(lambda: one.gateway.refused)
            await client.send(PING)
            await client.recv()
            await (await late).close()
            assert one.gateway.refused == 3
            assert len(one.gateway) == 1
            await client.close()

    with caplog.at_level(logging.WARNING, "hub"):
        live(main, uv=uv)
    assert [record.message for record in caplog.records if record.name == "hub"] == [
        "no new client can be taken: Too many open files"
    ]


def test_going_away_says_so_to_all_and_takes_nobody_new(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            clients = [await one.known(), await one.client()]
            await one.gateway.drain()
            for client in clients:
                with pytest.raises(ConnectionClosed) as caught:
                    await client.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001
            with pytest.raises(OSError):
                await one.client()
            assert len(one.gateway) == 0
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


async def _nothing() -> None:
    """The house need not drain again."""


def test_one_that_does_not_say_goodbye_does_not_keep_the_others_waiting(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_GOODBYE_S", 0.1)
    monkeypatch.setattr(connection, "_CLOSE_S", 0.3)

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            await one.gateway.drain()
            assert len(one.gateway) == 1
            await raw.ended()
            await one.empty()
            await raw.close()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


def test_draining_while_nobody_can_be_taken_is_no_error(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_REST_S", 0.01)

    async def main() -> None:
        async with house() as one:
            one.gateway._rest(OSError(errno.EMFILE, "Too many open files"))
            await one.gateway.drain()
            await asyncio.sleep(0.03)
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_that_cannot_be_had_is_named(host: str) -> None:
    with pytest.raises(StartError, match=host):
        gateway._listen(host, 0)


def test_a_port_somebody_else_has_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=str(port)):
            gateway._listen("127.0.0.1", port)


def test_all_shards_may_have_the_same_port() -> None:
    with gateway._listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with gateway._listen("127.0.0.1", port) as second:
            assert second.getsockname() == first.getsockname()
