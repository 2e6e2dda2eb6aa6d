"""HTTP requests have one answer or one error, and none of them holds a secret."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import pytest

from hub.brokers.base import Reply, Request
from hub.core.errors import BrokerError, HubError
from hub.core.model import Fault
from hub.runtime import http

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: Two\r\n\r\nhello"


class Server:
    """Answers each connection with the next of these bytes, and keeps what was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[bytes] = []
        self._open: set[asyncio.Task[None]] = set()
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._open.add(task)
        try:
            await self._reply(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._open.discard(task)

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.asked.append(head + await reader.readexactly(int(length or 0)))
            answer = self._answers.pop(0)
            if answer:
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()  # until whoever asks has had enough

    def run(self, play: Callable[[str], Awaitable[object]]) -> object:
        async def main() -> object:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                return await play(self.url)
            finally:
                server.close()
                await asyncio.gather(*self._open)

        return asyncio.run(main())


def ask(
    server: Server, path: str = "/x?key=sesame", method: str = "GET", timeout_s: float = 20
) -> object:
    headers, body = {"X-Key": "open"}, b"" if method == "GET" else b"sesame"
    return server.run(
        lambda url: http.fetch(Request(method, f"{url}{path}", headers, body), timeout_s)
    )


def test_an_answer_comes_whole_whatever_its_status() -> None:
    server = Server(ANSWER, ANSWER.replace(b"200 OK", b"403 Forbidden"))
    assert ask(server) == Reply(200, {"content-length": "5", "x-one": "Two"}, b"hello")
    assert ask(server, method="POST") == Reply(
        403, {"content-length": "5", "x-one": "Two"}, b"hello"
    )
    first, second = server.asked
    assert first.startswith(b"GET /x?key=sesame HTTP/1.1\r\n")
    assert b"X-Key: open\r\n" in first
    assert second.endswith(b"\r\n\r\nsesame")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "/x: it did not answer within 0.3 s|silent"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell", "it broke off"),
        (b"nonsense\r\n\r\n", "it broke off"),
        (b"HTTP/1.1 302 x\r\nLocation: https://example.org/y?k=sesame\r\n\r\n", "org/y, which was"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(http.MOST_BYTES + 1), "longer than 4 MiB"),
    ],
)
def test_what_is_no_answer_is_a_network_fault_without_the_query(
    answer: bytes, sentence: str
) -> None:
    with pytest.raises(BrokerError, match=sentence) as raised:
        ask(Server(answer), timeout_s=20 if answer else 0.3)
    assert raised.value.fault is Fault.NETWORK
    assert "sesame" not in str(raised.value)
    assert "sesame" not in repr(raised.value.__cause__)


def test_redirects_are_followed_on_the_same_host_and_not_for_ever() -> None:
    on = b"HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"
    server = Server(on, ANSWER)
    reply = ask(server)
    assert isinstance(reply, Reply)
    assert reply.body == b"hello"
    assert server.asked[1].startswith(b"GET /y ")
    with pytest.raises(BrokerError, match="leads on and on"):
        ask(Server(on, on, on, on, on))
    reply = ask(Server(on), method="POST")
    assert isinstance(reply, Reply)
    assert reply.status == 302


def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x?key=sesame"
        with pytest.raises(BrokerError, match=r"/x: it cannot be reached \(.*\)$"):
            asyncio.run(http.fetch(Request("GET", url), 5))


@pytest.mark.parametrize(
    "url", ["http://example.org/", "ftp://127.0.0.1/", "127.0.0.1", "http://["]
)
def test_other_addresses_than_https_are_for_this_machine_alone(url: str) -> None:
    assert not http.is_safe(url)
    with pytest.raises(BrokerError):
        asyncio.run(http.fetch(Request("GET", url), 5))


def test_safe_addresses() -> None:
    assert all(map(http.is_safe, ["https://example.org/x", "http://127.0.0.1:1", "http://[::1]/"]))


def load(
    server: Server, most_bytes: int = 1000, name: str = "list"
) -> tuple[bytes, list[tuple[int, int]]]:
    file, seen = io.BytesIO(), list[tuple[int, int]]()

    def progress(had: int, whole: int) -> None:
        seen.append((had, whole))

    server.run(lambda url: http.download(f"{url}/{name}", file, most_bytes, progress))
    return file.getvalue(), seen


def test_a_file_is_downloaded_with_its_progress() -> None:
    assert load(Server(ANSWER)) == (b"hello", [(5, 5)])
    packed = gzip.compress(b"hello" * 20)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert load(Server(head + packed))[0] == b"hello" * 20
    assert load(Server(head + packed), name="list.gz") == (packed, [(len(packed), len(packed))])


@pytest.mark.parametrize(
    ("answer", "fault", "sentence"),
    [
        (b"HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", Fault.RATE, "HTTP status 429"),
        (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", Fault.NETWORK, "HTTP status 404"),
        (b"HTTP/1.1 200 x\r\nContent-Length: 9999999\r\n\r\nx", Fault.NETWORK, "longer than 3 MiB"),
        (b"HTTP/1.1 200 x\r\n\r\n" + bytes(4 << 20), Fault.NETWORK, "longer than 3 MiB"),
        (b"HTTP/1.1 302 x\r\nLocation: http://example.org\r\n\r\n", Fault.NETWORK, "neither https"),
    ],
)
def test_a_file_that_cannot_be_had_says_why(answer: bytes, fault: Fault, sentence: str) -> None:
    with pytest.raises(BrokerError, match=sentence) as raised:
        load(Server(answer), 3 << 20)
    assert raised.value.fault is fault


def test_a_full_disk_is_no_fault_of_the_network() -> None:
    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def put(url: str) -> Awaitable[None]:
        return http.download(f"{url}/list?key=sesame", Full(), 1000, lambda *_: None)

    with pytest.raises(HubError, match="/list sends cannot be kept: No space left on") as raised:
        Server(ANSWER).run(put)
    assert not isinstance(raised.value, BrokerError)
    assert "sesame" not in str(raised.value)
