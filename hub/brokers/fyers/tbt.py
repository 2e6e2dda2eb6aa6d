"""Fyers' stream of books with 50 levels (TBT), as a codec. Pure.

1. Here the upgrade does need the Authorization that the data socket must not have.
2. Nothing flows on a channel before it has been resumed.
3. A complaint names no symbol: it is of those last asked for that have not been heard of two
   seconds later.

Source of the format: packets as Fyers' own library (fyers-apiv3 3.2.0) reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from hub.brokers import protobuf
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
from hub.brokers.fyers import token
from hub.brokers.fyers.books import Deep
from hub.brokers.fyers.faults import why_ended
from hub.core.errors import BrokerError
from hub.core.model import Fault

_MESSAGES: Final = protobuf.messages(
    "fyers_books",
    {
        "Number": {"value": (1, "uint64")},
        "Signed": {"value": (1, "int64")},
        "Level": {
            "price": (1, "Signed"),
            "qty": (2, "Number"),
            "nord": (3, "Number"),
            "num": (4, "Number"),
        },
        "Depth": {
            "tbq": (1, "Number"),
            "tsq": (2, "Number"),
            "asks": (3, "repeated Level"),
            "bids": (4, "repeated Level"),
        },
        "Quote": {"ltp": (1, "Signed")},
        "Feed": {
            "quote": (1, "Quote"),
            "depth": (5, "Depth"),
            "feed_time": (6, "Number"),
            "sequence_no": (9, "uint64"),
            "snapshot": (10, "bool"),
            "ticker": (11, "string"),
        },
        "Message": {
            "feeds": (2, "map Feed"),
            "snapshot": (3, "bool"),
            "msg": (4, "string"),
            "error": (5, "bool"),
        },
    },
)
"""What of the messages is read here. A number in a message of its own may be absent, which is not
zero."""
_Message: Final = _MESSAGES["Message"]

CHANNEL = "1"
_PATIENCE_MS = 2000
_FULL = ("limit", "max", "exceed")
"""Words of a complaint about too many symbols."""


class TbtCodec:
    """One connection to the stream of deep books."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self._credentials = credentials
        self._addresses = addresses
        self._subs: dict[str, Subscription] = {}
        self._asked: tuple[Subscription, ...] = ()
        self._resumed = False
        self._complaint = ""
        self._complained_ms = 0

    def __repr__(self) -> str:
        return f"<TbtCodec {len(self._subs)} books, {self.malformed} malformed>"

    def ask(self) -> Request | None:
        """Where the stream is. Raises BrokerError without credentials."""
        url = f"{self._addresses.api.rstrip('/')}/indus/home/tbtws"
        return Request("GET", url, {"Authorization": token.authorization(self._credentials)})

    def endpoint(self, reply: Reply | None) -> Endpoint:
        """The address that Fyers has told us, else the usual one. Raises BrokerError."""
        if reply is not None and reply.status in {401, 403}:
            raise BrokerError(
                Fault.AUTH,
                f"Fyers refuses the access token (HTTP {reply.status})",
            )
        url = _socket_url(reply) or self._addresses.url
        return Endpoint(url, {"Authorization": token.authorization(self._credentials)})

    def opened(self) -> Sequence[Frame]:
        """Nothing is said before there is something to ask for."""
        return ()

    @property
    def ready(self) -> bool:
        """At once: the upgrade is the login."""
        return True

    def beat(self) -> Sequence[Frame]:
        """A ping of theirs."""
        return ("ping",)

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why the connection ended or was refused."""
        return why_ended(end)

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """Every mode is a book: what counts is whether there is one."""
        dropped = [change.sub for change in changes if change.was and not change.to]
        added = [change.sub for change in changes if change.to and not change.was]
        frames = []
        if dropped:
            names = [sub.listing.broker_symbol for sub in dropped]
            for name in names:
                self._subs.pop(name, None)
            frames.append(_wish(-1, names))
        if added:
            for sub in added:
                if not isinstance(sub.state, Deep):
                    sub.state = Deep()
                sub.state.begun = False
                self._subs[sub.listing.broker_symbol] = sub
            self._asked = tuple(added)
            frames.append(_wish(1, [sub.listing.broker_symbol for sub in added]))
            if not self._resumed:
                self._resumed = True
                frames.append(_resume())
        return frames

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one message."""
        events = (
            self._text(data, now_ms) if isinstance(data, str) else self._book(data, now_ms, take)
        )
        if self._complaint and now_ms - self._complained_ms >= _PATIENCE_MS:
            return (*events, *self._refuse())
        return events

    def _book(self, data: bytes, now_ms: int, take: Take) -> Sequence[Event]:
        message = _Message()
        try:
            message.ParseFromString(data)
        except DecodeError:
            self.malformed += 1
            return ()
        if message.error:
            return self._complain(message.msg, now_ms)
        for feed in message.feeds.values():
            self._feed(feed, message.snapshot, now_ms, take)
        return ()

    def _feed(self, feed: Any, whole: object, now_ms: int, take: Take) -> None:
        sub = self._subs.get(feed.ticker)
        if sub is None or not sub.mode or not feed.HasField("depth"):
            return
        state: Deep = sub.state
        self.malformed += state.merge(feed, whole=bool(whole or feed.snapshot))
        if sub.mode == 3:
            state.publish(sub, feed.sequence_no, now_ms, take)

    def _text(self, data: str, now_ms: int) -> Sequence[Event]:
        if data == "pong":
            return ()
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self.malformed += 1
            return ()
        return self._complain(str(said.get("msg", "")), now_ms) if said.get("error") else ()

    def _complain(self, words: str, now_ms: int) -> Sequence[Event]:
        self._complaint, self._complained_ms = f"Fyers says: {words[:200]}", now_ms
        return () if len(self._waiting()) > 1 else self._refuse()

    def _waiting(self) -> tuple[Subscription, ...]:
        return tuple(sub for sub in self._asked if sub.waits and sub.mode)

    def _refuse(self) -> Sequence[Event]:
        text, self._complaint = self._complaint, ""
        waiting = self._waiting()
        if not waiting:
            return (Warned(text),)
        names = [sub.listing.broker_symbol for sub in waiting]
        for name in names:
            self._subs.pop(name, None)
        full = any(word in text.lower() for word in _FULL)
        refused = Refused(waiting, Fault.CAPACITY if full else Fault.NETWORK, text)
        return (Say((_wish(-1, names),)), refused)


def _socket_url(reply: Reply | None) -> str:
    if reply is None or reply.status != 200:
        return ""
    try:
        said = json.loads(reply.body)
        url = said["data"]["socket_url"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    return url if isinstance(url, str) and url.startswith(("ws://", "wss://")) else ""


def _wish(subs: int, symbols: Iterable[str]) -> str:
    wish = {"subs": subs, "symbols": list(symbols), "mode": "depth", "channel": CHANNEL}
    return json.dumps({"type": 1, "data": wish})


def _resume() -> str:
    return json.dumps({"type": 2, "data": {"resumeChannels": [CHANNEL], "pauseChannels": []}})
