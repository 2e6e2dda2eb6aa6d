"""The door to NATS, before a real nats-server: it is killed, stopped, and refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nkeys
import pytest
import uvloop

from hub.core.errors import ConfigError, NoAnswer, NobodyListens
from hub.core.settings import Nats as NatsSettings
from hub.runtime import nats as door
from hub.runtime.log import log
from hub.runtime.nats import Nats
from tests import tls
from tests.natsserver import NatsServer, cluster, server

SECRET = "correct-horse"


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; an error in a callback or a task fails it."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await asyncio.wait_for(test, 40)

    uvloop.run(watched())
    assert errors == []


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(*urls: str, **settings: Any) -> AsyncIterator[Nats]:
    """A connection that is there."""
    async with begun(*urls, **settings) as nats:
        await until(lambda: nats.connected)
        yield nats


@asynccontextmanager
async def begun(*urls: str, **settings: Any) -> AsyncIterator[Nats]:
    """A connection that is tried."""
    calls = {name: settings.pop(name) for name in ("up", "down") if name in settings}
    nats = Nats(NatsSettings(servers=list(urls), **settings), "test", **calls)
    await nats.start()
    try:
        yield nats
    finally:
        await nats.stop()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server that tests share which do it no harm."""
    with server(tmp_path_factory.mktemp("nats")) as up:
        yield up


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What has been logged."""
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO, "hub")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def owned(path: Path, text: str) -> str:
    """A file that is its owner's alone."""
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


async def settled(nats: Nats) -> None:
    """All that was said to the server has been heard by it."""
    assert nats._client is not None
    for _ in range(2):  # its first PING overtakes what waits
        await nats._client.flush()


def test_messages_come_in_order_and_whole(one: NatsServer) -> None:
    async def test() -> None:
        got: list[tuple[str, bytes, str]] = []
        async with connected(one.url) as a, connected(one.url) as b:
            b.subscribe("order.*", lambda *heard: got.append(heard))
            await settled(b)
            sent = [(f"order.{n % 3}", b"%05d" % n + bytes(n % 1000)) for n in range(5000)]
            assert all(a.publish(subject, data[:3], data[3:]) for subject, data in sent)
            await until(lambda: len(got) >= len(sent))
            assert got == [(*message, "") for message in sent]
            await asyncio.sleep(0)
            figures, heard = a.figures(), b.figures()
        assert figures["out_msgs"] == heard["in_msgs"] == 5000
        assert figures["out_bytes"] == heard["in_bytes"] == sum(len(data) for _, data in sent)
        assert figures["server"] == one.url.removeprefix("nats://")
        assert figures["connected"]
        assert figures["reconnects"] == figures["dropped"] == figures["slow"] == 0

    run(test())


def test_a_closed_subscription_hears_no_more_and_others_do(one: NatsServer) -> None:
    async def test() -> None:
        got: list[str] = []
        async with connected(one.url) as nats:
            first = nats.subscribe("close", lambda *_: got.append("first"))
            nats.subscribe("close", lambda *_: got.append("second"))
            nats.publish("close")
            await until(lambda: len(got) == 2)
            first.close()
            first.close()
            nats.publish("close")
            await until(lambda: len(got) == 3)
            await settled(nats)
        assert got[2:] == ["second"]

    run(test())


def test_thousands_of_subscriptions_in_one_go(one: NatsServer) -> None:
    async def test() -> None:
        got: list[str] = []
        async with connected(one.url) as nats:
            many = [
                nats.subscribe(f"many.{n}", lambda subject, *_: got.append(subject))
                for n in range(3000)
            ]
            for subscription in many[:-1]:
                subscription.close()
            assert all(nats.publish(f"many.{n}") for n in range(3000))
            await until(lambda: bool(got))
            await settled(nats)
        assert got == ["many.2999"]

    run(test())


def test_a_callback_that_raises_hurts_only_its_message(
    one: NatsServer, lines: Callable[[], str]
) -> None:
    async def test() -> None:
        got: list[bytes] = []

        def take(_: str, data: bytes, __: str) -> None:
            if data == b"bad":
                raise ValueError("no")
            got.append(data)

        async with connected(one.url) as nats:
            nats.subscribe("raise", take)
            for data in (b"1", b"bad", b"bad", b"2"):
                nats.publish("raise", data)
            await until(lambda: len(got) == 2)
        assert got == [b"1", b"2"]

    run(test())
    assert lines().count("a fault of the hub itself in what was heard on raise") == 1


def test_a_question_gets_its_answer_and_none_where_nobody_listens(one: NatsServer) -> None:
    async def test() -> None:
        def answer(*parts: Any) -> None:
            b.publish(*parts)

        async with connected(one.url) as a, connected(one.url) as b:
            b.subscribe("ask", lambda _, data, reply: answer(reply, b"re:", data))
            b.subscribe("mute", lambda *_: None)
            await settled(b)
            assert await a.request("ask", b"x", 5) == b"re:x"
            began = asyncio.get_running_loop().time()
            with pytest.raises(NobodyListens, match="nobody did not answer within 30 s"):
                await a.request("nobody", b"", 30)
            assert asyncio.get_running_loop().time() - began < 10
            with pytest.raises(NoAnswer):
                await a.request("mute", b"", 0.05)

    run(test())


def test_more_than_nats_takes_is_refused_and_told(
    one: NatsServer, lines: Callable[[], str]
) -> None:
    async def test() -> None:
        async with connected(one.url) as nats:
            assert nats.max_payload == 1 << 20
            assert not nats.publish("big", bytes(nats.max_payload + 1))
            assert nats.publish("big", bytes(nats.max_payload))
            with pytest.raises(NoAnswer):
                await nats.request("big", bytes(nats.max_payload + 1), 5)
            assert nats.figures()["dropped"] == 1
            await settled(nats)
            assert nats.connected

    run(test())
    assert "raise max_payload in its configuration, now 1048576" in lines()


def test_what_waits_is_bounded(one: NatsServer) -> None:
    async def test() -> None:
        async with connected(one.url) as nats:
            taken = [nats.publish("much", bytes(1 << 20)) for _ in range(20)]
            assert taken == [True] * 7 + [False] * 13  # heads count as well
            assert nats.figures()["pending_bytes"] > 7 << 20
            assert nats.figures()["dropped"] == 13
            await until(lambda: nats.figures()["pending_bytes"] == 0)
            assert nats.publish("much", bytes(1 << 20))

    run(test())


def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, lines: Callable[[], str]) -> None:
    async def test() -> None:
        events: list[str] = []
        got: list[bytes] = []
        one = NatsServer(tmp_path)
        try:
            async with begun(
                one.url, up=lambda: events.append("up"), down=lambda: events.append("down")
            ) as nats:
                nats.subscribe("stands", lambda _, data, __: got.append(data))
                assert not nats.publish("stands", b"before there is one")
                with pytest.raises(NoAnswer):
                    await nats.request("stands", b"", 30)
                await until(lambda: "nobody listens there" in lines())
                assert (nats.connected, nats.address, events) == (False, "", [])
                one.start()
                await until(lambda: events == ["up"])
                assert nats.publish("stands", b"1")
                await until(lambda: got == [b"1"])
                one.kill()
                await until(lambda: events == ["up", "down"])
                assert not nats.connected
                assert not nats.publish("stands", b"while it is away")
                one.start()
                await until(lambda: events == ["up", "down", "up"])
                assert nats.publish("stands", b"2")
                await until(lambda: got == [b"1", b"2"])
                figures = nats.figures()
                assert (figures["reconnects"], figures["dropped"]) == (1, 2)
                assert (figures["out_msgs"], figures["in_msgs"]) == (2, 2)
        finally:
            one.kill()

    run(test())
    assert "is lost: it has closed the connection; tried anew until it is there" in lines()


def test_a_link_that_is_cut_is_noticed_and_its_rest_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stands still keeps its sockets, as the other side of a cut link does."""
    monkeypatch.setattr(door, "_PING_S", 0.1)
    monkeypatch.setattr(door, "_TRY_S", 0.3)

    async def test() -> None:
        got: list[bytes] = []
        with server(tmp_path) as one:
            async with connected(one.url) as a:
                await until(lambda: a.figures()["rtt_ms"] is not None)
                a.subscribe("nothing", lambda *_: None)
                one.send(signal.SIGSTOP)
                while a.connected:
                    a.publish("cut", b"old" + bytes(1 << 16))
                    await asyncio.sleep(0.01)
                assert a.figures()["rtt_ms"] is None
                one.send(signal.SIGCONT)
                async with connected(one.url) as b:
                    b.subscribe("cut", lambda _, data, __: got.append(data[:3]))
                    await settled(b)
                    await until(lambda: a.connected)
                    got.clear()  # what was in the server's socket before
                    assert a.publish("cut", b"new")
                    await until(lambda: b"new" in got)
                    await asyncio.sleep(0.2)
                    listening = [
                        one for one in asyncio.all_tasks() if "_wait_for_msgs" in repr(one)
                    ]
                    assert len(listening) == 2  # of the old connection none is left
        assert got == [b"new"]

    run(test())


def test_who_is_too_slow_for_the_server_is_told_so(
    tmp_path: Path, lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server drops it without a word."""
    monkeypatch.setattr(door, "_PING_S", 0.1)
    monkeypatch.setattr(door, "_PINGS", 100)

    async def test() -> None:
        got: list[bytes] = []
        with server(tmp_path, "max_pending: 1MB") as one:
            async with connected(one.url) as slow, connected(one.url) as a:
                slow.subscribe("flood", lambda _, data, __: got.append(data))
                await settled(slow)
                transport: Any = slow._link._writer.transport  # type: ignore[union-attr]  # there
                await asyncio.sleep(0.1)  # a PING is out, or will be
                transport.pause_reading()
                for _ in range(100):
                    a.publish("flood", bytes(200_000))
                    await settled(a)
                await asyncio.sleep(0.3)
                transport.resume_reading()
                await until(lambda: slow.figures()["reconnects"] == 1)
                assert slow.figures()["slow"] == 1
                assert a.figures()["slow"] == 0
                await settled(slow)
                a.publish("flood", b"again")
                await until(lambda: b"again" in got)

    run(test())
    assert "and we, or the link, had been too slow to take what it sends" in lines()


def test_a_node_of_three_dies_and_another_takes_over(tmp_path: Path) -> None:
    async def test() -> None:
        got: list[bytes] = []
        with cluster(tmp_path) as nodes:
            urls = [node.url for node in nodes]
            async with connected(*urls) as nats:
                nats.subscribe("node", lambda _, data, __: got.append(data))
                gone = next(node for node in nodes if node.url.endswith(nats.address))
                gone.kill()
                await until(lambda: nats.connected and nats.address not in gone.url)
                assert nats.publish("node", b"here")
                await until(lambda: got == [b"here"])
                assert nats.figures()["reconnects"] == 1

    run(test())


def test_what_waits_is_sent_before_it_leaves(one: NatsServer) -> None:
    async def test() -> None:
        got: list[bytes] = []
        async with connected(one.url) as b:
            b.subscribe("last", lambda _, data, __: got.append(data))
            await settled(b)
            async with connected(one.url) as a:
                assert all(a.publish("last", bytes(100_000)) for _ in range(50))
            assert not a.publish("last")
            await until(lambda: len(got) == 50)

    run(test())


def test_up_that_raises_does_no_harm(one: NatsServer, lines: Callable[[], str]) -> None:
    async def test() -> None:
        def broken() -> None:
            raise ValueError("no")

        async with connected(one.url, up=broken) as nats:
            await settled(nats)

    run(test())
    assert "a fault of the hub itself in up or down" in lines()


def seed(kind: int) -> str:
    """The seed of a new key: of a user, an account, an operator."""
    made: bytes = nkeys.encode_seed(os.urandom(32), kind)
    return made.decode()


def public(seed: str) -> str:
    made: bytes = nkeys.from_seed(bytearray(seed.encode())).public_key
    return made.decode()


def jwt(issuer: str, subject: str, claims: dict[str, Any]) -> str:
    """A token as NATS has it: signed by the key of who is one level up."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {"jti": "x", "iat": 1, "iss": public(issuer), "name": "x", "sub": public(subject)}
    text = f"{part(head)}.{part(body | {'nats': claims | {'version': 2}})}"
    signature = nkeys.from_seed(bytearray(issuer.encode())).sign(text.encode())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def by_user(folder: Path) -> tuple[str, dict[str, str]]:
    more = f'authorization {{ user: "ann", password: "{SECRET}" }}'
    return more, {"user": "ann", "password_file": owned(folder / "password", SECRET + "\n")}


def by_token(folder: Path) -> tuple[str, dict[str, str]]:
    more = f'authorization {{ token: "{SECRET}" }}'
    return more, {"token_file": owned(folder / "token", SECRET + "\n")}


def by_nkey(folder: Path) -> tuple[str, dict[str, str]]:
    user = seed(nkeys.PREFIX_BYTE_USER)
    more = f'authorization {{ users: [ {{ nkey: "{public(user)}" }} ] }}'
    return more, {"nkey_file": owned(folder / "user.nk", user + "\n")}


def by_creds(folder: Path) -> tuple[str, dict[str, str]]:
    kinds = (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    operator, account, user = map(seed, kinds)
    every = dict.fromkeys(("subs", "data", "payload"), -1)
    limits = every | dict.fromkeys(("imports", "exports", "conn", "leaf"), -1)
    top = jwt(operator, operator, {"type": "operator"})
    middle = jwt(operator, account, {"type": "account", "limits": limits | {"wildcards": True}})
    own = jwt(account, user, {"type": "user", "pub": {}, "sub": {}, **every})
    more = (
        f'operator: "{top}"\nresolver: MEMORY\nresolver_preload {{ {public(account)}: "{middle}" }}'
    )
    text = (
        f"-----BEGIN NATS USER JWT-----\n{own}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user}\n------END USER NKEY SEED------\n"
    )
    return more, {"creds_file": owned(folder / "user.creds", text)}


@pytest.mark.parametrize("way", [by_user, by_token, by_nkey, by_creds])
def test_who_one_is(
    way: Callable[[Path], tuple[str, dict[str, str]]], tmp_path: Path, lines: Callable[[], str]
) -> None:
    """It is taken; without it, it is not, and that is told."""
    more, settings = way(tmp_path)

    async def test() -> None:
        with server(tmp_path, more) as one:
            async with connected(one.url, **settings) as nats:
                await settled(nats)
                assert SECRET not in f"{nats!r} {nats.figures()} {nats._link!r}"
            async with begun(one.url) as nats:
                await until(lambda: "it does not take us (authorization violation)" in lines())
                assert not nats.connected

    run(test())
    assert "see to nats.user, token_file, nkey_file or creds_file" in lines()
    assert SECRET not in lines()


def test_a_wrong_password_is_one_sentence_and_a_right_one_needs_no_restart(
    tmp_path: Path, lines: Callable[[], str]
) -> None:
    more, settings = by_user(tmp_path)
    password = Path(settings["password_file"])
    password.write_text("wrong-one")

    async def test() -> None:
        with server(tmp_path, more) as one:
            async with begun(one.url, **settings) as nats:
                await until(lambda: bool(lines()))
                await asyncio.sleep(0.5)
                assert not nats.connected
                assert nats.figures()["errors"] >= 2
                assert lines() == (
                    f"NATS at 127.0.0.1:{one.port}: it does not take us (authorization violation); "
                    "see to nats.user and nats.password_file"
                )
                password.write_text(SECRET)  # noqa: ASYNC240  # a few bytes
                await until(lambda: nats.connected)

    run(test())
    assert "wrong-one" not in lines()
    assert SECRET not in lines()


def test_what_is_not_permitted_is_told_with_its_subject(
    tmp_path: Path, lines: Callable[[], str]
) -> None:
    more = (
        'authorization { users: [ { user: "ann", password: "x", permissions: '
        '{ publish: "hub.>", subscribe: ["hub.>", "_INBOX.>"] } } ] }'
    )
    settings = {"user": "ann", "password_file": owned(tmp_path / "password", "x")}

    async def test() -> None:
        with server(tmp_path, more) as one:
            async with connected(one.url, **settings) as nats:
                nats.publish("elsewhere", b"")
                await until(lambda: nats.figures()["errors"] == 1)
                assert nats.connected

    run(test())
    assert 'permissions violation for publish to "elsewhere"' in lines()
    assert "give this user hub.>, _INBOX.>, $JS.> and $KV.> there" in lines()


def secured(folder: Path, *, clients: bool = False) -> str:
    pair = tls.issue(folder, file="server")
    verify = f', ca_file: "{tls.trusted(folder)}", verify: true' if clients else ""
    return f'tls {{ cert_file: "{pair.cert}", key_file: "{pair.key}"{verify} }}'


def test_tls_with_a_certificate_of_ones_own(tmp_path: Path, lines: Callable[[], str]) -> None:
    more = secured(tmp_path, clients=True)
    ours = tls.issue(tmp_path, "edge-1", file="ours")
    ca = str(tls.trusted(tmp_path))
    shown = {"tls_cert": str(ours.cert), "tls_key": str(ours.key)}

    async def test() -> None:
        with server(tmp_path, more) as one:
            async with connected(one.url, tls_ca=ca, **shown) as nats:
                await settled(nats)
                assert nats.publish("tls", bytes(100_000))
            async with begun(one.url, tls_ca=ca):
                await until(lambda: "set nats.tls_cert" in lines())

    run(test())


def test_a_certificate_of_nobody_who_is_trusted(tmp_path: Path, lines: Callable[[], str]) -> None:
    async def test() -> None:
        with server(tmp_path, secured(tmp_path)) as one:
            async with begun(one.url.replace("nats:", "tls:")) as nats:
                await until(lambda: "its certificate is not trusted" in lines())
                assert not nats.connected

    run(test())
    assert "set nats.tls_ca" in lines()


def test_nothing_is_said_without_tls_where_tls_is_asked_for(
    tmp_path: Path, lines: Callable[[], str]
) -> None:
    """The password would be read by whoever stands between."""
    _, settings = by_user(tmp_path)
    heard = bytearray()

    async def test() -> None:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'INFO {"max_payload": 1048576, "auth_required": true}\r\n')
            with suppress(ConnectionError):
                heard.extend(await reader.read())
            writer.close()

        listener = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, begun(f"tls://127.0.0.1:{port}", **settings) as nats:
            await until(lambda: "it offers no TLS" in lines())
            assert not nats.connected

    run(test())
    assert not heard


def test_a_server_that_talks_of_something_else(lines: Callable[[], str]) -> None:
    async def test() -> None:
        async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        listener = await asyncio.start_server(other, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, begun(f"nats://127.0.0.1:{port}") as nats:
            await until(lambda: "empty response" in lines())
            assert not nats.connected

    run(test())


def test_files_that_are_of_no_use_are_told_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ConfigError, match=r"nats.token_file: .*/none is not there"):
            async with begun("nats://127.0.0.1:1", token_file=str(tmp_path / "none")):
                pass

    run(test())


def test_it_can_be_stopped_at_any_moment(tmp_path: Path) -> None:
    """nats-py swallows a cancellation here and there."""
    more, _ = by_user(tmp_path)

    async def test() -> None:
        with server(tmp_path, more) as one:
            for moment in range(60):
                async with begun(one.url):
                    for _ in range(moment):
                        await asyncio.sleep(0.0002)

    run(test())


def test_what_the_kernel_has_of_a_cut_link_stays_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come after what the next connection sends. A server that reads no more is told so
    by a reset, and not by an end."""
    monkeypatch.setattr(door, "_PING_S", 0.1)
    ended: list[str] = []

    async def test() -> None:
        gone = asyncio.Event()

        async def still(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'INFO {"max_payload": 1048576}\r\n')
            while await reader.readline() != b"PING\r\n":
                pass
            writer.write(b"PONG\r\n")
            await gone.wait()
            try:
                while await reader.read(1 << 20):
                    pass
                ended.append("end")
            except ConnectionResetError:
                ended.append("reset")
            writer.close()

        listener = await asyncio.start_server(still, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, connected(f"nats://127.0.0.1:{port}") as nats:
            while nats.connected:
                nats.publish("cut", bytes(1 << 20))
                await asyncio.sleep(0.01)
            gone.set()
            await until(lambda: bool(ended))

    run(test())
    assert ended[0] == "reset"
