"""Upstox' stream, version 3. Pure.

1. Each connection is authorized by HTTP first: the answer is an address that is good for once.
2. What is asked for is JSON, as bytes in a binary message, of one mode; what comes is protobuf.
3. What is subscribed is confirmed by its snapshot.
4. An update is merged before it is told (hub/brokers/upstox/state.py): once, in the highest mode
   that is wanted and known.

Source of the format: Upstox' documentation of its market data feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Frame,
    Reply,
    Request,
    Subscription,
    Take,
)
from hub.brokers.upstox import wire
from hub.brokers.upstox.payloads import Book, Ltp
from hub.brokers.upstox.session import headers, redirect, why
from hub.brokers.upstox.state import State
from hub.core.model import Fault

PER_MESSAGE = 500
_MODES = ("", "ltpc", "full", "full")
_DEEP = ("", "full_d30", "full_d30", "full_d30")
_USUAL = 5
_encode = msgspec.json.Encoder().encode


class Codec:
    """The language of Upstox' stream, for one connection; `levels` of a book are 5, or 30."""

    def __init__(
        self, credentials: Credentials, addresses: Addresses, levels: int = _USUAL
    ) -> None:
        self.malformed = 0
        self.ready = True
        self._credentials = credentials
        self._addresses = addresses
        self._levels = levels
        self._modes = _MODES if levels == _USUAL else _DEEP
        self._known: dict[bytes, tuple[Subscription, State]] = {}
        self._asked = 0

    def __repr__(self) -> str:
        return f"<upstox {len(self._known)} instruments, {self.malformed} malformed>"

    def ask(self) -> Request | None:
        """The request that authorizes one connection. Raises BrokerError."""
        url = f"{self._addresses.api}/v3/feed/market-data-feed/authorize"
        return Request("GET", url, headers(self._credentials))

    def endpoint(self, reply: Reply | None) -> Endpoint:
        """The address that the reply gives; it lets in who connects to it. Raises BrokerError."""
        return Endpoint(redirect(reply))

    def opened(self) -> Sequence[Frame]:
        """Nothing is said first."""
        return ()

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """What is released goes first. Quote and Depth are one mode to the broker; who moves up
        from Quote to Depth is subscribed once more, for the snapshot that answers it: an instrument
        that is not traded sends nothing by itself."""
        modes = self._modes

        def same(one: Change) -> bool:
            return one.was > 0 and modes[one.was] == modes[one.to]

        gone = [one for one in changes if not one.to]
        frames = [*self._frames("unsub", "", gone)]
        for mode in dict.fromkeys(modes[1:]):
            here = [one for one in changes if one.to and modes[one.to] == mode]
            new = (one for one in here if not one.was or (one.was < one.to and same(one)))
            other = (one for one in here if one.was and not same(one))
            frames += [*self._frames("sub", mode, new), *self._frames("change_mode", mode, other)]
        for one in changes:
            self._note(one)
        return frames

    def _note(self, one: Change) -> None:
        sub, modes = one.sub, self._modes
        key = sub.listing.token.encode()
        if not one.to:
            if self._known.get(key, (None,))[0] is sub:
                del self._known[key]
            return
        if sub.state is None:
            sub.state = State(sub)
        elif modes[one.was] != modes[one.to]:
            sub.state.forget()
        self._known[key] = (sub, sub.state)

    def _frames(self, method: str, mode: str, changes: Iterable[Change]) -> Iterator[bytes]:
        keys = [one.sub.listing.token for one in changes]
        for at in range(0, len(keys), PER_MESSAGE):
            self._asked += 1
            data: dict[str, Any] = {"mode": mode} if mode else {}
            data["instrumentKeys"] = keys[at : at + PER_MESSAGE]
            yield _encode({"guid": f"shardhub-{self._asked}", "method": method, "data": data})

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read a message of feeds; what the exchanges' state is says nothing of instruments."""
        try:
            response = wire.FeedResponse.FromString(data) if isinstance(data, bytes) else None
        except DecodeError:
            response = None
        if response is None or not (response.feeds or response.type == wire.MARKET_INFO):
            self.malformed += 1
            return ()
        at_ms, snapshot = max(response.currentTs, 0), response.type == wire.INITIAL
        events: list[Event] = []
        find, levels, time_ms = self._known.get, self._levels, at_ms or now_ms
        for entry in response.feeds:
            found = find(entry.key)
            if found is None or not found[0].mode:
                continue
            sub, state = found
            try:
                state.take(entry.value, levels, snapshot=snapshot)
            except DecodeError:
                self.malformed += 1
            if state.priced:
                quote = state.quote
                quote.timestamp = time_ms
                if sub.mode == 2 and state.full:  # most are
                    take(sub, 2, _encode(quote), at_ms, 0)
                else:
                    self._tell(sub, state, at_ms, take)
            elif snapshot and sub.waits:
                events.append(Confirmed(sub))
        return events

    def _tell(self, sub: Subscription, state: State, at_ms: int, take: Take) -> None:
        quote, mode = state.quote, sub.mode
        if mode == 1 or not state.full:
            ltp = Ltp(
                quote.symbol, quote.exchange, quote.token, quote.ltp, quote.ltq, quote.ltt, quote.cp
            )
            take(sub, 1, _encode(ltp), at_ms, 0)
            return
        book = self._book(state) if mode == 3 else None
        if book is None:
            take(sub, 2, _encode(quote), at_ms, 0)
            return
        book.timestamp = quote.timestamp
        quote.depth = book
        take(sub, 3, _encode(quote), at_ms, 0)
        quote.depth = msgspec.UNSET

    def _book(self, state: State) -> Book | None:
        try:
            return state.unpacked(self._levels)
        except DecodeError:
            self.malformed += 1
            return None

    def beat(self) -> Sequence[Frame]:
        """Nothing: the broker pings."""
        return ()

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why the connection ended, or was refused."""
        if end.status:
            return why(end.status, end.body)
        return Fault.NETWORK, f"Upstox' stream ended ({end.why})"
