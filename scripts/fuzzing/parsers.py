"""Targets: what reads bytes without a connection. Where the compiled twin is there, both read.

Each takes any bytes and raises AssertionError, or whatever the code under test should not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from hub.core import _pure, forms, topics, zmtp
from hub.core.errors import Malformed, RequestError
from hub.core.payload import clean
from shards import protocol

_MOST_BYTES = 1000
_LARGEST_BYTES = 300


def _twins() -> list[Any]:
    """The Python twin, and the compiled one if it is there and of the source beside it."""
    try:
        found = import_module("hub.core._hot")
    except ImportError:
        return [_pure]
    source = Path(_pure.__file__).with_name("_hot.pyx").read_bytes()
    return [_pure, found][: 1 + (hashlib.sha256(source).hexdigest() == found.SOURCE)]


TWINS = _twins()


def read_zmtp(data: bytes) -> None:
    """A peer's first bytes, and frames; cut anywhere they mean the same."""
    how, data = data[:2].ljust(2, b"\0"), data[2:]
    step, most = 1 + how[0], how[1] % 4
    if how[1] & 0x80:
        _same([_shaken_hands(data, size) for size in (step, max(1, len(data)))])
        return
    _same(
        [
            _items(twin.Decoder(_MOST_BYTES), data, size, most)
            for twin in TWINS
            for size in (step, max(1, len(data)))
        ]
    )


def _shaken_hands(data: bytes, step: int) -> list[Any]:
    hands = zmtp.Handshake(b"SUB", (b"PUB", b"XPUB"))
    answer = b""
    try:
        for at in range(0, len(data), step):
            if hands.done:
                return [answer, hands.minor, hands.rest() + data[at:]]
            answer += hands.take(data[at : at + step])
    except Malformed as error:
        return [str(error)]
    return [answer, hands.minor if hands.done else None, hands.rest()]


def _items(decoder: Any, data: bytes, step: int, most: int) -> list[Any]:
    """What a decoder finds, asked as an inbox does, or for items alone with `most` 0."""
    found: list[Any] = []
    try:
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
            while True:
                pairs: list[bytes] = []
                if most and decoder.pairs(pairs, _LARGEST_BYTES, most):
                    found += [pairs[at : at + 2] for at in range(0, len(pairs), 2)]
                    continue
                item = decoder.item()
                if item is None:
                    break
                found.append(item)
    except Malformed:
        found.append(None)
    else:
        assert decoder.kept <= len(data)
    return found


def read_batch(data: bytes) -> None:
    """A batch of ticks is pairs of bytes, or malformed; packed again it is the same."""
    found = [_outcome(twin.unpack, data) for twin in TWINS]
    _same(found)
    pairs = found[0]
    if isinstance(pairs, list):
        assert not len(pairs) % 2
        assert all(type(part) is bytes for part in pairs)
        for twin in TWINS:
            assert twin.unpack(twin.pack(pairs)) == pairs


def read_topic(data: bytes) -> None:
    """A topic is a key and a mode, or malformed; a key without a scope is one that a client could
    name."""
    topics.kind(data)
    topics.shown(data)
    assert topics.scope_of(data) + topics.plain(data) == data
    found = _outcome(topics.parse, data)
    if not isinstance(found, topics.Topic):
        return
    key, mode = found
    assert topics.parse(topics.of(key, mode)) == found
    plain = topics.plain(key)
    assert not topics.key_problem(plain)
    assert not topics.is_own(plain)
    assert plain.decode().isprintable() or b"\x1f" not in plain
    assert topics.scope_of(plain) == b""


def read_json(data: bytes) -> None:
    """A tick's JSON is an object that any client can read, or malformed; both twins agree, and so
    does msgpack."""
    cleaned = _outcome(clean, data)
    for twin in TWINS:
        group = twin.Group((0,), [])
        malformed = twin.route([b"T", data], {b"T": (group,)}, _unreached, [])
        assert (group.pairs[1] if group.pairs else None) == cleaned
        assert malformed == (cleaned is None)
    if cleaned is None:
        return
    value = _outcome(lambda text: json.loads(text, parse_constant=_refuse), cleaned)
    assert value is None or isinstance(value, dict)
    packed = _outcome(forms.pack, cleaned)
    assert packed is None or isinstance(msgspec.msgpack.decode(packed), dict)


def read_request(data: bytes) -> None:
    """A client's message is a request or an error reply, and so is what is asked of it."""
    texts: list[str | bytes] = [data]
    text = _outcome(bytes.decode, data)
    if text is not None:
        texts.append(text)
    for one in texts:
        request = _asked(protocol.read, one)
        if request is not None:
            _ask_all(request)


def _ask_all(request: dict[str, Any]) -> None:
    for ask in (
        protocol.action,
        protocol.api_key,
        protocol.wants_orders,
        lambda asked: protocol.form(asked, default=0),
        lambda asked: protocol.wants_snapshots(asked, default=True),
        _subscribe,
        lambda asked: list(protocol.unsubscribe(asked) or ()),
    ):
        _asked(ask, request)
    for reply in (
        lambda asked: protocol.pong(asked, 1),
        lambda asked: protocol.orders(asked, on=True),
        lambda asked: protocol.subscribed(asked, [], "b", failed=False),
        lambda asked: protocol.unsubscribed(protocol.echoed(asked), [], [], "b"),
    ):
        said = _asked(reply, request)
        assert said is None or isinstance(json.loads(said, parse_constant=_refuse), dict)


def _subscribe(request: dict[str, Any]) -> None:
    scope = topics.scope("alice")
    for instrument, key, problem in protocol.subscribe(request, snapshot=True, scope=scope).entries:
        if not problem:
            assert key == scope + instrument.key
            assert topics.scope_of(key) == scope
            assert not topics.is_own(topics.plain(key))


def _asked(ask: Callable[[Any], Any], request: Any) -> Any:
    """What is answered; None for an error reply, which has to be one."""
    try:
        return ask(request)
    except RequestError as error:
        reply = json.loads(protocol.error(error.code, str(error)))
        assert list(reply) == ["status", "code", "message"]
    except RecursionError:  # the session answers it
        pass
    return None


def _outcome(read: Callable[[Any], Any], data: Any) -> Any:
    """What is read; None for what is malformed."""
    try:
        return read(data)
    except (Malformed, UnicodeDecodeError, RecursionError):
        return None


def _same(found: list[Any]) -> None:
    assert all(one == found[0] for one in found), found


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _unreached(*_: object) -> Any:
    raise AssertionError("nobody has to be asked")
