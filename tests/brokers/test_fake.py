"""The common part of the fake brokers does to clients what its script says."""

from __future__ import annotations

import asyncio
import http.client
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_in_thread

from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Script, running


class Echo(Fake):
    """It lets in who names the credentials, and wants what it is sent."""

    def admit(self, asked: Asked) -> Answer | None:
        given = asked.query.get("token", "")
        known = self.script.credentials.get("token", "")
        return None if given == known else Answer(401, b"no", {"X-Why": "token"})

    async def received(self, peer: Peer, data: Data) -> None:
        peer.wants[data] = True

    def ticks(self, peer: Peer) -> list[Data]:
        return [f"tick of {name!s}" for name in peer.wants]

    def answer(self, asked: Asked) -> Answer:
        return Answer(200, asked.method.encode() + b" " + asked.body, {"X-Path": asked.path})


def run(scene: Callable[[Echo], Coroutine[Any, Any, None]], fake: Echo | None = None) -> None:
    async def play() -> None:
        async with fake or Echo() as server:
            await asyncio.wait_for(scene(server), 20)

    asyncio.run(play())


def client(fake: Fake, query: str = "") -> connect:
    return connect(f"{fake.url}/{query}", compression=None, ping_interval=None, close_timeout=0.1)


async def wanting(fake: Echo, socket: ClientConnection, *names: str) -> Peer:
    for name in names:
        await socket.send(name)
    await fake.until(lambda: fake.peers and len(fake.peers[-1].wants) == len(names))
    return fake.peers[-1]


def test_an_upgrade_is_refused_with_status_headers_and_body_so_many_times() -> None:
    async def scene(fake: Echo) -> None:
        fake.script.refusal, fake.script.refusals = Answer(429, b"later", {"Retry-After": "3"}), 1
        with pytest.raises(InvalidStatus) as refused:
            await client(fake)
        response = refused.value.response
        assert (response.status_code, response.body) == (429, b"later")
        assert response.headers["Retry-After"] == "3"
        async with client(fake):
            assert [status for _, status in fake.upgrades] == [429, 101]

    run(scene)


def test_credentials_are_rotated_by_the_script() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake, "?token=old"):
            pass
        fake.script.credentials["token"] = "new"
        with pytest.raises(InvalidStatus):
            await client(fake, "?token=old")
        async with client(fake, "?token=new"):
            pass

    run(scene, Echo(Script({"token": "old"})))


def test_ticks_are_copied_shuffled_and_silenced() -> None:
    async def scene(fake: Echo) -> None:
        names = [*"abcdefgh"]
        async with client(fake) as socket:
            peer = await wanting(fake, socket, *names)
            fake.script.copies, fake.script.shuffled = 2, True
            await fake.push(peer, fake.ticks(peer))
            got = [await socket.recv() for _ in range(16)]
            plain = [f"tick of {name}" for name in names for _ in range(2)]
            assert got != plain
            assert sorted(got) == plain
            fake.script.silent = True
            await fake.push(peer, fake.ticks(peer))
            await peer.send("end")
            assert await socket.recv() == "end"
            await (await socket.ping())  # it still answers

    run(scene)


def test_ticks_flow_at_a_rate() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            await wanting(fake, socket, "a")
            assert [await socket.recv() for _ in range(3)] == ["tick of a"] * 3

    run(scene, Echo(rate=200))


def test_a_message_in_fragments_cut_and_of_garbage() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            peer = await wanting(fake, socket, "a")
            await peer.send_in_fragments(b"0123456789", 3)
            await peer.send_cut(b"0123456789", 4)
            await peer.send_garbage(2000)
            got = [await socket.recv() for _ in range(3)]
            assert got[:2] == [b"0123456789", b"0123"]
            assert len(got[2]) == 2000

    run(scene)


@pytest.mark.parametrize("code", [1000, 1012, 4001])
def test_it_closes_with_code_and_reason(code: int) -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            peer = await wanting(fake, socket, "a")
            await peer.close(code, "because")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "because")
            await fake.until(lambda: not fake.peers)

    run(scene)


@pytest.mark.parametrize("cut", [Peer.drop, Peer.break_protocol])
def test_it_cuts_without_a_close_frame(cut: Callable[[Peer], None]) -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            cut(await wanting(fake, socket, "a"))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is None

    run(scene)


def test_a_frozen_one_answers_no_ping_until_it_thaws() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            peer = await wanting(fake, socket, "a")
            peer.freeze()
            pong = await socket.ping()
            await peer.send("still sent")
            assert await socket.recv() == "still sent"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(pong), 0.1)
            peer.thaw()
            await pong

    run(scene)


def test_what_clients_send_is_kept_with_its_time() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            await wanting(fake, socket, "a", "b")
            assert [heard.data for heard in fake.heard] == ["a", "b"]
            assert fake.heard[0].at_s <= fake.heard[1].at_s
            assert {heard.peer for heard in fake.heard} == {1}

    run(scene)


def test_who_says_nothing_for_long_is_cut() -> None:
    async def scene(fake: Echo) -> None:
        async with client(fake) as socket:
            await wanting(fake, socket, "a")
            fake.idle_s = 0.05
            await socket.send("b")
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    run(scene)


def test_http_is_answered_too_and_from_a_thread() -> None:
    with running(Echo()) as fake:
        connection = http.client.HTTPConnection(fake.api.removeprefix("http://"), timeout=5)
        connection.request("POST", "/login?a=1", b"pin")
        reply = connection.getresponse()
        assert (reply.status, reply.read(), reply.headers["X-Path"]) == (200, b"POST pin", "/login")
        assert fake.calls[0].query == {"a": "1"}
        connection.close()
        with connect_in_thread(fake.url, compression=None) as socket:
            socket.send("a")
            fake.call(fake.until(lambda: fake.peers[0].wants))
            fake.call(fake.push(fake.peers[0], fake.ticks(fake.peers[0])))
            assert socket.recv(5) == "tick of a"


def test_by_hand_it_says_how_a_hub_reaches_it_with_nothing_of_the_broker_itself() -> None:
    command = [sys.executable, "-m", "tests.brokers.angel_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            process.terminate()
    found = re.fullmatch(
        r"hub start --feed angel --angel-url (ws://127\.0\.0\.1:\d+)"
        r" --angel-api-url (http://127\.0\.0\.1:\d+) --angel-instruments-url (\S+)\n",
        line,
    )
    assert found, line
    assert found[2] == found[3]
