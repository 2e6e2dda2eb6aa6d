"""The client against a hub that is not one."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

import hub.client
from hub.client import State, Tick, line, retry
from hub.core.errors import HubError, NotRunning, RequestError, SubscribeError
from tests.hub.client.kit import KEY, Fake, run, tick, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that went away is asked again at once."""
    monkeypatch.setattr(retry.Backoff.__init__, "__defaults__", (0.01, 0.05))


async def some(client: hub.client.Client, many: int) -> list[Tick]:
    return [await anext(client) for _ in range(many)]


def test_it_logs_in_subscribes_and_reads_typed_ticks() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            found = await client.subscribe(["NSE:SBIN", "NSE:TCS"], mode="depth", depth=20)
            assert [(one.name, one.ok, one.depth) for one in found] == [
                ("NSE:SBIN", True, 5), ("NSE:TCS", True, 5),
            ]  # fmt: skip
            await fake.say([tick("SBIN", 1.0), tick("TCS", 2.0)])
            await fake.say(tick("SBIN", 3.0))
            assert [(one.symbol, one.ltp) for one in await some(client, 3)] == [
                ("SBIN", 1.0), ("TCS", 2.0), ("SBIN", 3.0),
            ]  # fmt: skip
        assert fake.told[0] == {"action": "authenticate", "api_key": KEY, "batch": True}
        assert fake.told[1]["mode"] == "Depth"
        assert fake.told[1]["depth"] == 20
        assert KEY not in repr(client)
        await until(lambda: fake.last.close_code)
        assert fake.last.close_code == 1000

    run(scene)


def test_it_asks_for_the_form_that_is_wished_for_and_reads_it() -> None:
    async def scene(fake: Fake) -> None:
        fake.packed = True
        states: list[Any] = []
        async with hub.client.connect(
            fake.url, KEY, form="msgpack", snapshot=False, max_rate=4, conflation_info=True,
            on_stale=states.append,
        ) as client:  # fmt: skip
            await client.subscribe("NSE:SBIN")
            await fake.say({"type": "stale", "exchange": "NSE", "symbol": "SBIN", "mode": 2,
                            "stale": True})  # fmt: skip
            await fake.say([tick("SBIN", 5.0, skipped=3)])
            (one,) = await some(client, 1)
            assert (one.ltp, one.skipped) == (5.0, 3)
            assert [(one.symbol, one.stale) for one in states] == [("SBIN", True)]
        assert fake.told[0] == {
            "action": "authenticate", "api_key": KEY, "batch": True, "encoding": "msgpack",
            "snapshot": False, "max_rate": 4, "conflation_info": True, "stale_info": True,
        }  # fmt: skip

    run(scene)
    with pytest.raises(ValueError, match="json or msgpack"):
        hub.client.connect("ws://x", KEY, form="xml")


def test_symbols_that_fail_are_named_and_the_others_are_held() -> None:
    async def scene(fake: Fake) -> None:
        fake.unknown = {"NIX", "NAX"}
        async with hub.client.connect(fake.url, KEY) as client:
            with pytest.raises(SubscribeError) as caught:
                await client.subscribe("NSE:SBIN,NSE:NIX,NSE:NAX")
            assert caught.value.failed == {
                "NSE:NIX": "there is no NIX", "NSE:NAX": "there is no NAX",
            }  # fmt: skip
            found = await client.subscribe("NSE:NIX,NSE:TCS", strict=False)
            assert [one.ok for one in found] == [False, True]
            assert "2 held" in repr(client)
            with pytest.raises(ValueError, match="mode 'all' is not"):
                await client.subscribe("NSE:SBIN", mode="all")

    run(scene)


def test_requests_are_answered_each_with_its_own_reply() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            wrong, right, found = await asyncio.gather(
                client.ask("nonsense"), client.ask("ping"), client.subscribe("NSE:A"),
                return_exceptions=True,
            )  # fmt: skip
            assert isinstance(wrong, RequestError)
            assert wrong.code == "INVALID_ACTION"
            assert isinstance(right, dict)
            assert right["type"] == "ping"
            assert isinstance(found, list)

    run(scene)


def test_who_gives_up_on_a_reply_mixes_up_nobody_else() -> None:
    async def scene(fake: Fake) -> None:
        fake.silent = {"slow"}
        async with hub.client.connect(fake.url, KEY) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.ask("slow")
            await fake.say({"type": "slow", "status": "success"})
            assert (await client.ask("ping"))["type"] == "ping"

    run(scene)


def test_after_a_loss_all_that_is_held_is_subscribed_again() -> None:
    async def scene(fake: Fake) -> None:
        states: list[State] = []
        async with hub.client.connect(fake.url, KEY, on_state=states.append) as client:
            await client.subscribe("NSE:A,NSE:B", mode="ltp")
            await client.subscribe("NSE:A", mode="depth", depth=20, max_rate=2.0)
            await client.subscribe("NSE:C")
            await client.unsubscribe("NSE:C")
            await client.unsubscribe("NSE:B")
            await client.subscribe_orders(lambda _: None)
            for code in (1012, 1013):
                fake.told.clear()
                await fake.last.close(code, "again")
                await until(lambda: len(fake.told) == 4)
                assert fake.actions() == [
                    "authenticate", "subscribe_orders", "subscribe", "subscribe",
                ]  # fmt: skip
                assert {
                    (row["symbol"], one["mode"], one.get("depth"), one.get("max_rate"))
                    for one in fake.asked("subscribe")
                    for row in one["symbols"]
                } == {("A", "LTP", None, None), ("A", "Depth", 20, 2.0)}
                await fake.say(tick("A", code))
                assert (await anext(client)).ltp == code
        away = [state for state in states if state.again_s]
        assert [state.reason for state in away] == ["closed: 1012 again", "closed: 1013 again"]
        assert [state.connected for state in states] == [True, False, True, False, True, False]
        assert states[-1] == State(connected=False, reason="closed")

    run(scene)


def test_what_is_refused_after_a_loss_is_asked_for_again_while_it_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub.client.client, "Backoff", lambda *_: retry.Backoff(0.01, 0.02))

    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            await client.subscribe("NSE:A,NSE:B")
            fake.unknown = {"A"}
            await fake.last.close(1012)
            await until(lambda: len(fake.asked("subscribe")) == 4)
            assert [one["symbol"] for one in fake.told[-1]["symbols"]] == ["A"]
            await client.unsubscribe("NSE:A")
            count = len(fake.asked("subscribe"))
            await asyncio.sleep(0.1)
            assert fake.asked("subscribe")[count + 1 :] == [], "one may have been on its way"

    run(scene)


def test_a_request_outlives_the_connection_it_was_sent_on() -> None:
    async def scene(fake: Fake) -> None:
        fake.silent = {"subscribe"}
        async with hub.client.connect(fake.url, KEY) as client:
            asking = asyncio.create_task(client.subscribe("NSE:A"))
            await until(lambda: fake.asked("subscribe"))
            fake.silent = set()
            fake.last.transport.abort()
            (found,) = await asking
            assert found.ok
            assert fake.actions() == ["authenticate", "subscribe"] * 2

    run(scene)


def test_while_the_broker_is_away_it_comes_again_and_with_a_bad_key_it_ends() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            fake.broker_away = 2
            await fake.last.close(1012)
            await until(lambda: fake.actions().count("authenticate") == 4)
            await client.ask("ping")
            client._key = "revoked"
            await fake.last.close(1008)
            with pytest.raises(RequestError, match="no such key"):
                await anext(client)
            with pytest.raises(RequestError):
                await client.subscribe("NSE:A")
        with pytest.raises(RequestError) as caught:
            async with hub.client.connect(fake.url, "wrong", wait=True):
                pass
        assert caught.value.code == "AUTHENTICATION_ERROR"
        fake.broker_away = 1
        with pytest.raises(RequestError, match="no feed"):
            async with hub.client.connect(fake.url, KEY):
                pass

    run(scene)


def test_a_full_hub_is_asked_again_when_it_says_so_and_one_that_is_not_there_is_told() -> None:
    async def scene(fake: Fake) -> None:
        fake.full = 3
        states: list[State] = []
        async with hub.client.connect(fake.url, KEY, on_state=states.append):
            assert [state.reason for state in states] == ["it is full: HTTP 503"] * 3 + [""]
        fake.full, fake.retry_after = 1, "60"
        with pytest.raises(NotRunning, match="it is full"):
            async with hub.client.connect(fake.url, KEY):
                pass

    run(scene)


def test_without_a_hub_it_says_so_or_waits_for_one() -> None:
    async def scene(_: Fake) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NotRunning, match="connection refused"):
            async with hub.client.connect(url, KEY):
                pass
        states: list[State] = []
        client = hub.client.connect(url, KEY, wait=True, on_state=states.append)
        entering = asyncio.create_task(client.__aenter__())
        await until(lambda: len(states) == 3)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        assert states[-1].reason == "closed"
        with pytest.raises(HubError, match="x is not a WebSocket address"):
            async with hub.client.connect("x", KEY):
                pass

    run(scene)


def test_who_reads_slowly_makes_it_stop_reading_until_a_reply_is_waited_for() -> None:
    async def flood(fake: Fake, to: ServerConnection) -> None:
        for number in range(2000):
            await fake.say(tick("A", number, ballast="x" * 20_000), to)

    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY, queue=50) as client:
            flooding = asyncio.create_task(flood(fake, fake.last))
            await until(lambda: len(client._inbox) == 50)
            done, _ = await asyncio.wait([flooding], timeout=0.2)
            assert not done, "nothing holds the server up"
            assert len(client._inbox) == 50
            assert (await client.ask("ping"))["type"] == "ping"
            assert len(client._inbox) == 50 + 1
            got = 0
            while got < 2000:
                for one in await client.take():
                    got += 1 + one.skipped
                    assert one.ltp == got - 1
            await flooding
            assert fake.actions() == ["authenticate", "ping"], "it never lost its connection"

    run(scene)


def test_a_line_on_which_nothing_comes_is_cut_but_not_while_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line, "_PING_S", 0.05)

    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY, queue=1) as client:
            await fake.say(tick())
            await until(lambda: client._line is not None and client._line._paused)
            fake.last.transport.pause_reading()
            await asyncio.sleep(0.3)
            assert client._line is not None
            assert not client._line._socket.transport.is_closing()
            await anext(client)
            await until(lambda: len(fake.clients) == 2)

    run(scene)


def test_order_updates_are_handed_on_in_their_order_with_ticks() -> None:
    async def scene(fake: Fake) -> None:
        updates: list[Any] = []
        async with hub.client.connect(fake.url, KEY) as client:
            await client.subscribe_orders(updates.append)
            await fake.say({"type": "order_update", "orderid": "1"})
            await fake.say(tick())
            await anext(client)
            assert updates == [{"type": "order_update", "orderid": "1"}]
            await client.unsubscribe_orders()
            await fake.say({"type": "order_update", "orderid": "2"})
            await fake.say(tick())
            await anext(client)
            assert len(updates) == 1

    run(scene)


def test_unsubscribe_tells_what_has_become_of_each() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            await client.subscribe("NSE:A,NSE:B", mode="ltp")
            await client.subscribe("NSE:A", mode="depth")
            found = await client.unsubscribe("NSE:A,NSE:B,NSE:C")
            assert [(one.name, one.ok) for one in found] == [
                ("NSE:A", True), ("NSE:B", True), ("NSE:C", True),
            ]  # fmt: skip
            asked = [(one["mode"], len(one["symbols"])) for one in fake.asked("unsubscribe")]
            assert asked == [("LTP", 2), ("Depth", 1)]
            fake.unknown = {"C"}
            assert not (await client.unsubscribe("NSE:C", mode=1))[0].ok
            await client.subscribe("NSE:A")
            await client.unsubscribe_all()
            assert "0 held" in repr(client)

    run(scene)


def test_after_its_end_there_is_what_has_come_and_then_nothing() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            await fake.say([tick("A", 1.0), tick("A", 2.0)])
            await until(lambda: len(client._inbox) == 2)
        assert [one.ltp async for one in client] == [1.0, 2.0]
        assert await client.take() == []
        with pytest.raises(HubError, match="closed"):
            await client.subscribe("NSE:A")

    run(scene)


def test_who_asks_a_line_that_has_ended_is_told_so_and_waits_for_no_reply() -> None:
    async def scene(fake: Fake) -> None:
        async with line.open_line(fake.url, 5, {}, lambda *_: None, lambda: False) as one:
            await one.greet(KEY, {})
            reading = asyncio.create_task(one.read())
            await one.call('{"action": "ping"}')
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with pytest.raises(line.LineLost):
                await one.call('{"action": "ping"}')

    run(scene)


def test_it_comes_by_a_unix_socket_too(tmp_path: Path) -> None:
    async def scene(fake: Fake) -> None:
        path = str(tmp_path / "clients")
        async with (
            unix_serve(fake.talk, path),
            hub.client.connect("ws://localhost", KEY, unix=True, path=path) as client,
        ):
            await client.subscribe("NSE:A")
            await fake.say(tick("A", 7.0))
            assert (await anext(client)).ltp == 7.0

    run(scene)


def test_a_handler_that_fails_ends_the_client_with_its_own_error() -> None:
    async def scene(fake: Fake) -> None:
        def broken(_: object) -> None:
            raise LookupError("mine")

        async with hub.client.connect(fake.url, KEY) as client:
            await client.subscribe_orders(broken)
            await fake.say({"type": "order_update"})
            with pytest.raises(LookupError, match="mine"):
                await anext(client)

    run(scene)


def test_one_that_is_told_of_the_connection_and_fails_ends_it_as_well() -> None:
    async def scene(fake: Fake) -> None:
        told: list[hub.client.State] = []

        def broken(state: hub.client.State) -> None:
            told.append(state)
            if state.connected:
                raise LookupError("mine")

        async with asyncio.timeout(10):
            with pytest.raises(LookupError, match="mine"):
                async with hub.client.connect(fake.url, KEY, on_state=broken) as client:
                    await client.subscribe(["NSE:A"])
        assert [state.connected for state in told] == [True, False], "its end is told once"

    run(scene)


def test_a_server_that_is_no_hub_ends_it() -> None:
    async def scene(fake: Fake) -> None:
        async with hub.client.connect(fake.url, KEY) as client:
            await fake.last.send("pardon?")
            with pytest.raises(HubError, match="no message of a hub"):
                await anext(client)

    run(scene)
