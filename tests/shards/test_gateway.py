"""The door for clients: who is let in, where to, and how all are sent away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from hub.core import topics
from hub.core.errors import StartError
from hub.core.model import Mode
from hub.core.proxies import LOCAL
from shards import connection, gateway, intake
from shards.session import Session
from tests.shards import house as house_module
from tests.shards.frames import CLOSE, PONG, TEXT
from tests.shards.frames import PING as WS_PING
from tests.shards.house import House, Raw, faults, house, live, patient, room, until
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


def test_when_a_feed_has_come_only_those_who_had_another_have_to_connect_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with house() as one:
            clients = [await one.known() for _ in range(2)]
            await until(lambda: len(one.gateway) == 2)
            moves = next(iter(one.gateway._connections)).session
            monkeypatch.setattr(Session, "misplaced", property(lambda session: session is moves))
            one.gateway.resettle()
            await until(lambda: len(one.gateway) == 1)
            codes = []
            for client in clients:
                with contextlib.suppress(ConnectionClosed):
                    await client.send(PING)
                    await client.recv()
                codes.append(client.close_code)
            assert sorted(codes, key=str) == [1012, None]
            for client in clients:
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
            one.gateway._listeners[0] = Full(one.gateway._listener, 3)  # type: ignore[call-overload]  # stands in
            loop = asyncio.get_running_loop()
            loop.remove_reader(one.gateway._listener.fileno())
            loop.add_reader(one.gateway._listener.fileno(), one.gateway._accept_all)
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
    """As after a pause: what comes meanwhile is a backlog, for a new client too."""

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
            assert json.loads(await new.recv())["type"] == "subscribe"
            for number in (2, 3):
                one.desk.fanout.offer(tick(symbol, Mode.QUOTE, number))
                one.desk.fanout.flush()
            one.gateway.release()
            assert json.loads(await new.recv())["data"]["ltp"] == 3, "no backlog"
            assert json.loads(await held.recv()) == {"n": 1}
            assert json.loads(await held.recv())["data"]["ltp"] == 3
            assert (one.gateway.behind(), one.gateway.conflated()) == (0, 5)
            one.desk.fanout.offer(tick(symbol, Mode.QUOTE, 4))
            one.desk.fanout.flush()
            assert json.loads(await held.recv())["data"]["ltp"] == 4
            await held.close()
            await until(lambda: len(one.gateway) == 1)
            assert one.gateway.conflated() == 5, "what was spared those who have left counts on"

    live(main, uv=uv)


def test_those_who_are_held_for_too_long_are_sent_away_with_what_is_known() -> None:
    """The router may be gone for good: a shard that waited for it was killed in its drain."""

    async def main() -> None:
        async with house(websocket={"drain_s": 0.05}) as one:
            held = await one.known()
            one.gateway.hold()
            await one.gateway.drain()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done
            with pytest.raises(ConnectionClosed):
                await held.recv()
            assert held.close_code == 1012

    live(main)


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
            clients = [await one.known() for _ in range(3)]
            now_s = 0.0
            monkeypatch.setattr(one.gateway, "_clock", lambda: now_s)
            naps: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()

            async def nap(seconds: float) -> None:
                over = asyncio.Event()
                naps.put_nowait((seconds, over))
                await over.wait()

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


def test_draining_one_of_two_takes_nobody_and_loses_nobody(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients leave one by one, so it looked as if it had the most room: 9 of 20 new clients
    went there and were lost. Those at its door when it goes are the other's."""
    monkeypatch.setattr(connection, "_CLOSE_S", 1000)

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
            await leaving.close()
            await drained
            for sock in waiting:
                sock.close()
            for client in clients:
                await client.send(PING)
                assert json.loads(await client.recv())["type"] == "pong"
                await client.close()
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


# How many it takes up.


def still(*houses: House) -> list[float]:
    """The time for these, which stands still until the test moves it on."""
    now_s = [houses[0].gateway._clock() + 1]
    for one in houses:
        one.gateway._clock = lambda: now_s[0]
    return now_s


async def knocked(one: House, how_many: int) -> list[Raw]:
    """Clients that have connected and say nothing yet."""
    found = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(how_many)]
    return [Raw(*streams) for streams in found]


async def has(one: House, how_many: int, now_s: list[float] | None = None) -> None:
    """Wait until it has so many connections, in which time its time may go on."""
    async with asyncio.timeout(20):
        while len(one.gateway) != how_many:
            if now_s is not None:
                now_s[0] += 0.01
            await asyncio.sleep(0.005)


async def spun() -> None:
    """Time enough for whatever would happen."""
    await asyncio.sleep(0.05)


def test_it_takes_up_so_many_a_second_and_the_rest_waits(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"accept_rate": 20}) as one:
            now_s = still(one)
            clients = await knocked(one, 10)
            await until(lambda: one.gateway.intake.paused)
            await spun()
            assert one.gateway.accepted == len(one.gateway) == 1
            for there in (2, 3):
                now_s[0] += 1 / 20
                await has(one, there)
                await spun()
                assert one.gateway.accepted == there
            await has(one, 10, now_s)
            for client in clients:
                assert (await client.shake_hands()).startswith("HTTP/1.1 101 ")
                await client.close()

    live(main, uv=uv)


def test_no_rate_is_no_limit(uv: bool) -> None:
    async def main() -> None:
        async with house(websocket={"accept_rate": 0}) as one:
            still(one)
            clients = await knocked(one, 100)
            await until(lambda: len(one.gateway) == 100)
            assert one.gateway.intake.paused == 0
            for client in clients:
                await client.close()

    live(main, uv=uv)


@contextlib.asynccontextmanager
async def given(path: Path, how_many: int) -> AsyncIterator[tuple[House, House, list[float]]]:
    """Two shards whose time stands still. The first has given clients to the second, which has
    taken one of them up and may take no more for now; neither looks after the other."""
    rate = {"accept_rate": 20}
    first = House(path, 0, hub={"shards": 2}, websocket=rate)
    second = House(path, 1, hub={"shards": 2}, websocket=rate | {"port": first.port})
    await until(lambda: first.gateway._balance._ways and second.gateway._balance._ways)
    for one in (first, second):
        one.gateway._beating.cancel()
    now_s = still(first, second)
    asyncio.get_running_loop().remove_reader(second.gateway._listener)
    first.gateway._balance.loads.add(50)
    clients = []
    while first.gateway.accepted < how_many:  # the kernel brings some to the other's door
        clients.append(socket.create_connection(("127.0.0.1", first.port)))
        await asyncio.sleep(0.01)
    await has(second, 1)
    await spun()
    yield first, second, now_s
    for sock in clients:
        sock.close()
    for one in (first, second):
        if not one.gateway.leaving:
            await one.gateway.drain()
        await one.empty()


def test_who_is_handed_over_counts_where_it_goes(uv: bool) -> None:
    """Else the shard to which all others give would take up as much as all of them may."""

    async def main() -> None:
        with faults() as found, room() as path:
            async with given(path, 6) as (first, second, now_s):
                assert [len(first.gateway), len(second.gateway)] == [0, 1]
                asked, ready = count(), second.gateway._balance._ready
                second.gateway._balance._ready = lambda: next(asked) >= 0 and ready()
                await spun()
                assert next(asked) < 50, "the others wait on their way: nobody looks all the time"
                for there in (2, 3, 4, 5, 6):
                    now_s[0] += 1 / 20
                    await has(second, there)
                    await spun()
                    assert [len(first.gateway), len(second.gateway)] == [0, there]
            assert not found

    live(main, uv=uv)


def test_one_that_drains_passes_on_what_it_has_not_taken_up(uv: bool) -> None:
    async def main() -> None:
        with faults() as found, room() as path:
            async with given(path, 6) as (first, second, now_s):
                await second.gateway.drain()
                await has(first, 5, now_s)
            assert not found

    live(main, uv=uv)


def test_its_own_door_does_not_starve_that_of_one_that_stands_still(uv: bool) -> None:
    """It has always somebody at its own door, so it is always dry when it looks at the other's."""

    async def main() -> None:
        async with house(hub={"shards": 1}, websocket={"accept_rate": 8}) as one:
            now_s = still(one)
            with socket.create_server(("127.0.0.1", 0)) as door:
                door.setblocking(False)
                there = [socket.create_connection(door.getsockname()) for _ in range(3)]
                clients = await knocked(one, 8)
                await until(lambda: len(one.gateway) == 1)
                assert not one.gateway._accept_at_door(door, one.gateway.intake.at_doors(0.25))
                await until(lambda: len(one.gateway) == 2)
                now_s[0] += 1 / 8
                await spun()
                assert len(one.gateway) == 2, "it pays for that"
                for _ in range(2):
                    one.gateway._accept_at_door(door, 1)
                assert one.gateway._accept_at_door(door, 1), "none is left"
            await has(one, 11, now_s)
            for client in clients:
                await client.close()
            for sock in there:
                sock.close()

    live(main, uv=uv)


def test_while_it_drains_all_are_taken_up_at_once(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSE_S", 0.3)

    async def main() -> None:
        async with house(websocket={"accept_rate": 1}) as one:
            still(one)
            clients = await knocked(one, 10)
            await until(lambda: one.gateway.intake.paused)
            shaken = [asyncio.ensure_future(client.shake_hands()) for client in clients]
            await asyncio.sleep(0)
            await one.gateway.drain()
            for shake, client in zip(shaken, clients, strict=True):
                assert (await shake).startswith("HTTP/1.1 101 ")
                assert await client.code() == 1012
                await client.close()
            one.gateway.drain = _nothing  # type: ignore[method-assign]  # it is done

    live(main, uv=uv)


def test_without_a_descriptor_for_it_a_client_is_told_and_the_others_live_on(uv: bool) -> None:
    async def main() -> None:
        async with house() as one:
            one.gateway.intake.room = 2
            clients = [await one.raw() for _ in range(2)]
            assert one.gateway._balance.loads.all() == [None]
            (late,) = await knocked(one, 1)
            assert (await late.shake_hands()).startswith("HTTP/1.1 503 ")
            assert b"descriptor" in await late.reader.read()
            await late.close()
            await until(lambda: len(one.gateway) == 2)
            assert (
                one.gateway.guests.figures(0)["descriptors"] == one.gateway.guests.turned_away == 1
            )
            for client in clients:
                client.send(TEXT, PING.encode())
                await client.receive()
            await clients.pop().close()
            await until(lambda: one.gateway._balance.loads.all() == [1])
            clients.append(await one.raw())
            clients[-1].send(TEXT, PING.encode())
            await clients[-1].receive()
            for client in clients:
                await client.close()

    live(main, uv=uv)


def test_more_than_can_be_told_so_wait_at_the_door(
    uv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them costs a descriptor until it has been answered: the reserve is not for all."""
    monkeypatch.setattr(intake, "RESERVE", 8)

    async def main() -> None:
        async with house(websocket={"accept_rate": 0}) as one:
            one.gateway.intake.room = 1
            silent = await knocked(one, 10)
            await until(lambda: one.gateway.intake.paused)
            assert one.gateway.accepted == one.gateway.intake.here == 1 + 4
            one.gateway._accept_at_door(one.gateway._listener, 100)
            assert one.gateway.accepted == 1 + 4
            for client in silent[:5]:
                await client.close()
            await until(lambda: one.gateway.accepted == 10)
            for client in silent[5:]:
                await client.close()

    live(main, uv=uv)


def test_a_client_of_a_full_shard_goes_where_there_is_room(uv: bool) -> None:
    async def main() -> None:
        with faults() as found, room() as path:
            first = House(path, 0, hub={"shards": 2})
            second = House(path, 1, hub={"shards": 2}, websocket={"port": first.port})
            await until(lambda: first.gateway._balance._peers and second.gateway._balance._peers)
            first.gateway.intake.room = 2
            clients = [await asyncio.wait_for(first.known(), 20) for _ in range(12)]
            assert [len(one.gateway) for one in (first, second)] == [2, 10]
            assert first.gateway.guests.turned_away + second.gateway.guests.turned_away == 0
            for client in clients:
                await client.close()
            for one in (first, second):
                await one.empty()
                await one.gateway.drain()
            assert not found

    live(main, uv=uv)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01"])
@pytest.mark.parametrize("limit", ["", "max_address_connections"])
def test_nothing_is_counted_of_who_went_before_it_had_shaken_hands(
    said: bytes, limit: str, uv: bool
) -> None:
    async def main() -> None:
        async with house(websocket={limit: 1} if limit else {}) as one:
            clients = await knocked(one, 3)
            for client in clients:
                client.writer.write(said)
            await until(lambda: one.gateway.accepted == 3)
            for client in clients:
                client.writer.transport.abort()
            await one.empty()
            assert not any(one.gateway.guests.counted().values())
            assert one.gateway.intake.here == 0
            assert one.gateway._balance.loads.all() == [0]

    live(main, uv=uv)


def test_what_has_gone_is_freed_at_once(uv: bool) -> None:
    """They held each other until garbage was collected, which for what has lived a while is hardly
    ever: 10,000 clients that came and went left 6 MB."""

    async def served(one: House) -> None:
        client = await one.raw()
        client.send(TEXT, b'{"action": "auth", "api_key": "alice"}')
        client.send(TEXT, json.dumps(subscription(2, *instruments(0, 1, 20))).encode())
        for _ in range(2):
            await client.receive()
        client.writer.transport.abort()
        await one.empty()

    async def half(one: House) -> None:
        (client,) = await knocked(one, 1)
        client.writer.write(b"GET / HTTP/1.1\r\n")
        await until(lambda: len(one.gateway))
        client.writer.transport.abort()
        await one.empty()

    async def main() -> None:
        async with house() as one:
            for come in (served, half):
                gc.collect()
                gc.disable()
                try:
                    await come(one)
                    await asyncio.sleep(0.01)
                    left = [type(found) for found in gc.get_objects() if type(found) in MADE]
                finally:
                    gc.enable()
                assert not left

    live(main, uv=uv)


MADE = (connection.Connection, Session, ServerProtocol)


def test_the_more_there_are_the_less_each_may_leave_unsent(uv: bool) -> None:
    async def main() -> None:
        limits = {"outbox_bytes": 8 << 20, "shard_outbox_bytes": 8 << 20}
        async with house(websocket=limits) as one:
            first = await one.raw(receive_bytes=4096)
            frozen = one.connection()
            frozen.write(bytes(8 << 20))  # of which the kernel takes a part
            await until(lambda: 2 << 20 < frozen.unsent_bytes() < 8 << 20)
            session = one.session()
            assert not session.outbox.behind
            assert one.gateway.unsent_bytes() == frozen.unsent_bytes()
            others = [await one.raw() for _ in range(4)]
            await until(lambda: len(one.gateway) == 5)
            assert one.gateway.high_bytes == 1 << 20
            assert session.outbox.behind, "it is above what it may have now"
            for other in others:
                await other.close()
            await until(lambda: len(one.gateway) == 1)
            assert one.gateway.high_bytes == 4 << 20
            await first.close()

    live(main, uv=uv)


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


# The Unix socket.


@pytest.fixture
def path() -> Iterator[Path]:
    """Where it is: the path may not be long."""
    with room() as folder:
        yield folder / "hub.sock"


@contextlib.asynccontextmanager
async def two_houses(**websocket: Any) -> AsyncIterator[tuple[House, House]]:
    """Two shards that know each other."""
    with faults() as found, room() as folder:
        first = House(folder, 0, hub={"shards": 2}, websocket=websocket)
        port = {"port": first.port}
        second = House(folder, 1, hub={"shards": 2}, websocket=websocket | port)
        await until(lambda: first.gateway._balance._peers and second.gateway._balance._peers)
        yield first, second
        for one in (first, second):
            if not one.gateway.leaving:
                await one.gateway.drain()
        assert not found


@pytest.mark.parametrize("secure", [False, True])
def test_by_the_unix_socket_it_is_all_the_same_and_never_with_tls(
    uv: bool, path: Path, monkeypatch: pytest.MonkeyPatch, *, secure: bool
) -> None:
    monkeypatch.setattr(house_module, "SECURE", secure)

    async def main() -> None:
        async with house(websocket={"unix": str(path)}) as one:
            near, far = await one.local(), await one.open()
            for raw, address in ((near, LOCAL), (far, "127.0.0.1")):
                head = await raw.shake_hands()
                assert head.startswith("HTTP/1.1 101 ")
                assert address in {each.address for each in one.gateway._connections}
            near.send(TEXT, b'{"action": "auth", "api_key": "alice"}')
            assert json.loads((await near.receive())[1])["status"] == "success"
            for raw in (near, far):
                await raw.close()
        assert list(path.parent.iterdir()) == [], "nothing is left of it"

    live(main, uv=uv)


@pytest.mark.parametrize("trusted", [[], ["unix"]])
def test_who_comes_by_the_unix_socket_is_local_unless_a_proxy_there_is_trusted(
    uv: bool, path: Path, trusted: list[str]
) -> None:
    async def main() -> None:
        limits = {"max_address_connections": 1, "trusted_proxies": trusted}
        async with house(websocket=limits | {"unix": str(path)}) as one:
            heads = []
            raws = [await one.local() for _ in range(2)]
            for number, raw in enumerate(raws):
                heads.append(
                    await raw.shake_hands(headers=f"X-Forwarded-For: 192.0.2.{number}\r\n")
                )
            assert [head.split()[1] for head in heads] == ["101", "101" if trusted else "503"]
            for raw in raws:
                await raw.close()
            await one.empty()

    live(main, uv=uv)


def test_who_comes_by_the_unix_socket_is_spread_over_all_shards(uv: bool, path: Path) -> None:
    async def main() -> None:
        async with two_houses(unix=str(path)) as (first, second):
            raws = []
            for _ in range(8):
                raws.append(await first.local())
                await raws[-1].shake_hands()
            assert len(first.gateway) == len(second.gateway) == 4
            for raw in raws:
                await raw.close()

    live(main, uv=uv)


def test_when_a_shard_leaves_the_name_leads_to_another_at_once(uv: bool, path: Path) -> None:
    async def main() -> None:
        async with two_houses(unix=str(path)) as (first, second):
            assert "leads to 0" in repr(second.gateway._door)
            leaving = asyncio.ensure_future(first.gateway.drain())
            await asyncio.sleep(0)
            raw = await second.local()
            head = await raw.shake_hands()
            assert head.startswith("HTTP/1.1 101 ")
            assert len(second.gateway) == 1
            await raw.close()
            await leaving

    live(main, uv=uv)
