"""WebSocket at a real shard's socket: the cases of websocket_table, and handshakes of all kinds.

Each case is sent frame by frame, byte by byte, and in one write with the handshake. Cases that end
open are followed by a ping of either kind, which has to be answered, and by a close.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import WITHIN_S, Hub
from tests.integration.websocket_table import MOST_BYTES, OPEN, Case, cases, ping
from tests.shards.frames import BINARY, CLOSE, PING, PONG, TEXT, frame

FLAGS = {
    "hub.shards": 2,
    "hub.feeds": ["bus"],
    "websocket.max_message_bytes": MOST_BYTES,
    "websocket.auth_window_s": 60.0,
}
pytestmark = pytest.mark.parametrize("hub", [FLAGS], indirect=True, ids=[""])

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(
    hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()
USUAL = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
CASES = list(cases())
SLICE = 4099
"""Of frames that are long only the first bytes go one by one."""


def request(
    headers: dict[str, str | None] | None = None,
    *more: str,
    line: str = "GET / HTTP/1.1",
) -> bytes:
    """A handshake with some headers changed, or left out (None), and lines added."""
    all_headers = USUAL | (headers or {})
    lines = [f"{name}: {value}" for name, value in all_headers.items() if value is not None]
    return "".join(f"{one}\r\n" for one in (line, *lines, *more, "")).encode("latin-1")


class Peer:
    """A client's end of a connection, byte by byte."""

    def __init__(self, hub: Hub) -> None:
        host, _, port = hub.url.removeprefix("ws://").partition(":")
        self._sock = socket.create_connection((host, int(port)), WITHIN_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self.ended = False

    def close(self) -> None:
        self._sock.close()

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send these, one by one, unless the server has hung up."""
        with contextlib.suppress(OSError):
            for piece in pieces:
                self._sock.sendall(piece)

    def head(self) -> tuple[int, dict[str, str]]:
        """The response to the handshake: its status, and its headers by their names in small
        letters."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        assert first.startswith("HTTP/1.1 ")
        named = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in named}

    def frame(self) -> tuple[int, bytes] | None:
        """Opcode and payload of the next frame, which is as a server's has to be; None at the
        end."""
        if not self._data:
            self._more()
        if self.ended:
            assert not self._data, "the end comes within a frame"
            return None
        first, size = self._take(2)
        assert first & 0xF0 == 0x80, "final, without reserved bits"
        assert size < 0x80, "unmasked"
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
            assert size >= 126
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
            assert size >= 1 << 16
        return first & 0x0F, self._take(size)

    def rest(self) -> bytes:
        """All that comes until the end."""
        while not self.ended:
            self._more()
        return self._data

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
            assert not self.ended, "the end comes within a frame"
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _until(self, end: bytes) -> bytes:
        while end not in self._data:
            self._more()
            assert not self.ended, f"no {end!r} in {self._data!r}"
        return self._take(self._data.index(end) + len(end))

    def _more(self) -> None:
        try:
            data = self._sock.recv(1 << 16)
        except ConnectionError:  # what it had not read yet makes a reset of an orderly end
            data = b""
        self.ended = not data
        self._data += data


@contextlib.contextmanager
def peer(hub: Hub) -> Iterator[Peer]:
    one = Peer(hub)
    try:
        yield one
    finally:
        one.close()


def one_by_one(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Byte by byte; the bulk of long frames in slices that divide nothing."""
    for whole in frames:
        few = len(whole) if len(whole) < SLICE else 20
        yield from (whole[at : at + 1] for at in range(few))
        yield from (whole[at : at + SLICE] for at in range(few, len(whole), SLICE))


HOW: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]]] = {
    "frames": lambda frames: frames,
    "bytes": one_by_one,
    "at once": lambda frames: [b"".join(frames)],
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_sent_gets_what_has_to_come_back(hub: Hub, case: Case, how: str) -> None:
    with peer(hub) as one:
        if case.long:
            shake_hands(one, hub.keys["anita"])
            one.send(HOW[how](case.frames))
        elif how == "at once":
            one.send([request() + b"".join(case.frames)])
            assert one.head()[0] == 101
        else:
            shake_hands(one)
            one.send(HOW[how](case.frames))
        check(one, case)


def shake_hands(one: Peer, api_key: str = "") -> None:
    """Upgrade; with a key, authenticate."""
    one.send([request()])
    assert one.head()[0] == 101
    if api_key:
        one.send([frame(TEXT, json.dumps({"action": "auth", "api_key": api_key}).encode())])
        assert gist(one.frame()) == (TEXT, "success")


def check(one: Peer, case: Case) -> None:
    """That all comes back and nothing else, and that it ends as it has to."""
    wanted: dict[int, list[object]] = {TEXT: [*case.replies], PONG: [*case.pongs]}
    if case.ends is OPEN:
        one.send([frame(TEXT, ping("fence")), frame(PING, b"fence")])
        wanted[TEXT].append("fence")
        wanted[PONG].append(b"fence")
    heard: dict[int, list[object]] = {TEXT: [], PONG: []}
    while case.ends is not OPEN or heard != wanted:
        opcode, what = gist(one.frame())
        if opcode == CLOSE:
            assert isinstance(what, bytes)
            check_end(case, what)
            one.send([frame(CLOSE, what)])  # which it may be waiting for
            break
        heard[opcode].append(what)
        assert heard[opcode] == wanted[opcode][: len(heard[opcode])]
    assert heard == wanted
    if case.ends is OPEN:
        bye = (1000).to_bytes(2, "big") + b"bye"
        one.send([frame(CLOSE, bye)])
        assert one.frame() == (CLOSE, bye)
    assert one.frame() is None, "nothing comes behind a close"


def check_end(case: Case, payload: bytes) -> None:
    """A close frame's payload: that which has to come, or the code for a failure and some text."""
    assert case.ends is not OPEN, f"closed with {payload!r}"
    if isinstance(case.ends, bytes):
        assert payload == case.ends
    else:
        assert int.from_bytes(payload[:2], "big") == case.ends
        assert len(payload) <= 125
        assert case.says in payload[2:].decode()


def gist(found: tuple[int, bytes] | None) -> tuple[int, object]:
    """A frame by what matters here: the id or code of a reply, the payload of any other."""
    assert found is not None, "it ends without a close"
    opcode, payload = found
    if opcode != TEXT:
        return found
    reply = json.loads(payload)
    return opcode, next(reply[name] for name in ("_pingId", "code", "status") if name in reply)


# The handshake.


WELCOME: dict[str, bytes] = {
    "usual": request(),
    "upgrade in other letters": request({"Upgrade": "WebSocket", "Connection": "upgrade"}),
    "among other options": request({"Connection": "keep-alive, Upgrade"}),
    "headers in other letters": request().replace(b"Sec-WebSocket-", b"SEC-websocket-"),
    "header twice": request({"Connection": "keep-alive"}, "Connection: Upgrade"),
    "spaces around": request({"Upgrade": "  websocket\t"}),
    "any path": request(line="GET /a/b?c=%20&d#e HTTP/1.1"),
    "no host": request({"Host": None}),
    "cookies": request(None, "Cookie: a=b", "Authorization: Bearer x", "User-Agent: \xe9"),
    "empty body": request({"Content-Length": "0"}),
    "compression": request(None, "Sec-WebSocket-Extensions: permessage-deflate"),
    "compression, all options": request(
        None,
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; "
        "server_no_context_takeover, x-webkit-deflate-frame",
        'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits="10"',
    ),
    "extension that is none": request(None, "Sec-WebSocket-Extensions: ;;=,"),
    "subprotocols": request(None, "Sec-WebSocket-Protocol: chat, v2.example"),
    "page of this machine": request(None, "Origin: http://localhost:5000"),
    "many headers": request(None, *[f"X-{number}: y" for number in range(120)]),
    "long header": request(None, "Cookie: " + "x" * 8000),
}


@pytest.mark.parametrize("by_bytes", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", WELCOME)
def test_a_handshake_is_answered_without_extension_or_subprotocol(
    hub: Hub, name: str, by_bytes: bool
) -> None:
    with peer(hub) as one:
        one.send(one_by_one([WELCOME[name]]) if by_bytes else [WELCOME[name]])
        status, headers = one.head()
        assert status == 101
        assert headers["upgrade"] == "websocket"
        assert headers["connection"].lower() == "upgrade"
        assert headers["sec-websocket-accept"] == ACCEPT
        assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & headers.keys()
        check(one, Case(name, []))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_compression_that_was_offered_may_not_be_used(hub: Hub, opcode: int) -> None:
    with peer(hub) as one:
        one.send([WELCOME["compression"], frame(opcode, ping(1), rsv=4)])
        assert one.head()[0] == 101
        check(one, Case("compressed", [], ends=1002))


HELLO_OF_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32, 64)) * 16
REFUSED: dict[str, tuple[int, bytes]] = {
    "a browser": (426, b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"),
    "no upgrade": (426, request({"Upgrade": None})),
    "another upgrade": (426, request({"Upgrade": "h2c"})),
    "two upgrades": (426, request({"Upgrade": "websocket, h2c"})),
    "no connection": (426, request({"Connection": None})),
    "another connection": (426, request({"Connection": "keep-alive"})),
    "garbled connection": (400, request({"Connection": ",;="})),
    "older version": (426, request({"Sec-WebSocket-Version": "8"})),
    "newer version": (426, request({"Sec-WebSocket-Version": "14"})),
    "two versions": (426, request({"Sec-WebSocket-Version": "13, 8"})),
    "garbled version": (426, request({"Sec-WebSocket-Version": "thirteen"})),
    "no version": (400, request({"Sec-WebSocket-Version": None})),
    "version twice": (400, request(None, "Sec-WebSocket-Version: 13")),
    "no key": (400, request({"Sec-WebSocket-Key": None})),
    "empty key": (400, request({"Sec-WebSocket-Key": ""})),
    "key twice": (400, request(None, f"Sec-WebSocket-Key: {KEY}")),
    "key of 15 bytes": (400, request({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"})),
    "key that is no base64": (400, request({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ!!"})),
    "key that is no ASCII": (400, request({"Sec-WebSocket-Key": "\xe9" * 24})),
    "two origins": (400, request(None, "Origin: http://localhost", "Origin: http://localhost")),
    "page of elsewhere": (403, request(None, "Origin: https://elsewhere.example")),
    "POST": (405, request(line="POST / HTTP/1.1")),
    "POST with a body": (400, request({"Content-Length": "2"}, line="POST / HTTP/1.1") + b"{}"),
    "chunks": (400, request({"Transfer-Encoding": "chunked"})),
    "HEAD": (405, request(line="HEAD / HTTP/1.1")),
    "HTTP/1.0": (505, request(line="GET / HTTP/1.0")),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no HTTP": (400, b"hello there\r\n\r\n"),
    "nothing": (400, b"\r\n\r\n"),
    "no CR": (400, request().replace(b"\r", b"")),
    "no colon": (400, request(None, "Nonsense")),
    "space in a name": (400, request(None, "A b: c")),
    "folded header": (400, request(None, "A: b", " c: d")),
    "control character": (400, request(None, "A: b\x00c")),
    "path that is no ASCII": (400, request(line="GET /\xe9 HTTP/1.1")),
    "long path": (414, request(line=f"GET /{'x' * 9000} HTTP/1.1")),
    "long header that is too long": (431, request(None, "Cookie: " + "x" * 9000)),
    "too many headers": (431, request(None, *[f"X-{number}: y" for number in range(200)])),
    "TLS": (400, HELLO_OF_TLS + b"\n"),
}


@pytest.mark.parametrize("by_bytes", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_handshake_is_refused_in_words(hub: Hub, name: str, by_bytes: bool) -> None:
    status, said = REFUSED[name]
    with peer(hub) as one:
        one.send(one_by_one([said]) if by_bytes else [said + frame(TEXT, ping(1))])
        found, headers = one.head()
        body = one.rest()
        assert found == status
        assert headers["connection"] == "close"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert len(body) == int(headers["content-length"])
        assert body.endswith(b"\n")
        if status == 426:
            assert headers["upgrade"] == "websocket"
        assert ("sec-websocket-version" in headers) == (status == 426 and "version" in name)
        assert headers.get("sec-websocket-version", "13") == "13"


def test_a_browser_is_told_what_this_is(hub: Hub) -> None:
    with peer(hub) as one:
        one.send([REFUSED["a browser"][1]])
        one.head()
        assert b"You need a WebSocket client" in one.rest()


def test_a_client_of_wss_is_told_at_once_that_this_is_no_tls(hub: Hub) -> None:
    with peer(hub) as one:
        one.send([HELLO_OF_TLS])
        one.head()
        assert b"ws://, without TLS" in one.rest()
    host, _, port = hub.url.removeprefix("ws://").partition(":")
    with (
        socket.create_connection((host, int(port)), WITHIN_S) as sock,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(sock, server_hostname=host)


def test_a_handshake_that_is_never_finished_ends_with_the_auth_window(
    hub: Hub, make_hub: MakeHub
) -> None:
    del hub
    short = make_hub({"hub.shards": 1, "hub.feeds": ["bus"], "websocket.auth_window_s": 0.5})
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(peer(short)) for _ in range(5)]
        for one, said in zip(
            peers, (b"", b"G", request()[:-2], b"x" * 100, HELLO_OF_TLS[:1]), strict=True
        ):
            one.send([said])
        assert [one.rest() for one in peers] == [b""] * 5


def test_the_hub_has_no_fault_of_its_own_in_all_this(hub: Hub) -> None:
    """Every case once more, many at a time, and then what its processes say of themselves."""
    with contextlib.ExitStack() as stack:
        short = [case for case in CASES if not case.long and len(b"".join(case.frames)) < SLICE]
        peers = [stack.enter_context(peer(hub)) for _ in short]
        for one, case in zip(peers, short, strict=True):
            one.send([request() + b"".join(case.frames)])
        for one, case in zip(peers, short, strict=True):
            assert one.head()[0] == 101
            check(one, case)
    assert "Traceback" not in hub.log()
    assert "fault" not in hub.log()
