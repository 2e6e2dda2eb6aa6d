"""What can be fuzzed, by name; and some bytes that each begins with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hub.brokers import catalogue
from hub.core import _pure, zmtp
from scripts.fuzzing import clients, feeds, parsers
from tests.shards.frames import CLOSE, CONT, HANDSHAKE, PING, TEXT, frame

_SYMBOLS = [{"symbol": "SBIN", "exchange": "NSE"}, {"symbol": "A_B", "exchange": "NSE_INDEX"}]
_REQUESTS = tuple(
    json.dumps(asked).encode()
    for asked in (
        {"action": "auth", "api_key": "alice's key", "batch": True, "encoding": "msgpack"},
        {"action": "authenticate", "apikey": "wrong", "snapshot": False},
        {"action": "subscribe", "symbols": _SYMBOLS, "mode": "Depth", "depth": 20},
        {"type": "subscribe", "symbol": "SBIN", "exchange": "NSE", "mode": 1, "request_id": "a"},
        {"action": "unsubscribe", "symbols": [{**_SYMBOLS[0], "mode": 2}]},
        {"action": "unsubscribe_all"},
        {"action": "subscribe_orders"},
        {"action": "unsubscribe_orders", "request_id": [None, 1.5, "\u20b9"]},
        {"action": "get_broker_info"},
        {"action": "get_supported_brokers"},
        {"action": "ping", "timestamp": 1, "_pingId": {"a": [1e308]}},
    )
)
_GREETING = zmtp.greeting() + zmtp.command(b"READY", b"\x0bSocket-Type\0\0\0\3PUB")
_PAIR = _pure.message([b"NSE_SBIN_LTP", b'{"ltp": 1.5}'])


@dataclass(frozen=True)
class Target:
    """One target: what it tries is told in a line; `seeds` are bytes that it likes."""

    name: str
    text: str
    run: Callable[[bytes], None]
    seeds: Sequence[bytes]


TARGETS = {
    target.name: target
    for target in (
        Target(
            "zmtp",
            "greetings and frames of the bus, in slices; both twins, where both are there",
            parsers.read_zmtp,
            [
                b"\0\x80" + _GREETING,
                b"\5\x81" + _GREETING + _PAIR,
                b"\3\2" + _PAIR * 3,
                b"\xff\0" + _pure.message([b"a", b"b" * 300, b"c"]),
                b"\1\1" + zmtp.command(b"PING", b"\0\0x") + _PAIR,
            ],
        ),
        Target(
            "batch",
            "batches of ticks, as feeds and the router send them; both twins",
            parsers.read_batch,
            [_pure.pack([]), _pure.pack([b"NSE_SBIN_LTP", b"{}"] * 20), b"\x91\xc4\1a"],
        ),
        Target(
            "topic",
            "topics of the bus",
            parsers.read_topic,
            [b"NSE_SBIN_LTP", b"NSE_INDEX_NIFTY_quote", b"\x1falice\x1fNSE_A_DEPTH",
             b"@orders:a_LTP", b"zerodha_alice_orders", b"CACHE_INVALIDATE_ALL_alice"],
        ),
        Target(
            "json",
            "the JSON of a tick, and what becomes of it as msgpack; both twins",
            parsers.read_json,
            [b'{"ltp": 1.5, "a": [1, -2e9, "\\u20b9", null]}', b'{"a": NaN}', b'{"a": 1e999}',
             b'{"a": "\xe2\x82\xb9"}', b'{"a": {"b": [[]]}}', b'{"a": 123456789012345678901}'],
        ),
        Target(
            "client",
            "a client's message and all that is read of it",
            parsers.read_request,
            _REQUESTS,
        ),
        Target(
            "websocket",
            "a client's bytes, from the handshake on",
            clients.talk_bytes,
            [
                b"\0" + HANDSHAKE,
                b"\1" + frame(TEXT, _REQUESTS[0]) + frame(PING, b"x"),
                b"\3" + frame(TEXT, _REQUESTS[-1][:9], fin=False) + frame(CONT, _REQUESTS[-1][9:]),
                b"\1" + frame(CLOSE, b"\3\xe8bye"),
                b"\0\x16\3\1\2\0",
                b"\2GET / HTTP/1.1\r\n\r\n",
            ],
        ),
        Target(
            "frames",
            "a client's frames, whose masks and sizes are right",
            clients.talk_frames,
            [
                b"\2\1" + bytes((len(_REQUESTS[2]),)) + _REQUESTS[2] + b"\t\1x\x08\2\3\xe8",
                b'\0\x81\3{"a\0\0\1":1}',
            ],
        ),
        Target(
            "requests",
            "a client's requests, line by line, as a user of the hub or a stranger",
            clients.talk_requests,
            [b"\3" + b"\n".join(_REQUESTS), b"\0" + b"\n".join(_REQUESTS[2:])],
        ),
        *(
            Target(
                name,
                f"messages of {catalogue.get(name).title}, and what its codec makes of them",
                partial(feeds.read, name),
                feeds.seeds(name),
            )
            for name in catalogue.NAMES
        ),
    )
}  # fmt: skip
