"""The door for clients: who is let in, where to, and how all are sent away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hub.core import topics
from hub.core.errors import StartError
from hub.core.model import Mode
from shards import connection, gateway
from tests.shards.house import (
    CLOSE,
    PONG,
    TEXT,
    House,
    Raw,
    faults,
    house,
    live,
    patient,
    room,
    until,
)
from tests.shards.house import PING as WS_PING
from tests.shards.kit import answer, instruments, remains, subscription, tick

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


def test_after_a_change_of_keys_only_sessions_whose_key_was_revoked_are_closed(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            stays, goes = await one.known(), await one.known()
            _, door = await asyncio.open_connection("127.0.0.1", one.port)
            await until(lambda: len(one.gateway) == 3)
            sessions = [found.session for found in one.gateway._connections if found.session]
            assert len(sessions) == 2, "one has not shaken hands yet"
            revoked = sessions[0]._grant
            one.gateway.recheck(lambda grant: grant is not revoked)
            await until(lambda: len(one.gateway) == 2)
            codes = []
            for client in (stays, goes):
                with contextlib.suppress(ConnectionClosed):
                    await client.send(PING)
                    await client.recv()
                codes.append(client.close_code)
            assert sorted(codes, key=str) == [1008, None]
            door.close()
            await stays.close()
            await goes.close()

    live(main, uv=uv)


def test_a_client_that_went_away_before_it_was_let_in_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with house() as one:

            async def refused(*_: object) -> None:
                raise OSError(errno.ENOTCONN, "gone")

            monkeypatch.setattr(one.gateway._loop, "connect_accepted_socket", refused)
            _, writer = await asyncio.open_connection("127.0.0.1", one.port)
            await until(lambda: one.gateway.accepted == 1 and not one.gateway._tasks)
            assert one.gateway._balance.loads.all() == [0]
            writer.close()

    live(main, uv=False)


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
                assert caught.value.rcvd.code == 1012
            with pytest.raises(OSError):
                await one.client()
            assert len(one.gateway) == 0
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


def test_those_who_are_held_get_replies_and_order_updates_and_then_what_is_newest(uv: bool) -> None:
    """As after a pause: what comes meanwhile is a backlog, and a new client has none."""

    async def main() -> None:
        async with house() as one:
            held = await one.known()
            (symbol,) = instruments(0, 1, 1)
            for asked in (subscription(2, symbol), {"action": "subscribe_orders"}):
                await held.send(json.dumps(asked))
                json.loads(await held.recv())
            one.gateway.hold()
            assert one.gateway.behind() == 1
            for number in range(3):
                one.desk.fanout.offer(tick(symbol, Mode.QUOTE, number))
                one.desk.fanout.flush()
            one.desk.accounts.offer([topics.orders("alice"), b'{"n": 1}'])
            await held.send(PING)
            assert json.loads(await held.recv())["type"] == "pong"
            assert one.gateway.behind() == 1
            new = await one.known()
            await new.send(json.dumps(subscription(2, symbol, snapshot=False)))
            json.loads(await new.recv())
            one.desk.fanout.offer(tick(symbol, Mode.QUOTE, 3))
            one.desk.fanout.flush()
            assert json.loads(await new.recv())["data"]["ltp"] == 3
            one.gateway.release()
            assert json.loads(await held.recv()) == {"n": 1}
            assert json.loads(await held.recv())["data"]["ltp"] == 3
            assert (one.gateway.behind(), one.gateway.conflated()) == (0, 3)
            one.desk.fanout.offer(tick(symbol, Mode.QUOTE, 4))
            one.desk.fanout.flush()
            assert json.loads(await held.recv())["data"]["ltp"] == 4

    live(main, uv=uv)


def test_those_who_are_held_are_sent_away_with_what_is_newest_then() -> None:
    """A shard that was stopped (Ctrl-Z) and is told to leave has a backlog to take first."""

    async def main() -> None:
        async with house() as one:
            held = await one.known()
            (symbol,) = instruments(0, 1, 1)
            await held.send(json.dumps(subscription(2, symbol)))
            json.loads(await held.recv())
            one.gateway.hold()
            drained = asyncio.ensure_future(one.gateway.drain())
            await asyncio.sleep(3 * gateway._HELD_S)
            for number in range(3):
                one.desk.fanout.offer(tick(symbol, Mode.QUOTE, number))
                one.desk.fanout.flush()
            one.gateway.release()
            assert json.loads(await held.recv())["data"]["ltp"] == 2
            with pytest.raises(ConnectionClosed):
                await held.recv()
            assert held.close_code == 1012
            await drained
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main)


def _has(one: House, clients: int) -> bool:
    return len(one.gateway) == clients


async def hears(client: ClientConnection) -> bool:
    """Whether a client is served still."""
    try:
        await client.send(PING)
        return bool(json.loads(await asyncio.wait_for(client.recv(), 20))["type"] == "pong")
    except ConnectionClosed:
        return False


def test_clients_are_sent_away_one_after_another_and_served_until_then(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, 5,000 of them would come back in the same millisecond."""

    async def main() -> None:
        async with house(websocket={"drain_s": 300.0}) as one:
            now_s = 0.0
            monkeypatch.setattr(one.gateway, "_clock", lambda: now_s)
            naps: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()

            async def nap(seconds: float) -> None:
                over = asyncio.Event()
                naps.put_nowait((seconds, over))
                await over.wait()

            clients = [await one.known() for _ in range(3)]
            doors = list(one.gateway._connections)
            with monkeypatch.context() as patch:
                patch.setattr(gateway, "_MANY", 2)
                patch.setattr(gateway, "asyncio", SimpleNamespace(sleep=nap))
                leaving = asyncio.ensure_future(one.gateway._send_away(doors))
                for number in range(3):
                    seconds, over = await asyncio.wait_for(naps.get(), 20)
                    assert seconds == (100.0 if number else 0.0)
                    served = await asyncio.gather(*(hears(client) for client in clients))
                    assert served.count(True) == 3 - number, "each at its turn"
                    now_s += seconds
                    over.set()
                    await until(partial(_has, one, 2 - number))
                await leaving
            assert [client.close_code for client in clients] == [1012, 1012, 1012]

    live(main, uv=uv)


@pytest.mark.parametrize(("clients", "over_s"), [(1, 0.003), (10, 0.03), (1000, 3.0), (5000, 3.0)])
def test_few_clients_are_sent_away_sooner(
    clients: int, over_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with house() as one:
            now_s, gone = 0.0, []
            monkeypatch.setattr(one.gateway, "_clock", lambda: now_s)

            async def nap(seconds: float) -> None:
                nonlocal now_s
                now_s += seconds

            class Door:
                def part(self, code: int, reason: str) -> None:
                    gone.append((now_s, code, reason))

            monkeypatch.setattr(gateway, "asyncio", SimpleNamespace(sleep=nap))
            doors: Any = [Door() for _ in range(clients)]
            await one.gateway._send_away(doors)
            monkeypatch.setattr(gateway, "asyncio", asyncio)
            assert {found[1:] for found in gone} == {
                (1012, "the server is restarting; connect again")
            }
            for number, (at_s, *_) in enumerate(gone):
                assert at_s == pytest.approx(over_s * number / clients)

    live(main)


def test_those_who_come_back_late_find_all_that_have_to_go_gone_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop that was held catches up: no client is kept beyond the time of its turn."""

    async def main() -> None:
        async with house(websocket={"drain_s": 200.0}) as one:
            naps: list[float] = []
            times = iter([0.0, 0.0, 0.0, 50.0, 50.0, 50.0])

            async def nap(seconds: float) -> None:
                naps.append(seconds)

            doors: Any = [SimpleNamespace(part=lambda *_: None) for _ in range(5)]
            monkeypatch.setattr(one.gateway, "_clock", lambda: next(times))
            monkeypatch.setattr(gateway, "asyncio", SimpleNamespace(sleep=nap))
            await one.gateway._send_away(doors)
            monkeypatch.setattr(gateway, "asyncio", asyncio)
            assert naps == [0.0, 0.2, 0.0, 0.0, 0.0]
            monkeypatch.setattr(one.gateway, "_clock", one.gateway._loop.time)

    live(main)


def test_a_drain_in_the_midst_of_a_large_unsubscribe_ends_in_order_and_leaves_nothing() -> None:
    async def main() -> None:
        async with house() as one:
            one._tell = lambda: None  # type: ignore[method-assign]  # the test makes the turns
            client = await one.known()
            many = [{"exchange": "NSE", "symbol": f"S{number}"} for number in range(5000)]
            await client.send(json.dumps({"action": "subscribe", "symbols": many, "mode": 1}))
            await until(lambda: one.desk.busy)
            answer(one.desk)
            await client.recv()
            await client.send('{"action": "unsubscribe_all"}')
            await until(lambda: one.desk.busy)
            one.desk.tell()
            await one.gateway.drain()
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
            assert one.desk.busy
            answer(one.desk)
            assert remains(one.desk) == []
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main)


def test_draining_one_of_two_takes_nobody_and_loses_nobody(uv: bool) -> None:
    """Its clients leave one by one, so it looked as if it had the most room: 9 of 20 new clients
    went there and were lost. Those at its door when it goes are the other's."""

    async def main() -> None:
        with faults() as found, room() as path:
            first = House(path, 0, hub={"shards": 2})
            second = House(path, 1, hub={"shards": 2}, websocket={"port": first.port})
            await until(lambda: first.gateway._balance._peers and second.gateway._balance._peers)
            leaving = await first.raw()  # does not follow the close, so the drain takes its time
            stays = await first.raw()
            asyncio.get_running_loop().remove_reader(first.gateway._listener)
            waiting = [socket.create_connection(("127.0.0.1", first.port)) for _ in range(20)]
            drained = asyncio.ensure_future(first.gateway.drain())
            await until(lambda: first.gateway._listener.fileno() < 0)
            clients = [await first.known() for _ in range(10)]
            assert first.gateway._balance.loads.all()[0] is None
            assert len(first.gateway) == 1
            await until(lambda: len(second.gateway) == 31)
            await drained
            for sock in waiting:
                sock.close()
            for client in clients:
                await client.send(PING)
                assert json.loads(await client.recv())["type"] == "pong"
                await client.close()
            await leaving.close()
            await stays.close()
            await first.empty()
            await second.empty()
            await second.gateway.drain()
            assert not found

    live(main, uv=uv)


def test_the_last_one_tells_those_at_the_door_that_it_goes(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that hears 1012 tries again at once; one that is cut off silently counts it as a
    fault, and Flask's gives up after five."""
    monkeypatch.setattr(connection, "_CLOSE_S", 0.3)

    async def main() -> None:
        async with house() as one:
            asyncio.get_running_loop().remove_reader(one.gateway._listener)
            silent = Raw(*await asyncio.open_connection("127.0.0.1", one.port))
            speaks = Raw(*await asyncio.open_connection("127.0.0.1", one.port))
            shaken = asyncio.ensure_future(speaks.shake_hands())
            await asyncio.sleep(0)
            drained = asyncio.ensure_future(one.gateway.drain())
            assert (await shaken).startswith("HTTP/1.1 101 ")
            assert await speaks.code() == 1012
            speaks.send(CLOSE, (1012).to_bytes(2, "big"))
            assert (await patient(silent.reader.read())).startswith(b"HTTP/1.1 503 ")
            await drained
            await silent.close()
            await speaks.close()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


def test_a_client_of_a_shard_that_stands_still_is_served_by_another() -> None:
    """The kernel spreads clients over all listeners, also that of a stopped process."""

    async def main() -> None:
        with faults() as found, room() as path:
            first = House(path, 0, hub={"shards": 2})
            second = House(path, 1, hub={"shards": 2}, websocket={"port": first.port})
            await until(lambda: first.gateway._balance._peers and second.gateway._balance._peers)
            second.gateway._beating.cancel()  # as by SIGSTOP
            loop, balance = asyncio.get_running_loop(), second.gateway._balance
            for sock in (second.gateway._listener, balance._post, *balance._ways):
                loop.remove_reader(sock)
            clients = [await asyncio.wait_for(first.known(), 20) for _ in range(12)]
            assert (len(first.gateway), len(second.gateway)) == (12, 0)
            for client in clients:
                await client.close()
            await first.empty()
            for one in (first, second):
                await one.gateway.drain()
            assert not found

    live(main)


def test_ticks_are_not_held_back_until_the_last_ones_are_acknowledged(uv: bool) -> None:
    """Each batch of ticks is one write: without TCP_NODELAY the second one waits for the client's
    delayed ACK of the first, up to 40 ms. The loops set it; nothing here may unset it."""

    async def main() -> None:
        async with house() as one, one.client():
            sock = one.connection()._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    live(main, uv=uv)


def test_a_storm_finds_room_at_the_door() -> None:
    """After a restart all clients come within the same second, and the shard is busy with the first
    ones. Where the queue is short the kernel drops the rest, which try again after 1, 3, 7 s."""
    with gateway._listen("127.0.0.1", 0) as door:
        many = 200
        clients = [socket.socket() for _ in range(many)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(door.getsockname())
        taken = 0
        door.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while taken < many:
                door.accept()[0].close()
                taken += 1
        for client in clients:
            client.close()
        assert taken == many


def test_a_pause_of_the_shard_is_not_the_clients_silence(uv: bool) -> None:
    """After a minute of SIGSTOP the pong and the authenticate are there, in the sockets: who is
    judged by the clock on the wall before they are read is closed for nothing."""

    async def main() -> None:
        async with house() as one:
            client, stranger = await one.raw(), await one.raw()
            client.send(TEXT, b'{"action": "auth", "api_key": "alice"}')
            await client.receive()
            now_s = [one.gateway._clock()]
            one.gateway._clock = lambda: now_s[0]
            for door in one.gateway._connections:
                if not door._stranger:
                    door._next_ping_s = door.due_s = 0.0
            one.gateway.tend()
            assert (await client.receive())[0] == WS_PING
            for _ in range(13):
                now_s[0] += 1
                one.gateway.tend()
            now_s[0] += 60
            one.gateway.now_s()  # somebody else looks at the clock first
            one.gateway.tend()
            assert [c._open for c in one.gateway._connections] == [True, True]
            client.send(PONG)
            stranger.send(TEXT, b'{"action": "auth", "api_key": "alice"}')
            await stranger.receive()
            await until(lambda: not any(c._pinged_s for c in one.gateway._connections))
            for _ in range(8):
                now_s[0] += 1
                one.gateway.tend()
            assert [c._open for c in one.gateway._connections] == [True, True]
            await client.close()
            await stranger.close()

    live(main, uv=uv)


@pytest.mark.parametrize("known", [False, True])
def test_one_that_is_silent_while_the_shard_runs_is_closed_all_the_same(known: bool) -> None:
    async def main() -> None:
        async with house(websocket={"ping_interval_s": 1, "ping_timeout_s": 1}) as one:
            raw = await one.raw()
            if known:
                raw.send(TEXT, b'{"action": "auth", "api_key": "alice"}')
                await raw.receive()
            now_s = [one.gateway._clock()]
            one.gateway._clock = lambda: now_s[0]
            for _ in range(4):
                now_s[0] += 1
                one.gateway.tend()
            assert await raw.code() == 1011
            await raw.close()

    live(main)


async def _nothing() -> None:
    """The house need not drain again."""


def test_one_that_does_not_say_goodbye_does_not_keep_the_others_waiting(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSE_S", 0.3)

    async def main() -> None:
        async with house(hub={"stop_s": 0.2}) as one:
            raw = await one.raw()
            await one.gateway.drain()
            assert len(one.gateway) == 1
            await raw.ended()
            await one.empty()
            await raw.close()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


def test_one_that_drains_goes_on_beating_until_its_last_client_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without beats its clients would count for nothing where the hub's limits are concerned, and
    who was on the way from it to another shard that dies would be lost."""

    async def main() -> None:
        async with house() as one:
            raw = await one.raw()
            tends: list[bool] = []
            monkeypatch.setattr(
                one.gateway._balance, "tend", lambda: tends.append(one.gateway.leaving)
            )
            drained = asyncio.ensure_future(one.gateway.drain())
            await until(lambda: tends.count(True) >= 2)
            assert not drained.done(), "it has not answered the close frame"
            raw.send(CLOSE, (1012).to_bytes(2, "big"))
            await drained
            await raw.close()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main)


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
