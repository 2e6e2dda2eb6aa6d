"""WebSocket as RFC 6455 has it, as a table: what a client sends and what has to come back.

1. What comes back are the answers to text and binary messages, the pongs, and how it ends. The two
   kinds of answers are each in their order; how they mix is left to the server.
2. The hub's own protocol stands for the echo of other suites: a ping in JSON and its pong.
3. Where the hub is less strict than it could be, the case says so (`lax`), and what it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.shards.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

MOST_BYTES = 100_000
"""What the hub of these cases takes as one message (`websocket.max_message_bytes`)."""
MOST_FRAGMENTS = 1024
OPEN = None
"""How a case ends whose connection is still good afterwards."""

_NORMAL, _WRONG, _NO_TEXT, _POLICY, _TOO_LARGE = 1000, 1002, 1007, 1008, 1009


@dataclass(frozen=True)
class Case:
    """`frames` are sent; `replies` are the ids of pongs in JSON and codes of errors, `pongs` what
    protocol pongs carry; `ends` is what the server's close frame carries, its code for a failure
    whose words are left open, OPEN for none."""

    name: str
    frames: Sequence[bytes]
    replies: Sequence[object] = ()
    pongs: Sequence[bytes] = ()
    ends: bytes | int | None = OPEN
    says: str = ""
    long: bool = False
    """Whether it says more than a stranger may: it goes to a session that has authenticated."""


def ping(id_: object, size: int = 0) -> bytes:
    """A request that is answered with this id, of so many bytes or the fewest."""
    text = json.dumps({"action": "ping", "_pingId": id_}, ensure_ascii=False).encode()
    return text + b" " * (size - len(text))


def cases() -> Iterator[Case]:
    """All of them."""
    for group in (
        _framing, _pings, _reserved, _opcodes, _masks, _fragments, _texts, _no_texts, _closing,
        _close_codes, _limits,
    ):  # fmt: skip
        yield from group()


def _framing() -> Iterator[Case]:
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        for size in (125, 126, 127, 128, 65_535, 65_536):
            payload = ping(size, size)
            yield Case(f"{kind} of {size} bytes", [frame(opcode, payload)], [size])
        yield Case(f"{kind} of 0 bytes", [frame(opcode)], ["INVALID_JSON"])
        for width in (2, 8):
            name = f"{kind} whose size has {width} bytes and could have fewer (lax: taken)"
            yield Case(name, [frame(opcode, ping(1), width=width)], [1])
    yield Case("many messages", [frame(TEXT, ping(n)) for n in range(40)], range(40))


def _pings() -> Iterator[Case]:
    for size in (0, 1, 125):
        payload = bytes(range(size))
        yield Case(f"ping with {size} bytes", [frame(PING, payload)], pongs=[payload])
    for opcode, kind in ((PING, "ping"), (PONG, "pong")):
        large = frame(opcode, bytes(126))
        yield Case(f"{kind} with 126 bytes", [large], ends=_WRONG)
        yield Case(f"{kind} in fragments", [frame(opcode, b"x", fin=False)], ends=_WRONG)
        yield Case(f"large {kind} behind a good ping", [frame(PING, b"a"), large], pongs=[b"a"],
                   ends=_WRONG)  # fmt: skip
    many = [b"%d" % n for n in range(40)]
    yield Case("many pings", [frame(PING, one) for one in many], pongs=many)
    yield Case("pong nobody asked for", [frame(PONG), frame(PONG, b"x"), frame(PING)], pongs=[b""])
    mixed = [frame(PING, b"a"), frame(TEXT, ping(1)), frame(PONG, b"b"), frame(PING, b"c")]
    yield Case("pings beside messages", mixed, [1], [b"a", b"c"])


def _reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        yield Case(f"text with RSV {rsv}", [frame(TEXT, ping(1), rsv=rsv)], ends=_WRONG)
    yield Case("empty text with RSV 4", [frame(TEXT, rsv=4)], ends=_WRONG)
    yield Case("binary with RSV 4", [frame(BINARY, ping(1), rsv=4)], ends=_WRONG)
    yield Case("ping with RSV 1", [frame(PING, b"x", rsv=1)], ends=_WRONG)
    yield Case("close with RSV 2", [frame(CLOSE, _code(1000), rsv=2)], ends=_WRONG)
    behind = [frame(TEXT, ping(1)), frame(TEXT, ping(2), rsv=4), frame(TEXT, ping(3))]
    yield Case("RSV 4 between good messages", behind, [1], ends=_WRONG)
    first, second = ping(1)[:9], ping(1)[9:]
    split = [frame(TEXT, first, fin=False), frame(CONT, second, rsv=4)]
    yield Case("continuation with RSV 4", split, ends=_WRONG)


def _opcodes() -> Iterator[Case]:
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"opcode {opcode}", [frame(opcode)], ends=_WRONG)
        behind = [frame(TEXT, ping(1)), frame(opcode, b"x"), frame(PING, b"late")]
        yield Case(f"opcode {opcode} behind a message", behind, [1], ends=_WRONG)


def _masks() -> Iterator[Case]:
    for mask in (bytes(4), b"\xff\xff\xff\xff", b"\x00\x01\x02\x03"):
        yield Case(f"mask {mask.hex()}", [frame(TEXT, ping(1, 127), mask=mask)], [1])
    close = _code(1000)
    for opcode, payload in ((TEXT, ping(1)), (BINARY, ping(1)), (PING, b""), (CLOSE, close)):
        bare = frame(opcode, payload, mask=None)
        yield Case(f"opcode {opcode} without a mask", [bare], ends=_WRONG)


def _fragments() -> Iterator[Case]:
    text = ping(1)
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        yield Case(f"{kind} in 2 fragments", split(opcode, text, 9), [1])
        yield Case(f"{kind} in fragments of a byte", split(opcode, text, 1), [1])
        empty = [frame(opcode, fin=False), *[frame(CONT, fin=False)] * 3, frame(CONT, text)]
        yield Case(f"{kind} behind empty fragments", empty, [1])
        trailing = [frame(opcode, text, fin=False), frame(CONT, fin=False), frame(CONT)]
        yield Case(f"{kind} before empty fragments", trailing, [1])
        pinged = [piece for part in split(opcode, text, 9) for piece in (part, frame(PING, b"p"))]
        pongs = [b"p"] * (len(pinged) // 2)
        yield Case(f"{kind} with a ping behind each fragment", pinged, [1], pongs)
        anew = [frame(opcode, text[:9], fin=False), frame(opcode, text[9:])]
        yield Case(f"{kind} that begins inside another", anew, ends=_WRONG)
    yield Case("empty text in fragments", split(TEXT, b"", 1), ["INVALID_JSON"])
    yield Case("two in fragments", [*split(TEXT, text, 9), *split(TEXT, ping(2), 9)], [1, 2])
    first, last = split(TEXT, text, len(text) // 2 + 1)
    yield Case("pongs between fragments", [first, frame(PONG), frame(PONG, b"x"), last], [1])
    unfinished = [first, frame(PING, b"a"), frame(PING, b"b")]
    yield Case("close inside a message (lax: 1002)", [*unfinished, frame(CLOSE, _code(1000))],
               pongs=[b"a", b"b"], ends=_WRONG)  # fmt: skip
    yield Case("ping in fragments inside a message", [first, frame(PING, b"x", fin=False), last],
               ends=_WRONG)  # fmt: skip
    for fin in (True, False):
        stray = frame(CONT, text, fin=fin)
        yield Case(f"continuation of nothing, FIN {fin}", [stray], ends=_WRONG)
        behind = [first, last, stray]
        yield Case(f"continuation of what is over, FIN {fin}", behind, [1], ends=_WRONG)


_WORDS = (
    "κόσμε",
    "Hello-µ@ßöäüàá-UTF-8",
    "₹ 2,500.05",
    "\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd",
    "\ufdd0\ufffe\uffff",
    "\U00010000\U0001fffe\U0010ffff",
    "🙂" * 5,
)


def _texts() -> Iterator[Case]:
    for number, word in enumerate(_WORDS):
        text = ping(word)
        yield Case(f"UTF-8 {number}", [frame(TEXT, text)], [word])
        yield Case(f"UTF-8 {number} cut in each byte", split(TEXT, text, 1), [word])
        binary = [frame(BINARY, text)]
        yield Case(f"UTF-8 {number} as binary", binary, [word])


_NO_UTF8 = (
    b"\x80", b"\xbf", b"\xbf" * 7, b"\xc2", b"\xe2\x82", b"\xf0\x9f\x99", b"\xc3 ", b"\xe2\x82 ",
    b"\xfe", b"\xff", b"\xfe\xff", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80",
    b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb9\x82", b"\xf4\x90\x80\x80",
)  # fmt: skip


def _no_texts() -> Iterator[Case]:
    for bad in _NO_UTF8:
        text = ping("?").replace(b"?", bad)
        yield Case(f"no UTF-8: {bad.hex()}", [frame(TEXT, text)], ends=_NO_TEXT)
    text = ping("?").replace(b"?", b"\xce\xba\xed\xa0\x80e")
    yield Case("no UTF-8 in fragments", split(TEXT, text, 30), ends=_NO_TEXT)
    yield Case("no UTF-8 in fragments of a byte", split(TEXT, text, 1), ends=_NO_TEXT)
    yield Case("text that ends within a character", split(TEXT, ping(1) + b"\xe2\x82", 9),
               ends=_NO_TEXT)  # fmt: skip
    yield Case("no UTF-8 behind a message", [frame(TEXT, ping(1)), frame(TEXT, b"\xff")], [1],
               ends=_NO_TEXT)  # fmt: skip
    yield Case("no UTF-8 as binary is an answer", [frame(BINARY, b'"\xff"'), frame(TEXT, ping(2))],
               ["SERVER_ERROR", 2])  # fmt: skip
    lax = [frame(TEXT, b"\xff", fin=False), frame(PING, b"a"), frame(CONT)]
    yield Case("no UTF-8 in a first fragment (lax: judged when the message is whole)", lax,
               pongs=[b"a"], ends=_NO_TEXT)  # fmt: skip


def _closing() -> Iterator[Case]:
    yield Case("close without a code", [frame(CLOSE)], ends=b"")
    yield Case("close of 1 byte", [frame(CLOSE, b"\x03")], ends=_WRONG)
    longest = _code(1000) + b"x" * 123
    for payload in (_code(1000), _code(1000) + "Überschlag".encode(), longest):
        name = f"close of {len(payload)} bytes"
        yield Case(name, [frame(CLOSE, payload)], ends=payload)
    yield Case("close of 126 bytes", [frame(CLOSE, longest + b"x")], ends=_WRONG)
    yield Case("close in fragments", [frame(CLOSE, _code(1000), fin=False)], ends=_WRONG)
    reason = _code(1000) + b"\xce\xba\xed\xa0\x80"
    yield Case("close whose reason is no UTF-8", [frame(CLOSE, reason)], ends=_NO_TEXT)
    close = frame(CLOSE, _code(1001))
    yield Case("close twice", [close, close], ends=_code(1001))
    yield Case("another code behind a close", [close, frame(CLOSE, _code(1000))], ends=_code(1001))
    yield Case("ping behind a close", [close, frame(PING, b"x")], ends=_code(1001))
    yield Case("message behind a close", [close, frame(TEXT, ping(1))], ends=_code(1001))
    yield Case("nonsense behind a close", [close, b"\xff" * 40], ends=_code(1001))
    before = [frame(TEXT, ping(1)), frame(PING, b"x"), close]
    yield Case("close behind what is answered", before, [1], [b"x"], ends=_code(1001))


def _close_codes() -> Iterator[Case]:
    for code in (
        *range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4401, 4999,
    ):  # fmt: skip
        yield Case(f"close code {code}", [frame(CLOSE, _code(code))], ends=_code(code))
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield Case(f"close code {code}", [frame(CLOSE, _code(code))], ends=_WRONG)


def _limits() -> Iterator[Case]:
    whole = ping(1, MOST_BYTES)
    yield Case("the largest message", [frame(TEXT, whole)], [1])
    yield Case("the largest in fragments", split(TEXT, whole, 30_000), [1])
    beyond = [frame(TEXT, size=MOST_BYTES + 1)]
    yield Case("a byte more, refused by its size", beyond, ends=_TOO_LARGE)
    yield Case("a byte more in fragments", split(TEXT, whole + b" ", 30_000), ends=_TOO_LARGE)
    for size in (1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        claim = [frame(BINARY, size=size, width=8)]
        yield Case(f"a size of {size:#x} (lax above 2**63: 1009)", claim, ends=_TOO_LARGE)
    text = ping(1, MOST_FRAGMENTS)
    yield Case("the most fragments", split(TEXT, text, 1), [1], long=True)
    too_many = [*split(TEXT, text, 1)[:-1], frame(CONT, b" ", fin=False), frame(CONT, b" ")]
    yield Case("a fragment more", too_many, ends=_POLICY, says="fragments", long=True)
    endless = [frame(TEXT, fin=False), *[frame(CONT, fin=False)] * MOST_FRAGMENTS]
    yield Case("empty fragments without end", endless, ends=_POLICY, says="fragments", long=True)
    pings = [b"%d" % number for number in range(2000)]
    yield Case("2000 pings", [frame(PING, one) for one in pings], pongs=pings, long=True)


def split(opcode: int, payload: bytes, size: int) -> list[bytes]:
    """A message in fragments of so many bytes, at least two."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    while len(parts) < 2:
        parts.append(b"")
    last = len(parts) - 1
    return [
        frame(CONT if number else opcode, part, fin=number == last)
        for number, part in enumerate(parts)
    ]


def _code(code: int) -> bytes:
    return code.to_bytes(2, "big")
