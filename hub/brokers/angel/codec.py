"""What is said on Angel One's stream: JSON goes in, a binary packet for each tick comes out. Pure.

1. An instrument is asked for in one mode only, the highest wanted: each mode would be a stream of
   its own, and may count as a subscription of its own.
2. A packet is complete: it is published by itself, in the mode that both it and its subscription
   have.
3. But for books of 20 levels, which come without prices: the snapshot of five levels is asked for
   beside them, and a tick of either has the newest of both.
4. Nothing is confirmed. A request is refused as a whole, by its `correlationID`; what it asked for
   is known no more, and of 20 levels the half that was taken is left.

Source: Angel's documentation of WebSocket Streaming 2.0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hub.brokers.angel import packets
from hub.brokers.base import (
    Addresses,
    Change,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Frame,
    Refused,
    Reply,
    Request,
    Say,
    Subscription,
    Take,
    Warned,
)
from hub.brokers.book import Book
from hub.core.errors import BrokerError
from hub.core.model import Fault

PER_MESSAGE = 100
"""Tokens in one request: an error refuses no more than these."""
_REMEMBERED = 500
"""So many requests are remembered: an error comes soon, or never."""
_MAKE = {1: packets.ltp, 2: packets.quote, 3: packets.depth}


class Said(msgspec.Struct):
    """A message in text: an error, since everything else is binary. What is null is not told."""

    correlation: str | None = msgspec.field(name="correlationID", default=None)
    code: str | None = msgspec.field(name="errorCode", default=None)
    message: str | None = msgspec.field(name="errorMessage", default=None)


_said = msgspec.json.Decoder(Said).decode
_encode = msgspec.json.Encoder().encode


class Deep:
    """What is known of a subscription with 20 levels: the newest snapshot, the newest book, and the
    later one's time."""

    __slots__ = ("at_ms", "book", "snapshot")

    def __init__(self) -> None:
        self.snapshot: packets.Snapshot | None = None
        self.book: Book | None = None
        self.at_ms = 0


class Codec:
    """The codec of one connection; a `deep` one is for books of 20 levels."""

    def __init__(
        self, credentials: Credentials, addresses: Addresses, *, deep: bool = False
    ) -> None:
        self.malformed = 0
        self._credentials = credentials
        self._addresses = addresses
        self._deep = deep
        self._subs: dict[bytes, Subscription] = {}
        self._requests: dict[str, tuple[Subscription, ...]] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Codec of angel {len(self._subs)} subscriptions, {self.malformed} malformed>"

    def ask(self) -> Request | None:
        """Nothing."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 # nothing was asked
        """The stream; the headers say who we are."""
        told = self._credentials
        for name in ("api_key", "client_code", "access_token", "feed_token"):
            if not told.get(name):
                raise BrokerError(Fault.AUTH, f"Angel's credentials have no {name}")
        headers = {
            "Authorization": f"Bearer {told['access_token'].removeprefix('Bearer ')}",
            "x-api-key": told["api_key"],
            "x-client-code": told["client_code"],
            "x-feed-token": told["feed_token"],
        }
        return Endpoint(self._addresses.url, headers)

    def opened(self) -> Sequence[Frame]:
        """Nothing."""
        return ()

    @property
    def ready(self) -> bool:
        """Always: who is not let in is not connected."""
        return True

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """Modes are left before others are asked for, so that none counts twice for a moment."""
        left: dict[int, list[Subscription]] = {}
        entered: dict[int, list[Subscription]] = {}
        for sub, was, to in changes:
            self._know(sub, was, to)
            before, after = self._modes(was), self._modes(to)
            for mode in before - after:
                left.setdefault(mode, []).append(sub)
            for mode in after - before:
                entered.setdefault(mode, []).append(sub)
        return [*self._asked(0, left), *self._asked(1, entered)]

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """A packet is one tick; text is `pong`, or an error."""
        if isinstance(data, str):
            return self._told(data)
        mode = data[0] if data else 0
        if len(data) < packets.SIZES.get(mode, 1 << 60):
            self.malformed += 1
            return ()
        sub = self._subs.get(data[1:27]) or self._padded(data)
        if sub is None or not sub.mode:
            return ()
        if sub.state is not None:
            self._merge(sub, mode, data, now_ms, take)
        elif mode < 4:
            _publish(sub, mode, data, now_ms, take)
        return ()

    def beat(self) -> Sequence[Frame]:
        """What Angel answers with `pong`."""
        return ("ping",)

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Angel says why it refuses in a header of its own."""
        why = end.headers.get("x-error-message", "").strip()[:200] or "it does not say why"
        if "connection limit" in why.lower():
            return Fault.CAPACITY, f"Angel takes no further connection of this account: {why}"
        if end.status in {401, 403}:
            return Fault.AUTH, f"Angel refuses the session ({end.status}): {why}"
        if end.status == 429:
            return Fault.RATE, f"Angel was asked too often (429): {why}"
        if end.status:
            return Fault.NETWORK, f"Angel refuses the connection ({end.status}): {why}"
        said = f"{end.code} {end.reason[:200]}".strip() if end.code else "without a word"
        return Fault.NETWORK, f"Angel has left: {said}"

    def _modes(self, mode: int) -> set[int]:
        """Angel's modes for one of ours."""
        if self._deep and mode == 3:
            return {3, 4}
        return {mode} if mode else set()

    def _know(self, sub: Subscription, was: int, to: int) -> None:
        key = _key(sub)
        if to:
            self._subs[key] = sub
            if self._deep and (sub.state is None or was < 3 == to):
                sub.state = Deep()
        elif self._subs.get(key) is sub:
            del self._subs[key]

    def _asked(self, action: int, modes: dict[int, list[Subscription]]) -> Iterator[str]:
        for mode, subs in modes.items():
            for at in range(0, len(subs), PER_MESSAGE):
                some = tuple(subs[at : at + PER_MESSAGE])
                name = f"{next(self._numbers):010}"
                self._requests[name] = some if action else ()
                if len(self._requests) > _REMEMBERED:
                    del self._requests[next(iter(self._requests))]
                params = {"mode": mode, "tokenList": _tokens(some)}
                asked = {"correlationID": name, "action": action, "params": params}
                yield _encode(asked).decode()

    def _told(self, text: str) -> Sequence[Event]:
        if text == "pong":
            return ()
        try:
            said = _said(text)
        except (ValueError, RecursionError):
            self.malformed += 1
            return ()
        if not (said.code or said.message):
            self.malformed += 1
            return ()
        why = f"{(said.message or 'it does not say why')[:200]} ({(said.code or 'no code')[:20]})"
        asked = self._requests.pop(said.correlation or "", ())
        subs = tuple(sub for sub in asked if self._subs.get(_key(sub)) is sub)
        if not subs:
            return (Warned(f"Angel says: {why}"),)
        fault = Fault.CAPACITY if said.code == "E1002" else Fault.NETWORK
        refused = Refused(subs, fault, f"Angel does not take it: {why}")
        for sub in subs:
            del self._subs[_key(sub)]
        if not self._deep:
            return (refused,)
        return (Say(tuple(self._asked(0, {mode: [*subs] for mode in (3, 4)}))), refused)

    def _padded(self, data: bytes) -> Subscription | None:
        """Who is meant, when what stands behind the token's first zero is not zero."""
        token = data[2:27].partition(b"\0")[0]
        return self._subs.get(data[1:2] + token.ljust(25, b"\0"))

    def _merge(self, sub: Subscription, mode: int, data: bytes, now_ms: int, take: Take) -> None:
        """A packet for a subscription with 20 levels; until there are such, five are published."""
        state: Deep = sub.state
        if mode == 4:
            state.book, at_ms = packets.deep_book(data, now_ms)
            state.at_ms = max(state.at_ms, at_ms)
        elif mode == 3:
            state.snapshot = packets.snapshot(data, now_ms)[0]
            state.at_ms = max(state.at_ms, state.snapshot.at_ms)
        if mode < 3 or sub.mode < 3 or state.book is None:
            if mode < 4:
                _publish(sub, mode, data, now_ms, take)
        elif state.snapshot is not None:
            shown_ms = state.at_ms or now_ms
            json = packets.combined(sub, state.snapshot, state.book, shown_ms)
            take(sub, 3, json, state.at_ms, 0)


def _publish(sub: Subscription, mode: int, data: bytes, now_ms: int, take: Take) -> None:
    """Publish a packet in the mode that both have."""
    mode = min(mode, sub.mode)
    json, at_ms, sequence = _MAKE[mode](sub, data, now_ms)
    take(sub, mode, json, at_ms, max(0, sequence))


def _key(sub: Subscription) -> bytes:
    """What a packet calls an instrument by: segment and token, as they stand in it."""
    listing = sub.listing
    return bytes([int(listing.segment)]) + listing.token.encode().ljust(25, b"\0")


def _tokens(subs: Iterable[Subscription]) -> list[dict[str, object]]:
    """These subscriptions by segment, as a request has them."""
    by_segment: dict[int, list[str]] = {}
    for sub in subs:
        by_segment.setdefault(int(sub.listing.segment), []).append(sub.listing.token)
    return [{"exchangeType": segment, "tokens": tokens} for segment, tokens in by_segment.items()]
