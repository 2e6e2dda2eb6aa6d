"""Binance's market data streams (spot, public): JSON text, several streams on one socket. Pure.

1. The combined form `{"stream", "data"}` is used: books of five levels do not say whose they are.
2. Binance acknowledges a request, not a stream: an unknown symbol is acknowledged, too, and silent.
3. A change of mode asks only for streams that the other mode has not; the rest flow on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
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
from hub.brokers.binance.streams import BOOK, READERS, STREAMS, Reader, State
from hub.core.model import Fault

AT_ONCE = 50
"""Symbols that one message names, each with three streams at most."""


class _Message(Struct, gc=False):
    stream: str = ""
    data: Raw = Raw()
    id: int | str | None = None
    error: Any = None
    code: int | None = None
    msg: str = ""
    e: str = ""


_message = msgspec.json.Decoder(_Message).decode


class Codec:
    """One connection. `_streams` are by the name that messages carry; `_asked` are by the number
    of the request, until it is answered."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:  # noqa: ARG002 - it is public
        self.malformed = 0
        self._url = addresses.url
        self._streams: dict[str, tuple[Subscription, Reader]] = {}
        self._asked: dict[int, tuple[Subscription, ...]] = {}
        self._number = 0

    def ask(self) -> Request | None:
        """Nothing."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 - nothing was asked
        """The combined streams."""
        return Endpoint(f"{self._url.rstrip('/')}/stream")

    def opened(self) -> Sequence[Frame]:
        """Nothing has to be said first."""
        return ()

    @property
    def ready(self) -> bool:
        """Everybody is let in."""
        return True

    def beat(self) -> Sequence[Frame]:
        """Binance pings, and the WebSocket client answers."""
        return ()

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """What is not wanted any more makes room first: a full socket has none to spare."""
        frames: list[Frame] = []
        for start in range(0, len(changes), AT_ONCE):
            more: list[str] = []
            less: list[str] = []
            asking: list[Subscription] = []
            for change in changes[start : start + AT_ONCE]:
                less += self._dropped(change)
                names = self._added(change)
                more += names
                if names:
                    asking.append(change.sub)
            if less:
                frames.append(self._request("UNSUBSCRIBE", less, ()))
            if more:
                frames.append(self._request("SUBSCRIBE", more, asking))
        return frames

    def _dropped(self, change: Change) -> list[str]:
        sub, was, to = change
        names = [f"{sub.listing.token}@{kind}" for kind in STREAMS[was] if kind not in STREAMS[to]]
        for name in names:
            if name in self._streams and self._streams[name][0] is sub:
                del self._streams[name]
        if sub.state and BOOK not in STREAMS[to]:
            sub.state.book = None
        return names

    def _added(self, change: Change) -> list[str]:
        sub, was, to = change
        if not was:
            sub.state = None  # what is known of it is of another connection
        names = []
        for kind in STREAMS[to]:
            name = f"{sub.listing.token}@{kind}"
            self._streams[name] = sub, READERS[kind]
            if kind not in STREAMS[was] or was == to:
                names.append(name)
        return names

    def _request(self, method: str, streams: Sequence[str], subs: Sequence[Subscription]) -> str:
        self._number += 1
        if subs:
            self._asked[self._number] = tuple(subs)
        request = {"method": method, "params": streams, "id": self._number}
        return json.dumps(request, ensure_ascii=False)

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one message."""
        try:
            message = _message(data)
            known = self._streams.get(message.stream)
            if known is None:
                return self._events(message)
            sub, read = known
            if sub.mode:
                if sub.state is None:
                    sub.state = State()
                read(sub, message.data, now_ms, take)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self.malformed += 1
        return ()

    def _events(self, message: _Message) -> Sequence[Event]:
        """What an answer means, or a message that is of no stream that is wanted."""
        if message.stream:
            return [_LEAVING] if message.stream == "!serverShutdown" else ()
        if message.e == "serverShutdown":
            return [_LEAVING]
        number = message.id if isinstance(message.id, int) else 0
        subs = self._asked.pop(number, ())
        if message.error is not None or message.code is not None:
            return [_refusal(message, tuple(sub for sub in subs if sub.mode))]
        if message.id is None:
            self.malformed += 1
        return [Confirmed(sub) for sub in subs if sub.mode]

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why it ended; after 24 hours each connection does."""
        if end.status in {403, 418, 429}:
            text = "Binance was asked too often from this address"
            return Fault.RATE, f"{text} (HTTP {end.status})"
        if end.status == 451:
            return Fault.RATE, "Binance does not serve where this machine is (HTTP 451)"
        if end.status:
            return Fault.NETWORK, f"Binance refused the connection with HTTP {end.status}"
        if end.code == 1008:
            return Fault.RATE, f"Binance ended the connection: {end.reason or 'too many messages'}"
        return Fault.NETWORK, f"the connection to Binance ended ({end.why})"


_LEAVING = Failed(Fault.NETWORK, "Binance's server is about to shut down, and asks to connect anew")


def _refusal(message: _Message, subs: tuple[Subscription, ...]) -> Event:
    """An error; of requests that it does not name, nobody is refused anything."""
    error = message.error if isinstance(message.error, dict) else {}
    text = str(error.get("msg", message.msg))[:200]
    said = f"Binance refuses a request: {text} (code {error.get('code', message.code)})"
    if not subs:
        return Warned(said)
    fault = Fault.RATE if "too many requests" in text.lower() else Fault.CAPACITY
    return Refused(subs, fault, said)
