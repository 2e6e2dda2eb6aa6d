"""Zerodha's stream (Kite Connect 3). Pure.

1. The address lets us in; nothing is said first, and nothing is confirmed: a token that does not
   exist is passed over in silence, an error is a text that names no instrument.
2. A binary message is packets, big-endian. The length of a packet is its mode, so a packet that
   is under way while the mode changes is read as what it is.
3. Every packet is whole: nothing is merged, and nothing outlives it.
4. A token's lowest byte is its segment, which says how prices are scaled.

Source of the format: Kite Connect's documentation of its WebSocket API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from struct import Struct
from typing import Any, TypeAlias
from urllib.parse import urlencode

import msgspec

from hub.brokers.base import (
    Addresses,
    Change,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Failed,
    Frame,
    Refused,
    Reply,
    Request,
    Subscription,
    Take,
    Warned,
)
from hub.brokers.book import Book, Level
from hub.brokers.zerodha.payloads import Full, Index, Ltp, Quote
from hub.core.errors import BrokerError
from hub.core.model import Fault

PER_MESSAGE = 200
_MODES = ("", "ltp", "quote", "full")

_WORD = Struct(">H").unpack_from
_LTP = Struct(">i").unpack_from
_INDEX = Struct(">5i").unpack_from  # ltp, high, low, open, close
_QUOTE = Struct(">iIiIII4i").unpack_from
_MORE = Struct(">II8xI").unpack_from  # last trade, open interest, its high and low, exchange time
_BOOK = Struct(">" + "IiH2x" * 10).unpack_from
_TIME = Struct(">I").unpack_from

_DIVISORS = {3: 1e7, 6: 1e4, 12: 1e4}
"""By segment: currencies of NSE, currencies of BSE, commodities of NSE."""

_KEY = ("api_key", "access_token", "api key", "access token", "tokenexception", "unauthori",
        "forbidden")  # fmt: skip
_LIMIT = ("limit", "exceed", "maximum", "too many")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_Entry: TypeAlias = "tuple[Subscription, float]"
_Reader: TypeAlias = "Callable[[_Entry, bytes, int, int, Take], None]"


def keys(credentials: Credentials) -> tuple[str, str]:
    """API key and access token; the token may hold both, with a colon between, as OpenAlgo keeps
    it. Raises BrokerError when one is missing."""
    token = credentials.get("access_token", "")
    api_key, colon, rest = token.partition(":")
    if colon:
        token = rest
    else:
        api_key = credentials.get("api_key", "")
    if not api_key or not token:
        raise BrokerError(Fault.AUTH, "Zerodha needs api_key and access_token")
    return api_key, token


class Codec:
    """The language of Zerodha's stream, for one connection."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self.ready = True
        self._credentials = credentials
        self._url = addresses.url
        self._known: dict[bytes, _Entry] = {}
        self._asked: tuple[Subscription, ...] = ()

    def __repr__(self) -> str:
        return f"<zerodha {len(self._known)} instruments, {self.malformed} malformed>"

    def ask(self) -> Request | None:
        """Nothing is asked."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 - there is none
        """The stream's address, with the keys in it. Raises BrokerError."""
        api_key, token = keys(self._credentials)
        query = urlencode({"api_key": api_key, "access_token": token})
        joint = "&" if "?" in self._url else "?"
        return Endpoint(f"{self._url}{joint}{query}", {"X-Kite-Version": "3"})

    def opened(self) -> Sequence[Frame]:
        """Nothing is said first."""
        return ()

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """What is released goes first, so that there is room; a mode is asked of what is there."""
        gone = [one for one in changes if not one.to]
        new = [one for one in changes if one.to and not one.was]
        frames = [*_frames("unsubscribe", _tokens(gone)), *_frames("subscribe", _tokens(new))]
        for mode in (1, 2, 3):
            wanted = _tokens(one for one in changes if one.to == mode)
            frames += _frames("mode", wanted, _MODES[mode])
        for one in gone:
            self._forget(one.sub)
        for one in changes:
            if one.to:
                token = int(one.sub.listing.token)
                self._known[token.to_bytes(4, "big")] = (one.sub, _divisor(token))
        if new:
            self._asked = tuple(one.sub for one in new)
        return frames

    def _forget(self, sub: Subscription) -> None:
        token = int(sub.listing.token).to_bytes(4, "big")
        if self._known.get(token, (None,))[0] is sub:
            del self._known[token]

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Packets, the one byte by which the broker says that it is there, or a text."""
        if isinstance(data, str):
            return self._text(data)
        size = len(data)
        if size < 2:
            self.malformed += not size
            return ()
        at, find = 2, self._known.get
        for _ in range(_WORD(data)[0]):
            if at + 2 > size:
                self.malformed += 1
                break
            start = at + 2
            length = _WORD(data, at)[0]
            at = start + length
            reader = _READERS.get(length)
            if at > size or reader is None:
                self.malformed += 1
            elif (entry := find(data[start : start + 4])) is not None and entry[0].mode:
                reader(entry, data, start + 4, now_ms, take)
        return ()

    def _text(self, text: str) -> Sequence[Event]:
        try:
            message: Any = _decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.malformed += 1
            return ()
        said = message.get("data")
        if not isinstance(said, str) or message.get("type") not in ("error", "message"):
            return ()  # orders, and what else there may be beside ticks
        if message["type"] == "error":
            return (self._error(said),)
        return (Warned(f"Zerodha says: {said[:300]}"),)

    def _error(self, said: str) -> Event:
        """An error names no instrument: one of room is of those last asked and not there yet."""
        low = said.lower()
        if any(word in low for word in _LIMIT):
            waiting = tuple(sub for sub in self._asked if sub.waits and sub.mode)
            if waiting:
                return Refused(waiting, Fault.CAPACITY, f"Zerodha has no room: {said[:200]}")
        elif any(word in low for word in _KEY):
            return Failed(Fault.AUTH, "Zerodha does not take the access token any more")
        return Warned(f"Zerodha reports an error: {said[:300]}")

    def beat(self) -> Sequence[Frame]:
        """Nothing: the broker speaks every second by itself."""
        return ()

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """A refused key is 403 (400 when it is none at all), too many sockets or tries are 429."""
        match end.status:
            case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED | HTTPStatus.BAD_REQUEST:
                text = f"Zerodha refuses api_key or access_token (HTTP {end.status})"
                return Fault.AUTH, text
            case HTTPStatus.TOO_MANY_REQUESTS:
                text = (
                    "Zerodha was asked too often, or has 3 connections of this api_key already: "
                    "stop what else uses the key"
                )
                return Fault.RATE, text
            case 0:
                return Fault.NETWORK, f"Zerodha's stream ended ({end.why})"
            case status:
                return Fault.NETWORK, f"Zerodha does not take the connection (HTTP {status})"


def _tokens(changes: Iterable[Change]) -> list[int]:
    return [int(one.sub.listing.token) for one in changes]


def _frames(action: str, tokens: list[int], mode: str = "") -> Iterator[str]:
    """Tokens are numbers: as texts they would be passed over."""
    for at in range(0, len(tokens), PER_MESSAGE):
        portion = tokens[at : at + PER_MESSAGE]
        value = [mode, portion] if mode else portion
        yield _encode({"a": action, "v": value}).decode()


def _divisor(token: int) -> float:
    return _DIVISORS.get(token & 0xFF, 100.0)


def _ltp(entry: _Entry, data: bytes, at: int, now_ms: int, take: Take) -> None:
    sub, divisor = entry
    _take_ltp(sub, _LTP(data, at)[0] / divisor, now_ms, 0, take)


def _take_ltp(sub: Subscription, ltp: float, time_ms: int, at_ms: int, take: Take) -> None:
    payload = Ltp(sub.symbol, sub.listing.exchange, "ltp", ltp, time_ms // 1000, time_ms)
    take(sub, 1, _encode(payload), at_ms, 0)


def _index(entry: _Entry, data: bytes, at: int, now_ms: int, take: Take) -> None:
    _take_index(entry, _INDEX(data, at), (now_ms, 0, 2), take)


def _index_full(entry: _Entry, data: bytes, at: int, now_ms: int, take: Take) -> None:
    at_ms = _TIME(data, at + 24)[0] * 1000
    _take_index(entry, _INDEX(data, at), (at_ms or now_ms, at_ms, 3), take)


def _take_index(
    entry: _Entry, prices: Sequence[int], facts: tuple[int, int, int], take: Take
) -> None:
    """`facts` are the time to tell, the exchange's, and the mode of the packet."""
    sub, divisor = entry
    time_ms, at_ms, mode = facts
    ltp, high, low, opened, close = [price / divisor for price in prices]
    if sub.mode == 1:
        _take_ltp(sub, ltp, time_ms, at_ms, take)
        return
    mode = min(mode, sub.mode)
    change = ltp - close if close else 0.0
    percent = change * 100 / close if close else 0.0
    payload = Index(
        sub.symbol, sub.listing.exchange, _MODES[mode], ltp, time_ms // 1000, time_ms, 0,
        round(change, 7), round(percent, 4), opened, high, low, close,
    )  # fmt: skip
    take(sub, mode, _encode(payload), at_ms, 0)


def _quote(entry: _Entry, data: bytes, at: int, now_ms: int, take: Take) -> None:
    sub, divisor = entry
    if sub.mode == 1:
        _ltp(entry, data, at, now_ms, take)
        return
    ltp, quantity, average, volume, buys, sells, opened, high, low, close = _QUOTE(data, at)
    payload = Quote(
        sub.symbol, sub.listing.exchange, "quote", ltp / divisor, now_ms // 1000, now_ms, volume,
        quantity, average / divisor, buys, sells, opened / divisor, high / divisor, low / divisor,
        close / divisor,
    )  # fmt: skip
    take(sub, 2, _encode(payload), 0, 0)


def _full(entry: _Entry, data: bytes, at: int, now_ms: int, take: Take) -> None:
    sub, divisor = entry
    traded, oi, exchange_s = _MORE(data, at + 40)
    at_ms = exchange_s * 1000
    time_ms = at_ms or now_ms
    if sub.mode == 1:
        _take_ltp(sub, _LTP(data, at)[0] / divisor, time_ms, at_ms, take)
        return
    ltp, quantity, average, volume, buys, sells, opened, high, low, close = _QUOTE(data, at)
    values = (
        ltp / divisor, traded, time_ms, volume, quantity, average / divisor, buys, sells,
        opened / divisor, high / divisor, low / divisor, close / divisor,
    )  # fmt: skip
    symbol, exchange = sub.symbol, sub.listing.exchange
    if sub.mode == 2:
        take(sub, 2, _encode(Quote(symbol, exchange, "quote", *values)), at_ms, 0)
        return
    payload = Full(symbol, exchange, "full", *values, oi, oi, _book(data, at + 60, divisor))
    take(sub, 3, _encode(payload), at_ms, 0)


def _book(data: bytes, at: int, divisor: float) -> Book:
    raw = _BOOK(data, at)
    levels = [Level(raw[i + 1] / divisor, raw[i], raw[i + 2]) for i in range(0, 30, 3)]
    return Book(levels[:5], levels[5:])


_READERS: dict[int, _Reader] = {8: _ltp, 28: _index, 32: _index_full, 44: _quote, 184: _full}
"""By the length of a packet. They are given the place behind the token."""
